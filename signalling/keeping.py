"""The store that the settings name. One that cannot be used is a fault of the configuration."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from signalling.config import STORE_NAME, ConfigError, Settings
from signalling.store.base import StoreUnavailableError, StoreUnusableError
from signalling.store.db import Database
from signalling.store.opening import examine
from signalling.store.rooms import SqlRooms, opened


def path_of(settings: Settings) -> Path:
    """Returns where it is."""
    return settings.store.path or Path(STORE_NAME)


@contextlib.asynccontextmanager
async def kept(settings: Settings) -> AsyncIterator[SqlRooms]:
    """Opens it, makes it where there is none, and brings it to what this version needs.

    Raises:
        ConfigError: this is not possible, or nothing can be read there.
    """
    async with contextlib.AsyncExitStack() as stack:
        with _told():
            store = await stack.enter_async_context(opened(path_of(settings)))
            await store.load()
        yield store


async def check(settings: Settings) -> None:
    """Looks whether it can be used, and changes nothing.

    Raises:
        ConfigError: it cannot.
    """
    with _told():
        await examine(path_of(settings))


async def migrate(settings: Settings) -> None:
    """Makes it, or brings it to what this version needs.

    Raises:
        ConfigError: this is not possible.
    """
    with _told():
        async with Database(path_of(settings)):
            pass


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (StoreUnusableError, StoreUnavailableError) as error:
        raise ConfigError([f"store.path: {error}"]) from error
