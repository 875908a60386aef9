"""What the payload formats of video have in common: a payload is a fragment of a picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one payload adds to its picture.

    Attributes:
        data: bytes for the decoder.
        may_begin: whether a picture may begin here.
        keyframe: whether a decoder can begin here, if a picture does.
        surely_begins: whether one does, whatever came before.
        new_layer: whether the frame of a further spatial layer of the same picture begins here.
    """

    data: bytes
    may_begin: bool
    keyframe: bool
    surely_begins: bool = False
    new_layer: bool = False
