"""Tokens of LiveKit's own library and ours mean the same to both."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import NOW, SECRET
from hypothesis import given
from hypothesis import strategies as st
from jwts import CLAIMS, signed
from livekit import api

from signalling.domain.grants import Grant, Kind, Role, ServicePurpose, Source, refusal_of_service
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.tokens import InvalidTokenError, RefusedTokenError, ServiceTokenRequest, TokenRequest, Tokens

OURS = Tokens({"k1": SECRET.encode()}, max_life=timedelta(hours=6))
ids = st.from_regex(r"p_[a-z0-9]{1,20}", fullmatch=True)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
wishes = st.builds(
    TokenRequest,
    participant=ids.map(ParticipantId),
    room=ids.map(RoomId),
    can_publish=st.booleans(),
    sources=st.none() | st.frozensets(st.sampled_from(Source), min_size=1),
    can_publish_data=st.booleans(),
    can_subscribe=st.booleans(),
    can_update_own_metadata=st.booleans(),
    name=words,
    metadata=words,
    attributes=st.dictionaries(words, words, max_size=3),
    life=st.integers(60, 6 * 3600).map(lambda seconds: timedelta(seconds=seconds)),
)


def made_by_livekit(wish: TokenRequest) -> str:
    grants = api.VideoGrants(
        room_join=True,
        room=wish.room,
        can_publish=wish.can_publish,
        can_publish_sources=None if wish.sources is None else [source.value for source in wish.sources],
        can_publish_data=wish.can_publish_data,
        can_subscribe=wish.can_subscribe,
        can_update_own_metadata=wish.can_update_own_metadata or None,
    )
    token = api.AccessToken("k1", SECRET).with_identity(wish.participant).with_grants(grants).with_ttl(wish.life)
    if wish.name:
        token = token.with_name(wish.name)
    if wish.metadata:
        token = token.with_metadata(wish.metadata)
    if wish.attributes:
        token = token.with_attributes(dict(wish.attributes))
    return token.to_jwt()


def claims_of(token: str) -> dict[str, Any]:
    return dict(json.loads(urlsafe_b64decode(token.split(".")[1] + "==")))


def read_when_made(token: str) -> Grant:
    """Reads a token at the moment at which it was made, which its own library says."""
    return OURS.read(token, now=datetime.fromtimestamp(claims_of(token)["nbf"], UTC))


def without_times(grant: Grant) -> Grant:
    return replace(grant, issued_at=None, not_before=None, expires_at=NOW)


@given(wishes)
def test_a_token_of_livekits_library_and_one_of_ours_are_understood_alike(wish: TokenRequest) -> None:
    theirs, ours = read_when_made(made_by_livekit(wish)), OURS.read(OURS.mint(wish, now=NOW), now=NOW)
    assert without_times(theirs) == without_times(ours)
    for name in ("participant", "room", "can_publish", "sources", "can_publish_data", "can_subscribe"):
        assert getattr(ours, name) == getattr(wish, name)
    for name in ("name", "metadata", "attributes", "can_update_own_metadata"):
        assert getattr(ours, name) == getattr(wish, name)


@given(wishes)
def test_livekits_library_understands_a_token_of_ours(wish: TokenRequest) -> None:
    # It looks at a clock: that ours is of another day must not matter.
    verifier = api.TokenVerifier("k1", SECRET, leeway=timedelta(days=36_500))
    claims = verifier.verify(OURS.mint(wish, now=NOW))
    assert (claims.identity, claims.name, claims.metadata) == (wish.participant, wish.name, wish.metadata)
    assert dict(claims.attributes or {}) == dict(wish.attributes)
    assert claims.video is not None
    assert (claims.video.room_join, claims.video.room) == (True, wish.room)
    assert (claims.video.can_publish, claims.video.can_subscribe) == (wish.can_publish, wish.can_subscribe)
    assert claims.video.can_publish_data == wish.can_publish_data
    assert set(claims.video.can_publish_sources or []) == set(wish.sources or [])


def test_what_a_token_does_not_say_is_as_livekit_has_it() -> None:
    grant = OURS.read(signed(CLAIMS), now=NOW)
    assert (grant.can_publish, grant.can_subscribe, grant.can_publish_data) == (True, True, True)
    assert (grant.can_update_own_metadata, grant.kind, grant.roles) == (False, Kind.STANDARD, frozenset())
    silent = OURS.read(signed(CLAIMS | {"video": {"roomJoin": True, "room": "r1", "canPublish": False}}), now=NOW)
    assert not silent.can_publish_data, "messages follow what may be published"


def test_null_is_as_good_as_left_out() -> None:
    """LiveKit's library for Ruby writes so what nobody has set."""
    nothing = dict.fromkeys(["canPublish", "canPublishSources", "canPublishData", "hidden", "roomAdmin"])
    claims = CLAIMS | {"video": {"roomJoin": True, "room": "r1"} | nothing, "name": None, "kind": None, "nbf": None}
    assert OURS.read(signed(claims), now=NOW) == OURS.read(signed(CLAIMS), now=NOW)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_that_livekits_library_can_write_is_known(kind: Kind) -> None:
    token = api.AccessToken("k1", SECRET).with_identity("p_1").with_kind(kind.value)
    token.with_grants(api.VideoGrants(room_join=True, room="r1"))
    assert read_when_made(token.to_jwt()).kind is kind
    assert OURS.read(signed(CLAIMS | {"kind": kind.value.upper()}), now=NOW).kind is kind


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"video": {"hidden": True}}, {Role.HIDDEN}),
        ({"video": {"recorder": True}}, {Role.RECORDER}),
        ({"video": {"agent": True}}, {Role.AGENT}),
        ({"video": {"hidden": True, "recorder": True}}, {Role.HIDDEN, Role.RECORDER}),
        ({"video": {}, "kind": "agent"}, {Role.AGENT}),
        ({"video": {}, "kind": "egress"}, {Role.RECORDER}),
        ({"video": {}, "kind": "sip"}, set()),
    ],
)
def test_who_is_more_than_one_of_those_who_meet_is_known_by_grant_or_kind(
    claims: dict[str, Any], roles: set[Role]
) -> None:
    assert OURS.read(signed(CLAIMS | claims), now=NOW).roles == roles


def test_nothing_that_is_said_of_a_person_is_in_what_is_printed_of_a_grant() -> None:
    said = {"name": "Anna", "metadata": "Anna", "attributes": {"called": "Anna"}}
    grant = OURS.read(signed(CLAIMS | said), now=NOW)
    assert grant.name == "Anna"
    assert "Anna" not in repr(grant)
    wish = TokenRequest(participant=ParticipantId("p"), room=RoomId("r"), life=timedelta(minutes=1), **said)
    assert "Anna" not in repr(wish)


def test_a_list_of_no_sources_allows_to_send_nothing() -> None:
    wish = TokenRequest(
        participant=ParticipantId("p"), room=RoomId("r"), sources=frozenset(), life=timedelta(minutes=1)
    )
    assert not OURS.read(OURS.mint(wish, now=NOW), now=NOW).can_publish


def test_no_token_is_made_for_what_looks_like_a_person() -> None:
    wish = TokenRequest(participant=ParticipantId("191212121212"), room=RoomId("r"), life=timedelta(minutes=1))
    with pytest.raises(RefusedTokenError) as refused:
        OURS.mint(wish, now=NOW)
    assert refused.value.refusal is Refusal.NAME_PERSONAL


# --- programs that manage rooms ---


def test_a_program_needs_no_identity_and_may_do_what_its_token_grants() -> None:
    token = api.AccessToken("k1", SECRET).with_grants(api.VideoGrants(room_admin=True, room="ward-7")).to_jwt()
    now = datetime.fromtimestamp(claims_of(token)["nbf"], UTC)
    grant = OURS.read_service(token, now=now)
    assert (grant.can_create, grant.can_list, grant.can_administer, grant.room) == (False, False, True, "ward-7")
    with pytest.raises(InvalidTokenError, match="sub is missing"):
        OURS.read(token, now=now)


@pytest.mark.parametrize(
    ("wish", "purpose", "room", "refusal"),
    [
        ({"can_create": True}, ServicePurpose.CREATE, "", None),
        ({"can_list": True}, ServicePurpose.CREATE, "", Refusal.ROOM_CREATE_NOT_GRANTED),
        ({"can_list": True}, ServicePurpose.LIST, "", None),
        ({"can_create": True}, ServicePurpose.LIST, "", Refusal.ROOM_LIST_NOT_GRANTED),
        ({"administers": "a"}, ServicePurpose.ADMINISTER, "a", None),
        ({"administers": "a"}, ServicePurpose.ADMINISTER, "b", Refusal.TOKEN_FOR_OTHER_ROOM),
        ({"administers": ""}, ServicePurpose.ADMINISTER, "", Refusal.TOKEN_FOR_OTHER_ROOM),
        ({"can_create": True, "can_list": True}, ServicePurpose.ADMINISTER, "a", Refusal.ROOM_ADMIN_NOT_GRANTED),
    ],
)
def test_a_token_of_ours_for_a_program_allows_what_it_grants_and_no_more(
    wish: dict[str, Any], purpose: ServicePurpose, room: str, refusal: Refusal | None
) -> None:
    token = OURS.mint_service(ServiceTokenRequest(life=timedelta(minutes=1), **wish), now=NOW)
    grant = OURS.read_service(token, now=NOW)
    assert refusal_of_service(grant, purpose=purpose, room=room) is refusal


def test_a_participants_token_manages_no_room() -> None:
    wish = TokenRequest(participant=ParticipantId("p_1"), room=RoomId("r1"), life=timedelta(minutes=1))
    grant = OURS.read_service(OURS.mint(wish, now=NOW), now=NOW)
    for purpose in ServicePurpose:
        assert refusal_of_service(grant, purpose=purpose, room="r1") is not None


@pytest.mark.parametrize("change", [{"exp": 1}, {"nbf": 4e9}, {"exp": 4e9}])
def test_a_programs_token_is_refused_outside_its_time_as_a_participants_is(change: dict[str, object]) -> None:
    with pytest.raises(RefusedTokenError):
        OURS.read_service(signed(CLAIMS | {"sub": ""} | change), now=NOW)


def test_a_wish_has_no_words_that_its_token_has_not() -> None:
    wish = TokenRequest(participant=ParticipantId("p_1"), room=RoomId("r1"), life=timedelta(minutes=1))
    claims = claims_of(OURS.mint(wish, now=NOW))
    assert set(claims) == {"iss", "sub", "iat", "nbf", "exp", "video"}
    assert {"name", "metadata", "attributes"} <= set(asdict(wish))


def test_the_signature_of_what_is_posted_lets_nobody_in() -> None:
    signature = OURS.sign_body(b"{}", now=NOW)
    for read in (OURS.read, OURS.read_service):
        with pytest.raises(InvalidTokenError, match="video"):
            read(signature, now=NOW)


def test_what_is_posted_is_signed_with_the_key_that_was_asked_for_even_where_tokens_live_shorter() -> None:
    two = Tokens({"k1": SECRET.encode(), "k2": b"o" * 32}, max_life=timedelta(seconds=60))
    assert claims_of(two.sign_body(b"{}", now=NOW))["iss"] == "k1"
    assert claims_of(two.sign_body(b"{}", issuer="k2", now=NOW))["iss"] == "k2"
    with pytest.raises(InvalidTokenError):
        two.sign_body(b"{}", issuer="k3", now=NOW)


def test_words_that_cannot_be_told_to_anybody_let_nobody_in() -> None:
    claims = CLAIMS | {"name": "\ud83d"}
    with pytest.raises(InvalidTokenError, match="half a character"):
        OURS.read(signed(claims), now=NOW)
