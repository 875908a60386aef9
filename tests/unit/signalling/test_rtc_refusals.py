"""Who is not taken in is told so as an answer of HTTP, by the WebSocket and by what is asked instead of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from conftest import Bench, settings
from jwts import AT, CLAIMS, signed
from lines import Served, served
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from signalling.domain.ids import RoomId
from signalling.domain.refusals import Refusal
from signalling.faults import ClosingError, NotFoundError, QuarantinedError, RefusedError
from signalling.media import EngineUnavailableError
from signalling.rtc.words import MAX_WORDS

Query = dict[str, str]
VIDEO = {"roomJoin": True, "room": "ward-1"}
WRITES = {"canUpdateOwnMetadata": True}


def token(video: dict[str, object] = VIDEO, **claims: object) -> str:
    return signed(CLAIMS | {"video": VIDEO | video} | claims)


def said(attributes: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(attributes).encode()).decode()


REFUSALS: dict[str, tuple[Callable[[], Query], int, str]] = {
    "no token": (dict, 401, "A bearer token is needed"),
    "no JWT": (lambda: {"access_token": "nonsense"}, 401, "The token proves nothing"),
    "expired": (lambda: {"access_token": token(exp=AT - 100)}, 401, "The token has expired"),
    "unsigned": (
        lambda: {"access_token": signed(CLAIMS | {"video": VIDEO}, alg="none")},
        401,
        "The token proves nothing",
    ),
    "of a stranger": (
        lambda: {"access_token": signed(CLAIMS | {"video": VIDEO}, key="x" * 32)},
        401,
        "The token proves nothing",
    ),
    "of nobody": (lambda: {"access_token": token(sub="")}, 401, "The token proves nothing"),
    "not to join": (lambda: {"access_token": token({"roomJoin": False})}, 403, "The token does not allow to join"),
    "no room": (lambda: {"access_token": token({"room": ""})}, 400, "The token names no room"),
    "another room": (lambda: {"access_token": token(), "room": "ward-2"}, 403, "The token is for another room"),
    "no such room": (lambda: {"access_token": token({"room": "ward-9"})}, 404, "requested room does not exist"),
    "hidden": (lambda: {"access_token": token({"hidden": True})}, 403, "The token is for a hidden participant"),
    "removed": (lambda: {"access_token": token(sub="p_removed")}, 403, "The participant was removed"),
    "attributes": (lambda: {"access_token": token(), "attributes": "%"}, 400, "What the address asks for is malformed"),
    "attributes of one who may write nothing on themselves": (
        lambda: {"access_token": token(), "attributes": said({"a": "b"})},
        403,
        "The token does not grant canUpdateOwnMetadata",
    ),
    "attributes of one who may no more": (
        lambda: {"access_token": token(WRITES, sub="p_changed"), "attributes": said({"a": "b"})},
        403,
        "The token does not grant canUpdateOwnMetadata",
    ),
    "too many attributes": (
        lambda: {
            "access_token": token(WRITES, attributes={"a": "b"}),
            "attributes": said({"c": "d" * (MAX_WORDS - 2)}),
        },
        400,
        "What the address asks for is malformed: attributes: more than",
    ),
    "parameters": (
        lambda: {"access_token": token(), **{f"p{number}": "" for number in range(64)}},
        400,
        "What the address asks for is malformed: more than 64 parameters",
    ),
    "version 1 in the place of 0": (
        lambda: {"access_token": token(), "join_request": "CgA="},
        404,
        "not found",
    ),
}


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[Served]:
    room = await bench.room(name="ward-1")
    async with bench.admin() as http:
        await http.delete(f"/rooms/{room}/participants/p_removed")
    changed = replace(bench.parts.tokens.read(token(sub="p_changed"), now=bench.clock()), room=RoomId(room))
    await bench.parts.rooms.change_rights(RoomId(room), changed)
    async with served(bench) as server:
        yield server


async def refused(
    server: Served, path: str = "/rtc", *, headers: dict[str, str] | None = None, **query: str
) -> Response:
    """Returns how a WebSocket is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await server.connecting(server.address(path, **query), additional_headers=headers or {})
    return caught.value.response


@pytest.mark.parametrize("case", REFUSALS)
async def test_whoever_may_not_come_in_is_told_why_before_the_websocket_is_accepted(
    server: Served, case: str, logged: io.StringIO
) -> None:
    query, status, words = REFUSALS[case]
    answer = await refused(server, **query())
    assert (answer.status_code, answer.body.decode().startswith(words)) == (status, True), answer.body
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert server.bench.meetings.sessions == []
    assert "error" not in {json.loads(line)["level"] for line in logged.getvalue().splitlines()}


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_is_asked_instead_of_the_websocket_answers_the_same(server: Served, case: str) -> None:
    query, status, words = REFUSALS[case]
    async with server.bench.http() as http:
        answer = await http.get(f"/rtc/validate?{urlencode(query())}")
    assert (answer.status_code, answer.text.startswith(words)) == (status, True), answer.text
    assert answer.headers["access-control-allow-origin"] == "*"


FAULTS: list[tuple[Exception, int, str, str]] = [
    (RefusedError(Refusal.ROOM_FULL), 409, "The room is full", "denied"),
    (NotFoundError("room"), 404, "requested room does not exist", "denied"),
    (ClosingError(), 503, "The server is about to stop", "denied"),
    (QuarantinedError(timedelta(seconds=30)), 503, "The room lost its media again", "error"),
    (EngineUnavailableError("none"), 503, "The media engine takes no requests now", "error"),
]


@pytest.mark.parametrize(("fault", "status", "words", "outcome"), FAULTS)
async def test_what_a_meeting_refuses_is_an_answer_of_http_too(
    server: Served, fault: Exception, status: int, words: str, outcome: str
) -> None:
    server.bench.meetings.refusal = fault
    answer = await refused(server, access_token=token())
    assert (answer.status_code, answer.body.decode().startswith(words)) == (status, True), answer.body
    assert ("Retry-After" in answer.headers) is (status == 503)
    joins = server.bench.parts.metrics.registry.get_sample_value("sfu_joins_total", {"outcome": outcome})
    assert joins == 1


async def test_what_nobody_foresaw_is_told_by_a_number_for_the_operator(server: Served, logged: io.StringIO) -> None:
    server.bench.meetings.refusal = RuntimeError("words of somebody")
    answer = await refused(server, access_token=token())
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "unexpected error"]
    assert (answer.status_code, line["error"]) == (500, "RuntimeError")
    assert answer.body.decode().endswith(f"tell your operator this number: {line['reference']}")
    assert b"words" not in answer.body


async def test_whoever_may_come_in_is_told_so_with_the_token_in_either_place(server: Served) -> None:
    async with server.bench.http() as http:
        asked = await http.get(f"/rtc/validate?access_token={token()}")
        headed = await http.get("/rtc/validate", headers={"Authorization": f"Bearer {token()}"})
    assert [(answer.status_code, answer.text) for answer in (asked, headed)] == [(200, "success")] * 2
    assert asked.headers["access-control-allow-origin"] == "*"


async def test_whoever_may_write_on_themselves_comes_in_with_the_attributes_they_ask_for(server: Served) -> None:
    theirs = token(WRITES, attributes={"ward": "7", "bed": "3"})
    asked = said({"bed": "4", "ward": "", "language": "de"})
    async with server.connecting(server.address(access_token=theirs, attributes=asked)):
        (session,) = server.bench.meetings.sessions
    assert session.grant.attributes == {"ward": "7", "bed": "4", "language": "de"}, "what a token says stays there"


async def test_whoever_goes_on_is_what_they_were_whatever_attributes_they_ask_for(server: Served) -> None:
    address = server.address(access_token=token(), attributes=said({"a": "b"}), reconnect="1", sid="PA_1")
    async with server.connecting(address):
        (session,) = server.bench.meetings.sessions
    assert session.grant.attributes == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/rtc"),
        ("GET", "/rtc/v1"),
        ("GET", "/rtc/v1/validate"),
        ("POST", "/rtc"),
        ("POST", "/rtc/validate"),
        ("DELETE", "/rtc/v1/validate"),
        ("HEAD", "/rtc/v1"),
        ("GET", "/rtc/"),
    ],
)
async def test_all_else_is_not_there_for_pages_of_every_origin(bench: Bench, method: str, path: str) -> None:
    async with bench.http(Origin="https://clinic.example.org") as http:
        answer = await http.request(method, path, params={"access_token": token()})
    assert (answer.status_code, answer.text) == (404, "" if method == "HEAD" else "not found")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/rtc/v1", "/rtc/v0", "/rtc/validate", "/", "/whip/ward-1"])
async def test_there_is_a_websocket_at_no_other_path(server: Served, path: str) -> None:
    answer = await refused(server, path, access_token=token())
    assert (answer.status_code, answer.body) == (404, b"not found")


@pytest.mark.parametrize("path", ["/rtc/validate", "/rtc/v1/validate"])
async def test_a_page_of_any_origin_may_send_its_token_in_a_header(bench: Bench, path: str) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    async with bench.http(Origin="https://clinic.example.org") as http:
        answer = await http.options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]


async def test_other_paths_are_open_to_no_origin_that_was_not_allowed(bench: Bench) -> None:
    async with bench.http(Origin="https://clinic.example.org") as http:
        for path in ("/live", "/rtcx", "/rooms"):
            assert "access-control-allow-origin" not in (await http.get(path)).headers


async def test_slashes_too_many_change_nothing(server: Served) -> None:
    async with server.bench.http() as http:
        assert (await http.get(f"{http.base_url}//rtc//validate?access_token={token()}")).text == "success"
        assert (await http.get(f"{http.base_url}//rtc///v1/validate")).text == "not found"
    assert (await refused(server, "//rtc")).status_code == 401
    async with server.connecting(server.address("//rtc", access_token=token())):
        assert len(server.bench.meetings.sessions) == 1


async def test_those_who_meet_leave_a_quarter_of_all_connections_to_others() -> None:
    bench = Bench(settings(http={"max_connections": 12}))
    await bench.room(name="ward-1")
    async with served(bench) as server:
        bench.parts.lines = 9
        answer = await refused(server, access_token=token())
        assert (answer.status_code, answer.body) == (503, b"Too many are in meetings already")
        assert bench.parts.lines == 9
        bench.parts.lines = 8
        async with server.connecting(server.address(access_token=token())):
            assert bench.parts.metrics.registry.get_sample_value("sfu_signal_connections") == 9
