"""Rooms in the database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import Rights
from signalling.domain.room import Room, RoomPolicy
from signalling.faults import RefusedError
from signalling.store import grants
from signalling.store.base import Stored
from signalling.store.db import Database, Work
from signalling.store.seen import Seen
from signalling.store.tables import marks, participants, rooms

POLICY = TypeAdapter(RoomPolicy)
"""How what holds in a room is written down; what an earlier version did not know has its default."""

_IN_USE = "in_use"
_REMOVE = (
    update(participants)
    .where(participants.c.room_id == bindparam("b_room"), participants.c.identity == bindparam("b_identity"))
    .values(removed_at=bindparam("b_at"))
)


class SqlRooms:
    """The `RoomStore` of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = Seen(database)

    async def load(self) -> Stored:
        """Reads everything."""
        return await self._database.change(_read)

    async def take_into_use(self) -> None:
        """Takes note that it knows of every room from now on."""

        async def work(connection: AsyncConnection) -> None:
            if not await _is_in_use(connection):
                await connection.execute(insert(marks), {"name": _IN_USE})

        await self._database.change(work)

    async def add(self, room: Room) -> None:
        """Writes a room down; one of which it is not known that it is, is taken out again."""

        async def work(connection: AsyncConnection) -> None:
            row = {
                "id": room.room,
                "name": room.name,
                "created_at": room.created_at,
                "policy": POLICY.dump_json(room.policy).decode(),
                "metadata": room.metadata,
            }
            await connection.execute(insert(rooms), row)
            for number, participant in enumerate(room.removed):
                # When is not known, but in which order.
                at = room.created_at + timedelta(microseconds=number)
                await _write_removed(connection, room.room, participant, at)

        try:
            await self._database.change(work)
        except IntegrityError as error:
            raise RefusedError(Refusal.NAME_TAKEN) from error
        except BaseException:
            # The disk may have been at its last step. Nobody has the id of that room, so nobody would ever delete it.
            self._database.begin(_erasing(room.room))
            raise

    async def describe(self, room: RoomId, metadata: str) -> None:
        """Writes something else on a room."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(rooms).where(rooms.c.id == room).values(metadata=metadata))

        await self._database.change(work)

    async def delete(self, room: RoomId) -> None:
        """Erases a room and all that is known of anybody in it."""
        self._seen.forget(room)
        await self._database.change(_erasing(room), erases=True)

    async def remove(
        self, room: RoomId, participant: ParticipantId, *, at: datetime, forgotten: ParticipantId | None
    ) -> None:
        """Writes down that somebody may not come back, and that somebody else may."""

        async def work(connection: AsyncConnection) -> None:
            await _write_removed(connection, room, participant, at)
            if forgotten is not None:
                await connection.execute(_REMOVE, {"b_room": room, "b_identity": forgotten, "b_at": None})

        await self._database.change(work, even_late=True)

    async def grant(
        self, room: RoomId, participant: ParticipantId, rights: Rights, *, forgotten: Collection[ParticipantId]
    ) -> None:
        """Writes down that somebody's rights were changed, and forgets those of others."""

        async def work(connection: AsyncConnection) -> None:
            await grants.forget(connection, room, forgotten)
            await grants.write(connection, room, participant, rights)

        await self._database.change(work, even_late=True)

    def see(self, room: RoomId, participant: ParticipantId, *, at: datetime) -> None:
        """Takes note that somebody came in."""
        self._seen.see(room, participant, at=at)

    async def settle(self) -> None:
        """Waits until what nobody waits for is written down, if it can be."""
        await self._seen.settle()


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqlRooms]:
    """Opens the store of a server.

    Raises:
        StoreUnusableError: this is not possible.
    """
    async with Database(path) as database:
        store = SqlRooms(database)
        try:
            yield store
        finally:
            await store.settle()


async def _is_in_use(connection: AsyncConnection) -> bool:
    return await connection.scalar(select(marks.c.name).where(marks.c.name == _IN_USE)) is not None


async def _read(connection: AsyncConnection) -> Stored:
    found = {
        RoomId(row.id): Room(
            room=RoomId(row.id),
            name=row.name,
            created_at=row.created_at,
            policy=POLICY.validate_json(row.policy),
            metadata=row.metadata,
        )
        for row in await connection.execute(select(rooms).order_by(rooms.c.created_at, rooms.c.id))
    }
    removed = (
        select(participants.c.room_id, participants.c.identity)
        .where(participants.c.removed_at.is_not(None))
        .order_by(participants.c.removed_at, participants.c.identity)
    )
    for row in await connection.execute(removed):
        found[RoomId(row.room_id)].remove(ParticipantId(row.identity))
    for room, participant, rights in await grants.read(connection):
        found[room].rights[participant] = rights
    return Stored(rooms=list(found.values()), is_new=not await _is_in_use(connection))


def _erasing(room: RoomId) -> Work[None]:
    async def work(connection: AsyncConnection) -> None:
        # Those in it go along: the database holds on to nothing of anybody without a room.
        await connection.execute(delete(rooms).where(rooms.c.id == room))

    return work


async def _write_removed(connection: AsyncConnection, room: RoomId, participant: ParticipantId, at: datetime) -> None:
    """Writes it where the participant has a row, or else a row; nothing of a room that is gone."""
    values = {"b_room": room, "b_identity": participant, "b_at": at}
    if (await connection.execute(_REMOVE, values)).rowcount:
        return
    row = select(
        rooms.c.id,
        bindparam("b_identity", type_=participants.c.identity.type),
        bindparam("b_at", type_=participants.c.removed_at.type),
    )
    there = row.where(rooms.c.id == bindparam("b_room"))
    await connection.execute(insert(participants).from_select(["room_id", "identity", "removed_at"], there), values)
