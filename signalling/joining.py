"""How participants come into a room: what is asked before, what is made for them, and what is seen before it flows."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from signalling.closing import Closing
from signalling.connections import OpenConnection, Opened, OpenRoom, new_tag, open_transport
from signalling.control import Control
from signalling.domain.grants import Grant, Purpose, refusal_in_room, refusal_of_media
from signalling.domain.ids import ParticipantId, PublicationId, ResourceId, RoomId, TrackId
from signalling.domain.notices import Reason
from signalling.domain.refusals import Refusal
from signalling.domain.room import Connection, Publication, PublishedTrack, refusal_to_connect, refusal_to_keep
from signalling.endings import Endings, in_time
from signalling.faults import ClosingError, NotFoundError, RefusedError, RoomFailedError
from signalling.following import Following
from signalling.homes import Homes
from signalling.media import MediaGoneError, MediaKind, MediaRoom, MediaRoomGoneError, MediaTrack
from signalling.store.base import RoomStore

log = structlog.get_logger(__name__)


Lets = Callable[[OpenConnection, MediaTrack, ParticipantId], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """Lets participants into these rooms.

    Attributes:
        is_closed: whether only those come in who were there when a drain began.
        lets: whether a publisher lets somebody have a track.
    """

    rooms: Mapping[RoomId, OpenRoom]
    homes: Homes
    closing: Closing
    following: Following
    endings: Endings
    control: Control
    store: RoomStore
    now: Callable[[], datetime]
    is_closed: Callable[[], bool]
    lets: Lets

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
        if (refusal := refusal_of_media(opened.room.granted(grant).sources, kinds)) is not None:
            raise RefusedError(refusal)
        async with in_time(), opened.changing:
            media = await self.homes.of(opened)
            self._check_place(opened, grant)
            with self._held(opened, media, "room"):
                made = await self._open(media, offer, publish=kinds)
            publication = publication_of([track for transport in made.transports for track in transport.tracks])
            connection = Connection(participant=grant.participant, opened_at=self.now(), publication=publication)
            return self._keep(opened, media, grant, connection, made)

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
            media = await self.homes.of(opened)
            self._check_place(opened, grant)
            sources = opened.sources(source)
            if not sources:
                raise NotFoundError("publication")
            tracks = self._tracks(sources, grant)
            with self._held(opened, media, "publication"):
                made = await self._open(media, offer, play=tracks)
            connection = Connection(
                participant=grant.participant,
                opened_at=self.now(),
                sources=(sources[0].connection.participant,),
            )
            kept = self._keep(opened, media, grant, connection, made, plays=tuple(c.peer.id for c in sources))
            if not all(track in self._tracks(sources, grant) for track in tracks):
                self.closing.begin_to_close(opened, kept, Reason.RIGHTS_CHANGED)
                raise NotFoundError("publication")
            await self._allow(opened, media, kept, tracks)
            return kept

    async def enter(self, room: RoomId, grant: Grant) -> OpenConnection:
        """Gives a participant a seat, who makes transports, sends and receives later.

        Raises:
            NotFoundError: there is no such room.
            RefusedError: the grant or the room's policy does not allow it.
            QuarantinedError, RoomFailedError: the room has no media, for a while or at this moment.
            EngineLateError: the room's worker has not answered in time.
        """
        opened = self._admit(room, grant, Purpose.SEE_ROSTER)
        async with in_time(), opened.changing:
            media = await self.homes.of(opened)
            self._check_place(opened, grant)
            with self._held(opened, media, "room"):
                made = Opened(await media.add_participant(avoid=self.homes.to_avoid()))
            connection = Connection(participant=grant.participant, opened_at=self.now())
            return self._keep(opened, media, grant, connection, made)

    def _tracks(self, sources: Sequence[OpenConnection], grant: Grant) -> list[MediaTrack]:
        """Lists what of these the participant is let have.

        Raises:
            NotFoundError: nothing.
        """
        tracks = [(c, track) for c in sources for track in c.tracks]
        let = [track for c, track in tracks if self.lets(c, track, grant.participant)]
        if tracks and not let:
            raise NotFoundError("publication")
        return let

    def _admit(self, room: RoomId, grant: Grant, purpose: Purpose) -> OpenRoom:
        opened = self.rooms.get(room)
        granted = grant if opened is None else opened.room.granted(grant)
        if (refusal := refusal_in_room(granted, room=room, purpose=purpose)) is not None:
            raise RefusedError(refusal)
        self.control.check()
        if self.endings.stopping or (self.is_closed() and (opened is None or grant.participant not in opened.staying)):
            raise ClosingError
        if opened is None:
            raise NotFoundError("room")
        self._check_lasts(opened)
        return opened

    async def _open(
        self, media: MediaRoom, offer: str, *, publish: Collection[MediaKind] = (), play: Sequence[MediaTrack] = ()
    ) -> Opened:
        avoid = self.homes.to_avoid()
        return await open_transport(media, offer, publish=publish, play=play, avoid=avoid, endings=self.endings)

    def _check_lasts(self, opened: OpenRoom, media: MediaRoom | None = None) -> None:
        if opened.ending is not None or self.rooms.get(opened.room.room) is not opened:
            raise NotFoundError("room")
        if media is not None and opened.media is not media:
            raise RoomFailedError

    @contextlib.contextmanager
    def _held(self, opened: OpenRoom, media: MediaRoom, what: str) -> Iterator[None]:
        """Tells what there is no more; the engine's word that a room has ended may come before the event of it."""
        try:
            with self.control.held():
                yield
        except MediaRoomGoneError as error:
            if opened.media is media:
                self.following.lose(opened, Reason.ROOM_FAILED, counts=True)
            self._check_lasts(opened)
            raise RoomFailedError from error
        except MediaGoneError as error:
            self._check_lasts(opened, media)
            raise NotFoundError(what) from error

    def _check_place(self, opened: OpenRoom, grant: Grant) -> None:
        if (refusal := refusal_to_connect(opened.room, grant, connections=opened.connections())) is not None:
            raise RefusedError(refusal)

    def _keep(
        self,
        opened: OpenRoom,
        media: MediaRoom,
        grant: Grant,
        connection: Connection,
        made: Opened,
        plays: tuple[str, ...] = (),
    ) -> OpenConnection:
        """Notes a connection, unless its room or its right to be there went while it was being made."""
        try:
            self._check_lasts(opened, media)
            if connection.participant in opened.room.removed:
                raise RefusedError(Refusal.PARTICIPANT_REMOVED)
            if (refusal := refusal_to_keep(connection, opened.room.granted(grant))) is not None:
                raise RefusedError(refusal)
        except (NotFoundError, RoomFailedError, RefusedError):
            self.endings.begin(made.peer.remove)
            raise
        kept = OpenConnection(
            resource=ResourceId(secrets.token_hex(24)),
            room=opened.room.room,
            connection=connection,
            peer=made.peer,
            transports=list(made.transports),
            offer=made.offer,
            ice_tag=new_tag() if made.offer else "",
            plays=plays,
        )
        opened.add(kept)
        if made.transports:  # Of a client of meetings there is nothing yet that could go on.
            kept.leave_note()
        self.store.see(kept.room, connection.participant, at=connection.opened_at)
        log.info("connection opened", room=kept.room, publishes=connection.publication is not None)
        return kept

    async def _allow(self, opened: OpenRoom, media: MediaRoom, kept: OpenConnection, tracks: list[MediaTrack]) -> None:
        """Makes the edges, now that the roster shows who will receive."""
        try:
            with self._held(opened, media, "publication"):
                for track in tracks:
                    await kept.peer.allow(track)
            self._check_lasts(opened, media)
        except BaseException:
            self.closing.begin_to_close(opened, kept, Reason.SERVER_FAULT)
            raise
        if kept in opened.left_alone():
            self.closing.begin_to_close(opened, kept, Reason.SOURCE_LEFT)
        if kept.ending is not None:
            raise NotFoundError("publication")


def publication_of(tracks: Sequence[MediaTrack]) -> Publication:
    """Makes what the roster shows of tracks that are published together."""
    return Publication(
        publication=PublicationId("pub_" + secrets.token_hex(10)),
        tracks=tuple(PublishedTrack(track=TrackId(t.id), kind=t.kind, codec=t.codec) for t in tracks),
    )
