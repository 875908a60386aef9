"""How long a media worker is waited for; and what ends, which goes on ending however long that takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import structlog

from signalling.media import EngineLateError, EngineUnavailableError, MediaGoneError

log = structlog.get_logger(__name__)

ANSWER_LIMIT_S = 5.0  # A worker answers within milliseconds, or hangs.
RETRY_S = 1.0  # A worker that takes no commands has tens of thousands before it.


class Endings:
    """The endings that are under way.

    Each goes on although whoever asked for it waits no longer, and is tried again while the engine takes no commands:
    who is not known to be gone must be neither forgotten nor left.
    """

    def __init__(self) -> None:
        self.stopping = False
        """Whether the engine is about to stop, and ends all there is."""
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, end: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Begins an ending; `end` bears to be called again after it has failed."""
        ending = asyncio.create_task(self._carry_out(end), name="ending")
        self._under_way.add(ending)
        ending.add_done_callback(self._on_done)
        return ending

    def give_up(self) -> None:
        """Ends the tasks, once the engine has stopped or is about to."""
        for ending in tuple(self._under_way):
            ending.cancel()

    async def _carry_out(self, end: Callable[[], Awaitable[None]]) -> None:
        tried = False
        while True:
            try:
                return await end()
            except MediaGoneError:
                return None
            except EngineUnavailableError:
                if self.stopping:
                    raise
                if not tried:  # of thousands that end, each is tried again every second
                    log.warning("media worker takes no commands: what ends is tried again", component="media")
            tried = True
            await asyncio.sleep(RETRY_S)

    def _on_done(self, ending: asyncio.Task[None]) -> None:
        self._under_way.discard(ending)
        # Looked at in any case: perhaps nobody waits for it any more.
        error = None if ending.cancelled() else ending.exception()
        if error is not None and not self.stopping:
            log.error("ending failed", component="media", exc_info=error)


@contextlib.asynccontextmanager
async def in_time(otherwise: str = "try again, in another room if there is one") -> AsyncIterator[None]:
    """Gives what is asked of a worker `ANSWER_LIMIT_S`.

    Args:
        otherwise: what whoever asked is told to do when it has not answered by then.

    Raises:
        EngineLateError: it has not.
    """
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            yield
    except TimeoutError as error:
        raise EngineLateError(otherwise) from error


async def ended(endings: Iterable[asyncio.Task[None]]) -> None:
    """Waits for endings; whoever is cancelled, or has waited long enough, leaves them to themselves.

    Raises:
        EngineLateError: they go on.
        MediaError: one of them failed.
    """
    async with in_time("it goes on ending; ask again to see whether it is done"):
        outcomes = await asyncio.gather(*map(asyncio.shield, endings), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
