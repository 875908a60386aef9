"""How a room spans workers: on which one a participant is, and which relays tracks need. Decides, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

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


def speakers(told: Sequence[Sequence[tuple[int, int]]], homes: Sequence[Collection[int]]) -> list[tuple[int, int]]:
    """Returns who speaks in a room, from what each of its workers says: who dominates first, then the loudest.

    Args:
        told: of each worker: who speaks, with a level in -dBov, who dominates first; also those who are relayed to it.
        homes: of each worker: the participants who are there, of whom it knows best.
    """
    if len(told) == 1:
        return list(told[0])
    levels: dict[int, int] = {}
    for theirs in told:
        levels |= {number: level for number, level in theirs if number not in levels}
    for theirs, home in zip(told, homes, strict=True):
        levels |= {number: level for number, level in theirs if number in home}
    dominant = {theirs[0][0] for theirs in told if theirs}
    present = [number for number in levels if any(number in home for home in homes)]
    return [
        (number, levels[number]) for number in sorted(present, key=lambda each: (each not in dominant, levels[each]))
    ]
