"""Several commands at once: what is asked for, and that all of it was done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pysfu import messages
    from pysfu.errors import RefusedError


def all_asked(futures: Iterable[asyncio.Future[messages.AnyReply]]) -> list[asyncio.Future[messages.AnyReply]]:
    """Collects what is being asked for, one after the other; when one cannot be, nobody will await those before it.

    Raises:
        UnavailableError: from `Bridge.ask`.
    """
    asked: list[asyncio.Future[messages.AnyReply]] = []
    try:
        for future in futures:
            asked.append(future)  # noqa: PERF402 (those asked must be known)
    except BaseException:
        for future in asked:
            future.cancel()
        raise
    return asked


async def all_done(
    futures: Sequence[asyncio.Future[messages.AnyReply]], *, gone: tuple[type[RefusedError], ...]
) -> None:
    """Awaits what was asked for.

    Args:
        futures: from `Bridge.ask`.
        gone: refusals that mean that there was nothing left to do.
    """
    for result in await asyncio.gather(*futures, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, gone):
            raise result
