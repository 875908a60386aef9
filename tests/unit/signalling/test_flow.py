"""One-way sound and black pictures are noticed within 3 s, and told apart from what is no fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.flow import (
    LOOK_EVERY,
    MAX_STEP,
    Arriving,
    Cause,
    Flows,
    Leaving,
    Observed,
    Reading,
    Stall,
)
from signalling.domain.ids import TrackId

BEGAN = timedelta(days=3)
NOTICED_WITHIN = timedelta(seconds=3)
SOUND, PICTURE = TrackId("sound"), TrackId("picture")
KINDS = {SOUND: "audio", PICTURE: "video"}
PUBLISHER, VIEWER = "publisher", "viewer"
NOBODY: dict[str, Cause] = {}


@dataclass
class Call:
    """Somebody publishes sound and a picture, and somebody else plays both, in virtual time."""

    flows: Flows = field(default_factory=Flows)
    now: timedelta = BEGAN
    sends: set[TrackId] = field(default_factory=lambda: {SOUND, PICTURE})
    forwards: set[TrackId] = field(default_factory=lambda: {SOUND, PICTURE})
    paused: set[TrackId] = field(default_factory=set)
    muted: set[TrackId] = field(default_factory=set)
    connected: set[str] = field(default_factory=lambda: {PUBLISHER, VIEWER})
    crowded: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    viewers: tuple[str, ...] = (VIEWER,)
    arrived: dict[TrackId, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    left: dict[TrackId, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    stalls: list[Stall] = field(default_factory=list)
    told: dict[str, dict[str, Cause]] = field(default_factory=dict)

    def go(self, span: timedelta = LOOK_EVERY) -> Observed:
        """Lets time pass in which packets flow as they may, and looks."""
        self.now += span
        for track in self.sends:
            self.arrived[track] += 30
            if track in self.forwards - self.paused - self.muted:
                self.left[track] += 30
        return self.look()

    def look(self) -> Observed:
        seen = self.flows.observe(self.readings(), crowded=self.crowded, now=self.now)
        self.stalls += seen.stalls
        self.told |= {name: dict(stalled) for name, stalled in seen.changed.items()}
        return seen

    def readings(self) -> dict[str, Reading | None]:
        publishing = Reading(
            connected=PUBLISHER in self.connected,
            arriving=tuple(
                Arriving(track=track, kind=kind, packets=self.arrived[track], muted=track in self.muted)
                for track, kind in KINDS.items()
            ),
        )
        playing = Reading(
            connected=VIEWER in self.connected,
            leaving=tuple(
                Leaving(
                    track=track,
                    kind=kind,
                    packets=self.left[track],
                    paused=track in self.paused,
                    muted=track in self.muted,
                )
                for track, kind in KINDS.items()
            ),
        )
        readings: dict[str, Reading | None] = {PUBLISHER: publishing} | dict.fromkeys(self.viewers, playing)
        return readings | dict.fromkeys(self.unanswered)

    def until(self, true: Callable[[Observed], bool], *, looks: int = 20) -> timedelta:
        """Returns how long it takes until something is seen."""
        began = self.now
        for _ in range(looks):
            if true(self.go()):
                return self.now - began
        raise AssertionError("it was not seen")


def flowing() -> Call:
    call = Call()
    for _ in range(4):
        call.go()
    assert (call.stalls, call.told) == ([], {})
    return call


def begins(kind: str, cause: Cause) -> Callable[[Observed], bool]:
    return lambda seen: Stall(kind=kind, cause=cause) in seen.stalls


@pytest.mark.parametrize("track", list(KINDS))
def test_what_stops_to_arrive_is_told_to_both_ends_within_three_seconds(track: TrackId) -> None:
    call, kind = flowing(), KINDS[track]
    call.sends.remove(track)
    took = call.until(begins(kind, Cause.NOTHING_ARRIVES))
    assert took + LOOK_EVERY <= NOTICED_WITHIN, "it may have stopped a whole look before"
    assert call.told == {PUBLISHER: {kind: Cause.NOTHING_ARRIVES}, VIEWER: {kind: Cause.NOTHING_ARRIVES}}


def test_when_it_comes_again_both_ends_are_told_and_it_is_known_how_long_it_was_gone() -> None:
    call = flowing()
    call.sends.remove(PICTURE)
    gone = timedelta(0)
    for _ in range(8):
        gone += LOOK_EVERY
        call.go()
    call.sends.add(PICTURE)
    call.go()
    assert call.told == {PUBLISHER: NOBODY, VIEWER: NOBODY}
    begun, ended = call.stalls
    assert begun == Stall(kind="video", cause=Cause.NOTHING_ARRIVES)
    assert ended.lasted is not None
    assert abs(ended.lasted - gone) <= LOOK_EVERY


def test_one_way_sound_leaves_the_picture_alone() -> None:
    call = flowing()
    call.sends.remove(SOUND)
    for _ in range(6):
        seen = call.go()
    assert dict(seen.standing) == {("audio", Cause.NOTHING_ARRIVES): 1}
    assert call.told[VIEWER] == {"audio": Cause.NOTHING_ARRIVES}


def test_what_never_came_since_the_connection_carries_media_is_noticed_too_within_three_seconds() -> None:
    call = Call(sends={SOUND})
    call.connected.clear()
    for _ in range(40):
        call.go()
    assert "video" not in str(call.told), "while it connects nothing is owed"
    call.connected |= {PUBLISHER, VIEWER}
    assert call.until(begins("video", Cause.NOTHING_ARRIVES)) <= NOTICED_WITHIN


def test_a_camera_that_takes_two_seconds_to_begin_is_not_reported() -> None:
    call = Call(sends={SOUND})
    call.look()
    for _ in range(2):
        call.go()
    call.sends.add(PICTURE)
    for _ in range(4):
        call.go()
    assert call.stalls == []


def test_a_track_that_counts_once_has_one_stall_however_many_play_it_and_all_are_told() -> None:
    call = flowing()
    call.viewers = tuple(f"viewer {number}" for number in range(5))
    call.go()
    call.sends.remove(PICTURE)
    for _ in range(4):
        seen = call.go()
    assert call.stalls == [Stall(kind="video", cause=Cause.NOTHING_ARRIVES)]
    assert dict(seen.standing) == {("video", Cause.NOTHING_ARRIVES): 1}
    assert all(call.told[name] == {"video": Cause.NOTHING_ARRIVES} for name in (PUBLISHER, *call.viewers))


@pytest.mark.parametrize(("is_paused", "cause"), [(True, Cause.PAUSED), (False, Cause.NOT_FORWARDED)])
def test_a_picture_that_was_paused_is_told_apart_from_one_that_is_not_forwarded_and_its_publisher_is_not_blamed(
    is_paused: bool, cause: Cause
) -> None:
    call = flowing()
    call.forwards.remove(PICTURE)
    if is_paused:
        call.paused.add(PICTURE)
    assert call.until(begins("video", cause)) + LOOK_EVERY <= NOTICED_WITHIN
    assert call.told == {VIEWER: {"video": cause}}
    call.paused.clear()
    call.forwards.add(PICTURE)
    call.go()
    assert call.told == {VIEWER: NOBODY}
    assert [stall.lasted is None for stall in call.stalls] == [True, False]


def test_what_is_sent_to_measure_a_downlink_while_its_picture_is_paused_does_not_count_as_one() -> None:
    call = flowing()
    call.paused.add(PICTURE)
    for _ in range(4):
        call.left[PICTURE] += 3
        call.go()
    assert call.told == {VIEWER: {"video": Cause.PAUSED}}


def test_a_muted_track_is_neither_silent_nor_black_whether_or_not_it_goes_on_to_arrive() -> None:
    call = flowing()
    call.muted |= {SOUND, PICTURE}
    call.sends.remove(SOUND)
    for _ in range(20):
        call.go()
    assert (call.stalls, call.told) == ([], {})
    call.muted.clear()
    assert call.until(begins("audio", Cause.NOTHING_ARRIVES)) <= NOTICED_WITHIN, "from then on it is owed"
    assert call.told[VIEWER] == {"audio": Cause.NOTHING_ARRIVES}


def test_in_a_room_that_leaves_voices_out_nothing_is_said_of_sound_that_is_not_forwarded() -> None:
    call = flowing()
    call.crowded.add(VIEWER)
    call.forwards.clear()
    for _ in range(6):
        call.go()
    assert call.told == {VIEWER: {"video": Cause.NOT_FORWARDED}}
    call.sends.remove(SOUND)
    for _ in range(6):
        call.go()
    assert call.told[VIEWER]["audio"] is Cause.NOTHING_ARRIVES, "what does not arrive is told there too"


def test_a_publisher_that_was_heard_and_is_gone_without_a_word_is_silent_to_whoever_plays_it() -> None:
    call = flowing()
    call.connected.remove(PUBLISHER)
    call.sends.clear()
    assert call.until(begins("video", Cause.NOTHING_ARRIVES)) + LOOK_EVERY <= NOTICED_WITHIN
    assert call.told[VIEWER] == {"audio": Cause.NOTHING_ARRIVES, "video": Cause.NOTHING_ARRIVES}


def test_a_viewer_that_is_not_connected_owes_nobody_anything() -> None:
    call = flowing()
    call.connected.remove(VIEWER)
    call.forwards.clear()
    for _ in range(20):
        call.go()
    assert (call.stalls, call.told) == ([], {})


def test_of_a_connection_that_gives_no_answer_nothing_is_decided_and_nothing_forgotten() -> None:
    call = flowing()
    call.sends.clear()
    call.unanswered |= {PUBLISHER, VIEWER}
    for _ in range(10):
        call.go()
    assert call.stalls == []
    call.unanswered.clear()
    call.sends |= {SOUND, PICTURE}
    call.go()
    call.sends.clear()
    for _ in range(4):
        call.go()
    call.unanswered |= {PUBLISHER, VIEWER}
    assert call.go().standing[("video", Cause.NOTHING_ARRIVES)] == 1
    assert len(call.stalls) == 2


def test_who_has_left_is_forgotten_and_what_stalled_there_has_ended() -> None:
    call = flowing()
    call.sends.remove(PICTURE)
    for _ in range(4):
        call.go()
    seen = call.flows.observe({}, now=call.now + LOOK_EVERY)
    assert [stall.cause for stall in seen.stalls] == [Cause.NOTHING_ARRIVES]
    assert seen.stalls[0].lasted is not None
    assert dict(seen.standing) == {}
    assert (call.flows._tracks, call.flows._subscriptions, call.flows._told) == ({}, {}, {})


def test_one_look_that_comes_late_blames_nobody() -> None:
    call = flowing()
    call.now += timedelta(minutes=5)  # the machine was paused, and the media with it
    call.look()
    call.go()
    assert call.stalls == []


def test_a_single_lost_packet_and_a_gap_of_a_second_are_no_stall() -> None:
    call = flowing()
    for number in range(40):
        call.sends = set() if number % 2 else {SOUND, PICTURE}  # a packet a look is missed, and then they come
        call.go()
    assert call.stalls == []


@given(gaps=st.lists(st.floats(min_value=0.02, max_value=1.0), min_size=5, max_size=80), phase=st.floats(0, 0.75))
def test_whoever_sends_once_a_second_or_more_often_is_never_blamed(gaps: list[float], phase: float) -> None:
    call = Call(sends=set(), forwards=set())
    sent = [0.0, *itertools.accumulate(gaps)]
    at = phase
    while at < sent[-1]:
        count = sum(moment <= at for moment in sent)
        call.arrived = call.left = dict.fromkeys(KINDS, count)
        call.now = BEGAN + timedelta(seconds=at)
        call.look()
        at += LOOK_EVERY.total_seconds()
    assert call.stalls == []


@given(spans=st.lists(st.timedeltas(LOOK_EVERY, MAX_STEP), min_size=8, max_size=8), stops=st.integers(0, 3))
def test_however_late_looks_come_what_stalls_is_told_once_and_what_flows_again_is_told_once(
    spans: list[timedelta], stops: int
) -> None:
    call = flowing()
    for number, span in enumerate(spans):
        call.sends = {SOUND, PICTURE} if number < stops else {SOUND}
        call.go(span)
    call.sends = {SOUND, PICTURE}
    for _ in range(3):
        call.go()
    assert [stall.lasted is None for stall in call.stalls] == [True, False]
    assert call.told == {PUBLISHER: NOBODY, VIEWER: NOBODY}
