"""Puts packets back into order (RFC 3550 §5.1) and says where some are missing. Who is early waits, but not long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pysfu.rtp.packet import Packet

MAX_HELD = 512  # packets: a second of 4 Mbit/s
MAX_MISORDERED = 1_000  # further back than this is no late packet, but another numbering


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet in its turn, and whether some are missing just before it."""

    packet: Packet
    after_loss: bool


class ReorderWindow:
    """The packets of one stream. Times are seconds of one clock, whichever."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._next: int | None = None
        self._discarded = False
        self._held: dict[int, tuple[Packet, float]] = {}  # in the order in which they came

    @property
    def due_s(self) -> float | None:
        """When `expire` has something to do."""
        for _, since_s in self._held.values():
            return since_s + self._hold_s
        return None

    def push(self, packet: Packet, now_s: float) -> list[Arrival]:
        """Takes a packet and returns those whose turn it is."""
        number = packet.sequence_number
        if self._next is None and self._discarded:
            return [self._jump_to(packet)]
        if self._next is None:
            self._next = number
        behind = (self._next - number) & 0xFFFF
        if 0 < behind <= MAX_MISORDERED:
            return []  # a repeat, or too late
        if MAX_MISORDERED < behind <= 0x8000:
            return [*self._empty(), self._jump_to(packet)]
        self._held.setdefault(number, (packet, now_s))
        arrivals = self._in_turn()
        while len(self._held) > MAX_HELD:
            arrivals += self._skip()
        return arrivals

    def expire(self, now_s: float) -> list[Arrival]:
        """Returns the packets that have waited long enough for what is missing before them."""
        arrivals = []
        while (due_s := self.due_s) is not None and due_s <= now_s:
            arrivals += self._skip()
        return arrivals

    def discard(self) -> None:
        """Drops what is held. Whatever comes next is waited for no longer, and comes after a loss."""
        self._held.clear()
        self._next, self._discarded = None, True

    def _jump_to(self, packet: Packet) -> Arrival:
        self._next = (packet.sequence_number + 1) & 0xFFFF
        return Arrival(packet, after_loss=True)

    def _in_turn(self) -> list[Arrival]:
        arrivals = []
        while self._next is not None and (held := self._held.pop(self._next, None)) is not None:
            arrivals.append(Arrival(held[0], after_loss=False))
            self._next = (self._next + 1) & 0xFFFF
        return arrivals

    def _skip(self) -> list[Arrival]:
        """Gives up what is missing before the first that is held."""
        start = self._next or 0
        first = min(self._held, key=lambda number: (number - start) & 0xFFFF)
        packet, _ = self._held.pop(first)
        return [self._jump_to(packet), *self._in_turn()]

    def _empty(self) -> list[Arrival]:
        arrivals = []
        while self._held:
            arrivals += self._skip()
        return arrivals
