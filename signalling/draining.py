"""Draining this server: begun with a deadline, looked at, called off, waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from signalling.clocks import steady
from signalling.domain.drain import Drain, begun
from signalling.rooms import Rooms

log = structlog.get_logger(__name__)

LOOK_S = 0.2  # Nobody notices that the server is there for so much longer than its last call.


class FinalDrainError(Exception):
    """The drain cannot be called off: a signal began it, and whoever sent that waits for the end; or it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainState:
    """How a drain is going; `left` is None while there is none."""

    left: timedelta | None
    calls: int


class Draining:
    """The drain of this server, while there is one."""

    def __init__(self, rooms: Rooms, *, on_begin: Callable[[], None], on_call_off: Callable[[], None]) -> None:
        self._rooms = rooms
        self._on_begin = on_begin
        self._on_call_off = on_call_off
        self._drain: Drain | None = None
        self._begun = asyncio.Event()
        self._last_call: timedelta | None = None

    def begin(self, deadline: timedelta, *, final: bool = False) -> DrainState:
        """Lets nobody in any more, and begins to wait for the end of the calls."""
        self._drain = begun(deadline, final=final, under_way=self._drain, now=steady())
        self._rooms.drain()
        self._on_begin()
        self._begun.set()
        state = self.state()
        log.info("draining", seconds=round(self._drain.left(steady()).total_seconds(), 1), count=state.calls)
        return state

    def call_off(self) -> DrainState:
        """Has everything as before.

        Raises:
            FinalDrainError: it is too late for that.
        """
        if self._drain is not None:
            if self._drain.final:
                raise FinalDrainError
            self._drain = None
            self._rooms.call_off_drain()
            self._last_call = None
            self._on_call_off()
            self._begun.clear()
            log.info("drain called off")
        return self.state()

    def state(self) -> DrainState:
        """Returns how it is going."""
        left = None if self._drain is None else self._drain.left(steady())
        return DrainState(left=left, calls=self._rooms.census.calls())

    async def over(self) -> None:
        """Waits until a drain is over: from then on it cannot be called off."""
        while True:
            await self._begun.wait()
            if (drain := self._drain) is None:
                continue
            if self._rooms.census.calls() > 0:
                self._last_call = steady()
            if drain.is_over(steady(), last_call=self._last_call):
                break
            await asyncio.sleep(LOOK_S)
        self._drain = Drain(until=drain.until, final=True)
        log.info("drained", count=self._rooms.census.calls())
