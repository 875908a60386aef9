"""What those who come into a room may be besides those who meet; of rooms that are there already, nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("rooms", sa.Column("allowed_roles", sa.String(256), nullable=False, server_default=""))
