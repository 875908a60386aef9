"""What the media engine tells, as values; of itself also what is in `figures.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from signalling.figures import MediaWarning, WorkerFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerGone:
    """A participant's transport has failed or was closed by the other end; it will not come back."""

    peer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomGone:
    """The engine ended a room because of a fault of its own."""

    media_room: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerConnected:
    """A participant's transport carries media."""

    peer: str
    srtp_profile: str
    dtls_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReconnected:
    """A participant's transport, not heard for a while, is back."""

    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSaid:
    """A message came on a data channel of a participant, and goes nowhere by itself."""

    peer: str
    label: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """Who speaks in a room, loudest first, each with a level in -dBov: 0 is loudest, 127 silence."""

    media_room: str
    peers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureChosen:
    """Which encoding of a track a participant gets now; None while the track is paused for want of bandwidth."""

    peer: str
    track: str
    encoding: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resynced:
    """Events were lost; these rooms and participants still exist, all others are gone.

    Attributes:
        media_rooms: the rooms.
        peers: the participants.
        connected: those of them over one of whose transports media has ever flowed.
    """

    media_rooms: frozenset[str]
    peers: frozenset[str]
    connected: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLost:
    """The media process has ended, with all that it had; another one is started after `pause`."""

    reason: str
    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNotStarted:
    """No media process runs, and another could not be started: tried again after `pause`."""

    reason: str
    pause: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRestarted:
    """The media process was started anew: all rooms and participants it had are gone, and workers take rooms again."""

    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTakenOver:
    """Another server controls the media process now: this one can do nothing any more."""


MediaEvent = (
    PeerConnected
    | PeerReconnected
    | PeerGone
    | PeerSaid
    | Speaking
    | PictureChosen
    | RoomGone
    | Resynced
    | WorkerFailed
    | EngineLost
    | EngineNotStarted
    | EngineRestarted
    | EngineTakenOver
    | MediaWarning
)
