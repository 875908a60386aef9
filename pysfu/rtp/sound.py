"""Makes a row of Opus packets of RTP packets in order. What was lost and came along again (RFC 2198) is put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pysfu.errors import InvalidPayloadError
from pysfu.rtp import red
from pysfu.rtp.packet import Clock

if TYPE_CHECKING:
    from pysfu.rtp.packet import Packet


@dataclass(frozen=True, slots=True)
class Sound:
    """One Opus packet.

    Attributes:
        ticks: when, in ticks of 48 kHz after the first.
        data: for the decoder.
    """

    ticks: int
    data: bytes


class SoundAssembler:
    """The sounds of one stream."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._newest: int | None = None

    def push(self, packet: Packet, *, redundant: bool) -> list[Sound]:
        """Takes the next packet and returns what is new in it, oldest first."""
        if not packet.payload:
            return []
        try:
            blocks = red.depacketize(packet.payload) if redundant else [red.Block(0, packet.payload)]
        except InvalidPayloadError:
            return []
        now = self._clock.ticks(packet.timestamp)
        sounds = [Sound(now - block.age, block.data) for block in blocks if block.data and self._is_new(block, now)]
        self._newest = now
        return sounds

    def discard(self) -> None:
        """What is older than the next packet is not put back: it was said while there was no right to it."""
        self._newest = None

    def _is_new(self, block: red.Block, now: int) -> bool:
        """What the packet is about always is: it comes once, in its turn."""
        return block.age == 0 or (self._newest is not None and now - block.age > self._newest)
