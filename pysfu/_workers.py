"""The workers that rooms are made on: which of them take any, and how many each has."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from pysfu import messages
from pysfu.errors import LateError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import timedelta

    from pysfu._bridge import Bridge

T = TypeVar("T")


class Workers:
    """The workers.

    Args:
        bridge: what they are reached by.
        rooms: what each has, by worker and number.

    Attributes:
        failed: those that have failed.
        late: those that have not answered in time, and not since.
    """

    def __init__(self, bridge: Bridge, rooms: Iterable[tuple[int, int]]) -> None:
        self.failed: set[int] = set()
        self.late: set[int] = set()
        self._bridge = bridge
        self._rooms = rooms
        self._placing: Counter[int] = Counter()

    def usable(self, avoid: Collection[int] = ()) -> list[int]:
        """Returns those that rooms can be made on, that with the fewest of those that answer in time first."""
        placed = Counter(worker for worker, _ in self._rooms) + self._placing
        usable = {*range(self._bridge.workers)} - self.failed - {*avoid}
        return sorted(usable, key=lambda worker: (worker in self.late, placed[worker], worker))

    async def make_room(
        self, worker: int, keep: Callable[[int], T], *, forget: Callable[[T], None], timeout: timedelta | None
    ) -> T:
        """Makes a room on a worker.

        Args:
            worker: which.
            keep: makes of its number what it is to be known as, before anything that the worker said after it is looked
                at, such as that it failed.
            forget: takes that back, for a caller who is cancelled.
            timeout: how long to wait for the worker.

        Raises:
            UnavailableError: it takes no commands now, or was late (`LateError`).
        """
        made: list[T] = []

        def on_reply(reply: messages.AnyReply | RefusedError) -> None:
            self.late.discard(worker)
            if isinstance(reply, messages.RoomReply) and waiting:
                made.append(keep(reply.room))

        self._placing[worker] += 1
        waiting = True
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout is not None else None):
                await self._bridge.call(
                    worker,
                    messages.CreateRoom(),
                    messages.RoomReply,
                    undo=lambda reply: messages.RemoveRoom(room=reply.room),
                    on_reply=on_reply,
                )
        except BaseException as error:
            waiting = False
            for each in made:
                forget(each)
            if not isinstance(error, TimeoutError):
                raise
            self.late.add(worker)
            raise LateError("the worker has not answered in time; the next room is made by another one") from error
        finally:
            self._placing[worker] -= 1
        return made[0]
