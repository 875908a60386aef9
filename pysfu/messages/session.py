"""What was negotiated (`session.rs`)."""

from __future__ import annotations

from typing import Literal

import msgspec

from pysfu.messages.base import Codec, MediaKind, Record, TrackSource


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
    remb: bool = False


class RelayDescription(Record, frozen=True, kw_only=True):
    """What the far end of a relay must know of a track; handed from one worker to the other as it is."""

    source: TrackSource
    encrypted: bool
    extensions: list[int]
    media: ReceiveMedia


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
    candidates: list[str] = msgspec.field(default_factory=list)


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
    reduced_size: bool = False
    receive: list[ReceiveMedia]
    send: list[SendMedia]
    data: DataMedia | None = None
