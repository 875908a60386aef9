"""What waits to be told to one receiver: in order within each room, the rooms in turn, and no more than so much."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from signalling.domain.ids import RoomId

T = TypeVar("T")

MAX_WAITING = 10_000
"""Most that waits for one receiver: a minute of a busy server, at some kilobytes each."""

MAX_WAITING_OF_ROOM = 500
"""Most of it that is of one room: what eight people do who all come in again and again for some minutes."""

MAX_WAITING_BYTES = 16 << 20
"""Most bytes that wait for one receiver: five times what the most events have that say little more than ids."""

MAX_WAITING_BYTES_OF_ROOM = 2 << 20
"""Most bytes that wait of one room: the largest number of its events, at four kilobytes each."""


@dataclass(slots=True)
class _Waits(Generic[T]):
    """What waits of one room, with the bytes of each thing."""

    things: deque[tuple[T, int]] = field(default_factory=deque)
    bytes: int = 0


class Outbox(Generic[T]):
    """Holds what waits. Of each room one thing at a time is taken, so that nothing overtakes what came before it.

    Attributes:
        count: how many things wait.
        bytes: how long they are together.
    """

    def __init__(
        self,
        *,
        most: int = MAX_WAITING,
        most_of_room: int = MAX_WAITING_OF_ROOM,
        most_bytes: int = MAX_WAITING_BYTES,
        most_bytes_of_room: int = MAX_WAITING_BYTES_OF_ROOM,
    ) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._most_of_room, self._most_bytes_of_room = most_of_room, most_bytes_of_room
        self._waiting: dict[RoomId, _Waits[T]] = {}  # the room whose turn is next first
        self._taken: set[RoomId] = set()
        self.count = self.bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is taken that is not done."""
        return not self._waiting and not self._taken

    def put(self, room: RoomId, thing: T, *, size: int) -> int:
        """Adds the latest of a room, of so many bytes; returns how many older ones were dropped for it.

        What was true last is worth more than what was true before. What is taken already is never dropped.
        """
        waits, dropped = self._waiting.setdefault(room, _Waits()), 0
        while (crowded := self._crowded(room, waits, size)) is not None:
            self._pop(crowded)
            dropped += 1
            if crowded != room:
                self._forget_if_empty(crowded)
        waits.things.append((thing, size))
        waits.bytes += size
        self.bytes += size
        self.count += 1
        return dropped

    def take(self) -> tuple[RoomId, T] | None:
        """Takes the next thing, whose room then waits until it is `done`; None when no room has its turn."""
        room = next((room for room in self._waiting if room not in self._taken), None)
        if room is None:
            return None
        thing = self._pop(room)
        self._waiting[room] = self._waiting.pop(room)  # behind all others
        self._forget_if_empty(room)
        self._taken.add(room)
        return room, thing

    def done(self, room: RoomId) -> None:
        """Lets a room have its turn again."""
        self._taken.discard(room)

    def _crowded(self, room: RoomId, waits: _Waits[T], size: int) -> RoomId | None:
        """Names the room whose oldest has to go before so much more of this one fits; None where nothing has to."""
        is_full = self.count >= self._most or self.bytes + size > self._most_bytes
        is_room_full = len(waits.things) >= self._most_of_room or waits.bytes + size > self._most_bytes_of_room
        if waits.things:
            return room if is_full or is_room_full else None
        return next((other for other, theirs in self._waiting.items() if theirs.things), None) if is_full else None

    def _pop(self, room: RoomId) -> T:
        waits = self._waiting[room]
        thing, size = waits.things.popleft()
        waits.bytes -= size
        self.bytes -= size
        self.count -= 1
        return thing

    def _forget_if_empty(self, room: RoomId) -> None:
        if not self._waiting[room].things:
            del self._waiting[room]
