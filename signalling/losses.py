"""What ends without anyone here having asked for it: transports, rooms' halves in the engine, all of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from signalling.closing import Closing
from signalling.connections import OpenRoom
from signalling.domain.ids import RoomId
from signalling.domain.notices import Reason, notice_of
from signalling.endings import ended
from signalling.homes import Homes
from signalling.media import MediaRoom

log = structlog.get_logger(__name__)


class Losses:
    """Clears away what has ended in these rooms."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], homes: Homes, closing: Closing) -> None:
        self._rooms = rooms
        self._homes = homes
        self._closing = closing

    def of_peers(self, gone: Callable[[str], bool], *, reason: str) -> Awaitable[None]:
        """Ends the connections of peers that have gone, at once: what is opened meanwhile is not meant."""
        why, endings = Reason.LEFT if reason == "closed" else Reason.TRANSPORT_LOST, list[asyncio.Task[None]]()
        for opened in self._rooms.values():
            for connection in [c for c in opened.open.values() if gone(c.peer.id)]:
                endings += self._closing.begin_to_close(opened, connection, why, detail=reason)
        return ended(endings)

    def of_media(self, gone: Callable[[MediaRoom], bool], reason: Reason, *, counts: bool = True) -> None:
        """Finds the rooms whose half in the engine has ended, of which nothing is left there."""
        for opened in self._rooms.values():
            if opened.media is not None and gone(opened.media):
                self.of_room(opened, reason, counts=counts)

    def of_room(self, opened: OpenRoom, reason: Reason, *, counts: bool) -> None:
        """Forgets what was open in a room whose half in the engine has ended: the room itself goes on."""
        log.error("room lost its media", room=opened.room.room, reason=reason.value, count=len(opened.open))
        self._homes.lose(opened, counts=counts)
        if opened.ending is not None:
            return  # That is told when it has ended.
        rest = self._homes.rest_of(opened) or None
        notice = notice_of(Reason.ROOM_QUARANTINED if rest else reason, after=rest)
        lost = list(opened.open.values())
        opened.open.clear()
        for connection in lost:
            is_removed = connection.connection.participant in opened.room.removed
            connection.watch.end(notice_of(Reason.REMOVED) if is_removed else notice)
