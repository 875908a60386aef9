"""Where rooms have their media: a half in the engine, and another one when a fault has ended that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from datetime import timedelta

import structlog

from signalling import clocks
from signalling.connections import OpenRoom
from signalling.endings import Endings
from signalling.faults import NotFoundError, QuarantinedError
from signalling.media import EngineUnavailableError, MediaEngine, MediaError, MediaRoom

log = structlog.get_logger(__name__)

AT_ONCE = 32  # All rooms at the same time would fill a worker's queue of commands, and each would wait for all.
RETRY_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # An engine that was started anew takes rooms within 0.3 s.


class Homes:
    """Gives rooms their half in the engine."""

    def __init__(
        self,
        engine: MediaEngine,
        endings: Endings,
        *,
        hanging: Callable[[], Collection[int]],
        steady: Callable[[], timedelta] = clocks.steady,
    ) -> None:
        self._engine = engine
        self._endings = endings
        self._hanging = hanging
        self._steady = steady
        self._failed: set[int] = set()
        self._starts = 0
        self._runs = asyncio.Event()
        self._runs.set()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()
        self.on_move: Callable[[str], object] = lambda _: None

    async def make(self) -> MediaRoom:
        """Makes a room's half in the engine, on a worker that goes round.

        Raises:
            MediaError: this was not possible.
        """
        if not self._runs.is_set():
            raise EngineUnavailableError("the media process is being started anew")
        starts = self._starts
        media = await self._engine.create_room(avoid=self.to_avoid())
        if starts != self._starts or media.worker in self._failed:
            raise EngineUnavailableError("what was made has ended already")
        return media

    def to_avoid(self) -> set[int]:
        """Returns the workers that nothing is to be made on: it would wait for them in vain."""
        return {*self._hanging(), *self._failed}

    async def of(self, opened: OpenRoom) -> MediaRoom:
        """Returns where the room has its media, once it has any.

        Raises:
            QuarantinedError: it takes nobody in for a while.
            NotFoundError: it ends.
        """
        while True:
            if opened.ending is not None:
                raise NotFoundError("room")
            if left := self.rest_of(opened):
                raise QuarantinedError(left)
            if (media := opened.media) is not None:
                return media
            await asyncio.shield(self._begin(opened))

    def lose(self, opened: OpenRoom, *, counts: bool) -> None:
        """Takes note that the room's half in the engine has ended, and begins to make another.

        A room that rests has an empty one: the note for the next server is on it. Where even that fails it has none.

        Args:
            opened: the room.
            counts: whether this is held against the room.
        """
        if opened.media is not None:
            opened.lost.append(opened.media)
        opened.media = None
        if opened.ending is not None:
            return
        failed_at_rest = counts and bool(self.rest_of(opened))
        if counts:
            opened.standing = opened.standing.failed(self._steady())
            if left := self.rest_of(opened):
                failures, seconds = opened.standing.failures, round(left.total_seconds())
                log.error("room quarantined", room=opened.room.room, count=failures, seconds=seconds)
        if not failed_at_rest:
            self._begin(opened)

    def rest_of(self, opened: OpenRoom) -> timedelta:
        """Returns how long the room still takes nobody in."""
        return opened.standing.left(self._steady())

    def on_worker_failed(self, worker: int) -> None:
        """Makes no room on that worker any more."""
        self._failed.add(worker)

    def on_loss(self) -> None:
        """Makes no room until the engine runs again."""
        self._starts += 1
        self._runs.clear()

    def on_restart(self) -> None:
        """Forgets what was wrong with the engine before."""
        self._starts += 1
        self._failed.clear()
        self._runs.set()

    def stop(self) -> None:
        """Makes none any more: the server stops."""
        for task in tuple(self._under_way):
            task.cancel()

    def _begin(self, opened: OpenRoom) -> asyncio.Task[None]:
        if opened.moving is None or opened.moving.done():
            opened.moving = asyncio.create_task(self._move(opened), name="moving")
            self._under_way.add(opened.moving)
            opened.moving.add_done_callback(self._on_done)
        return opened.moving

    def _forget_lost(self, opened: OpenRoom) -> None:
        """Gives back what is left of the room's halves before this one: the notes on them."""
        for lost in opened.lost:
            self._endings.begin(lost.close)
        opened.lost = []

    def _on_done(self, moving: asyncio.Task[None]) -> None:
        self._under_way.discard(moving)
        if not moving.cancelled() and (error := moving.exception()) is not None:
            log.error("room gets no media until somebody joins", component="media", exc_info=error)

    async def _move(self, opened: OpenRoom) -> None:
        """Tries until the room has media again; one that is deleted meanwhile needs none."""
        began = self._steady()
        for tries in itertools.count():
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            await self._runs.wait()
            if opened.ending is not None:
                return
            try:
                async with self._turn:
                    media = await self.make()
            except MediaError as error:
                self.on_move("retried")
                if tries == 0:  # of thousands, each is tried again every two seconds
                    log.warning(
                        "room gets no media yet: tried again", room=opened.room.room, error=type(error).__name__
                    )
                continue
            if opened.ending is not None:
                self._endings.begin(media.close)
                return
            opened.media = media
            opened.leave_note()
            self.on_move("ok")
            self._forget_lost(opened)
            took_ms = round((self._steady() - began).total_seconds() * 1000, 1)
            if not self.rest_of(opened):
                log.info("room has media again", room=opened.room.room, count=tries + 1, duration_ms=took_ms)
            return
