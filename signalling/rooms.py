"""The rooms that exist and the connections in them. Decisions are in `domain`; this carries them out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime
from functools import partial

import structlog

from signalling.connections import OpenConnection, Opened, OpenRoom, new_tag, open_transport
from signalling.domain.grants import Grant, Purpose, refusal_in_room, refusal_of_media
from signalling.domain.ids import ParticipantId, PublicationId, ResourceId, RoomId, TrackId
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
from signalling.media import (
    MediaEngine,
    MediaEvent,
    MediaGoneError,
    MediaKind,
    MediaRoomGoneError,
    MediaTrack,
    PeerConnected,
    PeerGone,
    Resynced,
    RoomGone,
)

log = structlog.get_logger(__name__)


class NotFoundError(Exception):
    """What was named does not exist."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class RefusedError(Exception):
    """A rule says no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class ClosingError(Exception):
    """The server takes nobody in any more."""


class Rooms:
    """All rooms. Created explicitly; none comes into being by being named."""

    def __init__(
        self,
        engine: MediaEngine,
        *,
        max_rooms: int,
        max_participants: int,
        clock: Callable[[], datetime] | None = None,
        hanging: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._engine = engine
        self._max_rooms = max_rooms
        self._max_participants = max_participants
        self._now = clock or (lambda: datetime.now(UTC))
        self._rooms: dict[RoomId, OpenRoom] = {}
        self._hanging = hanging
        self._creating = 0
        self._endings = Endings()
        self.draining = False

    async def create(self, *, name: str | None = None, max_participants: int | None = None) -> Room:
        """Makes a room.

        Raises:
            RefusedError: the name is not plain, looks personal, or there are too many rooms.
            ClosingError: the server is stopping.
            EngineLateError: the worker has not answered in time.
        """
        if name is not None and (refusal := refusal_of_name(name)) is not None:
            raise RefusedError(refusal)
        if self.draining:
            raise ClosingError
        if len(self._rooms) + self._creating >= self._max_rooms:
            raise RefusedError(Refusal.TOO_MANY_ROOMS)
        self._creating += 1
        try:
            media = await self._engine.create_room(avoid=self._hanging())
        finally:
            self._creating -= 1
        if self.draining:
            await ended([self._endings.begin(media.close)])
            raise ClosingError
        policy = RoomPolicy(max_participants=min(max_participants or self._max_participants, self._max_participants))
        room = Room(room=RoomId("r_" + secrets.token_hex(12)), name=name, created_at=self._now(), policy=policy)
        self._rooms[room.room] = OpenRoom(room, media)
        log.info("room created", room=room.room)
        return room

    def all(self) -> list[Room]:
        """Lists the rooms, oldest first."""
        return [opened.room for opened in self._rooms.values()]

    def room(self, room: RoomId) -> Room:
        """Returns the room.

        Raises:
            NotFoundError: there is none of that id.
        """
        return self._open_room(room).room

    def roster(self, room: RoomId) -> tuple[Seat, ...]:
        """Lists everyone who sends or receives anything in the room."""
        return roster(self._open_room(room).connections())

    def people(self) -> int:
        """Counts everyone in every room."""
        return sum(len({c.participant for c in opened.connections()}) for opened in self._rooms.values())

    def tracks(self, kind: str) -> int:
        """Counts what is published in every room, of one kind."""
        connections = (connection for opened in self._rooms.values() for connection in opened.connections())
        published = (connection.publication for connection in connections if connection.publication is not None)
        return sum(track.kind == kind for publication in published for track in publication.tracks)

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
            EngineLateError: it is still ending.
        """
        await ended([self._begin_to_end(self._open_room(room))])

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
            EngineLateError: the room's worker has not answered in time.
        """
        opened = self._admit(room, grant, Purpose.PUBLISH)
        if (refusal := refusal_of_media(grant, kinds)) is not None:
            raise RefusedError(refusal)
        async with in_time(), opened.changing:
            self._check_place(opened, grant)
            with _gone_means("room"):
                made = await open_transport(opened.media, offer, publish=kinds, play=(), endings=self._endings)
            publication = Publication(
                publication=PublicationId("pub_" + secrets.token_hex(10)),
                tracks=tuple(PublishedTrack(track=TrackId(t.id), kind=t.kind) for t in made.transport.tracks),
            )
            connection = Connection(participant=grant.participant, opened_at=self._now(), publication=publication)
            return self._keep(opened, connection, made)

    async def play(self, room: RoomId, grant: Grant, source: str, offer: str) -> OpenConnection:
        """Sends a participant what another one, or one publication of it, publishes now.

        Raises:
            NotFoundError: there is no such room, or `source` publishes nothing there.
            RefusedError: the grant or the room's policy does not allow it.
            EngineLateError: the room's worker has not answered in time.
        """
        opened = self._admit(room, grant, Purpose.SUBSCRIBE)
        async with in_time(), opened.changing:
            self._check_place(opened, grant)
            sources = opened.sources(source)
            if not sources:
                raise NotFoundError("publication")
            tracks = [track for c in sources for track in c.transport.tracks]
            with _gone_means("publication"):
                made = await open_transport(opened.media, offer, publish=(), play=tracks, endings=self._endings)
            connection = Connection(
                participant=grant.participant,
                opened_at=self._now(),
                source=sources[0].connection.participant,
            )
            kept = self._keep(opened, connection, made, plays=tuple(c.peer.id for c in sources))
            await self._allow(opened, kept, tracks)
            return kept

    async def restart(self, opened: OpenConnection, offer: str) -> str:
        """Restarts ICE of a connection and returns the new answer.

        Raises:
            NotFoundError: it has ended.
            EngineLateError: its worker has not answered in time; it goes on as before.
        """
        async with in_time():
            with _gone_means("connection"):
                answer = await opened.transport.restart(offer)
        opened.offer, opened.ice_tag = offer, new_tag()
        return answer

    async def close(self, room: RoomId, resource: ResourceId) -> None:
        """Ends one connection, and those that played nothing else than what it published.

        Raises:
            NotFoundError: there is none.
            EngineLateError: it is still ending.
        """
        closing = self.connection(room, resource)
        await ended(self._begin_to_close(self._open_room(room), closing, reason="left"))

    async def remove(self, room: RoomId, participant: ParticipantId) -> None:
        """Ends all connections of a participant, who cannot come back into this room with the same id.

        Raises:
            NotFoundError: there is no such room.
            EngineLateError: some are still ending, and are in the roster until they have.
        """
        opened = self._open_room(room)
        opened.room.removed.add(participant)
        theirs = [c for c in opened.open.values() if c.connection.participant == participant]
        # All begin before anything waits, so that no cancellation comes in between.
        await ended([ending for c in theirs for ending in self._begin_to_close(opened, c, reason="removed")])
        log.info("participant removed", room=room, count=len(theirs))

    async def close_all(self) -> None:
        """Ends every room; nobody can join or make a room any more."""
        self.draining = self._endings.stopping = True
        await ended([self._begin_to_end(opened) for opened in self._rooms.values()])

    def give_up(self) -> None:
        """Waits for no ending any more: the engine has stopped."""
        self._endings.give_up()

    def on_event(self, event: MediaEvent) -> Awaitable[None]:
        """Follows what the engine tells: what has ended begins to be cleared away; what is returned waits for that."""
        match event:
            case PeerConnected():
                log.info("participant connected", profile=event.srtp_profile, dtls=event.dtls_version)
            case PeerGone():
                return self._end_those(peer_gone=lambda peer: peer == event.peer, reason=event.reason)
            case Resynced():
                log.warning("events lost", component="media")
                return self._end_those(
                    room_gone=lambda room: room not in event.media_rooms,
                    peer_gone=lambda peer: peer not in event.peers,
                    reason="lost",
                )
            case RoomGone():
                return self._end_those(room_gone=lambda room: room == event.media_room, reason="room")
        return ended([])

    def _end_those(
        self,
        *,
        room_gone: Callable[[str], bool] = lambda _: False,
        peer_gone: Callable[[str], bool] = lambda _: False,
        reason: str,
    ) -> Awaitable[None]:
        """Finds what the engine has ended, at once: what is opened while that is being cleared away is not meant."""
        endings: list[asyncio.Task[None]] = []
        for opened in self._rooms.values():
            if room_gone(opened.media.id):
                log.error("room failed", room=opened.room.room)
                endings.append(self._begin_to_end(opened))
                continue
            for connection in [c for c in opened.open.values() if peer_gone(c.peer.id)]:
                endings += self._begin_to_close(opened, connection, reason=reason)
        return ended(endings)

    def _open_room(self, room: RoomId) -> OpenRoom:
        opened = self._rooms.get(room)
        if opened is None:
            raise NotFoundError("room")
        return opened

    def _admit(self, room: RoomId, grant: Grant, purpose: Purpose) -> OpenRoom:
        if (refusal := refusal_in_room(grant, room=room, purpose=purpose)) is not None:
            raise RefusedError(refusal)
        if self.draining:
            raise ClosingError
        opened = self._open_room(room)
        self._check_lasts(opened)
        return opened

    def _check_lasts(self, opened: OpenRoom) -> None:
        if opened.ending is not None or self._rooms.get(opened.room.room) is not opened:
            raise NotFoundError("room")

    def _check_place(self, opened: OpenRoom, grant: Grant) -> None:
        refusal = refusal_to_connect(opened.room, participant=grant.participant, connections=opened.connections())
        if refusal is not None:
            raise RefusedError(refusal)

    def _keep(
        self, opened: OpenRoom, connection: Connection, made: Opened, plays: tuple[str, ...] = ()
    ) -> OpenConnection:
        """Notes a connection, unless its room or its right to be there went while it was being made."""
        try:
            self._check_lasts(opened)
            if connection.participant in opened.room.removed:
                raise RefusedError(Refusal.PARTICIPANT_REMOVED)
        except (NotFoundError, RefusedError):
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
        log.info("connection opened", room=kept.room, publishes=connection.publication is not None)
        return kept

    async def _allow(self, opened: OpenRoom, kept: OpenConnection, tracks: list[MediaTrack]) -> None:
        """Makes the edges, now that the roster shows who will receive."""
        try:
            with _gone_means("publication"):
                for track in tracks:
                    await kept.peer.allow(track)
            self._check_lasts(opened)
        except BaseException:
            self._begin_to_close(opened, kept, reason="not_allowed")
            raise
        if kept in opened.left_alone():
            self._begin_to_close(opened, kept, reason="source_left")
        if kept.ending is not None:
            raise NotFoundError("publication")

    def _begin_to_end(self, opened: OpenRoom) -> asyncio.Task[None]:
        """Begins to end a room, unless that is under way; it is forgotten once the engine has done it."""
        if opened.ending is None or opened.ending.done():
            opened.ending = self._endings.begin(partial(self._end, opened))
        return opened.ending

    async def _end(self, opened: OpenRoom) -> None:
        await opened.media.close()
        self._rooms.pop(opened.room.room, None)
        log.info("room deleted", room=opened.room.room, count=len(opened.open))

    def _begin_to_close(self, opened: OpenRoom, closing: OpenConnection, *, reason: str) -> list[asyncio.Task[None]]:
        """Begins likewise to end a connection, and those that it leaves alone."""
        if closing.ending is None or closing.ending.done():
            closing.ending = self._endings.begin(partial(self._close, opened, closing, reason))
        endings = [closing.ending]
        for left in opened.left_alone():
            endings += self._begin_to_close(opened, left, reason="source_left")
        return endings

    async def _close(self, opened: OpenRoom, closing: OpenConnection, reason: str) -> None:
        await closing.peer.remove()
        opened.open.pop(closing.resource, None)
        log.info("connection closed", room=closing.room, reason=reason)


@contextlib.contextmanager
def _gone_means(what: str) -> Iterator[None]:
    """Tells what there is no more, where the engine knows only that something is gone."""
    try:
        yield
    except MediaRoomGoneError as error:
        raise NotFoundError("room") from error
    except MediaGoneError as error:
        raise NotFoundError(what) from error
