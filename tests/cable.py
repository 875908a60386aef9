"""A cable between a server's TCP port and those who call it: it passes everything on until somebody cuts it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

MAX_READ = 65_536


@dataclass
class Cable:
    """Stands before a port of this machine, from entry to exit.

    Attributes:
        to: the port behind it.
        is_unplugged: whether nobody gets through; who calls is hung up on.
        calls: how many have called.
    """

    to: int
    is_unplugged: bool = False
    calls: int = 0
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _passing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        """Where to call."""
        return int(self._listening.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._on_call, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        self.cut()
        await asyncio.gather(*self._passing)
        await self._listening.wait_closed()

    def cut(self) -> None:
        """Ends all calls at once, as a network does that forgets them: without a word to either end."""
        for end in self._ends:
            end.transport.abort()

    async def _on_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        self._ends.add(writer)
        try:
            if not self.is_unplugged:
                with contextlib.suppress(OSError):  # of a server, or a caller, that is not there any more
                    await self._pass(reader, writer)
        finally:
            self._ends.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        self._ends.add(far_writer)
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            self._ends.discard(far_writer)
            far_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what comes from one end, and that it has ended."""
    while piece := await reader.read(MAX_READ):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof() and not writer.transport.is_closing():
        writer.write_eof()
