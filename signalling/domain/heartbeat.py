"""Whether the media workers go round: decided from what they count, so that a worker that hangs need not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

STALLED_AFTER = timedelta(seconds=5)
"""Ten times the longest sleep of a worker that has nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What one worker counts."""

    turns: int
    failed: bool = False


class Trouble(StrEnum):
    """What may be wrong with a worker."""

    FAILED = "failed"
    STALLED = "stalled"


@dataclass(slots=True)
class Heartbeat:
    """What is known of all workers."""

    workers: int = 0
    troubles: dict[int, Trouble] = field(default_factory=dict)
    _seen: dict[int, tuple[int, timedelta]] = field(default_factory=dict)

    def observe(self, beats: Sequence[Beat], *, now: timedelta) -> dict[int, Trouble]:
        """Takes in what the workers count now, and returns the troubles that are new.

        Args:
            beats: what each worker counts.
            now: the time of a clock that nobody sets, since whenever it began.
        """
        before, self.troubles, self.workers = self.troubles, {}, len(beats)
        for worker, beat in enumerate(beats):
            turns, since = self._seen.get(worker, (-1, now))
            if beat.turns != turns:
                since = now
                self._seen[worker] = (beat.turns, now)
            if beat.failed:
                self.troubles[worker] = Trouble.FAILED
            elif now - since >= STALLED_AFTER:
                self.troubles[worker] = Trouble.STALLED
        return {worker: trouble for worker, trouble in self.troubles.items() if before.get(worker) is not trouble}

    def refusal(self) -> str | None:
        """Says why no new calls should come, or None: as long as one worker is well, rooms are placed on that."""
        if not self.troubles or len(self.troubles) < self.workers:
            return None
        which = ", ".join(f"media worker {worker} has {trouble.value}" for worker, trouble in self.troubles.items())
        return f"{which}: restart the server"
