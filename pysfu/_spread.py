"""How a room spans workers: on which one a participant is, and which relays tracks need. Decides, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")


def placed(population: Mapping[int, int], *, others: Sequence[int], most: int) -> int:
    """Returns the worker for one more participant of a room.

    Args:
        population: how many participants each worker of the room has, in the order in which the room came to them.
        others: the workers that the room has not come to and may, the least loaded first.
        most: how many a worker is to have of one room, while there is another.
    """
    # The first with a place: the fewer workers a room is on, the less is relayed.
    for worker, participants in population.items():
        if participants < most:
            return worker
    return others[0] if others else min(population, key=lambda worker: population[worker])


def relays(plays: Iterable[tuple[T, int, int]]) -> frozenset[tuple[T, int]]:
    """Returns the relays that are needed: each a track, and the worker that it is relayed to.

    Args:
        plays: for each media section that carries a track: that, the worker of its publisher, and its subscriber's.
    """
    return frozenset((track, theirs) for track, home, theirs in plays if theirs != home)
