"""How whoever holds a connection hears of it, and of its end: one at a time, the newest, waits for it."""

from __future__ import annotations

import asyncio

from signalling.domain.flow import Stalled
from signalling.domain.notices import Notice


class Watch:
    """Who waits to hear of one connection. What does not flow is a level: only the latest is told."""

    def __init__(self) -> None:
        self.notice: Notice | None = None
        self.stalled: Stalled = {}
        self.over = False
        self._turn = 0
        self._changed = asyncio.Event()

    def end(self, notice: Notice | None) -> None:
        """Tells that the connection has ended; without a notice only that nobody needs to wait here any more."""
        if not self.over:
            self.notice, self.over = notice, True
            self._changed.set()

    def stall(self, stalled: Stalled) -> None:
        """Tells what does not flow now; nothing, when all does."""
        self.stalled = stalled
        self._wake()

    def take(self) -> int:
        """Begins to wait; whoever waited before waits no longer."""
        self._turn += 1
        self._wake()
        return self._turn

    def is_for(self, turn: int) -> bool:
        """Whether nobody else has begun to wait."""
        return turn == self._turn

    async def changed(self) -> None:
        """Waits until something else flows, the connection has ended, or somebody else begins to wait."""
        if not self.over:
            await self._changed.wait()

    def _wake(self) -> None:
        if not self.over:
            self._changed.set()
            self._changed = asyncio.Event()
