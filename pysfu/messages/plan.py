"""How to offer and to answer (`sdp/plan.rs`)."""

from __future__ import annotations

import msgspec

from pysfu.messages.base import Codec, MediaKind, Message, Record
from pysfu.messages.session import LocalTransport, NegotiatedSession


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
    stop_inactive: bool = False
    opus: OpusPolicy = OpusPolicy()


class SendPlan(Record, frozen=True, kw_only=True):
    """A track that the remote is to receive."""

    kind: MediaKind
    publisher: int
    stream: str
    track: str
    mid: str | None = None


class AnswerPlan(Record, frozen=True, kw_only=True):
    """How to answer."""

    local: LocalTransport
    policy: MediaPolicy
    send: list[SendPlan] = msgspec.field(default_factory=list)
    data: bool = False
    previous: NegotiatedSession | None = None


class SentTrack(Record, frozen=True, kw_only=True):
    """What the other end sends in one section.

    Attributes:
        mid: the section.
        kind: sound or pictures.
        name: what the other end calls it: the second part of the msid (RFC 8830).
        codec: how it is encoded, as long as the other end keeps to the first codec of the answer.
    """

    mid: str
    kind: MediaKind
    name: str | None = None
    codec: Codec | None = None


class Answered(Record, frozen=True, kw_only=True):
    """An answer."""

    sdp: str
    session: NegotiatedSession
    placed: list[str | None]
    sent: list[SentTrack] = msgspec.field(default_factory=list)


class Media(Message, frozen=True, kw_only=True):
    """A media section of an offer; `generation`: how many tracks it has carried before this one."""

    kind: MediaKind
    send: SendPlan | None = None
    receive: bool = False
    generation: int = 0


class Data(Message, frozen=True, kw_only=True):
    """The data section of an offer."""


class OfferPlan(Record, frozen=True, kw_only=True):
    """How to offer."""

    local: LocalTransport
    policy: MediaPolicy
    sections: list[Media | Data]
    version: int = 0
