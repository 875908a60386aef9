"""The rooms that exist and the connections in them. Decisions are in `domain`; this carries them out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from functools import partial

import structlog

from signalling.connections import OpenConnection, Opened, OpenRoom, finish, new_tag, open_transport
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
from signalling.media import (
    MediaEngine,
    MediaEvent,
    MediaGoneError,
    MediaKind,
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
        self.draining = False

    async def create(self, *, name: str | None = None, max_participants: int | None = None) -> Room:
        """Makes a room.

        Raises:
            RefusedError: the name is not plain, looks personal, or there are too many rooms.
            ClosingError: the server is stopping.
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
            await finish(media.close())
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
        """
        self._open_room(room)
        await self._end(room)

    async def _end(self, room: RoomId) -> None:
        """Ends a room, unless somebody else does already."""
        opened = self._rooms.pop(room, None)
        if opened is not None:
            await finish(opened.media.close())
            log.info("room deleted", room=room, count=len(opened.open))

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
        """
        opened = self._admit(room, grant, Purpose.PUBLISH)
        if (refusal := refusal_of_media(grant, kinds)) is not None:
            raise RefusedError(refusal)
        async with opened.changing:
            self._check_place(opened, grant)
            try:
                made = await open_transport(opened.media, offer, publish=kinds, play=())
            except MediaGoneError as error:
                raise NotFoundError("room") from error
            publication = Publication(
                publication=PublicationId("pub_" + secrets.token_hex(10)),
                tracks=tuple(PublishedTrack(track=TrackId(t.id), kind=t.kind) for t in made.transport.tracks),
            )
            connection = Connection(participant=grant.participant, opened_at=self._now(), publication=publication)
            return await self._keep(opened, connection, made)

    async def play(self, room: RoomId, grant: Grant, source: str, offer: str) -> OpenConnection:
        """Sends a participant what another one, or one publication of it, publishes now.

        Raises:
            NotFoundError: there is no such room, or `source` publishes nothing there.
            RefusedError: the grant or the room's policy does not allow it.
        """
        opened = self._admit(room, grant, Purpose.SUBSCRIBE)
        async with opened.changing:
            self._check_place(opened, grant)
            sources = [c for c in opened.open.values() if _is_source(c.connection, source)]
            if not sources:
                raise NotFoundError("publication")
            tracks = [track for c in sources for track in c.transport.tracks]
            made = await open_transport(opened.media, offer, publish=(), play=tracks)
            connection = Connection(
                participant=grant.participant,
                opened_at=self._now(),
                source=sources[0].connection.participant,
            )
            kept = await self._keep(opened, connection, made, plays=tuple(c.peer.id for c in sources))
            await self._allow(opened, kept, tracks)
            return kept

    async def restart(self, opened: OpenConnection, offer: str) -> str:
        """Restarts ICE of a connection and returns the new answer."""
        answer = await opened.transport.restart(offer)
        opened.offer, opened.ice_tag = offer, new_tag()
        return answer

    async def close(self, room: RoomId, resource: ResourceId) -> None:
        """Ends one connection, and those that played nothing else than what it published.

        Raises:
            NotFoundError: there is none.
        """
        self.connection(room, resource)
        await self._close(self._open_room(room), resource, reason="left")

    async def remove(self, room: RoomId, participant: ParticipantId) -> None:
        """Ends all connections of a participant, who cannot come back into this room with the same id.

        Raises:
            NotFoundError: there is no such room.
        """
        opened = self._open_room(room)
        opened.room.removed.add(participant)
        theirs = [r for r, c in opened.open.items() if c.connection.participant == participant]
        await finish(_all(*(partial(self._close, opened, resource, reason="removed") for resource in theirs)))
        log.info("participant removed", room=room, count=len(theirs))

    async def close_all(self) -> None:
        """Ends every room; nobody can join or make a room any more."""
        self.draining = True
        await _all(*(partial(self._end, room) for room in self._rooms))

    def on_event(self, event: MediaEvent) -> Awaitable[None]:
        """Follows what the engine tells: finds out at once what has ended; awaiting what is returned clears it away."""
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
        return _all()

    def _end_those(
        self,
        *,
        room_gone: Callable[[str], bool] = lambda _: False,
        peer_gone: Callable[[str], bool] = lambda _: False,
        reason: str,
    ) -> Awaitable[None]:
        """Finds what the engine has ended, at once: what is opened while that is being cleared away is not meant."""
        rooms = [room for room, opened in self._rooms.items() if room_gone(opened.media.id)]
        closed = [
            (opened, resource)
            for room, opened in self._rooms.items()
            for resource, connection in opened.open.items()
            if room not in rooms and peer_gone(connection.peer.id)
        ]
        for room in rooms:
            log.error("room failed", room=room)
        return _all(
            *(partial(self._end, room) for room in rooms),
            *(partial(self._close, opened, resource, reason=reason) for opened, resource in closed),
        )

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
        return self._open_room(room)

    def _check_place(self, opened: OpenRoom, grant: Grant) -> None:
        refusal = refusal_to_connect(opened.room, participant=grant.participant, connections=opened.connections())
        if refusal is not None:
            raise RefusedError(refusal)

    async def _keep(
        self, opened: OpenRoom, connection: Connection, made: Opened, plays: tuple[str, ...] = ()
    ) -> OpenConnection:
        """Notes a connection, unless its room or its right to be there went while it was being made."""
        gone = self._rooms.get(opened.room.room) is not opened
        if gone or connection.participant in opened.room.removed:
            await finish(made.peer.remove())
            if gone:
                raise NotFoundError("room")
            raise RefusedError(Refusal.PARTICIPANT_REMOVED)
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
            for track in tracks:
                await kept.peer.allow(track)
        except BaseException:
            await self._close(opened, kept.resource, reason="not_allowed")
            raise
        if kept.resource in opened.open and not opened.publishers().intersection(kept.plays):
            await self._close(opened, kept.resource, reason="source_left")
        if kept.resource not in opened.open:
            raise NotFoundError("publication")

    async def _close(self, opened: OpenRoom, resource: ResourceId, *, reason: str) -> None:
        closed = opened.open.pop(resource, None)
        if closed is None:
            return
        await finish(closed.peer.remove())
        log.info("connection closed", room=closed.room, reason=reason)
        left = opened.publishers()
        for other, connection in list(opened.open.items()):
            if connection.plays and not left.intersection(connection.plays):
                await self._close(opened, other, reason="source_left")


def _is_source(connection: Connection, source: str) -> bool:
    publication = connection.publication
    return publication is not None and source in (publication.publication, connection.participant)


async def _all(*endings: Callable[[], Awaitable[None]]) -> None:
    """Carries endings out side by side, so that one of a worker that hangs keeps no other waiting."""
    await asyncio.gather(*(ending() for ending in endings))
