"""What happens by itself (`engine/event.rs`)."""

from __future__ import annotations

from pysfu.messages.base import Codec, FailReason, Message, Record, StallCause


class SpeakerLevel(Record, frozen=True, kw_only=True):
    """How one participant sounds."""

    participant: int
    level: int


class PeerConnected(Message, frozen=True, kw_only=True):
    """Media can flow."""

    peer: int
    srtp_profile: str
    dtls_version: str


class PeerDisconnected(Message, frozen=True, kw_only=True):
    """Nothing was heard for a while."""

    peer: int


class PeerReconnected(Message, frozen=True, kw_only=True):
    """It came back."""

    peer: int


class PeerFailed(Message, frozen=True, kw_only=True):
    """It cannot come back."""

    peer: int
    reason: FailReason


class PeerClosed(Message, frozen=True, kw_only=True):
    """The remote closed."""

    peer: int


class TrackStarted(Message, frozen=True, kw_only=True):
    """The first packet came."""

    track: int
    codec: Codec


class Roster(Message, frozen=True, kw_only=True):
    """Who can hear or see anything."""

    room: int
    listeners: list[int]


class Speakers(Message, frozen=True, kw_only=True):
    """Who speaks."""

    room: int
    speakers: list[SpeakerLevel]


class LayerChanged(Message, frozen=True, kw_only=True):
    """Which encoding a subscription gets."""

    subscriber: int
    track: int
    encoding: int | None


class TrackStalled(Message, frozen=True, kw_only=True):
    """Nothing comes of a track, or something does again."""

    track: int
    stalled: bool


class SubscriptionStalled(Message, frozen=True, kw_only=True):
    """Nothing of a track goes out to a subscriber, or something does again."""

    subscriber: int
    track: int
    cause: StallCause | None


class DataReceived(Message, frozen=True, kw_only=True):
    """A message came."""

    peer: int
    label: str
    payload: bytes
    binary: bool


class RoomFailed(Message, frozen=True, kw_only=True):
    """A bug ended the room."""

    room: int


class Resync(Message, frozen=True, kw_only=True):
    """Events were lost."""

    version: int


AnyEvent = (
    PeerConnected
    | PeerDisconnected
    | PeerReconnected
    | PeerFailed
    | PeerClosed
    | TrackStarted
    | Roster
    | Speakers
    | LayerChanged
    | TrackStalled
    | SubscriptionStalled
    | DataReceived
    | RoomFailed
    | Resync
)
