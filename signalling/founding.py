"""How a room comes into being: a half in the engine, a row on disk, and only then a room that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import structlog

from signalling.connections import OpenRoom
from signalling.control import Control
from signalling.domain.ids import RoomId
from signalling.domain.room import Room
from signalling.endings import Endings, ended
from signalling.faults import ClosingError
from signalling.homes import Homes
from signalling.media import MediaRoom
from signalling.store.base import RoomStore, StoreUnavailableError

log = structlog.get_logger(__name__)


class Founding:
    """Makes rooms.

    Wherever that breaks off, there is the room or nothing of it: what has no row the next server ends.
    """

    def __init__(
        self,
        rooms: dict[RoomId, OpenRoom],
        homes: Homes,
        endings: Endings,
        control: Control,
        store: RoomStore,
        *,
        is_closed: Callable[[], bool],
    ) -> None:
        self._rooms = rooms
        self._homes = homes
        self._endings = endings
        self._control = control
        self._store = store
        self._is_closed = is_closed
        self.under_way = 0

    async def found(self, room: Room) -> None:
        """Makes a room.

        Raises:
            ClosingError: the server is stopping.
            RefusedError: there is a room of that name.
            EngineLateError: the worker has not answered in time.
            StoreUnavailableError: it cannot be written down.
            ReplacedError: another server has the engine.
        """
        self.under_way += 1
        try:
            with self._control.held():
                media = await self._homes.make()
                await self._write_down(room, media)
            self._rooms[room.room] = OpenRoom(room, media)
            self._rooms[room.room].leave_note()
        finally:
            self.under_way -= 1
        log.info("room created", room=room.room)

    async def _write_down(self, room: Room, media: MediaRoom) -> None:
        try:
            self._check_open()
            await self._store.add(room)
            try:
                self._check_open()
                self._control.check()
            except Exception:
                with contextlib.suppress(StoreUnavailableError):
                    await self._store.delete(room.room)
                raise
        except BaseException as error:
            closing = self._endings.begin(media.close)
            if isinstance(error, Exception):
                await ended([closing])
            raise

    def _check_open(self) -> None:
        if self._is_closed():
            raise ClosingError
