"""The tables. Names of people are in none of them: participants have the opaque ids of their tokens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, Column, DateTime, ForeignKey, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

from signalling.domain.ids import MAX_ID_LENGTH


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. SQLite keeps no time zone, so all are UTC there, and come back as such."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuses what is no moment."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Says that it is UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

marks = Table("marks", metadata, Column("name", String(64), primary_key=True))
"""Facts about the store: `in_use` once a server has taken in what a media process had before there was a store."""

rooms = Table(
    "rooms",
    metadata,
    Column("id", String(MAX_ID_LENGTH), primary_key=True),
    Column("name", String(MAX_ID_LENGTH), unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("policy", Text, nullable=False),  # JSON: it is read as a whole, and has more in it with time
    Column("metadata", Text, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("room_id", ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True),
    Column("identity", String(MAX_ID_LENGTH), primary_key=True),
    Column("first_seen_at", UtcDateTime),
    Column("last_seen_at", UtcDateTime),
    Column("removed_at", UtcDateTime),
)
"""Whoever came in, or was removed and may not come back as long as there is the room, perhaps without having come."""

grants = Table(
    "grants",
    metadata,
    Column("room_id", ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True),
    Column("identity", String(MAX_ID_LENGTH), primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("can_publish", Boolean, nullable=False),
    Column("can_subscribe", Boolean, nullable=False),
    Column("sources", Text),  # with a blank between them; none at all: of everything
    Column("can_publish_data", Boolean, nullable=False),
    Column("can_update_own_metadata", Boolean, nullable=False),
)
"""What those may whose rights were changed in a room, whatever is said by tokens that were issued before."""
