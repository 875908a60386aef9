"""Bringing a database to what this program needs, and refusing one that is not ours to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from signalling.store.base import StoreUnusableError

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002")
"""The steps that there are, oldest first."""

FOLDER = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str | None:
    """Returns the revision of a database, or None of an empty one.

    Raises:
        StoreUnusableError: a newer version of this program, or another program, has made it.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreUnusableError("is the database of another program: name another file")
        return None
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision not in REVISIONS:
        raise StoreUnusableError(
            f"was written by a newer version of pysfu (revision {revision}; this one knows up to {REVISIONS[-1]}): "
            "install that version again, or put the backup from before it in its place"
        )
    return str(revision)


def migrate(connection: Connection) -> str | None:
    """Brings a database to the newest revision, in the transaction that it is given.

    Returns:
        The revision before; None of one that was empty.

    Raises:
        StoreUnusableError: it is not ours to change.
    """
    before = revision_of(connection)
    if before != REVISIONS[-1]:
        # Only now: a server that has no step to take starts sooner without Alembic, and takes less memory.
        from alembic import command

        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before


def configuration() -> Config:
    """Says to Alembic where the steps are."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
