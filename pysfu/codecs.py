"""What bots take and send: payload types as the engine knows them, and the session that agrees on them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Literal

from pysfu import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pysfu.track import Track

VideoCodec = Literal["vp8", "vp9", "h264"]


def _video(number: int, codec: VideoCodec, form: str = "") -> messages.PayloadType:
    return messages.PayloadType(number=number, codec=codec, clock_rate_hz=90_000, format=form)


OPUS = messages.PayloadType(number=111, codec="opus", clock_rate_hz=48_000)
RED = messages.PayloadType(number=63, codec="red", clock_rate_hz=48_000)
_VP8 = _video(96, "vp8")
_VP9 = _video(98, "vp9", "0")
_H264 = _video(102, "h264", "1;42e0")  # packetization mode 1, constrained baseline
_SENT: Mapping[VideoCodec, messages.PayloadType] = {"vp8": _VP8, "vp9": _VP9, "h264": _H264}

# A decoder takes every profile, and in each packetization mode the same reader serves; the engine matches them singly.
_H264_FORMS = (
    ("1;4200", 104), ("1;4d00", 106), ("1;6400", 108), ("1;640c", 110),
    ("0;42e0", 112), ("0;4200", 114), ("0;4d00", 116), ("0;6400", 118), ("0;640c", 120),
)  # fmt: skip
_TAKEN_VIDEO = [
    _VP8,
    *(_video(number, "vp9", profile) for profile, number in (("0", 98), ("1", 97), ("2", 100), ("3", 99))),
    _H264,
    *(_video(number, "h264", form) for form, number in _H264_FORMS),
]
_TAKEN_AUDIO = [OPUS, RED]
_CODECS: Mapping[int, messages.Codec] = {
    payload_type.number: payload_type.codec for payload_type in [*_TAKEN_AUDIO, *_TAKEN_VIDEO]
}


def codec_of(payload_type: int) -> messages.Codec | None:
    """Returns what the payload type of a packet stands for, to bots."""
    return _CODECS.get(payload_type)


def session(
    *, publish_audio: bool, publish_video: VideoCodec | None, play: Sequence[Track]
) -> messages.NegotiatedSession:
    """Returns what a bot and the engine agree on; nobody is asked."""
    base = secrets.randbits(31) & ~0xFF
    published: list[tuple[messages.MediaKind, messages.PayloadType]] = []
    if publish_audio:
        published.append(("audio", OPUS))
    if publish_video is not None:
        published.append(("video", _SENT[publish_video]))
    receive = [
        messages.ReceiveMedia(
            mid=f"out{index}",
            kind=kind,
            payload_types=[payload_type],
            encodings=[messages.RemoteEncoding(ssrc=base + 0x80 + index)],
            pli=kind == "video",
        )
        for index, (kind, payload_type) in enumerate(published)
    ]
    send = [
        messages.SendMedia(
            mid=f"in{index}",
            kind=track.kind,
            payload_types=_TAKEN_AUDIO if track.kind == "audio" else _TAKEN_VIDEO,
            ssrc=base + 2 * index,
        )
        for index, track in enumerate(play)
    ]
    remote = messages.RemoteTransport(ufrag="bot", pwd="bot", fingerprints=[])
    return messages.NegotiatedSession(
        remote=remote, extensions=[0] * 10, feedback="none", reduced_size=True, receive=receive, send=send
    )
