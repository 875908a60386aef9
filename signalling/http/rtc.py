"""Where LiveKit's client SDKs connect: a WebSocket on `/rtc`, version 0. Not affiliated with LiveKit, Inc.

Whoever may not come in is told so before the WebSocket is accepted, as an answer of HTTP. What a browser hides of that,
`/rtc/validate` tells. All else is not there: clients that try `/rtc/v1` first take that for an answer, and come here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.requests import HTTPConnection

from signalling.clocks import steady
from signalling.domain.grants import Grant
from signalling.domain.ids import RoomId
from signalling.domain.refusals import Refusal
from signalling.domain.room import refusal_to_see
from signalling.faults import RefusedError
from signalling.http.access import bearer_of, read
from signalling.http.errors import OUR_FAULTS, PROBLEMS, RETRY_S, RequestError, code_of, reported
from signalling.http.line import WebSocketLine
from signalling.http.parts import Parts, parts_of
from signalling.rtc import words
from signalling.rtc.asked import Asked, asked
from signalling.rtc.line import Session

log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False)

PREFIX = "/rtc"
OPEN_TO_ALL = {"Access-Control-Allow-Origin": "*"}
"""For pages of every origin: what they may is in the token, and a browser sends nothing by itself."""
MAX_PARAMETERS = 64
"""Of an address; LiveKit's clients send about twenty."""

_EVERY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# What the SDKs look for: the one is a room that is not there, the other a way to connect that is not.
_IN_THEIR_WORDS = {"room_unknown": "requested room does not exist", "not_found": "not found"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """Who wants to come in, and may as far as can be said without asking the meeting."""

    room: RoomId
    grant: Grant
    asked: Asked


def is_signalling(path: str) -> bool:
    """Whether a path is one of those here."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


@router.websocket(PREFIX)
async def connect(websocket: WebSocket) -> None:
    """Takes a client into its meeting, and carries what is said until the WebSocket has ended."""
    parts = parts_of(websocket)
    parts.lines += 1
    try:
        await _take_in(parts, websocket)
    finally:
        parts.lines -= 1


@router.websocket("/{path:path}")
async def connect_elsewhere(websocket: WebSocket) -> None:
    """Answers that there is no such WebSocket; with 404, on which clients fall back to `/rtc`."""
    await websocket.send_denial_response(_refused(RequestError("not_found")))


@router.get(f"{PREFIX}/validate")
async def validate(request: Request) -> Response:
    """Answers what the WebSocket would be answered, as far as can be said without coming in."""
    try:
        _admitted(request)
    except Exception as error:
        return _refused(error)
    return PlainTextResponse("success")


async def _elsewhere(_: Request) -> Response:
    return _refused(RequestError("not_found"))


for _path in (PREFIX, PREFIX + "/{path:path}"):
    router.add_api_route(_path, _elsewhere, methods=_EVERY)


async def _take_in(parts: Parts, websocket: WebSocket) -> None:
    line = WebSocketLine(websocket)
    try:
        _check_place(parts)
        admitted = _admitted(websocket)
        session = await _session(parts, admitted, line)
    except Exception as error:
        refused = _refused(error)
        log.info("signal connection refused", status=refused.status_code)
        await websocket.send_denial_response(refused)
        return
    began = steady()
    log.info("signal connection opened", room=admitted.room)
    try:
        await line.carry(session)
    except Exception as error:
        reported(error)
    seconds = round((steady() - began).total_seconds(), 1)
    log.info("signal connection ended", room=admitted.room, code=line.close_code, seconds=seconds)


def _check_place(parts: Parts) -> None:
    # Whoever is in a meeting keeps a connection for hours: that must leave some to others.
    if parts.lines + parts.streams > parts.settings.http.max_connections * 3 // 4:
        raise RequestError("too_many_lines")


def _admitted(connection: HTTPConnection) -> _Admitted:
    """Reads who wants to come in.

    Raises:
        What `code_of` knows: they may not, or it is not told as it should be.
    """
    if connection.scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        raise RequestError("query_invalid", f"more than {MAX_PARAMETERS} parameters")
    query = connection.query_params
    if "join_request" in query:  # of version 1, whose client would take the answers of version 0 for its own
        raise RequestError("not_found")
    token = bearer_of(connection) or query.get("access_token")
    if not token:
        raise RequestError("token_missing")
    grant = read(connection, token)
    if not grant.join:
        raise RefusedError(Refusal.TOKEN_DOES_NOT_JOIN)
    if not grant.room:
        raise RequestError("room_not_named")
    if query.get("room", grant.room) != grant.room:
        raise RefusedError(Refusal.TOKEN_FOR_OTHER_ROOM)
    room = parts_of(connection).rooms.names.find(grant.room)
    refusal = refusal_to_see(room, grant)
    if refusal is not None:
        raise RefusedError(refusal)
    grant, wanted = replace(grant, room=room.room), asked(query)
    if wanted.attributes and wanted.resumes is None:
        if not room.granted(grant).can_update_own_metadata:
            raise RefusedError(Refusal.METADATA_NOT_GRANTED)
        grant = words.joining(grant, wanted.attributes)
    return _Admitted(room=room.room, grant=grant, asked=wanted)


async def _session(parts: Parts, admitted: _Admitted, line: WebSocketLine) -> Session | None:
    """Comes into the meeting, again or for the first time; how the latter went is counted."""
    who = (admitted.room, admitted.grant, admitted.asked, line)
    if admitted.asked.resumes is not None:
        return await parts.meetings.resume(*who)
    try:
        session = await parts.meetings.join(*who)
    except Exception as error:
        code, _ = code_of(error)
        parts.metrics.on_join("error" if code in OUR_FAULTS else "denied")
        raise
    parts.metrics.on_join("ok")
    return session


def _refused(error: Exception) -> PlainTextResponse:
    """Makes the answer of an error: a line of text, which some SDKs show."""
    code, detail = code_of(error)
    problem = PROBLEMS[code]
    if code == "internal":
        detail = f"tell your operator this number: {reported(error)}"
    told = _IN_THEIR_WORDS.get(code) or (f"{problem.title}: {detail}" if detail else problem.title)
    headers = OPEN_TO_ALL | {"Cache-Control": "no-store"}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_S)
    return PlainTextResponse(told, status_code=problem.status, headers=headers)
