"""A real HTTP server on loopback around meetings in memory, and clients that open lines to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlencode

import conftest
from livekit.protocol.rtc import SignalResponse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from signalling import serving
from signalling.certificate import LiveCertificate

HANG_S = 20.0  # Only catches hangs.


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    bench: conftest.Bench
    http: serving.Uvicorn
    port: int

    def address(self, path: str = "/rtc", scheme: str = "ws", **query: object) -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}" + (f"?{urlencode(query)}" if query else "")

    def connecting(self, address: str, **more: object) -> connect:
        plain = {"ping_interval": None, "compression": None, "proxy": None, "open_timeout": HANG_S}
        return connect(address, **plain | more)

    async def joining(self, *, name: str = "alice", **more: object) -> connect:
        """A new room, and somebody about to connect to it."""
        token = await self.bench.token(await self.bench.room(), participant=name)
        return self.connecting(self.address(access_token=token), **more)


@contextlib.asynccontextmanager
async def served(bench: conftest.Bench, certificate: LiveCertificate | None = None) -> AsyncIterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    http = serving.Uvicorn(serving.configured(bench.settings, bench.app, certificate))
    running = asyncio.create_task(http.serve([listening]))
    try:
        yield Served(bench, http, listening.getsockname()[1])
    finally:
        http.should_exit = True
        await running


async def told(client: ClientConnection) -> SignalResponse:
    """Returns what a client is told next."""
    async with asyncio.timeout(HANG_S):
        frame = await client.recv()
    assert isinstance(frame, bytes)
    return SignalResponse.FromString(frame)


async def all_told(client: ClientConnection) -> list[SignalResponse]:
    """Returns what a client is told until the line ends."""
    said: list[SignalResponse] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            said.append(await told(client))
    return said


async def code_of_end(client: ClientConnection) -> int | None:
    """Returns with which code the line ends, whatever is told before."""
    await all_told(client)
    return client.close_code
