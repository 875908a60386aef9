"""What a command brings (`engine/command.rs`)."""

from __future__ import annotations

from pysfu.messages.base import Message
from pysfu.messages.figures import EngineFigures, PeerFigures, State
from pysfu.messages.session import LocalTransport, RelayDescription


class DoneReply(Message, frozen=True, kw_only=True, tag="done"):
    """Done."""


class RoomReply(Message, frozen=True, kw_only=True, tag="room"):
    """The new room."""

    room: int


class PeerReply(Message, frozen=True, kw_only=True, tag="peer"):
    """The new peer, or new credentials."""

    peer: int
    local: LocalTransport


class BotReply(Message, frozen=True, kw_only=True, tag="bot"):
    """The new bot."""

    peer: int


class TrackReply(Message, frozen=True, kw_only=True, tag="track"):
    """The new track."""

    track: int


class RelayReply(Message, frozen=True, kw_only=True, tag="relay"):
    """The near end of a relay."""

    peer: int
    description: RelayDescription


class RelayedReply(Message, frozen=True, kw_only=True, tag="relayed"):
    """The far end of a relay, and the track it publishes."""

    peer: int
    track: int


class PeerStatsReply(Message, frozen=True, kw_only=True, tag="peer_stats"):
    """One peer's figures."""

    stats: PeerFigures


class StatsReply(Message, frozen=True, kw_only=True, tag="stats"):
    """One engine's figures."""

    stats: EngineFigures


class SnapshotReply(Message, frozen=True, kw_only=True, tag="snapshot"):
    """The state of everything."""

    snapshot: State


AnyReply = (
    DoneReply
    | RoomReply
    | PeerReply
    | BotReply
    | TrackReply
    | RelayReply
    | RelayedReply
    | PeerStatsReply
    | StatsReply
    | SnapshotReply
)
