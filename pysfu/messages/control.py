"""What crosses the control socket beside requests and what workers say (`driver/process/messages.rs`)."""

from __future__ import annotations

from typing import Literal

from pysfu.messages.base import Message, Record
from pysfu.messages.figures import Counters
from pysfu.messages.warnings import AnyWarning
from pysfu.messages.wire import DriverConfig


class Hello(Record, frozen=True, kw_only=True):
    """The first word of a controller."""

    protocol: int
    end_other_version: bool
    reclaims: bool
    orphan_limit_ms: int
    config: DriverConfig


class Dropped(Record, frozen=True, kw_only=True):
    """What the media process has given up."""

    user: bool
    files: bool


class Welcome(Record, frozen=True, kw_only=True):
    """The answer to a hello."""

    resumed: bool
    as_configured: bool
    instance: int
    first_request: int
    addresses: list[list[str]]
    warnings: list[AnyWarning]
    dropped: Dropped
    counters: list[Counters]
    notes: int


class RoomSubject(Message, frozen=True, kw_only=True, tag="room"):
    """A note is about a room."""

    room: int


class PeerSubject(Message, frozen=True, kw_only=True, tag="peer"):
    """A note is about a peer."""

    peer: int


AnySubject = RoomSubject | PeerSubject


class Note(Record, frozen=True, kw_only=True):
    """What is to be known about something by whoever controls next; None forgets."""

    subject: AnySubject
    note: bytes | None


class Fault(Record, frozen=True, kw_only=True):
    """Something was not accepted, and nothing was done."""

    kind: Literal["start", "protocol", "replaced", "malformed", "request", "note"]
    text: str
    request: int | None
