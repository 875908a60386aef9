"""VP8 as RTP payloads (RFC 7741)."""

from __future__ import annotations

from pysfu.errors import InvalidPayloadError
from pysfu.rtp.fragment import Fragment
from pysfu.rtp.packet import MAX_PAYLOAD

# The payload descriptor, RFC 7741 §4.2.
_X, _S, _PARTITION = 0x80, 0x10, 0x07
_I, _L, _T, _K, _M = 0x80, 0x40, 0x20, 0x10, 0x80
_INTER_FRAME = 0x01  # the P bit of the payload header, §4.3
_DESCRIPTOR_LEN = 1


def depacketize(payload: bytes) -> Fragment:
    """Takes the payload descriptor off.

    Raises:
        InvalidPayloadError: it is cut off.
    """
    try:
        at = 1
        if payload[0] & _X:
            extended = payload[1]
            at = 2
            if extended & _I:
                at += 2 if payload[at] & _M else 1
            at += bool(extended & _L) + bool(extended & (_T | _K))
        begins = payload[0] & (_S | _PARTITION) == _S
        return Fragment(payload[at:], begins, begins and not payload[at] & _INTER_FRAME, begins)
    except IndexError:
        raise InvalidPayloadError("the VP8 payload descriptor is cut off") from None


def packetize(frame: bytes) -> list[bytes]:
    """Makes the payloads of a frame."""
    step = MAX_PAYLOAD - _DESCRIPTOR_LEN
    return [(b"\x00" if at else bytes([_S])) + frame[at : at + step] for at in range(0, len(frame), step)]
