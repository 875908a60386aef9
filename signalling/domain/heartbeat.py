"""Whether the media workers go round: decided from what they count, so that a worker that hangs need not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

LOOK_EVERY = timedelta(milliseconds=250)
"""How often somebody looks."""

STALLED_AFTER = timedelta(milliseconds=1_250)
"""More than twice the longest sleep of a worker that has nothing to do (0.5 s), and with two looks less than 2 s."""

MAX_STEP = 2 * LOOK_EVERY
"""The most that one look adds. Whoever looks later than that has been held up, and perhaps the worker with it: by a
machine that was paused, or has no processor to spare."""


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
    _looked: timedelta | None = None
    _turns: dict[int, int] = field(default_factory=dict)
    _still: dict[int, timedelta] = field(default_factory=dict)

    def observe(self, beats: Sequence[Beat], *, now: timedelta) -> dict[int, WorkerFault]:
        """Takes in what the workers count now, and returns the faults that are new.

        Args:
            beats: what each worker counts.
            now: the time of a clock that nobody sets, since whenever it began.
        """
        before, self.faults, self.workers = self.faults, {}, len(beats)
        step = min(now - self._looked, MAX_STEP) if self._looked is not None else timedelta(0)
        self._looked = now
        for worker, beat in enumerate(beats):
            goes_round = self._turns.get(worker) != beat.turns
            self._turns[worker] = beat.turns
            self._still[worker] = timedelta(0) if goes_round else self._still[worker] + step
            if beat.failed:
                self.faults[worker] = WorkerFault.FAILED
            elif self._still[worker] >= STALLED_AFTER:
                self.faults[worker] = WorkerFault.STALLED
        return {worker: fault for worker, fault in self.faults.items() if before.get(worker) is not fault}

    def begin_anew(self) -> None:
        """Forgets the workers: they are others now."""
        self.faults = {}
        self._turns.clear()
        self._still.clear()

    def refusal(self) -> str | None:
        """Says why no new calls should come, or None: as long as one worker is well, rooms are placed on that."""
        if not self.faults or len(self.faults) < self.workers:
            return None
        which = ", ".join(f"media worker {worker} has {fault.value}" for worker, fault in self.faults.items())
        return f"{which}: a media process is started anew by itself, one inside the server with the server"
