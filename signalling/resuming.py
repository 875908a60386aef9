"""Taking up the rooms of a media process that has outlived the server before this one."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from signalling import notes
from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.ids import ResourceId, RoomId
from signalling.domain.notices import Reason
from signalling.domain.room import Room
from signalling.endings import Endings
from signalling.media import MediaEngine, ResumedPeer

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class TakenUp:
    """What was found.

    Attributes:
        rooms: all rooms that can be named, with the connections in them, oldest first; those whose half in the engine
            has ended since have no media.
        gone: connections among them that do not go on, and why.
    """

    rooms: dict[RoomId, OpenRoom] = field(default_factory=dict)
    gone: list[tuple[OpenRoom, OpenConnection, Reason]] = field(default_factory=list)


def resume(engine: MediaEngine, endings: Endings) -> TakenUp:
    """Finds the rooms that go on. What nobody can name is ended: nobody could be told that it is there."""
    found, ended = list[OpenRoom](), set[ResourceId]()
    rooms: dict[RoomId, OpenRoom] = {}
    for resumed in engine.resumed_rooms():
        room = notes.read_room(resumed.note)
        # By one id only one room can be named; the notes on one that ended may still be there beside it, too.
        if room is None or _is_known(rooms, room):
            endings.begin(resumed.room.close)
            continue
        rooms[room.room] = opened = OpenRoom(room, resumed.room)
        found.append(opened)
        ended |= _take_up(opened, resumed.peers, endings)
    for note in engine.ended_rooms():
        room = notes.read_room(note)
        if room is not None and not _is_known(rooms, room):
            rooms[room.room] = OpenRoom(room, None)
    oldest_first = sorted(rooms.values(), key=lambda opened: opened.room.created_at)
    gone = [(opened, *which) for opened in found for which in _gone(opened, ended)]
    if rooms:
        log.info("rooms taken up", count=len(found), lost=len(rooms) - len(found), gone=len(gone))
    return TakenUp(rooms={opened.room.room: opened for opened in oldest_first}, gone=gone)


def _is_known(rooms: dict[RoomId, OpenRoom], room: Room) -> bool:
    """Whether there is a room of that id; if so, whoever was removed from this one was removed from that."""
    known = rooms.get(room.room)
    if known is None:
        return False
    for participant in room.removed:
        known.room.remove(participant)
    known.leave_note()
    return True


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
    """Lists what does not go on: the server before may have noted a removal and died before it asked for it."""
    gone = []
    for connection in opened.open.values():
        if connection.connection.participant in opened.room.removed:
            gone.append((connection, Reason.REMOVED))
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
        transport=resumed.transport,
        offer=note.offer,
        ice_tag=note.ice_tag,
        plays=tuple(note.plays),
    )
