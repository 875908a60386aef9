"""Access tokens: JWT signed with HS256 (RFC 7519, RFC 7518 section 3.2), claims as LiveKit's client SDKs send them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from signalling.domain.grants import Grant, Source, refusal_in_time
from signalling.domain.ids import MAX_ID_LENGTH, ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.room import refusal_of_name

ALGORITHM = "HS256"
LEEWAY = timedelta(seconds=60)
MAX_TOKEN_LENGTH = 4096  # Ours have about 350 characters; LiveKit's with metadata about 2 000.
MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: a key at least as long as the hash.

_Seconds = Annotated[float, Field(ge=0, le=32_503_680_000, allow_inf_nan=False)]  # up to the year 3000


class InvalidTokenError(Exception):
    """The token proves nothing: it is malformed, signed by nobody we know, or not for us."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class RefusedTokenError(Exception):
    """The token is genuine, but not valid now."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class _Video(BaseModel):
    """The `video` grants that mean something here; the others are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    room_join: StrictBool = Field(False, validation_alias=AliasChoices("roomJoin"))
    room: StrictStr = ""
    can_publish: StrictBool = Field(True, validation_alias=AliasChoices("canPublish"))
    can_subscribe: StrictBool = Field(True, validation_alias=AliasChoices("canSubscribe"))
    can_publish_sources: tuple[StrictStr, ...] = Field((), validation_alias=AliasChoices("canPublishSources"))
    hidden: StrictBool = False


class _Claims(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    iss: StrictStr
    sub: StrictStr = ""
    jti: StrictStr = ""
    exp: _Seconds
    nbf: _Seconds | None = None
    iat: _Seconds | None = None
    video: _Video


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a new token shall allow."""

    participant: ParticipantId
    room: RoomId
    can_publish: bool = True
    can_subscribe: bool = True
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
        """Signs a token with the first key.

        Raises:
            RefusedTokenError: the life asked for is longer than allowed.
            InvalidTokenError: there is no key to sign with.
        """
        if wish.life > self.max_life:
            raise RefusedTokenError(Refusal.TOKEN_LIVES_TOO_LONG)
        if not self._keys:
            raise InvalidTokenError("there is no key to sign with: set tokens.keys")
        issuer, key = next(iter(self._keys.items()))
        issued = int(now.timestamp())
        claims: dict[str, object] = {
            "iss": issuer,
            "sub": wish.participant,
            "iat": issued,
            "nbf": issued,
            "exp": int((now + wish.life).timestamp()),
            "video": {
                "roomJoin": True,
                "room": wish.room,
                "canPublish": wish.can_publish,
                "canSubscribe": wish.can_subscribe,
                "canPublishData": False,
            },
        }
        return jwt.encode({"alg": ALGORITHM, "typ": "JWT"}, claims, key, algorithms=[ALGORITHM])

    def read(self, token: str, *, now: datetime, even_expired: bool = False) -> Grant:
        """Checks the signature and the times of `token` and returns what it allows.

        Args:
            token: the compact form.
            now: the current time, timezone-aware.
            even_expired: whether a token that has expired still proves who its bearer is; for closing
                and repairing a connection that the token opened while it was valid.

        Raises:
            InvalidTokenError: the token proves nothing.
            RefusedTokenError: the token is genuine, but not valid now.
        """
        grant = self._grant(token)
        refusal = refusal_in_time(grant, now=now, leeway=LEEWAY, max_life=self.max_life)
        if refusal is not None and not (even_expired and refusal is Refusal.TOKEN_EXPIRED):
            raise RefusedTokenError(refusal)
        return grant

    def _grant(self, token: str) -> Grant:
        key = self._key_of(token)
        try:
            payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
        except (JoseError, ValueError) as error:
            raise InvalidTokenError("the token's signature or algorithm is wrong") from error
        claims = _claims(payload)
        name, participant = ("sub", claims.sub) if claims.sub else ("jti", claims.jti)
        if not participant:
            raise InvalidTokenError("the token's claim sub is missing, and there is no jti to stand for it")
        if refusal_of_name(participant) is not None:
            fault = f"must be an opaque id of at most {MAX_ID_LENGTH} characters, never a name or number of a person"
            raise InvalidTokenError(f"the token's {name} {fault}")
        if claims.video.hidden:
            raise InvalidTokenError("hidden participants do not exist here")
        video, listed = claims.video, claims.video.can_publish_sources
        return Grant(
            participant=ParticipantId(participant),
            room=RoomId(video.room),
            join=video.room_join,
            can_publish=video.can_publish,
            can_subscribe=video.can_subscribe,
            # They narrow what may be published; one that means nothing here allows nothing.
            sources=frozenset(source for source in Source if source in listed) if listed else None,
            issued_at=_time(claims.iat),
            not_before=_time(claims.nbf),
            expires_at=datetime.fromtimestamp(claims.exp, UTC),
        )

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


def _claims(payload: bytes) -> _Claims:
    try:
        return _Claims.model_validate(json.loads(payload))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise InvalidTokenError(f"the token's claim {where or '(all)'} is missing or wrong") from error
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("the token's claims are not JSON") from error


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
