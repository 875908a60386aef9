"""Makes whole pictures of packets in order. One with a hole is dropped, as is all after it until the next keyframe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pysfu.errors import InvalidPayloadError
from pysfu.rtp.packet import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pysfu.rtp.fragment import Fragment
    from pysfu.rtp.packet import Packet
    from pysfu.rtp.window import Arrival

MAX_PICTURE = 1_000_000  # bytes: what waits for a bot at most (`MAX_BOT_BYTES` of the engine)
MAX_LAYERS = 8  # as many as VP9 can number


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture.

    Attributes:
        ticks: when, in ticks of the stream's clock after its first packet.
        frames: one for each spatial layer, lowest first.
    """

    ticks: int
    frames: tuple[bytes, ...]


class PictureAssembler:
    """The pictures of one stream of one codec.

    Attributes:
        waiting: whether nothing can be decoded before the next keyframe.
    """

    def __init__(self, depacketize: Callable[[bytes], Fragment]) -> None:
        self.waiting = True
        self._depacketize = depacketize
        self._clock = Clock()
        self._timestamp = 0
        self._last: Packet | None = None  # just before the next one; None after a loss
        self._frames: list[bytearray] = []

    def push(self, arrival: Arrival) -> list[Picture]:
        """Takes the next packet and returns the pictures that it completes."""
        packet = arrival.packet
        if arrival.after_loss:
            self.damage()
            self._last = None
        last, self._last = self._last, packet
        if not packet.payload:
            return []  # padding
        # A picture ends with a marker; of senders that set none, where the next one begins.
        ended = bool(self._frames) and packet.timestamp != self._timestamp
        pictures = self._finish() if ended else []
        self._timestamp = packet.timestamp
        try:
            starts = last is not None and (last.marker or last.timestamp != packet.timestamp)
            self._add(self._depacketize(packet.payload), starts=starts)
        except InvalidPayloadError:
            self.damage()
        return pictures + self._finish() if packet.marker else pictures

    def damage(self) -> None:
        """Something is missing: nothing can be decoded before the next keyframe."""
        self.waiting = True
        self._frames.clear()

    def _add(self, fragment: Fragment, *, starts: bool) -> None:
        if not self._frames:
            if self.waiting and not (fragment.keyframe and (starts or fragment.surely_begins)):
                return
            if not fragment.may_begin:
                self.damage()
                return
        if fragment.new_layer or not self._frames:
            self._frames.append(bytearray())
        self._frames[-1] += fragment.data
        if len(self._frames) > MAX_LAYERS or sum(map(len, self._frames)) > MAX_PICTURE:
            self.damage()

    def _finish(self) -> list[Picture]:
        frames = tuple(map(bytes, self._frames))
        self._frames.clear()
        if not frames:
            return []
        self.waiting = False
        return [Picture(self._clock.ticks(self._timestamp), frames)]
