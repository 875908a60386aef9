"""Taking up the rooms of a media process that has outlived the server before this one."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from signalling import notes
from signalling.connections import OpenConnection, OpenRoom
from signalling.domain.ids import ResourceId
from signalling.endings import Endings
from signalling.media import MediaEngine, ResumedPeer

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class TakenUp:
    """What was found.

    Attributes:
        rooms: all rooms that can be named, with the connections in them.
        gone: connections among them whose transport has ended since.
        lost: rooms whose half in the engine has ended since.
    """

    rooms: list[OpenRoom] = field(default_factory=list)
    gone: list[tuple[OpenRoom, OpenConnection]] = field(default_factory=list)
    lost: list[OpenRoom] = field(default_factory=list)


def resume(engine: MediaEngine, endings: Endings) -> TakenUp:
    """Finds the rooms that go on. What nobody can name is ended: nobody could be told that it is there."""
    found = TakenUp()
    for resumed in engine.resumed_rooms():
        room = notes.read_room(resumed.note)
        if room is None:
            endings.begin(resumed.room.close)
            continue
        opened = OpenRoom(room, resumed.room)
        found.rooms.append(opened)
        for peer in resumed.peers:
            connection = _connection(opened, peer)
            if connection is None:
                endings.begin(peer.peer.remove)
                continue
            opened.open[connection.resource] = connection
            if peer.has_ended:
                found.gone.append((opened, connection))
    for note in engine.ended_rooms():
        room = notes.read_room(note)
        if room is not None:
            found.lost.append(OpenRoom(room, None))
    if found.rooms or found.lost:
        log.info("rooms taken up", count=len(found.rooms), lost=len(found.lost), gone=len(found.gone))
    return found


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
