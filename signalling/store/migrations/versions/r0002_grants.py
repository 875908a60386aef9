"""Whose rights were changed in a room."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "grants",
        sa.Column("room_id", sa.String(256), nullable=False),
        sa.Column("identity", sa.String(256), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("can_publish", sa.Boolean(), nullable=False),
        sa.Column("can_subscribe", sa.Boolean(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=True),
        sa.Column("can_publish_data", sa.Boolean(), nullable=False),
        sa.Column("can_update_own_metadata", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "identity", name="pk_grants"),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_grants_room_id", ondelete="CASCADE"),
    )
