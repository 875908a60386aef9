"""Nothing that could say who somebody is reaches the log: canaries go in everywhere, and none comes out."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from conftest import SDP, Bench, settings
from offers import offer

from signalling.http.parts import Parts
from signalling.logs import ALLOWED_FIELDS

CANARY = "kanariefagel"


class Broken:
    """A part that breaks with a person's words in its message."""

    def room(self, room: str) -> None:
        raise RuntimeError(f"{CANARY} {room}")

    def all(self) -> None:
        raise RuntimeError(CANARY)


async def a_whole_meeting(bench: Bench) -> None:
    room = await bench.room(name=f"room-{CANARY}")
    sdp = offer(more=f"a=x-name:{CANARY}")
    async with await bench.participant(room, f"alice-{CANARY}") as alice, bench.admin() as admin:
        made = await alice.post(f"/whip/{room}?access_token={CANARY}", content=sdp, headers=SDP)
        await alice.post(f"/whip/{room}", content=f"v=0\r\n{CANARY}", headers=SDP)
        await alice.post(f"/whep/{room}/{CANARY}", content=offer("recvonly"), headers=SDP)
        await alice.patch(made.headers["location"], content=CANARY)
        await alice.get(f"/{CANARY}", headers={"User-Agent": CANARY, "X-Forwarded-For": CANARY, "Cookie": CANARY})
        await admin.post("/rooms", json={CANARY: CANARY, "name": f"{CANARY}@example.org"})
        await alice.delete(made.headers["location"])
        await admin.delete(f"/rooms/{room}/participants/{CANARY}")
    async with bench.http(Authorization=f"Bearer {CANARY}") as stranger:
        await stranger.get(f"/rooms/{room}?{CANARY}", auth=(CANARY, CANARY))
        await stranger.post(f"/whip/{room}", content=sdp, headers=SDP)


async def test_a_whole_meeting_leaves_no_trace_of_anybody_in_the_log(bench: Bench, logged: io.StringIO) -> None:
    await a_whole_meeting(bench)
    text = logged.getvalue()
    assert text.count("\n") > 10
    assert CANARY not in text
    for secret in ("Bearer", "eyJ", "192.0.2.9", "a=ice", "access_token"):
        assert secret not in text
    for line in text.splitlines():
        assert set(json.loads(line)) <= ALLOWED_FIELDS


async def test_an_error_nobody_foresaw_is_logged_by_place_and_number_only(logged: io.StringIO) -> None:
    bench = Bench(settings())
    parts: Parts = bench.parts
    parts.rooms = Broken()  # type: ignore[assignment]
    async with bench.admin() as http:
        failed = await http.get(f"/rooms/{CANARY}")
    assert failed.status_code == 500
    assert CANARY not in failed.text
    line = next(json.loads(line) for line in logged.getvalue().splitlines() if "unexpected" in line)
    assert line["reference"] == failed.json()["reference"]
    assert line["error"] == "RuntimeError"
    assert line["at"][-1].startswith("test_redaction.py:")
    assert CANARY not in logged.getvalue()


def test_a_field_that_is_not_on_the_list_is_left_out_and_counted(logged: io.StringIO) -> None:
    structlog.get_logger().info("something", name=CANARY, count=2)
    line = json.loads(logged.getvalue())
    assert (line["count"], line["dropped_fields"]) == (2, 1)
    assert CANARY not in logged.getvalue()


def test_what_a_library_logs_is_reduced_to_where_it_happened(logged: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("some.library").exception("failed for %s", CANARY)
    logging.getLogger("uvicorn.error").warning(f"failed for {CANARY}")  # noqa: G004 - that is what libraries do
    first, second = (json.loads(line) for line in logged.getvalue().splitlines())
    assert (first["logger"], first["error"]) == ("some.library", "ValueError")
    assert second["logger"] == "uvicorn.error"
    assert CANARY not in logged.getvalue()


def test_what_the_engine_tells_as_values_too_is_not_printed_beside_the_log(
    logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logging.getLogger("pysfu.events").hasHandlers(), "else Python prints it by itself"
    logging.getLogger("pysfu.events").error("worker 0 failed: words that may quote anything")
    assert (logged.getvalue(), capsys.readouterr().err) == ("", "")
