"""What the engine is asked to do (`engine/command.rs`)."""

from __future__ import annotations

from typing import Literal

from pysfu.messages.base import Message, Record, TrackSource
from pysfu.messages.session import NegotiatedSession, RelayDescription


class LayerLimit(Record, frozen=True, kw_only=True):
    """The most a subscription may receive."""

    encoding: int = 255
    temporal: int = 255


class CreateRoom(Message, frozen=True, kw_only=True):
    """Makes a room."""


class RemoveRoom(Message, frozen=True, kw_only=True):
    """Ends a room."""

    room: int


class CreatePeer(Message, frozen=True, kw_only=True):
    """Makes a peer."""

    room: int
    participant: int


class CreateBot(Message, frozen=True, kw_only=True):
    """Makes a peer inside this process."""

    room: int
    participant: int
    session: NegotiatedSession


class Connect(Message, frozen=True, kw_only=True):
    """Applies a negotiation."""

    peer: int
    session: NegotiatedSession


class RestartIce(Message, frozen=True, kw_only=True):
    """Draws new ICE credentials."""

    peer: int


class RemovePeer(Message, frozen=True, kw_only=True):
    """Closes a peer."""

    peer: int


class Publish(Message, frozen=True, kw_only=True):
    """Makes a track of a media section."""

    peer: int
    mid: str
    source: TrackSource
    encrypted: bool


class Unpublish(Message, frozen=True, kw_only=True):
    """Ends a track."""

    track: int


class Subscribe(Message, frozen=True, kw_only=True):
    """Wires a track to a media section."""

    peer: int
    mid: str
    track: int


class Unsubscribe(Message, frozen=True, kw_only=True):
    """Takes the track off."""

    peer: int
    mid: str


class Allow(Message, frozen=True, kw_only=True):
    """Lets a track flow."""

    track: int
    subscriber: int
    echo: bool = False


class Revoke(Message, frozen=True, kw_only=True):
    """Ends that."""

    track: int
    subscriber: int


class AllowData(Message, frozen=True, kw_only=True):
    """Lets data flow."""

    publisher: int
    subscriber: int


class RevokeData(Message, frozen=True, kw_only=True):
    """Ends that."""

    publisher: int
    subscriber: int


class HoldData(Message, frozen=True, kw_only=True):
    """Has a peer's messages go on only where they are sent."""

    peer: int


class OpenData(Message, frozen=True, kw_only=True):
    """Opens a data channel."""

    peer: int
    label: str
    ordered: bool
    reliability: Literal["reliable"] | dict[str, int]


class SendData(Message, frozen=True, kw_only=True):
    """Sends on a data channel."""

    peer: int
    publisher: int | None = None
    label: str
    payload: bytes
    binary: bool


class RelayOut(Message, frozen=True, kw_only=True):
    """Makes the near end of a relay: a peer that the track is granted to, for another worker."""

    track: int
    relay: int


class RelayIn(Message, frozen=True, kw_only=True):
    """Makes the far end of a relay: a peer that publishes the track in another worker."""

    room: int
    participant: int
    relay: int
    description: RelayDescription


class Mute(Message, frozen=True, kw_only=True):
    """Stops or restarts a track for everyone."""

    track: int
    muted: bool


class LimitLayer(Message, frozen=True, kw_only=True):
    """Limits a subscription."""

    track: int
    subscriber: int
    limit: LayerLimit


class RequestKeyframe(Message, frozen=True, kw_only=True):
    """Asks for a keyframe."""

    track: int


class PeerStats(Message, frozen=True, kw_only=True):
    """Asks for a peer's figures."""

    peer: int


class Stats(Message, frozen=True, kw_only=True):
    """Asks for a worker's figures."""


class Snapshot(Message, frozen=True, kw_only=True):
    """Asks for the state of everything."""


Command = (
    CreateRoom
    | RemoveRoom
    | CreatePeer
    | CreateBot
    | Connect
    | RestartIce
    | RemovePeer
    | Publish
    | Unpublish
    | Subscribe
    | Unsubscribe
    | Allow
    | Revoke
    | AllowData
    | RevokeData
    | HoldData
    | OpenData
    | SendData
    | RelayOut
    | RelayIn
    | Mute
    | LimitLayer
    | RequestKeyframe
    | PeerStats
    | Stats
    | Snapshot
)


class Request(Record, frozen=True, kw_only=True):
    """A command with its number."""

    id: int
    command: Command
