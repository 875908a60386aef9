"""A participant program in its namespace, and what it has told so far."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from networks.network import SERVER, Host
from networks.pysfu_server import PysfuServer, base
from networks.whip import Order

PATIENCE_S = 120.0  # only catches hangs
LEAVE_PATIENCE_S = 10.0
MAX_LINE = 1 << 20  # a second of looks has 10 kB
_INTEGRATION = Path(__file__).resolve().parent.parent
_ROOT = _INTEGRATION.parent.parent

Look = dict[str, Any]
Program = Literal["chromium", "aiortc"]


class Participant:
    """Runs the program between entry and exit. Times are seconds since the epoch, one clock for all processes.

    `asks` is the address at which it asks the server.
    """

    def __init__(
        self, program: Program, host: Host, server: PysfuServer, token: str, *, asks: str = SERVER, **order: Any
    ) -> None:
        self._program = program
        self._host = host
        self._order = Order(server=base(asks), certificate=str(server.certificate), token=token, **order)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready, self._joined, self._restarted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._complaint = b""
        self.looks: list[Look] = []
        self.source = ""

    async def __aenter__(self) -> Self:
        """Starts the program, which takes seconds; `join` then takes none."""
        argv = self._host.command(
            sys.executable, "-m", f"networks.{self._program}_participant", json.dumps(dataclasses.asdict(self._order))
        )
        pipe = asyncio.subprocess.PIPE
        path = os.pathsep.join((str(_INTEGRATION), str(_ROOT)))
        self._process = await asyncio.create_subprocess_exec(
            *argv, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, "PYTHONPATH": path}, limit=MAX_LINE
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reading is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(LEAVE_PATIENCE_S):
                await self._process.wait()
                await self._reading
        except TimeoutError:
            self._process.kill()  # The network ends what it leaves behind in its namespace.
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
            await self._process.wait()

    async def join(self, path: str) -> None:
        """Publishes or plays at this path."""
        await self._await(self._ready)
        self._say(path)
        await self._await(self._joined)

    async def restart_ice(self) -> None:
        """Restarts ICE and waits until the server's answer is in."""
        self._restarted.clear()
        self._say("restart")
        await self._await(self._restarted)

    async def until(self, seen: Callable[[Look], bool], *, within_s: float = PATIENCE_S) -> Look:
        """Waits for a look, from now on, that is as wanted."""
        began, at = time.time(), len(self.looks)
        while time.time() < began + within_s:
            for look in self.looks[at:]:
                if seen(look):
                    return look
            at = len(self.looks)
            await asyncio.sleep(0.05)
        last = self.looks[-3:]
        raise AssertionError(f"{self._program} saw nothing of the kind within {within_s} s; last: {last}")

    async def sees_frames(self, count: int = 15, *, within_s: float = PATIENCE_S) -> Look:
        """Waits until this many more frames than now are decoded."""
        now = max((look["frames"] for look in self.looks if "frames" in look), default=0)
        return await self.until(lambda look: look.get("frames", 0) >= now + count, within_s=within_s)

    def last_frame(self, before: float) -> float:
        """Returns when the last frame before that moment was decoded."""
        return max(at for at in self._frames() if at <= before)

    def longest_gap_s(self, since: float, until: float) -> float:
        """Returns the longest time without a decoded frame. It may begin before and end after the span."""
        grew = self._frames()
        before = max((at for at in grew if at < since), default=since)
        after = min((at for at in grew if at > until), default=until)
        moments = [before, *(at for at in grew if since <= at <= until), after]
        return max(later - earlier for earlier, later in pairwise(moments))

    def frame_rate(self, since: float, until: float) -> float:
        """Returns decoded frames per second."""
        first, last = self._span("frames", since, until)
        return float((last["frames"] - first["frames"]) / (last["at"] - first["at"]))

    def concealed_share(self, since: float, until: float) -> float:
        """Returns which share of the sound was made up, from 0 to 1. Without DTX, made-up silence is an outage, too."""
        first, last = self._span("samples", since, until)
        return float((last["concealed"] - first["concealed"]) / max(1, last["samples"] - first["samples"]))

    def sound_rate(self, since: float, until: float) -> float:
        """Returns samples played per second."""
        first, last = self._span("samples", since, until)
        return float((last["samples"] - first["samples"]) / (last["at"] - first["at"]))

    def states(self) -> list[str]:
        """Returns the connection states gone through."""
        return [look["state"] for look in self.looks if "state" in look]

    def _frames(self) -> list[float]:
        """When more frames had been decoded than at the look before."""
        return [b["at"] for a, b in pairwise(self._with("frames")) if b["frames"] > a["frames"]]

    def _span(self, figure: str, since: float, until: float) -> tuple[Look, Look]:
        inside = [look for look in self._with(figure) if since <= look["at"] <= until]
        assert len(inside) > 1, f"{self._program} told nothing in that time"
        return inside[0], inside[-1]

    def _with(self, figure: str) -> Iterator[Look]:
        return (look for look in self.looks if figure in look)

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def _await(self, event: asyncio.Event) -> None:
        assert self._reading is not None
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait({waiting, self._reading}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not event.is_set():
            raise AssertionError(f"{self._program} did not get in: {self._complaint.decode()[-1500:] or 'no answer'}")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        complaining = asyncio.create_task(self._process.stderr.read())
        async for line in self._process.stdout:
            told = json.loads(line)
            self.looks += told.get("looks", [])
            self.source = told.get("source", self.source)
            for name, event in (("ready", self._ready), ("joined", self._joined), ("restarted", self._restarted)):
                if name in told:
                    event.set()
        self._complaint = await complaining
