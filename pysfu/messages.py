"""What crosses between Python and the engine: `engine/{command,event}.rs`, `session.rs`, `stats.rs`, `sdp/plan.rs`.

The encoding is MessagePack maps with names. `test_messages.py` sends every message through Rust and back.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MediaKind = Literal["audio", "video"]
Codec = Literal["opus", "red", "vp8", "vp9", "h264", "av1"]
TrackSource = Literal["microphone", "camera", "screen", "screen_audio"]
DtlsVersion = Literal["1.2", "1.3"]
FailReason = Literal["ice", "dtls", "fingerprint", "room"]


def _snake(name: str) -> str:
    return "".join(("_" if at and c.isupper() else "") + c.lower() for at, c in enumerate(name))


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A plain value."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_snake):
    """One of several, told apart by `type`."""


# --- session.rs -----------------------------------------------------------------------------------------------------


class Fingerprint(Record, frozen=True, kw_only=True):
    """A hash of a certificate."""

    algorithm: str
    value: bytes


class PayloadType(Record, frozen=True, kw_only=True):
    """One payload type of a media section."""

    number: int
    codec: Codec
    clock_rate_hz: int
    rtx: int | None = None
    format: str = ""


class RemoteEncoding(Record, frozen=True, kw_only=True):
    """One stream that the remote sends."""

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None


class ReceiveMedia(Record, frozen=True, kw_only=True):
    """A media section in which the remote sends."""

    mid: str
    kind: MediaKind
    payload_types: list[PayloadType]
    encodings: list[RemoteEncoding]
    nack: bool = False
    pli: bool = False
    fir: bool = False


class SendMedia(Record, frozen=True, kw_only=True):
    """A media section in which the engine sends."""

    mid: str
    kind: MediaKind
    payload_types: list[PayloadType]
    ssrc: int
    rtx_ssrc: int | None = None
    nack: bool = False


class DataMedia(Record, frozen=True, kw_only=True):
    """SCTP over DTLS."""

    mid: str
    sctp_port: int
    max_message_size: int


class RemoteTransport(Record, frozen=True, kw_only=True):
    """How to reach the remote, and who it must be."""

    ufrag: str
    pwd: str
    fingerprints: list[Fingerprint]
    dtls_role: Literal["server", "client"] = "server"
    candidates: list[str] = []


class LocalTransport(Record, frozen=True, kw_only=True):
    """The engine's own half."""

    ufrag: str
    pwd: str
    fingerprint: Fingerprint
    candidates: list[str]
    ssrc_base: int


class NegotiatedSession(Record, frozen=True, kw_only=True):
    """The whole of an offer and its answer."""

    remote: RemoteTransport
    extensions: list[int]
    feedback: Literal["transport_cc", "remb", "none"]
    receive: list[ReceiveMedia]
    send: list[SendMedia]
    data: DataMedia | None = None
    reduced_size_rtcp: bool = False


# --- sdp/plan.rs ----------------------------------------------------------------------------------------------------


class OpusPolicy(Record, frozen=True, kw_only=True):
    """What to ask of Opus encoders."""

    stereo: bool | None = None
    dtx: bool | None = None
    constant_bitrate: bool | None = None


class MediaPolicy(Record, frozen=True, kw_only=True):
    """What may be negotiated."""

    audio: list[Codec] = msgspec.field(default_factory=lambda: ["opus", "red"])
    video: list[Codec] = msgspec.field(default_factory=lambda: ["vp8", "h264", "vp9", "av1"])
    start_bitrate: int | None = None
    receive: bool = True
    data: bool = True
    opus: OpusPolicy = OpusPolicy()


class SendPlan(Record, frozen=True, kw_only=True):
    """A track that the remote is to receive."""

    kind: MediaKind
    stream: str
    track: str
    mid: str | None = None


class AnswerPlan(Record, frozen=True, kw_only=True):
    """How to answer."""

    local: LocalTransport
    policy: MediaPolicy
    send: list[SendPlan] = []
    data: bool = False
    previous: NegotiatedSession | None = None


class Answered(Record, frozen=True, kw_only=True):
    """An answer."""

    sdp: str
    session: NegotiatedSession
    placed: list[str | None]


class Media(Message, frozen=True, kw_only=True):
    """A media section of an offer."""

    kind: MediaKind
    send: SendPlan | None = None
    receive: bool = False


class Data(Message, frozen=True, kw_only=True):
    """The data section of an offer."""


class OfferPlan(Record, frozen=True, kw_only=True):
    """How to offer."""

    local: LocalTransport
    policy: MediaPolicy
    sections: list[Media | Data]
    version: int = 0


# --- command.rs -----------------------------------------------------------------------------------------------------


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


class SendData(Message, frozen=True, kw_only=True):
    """Sends on a data channel."""

    peer: int
    label: str
    payload: bytes
    binary: bool


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
    | SendData
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


# --- stats.rs, event.rs: what is in replies --------------------------------------------------------------------------


class Drops(Record, frozen=True, kw_only=True):
    """Why packets went no further."""

    unknown_source: int = 0
    unauthenticated: int = 0
    replayed: int = 0
    malformed: int = 0
    not_published: int = 0
    rewrite_rejected: int = 0
    send_queue_full: int = 0
    revoked: int = 0
    socket_full: int = 0
    unknown_ufrag: int = 0
    rate_limited: int = 0


class EngineFigures(Record, frozen=True, kw_only=True):
    """The figures of one engine."""

    rooms: int = 0
    peers: int = 0
    connected_peers: int = 0
    tracks: int = 0
    edges: int = 0
    rtp_packets_in: int = 0
    rtp_bytes_in: int = 0
    rtp_packets_out: int = 0
    rtp_bytes_out: int = 0
    rtx_packets_out: int = 0
    nacked_packets_in: int = 0
    nacked_packets_out: int = 0
    keyframe_requests_in: int = 0
    keyframe_requests_out: int = 0
    drops: Drops = Drops()
    unauthorized_forwards: int = 0
    panics: int = 0
    layer_switches: int = 0


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


class PeerState(Record, frozen=True, kw_only=True):
    """One peer in a snapshot."""

    peer: int
    room: int
    participant: int
    state: Literal["connecting", "connected", "disconnected", "failed", "closed"]


class TrackState(Record, frozen=True, kw_only=True):
    """One track in a snapshot."""

    track: int
    peer: int
    kind: MediaKind
    muted: bool
    allowed: list[int]


class State(Record, frozen=True, kw_only=True):
    """The state of everything."""

    version: int
    rooms: list[int]
    peers: list[PeerState]
    tracks: list[TrackState]


# --- command.rs: replies ---------------------------------------------------------------------------------------------


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


class PeerStatsReply(Message, frozen=True, kw_only=True, tag="peer_stats"):
    """One peer's figures."""

    stats: PeerFigures


class StatsReply(Message, frozen=True, kw_only=True, tag="stats"):
    """One engine's figures."""

    stats: EngineFigures


class SnapshotReply(Message, frozen=True, kw_only=True, tag="snapshot"):
    """The state of everything."""

    snapshot: State


AnyReply = DoneReply | RoomReply | PeerReply | BotReply | TrackReply | PeerStatsReply | StatsReply | SnapshotReply


# --- event.rs --------------------------------------------------------------------------------------------------------


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
    | DataReceived
    | RoomFailed
    | Resync
)


# --- wire.rs ---------------------------------------------------------------------------------------------------------


class Reply(Message, frozen=True, kw_only=True):
    """A command was carried out."""

    id: int
    reply: AnyReply


class Refused(Message, frozen=True, kw_only=True):
    """A command was not carried out."""

    id: int
    refusal: str | dict[str, str]


class Event(Message, frozen=True, kw_only=True):
    """Something happened."""

    version: int
    event: AnyEvent


class WorkerFailed(Message, frozen=True, kw_only=True):
    """A bug ended the worker."""

    reason: str


Outgoing = Reply | Refused | Event | WorkerFailed


class DriverConfig(Record, frozen=True, kw_only=True):
    """How to run."""

    bind: list[str]
    port: int
    announce: list[str]
    workers: int
    pin: bool
    receive_buffer_bytes: int
    send_buffer_bytes: int
    offload: bool
    max_dtls_version: DtlsVersion


class Counters(Record, frozen=True, kw_only=True):
    """What the rim of one worker counts (`driver/counters.rs`)."""

    turns: int
    busy_us: int
    elapsed_us: int
    worst_lag_us: int
    datagrams_in: int
    bytes_in: int
    receive_calls: int
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
    bot_drops: int
    failed: int
