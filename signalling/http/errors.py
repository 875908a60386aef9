"""Every error the HTTP side can answer: one table, told as RFC 9457 problem details."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from signalling.domain.refusals import Refusal
from signalling.draining import FinalDrainError
from signalling.faults import ClosingError, NotFoundError, QuarantinedError, RefusedError, RoomFailedError
from signalling.media import (
    EngineFullError,
    EngineLateError,
    EngineUnavailableError,
    InvalidOfferError,
    MediaError,
    ReplacedError,
)
from signalling.rtc.asked import AskedFaultError
from signalling.store.base import StoreUnavailableError
from signalling.tokens import InvalidTokenError, RefusedTokenError
from signalling.whip.fragment import FragmentFaultError
from signalling.whip.sdp import OfferFaultError

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table."""

    status: int
    title: str


PROBLEMS: dict[str, Problem] = {
    # What was sent cannot be read.
    "request_invalid": Problem(422, "The request does not have the expected form"),
    "sdp_invalid": Problem(400, "The session description is malformed"),
    "sdp_unusable": Problem(422, "The session description cannot be answered"),
    "sdp_direction": Problem(400, "The session description wants the wrong direction"),
    "query_invalid": Problem(400, "What the address asks for is malformed"),
    "room_not_named": Problem(400, "The token names no room"),
    "fragment_invalid": Problem(400, "The trickle ICE fragment is malformed"),
    "fragment_outdated": Problem(412, "The ICE session named is not the current one"),
    "if_match_required": Problem(428, "If-Match is required"),
    "if_match_failed": Problem(412, "If-Match does not name the current ICE session"),
    "content_type_wrong": Problem(415, "The content type is not the expected one"),
    "not_acceptable": Problem(406, "The answer is not available in the form asked for"),
    "body_too_large": Problem(413, "The body is too large"),
    "body_too_slow": Problem(408, "The body did not arrive in time"),
    # Who asks may not.
    "token_missing": Problem(401, "A bearer token is needed"),
    "token_invalid": Problem(401, "The token proves nothing"),
    "admin_bearer_wrong": Problem(401, "The administrator's bearer is missing or wrong"),
    "admin_disabled": Problem(403, "No administrator's bearer is configured"),
    "metrics_forbidden": Problem(403, "Metrics are read over loopback or with a bearer"),
    "not_yours": Problem(403, "This belongs to another participant"),
    "demo_key_wrong": Problem(403, "The demo link is not complete"),
    "no_signing_key": Problem(503, "No key to sign tokens is configured"),
    # What was named is not there.
    "not_found": Problem(404, "There is nothing at this address"),
    "method_not_allowed": Problem(405, "This address does not take that method"),
    "room_unknown": Problem(404, "There is no such room"),
    "track_unknown": Problem(404, "They publish no such track"),
    "connection_unknown": Problem(404, "There is no such connection"),
    "participant_unknown": Problem(404, "Nobody of that identity is in this room"),
    "publication_unknown": Problem(404, "Nobody publishes that here"),
    # We cannot now.
    "engine_full": Problem(503, "The server is full"),
    "engine_unavailable": Problem(503, "The media engine takes no requests now"),
    "engine_late": Problem(503, "The media engine has not answered in time"),
    "room_failed": Problem(503, "The room lost its media by a fault of the server, and has other media in a moment"),
    "room_quarantined": Problem(503, "The room lost its media again and again by a fault of the server, and rests"),
    "replaced": Problem(503, "This server was replaced: another one has its calls now, and takes this request"),
    "closing": Problem(503, "The server is about to stop"),
    "store_unavailable": Problem(503, "The server cannot write down what was asked; calls go on"),
    "too_many_streams": Problem(503, "Too many wait for events already"),
    "too_many_lines": Problem(503, "Too many are in meetings already"),
    "drain_final": Problem(409, "The server is about to stop, which cannot be called off any more"),
    "too_many_connections_now": Problem(503, "The server has too many connections"),
    "internal": Problem(500, "Something went wrong on our side"),
    # A rule says no.
    Refusal.TOKEN_EXPIRED: Problem(401, "The token has expired"),
    Refusal.TOKEN_NOT_YET_VALID: Problem(401, "The token is not valid yet"),
    Refusal.TOKEN_LIVES_TOO_LONG: Problem(401, "The token lives longer than allowed here"),
    Refusal.TOKEN_FOR_OTHER_ROOM: Problem(403, "The token is for another room"),
    Refusal.TOKEN_DOES_NOT_JOIN: Problem(403, "The token does not allow to join a room"),
    Refusal.PUBLISH_NOT_GRANTED: Problem(403, "The token does not allow to publish"),
    Refusal.SOURCE_NOT_GRANTED: Problem(403, "The token's canPublishSources does not cover the media offered"),
    Refusal.SUBSCRIBE_NOT_GRANTED: Problem(403, "The token does not allow to receive"),
    Refusal.METADATA_NOT_GRANTED: Problem(403, "The token does not grant canUpdateOwnMetadata"),
    Refusal.ATTRIBUTES_TOO_LONG: Problem(
        422, "More attributes would be on the participant than can be told to everybody"
    ),
    Refusal.HIDDEN_NOT_ALLOWED: Problem(403, "The token is for a hidden participant, which this room does not take in"),
    Refusal.RECORDER_NOT_ALLOWED: Problem(403, "The token is for a recorder, which this room does not take in"),
    Refusal.AGENT_NOT_ALLOWED: Problem(403, "The token is for an agent, which this room does not take in"),
    Refusal.ROOM_CREATE_NOT_GRANTED: Problem(403, "The token does not grant roomCreate"),
    Refusal.ROOM_LIST_NOT_GRANTED: Problem(403, "The token does not grant roomList"),
    Refusal.ROOM_ADMIN_NOT_GRANTED: Problem(403, "The token does not grant roomAdmin"),
    Refusal.UNMUTE_NOT_ALLOWED: Problem(403, "What somebody has muted only they themselves let sound or be seen again"),
    Refusal.PARTICIPANT_REMOVED: Problem(403, "The participant was removed from this room"),
    Refusal.ROOM_FULL: Problem(409, "The room is full"),
    Refusal.TOO_MANY_ROOMS: Problem(503, "There are too many rooms"),
    Refusal.TOO_MANY_CONNECTIONS: Problem(409, "The participant has too many connections"),
    Refusal.TOO_MANY_CHANGED_RIGHTS: Problem(409, "The rights of too many were changed in this room"),
    Refusal.NAME_NOT_PLAIN: Problem(422, "A name has only letters, digits, dashes and underscores"),
    Refusal.NAME_PERSONAL: Problem(422, "A name must not look like a person's number or address"),
    Refusal.NAME_TAKEN: Problem(409, "There is a room of that name"),
}

OUR_FAULTS = frozenset({"internal", "engine_unavailable", "engine_late", "replaced", "room_failed", "room_quarantined"})
"""Codes of requests that were right and fail all the same."""

_BY_STATUS = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    503: "too_many_connections_now",
}


class RequestError(Exception):
    """Something the caller can put right. Shown to the caller as it is."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


RETRY_S = 5  # Whoever is told to come again when no better time is known.
_RETRY_S = {"room_failed": 1}


def problem(code: str, detail: str | None = None, *, retry_s: int | None = None, **more: object) -> JSONResponse:
    """Makes the response for a code of the table."""
    row = PROBLEMS[code]
    body: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": row.title,
        "status": row.status,
        "code": code,
    }
    if detail is not None:
        body["detail"] = detail
    response = JSONResponse(body | more, status_code=row.status, media_type=PROBLEM_JSON)
    if row.status == HTTPStatus.UNAUTHORIZED:
        kind = "" if code == "token_missing" else ' error="invalid_token"'
        response.headers["WWW-Authenticate"] = f"Bearer{kind}"
    if row.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(retry_s or _RETRY_S.get(code, RETRY_S))
    return response


_PLAIN: dict[type[Exception], str] = {
    ClosingError: "closing",
    RoomFailedError: "room_failed",
    FinalDrainError: "drain_final",
    EngineFullError: "engine_full",
    EngineUnavailableError: "engine_unavailable",
    ReplacedError: "replaced",
}

_IN_ITS_WORDS: dict[type[Exception], str] = {
    EngineLateError: "engine_late",
    InvalidOfferError: "sdp_unusable",
    StoreUnavailableError: "store_unavailable",
}


def code_of(error: Exception) -> tuple[str, str | None]:
    """Finds the code, and what there is to add, for an error of the parts behind the routes."""
    code, detail = _PLAIN.get(type(error), "internal"), None
    match error:
        case RequestError():
            code, detail = error.code, error.detail
        case RefusedError() | RefusedTokenError():
            code = error.refusal.value
        case InvalidTokenError():
            code, detail = "token_invalid", error.fault
        case OfferFaultError():
            code, detail = error.code, error.fault
        case AskedFaultError():
            code, detail = "query_invalid", error.fault
        case FragmentFaultError():
            code, detail = "fragment_invalid", error.fault
        case EngineLateError() | InvalidOfferError() | StoreUnavailableError():
            code, detail = _IN_ITS_WORDS[type(error)], str(error)
        case NotFoundError():
            code = f"{error.what}_unknown"
        case QuarantinedError():
            code = "room_quarantined"
            detail = f"try again in {seconds_of(error.left)} seconds, or meet in another room; tell your operator"
    return code, detail


def seconds_of(left: timedelta) -> int:
    """Returns the whole seconds after which that time has passed."""
    return math.ceil(left.total_seconds())


def install(app: FastAPI) -> None:
    """Makes `app` answer every error from the table."""
    for kind in (
        RequestError,
        RefusedError,
        RefusedTokenError,
        InvalidTokenError,
        NotFoundError,
        ClosingError,
        FinalDrainError,
        RoomFailedError,
        QuarantinedError,
        MediaError,
        StoreUnavailableError,
        OfferFaultError,
        FragmentFaultError,
    ):
        app.add_exception_handler(kind, _on_known)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_unknown)
    app.add_api_route("/problems/{code}", explain, methods=["GET"], tags=["errors"])


async def explain(code: str) -> JSONResponse:
    """Tells what an error code means."""
    if code not in PROBLEMS:
        return problem("not_found")
    return JSONResponse({"code": code, "status": PROBLEMS[code].status, "title": PROBLEMS[code].title})


async def _on_known(_: Request, error: Exception) -> JSONResponse:
    code, detail = code_of(error)
    retry_s = seconds_of(error.left) if isinstance(error, QuarantinedError) else None
    return unexpected(error) if code == "internal" else problem(code, detail, retry_s=retry_s)


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem(_BY_STATUS.get(status, "request_invalid"))


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    listed = [{"at": ".".join(str(part) for part in fault["loc"]), "fault": fault["msg"]} for fault in faults[:20]]
    return problem("request_invalid", errors=listed)


async def _on_unknown(_: Request, error: Exception) -> JSONResponse:
    return unexpected(error)


def unexpected(error: BaseException) -> JSONResponse:
    """Logs what nobody foresaw under a reference number, and tells only that number."""
    reference = reported(error)
    return problem("internal", f"Tell your operator this number: {reference}", reference=reference)


def reported(error: BaseException) -> str:
    """Logs what nobody foresaw, and returns the reference number of that line."""
    reference = secrets.token_hex(6)
    log.error("unexpected error", reference=reference, exc_info=error)
    return reference
