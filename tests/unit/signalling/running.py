"""A whole server on loopback around a media engine in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator

import conftest
from fake_engine import FakeEngine
from ports import free_port

from signalling import server
from signalling.config import Settings


def settings(**sections: dict[str, object]) -> Settings:
    media = {"host": "127.0.0.1", "port": free_port(socket.SOCK_DGRAM)}
    return conftest.settings(**{"media": media, **sections})


@contextlib.asynccontextmanager
async def running(settings: Settings, engine: FakeEngine) -> AsyncIterator[asyncio.Task[None]]:
    started = asyncio.Event()
    serving = asyncio.ensure_future(server.serve(settings, lambda _: engine, on_start=lambda _: started.set()))
    waiting = asyncio.ensure_future(started.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield serving
    finally:
        if not serving.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await serving
