"""One WebSocket of LiveKit's protocol, version 0, as a client has it: what it asks, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self
from urllib.parse import urlencode

from callers import HANG_S, until
from livekit.protocol.rtc import SignalRequest, SignalResponse
from meeting_edge import RefusedError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PROTOCOL = 16

Hear = Callable[["Line", SignalResponse], Awaitable[None]]


class RefusedConnectionError(RefusedError):
    """The WebSocket was not opened.

    Attributes:
        status: what the server answered instead.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


async def _do_nothing(_: Line, __: SignalResponse) -> None:
    pass


class Line:
    """A WebSocket that is open, from entry to exit.

    Attributes:
        told: what the client was told, in order.
        websocket: what it goes over.
    """

    websocket: ClientConnection

    def __init__(self, base_url: str, token: str, *, hear: Hear = _do_nothing, **query: object) -> None:
        wanted = {"protocol": PROTOCOL, "sdk": "python", **query}
        self.told: list[SignalResponse] = []
        self._address = f"{base_url.rstrip('/').replace('http', 'ws', 1)}/rtc?{urlencode(wanted)}"
        self._bearer = {"Authorization": f"Bearer {token}"}
        self._hear = hear

    async def __aenter__(self) -> Self:
        connecting = connect(
            self._address, additional_headers=self._bearer, compression=None, proxy=None, ping_interval=None
        )
        try:
            self.websocket = await connecting
        except InvalidStatus as refused:
            raise RefusedConnectionError(refused.response.status_code) from refused
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.websocket.close()
        await self._reading

    async def ask(self, **request: object) -> None:
        """Says one thing, as a field of `SignalRequest`."""
        await self.websocket.send(SignalRequest(**request).SerializeToString())

    async def hears(self, kind: str, wanted: Callable[[SignalResponse], bool] = lambda _: True) -> SignalResponse:
        """Waits until the client was told something, and returns the latest of that kind."""
        await until(lambda: self.last(kind, wanted) is not None, f"{kind}; told {self.kinds()}")
        told = self.last(kind, wanted)
        assert told is not None
        return told

    def last(self, kind: str, wanted: Callable[[SignalResponse], bool] = lambda _: True) -> SignalResponse | None:
        """Returns the latest of a kind."""
        fitting = (told for told in reversed(self.told) if told.WhichOneof("message") == kind and wanted(told))
        return next(fitting, None)

    def kinds(self) -> list[str | None]:
        """Lists of which kinds the client was told."""
        return [told.WhichOneof("message") for told in self.told]

    async def code(self) -> int | None:
        """Waits until the server has closed it, and returns with which code."""
        async with asyncio.timeout(HANG_S):
            await self.websocket.wait_closed()
        return self.websocket.close_code

    def cut(self) -> None:
        """Loses it without a word."""
        self.websocket.transport.abort()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.websocket:
                assert isinstance(frame, bytes)
                told = SignalResponse.FromString(frame)
                self.told.append(told)
                await self._hear(self, told)
