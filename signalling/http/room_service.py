"""RoomService over Twirp: how programs manage rooms with LiveKit's server SDKs. Not affiliated with LiveKit, Inc."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from signalling.domain.refusals import Refusal
from signalling.http import service_participants, service_rooms
from signalling.http.access import token_of
from signalling.http.errors import PROBLEMS, code_of, reported
from signalling.http.parts import parts_of
from signalling.http.service_call import Asked, Method, Methods
from signalling.rtc.twirp import STATUS, Code, TwirpError, form_of, read, write

router = APIRouter(tags=["room service"], include_in_schema=False)

PREFIX = "/twirp/livekit.RoomService/"
_CODES = {
    Refusal.TOKEN_FOR_OTHER_ROOM: Code.UNAUTHENTICATED,
    Refusal.ROOM_CREATE_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.ROOM_LIST_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.ROOM_ADMIN_NOT_GRANTED: Code.UNAUTHENTICATED,
    Refusal.NAME_TAKEN: Code.ALREADY_EXISTS,
    Refusal.TOO_MANY_ROOMS: Code.RESOURCE_EXHAUSTED,
    Refusal.TOO_MANY_CHANGED_RIGHTS: Code.RESOURCE_EXHAUSTED,
    Refusal.UNMUTE_NOT_ALLOWED: Code.FAILED_PRECONDITION,
}
"""What is called otherwise than its status says, as LiveKit's own server does."""
_BY_STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    503: Code.UNAVAILABLE,
}
"""What Twirp calls a status of ours; any other one is the caller's fault, and an invalid argument."""
# What LiveKit's own server does and this one does not: told by name.
_UNDONE = ("PerformRpc", "ForwardParticipant", "MoveParticipant")
_OTHER_SERVICES = ("Egress", "Ingress", "SIP", "AgentDispatchService", "Connector", "PhoneNumberService")

METHODS: Methods = service_rooms.METHODS | service_participants.METHODS


def _endpoint(method: Method[Any]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            form = form_of(request.headers.get("content-type"))
            parts = parts_of(request)
            asked = Asked(parts, parts.tokens.read_service(token_of(request), now=parts.now()))
            made = await method.act(asked, read(await request.body(), form, method.wanted))
        except Exception as error:
            return _refused(error)
        return Response(write(made, form), media_type=form.value)

    return answer


async def _undone(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return _refused(TwirpError(Code.UNIMPLEMENTED, f"{name}: this server does not do that"))


async def _elsewhere(request: Request) -> Response:
    """Answers what is no method here: SDKs expect to be told of services that a server does not have."""
    called, _, _ = request.path_params["call"].partition("/")
    if called in {f"livekit.{name}" for name in _OTHER_SERVICES}:
        return _refused(TwirpError(Code.UNIMPLEMENTED, f"{called}: this server has no such service"))
    return _refused(TwirpError(Code.BAD_ROUTE, f"there is no such method; POST to {PREFIX} and one of LiveKit's"))


def _refused(error: Exception) -> Response:
    """Makes Twirp's answer of an error."""
    if isinstance(error, TwirpError):
        return _error(error.code, str(error))
    ours, detail = code_of(error)
    if ours == "internal":
        return _error(Code.INTERNAL, f"Tell your operator this number: {reported(error)}", ours)
    problem = PROBLEMS[ours]
    code = _CODES.get(Refusal(ours)) if ours in set(Refusal) else None
    told = f"{problem.title}: {detail}" if detail else problem.title
    return _error(code or _BY_STATUS.get(problem.status, Code.INVALID_ARGUMENT), told, ours)


def _error(code: Code, message: str, ours: str | None = None) -> Response:
    body = {"code": code.value, "msg": message} | ({"meta": {"code": ours}} if ours else {})
    headers = {"WWW-Authenticate": "Bearer"} if code is Code.UNAUTHENTICATED else None
    return JSONResponse(body, status_code=STATUS[code], headers=headers)


for _name, _method in METHODS.items():
    router.add_api_route(PREFIX + _name, _endpoint(_method), methods=["POST"])
for _name in _UNDONE:
    router.add_api_route(PREFIX + _name, _undone, methods=["POST"])


def install(app: FastAPI) -> None:
    """Makes `app` answer as Twirp says what is called at no method's address."""
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_api_route("/twirp/{call:path}", _elsewhere, methods=every, include_in_schema=False)
