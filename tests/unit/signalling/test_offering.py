"""Our offers to a subscriber, one after the other."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signalling.rtc.offering import ANSWER_WITHIN, Answered, Offering

NOW = timedelta(seconds=100)


def test_what_changes_while_an_answer_is_waited_for_goes_into_the_next_offer() -> None:
    ours = Offering(41)
    assert not ours.is_due
    ours.change()
    assert ours.offer(now=NOW) == 42
    ours.change()
    ours.change()
    assert not ours.is_due, "one at a time"
    assert ours.answer(42) is Answered.THE_LATEST
    assert ours.is_due
    assert ours.offer(now=NOW) == 43
    assert ours.answer(43) is Answered.THE_LATEST
    assert not ours.is_due


def test_an_answer_to_an_older_offer_is_not_taken_for_one_to_the_latest() -> None:
    ours = Offering(7)
    ours.change()
    ours.offer(now=NOW)
    assert ours.answer(7) is Answered.AN_OLDER_ONE
    assert ours.answer(0) is Answered.THE_LATEST, "who counts nothing means the latest"
    assert ours.answer(8) is Answered.NOTHING


def test_an_offer_that_may_not_have_been_heard_is_made_again() -> None:
    ours = Offering(7)
    ours.lose()
    assert not ours.is_due, "there was none"
    ours.change()
    ours.offer(now=NOW)
    ours.lose()
    assert ours.is_due
    assert ours.offer(now=NOW) == 9
    assert ours.answer(8) is Answered.AN_OLDER_ONE


def test_a_client_has_fifteen_seconds_for_its_answer() -> None:
    ours = Offering(7)
    ours.change()
    ours.offer(now=NOW)
    assert not ours.is_late(now=NOW + ANSWER_WITHIN - timedelta(milliseconds=1))
    assert ours.is_late(now=NOW + ANSWER_WITHIN)
    ours.answer(8)
    assert not ours.is_late(now=NOW + ANSWER_WITHIN)


class AnyOrder(RuleBasedStateMachine):
    """A client that answers when it likes, over connections that break."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = Offering(100)
        self.wanted = self.agreed = 0
        self.offered: dict[int, int] = {}

    @rule()
    def change(self) -> None:
        self.wanted += 1
        self.ours.change()

    @precondition(lambda self: self.ours.is_due)
    @rule()
    def offer(self) -> None:
        number = self.ours.offer(now=NOW)
        assert number not in self.offered
        self.offered[number] = self.wanted

    @rule(number=st.integers(0, 130))
    def answer(self, number: int) -> None:
        if self.ours.answer(number) is Answered.THE_LATEST:
            self.agreed = self.offered[self.ours.number]

    @rule()
    def lose(self) -> None:
        self.ours.lose()

    @invariant()
    def what_was_not_agreed_on_is_on_its_way_or_due(self) -> None:
        assert self.agreed == self.wanted or self.ours.is_due or self.ours.outstanding_since is not None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100)
