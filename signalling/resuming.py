"""Taking up the rooms on disk, and what goes on of them in a media process that has outlived the server before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from signalling import notes
from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.notices import Reason
from signalling.domain.room import Room
from signalling.endings import Endings
from signalling.faults import RefusedError
from signalling.media import MediaEngine, ResumedPeer
from signalling.store.base import RoomStore, Stored, StoreUnavailableError

log = structlog.get_logger(__name__)


Write = Callable[[RoomStore, datetime], Awaitable[None]]


@dataclass(slots=True)
class TakenUp:
    """What was found.

    Attributes:
        rooms: all rooms on disk, with the connections in them, oldest first; those of which nothing goes on in the
            engine have no media.
        lost: those among them that have lost it meanwhile, and are to have other media before anybody asks.
        gone: connections among them that do not go on, and why.
        unwritten: what only the engine's notes knew, and is to be written down at that moment.
        is_first: whether this is the first server to go on from this store.
    """

    rooms: dict[RoomId, OpenRoom] = field(default_factory=dict)
    lost: list[OpenRoom] = field(default_factory=list)
    gone: list[tuple[OpenRoom, OpenConnection, Reason]] = field(default_factory=list)
    unwritten: list[Write] = field(default_factory=list)
    is_first: bool = False


def resume(engine: MediaEngine, endings: Endings, stored: Stored) -> TakenUp:
    """Finds the rooms on disk that go on in the engine. What is on disk is the truth: what else goes on is ended.

    A room of which only the engine knows was deleted, or nobody was ever told of it. Only a store that
    no server has gone on from yet cannot know that, and takes such rooms in.
    """
    known = {room.room: room for room in stored.rooms}
    found, ended, taken = list[OpenRoom](), set[ResourceId](), TakenUp(is_first=stored.is_new)
    rooms: dict[RoomId, OpenRoom] = {}
    for resumed in engine.resumed_rooms():
        noted = notes.read_room(resumed.note)
        # By one id only one room can be named; the notes on one that ended may still be there beside it, too.
        if noted is None or noted.room in rooms or not _is_to_go_on(noted, known, stored, taken):
            if noted is not None and noted.room in rooms:
                _keep_out(rooms[noted.room], noted, taken)
            endings.begin(resumed.room.close)
            continue
        rooms[noted.room] = opened = OpenRoom(known[noted.room], resumed.room)
        _keep_out(opened, noted, taken)
        found.append(opened)
        ended |= _take_up(opened, resumed.peers, endings)
    for note in engine.ended_rooms():
        noted = notes.read_room(note)
        if noted is None or not _is_to_go_on(noted, known, stored, taken):
            continue
        if noted.room not in rooms:
            rooms[noted.room] = OpenRoom(known[noted.room], None)
            taken.lost.append(rooms[noted.room])
        _keep_out(rooms[noted.room], noted, taken)
    for room in known.values():
        rooms.setdefault(room.room, OpenRoom(room, None))
    oldest_first = sorted(rooms.values(), key=lambda opened: opened.room.created_at)
    taken.rooms = {opened.room.room: opened for opened in oldest_first}
    taken.gone = [(opened, *which) for opened in found for which in _gone(opened, ended)]
    if rooms:
        log.info("rooms taken up", count=len(found), lost=len(taken.lost), gone=len(taken.gone))
    return taken


async def write_down(found: TakenUp, store: RoomStore, *, now: datetime) -> None:
    """Has on disk what only the engine's notes knew."""
    try:
        for write in found.unwritten:
            await write(store, now)
        if found.is_first:
            await store.take_into_use()
    except (StoreUnavailableError, RefusedError) as error:
        log.error("not all that the media process knew is written down", component="store", error=type(error).__name__)


def _is_to_go_on(noted: Room, known: dict[RoomId, Room], stored: Stored, taken: TakenUp) -> bool:
    """Whether the room is on disk; if the store is new, it is from now on."""
    if noted.room not in known and stored.is_new:
        known[noted.room] = noted
        taken.unwritten.append(lambda store, _: store.add(noted))
    return noted.room in known


def _keep_out(opened: OpenRoom, noted: Room, taken: TakenUp) -> None:
    """Keeps those out of the room who were removed from it by a note; the note has everybody whom the disk has."""
    room = opened.room
    missing = [participant for participant in noted.removed if participant not in room.removed]
    for participant in missing:
        forgotten = room.remove(participant)
        taken.unwritten.append(_removal(room.room, participant, forgotten))
    if missing or list(noted.removed) != list(room.removed):
        opened.leave_note()


def _removal(room: RoomId, participant: ParticipantId, forgotten: ParticipantId | None) -> Write:
    return lambda store, now: store.remove(room, participant, at=now, forgotten=forgotten)


def _take_up(opened: OpenRoom, peers: tuple[ResumedPeer, ...], endings: Endings) -> set[ResourceId]:
    """Has the connections in their room, and returns which of them have lost their transport since."""
    ended = set()
    for peer in peers:
        connection = _connection(opened, peer)
        if connection is None:
            endings.begin(peer.peer.remove)
            continue
        opened.open[connection.resource] = connection
        if peer.has_ended:
            ended.add(connection.resource)
    return ended


def _gone(opened: OpenRoom, ended: set[ResourceId]) -> list[tuple[OpenConnection, Reason]]:
    """Lists what does not go on: the server before may have written down why and died before it asked for it."""
    gone, forbidden = [], opened.forbidden()
    for connection in opened.open.values():
        if connection.connection.participant in opened.room.removed:
            gone.append((connection, Reason.REMOVED))
        elif connection in forbidden:
            gone.append((connection, Reason.RIGHTS_CHANGED))
        elif connection.resource in ended:
            gone.append((connection, Reason.TRANSPORT_LOST))
    return gone


def _connection(opened: OpenRoom, resumed: ResumedPeer) -> OpenConnection | None:
    note = notes.read_connection(resumed.note)
    if note is None:
        return None
    return OpenConnection(
        resource=ResourceId(note.resource),
        room=opened.room.room,
        connection=note.connection(),
        peer=resumed.peer,
        transports=list(resumed.transports),
        offer=note.offer,
        ice_tag=note.ice_tag,
        client=note.client,
        plays=tuple(note.plays),
    )
