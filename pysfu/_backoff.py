"""Backing off from a media process that ends again and again: the next start is at once, then later and later."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.25
"""How long the second start waits that comes soon after another."""

LONGEST_PAUSE_S = 10.0
"""The most that a start waits: whatever kept it from running, calls are possible again this long after that is over. A
start takes a tenth of a second of one processor, so that trying costs 1 % of one."""

QUIET_S = 60.0
"""What ran for this long has not ended because of how it was started: the next start comes at once again."""


@dataclass(slots=True)
class Backoff:
    """What is known of the starts so far. Times are those of one clock that nobody sets, in seconds."""

    _next_s: float = 0.0
    _runs_since: float | None = None

    def on_running(self, *, now: float) -> None:
        """Notes that it runs since now."""
        self._runs_since = now

    def next_s(self, *, now: float) -> float:
        """Returns how long the next start waits, which is after an end or after a start that failed."""
        if self._runs_since is not None and now - self._runs_since >= QUIET_S:
            self._next_s = 0.0
        self._runs_since = None
        pause, self._next_s = self._next_s, min(max(FIRST_PAUSE_S, 2 * self._next_s), LONGEST_PAUSE_S)
        return pause
