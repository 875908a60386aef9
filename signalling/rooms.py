"""The rooms that exist and the connections in them. Decisions are in `domain`; this carries them out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from signalling import clocks
from signalling.census import Census
from signalling.closing import Closing
from signalling.connections import OpenConnection, Opened, OpenRoom, new_tag, open_transport
from signalling.control import Control
from signalling.domain.grants import Grant, Purpose, refusal_in_room, refusal_of_media
from signalling.domain.ids import ParticipantId, PublicationId, ResourceId, RoomId, TrackId
from signalling.domain.notices import Notice, Reason
from signalling.domain.refusals import Refusal
from signalling.domain.room import (
    Connection,
    Publication,
    PublishedTrack,
    Room,
    RoomPolicy,
    Seat,
    refusal_of_name,
    refusal_to_connect,
    roster,
)
from signalling.endings import Endings, ended, in_time
from signalling.faults import ClosingError, NotFoundError, RefusedError, RoomFailedError
from signalling.flowing import Flowing
from signalling.following import Following
from signalling.founding import Founding
from signalling.homes import Homes
from signalling.media import MediaEngine, MediaGoneError, MediaKind, MediaRoom, MediaRoomGoneError, MediaTrack
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
        self._founding = Founding(
            self._rooms, self._homes, self._endings, self.control, store, is_closed=lambda: self.draining
        )
        self.census = Census(self._rooms, self._homes)
        self.names = Names(self._rooms, self.control)
        self.flowing = Flowing(self._rooms, self._homes, steady=steady)
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
        """Takes what a participant sends.

        Args:
            room: where.
            grant: what the participant may.
            offer: its description.
            kinds: of what is sent in it; nothing else is taken, whatever the engine reads in the offer.

        Raises:
            NotFoundError: there is no such room.
            RefusedError: the grant or the room's policy does not allow it.
            QuarantinedError, RoomFailedError: the room has no media, for a while or at this moment.
            EngineLateError: the room's worker has not answered in time.
        """
        opened = self._admit(room, grant, Purpose.PUBLISH)
        if (refusal := refusal_of_media(grant, kinds)) is not None:
            raise RefusedError(refusal)
        async with in_time(), opened.changing:
            media = await self._homes.of(opened)
            self._check_place(opened, grant)
            with self._joining(opened, media, "room"):
                made = await self._open(media, offer, publish=kinds)
            publication = Publication(
                publication=PublicationId("pub_" + secrets.token_hex(10)),
                tracks=tuple(PublishedTrack(track=TrackId(t.id), kind=t.kind) for t in made.transport.tracks),
            )
            connection = Connection(participant=grant.participant, opened_at=self._now(), publication=publication)
            return self._keep(opened, media, connection, made)

    async def play(self, room: RoomId, grant: Grant, source: str, offer: str) -> OpenConnection:
        """Sends a participant what another one, or one publication of it, publishes now.

        Raises:
            NotFoundError: there is no such room, or `source` publishes nothing there.
            RefusedError: the grant or the room's policy does not allow it.
            QuarantinedError, RoomFailedError: the room has no media, for a while or at this moment.
            EngineLateError: the room's worker has not answered in time.
        """
        opened = self._admit(room, grant, Purpose.SUBSCRIBE)
        async with in_time(), opened.changing:
            media = await self._homes.of(opened)
            self._check_place(opened, grant)
            sources = opened.sources(source)
            if not sources:
                raise NotFoundError("publication")
            tracks = [track for c in sources for track in c.transport.tracks]
            with self._joining(opened, media, "publication"):
                made = await self._open(media, offer, play=tracks)
            connection = Connection(
                participant=grant.participant,
                opened_at=self._now(),
                source=sources[0].connection.participant,
            )
            kept = self._keep(opened, media, connection, made, plays=tuple(c.peer.id for c in sources))
            await self._allow(opened, media, kept, tracks)
            return kept

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

    async def close(self, room: RoomId, resource: ResourceId) -> None:
        """Ends one connection, and those that played nothing else than what it published.

        Raises:
            NotFoundError: there is none.
            EngineLateError: it is still ending.
        """
        closing = self.connection(room, resource)
        with self.control.held():
            await ended(self._closing.begin_to_close(self._open_room(room), closing, Reason.LEFT))

    async def remove(self, room: RoomId, participant: ParticipantId) -> None:
        """Ends all connections of a participant, who cannot come back into this room with the same id.

        Raises:
            NotFoundError: there is no such room.
            EngineLateError: some are still ending, and are in the roster until they have.
            StoreUnavailableError: they are removed, but that is not written down: they may be back after a restart.
        """
        await self._removing.remove(self._open_room(room), participant)

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

    def _admit(self, room: RoomId, grant: Grant, purpose: Purpose) -> OpenRoom:
        if (refusal := refusal_in_room(grant, room=room, purpose=purpose)) is not None:
            raise RefusedError(refusal)
        self.control.check()
        opened = self._rooms.get(room)
        if self._endings.stopping or (self.draining and (opened is None or grant.participant not in opened.staying)):
            raise ClosingError
        opened = self._open_room(room)
        self._check_lasts(opened)
        return opened

    async def _open(
        self, media: MediaRoom, offer: str, *, publish: Collection[MediaKind] = (), play: Sequence[MediaTrack] = ()
    ) -> Opened:
        avoid = self._homes.to_avoid()
        return await open_transport(media, offer, publish=publish, play=play, avoid=avoid, endings=self._endings)

    def _check_lasts(self, opened: OpenRoom, media: MediaRoom | None = None) -> None:
        if opened.ending is not None or self._rooms.get(opened.room.room) is not opened:
            raise NotFoundError("room")
        if media is not None and opened.media is not media:
            raise RoomFailedError

    @contextlib.contextmanager
    def _joining(self, opened: OpenRoom, media: MediaRoom, what: str) -> Iterator[None]:
        """Tells what there is no more; the engine's word that a room has ended may come before the event of it."""
        try:
            with self.control.held():
                yield
        except MediaRoomGoneError as error:
            if opened.media is media:
                self._following.lose(opened, Reason.ROOM_FAILED, counts=True)
            self._check_lasts(opened)
            raise RoomFailedError from error
        except MediaGoneError as error:
            self._check_lasts(opened, media)
            raise NotFoundError(what) from error

    def _check_place(self, opened: OpenRoom, grant: Grant) -> None:
        if (refusal := refusal_to_connect(opened.room, grant, connections=opened.connections())) is not None:
            raise RefusedError(refusal)

    def _keep(
        self, opened: OpenRoom, media: MediaRoom, connection: Connection, made: Opened, plays: tuple[str, ...] = ()
    ) -> OpenConnection:
        """Notes a connection, unless its room or its right to be there went while it was being made."""
        try:
            self._check_lasts(opened, media)
            if connection.participant in opened.room.removed:
                raise RefusedError(Refusal.PARTICIPANT_REMOVED)
        except (NotFoundError, RoomFailedError, RefusedError):
            self._endings.begin(made.peer.remove)
            raise
        kept = OpenConnection(
            resource=ResourceId(secrets.token_hex(24)),
            room=opened.room.room,
            connection=connection,
            peer=made.peer,
            transport=made.transport,
            offer=made.offer,
            ice_tag=new_tag(),
            plays=plays,
        )
        opened.open[kept.resource] = kept
        kept.leave_note()
        self._store.see(kept.room, connection.participant, at=connection.opened_at)
        log.info("connection opened", room=kept.room, publishes=connection.publication is not None)
        return kept

    async def _allow(self, opened: OpenRoom, media: MediaRoom, kept: OpenConnection, tracks: list[MediaTrack]) -> None:
        """Makes the edges, now that the roster shows who will receive."""
        try:
            with self._joining(opened, media, "publication"):
                for track in tracks:
                    await kept.peer.allow(track)
            self._check_lasts(opened, media)
        except BaseException:
            self._closing.begin_to_close(opened, kept, Reason.SERVER_FAULT)
            raise
        if kept in opened.left_alone():
            self._closing.begin_to_close(opened, kept, Reason.SOURCE_LEFT)
        if kept.ending is not None:
            raise NotFoundError("publication")
