"""Bringing a database to what this program needs, and refusing one that is not ours to change."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from signalling.store.base import StoreUnusableError

_FOLDER = Path(__file__).parent / "migrations"


def newest() -> str:
    """Returns the revision that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - there is a first one
    return head


def revision_of(connection: Connection) -> str | None:
    """Returns the revision of a database, or None of an empty one.

    Raises:
        StoreUnusableError: a newer version of this program, or another program, has made it.
    """
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        if inspect(connection).get_table_names():
            raise StoreUnusableError("is the database of another program: name another file")
        return None
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision not in known:
        raise StoreUnusableError(
            f"was written by a newer version of pysfu (revision {revision}; this one knows up to {newest()}): install "
            "that version again, or put the backup from before it in its place"
        )
    return revision


def migrate(connection: Connection) -> str | None:
    """Brings a database to the newest revision, in the transaction that it is given.

    Returns:
        The revision before; None of one that was empty.

    Raises:
        StoreUnusableError: it is not ours to change.
    """
    before = revision_of(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
