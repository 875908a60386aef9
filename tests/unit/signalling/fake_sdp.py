"""Descriptions as the media engine in memory reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signalling.media import MediaKind

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
APPLICATION = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"


@dataclass(frozen=True)
class FakeSection:
    mid: str
    kind: MediaKind
    name: str | None = None
    codec: str | None = None


def answer_to(offer: str, generation: int) -> str:
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=ice-ufrag:fake{generation}", f"a=ice-pwd:{'s' * 24}"]
    body = [
        f"{section.splitlines()[0]}\r\na=mid:{_mid_of(section, at)}\r\na=candidate:1 1 udp 1 127.0.0.1 7882 typ host"
        for at, section in enumerate(sections_of(offer))
    ]
    return "\r\n".join([*head, *body]) + "\r\n"


def offer_of(kinds: Sequence[MediaKind | None], names: Mapping[str, tuple[str, str]], *, generation: int) -> str:
    """Writes an offer with sections of these kinds, None for data channels; what they carry is named by mid."""
    head = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=ice-ufrag:fake{generation}", f"a=ice-pwd:{'s' * 24}"]
    lines = []
    for mid, kind in enumerate(kinds):
        lines += [APPLICATION if kind is None else f"m={kind} 9 UDP/TLS/RTP/SAVPF 111", f"a=mid:{mid}"]
        if (name := names.get(str(mid))) is not None:
            lines += ["a=sendonly", f"a=msid:{' '.join(name)}"]
        elif kind is not None:
            lines += ["a=inactive"]
    return "\r\n".join([*head, *lines]) + "\r\n"


def sections_of(description: str) -> list[str]:
    """Lists the sections, each from its `m=` on."""
    return ["m=" + section for section in description.split("\r\nm=")[1:]]


def sent_in(offer: str) -> list[FakeSection]:
    """Lists of what the other end sends, as the engine reads it: the last direction counts, blanks behind it do not."""
    shared = direction_in(offer.split("\r\nm=")[0], otherwise="sendrecv")
    sent = []
    for at, section in enumerate(sections_of(offer)):
        if direction_in(section, otherwise=shared) in ("sendonly", "sendrecv") and not section.startswith("m=appl"):
            kind: MediaKind = "audio" if section.startswith("m=audio") else "video"
            name = re.search(r"^a=msid:\S+ (\S+)", section, re.MULTILINE)
            sent.append(FakeSection(_mid_of(section, at), kind, name[1] if name else None))
    return sent


def direction_in(part: str, *, otherwise: str) -> str:
    lines = [line.rstrip().removeprefix("a=") for line in part.splitlines()]
    return next((line for line in reversed(lines) if line in DIRECTIONS), otherwise)


def ufrag_of(description: str) -> str | None:
    found = re.search(r"^a=ice-ufrag:(\S+)", description, re.MULTILINE)
    return found[1] if found else None


def _mid_of(section: str, at: int) -> str:
    found = re.search(r"^a=mid:(\S+)", section, re.MULTILINE)
    return found[1] if found else str(at)
