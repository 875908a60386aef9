"""What is done next for somebody who is to receive something: what goes together, and what does not."""

from __future__ import annotations

from datetime import timedelta

from signalling.rtc.offering import Offering
from signalling.rtc.receiving import Allow, AllowData, Limit, Offer, Receiving, Revoke, RevokeData, Wanted
from signalling.rtc.subscribing import BEST

NOW = timedelta(seconds=1)


def agreed(*tracks: str) -> Receiving:
    """Somebody who has agreed to receive these tracks."""
    theirs = Receiving(Offering(1, changed=True))
    number = theirs.made(Offer(tracks, restarts_ice=False), is_whole=True, now=NOW)
    theirs.answered(number)
    theirs.agreed(tracks)
    return theirs


def test_all_rights_are_given_at_the_same_time_and_what_is_new_is_offered_meanwhile() -> None:
    wanted = Wanted(tracks={"a": BEST, "b": BEST, "c": BEST}, data_from=frozenset({"ann", "bo"}))
    assert agreed("a", "b").next(wanted, can_offer=True) == (
        AllowData("ann"),
        AllowData("bo"),
        Allow("a"),
        Allow("b"),
        Offer(("a", "b", "c"), restarts_ice=False),
    )


def test_nothing_is_given_before_all_is_taken_that_may_flow_no_more() -> None:
    theirs = agreed("a", "b")
    theirs.allowed, theirs.data_from = {"a"}, {"ann"}
    wanted = Wanted(tracks={"b": BEST}, data_from=frozenset({"bo"}))
    assert theirs.next(wanted, can_offer=True) == (Revoke("a"), RevokeData("ann"))


def test_a_picture_flows_once_the_engine_knows_that_a_small_one_will_do() -> None:
    theirs, wanted = agreed("big", "small"), Wanted(tracks={"big": BEST, "small": 0})
    assert theirs.next(wanted, can_offer=True) == (Allow("big"), Limit("small", 0))
    theirs.did(Allow("big"))
    theirs.did(Limit("small", 0))
    assert theirs.next(wanted, can_offer=True) == (Allow("small"),)


def test_of_a_picture_that_was_small_the_best_is_asked_for_again() -> None:
    theirs = agreed("a")
    theirs.did(Limit("a", 0))
    theirs.did(Allow("a"))
    assert theirs.next(Wanted(tracks={"a": BEST}), can_offer=True) == (Limit("a", BEST),)
