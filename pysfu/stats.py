"""Figures, as the engine counts them: counters only rise, states are of the instant."""

from __future__ import annotations

from dataclasses import dataclass

from pysfu.messages import Counters, Drops, EngineFigures, PeerFigures, ReceiveFigures, SendFigures

__all__ = [
    "Counters",
    "Drops",
    "EngineFigures",
    "PeerFigures",
    "ReceiveFigures",
    "SendFigures",
    "SfuStats",
    "WorkerStats",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """The figures of one worker: `engine` is None when it has failed."""

    engine: EngineFigures | None
    rim: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class SfuStats:
    """The figures of all workers.

    Attributes:
        workers: those of each.
        further_rooms: of the rooms that they count, those that are further parts of rooms that began on another worker.
        relays: of what they count, two connected peers and an edge for each of these are no participant's.
    """

    workers: tuple[WorkerStats, ...]
    further_rooms: int = 0
    relays: int = 0

    def total(self, name: str) -> int:
        """Returns the sum over all workers of one of the engine's figures."""
        return sum(int(getattr(worker.engine, name)) for worker in self.workers if worker.engine is not None)

    def dropped(self, reason: str) -> int:
        """Returns the sum over all workers of what was dropped for that reason."""
        return sum(int(getattr(worker.engine.drops, reason)) for worker in self.workers if worker.engine is not None)
