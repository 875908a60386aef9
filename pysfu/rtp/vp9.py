"""VP9 as RTP payloads (RFC 9628): read in flexible and non-flexible mode, written in the latter with one layer."""

from __future__ import annotations

import struct

from pysfu.errors import InvalidPayloadError
from pysfu.rtp.fragment import Fragment
from pysfu.rtp.packet import MAX_PAYLOAD

# The payload descriptor, RFC 9628 §4.2.
_I, _P, _L, _F, _B, _E, _V, _Z = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01
_M = 0x80  # the picture id has 15 bits
_SID = 0x0E
_N = 0x01  # one more reference index follows
_MAX_REFERENCES = 3
_Y, _G = 0x10, 0x08  # the scalability structure, §4.2.1
_ONE_LAYER_EACH_ON_THE_ONE_BEFORE = bytes([1, 0x04, 1])  # N_G; TID 0, U 0, R 1; P_DIFF
_MAX_DESCRIPTOR = 13


def depacketize(payload: bytes) -> Fragment:
    """Takes the payload descriptor off.

    Raises:
        InvalidPayloadError: it is cut off or says what it may not.
    """
    try:
        flags = payload[0]
        at = 1
        if flags & _I:
            at += 2 if payload[at] & _M else 1
        spatial = 0
        if flags & _L:
            spatial = payload[at] & _SID
            at += 1 if flags & _F else 2  # TL0PICIDX
        if flags & _F and flags & _P:
            at = _end_of_references(payload, at)
        if flags & _V:
            at = _end_of_structure(payload, at)
        if at >= len(payload):
            raise IndexError
    except IndexError:
        raise InvalidPayloadError("the VP9 payload descriptor is cut off") from None
    begins = bool(flags & _B)
    lowest = begins and not spatial
    return Fragment(payload[at:], lowest, lowest and not flags & _P, lowest, begins and not lowest)


def _end_of_references(payload: bytes, at: int) -> int:
    for index in range(at, at + _MAX_REFERENCES):
        if not payload[index] & _N:
            return index + 1
    raise InvalidPayloadError("a VP9 picture has more than three references")


def _end_of_structure(payload: bytes, at: int) -> int:
    head = payload[at]
    at += 1
    if head & _Y:
        at += 4 * ((head >> 5) + 1)
    if head & _G:
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + (payload[at] >> 2 & 0x03)
    return at


class Packetizer:
    """Makes payloads, and numbers the pictures of one stream."""

    def __init__(self, picture_id: int = 0) -> None:
        self._picture_id = picture_id
        self._tl0_picture_index = 0

    def packetize(self, frame: bytes, *, keyframe: bool, width: int, height: int) -> list[bytes]:
        """Makes the payloads of the next picture."""
        self._picture_id = (self._picture_id + 1) & 0x7FFF
        self._tl0_picture_index = (self._tl0_picture_index + 1) & 0xFF
        numbers = struct.pack("!HBB", _M << 8 | self._picture_id, 0, self._tl0_picture_index)
        flags = _I | _L | (0 if keyframe else _P)
        structure = struct.pack("!BHH", _Y | _G, width, height) + _ONE_LAYER_EACH_ON_THE_ONE_BEFORE
        step = MAX_PAYLOAD - _MAX_DESCRIPTOR
        payloads = []
        for at in range(0, len(frame), step):
            first, last = at == 0, at + step >= len(frame)
            tells = first and keyframe
            byte = flags | (_B if first else 0) | (_E if last else 0) | (_V if tells else 0)
            payloads.append(bytes([byte]) + numbers + (structure if tells else b"") + frame[at : at + step])
        return payloads
