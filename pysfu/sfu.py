"""The media engine as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _notes, messages, warning
from pysfu._bridge import Bridge
from pysfu._resume import end_all, resume_all
from pysfu._translate import Translator
from pysfu.config import Config
from pysfu.errors import LateError, RefusedError, UnavailableError
from pysfu.events import (
    MAX_WAITING_EVENTS,
    EngineLost,
    EngineNotStarted,
    EngineRestarted,
    EngineTakenOver,
    Event,
    EventQueue,
    Resynced,
    RoomFailed,
    RosterChanged,
    Warned,
    WorkerFailed,
)
from pysfu.process import opener
from pysfu.room import Room
from pysfu.stats import SfuStats, WorkerStats
from pysfu.transport import TransportState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator
    from types import TracebackType
    from typing import Self

    from pysfu.process import MediaProcess
    from pysfu.warning import EngineWarning

logger = logging.getLogger("pysfu")
# What embedders can also take as values; those who do may silence it.
events_logger = logging.getLogger("pysfu.events")

RESYNC_RETRY_S = 1.0  # After a fault that may last, and is logged each time.


@dataclass(slots=True)
class _Resync:
    """A worker of which events were lost."""

    version: int  # What a snapshot must have at least, to make up for all that was lost.
    asked: bool = False
    retry: asyncio.TimerHandle | None = None


class Sfu:
    """The media engine: `async with Sfu(Config(...)) as sfu: room = await sfu.create_room()`.

    Args:
        config: how it runs.
        process: where it runs, if not in this process. One that runs already goes on as it is: `rooms` then has what is
            in it, and `ended_rooms` the notes on rooms that have ended since anybody knew of them.
    """

    def __init__(self, config: Config | None = None, *, process: MediaProcess | None = None) -> None:
        self.config = config if config is not None else Config()
        self._bridge = Bridge(
            opener(self.config, process),
            on_message=self._on_message,
            on_drained=self._ask_for_snapshots,
            on_lost=self._on_lost,
            on_not_started=lambda reason, pause_s: self._emit(EngineNotStarted(reason, timedelta(seconds=pause_s))),
            on_reopened=self._on_reopened,
        )
        self._rooms: dict[tuple[int, int], Room] = {}
        self._translator = Translator(self._rooms, fail=self._fail)
        self.ended_rooms: tuple[bytes, ...] = ()
        self._queues: set[EventQueue] = set()
        self._placing: Counter[int] = Counter()
        self._late: set[int] = set()
        self._participants = 0
        self._failed: set[int] = set()
        self._resyncs: dict[int, _Resync] = {}
        self._versions: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self._bridge.__aenter__()
        if self._bridge.is_resumed:
            await self._resume()
        for warned in self.warnings:
            events_logger.warning("%s", warned)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in tuple(self._resyncs):
            self._forget_resync(worker)
        known = len(self.left_behind)
        await self._bridge.__aexit__(kind, error, trace)
        for worker in self.left_behind[known:]:
            events_logger.error("worker %d hangs: it was left behind, at the latest it ends with the process", worker)
        for room in tuple(self._rooms.values()):
            room.end()
        for queue in self._queues:
            queue.close()

    @property
    def rooms(self) -> tuple[Room, ...]:
        """All rooms."""
        return tuple(self._rooms.values())

    @property
    def warnings(self) -> tuple[EngineWarning, ...]:
        """What the system did not grant at the start; later ones come as `Warned`."""
        return tuple(warning.of(message) for message in self._bridge.warnings)

    @property
    def left_behind(self) -> tuple[int, ...]:
        """The workers that hung when this was closed: their threads may live as long as the process."""
        return self._bridge.left_behind

    @property
    def addresses(self) -> list[list[str]]:
        """What remotes are told, as `host:port`, worker by worker."""
        return self._bridge.addresses

    @property
    def prefix(self) -> str:
        """What tells the ids of this engine from those of one before it."""
        return f"{self._bridge.instance:x}-" if self._bridge.instance else ""

    def detach(self) -> None:
        """Has the media process, and all calls in it, go on when this is closed."""
        self._bridge.leaves_running = True

    async def create_room(
        self, *, note: bytes = b"", avoid: Collection[int] = (), timeout: timedelta | None = None
    ) -> Room:
        """Makes an empty room, on the worker that has the fewest of those that answer in time.

        Args:
            note: what is to be known about it by whoever controls the engine after this process; nothing personal.
            avoid: workers that get none, such as those whose `counters` show that they hang: they would never answer.
            timeout: how long to wait for the worker.

        Raises:
            UnavailableError: there is no other worker, or it takes no commands now, or was late (`LateError`).
        """
        usable = sorted({*range(self._bridge.workers)} - self._failed - {*avoid})
        if not usable:
            raise UnavailableError("no worker is left that takes rooms")
        placed = Counter(room.worker for room in self._rooms.values()) + self._placing
        worker = min(usable, key=lambda worker: (worker in self._late, placed[worker]))
        made: list[Room] = []
        _notes.checked(note)

        def on_reply(reply: messages.AnyReply | RefusedError) -> None:
            # Before anything that the worker said after it is looked at, such as that it failed.
            self._late.discard(worker)
            if isinstance(reply, messages.RoomReply) and waiting:
                made.append(Room(self, self._bridge, worker=worker, number=reply.room))
                self._rooms[worker, reply.room] = made[0]
                made[0].keep(note)

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
            for room in made:
                room.end()
            if not isinstance(error, TimeoutError):
                raise
            self._late.add(worker)
            raise LateError("the worker has not answered in time; the next room is made by another one") from error
        finally:
            self._placing[worker] -= 1
        return made[0]

    async def events(self, *, capacity: int = MAX_WAITING_EVENTS) -> AsyncIterator[Event]:
        """Yields what happens from here on, until the Sfu is closed.

        Args:
            capacity: how many may wait; a reader that is slower gets one `Resynced` for all that were lost.
        """
        with self.subscription(capacity=capacity) as queue:
            async for event in queue:
                yield event

    @contextlib.contextmanager
    def subscription(self, *, capacity: int = MAX_WAITING_EVENTS) -> Iterator[EventQueue]:
        """Collects events from here on, also while nobody iterates yet."""
        queue = EventQueue(capacity=capacity)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
            queue.close()

    def counters(self) -> list[messages.Counters]:
        """Returns what each worker counts at its rim, at once: also those of one that hangs or has failed."""
        return self._bridge.counters()

    async def stats(self, *, timeout: timedelta | None = None) -> SfuStats:
        """Returns the figures of all workers.

        Args:
            timeout: how long to wait for a worker; one that has not answered by then has no figures but its rim's.
        """
        rims = self.counters()
        engines = await asyncio.gather(*(self._engine_figures(worker, timeout) for worker in range(len(rims))))
        pairs = zip(engines, rims, strict=True)
        return SfuStats(workers=tuple(WorkerStats(engine=engine, rim=rim) for engine, rim in pairs))

    async def _engine_figures(self, worker: int, timeout: timedelta | None) -> messages.EngineFigures | None:
        if worker in self._failed:
            return None
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout is not None else None):
                return (await self._bridge.call(worker, messages.Stats(), messages.StatsReply)).stats
        except (UnavailableError, TimeoutError):
            return None

    # --- for this package ---

    def next_participant(self) -> int:
        """Returns a number that no participant has had."""
        self._participants += 1
        return self._participants

    def resume_participants(self, number: int) -> None:
        """Notes that a number has been given to a participant before."""
        self._participants = max(self._participants, number)

    def forget(self, room: Room) -> None:
        """Forgets a room that ends."""
        self._rooms.pop((room.worker, room.number), None)

    def _emit(self, event: Event) -> None:
        for queue in self._queues:
            queue.put(event)

    def _on_message(self, worker: int, message: messages.Event | messages.WorkerFailed | messages.Warned) -> None:
        if isinstance(message, messages.Warned):
            warned = warning.of(message.warning, worker=worker)
            events_logger.warning("worker %d: %s", worker, warned)
            self._emit(Warned(warned))
            return
        if isinstance(message, messages.WorkerFailed):
            events_logger.error("worker %d failed: %s", worker, message.reason)
            self._failed.add(worker)
            self._forget_resync(worker)
            self._emit(WorkerFailed(worker))
            for room in [room for room in self._rooms.values() if room.worker == worker]:
                self._fail(room)
            return
        if isinstance(message.event, messages.Resync):
            resync = self._resyncs.setdefault(worker, _Resync(message.event.version))
            resync.version = max(resync.version, message.event.version)
            self._ask_for_snapshot(worker, resync)
            return
        if isinstance(message.event, messages.Roster) and message.version <= self._versions.get(worker, 0):
            return  # The snapshot, which overtook it, says the same or something newer.
        event = self._translator.translate(worker, message.event)
        if event is not None:
            self._emit(event)

    def _fail(self, room: Room) -> None:
        room.failed = True
        room.end()
        self._emit(RoomFailed(room))
        # Empty as it is, it would keep its place in the engine until somebody closes it.
        self._bridge.fire_and_forget(room.worker, messages.RemoveRoom(room=room.number))

    # --- an engine in a process of its own ---

    async def _resume(self) -> None:
        """Takes up what goes on in an engine that somebody else controlled before."""
        found = await resume_all(self, self._bridge)
        self._rooms.update({(room.worker, room.number): room for room in found.rooms})
        self._versions.update(found.versions)
        self._failed |= found.silent
        self.ended_rooms = tuple(found.ended)

    def _on_lost(self, reason: str, *, pause_s: float | None) -> None:
        """Ends what was in an engine that is there no more, or is somebody else's."""
        self._failed.update(range(self._bridge.workers))
        for worker in tuple(self._resyncs):
            self._forget_resync(worker)
        for room in tuple(self._rooms.values()):
            room.failed = True
            room.end()
        self._emit(EngineTakenOver() if pause_s is None else EngineLost(reason, timedelta(seconds=pause_s)))

    def _on_reopened(self) -> None:
        self._failed.clear()
        self._late.clear()
        self._versions.clear()
        if self._bridge.is_resumed:
            # It has not ended after all; nobody knows any more what is in it.
            for worker in range(self._bridge.workers):
                self._bridge.ask(worker, messages.Snapshot(), on_reply=partial(end_all, self._bridge, worker))
        self._emit(EngineRestarted(self._bridge.core.predecessor))

    # --- after a loss of events ---

    def _ask_for_snapshots(self) -> None:
        for worker, resync in self._resyncs.items():
            self._ask_for_snapshot(worker, resync)

    def _ask_for_snapshot(self, worker: int, resync: _Resync) -> None:
        """Asks for a snapshot, unless one is under way; tried again once answers were read where none is taken now."""
        if resync.asked:
            return
        with contextlib.suppress(UnavailableError):
            future = self._bridge.ask(worker, messages.Snapshot(), on_reply=partial(self._on_snapshot, worker))
            resync.asked = True
            future.add_done_callback(partial(self._on_snapshot_answered, worker))

    def _on_snapshot(self, worker: int, reply: messages.AnyReply | RefusedError) -> None:
        """Brings what we know up to date, before anything that the worker said after the snapshot."""
        resync = self._resyncs.get(worker)
        if resync is None or not isinstance(reply, messages.SnapshotReply):
            return
        try:
            self._apply(worker, reply.snapshot)
        except BaseException:
            self._retry_later(worker, resync)
            raise
        resync.asked = False
        self._versions[worker] = reply.snapshot.version
        if reply.snapshot.version < resync.version:
            self._ask_for_snapshot(worker, resync)  # More was lost while it was under way.
            return
        self._forget_resync(worker)
        self._emit(Resynced())
        # Whoever keeps a roster has missed changes of it, and no later event repeats them.
        for room in self._rooms.values():
            if room.worker == worker:
                self._emit(RosterChanged(room, room.listeners))

    def _on_snapshot_answered(self, worker: int, future: asyncio.Future[messages.AnyReply]) -> None:
        """Tries again a while after a refusal."""
        error, resync = future.exception(), self._resyncs.get(worker)
        if error is None or resync is None:
            return
        logger.warning("no snapshot from worker %d: %s", worker, error)
        self._retry_later(worker, resync)

    def _retry_later(self, worker: int, resync: _Resync) -> None:
        loop = asyncio.get_running_loop()
        resync.retry = loop.call_later(RESYNC_RETRY_S, self._retry_snapshot, worker, resync)

    def _retry_snapshot(self, worker: int, resync: _Resync) -> None:
        resync.asked = False
        self._ask_for_snapshot(worker, resync)

    def _forget_resync(self, worker: int) -> None:
        resync = self._resyncs.pop(worker, None)
        if resync is not None and resync.retry is not None:
            resync.retry.cancel()

    def _apply(self, worker: int, state: messages.State) -> None:
        rooms = set(state.rooms)
        peers = {peer.peer: peer for peer in state.peers}
        listeners = {roster.room: roster.listeners for roster in state.rosters}
        for room in [room for room in self._rooms.values() if room.worker == worker]:
            if room.number not in rooms:
                self._fail(room)
                continue
            room.listeners = tuple(map(room.name_of, listeners.get(room.number, ())))
            for number, transport in tuple(room.transports.items()):
                peer = peers.get(number)
                if peer is None:
                    transport.set_state(TransportState.FAILED)
                elif peer.state != "connecting":
                    transport.set_state(TransportState(peer.state))
