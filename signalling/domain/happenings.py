"""What happens in rooms, for those who are told of it elsewhere: values, one for each thing that happens, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from signalling.domain.grants import Grant, Source
from signalling.domain.ids import PublicationId
from signalling.domain.notices import Reason
from signalling.domain.room import PublishedTrack, Room, Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Somebody who has a seat in a room, or had it, whichever way they came in.

    Attributes:
        seat: who, since when, and what they send.
        grant: what they may and are called, where that is at hand.
        sid: by which LiveKit's SDKs know them, unless it is made of the room's id and theirs.
    """

    seat: Seat
    grant: Grant | None = None
    sid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A track that somebody publishes, as others are told of it.

    Attributes:
        publication: what it belongs to.
        track: which one of that it is, and of which kind.
        sid: by which LiveKit's SDKs know it, unless it is made of these two.
        source: what it shows or sounds of, where that is known.
        mime: how it is encoded, where that is known: "video/VP8".
        muted: whether nothing is sent for now.
        name: what its publisher calls it.
    """

    publication: PublicationId
    track: PublishedTrack
    sid: str | None = None
    source: Source | None = None
    mime: str = ""
    muted: bool = False
    name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InRoom:
    """Something that happens in a room.

    Attributes:
        room: where.
        roster: who is in it afterwards.
        at: when, timezone-aware.
    """

    room: Room
    roster: tuple[Seat, ...] = ()
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomStarted(_InRoom):
    """A room was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFinished(_InRoom):
    """A room has ended: it was deleted, or the server stops for good."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined(_InRoom):
    """Somebody who was not in the room before is in it."""

    who: Seated


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft(_InRoom):
    """Somebody is not in the room any more."""

    who: Seated
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantAborted(_InRoom):
    """Somebody came in, and was gone before any media could flow."""

    who: Seated
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPublished(_InRoom):
    """A track can be played."""

    who: Seated
    track: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackUnpublished(_InRoom):
    """A track has ended."""

    who: Seated
    track: Shown


Happening = (
    RoomStarted
    | RoomFinished
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantAborted
    | TrackPublished
    | TrackUnpublished
)
