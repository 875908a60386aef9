"""The media engine as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pysfu import _notes, messages, warning
from pysfu._bridge import Bridge, Message
from pysfu._held import Held
from pysfu._index import Index
from pysfu._resume import end_all, resume_all
from pysfu._resync import Resyncs
from pysfu._stalls import note_stalls
from pysfu._translate import Translator
from pysfu._workers import Workers
from pysfu.config import Config
from pysfu.errors import UnavailableError
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

_IN_SNAPSHOTS = (messages.Roster, messages.TrackStalled, messages.SubscriptionStalled)
"""What a snapshot tells as well, as it is then."""

SPREAD_TIMEOUT = timedelta(seconds=2)
"""How long a worker may take that a room is to go on to; it answers within milliseconds, or hangs."""


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
            on_drained=self._on_drained,
            on_lost=self._on_lost,
            on_not_started=lambda reason, pause_s: self._emit(EngineNotStarted(reason, timedelta(seconds=pause_s))),
            on_reopened=self._on_reopened,
        )
        # By worker and number, so that a room on several workers is here several times.
        self._rooms: dict[tuple[int, int], Room] = {}
        self.index = Index()
        self._translator = Translator(self._rooms, self.index, fail=self._fail)
        self.ended_rooms: tuple[bytes, ...] = ()
        self._queues: set[EventQueue] = set()
        self._workers = Workers(self._bridge, self._rooms)
        self._participants = 0
        self._relays = 0
        self._resyncs = Resyncs(self._bridge, apply=self._apply, on_resynced=self._on_resynced)
        self._versions: dict[int, int] = {}
        self._held: Held | None = None  # while it is being found out what goes on

    async def __aenter__(self) -> Self:
        await self._bridge.__aenter__()
        if self._bridge.is_resumed:
            try:
                await self._resume()
            except BaseException as error:
                self.detach()  # whoever tries next finds all that goes on
                await self._bridge.__aexit__(type(error), error, error.__traceback__)
                raise
        for warned in self.warnings:
            events_logger.warning("%s", warned)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        known = len(self.left_behind)
        try:
            await self._bridge.__aexit__(kind, error, trace)
        finally:
            self._end(known)

    def _end(self, known: int) -> None:
        self._resyncs.clear()
        for worker in self.left_behind[known:]:
            events_logger.error("worker %d hangs: it was left behind, at the latest it ends with the process", worker)
        for room in self.rooms:
            room.end()
        for queue in self._queues:
            queue.close()

    @property
    def rooms(self) -> tuple[Room, ...]:
        """All rooms."""
        return tuple(dict.fromkeys(self._rooms.values()))

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
        """Has the media process, and all calls in it, go on when this is closed.

        What was asked for and takes rights away is done by then. Where workers have not said so within four seconds,
        that is logged, and whoever waits for it is told (`UnavailableError`).
        """
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
        _notes.checked(note)
        usable = self._workers.usable(avoid)
        if not usable:
            raise UnavailableError("no worker is left that takes rooms")
        worker = usable[0]

        def keep(number: int) -> Room:
            room = self._rooms[worker, number] = Room(self, self._bridge, worker=worker, number=number)
            room.keep(note)
            return room

        return await self._workers.make_room(worker, keep, forget=Room.end, timeout=timeout)

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
        return SfuStats(
            workers=tuple(WorkerStats(engine=engine, rim=rim) for engine, rim in pairs),
            further_rooms=len(self._rooms) - len(self.rooms),
            relays=sum(room.relays.count for room in self.rooms),
        )

    async def _engine_figures(self, worker: int, timeout: timedelta | None) -> messages.EngineFigures | None:
        if worker in self._workers.failed:
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

    def next_relay(self) -> int:
        """Returns a number that no relay has had."""
        self._relays += 1
        return self._relays

    def resume_relays(self, number: int) -> None:
        """Notes that a number has been given to a relay before."""
        self._relays = max(self._relays, number)

    def others(self, room: Room, avoid: Collection[int]) -> list[int]:
        """Returns the workers that a room may go on to, the least loaded first."""
        return self._workers.usable({*room.workers, *self._workers.late, *avoid})

    async def add_part(self, room: Room, worker: int) -> None:
        """Has a room go on to a worker.

        Raises:
            FullError: it has as many rooms as it may.
            UnavailableError: it takes no commands now, or was late (`LateError`).
        """

        def keep(number: int) -> None:
            if room.has_ended:
                self._bridge.fire_and_forget(worker, messages.RemoveRoom(room=number))
                return
            self._rooms[worker, number] = room
            room.begin_part(worker, number)

        # One that was made for a caller who is cancelled is there for the next one.
        await self._workers.make_room(worker, keep, forget=lambda _: None, timeout=SPREAD_TIMEOUT)

    def forget(self, room: Room) -> None:
        """Forgets a room that ends."""
        for part in room.parts.values():
            self._rooms.pop((part.worker, part.number), None)

    def _emit(self, event: Event) -> None:
        for queue in self._queues:
            queue.put(event)

    def _on_message(self, worker: int, message: Message) -> None:
        if self._held is not None:
            self._held.keep(worker, message)
            return
        if isinstance(message, messages.Warned):
            warned = warning.of(message.warning, worker=worker)
            events_logger.warning("worker %d: %s", worker, warned)
            self._emit(Warned(warned))
            return
        if isinstance(message, messages.WorkerFailed):
            events_logger.error("worker %d failed: %s", worker, message.reason)
            self._workers.failed.add(worker)
            self._resyncs.forget(worker)
            self._emit(WorkerFailed(worker))
            for room in self._rooms_on(worker):
                self._fail(room)
            return
        if isinstance(message.event, messages.Resync):
            self._resyncs.lost(worker, message.event.version)
            return
        if isinstance(message.event, _IN_SNAPSHOTS) and message.version <= self._versions.get(worker, 0):
            return  # The snapshot, which overtook it, says the same or something newer.
        event = self._translator.translate(worker, message.event)
        if event is not None:
            self._emit(event)

    def _fail(self, room: Room) -> None:
        room.failed = True
        # Whoever is told can make another room for what the note is about; until then, that would be forgotten.
        room.end(keeps_note=bool(self._queues))
        if not self._queues:
            self.ended_rooms = (*self.ended_rooms, room.note)
        self._emit(RoomFailed(room))
        # Empty as it is, it would keep its place in the engine until somebody closes it.
        for part in room.parts.values():
            self._bridge.fire_and_forget(part.worker, messages.RemoveRoom(room=part.number))

    def _rooms_on(self, worker: int) -> list[Room]:
        return [room for (at, _), room in self._rooms.items() if at == worker]

    # --- an engine in a process of its own ---

    async def _resume(self) -> None:
        """Takes up what goes on in an engine that somebody else controlled before."""
        held = self._held = Held()
        try:
            found = await resume_all(self, self._bridge)
            for room in found.rooms:
                self._rooms.update({(part.worker, part.number): room for part in room.parts.values()})
            self._versions.update(found.versions)
            self._workers.failed |= found.failed
            self._workers.late |= found.late
            self.ended_rooms = tuple(found.ended)
        finally:
            self._held = None
        for worker, message in held.since(self._versions):
            self._on_message(worker, message)

    def _on_lost(self, reason: str, *, pause_s: float | None) -> None:
        """Ends what was in an engine that is there no more, or is somebody else's."""
        self._workers.failed.update(range(self._bridge.workers))
        self._resyncs.clear()
        for room in self.rooms:
            room.failed = True
            room.end()
        self._emit(EngineTakenOver() if pause_s is None else EngineLost(reason, timedelta(seconds=pause_s)))

    def _on_reopened(self) -> None:
        self._workers.failed.clear()
        self._workers.late.clear()
        self._versions.clear()
        if self._bridge.is_resumed:
            # It has not ended after all; nobody knows any more what is in it.
            for worker in range(self._bridge.workers):
                self._bridge.ask(worker, messages.Snapshot(), on_reply=partial(end_all, self._bridge, worker))
        self._emit(EngineRestarted(self._bridge.core.predecessor))

    # --- after a loss of events ---

    def _on_drained(self) -> None:
        self._resyncs.ask_again()

    def _on_resynced(self, worker: int) -> None:
        self._emit(Resynced())
        # Whoever keeps a roster has missed changes of it, and no later event repeats them.
        for room in self._rooms_on(worker):
            self._emit(RosterChanged(room, room.listeners))

    def _apply(self, worker: int, state: messages.State) -> None:
        rooms = set(state.rooms)
        peers = {peer.peer: peer for peer in state.peers}
        listeners = {roster.room: roster.listeners for roster in state.rosters}
        for room in self._rooms_on(worker):
            part = room.parts[worker]
            if part.number not in rooms:
                self._fail(room)
                continue
            part.listeners = tuple(listeners.get(part.number, ()))
            room.relays.check(worker, state.peers)
            for number, transport in tuple(part.transports.items()):
                peer = peers.get(number)
                if peer is None:
                    transport.set_state(TransportState.FAILED)
                elif peer.state != "connecting":
                    transport.set_state(TransportState(peer.state))
        note_stalls(worker, state, self.index.tracks, self.index.transports)
        self._versions[worker] = state.version
