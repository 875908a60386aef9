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


class WorkerFault(StrEnum):
    """What may be wrong with a worker."""

    FAILED = "failed"
    STALLED = "stalled"


@dataclass(slots=True)
class Heartbeat:
    """What is known of all workers."""

    workers: int = 0
    faults: dict[int, WorkerFault] = field(default_factory=dict)
    _seen: dict[int, tuple[int, timedelta]] = field(default_factory=dict)

    def observe(self, beats: Sequence[Beat], *, now: timedelta) -> dict[int, WorkerFault]:
        """Takes in what the workers count now, and returns the faults that are new.

        Args:
            beats: what each worker counts.
            now: the time of a clock that nobody sets, since whenever it began.
        """
        before, self.faults, self.workers = self.faults, {}, len(beats)
        for worker, beat in enumerate(beats):
            turns, since = self._seen.get(worker, (-1, now))
            if beat.turns != turns:
                since = now
                self._seen[worker] = (beat.turns, now)
            if beat.failed:
                self.faults[worker] = WorkerFault.FAILED
            elif now - since >= STALLED_AFTER:
                self.faults[worker] = WorkerFault.STALLED
        return {worker: fault for worker, fault in self.faults.items() if before.get(worker) is not fault}

    def refusal(self) -> str | None:
        """Says why no new calls should come, or None: as long as one worker is well, rooms are placed on that."""
        if not self.faults or len(self.faults) < self.workers:
            return None
        which = ", ".join(f"media worker {worker} has {fault.value}" for worker, fault in self.faults.items())
        return f"{which}: restart the server"
