"""A room that fails again and again rests; one that fails now and then does not."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.quarantine import MAX_REST, REST, WINDOW, Standing

NONE, MOMENT = timedelta(0), timedelta(microseconds=1)
spans = st.timedeltas(min_value=NONE, max_value=timedelta(hours=2))


def after(gaps: list[timedelta], *, began: timedelta = timedelta(days=3)) -> tuple[Standing, timedelta]:
    """Has a room fail once, and again a while after each failure or the rest that followed it."""
    now, standing = began, Standing().failed(began)
    for gap in gaps:
        now = max(now, standing.until) + gap
        standing = standing.failed(now)
    return standing, now


def test_the_first_failure_is_forgiven_and_the_second_within_a_minute_is_not() -> None:
    once, now = after([])
    assert once.left(now) == NONE
    twice, now = after([WINDOW])
    assert twice.left(now) == REST
    assert twice.left(now + REST - MOMENT) == MOMENT
    assert twice.left(now + REST) == NONE


def test_a_failure_soon_after_a_rest_makes_the_next_one_twice_as_long_up_to_a_limit() -> None:
    rests = []
    for times in range(1, 40):
        standing, now = after([timedelta(seconds=1)] * times)
        rests.append(standing.left(now))
    assert rests[:4] == [REST, 2 * REST, 4 * REST, MAX_REST]
    assert set(rests[3:]) == {MAX_REST}


@given(gaps=st.lists(st.timedeltas(min_value=WINDOW + MOMENT, max_value=timedelta(hours=2)), max_size=20))
def test_failures_more_than_a_minute_apart_never_make_a_room_rest(gaps: list[timedelta]) -> None:
    standing, now = after(gaps)
    assert (standing.failures, standing.left(now)) == (1, NONE)


@given(gaps=st.lists(spans, max_size=20), last=st.timedeltas(min_value=NONE, max_value=WINDOW))
def test_two_failures_within_a_minute_always_make_a_room_rest(gaps: list[timedelta], last: timedelta) -> None:
    before, _ = after(gaps)
    standing, now = after([*gaps, last])
    assert standing.failures == before.failures + 1
    assert REST <= standing.left(now) <= MAX_REST


@given(gaps=st.lists(spans, max_size=20), later=spans, more=spans)
def test_a_rest_only_gets_shorter_as_time_goes_by_and_ends(
    gaps: list[timedelta], later: timedelta, more: timedelta
) -> None:
    standing, now = after(gaps)
    assert standing.left(now + later) >= standing.left(now + later + more) >= NONE
    assert standing.left(now + MAX_REST) == NONE


@given(gaps=st.lists(spans, max_size=20), began=spans)
def test_a_rest_depends_on_the_spans_alone_and_not_on_when_the_clock_began(
    gaps: list[timedelta], began: timedelta
) -> None:
    standing, now = after(gaps)
    other, then = after(gaps, began=began)
    assert (standing.failures, standing.left(now)) == (other.failures, other.left(then))
