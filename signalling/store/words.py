"""What the database says, in words for those who run it. Its own may quote what was written, and are never shown."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_WORDS = {
    "SQLITE_FULL": "the disk is full: make room there",
    "SQLITE_BUSY": "another program keeps it locked: end that one, or wait for it",
    "SQLITE_LOCKED": "another program keeps it locked: end that one, or wait for it",
    "SQLITE_READONLY": "cannot be written: look at its permissions, and at those of its folder and file system",
    "SQLITE_PERM": "cannot be written: look at its permissions, and at those of its folder and file system",
    "SQLITE_CANTOPEN": "cannot be opened: look at its permissions, and at those of its folder",
    "SQLITE_NOTADB": "is not a database: name another file",
    "SQLITE_CORRUPT": "is damaged: put a backup in its place",
    "SQLITE_IOERR": "the disk fails: look at what the kernel logs",
}
_OTHERWISE = "the database fails: look at the log"


def code_of(error: SQLAlchemyError) -> str:
    """Returns SQLite's name for what went wrong, or else the error's."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return str(getattr(cause, "sqlite_errorname", type(error).__name__))


def words_of(code: str) -> str:
    """Says what a code means, and what to do."""
    kind = "_".join(code.split("_")[:2])  # SQLITE_IOERR_FSYNC is one of several SQLITE_IOERR
    return _WORDS.get(kind, _OTHERWISE)
