"""Changed rights hold against every older token, and against no newer one."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import settings
from hypothesis import given
from hypothesis import strategies as st

from signalling.config import ConfigError
from signalling.domain.grants import Grant, Source, refusal_in_time
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.rights import BINDS_FOR, Rights, rights_of
from signalling.domain.room import (
    MAX_CHANGED_RIGHTS,
    Connection,
    Room,
    RoomPolicy,
    is_allowed_still,
    refusal_to_change_rights,
)
from signalling.tokens import LEEWAY

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ANNA = ParticipantId("anna")
NAMES = tuple(each.name for each in fields(Rights) if each.name != "since")

moments = st.integers(0, 10).map(lambda minutes: NOON + timedelta(minutes=minutes))
may = st.fixed_dictionaries(
    {
        "can_publish": st.booleans(),
        "can_subscribe": st.booleans(),
        "sources": st.none() | st.frozensets(st.sampled_from(Source)),
        "can_publish_data": st.booleans(),
        "can_update_own_metadata": st.booleans(),
    }
)


def token(
    rights: dict[str, object],
    *,
    issued_at: datetime | None = None,
    not_before: datetime | None = None,
    expires_at: datetime = NOON + timedelta(hours=1),
) -> Grant:
    return Grant(
        participant=ANNA,
        room=RoomId("r_1"),
        join=True,
        name="Anna",
        issued_at=issued_at,
        not_before=not_before,
        expires_at=expires_at,
        **rights,  # type: ignore[arg-type]
    )


def rights_in(grant: Grant | Rights) -> dict[str, object]:
    return {name: getattr(grant, name) for name in NAMES}


def room() -> Room:
    return Room(room=RoomId("r_1"), name=None, created_at=NOON, policy=RoomPolicy(max_participants=9))


def test_every_right_of_a_token_can_be_changed() -> None:
    of_a_token = {each.name for each in fields(Grant) if each.name.startswith("can_") or each.name == "sources"}
    assert set(NAMES) == of_a_token


@given(said=may, changed=may, issued_at=moments | st.none(), not_before=moments | st.none(), since=moments)
def test_a_token_gives_the_changed_rights_unless_it_was_issued_later(
    said: dict[str, object],
    changed: dict[str, object],
    issued_at: datetime | None,
    not_before: datetime | None,
    since: datetime,
) -> None:
    grant = token(said, issued_at=issued_at, not_before=not_before)
    applied = Rights(since=since, **changed).applied(grant)  # type: ignore[arg-type]
    known = issued_at if issued_at is not None else not_before
    is_newer = known is not None and known > since
    assert rights_in(applied) == (said if is_newer else changed)
    assert replace(applied, **said) == grant, "nothing else of it is different"  # type: ignore[arg-type]


def test_a_token_that_does_not_say_when_it_was_issued_has_no_rights_back() -> None:
    muted = rights_of(token({"can_publish": False, "can_subscribe": True}), now=NOON)
    assert not muted.applied(token({"can_publish": True, "can_subscribe": True})).can_publish


@given(rights=may, issued_at=moments, now=moments)
def test_a_change_holds_against_the_token_that_it_is_about_whatever_its_issuers_clock_says(
    rights: dict[str, object], issued_at: datetime, now: datetime
) -> None:
    before = token(dict.fromkeys(NAMES[:2], True), issued_at=issued_at)
    changed = rights_of(replace(before, **rights), now=now)  # type: ignore[arg-type]
    assert rights_in(changed.applied(before)) == rights


@given(st.lists(st.tuples(st.booleans(), may), max_size=12))
def test_what_a_token_gives_is_what_was_decided_last_since_it_was_issued(
    decisions: list[tuple[bool, dict[str, object]]],
) -> None:
    here, tokens = room(), list[tuple[Grant, dict[str, object]]]()
    for minute, (is_change, rights) in enumerate(decisions):
        now = NOON + timedelta(minutes=minute)
        if is_change:
            here.rights[ANNA] = rights_of(token(rights, issued_at=NOON - timedelta(days=1)), now=now)
            tokens = [(issued, rights) for issued, _ in tokens]
        else:
            tokens.append((token(rights, issued_at=now), rights))
        # In whatever order they are shown: none has another one forgotten.
        for issued, expected in reversed(tokens):
            assert rights_in(here.granted(issued)) == expected


def test_the_rights_of_one_participant_are_nobody_elses() -> None:
    here, grant = room(), token({"can_publish": True, "can_subscribe": True})
    here.rights[ParticipantId("bela")] = rights_of(replace(grant, can_publish=False), now=NOON)
    assert here.granted(grant) is grant


@given(
    issued=st.timedeltas(timedelta(days=-30), timedelta()),
    life=st.timedeltas(timedelta(), timedelta(days=30)),
    later=st.timedeltas(timedelta(), timedelta(days=30)),
)
def test_rights_are_forgotten_only_when_no_older_token_is_valid_any_more(
    issued: timedelta, life: timedelta, later: timedelta
) -> None:
    issued_at = NOON + issued
    older = token({"can_publish": True, "can_subscribe": True}, issued_at=issued_at, expires_at=issued_at + life)
    here, now = room(), NOON + BINDS_FOR + later
    here.rights[ANNA] = rights_of(replace(older, can_publish=False), now=NOON)
    assert here.forget_rights(now=now - later - timedelta(microseconds=1)) == []
    assert here.forget_rights(now=now) == [ANNA]
    assert here.granted(older) is older
    assert refusal_in_time(older, now=now, leeway=LEEWAY, max_life=longest_life()) is not None


def longest_life() -> timedelta:
    """The longest that a token can live by any configuration."""
    most = 604_800
    with pytest.raises(ConfigError):
        settings(tokens={"keys": {"k1": "k" * 32}, "max_life_s": most + 1})
    return timedelta(seconds=settings(tokens={"keys": {"k1": "k" * 32}, "max_life_s": most}).tokens.max_life_s)


def test_a_room_forgets_no_changed_rights_for_those_of_others() -> None:
    here, muted = room(), rights_of(token({"can_publish": False, "can_subscribe": True}), now=NOON)
    for number in range(MAX_CHANGED_RIGHTS):
        participant = ParticipantId(f"p{number}")
        assert refusal_to_change_rights(here, participant) is None
        here.rights[participant] = muted
    assert refusal_to_change_rights(here, ANNA) is Refusal.TOO_MANY_CHANGED_RIGHTS
    assert refusal_to_change_rights(here, ParticipantId("p0")) is None, "theirs can be changed again"
    here.forget_rights(now=NOON + BINDS_FOR)
    assert refusal_to_change_rights(here, ANNA) is None


def test_what_was_opened_after_rights_were_changed_goes_on() -> None:
    here = room()
    here.rights[ANNA] = rights_of(token({"can_publish": True, "can_subscribe": False}), now=NOON)
    before = Connection(participant=ANNA, opened_at=NOON, sources=(ParticipantId("bela"),))
    assert not is_allowed_still(here, before)
    assert is_allowed_still(here, replace(before, opened_at=NOON + timedelta(seconds=1))), "by a newer token"
    assert is_allowed_still(here, replace(before, participant=ParticipantId("carl")))
    assert is_allowed_still(here, replace(before, sources=()))
