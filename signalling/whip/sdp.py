"""Looks over an offer before the engine sees it (RFC 8866, RFC 9725 section 4.2), so that a fault gets a clear name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from signalling.media import MediaKind

MAX_LINES = 2_000  # A browser's offer with simulcast has about 250.
MAX_SECTIONS = 32  # WHIP sends one or two; a room of bots would still fit.

_LINE = re.compile(r"[a-z]=\S")
_KINDS: tuple[MediaKind, ...] = ("audio", "video")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


class Direction(Enum):
    """What the caller's offer must be for."""

    SEND = ("sendonly", "sendrecv")
    RECEIVE = ("recvonly", "sendrecv")


class OfferFaultError(Exception):
    """The offer cannot be used. The message names the fault and its line, and quotes nothing."""

    def __init__(self, fault: str, *, code: str = "sdp_invalid") -> None:
        super().__init__(fault)
        self.fault = fault
        self.code = code


@dataclass(frozen=True, slots=True)
class _Section:
    """One media section: the number of its first line, its kind, its attributes."""

    line: int
    kind: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer in outline.

    Attributes:
        text: all of it.
        kinds: of what it has sections in the direction asked for: audio, video.
    """

    text: str
    kinds: frozenset[MediaKind]


def check_offer(body: bytes, *, direction: Direction) -> Offer:
    """Decodes an offer and checks its outline.

    Raises:
        OfferFaultError: naming the first fault found.
    """
    lines = _lines(body)
    session, *sections = _sections(lines)
    if not sections:
        raise OfferFaultError("there is no media section (m=)")
    if len(sections) > MAX_SECTIONS:
        raise OfferFaultError(f"there are more than {MAX_SECTIONS} media sections")
    for section in (session, *sections):
        _check_direction(section)
    for section in sections:
        _check_transport(session, section)
    media = [section for section in sections if section.kind in _KINDS]
    wanted = [s for s in media if _direction(session, s) in direction.value]
    wrong = [s for s in media if _direction(session, s) not in (*direction.value, "inactive")]
    if wrong:
        expected = direction.value[0]
        raise OfferFaultError(f"the media section at line {wrong[0].line} must be {expected}", code="sdp_direction")
    if not wanted:
        raise OfferFaultError(f"no audio or video section is {direction.value[0]}", code="sdp_direction")
    sent = {section.kind for section in wanted}
    return Offer("\r\n".join(lines) + "\r\n", frozenset(kind for kind in _KINDS if kind in sent))


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OfferFaultError("it is not UTF-8") from error
    if not text.strip():
        raise OfferFaultError("it is empty")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise OfferFaultError(f"it has more than {MAX_LINES} lines")
    for number, line in enumerate(lines, start=1):
        if not _LINE.match(line) or not line.isprintable():
            raise OfferFaultError(f"line {number} is not of the form x=value")
    if lines[0] != "v=0":
        raise OfferFaultError("line 1 must be v=0")
    return lines


def _sections(lines: list[str]) -> Iterator[_Section]:
    """Yields the session part, then each media section."""
    starts = [0, *(at for at, line in enumerate(lines) if line.startswith("m=")), len(lines)]
    for start, end in pairwise(starts):
        part = lines[start:end]
        kind = part[0][2:].split(" ", 1)[0]
        yield _Section(start + 1, kind, tuple(line[2:] for line in part if line.startswith("a=")))


def _check_transport(session: _Section, section: _Section) -> None:
    for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if not any(a.startswith(f"{name}:") for a in (*section.attributes, *session.attributes)):
            raise OfferFaultError(f"the media section at line {section.line} has no a={name}")


def _check_direction(section: _Section) -> None:
    """Refuses what two readers could take to mean two things: which of two lines counts, and whether a blank does."""
    directions = [attribute for attribute in section.attributes if attribute.rstrip() in _DIRECTIONS]
    if len(directions) > 1:
        raise OfferFaultError(f"the part that begins at line {section.line} has more than one direction")
    if not set(directions) <= set(_DIRECTIONS):
        raise OfferFaultError(f"in the part that begins at line {section.line} the direction ends in a blank")


def _direction(session: _Section, section: _Section) -> str:
    for attributes in (section.attributes, session.attributes):
        for attribute in attributes:
            if attribute in _DIRECTIONS:
                return attribute
    return "sendrecv"
