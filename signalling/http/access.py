"""Who asks: bearers of tokens, and administrators."""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from signalling.connections import OpenConnection
from signalling.domain.grants import Grant, Purpose, refusal_in_room
from signalling.domain.ids import ResourceId, RoomId
from signalling.domain.room import Room, refusal_to_see
from signalling.faults import RefusedError
from signalling.http.errors import RequestError
from signalling.http.parts import parts_of
from signalling.tokens import InvalidTokenError, RefusedTokenError

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def bearer_of(request: HTTPConnection) -> str | None:
    """Returns what follows `Authorization: Bearer`, or None."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" and credentials.strip() else None


def token_of(request: Request) -> str:
    """Returns the token sent.

    Raises:
        RequestError: there is none.
    """
    token = bearer_of(request)
    if token is None:
        raise RequestError("token_missing")
    return token


def is_admin(request: Request) -> bool:
    """Whether the administrator's bearer was sent."""
    return _matches(parts_of(request).settings.admin.bearer, bearer_of(request))


def admin(request: Request) -> None:
    """Lets only administrators pass.

    Raises:
        RequestError: no bearer is configured, or another one was sent.
    """
    if parts_of(request).settings.admin.bearer is None:
        raise RequestError("admin_disabled", "set admin.bearer in the configuration")
    is_ok = is_admin(request)
    parts_of(request).metrics.on_auth("admin", is_ok=is_ok)
    if not is_ok:
        raise RequestError("admin_bearer_wrong")


def grant(request: Request) -> Grant:
    """Reads the token sent.

    Raises:
        RequestError: there is none.
    """
    return read(request, token_of(request))


def read(request: HTTPConnection, token: str, *, even_expired: bool = False) -> Grant:
    """Reads a token, and counts whether it was one.

    Raises:
        InvalidTokenError: the token proves nothing.
        RefusedTokenError: the token is genuine, but not valid now.
    """
    parts = parts_of(request)
    try:
        theirs = parts.tokens.read(token, now=parts.now(), even_expired=even_expired)
    except (InvalidTokenError, RefusedTokenError):
        parts.metrics.on_auth("token", is_ok=False)
        raise
    parts.metrics.on_auth("token", is_ok=True)
    return theirs


def room_seen_by(request: Request, theirs: Grant, room: RoomId) -> Room:
    """Finds a room for somebody who may see what is in it.

    Raises:
        RefusedError: they may not; for a token of another room, whether that room exists or not.
        NotFoundError: there is no such room.
    """
    refusal = refusal_in_room(theirs, room=room, purpose=Purpose.SEE_ROSTER)
    if refusal is None:
        found = parts_of(request).rooms.room(room)
        refusal = refusal_to_see(found, theirs)
        if refusal is None:
            return found
    raise RefusedError(refusal)


def owner(request: Request, room: RoomId) -> Grant | None:
    """Returns who asks for something of their own in a room, None for an administrator; the token may have expired.

    Raises:
        RequestError: there is no token.
        RefusedError: they may see nothing of that room.
        NotFoundError: there is no such room.
    """
    if is_admin(request):
        return None
    theirs = read(request, token_of(request), even_expired=True)
    room_seen_by(request, theirs, room)
    return theirs


def owned(request: Request, room: str, resource: str, theirs: Grant | None) -> OpenConnection:
    """Finds a connection, for whom it belongs to and for administrators, None; all others are told nothing of it.

    Raises:
        NotFoundError: there is none.
        RequestError: it is somebody else's.
    """
    opened = parts_of(request).rooms.connection(RoomId(room), ResourceId(resource))
    if theirs is not None and theirs.participant != opened.connection.participant:
        raise RequestError("not_yours")
    return opened


def metrics_reader(request: Request) -> None:
    """Lets only those pass who may read metrics.

    Raises:
        RequestError: the bearer is wrong, or there is none and the connection is not a direct one over loopback.
    """
    bearer = parts_of(request).settings.metrics.bearer
    if bearer is not None:
        is_ok = _matches(bearer, bearer_of(request))
        parts_of(request).metrics.on_auth("metrics", is_ok=is_ok)
        if not is_ok:
            raise RequestError("token_missing" if bearer_of(request) is None else "token_invalid")
        return
    peer = request.client.host if request.client else ""
    relayed = any(name in request.headers for name in _FORWARDED)
    if relayed or not _is_loopback(peer):
        raise RequestError("metrics_forbidden")


def _matches(secret: SecretStr | None, given: str | None) -> bool:
    if secret is None or given is None:
        return False
    return hmac.compare_digest(secret.get_secret_value().encode(), given.encode())


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A socket that takes calls over IPv6 and IPv4 names the latter so (RFC 4291 §2.5.5.2).
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


AdminOnly = Depends(admin)
MetricsOnly = Depends(metrics_reader)
Bearer = Annotated[Grant, Depends(grant)]
