"""Access tokens."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from datetime import timedelta

import pytest
from conftest import NOW, SECRET, Bench, settings
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given
from hypothesis import strategies as st
from jwts import AT, CLAIMS, b64, signed
from offers import offer

from signalling.domain.grants import Purpose, refusal_in_room, refusal_of_media
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.tokens import InvalidTokenError, RefusedTokenError, TokenRequest, Tokens

PARTS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/"
WORDS = st.sampled_from(["iss", "sub", "jti", "exp", "nbf", "iat", "video", "alg", "typ", "kid", "crit", "b64", "zip"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(["k1", "HS256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def tokens(**keys: str) -> Tokens:
    return Tokens({name: key.encode() for name, key in (keys or {"k1": SECRET}).items()}, max_life=timedelta(hours=6))


def test_what_is_minted_can_be_read() -> None:
    wish = TokenRequest(
        participant=ParticipantId("p_1"), room=RoomId("r1"), can_publish=False, life=timedelta(minutes=5)
    )
    grant = tokens().read(tokens().mint(wish, now=NOW), now=NOW)
    assert (grant.participant, grant.room, grant.can_publish, grant.can_subscribe) == ("p_1", "r1", False, True)
    assert grant.expires_at == NOW + timedelta(minutes=5)


def test_the_issuer_selects_the_key_and_an_old_key_stays_good_beside_a_new_one() -> None:
    old, both = tokens(k1=SECRET), tokens(k2="z" * 32, k1=SECRET)
    wish = TokenRequest(participant=ParticipantId("p_1"), room=RoomId("r1"), life=timedelta(minutes=5))
    assert both.read(old.mint(wish, now=NOW), now=NOW).room == "r1"
    with pytest.raises(InvalidTokenError, match="iss"):
        old.read(both.mint(wish, now=NOW), now=NOW)


def test_absent_grants_mean_what_livekit_means_by_them() -> None:
    grant = tokens().read(signed(CLAIMS), now=NOW)
    assert (grant.join, grant.can_publish, grant.can_subscribe) == (True, True, True)
    without = tokens().read(signed(CLAIMS | {"video": {"room": "r1"}}), now=NOW)
    assert refusal_in_room(without, room=RoomId("r1"), purpose=Purpose.SUBSCRIBE) is Refusal.TOKEN_DOES_NOT_JOIN


def test_an_identity_is_as_long_as_livekit_allows_and_jti_stands_for_a_missing_sub() -> None:
    assert tokens().read(signed(CLAIMS | {"sub": "p" * 256}), now=NOW).participant == "p" * 256
    assert tokens().read(signed(CLAIMS | {"jti": "j_1"}), now=NOW).participant == "p_1"
    assert tokens().read(signed(CLAIMS | {"sub": "", "jti": "j_1"}), now=NOW).participant == "j_1"


@pytest.mark.parametrize(
    ("video", "allowed"),
    [
        ({}, ["audio", "video"]),
        ({"canPublishSources": []}, ["audio", "video"]),
        ({"canPublishSources": ["microphone"]}, ["audio"]),
        ({"canPublishSources": ["screen_share_audio"]}, ["audio"]),
        ({"canPublishSources": ["camera"]}, ["video"]),
        ({"canPublishSources": ["screen_share", "microphone"]}, ["audio", "video"]),
        ({"canPublishSources": ["hologram"]}, []),
        ({"canPublishSources": ["microphone"], "canPublish": False}, []),
        ({"canPublish": False}, []),
    ],
)
def test_listed_sources_decide_what_may_be_published(video: dict[str, object], allowed: list[str]) -> None:
    grant = tokens().read(signed(CLAIMS | {"video": {"roomJoin": True, "room": "r1"} | video}), now=NOW)
    may = refusal_in_room(grant, room=RoomId("r1"), purpose=Purpose.PUBLISH) is None
    assert [kind for kind in ("audio", "video") if may and refusal_of_media(grant.sources, [kind]) is None] == allowed


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        ("", "three parts"),
        ("a.b.c", "decoded"),
        ("x" * 5_000, "longer"),
        ("å.å.å", "decoded"),
        (signed(CLAIMS, key="w" * 32), "signature or algorithm"),
        (signed(CLAIMS, alg="none"), "signature or algorithm"),
        (signed(CLAIMS, digest="sha512", alg="HS512"), "signature or algorithm"),
        (signed(CLAIMS)[:-3], "signature or algorithm"),
        (signed(CLAIMS)[:-1] + chr(ord(signed(CLAIMS)[-1]) + 1), "signature or algorithm"),
        (signed(CLAIMS) + "=", "signature or algorithm"),
        (signed(CLAIMS | {"iss": "k9"}), "iss"),
        (signed({k: v for k, v in CLAIMS.items() if k != "exp"}), "exp"),
        (signed(CLAIMS | {"exp": "soon"}), "exp"),
        (signed(CLAIMS | {"exp": 1e300}), "exp"),
        (signed(CLAIMS | {"sub": ""}), "sub is missing"),
        (signed(CLAIMS | {"sub": "", "jti": ""}), "no jti"),
        (signed(CLAIMS | {"sub": "", "jti": "Anna Andersson"}), "jti must be an opaque id"),
        (signed(CLAIMS | {"sub": "p" * 257}), "at most 256 characters"),
        (signed(CLAIMS | {"sub": "Anna Andersson"}), "sub"),
        (signed(CLAIMS | {"sub": "191212121212"}), "sub"),
        (signed(CLAIMS | {"video": {"roomJoin": "yes", "room": "r1"}}), "roomJoin"),
        (signed(CLAIMS | {"video": {"roomJoin": True, "room": "r1", "hidden": "no"}}), "hidden"),
        (signed(CLAIMS | {"video": None}), "video"),
        (signed(CLAIMS | {"kind": "ghost"}), "kind"),
        (signed(CLAIMS | {"name": 7}), "name"),
        (signed(CLAIMS | {"metadata": {}}), "metadata"),
        (signed(CLAIMS | {"attributes": {"secret-ward": 7}}), "claim attributes is"),
        (signed(CLAIMS | {"video": {"roomJoin": True, "room": "r1", "canPublishSources": "camera"}}), "Sources"),
        (signed(CLAIMS | {"video": {"roomJoin": True, "room": "r1", "canPublishSources": [1]}}), "Sources"),
        (signed([]), "all"),
        (signed("["), "all"),
    ],
)
def test_a_token_that_proves_nothing_is_refused_by_name(token: str, fault: str) -> None:
    with pytest.raises(InvalidTokenError, match=fault):
        tokens().read(token, now=NOW)


@st.composite
def edited(draw: st.DrawFn, token: str) -> str:
    """Draws what differs from a token in a few places."""
    text = token
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(PARTS, max_size=4)) + text[at + draw(st.integers(0, 4)) :]
    return text


def test_a_token_of_which_one_character_was_changed_proves_nothing() -> None:
    genuine = signed(CLAIMS)
    for at in range(len(genuine)):
        # Of the last character's six bits four are in use: texts that mean the same are no token either.
        for other in PARTS if at == len(genuine) - 1 else "Aw_.=":
            if other != genuine[at]:
                with pytest.raises(InvalidTokenError):
                    tokens().read(genuine[:at] + other + genuine[at + 1 :], now=NOW)


@given(edited(signed(CLAIMS)) | st.text(max_size=200) | st.text(PARTS, max_size=200))
def test_a_token_that_was_changed_anywhere_proves_nothing(token: str) -> None:
    assume(token != signed(CLAIMS))
    with pytest.raises(InvalidTokenError):
        tokens().read(token, now=NOW)


@given(JSON, JSON)
def test_whatever_a_genuine_token_claims_it_is_read_or_refused(header: object, claims: object) -> None:
    """The holder of the key may write what they like."""
    merged = CLAIMS | claims if isinstance(claims, dict) else claims
    for token in (signed(merged), signed(CLAIMS, **(header if isinstance(header, dict) else {"x": header}))):
        with contextlib.suppress(InvalidTokenError, RefusedTokenError):
            assert tokens().read(token, now=NOW).expires_at > NOW - timedelta(minutes=2)


@given(st.sampled_from(["Bearer ", "bearer\t", "", "Basic "]), edited(signed(CLAIMS)) | st.text(max_size=100))
def test_no_bearer_that_was_changed_is_let_in_nor_breaks_a_request(scheme: str, token: str) -> None:
    assume(token.strip() != signed(CLAIMS))
    bearer = {b"authorization": (scheme + token).encode("utf-8", "surrogatepass").translate(None, b"\r\n\0")}

    async def ask() -> list[int]:
        bench = Bench(settings())
        async with bench.http() as http:
            posted = await http.post(
                "/whip/r1", content=offer(), headers={**bearer, b"content-type": b"application/sdp"}
            )
            looked = await http.get("/rooms/r1", headers=bearer)
            ended = await http.delete("/whep/r1/resources/x", headers=bearer)
        return [answer.status_code for answer in (posted, looked, ended)]

    assert asyncio.run(ask()) == [401, 401, 401]


def test_a_public_key_is_no_secret() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    confused = signed(CLAIMS, key=pem.decode(), alg="ES256")
    with pytest.raises(InvalidTokenError):
        tokens().read(confused, now=NOW)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"exp": AT - 61}, Refusal.TOKEN_EXPIRED),
        ({"nbf": AT + 61}, Refusal.TOKEN_NOT_YET_VALID),
        ({"iat": AT + 61}, Refusal.TOKEN_NOT_YET_VALID),
        ({"exp": AT + 6 * 3600 + 61}, Refusal.TOKEN_LIVES_TOO_LONG),
        ({"iat": AT - 6 * 3600, "exp": AT + 61}, Refusal.TOKEN_LIVES_TOO_LONG),
    ],
)
def test_a_genuine_token_is_refused_outside_its_time(change: dict[str, object], refusal: Refusal) -> None:
    with pytest.raises(RefusedTokenError) as caught:
        tokens().read(signed(CLAIMS | change), now=NOW)
    assert caught.value.refusal is refusal


def test_an_expired_token_still_proves_who_its_bearer_is_when_asked_so() -> None:
    expired = signed(CLAIMS | {"exp": AT - 600})
    assert tokens().read(expired, now=NOW, even_expired=True).participant == "p_1"
    with pytest.raises(RefusedTokenError):
        tokens().read(signed(CLAIMS | {"nbf": AT + 600}), now=NOW, even_expired=True)


def test_a_tag_made_by_hand_is_the_one_the_library_makes() -> None:
    wish = TokenRequest(participant=ParticipantId("p_1"), room=RoomId("r1"), life=timedelta(minutes=5))
    text, _, tag = tokens().mint(wish, now=NOW).rpartition(".")
    assert tag == b64(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())
