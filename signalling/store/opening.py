"""Opening a database file, or saying in one line why not."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from signalling.store.base import StoreUnusableError
from signalling.store.migrating import migrate, revision_of
from signalling.store.words import code_of, words_of

LOCK_LIMIT_S = 2.0  # Others hold the lock for milliseconds, such as a backup at its end.
CLOSE_LIMIT_S = 2.0

_PRAGMAS = (
    # What was answered outlives a loss of power: with NORMAL the last commits may be gone, and who was removed back.
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",  # what is erased is written over
)
_WAL = "journal_mode = WAL"  # who reads, such as a backup, holds up nobody who writes; the file remembers it
_EMPTY_WAL = "wal_checkpoint(TRUNCATE)"
_BARE = "pysfu_bare"  # of a connection that begins no transaction

_T = TypeVar("_T")


async def open_engine(path: Path, *, lock_limit_s: float = LOCK_LIMIT_S) -> AsyncEngine:
    """Opens a file, makes it where there is none, and brings it to what this program needs.

    Raises:
        StoreUnusableError: this is not possible.
    """
    with _told(path):
        _check_place(path)
        _make_private(path)
        engine = _engine(path, lock_limit_s)
        try:
            await _look(engine, revision_of)  # before anything is changed: it may be another program's
            await _bare(engine, _WAL)
            await _look(engine, migrate)
        except BaseException:
            await close(engine)
            raise
        return engine


async def examine(path: Path, *, lock_limit_s: float = LOCK_LIMIT_S) -> None:
    """Looks whether a file can be opened, and changes nothing.

    Raises:
        StoreUnusableError: it cannot.
    """
    with _told(path):
        if _check_place(path):
            engine = _engine(path, lock_limit_s)
            try:
                await _look(engine, revision_of)
            finally:
                await close(engine)


async def close(engine: AsyncEngine) -> None:
    """Closes it; a disk that hangs is not waited for."""
    closing = asyncio.ensure_future(engine.dispose())
    await asyncio.wait([closing], timeout=CLOSE_LIMIT_S)


async def empty_log(engine: AsyncEngine) -> None:
    """Takes what was erased out of the log of changes, where it stays otherwise until that is written over."""
    await _bare(engine, _EMPTY_WAL)


def _check_place(path: Path) -> bool:
    """Looks whether a file can be there, and returns whether it is."""
    if path.is_dir():
        raise StoreUnusableError("is a folder: name a file in it")
    if not path.parent.is_dir():
        raise StoreUnusableError(f"cannot be made: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreUnusableError(f"cannot be written: no right to write in its folder {path.parent}")
    if not path.exists():
        return False
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreUnusableError("cannot be read and written: look at its permissions")
    return True


def _make_private(path: Path) -> None:
    """Makes an empty file for its owner alone, where there is none; SQLite gives those beside it the same rights."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnusableError(f"cannot be made: {error.strerror}") from error


def _engine(path: Path, lock_limit_s: float) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        # Python's own way of transactions would leave changes of tables outside them: we begin each ourselves.
        connect_args={"timeout": lock_limit_s, "isolation_level": None},
        pool_size=1,
        max_overflow=0,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(_BARE):
        # With the right to write from the start: gained in the middle, what was read may have changed.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _bare(engine: AsyncEngine, pragma: str) -> None:
    """Does what cannot be done in a transaction."""
    async with engine.connect() as connection:
        await connection.execution_options(**{_BARE: True})
        await connection.exec_driver_sql(f"PRAGMA {pragma}")


async def _look(engine: AsyncEngine, look: Callable[[Connection], _T]) -> _T:
    async with engine.begin() as connection:
        return await connection.run_sync(look)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Names the file in what is wrong with it."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreUnusableError(f"{path}: {words_of(code_of(error))}") from error
    except StoreUnusableError as error:
        raise StoreUnusableError(f"{path}: {error}") from error.__cause__
