"""Trickle ICE fragments (RFC 8840), as WHIP uses them to add candidates and to restart ICE (RFC 9725 section 4.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MEDIA_TYPE = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT_LINES = 300  # 16 sections with 16 candidates each, and what stands around them.

_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}\Z")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}\Z")
_CANDIDATE = re.compile(
    r"\S{1,32} \d{1,3} (?i:udp|tcp) \d{1,10} \S{1,255} \d{1,5} typ (?:host|srflx|prflx|relay)( \S+)*\Z"
)
_MEDIA = re.compile(r"(audio|video|application|text|message) \d+ \S+( \S+)*\Z")


class FragmentFaultError(Exception):
    """The fragment cannot be read. The message names the fault and its line, and quotes nothing."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a fragment says."""

    ufrag: str
    password: str
    candidates: tuple[str, ...]
    complete: bool


def parse_fragment(body: bytes) -> Fragment:
    """Reads a fragment.

    Raises:
        FragmentFaultError: naming the first fault found.
    """
    try:
        lines = body.decode("ascii").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise FragmentFaultError("it is not ASCII") from error
    if len(lines) > MAX_FRAGMENT_LINES:
        raise FragmentFaultError(f"it has more than {MAX_FRAGMENT_LINES} lines")
    found: dict[str, str] = {}
    candidates: list[str] = []
    for number, line in enumerate(lines, start=1):
        name, _, value = _attribute(line, number).partition(":")
        if name == "candidate":
            if not _CANDIDATE.match(value):
                raise FragmentFaultError(f"line {number} is not an ICE candidate")
            candidates.append(value)
        elif name in ("ice-ufrag", "ice-pwd") and found.setdefault(name, value) != value:
            raise FragmentFaultError(f"line {number} contradicts an earlier {name}")
        elif name == "end-of-candidates":
            found[name] = value
    ufrag, password = found.get("ice-ufrag", ""), found.get("ice-pwd", "")
    if not _UFRAG.match(ufrag):
        raise FragmentFaultError("a=ice-ufrag is missing or malformed")
    if not _PASSWORD.match(password):
        raise FragmentFaultError("a=ice-pwd is missing or malformed")
    return Fragment(ufrag=ufrag, password=password, candidates=tuple(candidates), complete="end-of-candidates" in found)


def credentials_of(sdp: str) -> tuple[str, str]:
    """Returns the first ICE user name fragment and password of a description; empty where there is none."""
    found = {"ice-ufrag": "", "ice-pwd": ""}
    for line in sdp.splitlines():
        name, _, value = line.removeprefix("a=").partition(":")
        if name in found and not found[name]:
            found[name] = value
    return found["ice-ufrag"], found["ice-pwd"]


def with_credentials(offer: str, fragment: Fragment) -> str:
    """Returns the offer as the caller would send it anew to restart ICE: the old one with new credentials."""
    lines = []
    for line in offer.splitlines():
        if line.startswith("a=ice-ufrag:"):
            lines.append(f"a=ice-ufrag:{fragment.ufrag}")
        elif line.startswith("a=ice-pwd:"):
            lines.append(f"a=ice-pwd:{fragment.password}")
        elif not line.startswith(("a=candidate:", "a=end-of-candidates")):
            lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def fragment_of(answer: str) -> str:
    """Returns our half of the restarted ICE session: credentials and candidates of the first media section."""
    ufrag, password = credentials_of(answer)
    lines = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}"]
    ours = ("m=", "a=mid:", "a=candidate:", "a=end-of-candidates")
    lines += [line for line in _first_section(answer) if line.startswith(ours)]
    return "\r\n".join(lines) + "\r\n"


def _first_section(sdp: str) -> list[str]:
    lines = sdp.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    return lines[starts[0] : starts[1] if len(starts) > 1 else None] if starts else []


def _attribute(line: str, number: int) -> str:
    """Returns what follows `a=`, or nothing for a media line."""
    if line.startswith("a=") and line.isprintable():
        return line[2:]
    if line.startswith("m=") and _MEDIA.match(line[2:]):
        return ""
    raise FragmentFaultError(f"line {number} is neither an attribute (a=) nor a media line (m=)")
