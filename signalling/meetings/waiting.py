"""Messages that wait, first come first gone: of too much the first is lost."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """What waits, each with the bytes that it takes.

    Args:
        most: how many may wait.
        most_bytes: how long they may be together; one may wait however long it is.
    """

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._things: deque[tuple[T, int]] = deque()
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether all was taken."""
        return not self._things

    def put(self, thing: T, *, size: int) -> int:
        """Adds what has so many bytes, and returns how many were lost for it."""
        self._things.append((thing, size))
        self._bytes += size
        lost = 0
        while len(self._things) > self._most or (self._bytes > self._most_bytes and len(self._things) > 1):
            self.take()
            lost += 1
        return lost

    def take(self) -> T:
        """Takes the first."""
        thing, size = self._things.popleft()
        self._bytes -= size
        return thing
