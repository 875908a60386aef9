"""One RTP packet (RFC 3550 §5.1), and what an RTCP datagram asks for (RFC 4585 §6.3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PAYLOAD = 1_100  # with headers and encryption below any usual MTU
_PAYLOAD_SPECIFIC_FEEDBACK = 206
_PICTURE_LOSS_INDICATION = 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One clear RTP packet."""

    sequence_number: int
    timestamp: int
    marker: bool
    payload_type: int
    ssrc: int
    payload: bytes


def parse(data: bytes) -> Packet | None:
    """Reads an RTP packet; None when it is none."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    flags, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    at = 12 + 4 * (flags & 0x0F)
    if flags & 0x10:
        if len(data) < at + 4:
            return None
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    end = len(data) - (data[-1] if flags & 0x20 else 0)
    if at > end:
        return None
    return Packet(sequence, timestamp, bool(second & 0x80), second & 0x7F, ssrc, data[at:end])


def write(packet: Packet) -> bytes:
    """Writes an RTP packet."""
    second = (0x80 if packet.marker else 0) | packet.payload_type
    header = struct.pack("!BBHII", 0x80, second, packet.sequence_number, packet.timestamp, packet.ssrc)
    return header + packet.payload


def is_rtcp(data: bytes) -> bool:
    """Tells RTCP from RTP (RFC 5761 §4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


def keyframes_asked_for(data: bytes) -> Iterator[int]:
    """Yields the SSRCs of which an RTCP datagram asks for a keyframe (PLI)."""
    while len(data) >= 12 and data[0] >> 6 == 2:
        if (data[0] & 0x1F, data[1]) == (_PICTURE_LOSS_INDICATION, _PAYLOAD_SPECIFIC_FEEDBACK):
            yield int.from_bytes(data[8:12], "big")
        data = data[4 + 4 * int.from_bytes(data[2:4], "big") :]


class Clock:
    """Counts on where the 32 bits of timestamps wrap around; 0 is the first one."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._ticks = 0

    def ticks(self, timestamp: int) -> int:
        """Returns how many ticks after the first timestamp this one is."""
        if self._last is not None:
            step = (timestamp - self._last) & 0xFFFFFFFF
            self._ticks += step - (1 << 32 if step >= 1 << 31 else 0)
        self._last = timestamp
        return self._ticks
