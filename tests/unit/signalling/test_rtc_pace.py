"""How fast a client may ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signalling.rtc.pace import BURST_S, MAX_REQUESTS_PER_S, Pace


def test_whoever_was_silent_may_ask_as_much_at_once_as_fits_into_a_second() -> None:
    pace = Pace()
    assert [pace.pause(100.0) for _ in range(MAX_REQUESTS_PER_S)] == [0.0] * MAX_REQUESTS_PER_S
    assert pace.pause(100.0) > 0.0


def test_whoever_keeps_to_the_pace_never_waits() -> None:
    pace = Pace()
    assert all(pace.pause(number / MAX_REQUESTS_PER_S) == 0.0 for number in range(10 * MAX_REQUESTS_PER_S))


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=2_000))
def test_whoever_waits_as_told_gets_no_more_through_than_the_pace_and_one_burst(silences: list[float]) -> None:
    pace, now = Pace(), 0.0
    for taken, silence in enumerate(silences, start=1):
        now += silence
        now += pace.pause(now)
        assert taken <= (now + BURST_S) * MAX_REQUESTS_PER_S + 1.001
