"""What waits to be told to one receiver: in order within each room, the rooms in turn, and no more than so much."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from signalling.domain.ids import RoomId

T = TypeVar("T")

MAX_WAITING = 10_000
"""Most that waits for one receiver: a minute of a busy server, at some kilobytes each."""

MAX_WAITING_OF_ROOM = 500
"""Most of it that is of one room: what eight people do who all come in again and again for some minutes."""


class Outbox(Generic[T]):
    """Holds what waits. Of each room one thing at a time is taken, so that nothing overtakes what came before it."""

    def __init__(self, *, most: int = MAX_WAITING, most_of_room: int = MAX_WAITING_OF_ROOM) -> None:
        self._most = most
        self._most_of_room = most_of_room
        self._waiting: dict[RoomId, deque[T]] = {}  # the room whose turn is next first
        self._taken: set[RoomId] = set()
        self.count = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing is taken that is not done."""
        return not self._waiting and not self._taken

    def put(self, room: RoomId, thing: T) -> bool:
        """Adds the latest of a room; says whether something older was dropped for it.

        What was true last is worth more than what was true before. What is taken already is never dropped.
        """
        waits = self._waiting.get(room)
        is_full = self.count >= self._most or (waits is not None and len(waits) >= self._most_of_room)
        if is_full:
            self._pop(room if waits is not None else next(iter(self._waiting)))
        self._waiting.setdefault(room, deque()).append(thing)
        self.count += 1
        return is_full

    def take(self) -> tuple[RoomId, T] | None:
        """Takes the next thing, whose room then waits until it is `done`; None when no room has its turn."""
        room = next((room for room in self._waiting if room not in self._taken), None)
        if room is None:
            return None
        thing = self._pop(room)
        if (left := self._waiting.pop(room, None)) is not None:
            self._waiting[room] = left  # behind all others
        self._taken.add(room)
        return room, thing

    def done(self, room: RoomId) -> None:
        """Lets a room have its turn again."""
        self._taken.discard(room)

    def _pop(self, room: RoomId) -> T:
        waits = self._waiting[room]
        thing = waits.popleft()
        if not waits:
            del self._waiting[room]
        self.count -= 1
        return thing
