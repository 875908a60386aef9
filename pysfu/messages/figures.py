"""Counters and states (`stats.rs`, `driver/counters.rs`, `Snapshot` of `engine/event.rs`)."""

from __future__ import annotations

from typing import Literal

from pysfu.messages.base import MediaKind, Record, StallCause, TrackSource


class Drops(Record, frozen=True, kw_only=True):
    """Why packets went no further."""

    unknown_source: int = 0
    unauthenticated: int = 0
    replayed: int = 0
    malformed: int = 0
    not_published: int = 0
    rewrite_rejected: int = 0
    send_queue_full: int = 0
    too_late: int = 0
    revoked: int = 0
    socket_full: int = 0
    no_route: int = 0
    unknown_ufrag: int = 0
    rate_limited: int = 0


class Histogram(Record, frozen=True, kw_only=True):
    """How a quantity was spread: observations up to each bound, and, in one count more, those above all bounds."""

    bounds: list[float]
    counts: list[int]
    sum: float


NOTHING = Histogram(bounds=[], counts=[0], sum=0.0)


class Quality(Record, frozen=True, kw_only=True):
    """How well it went: once a second for each stream or peer it is about, or once for each join."""

    join_s: Histogram = NOTHING
    join_ice_s: Histogram = NOTHING
    join_dtls_s: Histogram = NOTHING
    join_first_packet_s: Histogram = NOTHING
    rtt_s: Histogram = NOTHING
    jitter_s: Histogram = NOTHING
    jitter_out_s: Histogram = NOTHING
    loss_in: Histogram = NOTHING
    loss_out: Histogram = NOTHING
    estimate_bps: Histogram = NOTHING
    send_queue_s: Histogram = NOTHING


class EngineFigures(Record, frozen=True, kw_only=True):
    """The figures of one engine."""

    rooms: int = 0
    peers: int = 0
    connected_peers: int = 0
    handshakes: int = 0
    tracks: int = 0
    edges: int = 0
    rtp_packets_in: int = 0
    rtp_bytes_in: int = 0
    rtp_packets_out: int = 0
    rtp_bytes_out: int = 0
    rtx_packets_out: int = 0
    relay_packets_out: int = 0
    lost_packets_in: int = 0
    lost_packets_out: int = 0
    nacked_packets_in: int = 0
    nacked_packets_out: int = 0
    keyframe_requests_in: int = 0
    keyframe_requests_out: int = 0
    stun_replays: int = 0
    drops: Drops = Drops()
    unauthorized_forwards: int = 0
    panics: int = 0
    layer_switches: int = 0
    publisher_limits: int = 0
    quality: Quality = Quality()


class ReceiveFigures(Record, frozen=True, kw_only=True):
    """The figures of one received stream."""

    mid: str
    encoding: int
    packets: int
    bytes: int
    lost: int
    jitter_s: float
    bitrate_bps: int


class SendFigures(Record, frozen=True, kw_only=True):
    """The figures of one sent stream."""

    mid: str
    packets: int
    bytes: int
    retransmitted: int
    loss: float
    encoding: int | None


class PeerFigures(Record, frozen=True, kw_only=True):
    """The figures of one peer."""

    connected: bool
    rtt_s: float | None
    estimate_bps: int
    send_queue_s: float
    receive: list[ReceiveFigures]
    send: list[SendFigures]


class PlayingState(Record, frozen=True, kw_only=True):
    """What one media section of a peer carries, in a snapshot."""

    mid: str
    track: int
    stalled: StallCause | None = None


class PeerState(Record, frozen=True, kw_only=True):
    """One peer in a snapshot."""

    peer: int
    room: int
    participant: int
    state: Literal["connecting", "connected", "disconnected", "failed", "closed"]
    playing: list[PlayingState]
    relay: int | None = None


class TrackState(Record, frozen=True, kw_only=True):
    """One track in a snapshot."""

    track: int
    peer: int
    mid: str
    kind: MediaKind
    source: TrackSource
    muted: bool
    holds_encodings: bool
    stalled: bool = False
    allowed: list[int]


class RosterState(Record, frozen=True, kw_only=True):
    """Who can hear or see anything in one room, in a snapshot."""

    room: int
    listeners: list[int]


class DataState(Record, frozen=True, kw_only=True):
    """One right to messages on data channels, in a snapshot."""

    publisher: int
    subscriber: int


class State(Record, frozen=True, kw_only=True):
    """The state of everything; rooms that failed are not among the rooms."""

    version: int
    rooms: list[int]
    peers: list[PeerState]
    tracks: list[TrackState]
    rosters: list[RosterState]
    data: list[DataState]


class Counters(Record, frozen=True, kw_only=True):
    """What the rim of one worker counts (`driver/counters.rs`)."""

    turns: int
    busy_us: int
    elapsed_us: int
    worst_lag_us: int
    datagrams_in: int
    bytes_in: int
    receive_calls: int
    receive_errors: int
    truncated: int
    kernel_drops: int
    datagrams_out: int
    bytes_out: int
    send_calls: int
    socket_full: int
    unreachable: int
    segmentation: int
    commands: int
    revocations: int
    events_coalesced: int
    events_lost: int
    messages_lost: int
    bot_drops: int
    relay_drops: int
    failed: int
    forward_s: Histogram = NOTHING
