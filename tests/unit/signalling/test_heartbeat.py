"""A worker that stops going round is noticed within 2 s, and one that goes round is never blamed."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.heartbeat import LOOK_EVERY, MAX_STEP, STALLED_AFTER, Beat, Heartbeat, WorkerFault

BEGAN = timedelta(days=3)
NONE = timedelta(0)
NOTICED_WITHIN = timedelta(seconds=2)
LONGEST_SLEEP = timedelta(milliseconds=500)  # MAX_SLEEP of sfu_core's driver

MAX_LOOKS = (STALLED_AFTER - MAX_STEP) // LOOK_EVERY - 1  # after a late one, before it is blamed

in_time = st.timedeltas(min_value=LOOK_EVERY, max_value=LOOK_EVERY + timedelta(milliseconds=50))
whenever = st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(minutes=2))
sleeps = st.timedeltas(min_value=timedelta(microseconds=1), max_value=LONGEST_SLEEP)


def looked(heartbeat: Heartbeat, *turns: int, times: int, now: timedelta = BEGAN) -> timedelta:
    """Looks some times at workers that do not go round, and returns when the last look was."""
    for _ in range(times):
        now += LOOK_EVERY
        heartbeat.observe([Beat(turns=each) for each in turns], now=now)
    return now


def test_a_worker_counts_as_stalled_only_after_it_has_not_gone_round_for_long() -> None:
    heartbeat = Heartbeat()
    assert heartbeat.observe([Beat(turns=4), Beat(turns=9)], now=BEGAN) == {}
    steps = STALLED_AFTER // LOOK_EVERY
    for step in range(1, steps):
        assert heartbeat.observe([Beat(turns=4), Beat(turns=9 + step)], now=BEGAN + step * LOOK_EVERY) == {}
    late = BEGAN + STALLED_AFTER
    assert heartbeat.observe([Beat(turns=4), Beat(turns=99)], now=late) == {0: WorkerFault.STALLED}
    assert heartbeat.observe([Beat(turns=4), Beat(turns=100)], now=late) == {}, "it is told once"
    assert heartbeat.refusal() is None, "the other one takes rooms"
    heartbeat.observe([Beat(turns=4), Beat(turns=100, failed=True)], now=late)
    refusal = heartbeat.refusal()
    assert refusal is not None
    assert refusal.startswith("media worker 0 has stalled, media worker 1 has failed: ")
    heartbeat.observe([Beat(turns=5), Beat(turns=100, failed=True)], now=late)
    assert heartbeat.refusal() is None


def test_a_worker_that_failed_is_told_at_once_and_stays_failed() -> None:
    heartbeat = Heartbeat()
    assert heartbeat.observe([Beat(turns=1, failed=True)], now=BEGAN) == {0: WorkerFault.FAILED}
    heartbeat.observe([Beat(turns=1, failed=True)], now=BEGAN + 2 * STALLED_AFTER)
    assert heartbeat.faults == {0: WorkerFault.FAILED}


def test_workers_that_were_started_anew_are_well_although_they_count_as_much_as_those_before() -> None:
    heartbeat = Heartbeat()
    now = looked(heartbeat, 7, times=20)
    assert heartbeat.faults == {0: WorkerFault.STALLED}
    heartbeat.begin_anew()
    assert heartbeat.refusal() is None
    assert heartbeat.observe([Beat(turns=7)], now=now + LOOK_EVERY) == {}


@given(gaps=st.lists(in_time, min_size=20, max_size=20), at=st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_stall_is_noticed_within_two_seconds_when_somebody_looks_in_time(gaps: list[timedelta], at: float) -> None:
    heartbeat, now = Heartbeat(), BEGAN
    heartbeat.observe([Beat(turns=1)], now=now)
    stalled = now + at * gaps[0]  # its last turn, between this look and the next
    for gap in gaps:
        now += gap
        heartbeat.observe([Beat(turns=2)], now=now)
        if heartbeat.faults:
            break
    assert heartbeat.faults == {0: WorkerFault.STALLED}
    assert now - stalled <= NOTICED_WITHIN


@given(gaps=st.lists(whenever, max_size=60), steps=st.lists(sleeps, min_size=1, max_size=20))
def test_a_worker_that_goes_round_is_never_blamed_however_late_somebody_looks(
    gaps: list[timedelta], steps: list[timedelta]
) -> None:
    heartbeat, now, turned, turns = Heartbeat(), BEGAN, BEGAN, 0
    for gap in gaps:
        now += gap
        while turned + steps[turns % len(steps)] <= now and now - turned < timedelta(seconds=5):
            turned += steps[turns % len(steps)]
            turns += 1
        if now - turned >= timedelta(seconds=5):  # a long gap: it went round very often
            turned, turns = now, turns + 1_000
        assert heartbeat.observe([Beat(turns=turns)], now=now) == {}


@given(freezes=st.lists(whenever, max_size=20), looks=st.integers(min_value=0, max_value=MAX_LOOKS))
def test_a_worker_that_was_paused_with_the_whole_machine_is_not_blamed_for_that(
    freezes: list[timedelta], looks: int
) -> None:
    heartbeat, now = Heartbeat(), BEGAN
    for turns, freeze in enumerate(freezes):
        heartbeat.observe([Beat(turns=turns)], now=now)
        now += freeze
        assert heartbeat.observe([Beat(turns=turns)], now=now) == {}, "before it has had its turn"
        now = looked(heartbeat, turns, times=looks, now=now)
        assert heartbeat.faults == {}
