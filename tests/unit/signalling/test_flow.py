"""What does not flow is told to whom it concerns, once, and counted once."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from signalling.domain.flow import LOOK_EVERY, SILENT_AFTER, Cause, Flows, Observed, Stall, Still
from signalling.domain.ids import TrackId

BEGAN = timedelta(days=3)
SOUND, PICTURE = TrackId("sound"), TrackId("picture")
KINDS = {SOUND: "audio", PICTURE: "video"}
NOBODY: dict[str, dict[str, Cause]] = {}


def own(track: TrackId) -> Still:
    return Still(track=track, kind=KINDS[track], cause=Cause.NOTHING_ARRIVES, is_own=True)


def played(track: TrackId, cause: Cause = Cause.NOTHING_ARRIVES) -> Still:
    return Still(track=track, kind=KINDS[track], cause=cause)


class Looks:
    """Looks one after the other, in virtual time."""

    def __init__(self) -> None:
        self._flows, self._now = Flows(), BEGAN

    def look(self, **still: list[Still]) -> Observed:
        self._now += LOOK_EVERY
        return self._flows.observe(still, now=self._now)


def test_what_does_not_arrive_is_told_to_everybody_whom_it_concerns_and_is_one_stall() -> None:
    looks = Looks()
    assert looks.look().changed == NOBODY
    seen = looks.look(publisher=[own(PICTURE)], ann=[played(PICTURE)], bea=[played(PICTURE)])
    assert seen.changed == {name: {"video": Cause.NOTHING_ARRIVES} for name in ("publisher", "ann", "bea")}
    assert seen.stalls == (Stall(kind="video", cause=Cause.NOTHING_ARRIVES),)
    assert seen.standing == {("video", Cause.NOTHING_ARRIVES): 1}
    again = looks.look(publisher=[own(PICTURE)], ann=[played(PICTURE)], bea=[played(PICTURE)])
    assert (again.changed, again.stalls, again.standing) == (NOBODY, (), seen.standing)


def test_when_it_comes_again_it_is_told_and_it_is_known_how_long_it_was_gone() -> None:
    looks = Looks()
    for _ in range(8):
        looks.look(publisher=[own(SOUND)])
    seen = looks.look(publisher=[])
    assert seen.changed == {"publisher": {}}
    lasted = 8 * LOOK_EVERY + SILENT_AFTER
    assert seen.stalls == (Stall(kind="audio", cause=Cause.NOTHING_ARRIVES, lasted=lasted),)
    assert seen.standing == {}


def test_each_subscription_that_is_paused_or_not_forwarded_is_a_stall_of_its_own() -> None:
    seen = Looks().look(ann=[played(PICTURE, Cause.PAUSED)], bea=[played(PICTURE, Cause.PAUSED)])
    assert seen.standing == {("video", Cause.PAUSED): 2}


def test_a_stall_whose_cause_changes_ends_and_another_begins() -> None:
    looks = Looks()
    looks.look(ann=[played(PICTURE, Cause.PAUSED)])
    seen = looks.look(ann=[played(PICTURE, Cause.NOT_FORWARDED)])
    assert [(stall.cause, stall.lasted is None) for stall in seen.stalls] == [
        (Cause.PAUSED, False),
        (Cause.NOT_FORWARDED, True),
    ]
    assert seen.changed == {"ann": {"video": Cause.NOT_FORWARDED}}


def test_what_has_ended_stands_no_more() -> None:
    looks = Looks()
    looks.look(publisher=[own(SOUND)], ann=[played(SOUND)])
    seen = looks.look()
    assert (len(seen.stalls), seen.standing, seen.changed) == (1, {}, {"publisher": {}, "ann": {}})


tracks, causes = st.sampled_from([SOUND, PICTURE]), st.sampled_from(Cause)
stills = st.builds(Still, track=tracks, kind=st.just("any"), cause=causes, is_own=st.booleans())
several = st.lists(stills, max_size=3, unique_by=lambda still: still.track)


@given(st.lists(st.dictionaries(st.sampled_from(["ann", "bea", "cleo"]), several), max_size=12))
def test_in_any_order_what_begins_ends_and_everybody_was_told_the_latest(
    looked: list[dict[str, list[Still]]],
) -> None:
    looks, told, open_stalls = Looks(), dict[str, dict[str, Cause]](), 0
    for still in looked:
        seen = looks.look(**still)
        told |= {name: dict(stalled) for name, stalled in seen.changed.items()}
        open_stalls += sum(1 if stall.lasted is None else -1 for stall in seen.stalls)
        assert open_stalls == sum(seen.standing.values())
        assert all(stall.lasted is None or stall.lasted >= SILENT_AFTER for stall in seen.stalls)
        latest = {name: {each.kind: each.cause for each in several} for name, several in still.items()}
        assert {name: what for name, what in told.items() if what} == {n: what for n, what in latest.items() if what}
