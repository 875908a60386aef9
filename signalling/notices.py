"""How whoever holds a connection hears of its end: one at a time, the newest, waits for it."""

from __future__ import annotations

import asyncio

from signalling.domain.notices import Notice


class Watch:
    """Who waits for the end of one connection."""

    def __init__(self) -> None:
        self.notice: Notice | None = None
        self.over = False
        self._turn = 0
        self._changed = asyncio.Event()

    def end(self, notice: Notice | None) -> None:
        """Tells that the connection has ended; without a notice only that nobody needs to wait here any more."""
        if not self.over:
            self.notice, self.over = notice, True
            self._changed.set()

    def take(self) -> int:
        """Begins to wait; whoever waited before waits no longer."""
        self._turn += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self._turn

    def is_for(self, turn: int) -> bool:
        """Whether nobody else has begun to wait."""
        return turn == self._turn

    async def changed(self) -> None:
        """Waits until the connection has ended, or until somebody else begins to wait."""
        if not self.over:
            await self._changed.wait()
