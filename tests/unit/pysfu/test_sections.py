"""Which section of our offers carries what, whatever is wanted and whenever it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pysfu import messages
from pysfu._sections import MAX_SECTIONS, Sections
from pysfu.messages import MediaKind
from pysfu.track import Track


@dataclass(eq=False)
class Publisher:
    number: int = 1


@dataclass(eq=False)
class Named:
    """What sections know of a track."""

    name: str
    kind: MediaKind
    publisher: Publisher

    @property
    def msid(self) -> tuple[str, str]:
        return "stream", self.name


def track(name: str, kind: MediaKind = "video") -> Track:
    return cast("Track", Named(name, kind, Publisher()))


def names(sections: Sections) -> dict[str, str]:
    return {mid: carried.msid[1] for mid, carried in sections.carried().items()}


def test_a_section_carries_another_track_only_after_an_answer_in_which_it_carried_none() -> None:
    sections, one, two, three = Sections(), track("1"), track("2"), track("3")
    assert sections.carry([one]) == []
    sections.settle()
    sections.carry([two])
    assert names(sections) == {"1": "2"}, "browsers do not tell of a track that takes the place of another"
    sections.settle()
    sections.carry([two, three])
    assert names(sections) == {"0": "3", "1": "2"}


def test_what_an_unanswered_offer_has_said_of_a_section_is_in_its_way_until_an_answer() -> None:
    sections, one, two = Sections(), track("1"), track("2")
    sections.carry([one])
    sections.carry([])
    sections.carry([two])
    assert names(sections) == {"1": "2"}, "the first may have been heard"


def test_five_hundred_tracks_one_after_the_other_need_two_sections() -> None:
    sections = Sections()
    for number in range(500):
        assert sections.carry([track(str(number))]) == []
        sections.settle()
    assert len(sections.described()) == 2


def test_sound_and_pictures_do_not_take_each_others_place() -> None:
    sections = Sections()
    sections.add(publish=["audio"], data=True)
    sections.carry([track("a", "audio"), track("v")])
    sections.settle()
    sections.carry([])
    sections.settle()
    sections.carry([track("w"), track("b", "audio")])
    assert names(sections) == {"2": "b", "3": "w"}
    described = sections.described()
    assert described[:2] == [messages.Media(kind="audio", receive=True), messages.Data()], "theirs stays theirs"


def test_more_tracks_than_there_may_be_sections_wait() -> None:
    sections, many = Sections(), [track(str(number)) for number in range(MAX_SECTIONS + 1)]
    sections.add(publish=["video"], data=True)
    most = MAX_SECTIONS - 1
    assert sections.carry(many) == many[most:]
    assert not sections.will_be_free("video"), "all are taken"
    sections.settle()
    assert sections.carry(many[2:]) == many[most:], "not before the answer"
    assert (sections.will_be_free("video"), sections.will_be_free("audio")) == (True, False)
    sections.settle()
    assert sections.carry(many[2:]) == []


def test_whoever_comes_after_a_restart_takes_nothing_for_free() -> None:
    before, one, two, three = Sections(), track("1"), track("2"), track("3")
    before.carry([one, two])
    before.settle()
    before.carry([one])
    after = Sections.of_note(before.to_note())
    after.resume({"0": one})
    after.carry([one, three])
    assert names(after) == {"0": "1", "2": "3"}
    after.settle()
    four = track("4")
    after.carry([one, three, four])
    assert names(after) == {"0": "1", "1": "4", "2": "3"}


class AnyOrder(RuleBasedStateMachine):
    """Whatever is wanted, and whichever offers are answered: an offer that is not may have been heard all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.sections = Sections()
        self.tracks = [track(str(number), "audio" if number % 2 else "video") for number in range(90)]
        self.wanted: list[Track] = []
        self.heard: dict[str, set[Track]] = {}
        """What each section may carry as far as the other end knows."""
        self.kinds: list[MediaKind | None] = []

    @rule(wanted=st.sets(st.integers(0, 89), max_size=70))
    def offer(self, wanted: set[int]) -> None:
        self.wanted = [self.tracks[number] for number in sorted(wanted)]
        waiting = self.sections.carry(self.wanted)
        carried = list(self.sections.carried().values())
        assert sorted(map(id, carried + waiting)) == sorted(map(id, self.wanted)), "each is carried once, or waits"
        assert not waiting or len(self.sections.sections) == MAX_SECTIONS
        for mid, now in self.sections.carried().items():
            before = self.heard.setdefault(mid, set())
            assert before <= {now}, "what may be heard of a section was not something else"
            before.add(now)

    @precondition(lambda self: self.kinds)
    @rule()
    def answer(self) -> None:
        self.sections.settle()
        carried = self.sections.carried()
        self.heard = {str(n): {carried[str(n)]} if str(n) in carried else set() for n in range(len(self.kinds))}

    @invariant()
    def sections_are_never_taken_away(self) -> None:
        kinds = [section.kind for section in self.sections.sections]
        assert kinds[: len(self.kinds)] == self.kinds
        assert len(kinds) <= MAX_SECTIONS
        self.kinds = kinds


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=50, stateful_step_count=30)
