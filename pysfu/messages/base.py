"""What all messages are made of: plain values, and values told apart by their `type`."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

MediaKind = Literal["audio", "video"]
Codec = Literal["opus", "red", "vp8", "vp9", "h264", "av1"]
TrackSource = Literal["microphone", "camera", "screen", "screen_audio"]
DtlsVersion = Literal["1.2", "1.3"]
FailReason = Literal["ice", "dtls", "fingerprint", "room"]
StallCause = Literal["nothing_arrives", "paused", "not_forwarded"]

MEDIA_KINDS: frozenset[MediaKind] = frozenset(get_args(MediaKind))


def snake(name: str) -> str:
    """Returns the tag of a class: its name in words."""
    return "".join(("_" if at and c.isupper() else "") + c.lower() for at, c in enumerate(name))


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A plain value."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=snake):
    """One of several, told apart by `type`."""
