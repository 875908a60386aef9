"""Who came in, and when: written down soon after, many at once, and without anybody waiting for the disk."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import bindparam, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from signalling.domain.ids import ParticipantId, RoomId
from signalling.store.base import StoreUnavailableError
from signalling.store.db import Database
from signalling.store.tables import participants, rooms

log = structlog.get_logger(__name__)

MAX_UNWRITTEN = 10_000  # While the disk takes nothing: as many as come within minutes. The oldest are forgotten first.
MAX_KEPT = 1_000  # In a room, besides those who may not come back: as many as it can hold at once.

_Unwritten = dict[tuple[RoomId, ParticipantId], datetime]

_IDENTITY = bindparam("b_identity", type_=participants.c.identity.type)
_IS_THEIRS = (participants.c.room_id == bindparam("b_room"), participants.c.identity == _IDENTITY)
_AT = bindparam("b_at", type_=participants.c.last_seen_at.type)
_AGAIN = (
    update(participants)
    .where(*_IS_THEIRS)
    .values(first_seen_at=func.coalesce(participants.c.first_seen_at, _AT), last_seen_at=_AT)
)
_FIRST = insert(participants).from_select(
    ["room_id", "identity", "first_seen_at", "last_seen_at"],
    # Of a room that is gone meanwhile there is no row, and nothing is written.
    select(rooms.c.id, _IDENTITY, _AT, _AT).where(rooms.c.id == bindparam("b_room"), ~exists().where(*_IS_THEIRS)),
)
_OF_ROOM = (participants.c.room_id == bindparam("b_room"), participants.c.removed_at.is_(None))
_BEYOND = delete(participants).where(
    *_OF_ROOM,
    participants.c.identity.not_in(
        select(participants.c.identity)
        .where(*_OF_ROOM)
        .order_by(participants.c.last_seen_at.desc(), participants.c.identity)
        .limit(MAX_KEPT)
    ),
)


class Seen:
    """Those who were seen and are not written down yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: _Unwritten = {}
        self._writing: asyncio.Task[None] | None = None

    def see(self, room: RoomId, participant: ParticipantId, *, at: datetime) -> None:
        """Takes note of somebody, and has it written down."""
        self._note({(room, participant): at})
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="seen")

    def forget(self, room: RoomId) -> None:
        """Forgets those of a room that is being erased."""
        for key in [key for key in self._unwritten if key[0] == room]:
            del self._unwritten[key]

    async def settle(self) -> None:
        """Waits until all are written down, if they can be."""
        if self._writing is not None:
            await self._writing

    def _note(self, seen: _Unwritten) -> None:
        for key, at in seen.items():
            self._unwritten.pop(key, None)
            self._unwritten[key] = at
        while len(self._unwritten) > MAX_UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]

    async def _write(self) -> None:
        while self._unwritten:
            seen, self._unwritten = self._unwritten, {}
            try:
                await self._database.change(partial(_written, seen))
            except StoreUnavailableError:
                newer, self._unwritten = self._unwritten, seen
                self._note(newer)
                log.warning("who came in is not written down yet", component="store", count=len(self._unwritten))
                return  # The next one who comes in has it tried again.


async def _written(seen: _Unwritten, connection: AsyncConnection) -> None:
    rows = [{"b_room": room, "b_identity": participant, "b_at": at} for (room, participant), at in seen.items()]
    await connection.execute(_AGAIN, rows)
    await connection.execute(_FIRST, rows)
    await connection.execute(_BEYOND, [{"b_room": room} for room in {room for room, _ in seen}])
