"""Access tokens: JWT signed with HS256 (RFC 7519, RFC 7518 section 3.2), claims as LiveKit's client SDKs send them.

A program that has a key makes tokens with the same class as the server:

    tokens = Tokens({"2026-11": secret}, max_life=timedelta(hours=6))
    wish = TokenRequest(participant=ParticipantId("p_7"), room=RoomId("r_1"), life=timedelta(minutes=10))
    text = tokens.mint(wish, now=datetime.now(UTC))
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from signalling.domain.grants import Grant, Kind, Role, ServiceGrant, Source, Timed, refusal_in_time
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.room import refusal_of_name

ALGORITHM = "HS256"
BODY_LIFE = timedelta(minutes=5)
"""How long a receiver may take the signature of a body for new, as LiveKit's own server lets it."""

LEEWAY = timedelta(seconds=60)
MAX_TOKEN_LENGTH = 4096  # Ours have about 350 characters; LiveKit's with metadata about 2 000.
MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: a key at least as long as the hash.

_Seconds = Annotated[float, Field(ge=0, le=32_503_680_000, allow_inf_nan=False)]  # up to the year 3000
# LiveKit's libraries write the kind in small letters, its protobufs in capitals, and nothing where it is the usual one.
_Kind = Annotated[Kind, BeforeValidator(lambda kind: (kind.lower() or "standard") if isinstance(kind, str) else kind)]


class InvalidTokenError(Exception):
    """The token proves nothing: it is malformed, signed by nobody we know, or not for us."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class RefusedTokenError(Exception):
    """The token is genuine, but not valid now; or it would not be, and is not made."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class _Part(BaseModel):
    """Claims; those that mean nothing here are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: object) -> object:
        """Leaves out what is null: some of LiveKit's libraries write so what nobody has set."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class _Video(_Part):
    """The `video` grants."""

    room_join: StrictBool = False
    room_create: StrictBool = False
    room_list: StrictBool = False
    room_admin: StrictBool = False
    room: StrictStr = ""
    can_publish: StrictBool = True
    can_subscribe: StrictBool = True
    can_publish_data: StrictBool | None = None
    can_publish_sources: tuple[StrictStr, ...] = ()
    can_update_own_metadata: StrictBool = False
    hidden: StrictBool = False
    recorder: StrictBool = False
    agent: StrictBool = False


class _Claims(_Part):
    iss: StrictStr
    sub: StrictStr = ""
    jti: StrictStr = ""
    exp: _Seconds
    nbf: _Seconds | None = None
    iat: _Seconds | None = None
    name: StrictStr = ""
    kind: _Kind = Kind.STANDARD
    metadata: StrictStr = ""
    attributes: dict[StrictStr, StrictStr] = Field(default_factory=dict)
    video: _Video

    def roles(self) -> frozenset[Role]:
        """Says what the bearer is besides one of those who meet, by its grants or by its kind."""
        claimed = {
            Role.HIDDEN: self.video.hidden,
            Role.RECORDER: self.video.recorder or self.kind is Kind.EGRESS,
            Role.AGENT: self.video.agent or self.kind is Kind.AGENT,
        }
        return frozenset(role for role, is_claimed in claimed.items() if is_claimed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a new token shall allow a participant.

    Attributes:
        participant: an opaque id, never a name.
        room: the room's id.
        sources: of what it may send, if it may; None when of everything.
        name: what others see the participant called; like metadata and attributes readable by whoever has the token.
        life: for how long the participant may come in; who is in stays.
    """

    participant: ParticipantId
    room: RoomId
    can_publish: bool = True
    sources: frozenset[Source] | None = None
    can_publish_data: bool = False
    can_subscribe: bool = True
    can_update_own_metadata: bool = False
    name: str = field(default="", repr=False)
    metadata: str = field(default="", repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    life: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTokenRequest:
    """What a new token shall allow a program that manages rooms.

    Attributes:
        can_create: whether it may make and end rooms.
        can_list: whether it may see which rooms there are.
        administers: the room of which it may see and change who is in it, by the name the program will use for it.
    """

    can_create: bool = False
    can_list: bool = False
    administers: str | None = None
    life: timedelta


class Tokens:
    """Mints and reads tokens. The `iss` of a token selects the key; the algorithm is fixed."""

    def __init__(self, keys: Mapping[str, bytes], *, max_life: timedelta) -> None:
        self._keys = {issuer: OctKey.import_key(secret) for issuer, secret in keys.items()}
        self.max_life = max_life

    @property
    def can_mint(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._keys)

    def mint(self, wish: TokenRequest, *, now: datetime) -> str:
        """Signs a participant's token with the first key.

        Raises:
            RefusedTokenError: the life asked for is longer than allowed, or the participant's id looks like a name.
            InvalidTokenError: there is no key to sign with, or what is said of the participant is too long.
        """
        if (refusal := refusal_of_name(wish.participant)) is not None:
            raise RefusedTokenError(refusal)
        video = _video(
            wish.room, wish.can_publish, wish.sources, can_subscribe=wish.can_subscribe, data=wish.can_publish_data
        )
        if wish.can_update_own_metadata:
            video["canUpdateOwnMetadata"] = True
        said = {"name": wish.name, "metadata": wish.metadata, "attributes": dict(wish.attributes)}
        claims = {"sub": wish.participant, "video": video} | {name: value for name, value in said.items() if value}
        return self._sign(claims, life=wish.life, now=now)

    def renew(self, grant: Grant, *, life: timedelta, now: datetime) -> str:
        """Signs another token of a participant's rights, for whoever is in the room and may have to come back.

        Raises:
            InvalidTokenError: there is no key to sign with, or what is said of the participant is too long.
        """
        rights = {
            "canUpdateOwnMetadata": grant.can_update_own_metadata,
            "hidden": Role.HIDDEN in grant.roles,
            "recorder": Role.RECORDER in grant.roles,
            "agent": Role.AGENT in grant.roles,
        }
        said = {"name": grant.name, "metadata": grant.metadata, "attributes": dict(grant.attributes)}
        claims: dict[str, object] = {name: value for name, value in said.items() if value}
        video = _video(
            grant.room, grant.can_publish, grant.sources, can_subscribe=grant.can_subscribe, data=grant.can_publish_data
        )
        claims |= {"sub": grant.participant, "kind": grant.kind.value}
        claims["video"] = video | {name: True for name, has in rights.items() if has}
        return self._sign(claims, life=min(life, self.max_life), now=now)

    def mint_service(self, wish: ServiceTokenRequest, *, now: datetime) -> str:
        """Signs a token for a program that manages rooms, with the first key.

        Raises:
            RefusedTokenError: the life asked for is longer than allowed.
            InvalidTokenError: there is no key to sign with.
        """
        video: dict[str, object] = {"roomCreate": wish.can_create, "roomList": wish.can_list}
        if wish.administers is not None:
            video |= {"roomAdmin": True, "room": wish.administers}
        return self._sign({"video": video}, life=wish.life, now=now)

    def sign_body(self, body: bytes, *, issuer: str | None = None, now: datetime) -> str:
        """Signs what is posted to whoever has the same key, as LiveKit's libraries verify it; it lets nobody in.

        Args:
            body: what is posted.
            issuer: whose key signs; the first one if None.
            now: the current time, timezone-aware.

        Raises:
            InvalidTokenError: there is no such key.
        """
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return self._encoded({"sha256": digest}, issuer, life=BODY_LIFE, now=now)

    def read(self, token: str, *, now: datetime, even_expired: bool = False) -> Grant:
        """Checks the signature and the times of a participant's token and returns what it allows.

        Args:
            token: the compact form.
            now: the current time, timezone-aware.
            even_expired: whether a token that has expired still proves who its bearer is; for closing
                and repairing a connection that the token opened while it was valid.

        Raises:
            InvalidTokenError: the token proves nothing.
            RefusedTokenError: the token is genuine, but not valid now.
        """
        grant = _participants(self._verified(token))
        self._check_times(grant, now=now, even_expired=even_expired)
        return grant

    def read_service(self, token: str, *, now: datetime) -> ServiceGrant:
        """Checks the signature and the times of a program's token and returns what it allows; it need name nobody.

        Raises:
            InvalidTokenError: the token proves nothing.
            RefusedTokenError: the token is genuine, but not valid now.
        """
        claims = self._verified(token)
        grant = ServiceGrant(
            can_create=claims.video.room_create,
            can_list=claims.video.room_list,
            can_administer=claims.video.room_admin,
            room=claims.video.room,
            issued_at=_time(claims.iat),
            not_before=_time(claims.nbf),
            expires_at=datetime.fromtimestamp(claims.exp, UTC),
        )
        self._check_times(grant, now=now)
        return grant

    def _sign(self, claims: Mapping[str, object], *, life: timedelta, now: datetime) -> str:
        if life > self.max_life:
            raise RefusedTokenError(Refusal.TOKEN_LIVES_TOO_LONG)
        token = self._encoded(claims, None, life=life, now=now)
        if len(token) > MAX_TOKEN_LENGTH:
            fault = f"the token would be longer than {MAX_TOKEN_LENGTH} characters"
            raise InvalidTokenError(f"{fault}: shorten its name, metadata or attributes")
        return token

    def _encoded(self, claims: Mapping[str, object], issuer: str | None, *, life: timedelta, now: datetime) -> str:
        issuer = next(iter(self._keys), None) if issuer is None else issuer
        if issuer is None or issuer not in self._keys:
            raise InvalidTokenError("there is no key to sign with: set tokens.keys")
        issued = int(now.timestamp())
        times = {"iat": issued, "nbf": issued, "exp": int((now + life).timestamp())}
        signed = {"iss": issuer, **times, **claims}
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, signed, self._keys[issuer], algorithms=[ALGORITHM])

    def _check_times(self, grant: Timed, *, now: datetime, even_expired: bool = False) -> None:
        refusal = refusal_in_time(grant, now=now, leeway=LEEWAY, max_life=self.max_life)
        if refusal is not None and not (even_expired and refusal is Refusal.TOKEN_EXPIRED):
            raise RefusedTokenError(refusal)

    def _verified(self, token: str) -> _Claims:
        key = self._key_of(token)
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
        except (JoseError, ValueError) as error:
            raise InvalidTokenError("the token's signature or algorithm is wrong") from error
        return _claims(payload)

    def _key_of(self, token: str) -> OctKey:
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidTokenError(f"the token is longer than {MAX_TOKEN_LENGTH} characters")
        if token.count(".") != 2:
            raise InvalidTokenError("the token is not a JWT: it must have three parts")
        try:
            unverified = jws.extract_compact(token.encode("ascii")).payload
        except (JoseError, ValueError) as error:
            raise InvalidTokenError("the token is not a JWT: its parts cannot be decoded") from error
        key = self._keys.get(_claims(unverified).iss)
        if key is None:
            raise InvalidTokenError("the token's iss names no key of this server")
        return key


def _video(
    room: RoomId, can_publish: bool, sources: frozenset[Source] | None, *, can_subscribe: bool, data: bool
) -> dict[str, object]:
    video: dict[str, object] = {
        "roomJoin": True,
        "room": room,
        # An empty list means everything to LiveKit, and so to us.
        "canPublish": can_publish and sources != frozenset(),
        "canSubscribe": can_subscribe,
        "canPublishData": data,
    }
    if sources:
        video["canPublishSources"] = [source.value for source in Source if source in sources]
    return video


def _claims(payload: bytes) -> _Claims:
    try:
        return _Claims.model_validate(json.loads(payload))
    except ValidationError as error:
        raise InvalidTokenError(f"the token's claim {_where(error)} is missing or wrong") from error
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("the token's claims are not JSON") from error


def _where(error: ValidationError) -> str:
    """Names the claim at fault, by words of ours only: the keys of attributes are somebody else's."""
    where = error.errors(include_input=False)[0]["loc"]
    return ".".join(str(part) for part in where[: 2 if where[:1] == ("video",) else 1]) or "(all)"


def _participants(claims: _Claims) -> Grant:
    name, participant = ("sub", claims.sub) if claims.sub else ("jti", claims.jti)
    if not participant:
        raise InvalidTokenError("the token's claim sub is missing, and there is no jti to stand for it")
    if refusal_of_name(participant) is not None:
        fault = f"must be an opaque id of at most {MAX_ID_LENGTH} characters, never a name or number of a person"
        raise InvalidTokenError(f"the token's {name} {fault}")
    if not _is_unicode((claims.name, claims.metadata, *claims.attributes, *claims.attributes.values())):
        raise InvalidTokenError("what the token says of the participant is no Unicode: half a character is in it")
    video, listed = claims.video, claims.video.can_publish_sources
    return Grant(
        participant=ParticipantId(participant),
        room=RoomId(video.room),
        join=video.room_join,
        can_publish=video.can_publish,
        can_subscribe=video.can_subscribe,
        # They narrow what may be published; one that means nothing here allows nothing.
        sources=frozenset(source for source in Source if source in listed) if listed else None,
        can_publish_data=video.can_publish if video.can_publish_data is None else video.can_publish_data,
        can_update_own_metadata=video.can_update_own_metadata,
        kind=claims.kind,
        roles=claims.roles(),
        name=claims.name,
        metadata=claims.metadata,
        attributes=claims.attributes,
        issued_at=_time(claims.iat),
        not_before=_time(claims.nbf),
        expires_at=datetime.fromtimestamp(claims.exp, UTC),
    )


def _is_unicode(texts: Iterable[str]) -> bool:
    """Whether these can be told to anybody: JSON can write half a character, and nothing else can."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
