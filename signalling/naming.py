"""What rooms are called: a name is one room's among those that exist, and no other room's id."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

from signalling.connections import OpenRoom
from signalling.control import Control
from signalling.domain.ids import RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.room import Room
from signalling.faults import NotFoundError, RefusedError


class Names:
    """Finds rooms by their names, and keeps the names of those that are being made."""

    def __init__(self, rooms: Mapping[RoomId, OpenRoom], control: Control) -> None:
        self._rooms = rooms
        self._control = control
        self._making: dict[str, asyncio.Event] = {}  # no more than rooms: those being made count there, too

    def find(self, name: str) -> Room:
        """Returns the room of this name, or else of this id.

        Raises:
            NotFoundError: there is none.
            ReplacedError: another server has the rooms.
        """
        return self._find(name).room

    def find_lasting(self, name: str) -> Room:
        """Returns likewise a room that is not about to end.

        Raises:
            NotFoundError: there is none.
            ReplacedError: another server has the rooms.
        """
        found = self._find(name)
        if found.ending is not None:
            raise NotFoundError("room")
        return found.room

    @contextlib.contextmanager
    def held(self, name: str | None) -> Iterator[None]:
        """Keeps a name for a room while it is being made.

        Raises:
            RefusedError: it is another room's, also of one that is about to end.
        """
        if name is None:
            yield
            return
        if name in self._making or any(name in (opened.room.name, opened.room.room) for opened in self._rooms.values()):
            raise RefusedError(Refusal.NAME_TAKEN)
        settled = self._making[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._making[name]
            settled.set()

    async def settled(self, name: str) -> bool:
        """Waits until a room of this name has been made or has not; returns whether one was being made."""
        making = self._making.get(name)
        if making is not None:
            await making.wait()
        return making is not None

    def _find(self, name: str) -> OpenRoom:
        self._control.check()
        for opened in self._rooms.values():
            if opened.room.name == name:
                return opened
        by_id = self._rooms.get(RoomId(name))
        if by_id is None:
            raise NotFoundError("room")
        return by_id
