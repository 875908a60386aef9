"""One database, through one connection whose own thread touches the disk: the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from signalling.store import opening
from signalling.store.base import StoreUnavailableError
from signalling.store.words import code_of, words_of

log = structlog.get_logger(__name__)

MAX_WAITING = 256  # A disk that takes ten milliseconds for each has done them within the time that anybody waits.
ANSWER_LIMIT_S = 5.0  # A disk writes within milliseconds, or hangs.
CLOSE_LIMIT_S = 2.0

_T = TypeVar("_T")
Work = Callable[[AsyncConnection], Awaitable[_T]]


class _Asked:
    """Whether anybody still wants a transaction."""

    is_given_up = False

    def check(self) -> None:
        """Goes no further with one that was given up.

        Raises:
            StoreUnavailableError: it was.
        """
        if self.is_given_up:
            raise StoreUnavailableError("given up: nobody waits for it any more")


class Database:
    """A file, open from entry to exit. What is done on it is done one after the other, each in a transaction."""

    def __init__(self, path: Path, *, lock_limit_s: float = opening.LOCK_LIMIT_S) -> None:
        self._path = path
        self._lock_limit_s = lock_limit_s
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._fails = False
        self._engine: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        """Opens it.

        Raises:
            StoreUnusableError: this is not possible.
        """
        self._engine = await opening.open_engine(self._path, lock_limit_s=self._lock_limit_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for what is under way, a little, and closes it."""
        if self._under_way:
            _, left = await asyncio.wait(self._under_way, timeout=CLOSE_LIMIT_S)
            if left:
                log.error("store does not answer: closed without it", component="store", count=len(left))
        if self._engine is not None:
            await opening.close(self._engine)

    def begin(self, work: Work[_T]) -> asyncio.Task[_T]:
        """Begins a transaction, after those that were begun before; it goes on although nobody waits for it."""
        return self._begin(work, _Asked(), erases=False)

    async def change(self, work: Work[_T], *, erases: bool = False, even_late: bool = False) -> _T:
        """Carries out a transaction.

        Args:
            work: what is done in it.
            erases: whether what it deletes is to be gone from the log of changes, too.
            even_late: whether it is to be carried out although nobody waits for it any more.

        Raises:
            StoreUnavailableError: it was not carried out; or it was not within `ANSWER_LIMIT_S`, and may be done later
                if it is to be, or if the disk was at its last step.
            IntegrityError: what is there already forbids it.
        """
        if len(self._under_way) >= MAX_WAITING:
            raise StoreUnavailableError("the disk is too slow for all that is to be written: try again later")
        asked = _Asked()
        task = self._begin(work, asked, erases=erases)
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await asyncio.shield(task)
        except TimeoutError:
            self._tell(code="late")
            raise StoreUnavailableError("the disk has not answered in time: look whether it is done") from None
        finally:
            asked.is_given_up = not even_late

    def _begin(self, work: Work[_T], asked: _Asked, *, erases: bool) -> asyncio.Task[_T]:
        task = asyncio.create_task(self._carry_out(work, asked, erases=erases), name="store")
        self._under_way.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def _carry_out(self, work: Work[_T], asked: _Asked, *, erases: bool) -> _T:
        async with self._turn:
            assert self._engine is not None  # noqa: S101 - open
            try:
                asked.check()
                async with self._engine.begin() as connection:
                    done = await work(connection)
                    asked.check()  # from here on it is done, whoever waits
                if erases:
                    await opening.empty_log(self._engine)
            except IntegrityError:
                raise
            except SQLAlchemyError as error:
                code = code_of(error)
                self._tell(code=code)
                raise StoreUnavailableError(words_of(code)) from error
            if self._fails:
                self._fails = False
                log.info("store takes what is written again", component="store")
            return done

    def _tell(self, *, code: str) -> None:
        """Logs that it fails: once, until it works again."""
        if not self._fails:
            self._fails = True
            log.error("store takes nothing: no room is made or deleted, calls go on", component="store", code=code)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at in any case: perhaps nobody waits for it any more.
