"""How rooms and connections end: begun at once, shown until the engine has done it, told to whoever waits to hear."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import structlog

from signalling.connections import OpenConnection, OpenRoom
from signalling.control import Control
from signalling.domain.ids import RoomId
from signalling.domain.notices import Reason, notice_of
from signalling.endings import Endings
from signalling.media import MediaGoneError

log = structlog.get_logger(__name__)


class Closing:
    """Ends what is open in these rooms, and the rooms."""

    def __init__(self, rooms: dict[RoomId, OpenRoom], endings: Endings, control: Control) -> None:
        self._rooms = rooms
        self._endings = endings
        self._control = control

    def begin_to_end(self, opened: OpenRoom) -> asyncio.Task[None]:
        """Begins to end a room, unless that is under way; it is forgotten once the engine has done it."""
        if opened.ending is None or opened.ending.done():
            opened.ending = self._endings.begin(partial(self._end, opened))
        return opened.ending

    def begin_to_close(
        self, opened: OpenRoom, closing: OpenConnection, reason: Reason, *, detail: str | None = None
    ) -> list[asyncio.Task[None]]:
        """Begins likewise to end a connection, and those that it leaves alone.

        Args:
            opened: its room.
            closing: the connection.
            reason: what its holder is told.
            detail: what is logged, where more is known.
        """
        if closing.ending is None or closing.ending.done():
            closing.ending = self._endings.begin(partial(self._close, opened, closing, reason, detail))
        endings = [closing.ending]
        for left in opened.left_alone():
            endings += self.begin_to_close(opened, left, Reason.SOURCE_LEFT)
        return endings

    async def _end(self, opened: OpenRoom) -> None:
        for media in filter(None, (*opened.lost, opened.media)):
            with self._control.held(), contextlib.suppress(MediaGoneError):
                await media.close()
        self._rooms.pop(opened.room.room, None)
        log.info("room deleted", room=opened.room.room, count=len(opened.open))
        reason = Reason.STOPPING if self._endings.stopping else Reason.ROOM_DELETED
        opened.end(reason)
        notice = notice_of(reason)
        for connection in opened.open.values():
            connection.watch.end(notice)

    async def _close(self, opened: OpenRoom, closing: OpenConnection, reason: Reason, detail: str | None) -> None:
        if opened.open.get(closing.resource) is not closing:
            return  # The engine has ended it, with the room's half there.
        with self._control.held(), contextlib.suppress(MediaGoneError):
            await closing.peer.remove()
        opened.discard(closing, reason)
        closing.watch.end(notice_of(reason))
        log.info("connection closed", room=closing.room, reason=detail or reason.value)
