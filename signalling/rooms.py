"""The rooms that exist and the connections in them. Decisions are in `domain`; this carries them out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from signalling import clocks
from signalling.census import Census
from signalling.chronicle import Chronicle
from signalling.closing import Closing
from signalling.connections import OpenConnection, OpenRoom, new_tag
from signalling.control import Control
from signalling.domain.grants import Grant
from signalling.domain.happenings import Happening
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.notices import Notice, Reason
from signalling.domain.refusals import Refusal
from signalling.domain.room import Room, RoomPolicy, Seat, refusal_of_name, roster
from signalling.endings import Endings, ended, in_time
from signalling.faults import ClosingError, NotFoundError, RefusedError
from signalling.flowing import Flowing
from signalling.following import Following
from signalling.founding import Founding
from signalling.granting import Granting
from signalling.homes import Homes
from signalling.joining import Joining, Lets, publication_of
from signalling.linking import Linking
from signalling.media import MediaEngine, MediaGoneError, MediaKind, MediaTrack
from signalling.media_events import MediaEvent
from signalling.naming import Names
from signalling.removing import Removing
from signalling.resuming import TakenUp, resume, write_down
from signalling.store.base import RoomStore, Stored

log = structlog.get_logger(__name__)


class Rooms:
    """All rooms. Created explicitly; none comes into being by being named."""

    def __init__(
        self,
        engine: MediaEngine,
        store: RoomStore,
        *,
        max_rooms: int,
        max_participants: int,
        clock: Callable[[], datetime] | None = None,
        steady: Callable[[], timedelta] = clocks.steady,
        hanging: Callable[[], Collection[int]] = tuple,
        tell: Callable[[Happening], None] | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._max_rooms = max_rooms
        self._max_participants = max_participants
        self._now = clock or (lambda: datetime.now(UTC))
        self._rooms: dict[RoomId, OpenRoom] = {}
        self._endings = Endings()
        self._homes = Homes(engine, self._endings, hanging=hanging, steady=steady)
        self.control = Control()
        self._closing = Closing(self._rooms, self._endings, self.control)
        self._following = Following(self._rooms, self._homes, self._closing, self._endings, self.control)
        self._removing = Removing(self._closing, self.control, store, self._now)
        self._granting = Granting(self._closing, self.control, store, self._now)
        self._founding = Founding(
            self._rooms, self._homes, self._endings, self.control, store, is_closed=lambda: self.draining
        )
        self._joining = Joining(
            rooms=self._rooms,
            homes=self._homes,
            closing=self._closing,
            following=self._following,
            endings=self._endings,
            control=self.control,
            store=store,
            now=self._now,
            is_closed=lambda: self.draining,
            lets=lambda connection, track, viewer: self.lets(connection, track, viewer),
        )
        self.lets: Lets = lambda _connection, _track, _viewer: True
        self.census = Census(self._rooms, self._homes)
        self.names = Names(self._rooms, self.control)
        self.flowing = Flowing(self._rooms, steady=steady)
        self.linking = Linking(self._rooms, self._homes)
        self.chronicle = Chronicle(tell, now=self._now)
        self.draining = False

    async def create(self, *, name: str | None = None, policy: RoomPolicy | None = None, metadata: str = "") -> Room:
        """Makes a room.

        Raises:
            RefusedError: the name is not plain, looks personal or is taken, or there are too many rooms.
            ClosingError: the server is stopping.
            EngineLateError: the worker has not answered in time.
            StoreUnavailableError: it cannot be written down.
            ReplacedError: another server has the engine.
        """
        self.control.check()
        if name is not None and (refusal := refusal_of_name(name)) is not None:
            raise RefusedError(refusal)
        if self.draining:
            raise ClosingError
        if len(self._rooms) + self._founding.under_way >= self._max_rooms:
            raise RefusedError(Refusal.TOO_MANY_ROOMS)
        policy = (policy or RoomPolicy(max_participants=self._max_participants)).within(self._max_participants)
        called, at = RoomId("r_" + secrets.token_hex(12)), self._now()
        room = Room(room=called, name=name, created_at=at, policy=policy, metadata=metadata)
        with self.names.held(name):
            await self._founding.found(room)
        if (opened := self._rooms.get(called)) is not None:
            self.chronicle.begin(opened)
        return room

    def resume(self, stored: Stored) -> Awaitable[None]:
        """Takes up the rooms on disk, and what goes on of them in an engine that was another server's before.

        What is returned waits for what ends.
        """
        found = resume(self._engine, self._endings, stored)
        self._rooms.update(found.rooms)
        ends = [end for room, gone, why in found.gone for end in self._closing.begin_to_close(room, gone, why)]
        for opened in found.lost:
            self._homes.lose(opened, counts=False)
        for opened in found.rooms.values():
            self.chronicle.follow(opened)
            # Whose source has gone with the server before this one, nothing else here ever ends.
            for left in opened.left_alone():
                ends += self._closing.begin_to_close(opened, left, Reason.SOURCE_LEFT)
        return self._resumed(found, ends)

    async def _resumed(self, found: TakenUp, ends: list[asyncio.Task[None]]) -> None:
        await write_down(found, self._store, now=self._now())
        await ended(ends)

    def all(self) -> list[Room]:
        """Lists the rooms, oldest first.

        Raises:
            ReplacedError: another server has them.
        """
        self.control.check()
        return [opened.room for opened in self._rooms.values()]

    def room(self, room: RoomId) -> Room:
        """Returns the room.

        Raises:
            NotFoundError: there is none of that id.
            ReplacedError: another server has it; so for all that is asked of a room.
        """
        return self._open_room(room).room

    def roster(self, room: RoomId) -> tuple[Seat, ...]:
        """Lists everyone who sends or receives anything in the room."""
        return roster(self._open_room(room).connections())

    def connection(self, room: RoomId, resource: ResourceId) -> OpenConnection:
        """Returns the connection of that address.

        Raises:
            NotFoundError: there is none.
        """
        found = self._open_room(room).open.get(resource)
        if found is None:
            raise NotFoundError("connection")
        return found

    async def describe(self, room: RoomId, metadata: str) -> None:
        """Writes something else on a room.

        Raises:
            NotFoundError: there is none of that id.
            StoreUnavailableError: it cannot be written down, and stays as it was.
        """
        opened = self._open_room(room)
        await self._store.describe(room, metadata)
        opened.room.metadata = metadata
        opened.changed()

    async def delete(self, room: RoomId) -> None:
        """Ends the room and every connection in it.

        Raises:
            NotFoundError: there is none of that id.
            StoreUnavailableError: it cannot be erased, and goes on.
            EngineLateError: it is still ending.
        """
        opened = self._open_room(room)
        with self.control.held():
            await self._store.delete(room)
            await ended([self._closing.begin_to_end(opened)])

    async def publish(
        self, room: RoomId, grant: Grant, offer: str, *, kinds: Collection[MediaKind] = ("audio", "video")
    ) -> OpenConnection:
        """Takes what a participant sends; raises what `Joining.publish` does."""
        return await self._joining.publish(room, grant, offer, kinds=kinds)

    async def play(self, room: RoomId, grant: Grant, source: str, offer: str) -> OpenConnection:
        """Sends a participant what another one publishes now; raises what `Joining.play` does."""
        return await self._joining.play(room, grant, source, offer)

    async def enter(self, room: RoomId, grant: Grant) -> OpenConnection:
        """Gives a participant a seat, who makes transports later; raises what `Joining.enter` does."""
        return await self._joining.enter(room, grant)

    async def restart(self, opened: OpenConnection, offer: str) -> str:
        """Restarts ICE of a connection and returns the new answer.

        Raises:
            NotFoundError: it has ended.
            EngineLateError: its worker has not answered in time; it goes on as before.
        """
        async with in_time():
            try:
                with self.control.held():
                    answer = await opened.transport.restart(offer)
            except MediaGoneError as error:
                raise NotFoundError("connection") from error
        opened.offer, opened.ice_tag = offer, new_tag()
        opened.leave_note()
        return answer

    def show(
        self, connection: OpenConnection, *, tracks: Sequence[MediaTrack], sources: Sequence[ParticipantId]
    ) -> None:
        """Shows in the roster what a client of a meeting publishes and from whom it receives, before that flows."""
        opened, before = self._rooms.get(connection.room), connection.connection
        publication = before.publication
        known = [track.track for track in publication.tracks] if publication is not None else []
        if known != [track.id for track in tracks]:
            publication = publication_of(tracks) if tracks else None
        connection.connection = replace(before, publication=publication, sources=tuple(sources))
        if opened is None or publication is before.publication:
            return
        for left in opened.left_alone():
            self._closing.begin_to_close(opened, left, Reason.SOURCE_LEFT)
        opened.changed()

    def connections(self, room: RoomId) -> Collection[OpenConnection]:
        """Returns what is open in a room; nothing where there is no room."""
        opened = self._rooms.get(room)
        return tuple(opened.open.values()) if opened is not None else ()

    def media_name(self, room: RoomId) -> str | None:
        """Returns what the engine's events call a room; None while it has no half there."""
        opened = self._rooms.get(room)
        return opened.media.id if opened is not None and opened.media is not None else None

    def follow(self, room: RoomId, tell: Callable[[], object]) -> Callable[[], None]:
        """Has `tell` called when somebody comes into a room or goes, or sends something else.

        Returns:
            What ends that.

        Raises:
            NotFoundError: there is no such room.
        """
        opened = self._open_room(room)
        opened.listeners.append(tell)
        return lambda: opened.listeners.remove(tell)

    def begin_to_end(self, track: MediaTrack) -> asyncio.Task[None]:
        """Begins to end a track; it goes on ending until the engine has done it."""
        return self._endings.begin(track.unpublish)

    def begin_to_close(self, connection: OpenConnection, reason: Reason) -> None:
        """Begins to end a connection; whoever holds it is told when it has ended."""
        if (opened := self._rooms.get(connection.room)) is not None:
            self._closing.begin_to_close(opened, connection, reason)

    async def close(self, room: RoomId, resource: ResourceId, *, reason: Reason = Reason.LEFT) -> None:
        """Ends one connection, and those that played nothing else than what it published.

        Raises:
            NotFoundError: there is none.
            EngineLateError: it is still ending.
        """
        closing = self.connection(room, resource)
        with self.control.held():
            await ended(self._closing.begin_to_close(self._open_room(room), closing, reason))

    async def remove(self, room: RoomId, participant: ParticipantId) -> None:
        """Ends all connections of a participant, who cannot come back into this room with the same id.

        Raises:
            NotFoundError: there is no such room.
            EngineLateError: some are still ending, and are in the roster until they have.
            StoreUnavailableError: they are removed, but that is not written down: they may be back after a restart.
        """
        await self._removing.remove(self._open_room(room), participant)

    def change_rights(self, room: RoomId, grant: Grant) -> Awaitable[None]:
        """Has a participant have the rights in `grant` from now on, whatever is said by tokens that were issued before.

        Returns:
            What waits as `Granting.change` says, and raises what that does.

        Raises:
            NotFoundError: there is no such room.
            RefusedError: the rights of too many were changed in it.
        """
        return self._granting.change(self._open_room(room), grant)

    def drain(self) -> None:
        """Lets nobody in any more but those who are in a room now, and makes no room."""
        if not self.draining:
            for opened in self._rooms.values():
                opened.staying = frozenset(connection.participant for connection in opened.connections())
        self.draining = True

    def call_off_drain(self) -> None:
        """Lets everybody in again."""
        self.draining = False

    async def close_all(self) -> None:
        """Ends every room, unless another server has them; nobody can join or make a room any more."""
        self.draining = self._endings.stopping = True
        self._homes.stop()
        if not self.control.lost.is_set():
            await ended([self._closing.begin_to_end(opened) for opened in self._rooms.values()])

    def tell_all(self, notice: Notice | None) -> None:
        """Tells whoever waits to hear of the end of a connection; without a notice, to wait no longer."""
        for opened in self._rooms.values():
            for connection in opened.open.values():
                connection.watch.end(notice)

    def give_up(self) -> None:
        """Waits for no ending any more: the engine has stopped."""
        self._homes.stop()
        self._endings.give_up()

    def on_event(self, event: MediaEvent) -> Awaitable[None]:
        """Follows what the engine tells: what has ended begins to be cleared away; what is returned waits for that."""
        return self._following.on_event(event)

    def _open_room(self, room: RoomId) -> OpenRoom:
        self.control.check()
        opened = self._rooms.get(room)
        if opened is None:
            raise NotFoundError("room")
        return opened
