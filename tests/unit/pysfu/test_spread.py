"""Which worker a participant is placed on, and which relays that needs."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pysfu import _spread

WORKERS = st.integers(0, 3)
TRACKS = st.integers(0, 9)


@st.composite
def wirings(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Makes subscriptions: each a track, the worker of its publisher, and the worker of the subscriber."""
    homes = draw(st.dictionaries(TRACKS, WORKERS, min_size=1))
    subscriptions = draw(st.lists(st.tuples(st.sampled_from(sorted(homes)), WORKERS)))
    return [(track, homes[track], worker) for track, worker in subscriptions]


@given(wirings())
def test_everybody_gets_a_track_from_their_own_worker_or_through_exactly_one_relay(
    plays: list[tuple[int, int, int]],
) -> None:
    relays = Counter(_spread.relays(plays))
    for track, home, worker in plays:
        assert relays[track, worker] == (0 if worker == home else 1)


@given(wirings())
def test_there_is_no_relay_without_somebody_who_plays_the_track_there(plays: list[tuple[int, int, int]]) -> None:
    far = {(track, worker) for track, home, worker in plays if worker != home}
    assert _spread.relays(plays) == far


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 4))
def test_a_worker_has_more_than_its_share_of_a_room_only_when_all_have_theirs(
    comings: list[bool], most: int, workers: int
) -> None:
    population = {0: 0}
    for comes in comings:
        if not comes:
            leaving = next((worker for worker, count in population.items() if count), None)
            population |= {leaving: population[leaving] - 1} if leaving is not None else {}
            continue
        worker = _spread.placed(
            population, others=[each for each in range(workers) if each not in population], most=most
        )
        assert population.get(worker, 0) < most or (
            len(population) == workers and min(population.values()) == population[worker]
        )
        population[worker] = population.get(worker, 0) + 1


def test_a_room_stays_on_one_worker_until_that_has_its_share_and_then_goes_to_the_least_loaded() -> None:
    assert _spread.placed({1: 99}, others=[2, 0], most=100) == 1
    assert _spread.placed({1: 100}, others=[2, 0], most=100) == 2
    assert _spread.placed({1: 99, 2: 1}, others=[0], most=100) == 1, "a place that is free again is taken first"
    assert _spread.placed({1: 100, 2: 1}, others=[0], most=100) == 2
    assert _spread.placed({1: 101, 2: 100}, others=[], most=100) == 2, "it is full everywhere"


def test_what_workers_say_of_who_speaks_is_one_list_with_those_who_dominate_first() -> None:
    of_home = [(1, 40), (2, 20)]  # 1 dominates, though 2 is louder just now
    of_far = [(1, 60), (3, 30), (9, 10)]  # 1 as it came there; 9 has left
    assert _spread.speakers([of_home, of_far], [{1, 2}, {3}]) == [(1, 40), (2, 20), (3, 30)]
    assert _spread.speakers([of_home, []], [{1, 2}, {3}]) == of_home
    assert _spread.speakers([of_home], [{1, 2}]) == of_home
