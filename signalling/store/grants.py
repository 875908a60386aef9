"""Changed rights in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import Row, delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from signalling.domain.grants import Source
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.rights import Rights
from signalling.store.tables import grants, rooms


async def write(connection: AsyncConnection, room: RoomId, participant: ParticipantId, rights: Rights) -> None:
    """Writes somebody's rights in place of those before; nothing of a room that is gone."""
    await forget(connection, room, [participant])
    row = asdict(rights) | {"identity": participant, "sources": _text_of(rights.sources)}
    values = [literal(value, grants.c[name].type) for name, value in row.items()]
    there = select(rooms.c.id, *values).where(rooms.c.id == room)
    await connection.execute(insert(grants).from_select(["room_id", *row], there))


async def forget(connection: AsyncConnection, room: RoomId, participants: Collection[ParticipantId]) -> None:
    """Forgets the changed rights of these."""
    await connection.execute(delete(grants).where(grants.c.room_id == room, grants.c.identity.in_(participants)))


async def read(connection: AsyncConnection) -> list[tuple[RoomId, ParticipantId, Rights]]:
    """Reads all of them."""
    found = await connection.execute(select(grants).order_by(grants.c.room_id, grants.c.since, grants.c.identity))
    return [(RoomId(row.room_id), ParticipantId(row.identity), _rights_of(row)) for row in found]


def _text_of(sources: frozenset[Source] | None) -> str | None:
    return None if sources is None else " ".join(sorted(sources))


def _rights_of(row: Row[tuple[object, ...]]) -> Rights:
    words = None if row.sources is None else row.sources.split()
    return Rights(
        can_publish=row.can_publish,
        can_subscribe=row.can_subscribe,
        # As in a token: one that means nothing here allows nothing.
        sources=None if words is None else frozenset(source for source in Source if source in words),
        can_publish_data=row.can_publish_data,
        can_update_own_metadata=row.can_update_own_metadata,
        since=row.since,
    )
