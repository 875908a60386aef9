"""A media process that ends is started anew at once, one that ends again and again less and less often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pysfu._backoff import FIRST_PAUSE_S, LONGEST_PAUSE_S, QUIET_S, Backoff

A_START_S = 0.1


def crashed(backoff: Backoff, *, times: int, lasted_s: float, now: float = 0.0) -> list[float]:
    """Has it end so often, each time after it ran for so long, and returns what the starts wait."""
    waited = []
    for _ in range(times):
        backoff.on_running(now=now)
        now += lasted_s
        waited.append(backoff.next_s(now=now))
        now += waited[-1] + A_START_S
    return waited


def test_the_first_start_is_at_once_and_those_that_follow_wait_twice_as_long_each_up_to_a_limit() -> None:
    waited = crashed(Backoff(), times=9, lasted_s=1.0)
    assert waited[:4] == [0.0, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert waited[-2:] == [LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_start_that_fails_counts_as_one_that_did_not_last() -> None:
    backoff = Backoff()
    assert [backoff.next_s(now=0.0) for _ in range(3)] == [0.0, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]


def test_after_a_quiet_minute_the_next_start_is_at_once_again() -> None:
    backoff = Backoff()
    crashed(backoff, times=9, lasted_s=1.0)
    assert crashed(backoff, times=3, lasted_s=QUIET_S, now=1_000.0) == [0.0, 0.0, 0.0]


@given(lasted=st.lists(st.floats(min_value=0.0, max_value=QUIET_S, exclude_max=True), min_size=60, max_size=60))
def test_however_soon_it_ends_there_are_few_starts_in_a_minute(lasted: list[float]) -> None:
    backoff, now, starts = Backoff(), 0.0, []
    for ran_s in lasted:
        backoff.on_running(now=now)
        starts.append(now)
        now += ran_s
        now += backoff.next_s(now=now)
    for began in starts[10:]:
        assert sum(began <= start < began + 60.0 for start in starts) <= 60.0 / LONGEST_PAUSE_S
