"""What goes over a line to a meeting, in which order, and how the line ends: over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from conftest import Bench
from fake_meetings import FakeSession
from jwts import CLAIMS, signed
from lines import HANG_S, Served, all_told, code_of_end, served, told
from livekit.protocol.rtc import LeaveRequest, Ping, SignalRequest, SignalResponse, TrickleRequest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Data

from signalling.certificate import LiveCertificate, make_trial_certificate
from signalling.faults import NotFoundError
from signalling.http import line as lines
from signalling.rtc import pace
from signalling.rtc.signal import MAX_FRAME_BYTES

ASKED = SignalRequest(ping_req=Ping(timestamp=7)).SerializeToString()


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[Served]:
    async with served(bench) as server:
        yield server


def session(server: Served) -> FakeSession:
    (session,) = server.bench.meetings.sessions
    return session


async def ended(session: FakeSession) -> None:
    async with asyncio.timeout(HANG_S):
        await session.over.wait()


def kinds(said: list[SignalResponse]) -> list[str | None]:
    return [response.WhichOneof("message") for response in said]


async def test_what_a_meeting_says_of_a_join_is_the_first_that_a_client_is_told(server: Served) -> None:
    async with await server.joining() as client:
        assert kinds([await told(client), await told(client)]) == ["join", "refresh_token"]


async def test_a_websocket_is_accepted_only_once_the_meeting_has_taken_the_client_in(server: Served) -> None:
    meetings = server.bench.meetings
    meetings.held = asyncio.Event()
    meetings.refusal = NotFoundError("room")
    connecting = asyncio.ensure_future((await server.joining()).__aenter__())
    await meetings.joining.wait()
    await server.bench.settle()
    assert not connecting.done()
    meetings.held.set()
    with pytest.raises(InvalidStatus):
        await connecting


async def test_what_a_client_asks_for_reaches_the_meeting_with_its_grant_for_the_room_by_its_id(server: Served) -> None:
    room = await server.bench.room(name="ward-1")
    token = signed(CLAIMS | {"video": {"roomJoin": True, "room": "ward-1"}})
    async with server.connecting(server.address(access_token=token, auto_subscribe=0, sdk="go")) as client:
        await told(client)
    taken = session(server)
    assert (taken.grant.room, taken.grant.participant) == (room, CLAIMS["sub"])
    assert (taken.asked.auto_subscribe, taken.asked.sdk) == (False, "go")


async def test_whoever_is_back_goes_on_or_is_told_to_join_anew_before_the_line_ends(server: Served) -> None:
    token = await server.bench.token(await server.bench.room(), participant="alice")
    back = server.address(access_token=token, reconnect=1, sid="PA_1")
    async with server.connecting(back) as client:
        assert kinds([await told(client)]) == ["pong"]
        assert session(server).asked.resumes == "PA_1"
    server.bench.meetings.knows = False
    async with server.connecting(back) as client:
        assert kinds(await all_told(client)) == ["leave"]
        assert client.close_code == 1000
    assert len(server.bench.meetings.sessions) == 1


async def test_requests_are_done_in_the_order_in_which_they_came_and_unknown_ones_passed_over(server: Served) -> None:
    async with await server.joining() as client:
        for number in range(50):
            await client.send(SignalRequest(ping=number).SerializeToString())
            await client.send(b"\x82\x7d\x00")  # of a client of next year
        said = [await told(client) for _ in range(2 + 50)]
    assert [response.pong for response in said[2:]] == list(range(1, 51))
    assert [request.ping for request in session(server).requests] == list(range(50))


@pytest.mark.parametrize(
    ("frame", "code"),
    [("{}", 1003), ("", 1003), (b"\xff" * 20, 1007), (bytes(MAX_FRAME_BYTES + 1), 1009)],
    ids=["text", "no text", "noise", "too long"],
)
async def test_what_is_no_request_ends_the_line_with_the_code_for_it(server: Served, frame: Data, code: int) -> None:
    async with await server.joining() as client:
        await client.send(frame)
        assert await code_of_end(client) == code
    await ended(session(server))
    assert (session(server).ends, session(server).requests) == (1, [])


async def test_a_request_as_long_as_may_be_is_taken(server: Served) -> None:
    long = SignalRequest(trickle=TrickleRequest(candidateInit="c" * (MAX_FRAME_BYTES - 20))).SerializeToString()
    async with await server.joining() as client:
        await client.send(long)
        assert [await told(client) for _ in range(3)][2].pong == 1


@pytest.mark.parametrize("close", [True, False], ids=["says so", "just goes"])
async def test_a_meeting_hears_once_that_a_client_has_gone(server: Served, close: bool) -> None:
    async with await server.joining() as client:
        await told(client)
        if close:
            await client.close()
        else:
            client.transport.abort()
        await ended(session(server))
    await server.bench.settle()
    assert session(server).ends == 1
    session(server).line.tell(SignalResponse(pong=1))  # is of no effect


async def test_a_request_under_way_is_finished_when_its_client_goes_and_the_meeting_hears_of_that_then(
    server: Served,
) -> None:
    async with await server.joining() as client:
        await told(client)
        session(server).held = held = asyncio.Event()
        await client.send(ASKED)
        await client.send(ASKED)
        await client.close()
    await server.bench.settle()
    assert session(server).ends == 0
    held.set()
    await ended(session(server))
    assert len(session(server).requests) >= 1


async def test_a_meeting_that_hangs_up_is_heard_to_the_end(server: Served) -> None:
    async with await server.joining() as client:
        await told(client)
        line = session(server).line
        for number in range(20):
            line.tell(SignalResponse(pong=number))
        line.tell(SignalResponse(leave=LeaveRequest()))
        line.hang_up()
        line.tell(SignalResponse(pong=99))
        said = await all_told(client)
        assert client.close_code == 1000
    assert kinds(said) == ["refresh_token", *["pong"] * 20, "leave"]
    await ended(session(server))
    assert session(server).ends == 1


async def test_a_fault_of_the_server_ends_one_line_with_a_number_for_the_operator(
    server: Served, logged: io.StringIO
) -> None:
    async with await server.joining() as alice, await server.joining(name="bob") as bob:
        await told(alice)
        await told(bob)
        theirs, others = server.bench.meetings.sessions
        theirs.failing = RuntimeError("words of somebody")
        await alice.send(ASKED)
        assert await code_of_end(alice) == 1011
        await bob.send(ASKED)
        assert kinds([await told(bob), await told(bob)]) == ["refresh_token", "pong"]
    found = [json.loads(line) for line in logged.getvalue().splitlines() if "unexpected error" in line]
    assert alice.close_reason == f"tell your operator this number: {found[0]['reference']}"
    assert "words" not in logged.getvalue()
    assert (len(found), theirs.ends, others.requests != []) == (1, 1, True)


async def test_a_fault_that_has_a_name_ends_the_line_with_that(server: Served) -> None:
    async with await server.joining() as client:
        await told(client)
        session(server).failing = NotFoundError("room")
        await client.send(ASKED)
        assert await code_of_end(client) == 1011
        assert client.close_reason == "room_unknown"


async def test_ten_thousand_requests_at_once_keep_nobody_else_from_being_answered(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MAX_REQUESTS_PER_S", 1_000_000)
    trickle = SignalRequest(trickle=TrickleRequest(candidateInit="c" * 100)).SerializeToString()
    async with await server.joining() as flooding, await server.joining(name="bob") as bob:
        await told(flooding)
        await told(bob)
        theirs, _ = server.bench.meetings.sessions
        reading = asyncio.ensure_future(all_told(flooding))
        for _ in range(10_000):
            await flooding.send(trickle)
        await bob.send(ASKED)
        assert kinds([await told(bob), await told(bob)]) == ["refresh_token", "pong"]
        assert len(theirs.requests) < 10_000, "bob had his turn in between"
        async with asyncio.timeout(HANG_S):
            while len(theirs.requests) < 10_000:  # noqa: ASYNC110
                await asyncio.sleep(0)
        theirs.line.hang_up()
        said = await reading
    assert [response.pong for response in said if response.HasField("pong")] == list(range(1, 10_001))


async def test_whoever_asks_faster_than_the_pace_is_done_what_it_asks_all_the_same(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    count = pace.Pace.pause

    def counted(self: pace.Pace, now: float) -> float:
        pauses.append(count(self, now))
        return pauses[-1] / 1_000  # nobody waits in a test

    monkeypatch.setattr(pace.Pace, "pause", counted)
    async with await server.joining() as client:
        for _ in range(2 * pace.MAX_REQUESTS_PER_S):
            await client.send(ASKED)
        said = [await told(client) for _ in range(2 + 2 * pace.MAX_REQUESTS_PER_S)]
    assert said[-1].pong == 2 * pace.MAX_REQUESTS_PER_S
    assert max(pauses) > 0


async def test_a_client_that_stays_behind_is_told_to_come_again(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_WAITING", 10)
    async with await server.joining() as client:
        await told(client)
        for number in range(11):  # at once: none of them can have left
            session(server).line.tell(SignalResponse(pong=number))
        assert await code_of_end(client) == 1013
    await ended(session(server))
    assert session(server).ends == 1


async def test_a_server_that_stops_ends_every_line_after_what_was_said(bench: Bench) -> None:
    async with served(bench) as server, await server.joining() as client:
        await told(client)
        session(server).line.tell(SignalResponse(leave=LeaveRequest()))
        server.http.should_exit = True
        assert kinds(await all_told(client)) == ["refresh_token", "leave"]
        assert client.close_code == 1012
    assert session(server).ends == 1
    assert server.http.server_state.connections == set()
    assert server.http.server_state.tasks == set()
    assert bench.parts.lines == 0


async def test_a_line_over_tls_carries_much_both_ways_and_ends_with_the_server(bench: Bench, tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path, [ip_address("127.0.0.1")])
    context = ssl.create_default_context(cafile=certificate)
    room = await bench.room()
    async with served(bench, LiveCertificate(certificate, key)) as server:
        address = server.address(scheme="wss", access_token=await bench.token(room, participant="alice"))
        async with server.connecting(address, ssl=context) as client:
            long = SignalRequest(trickle=TrickleRequest(candidateInit="c" * 300_000)).SerializeToString()
            for _ in range(5):
                await client.send(long)
            assert [await told(client) for _ in range(2 + 5)][-1].pong == 5
            session(server).line.tell(SignalResponse(refresh_token="t" * 300_000))
            assert len((await told(client)).refresh_token) == 300_000
            server.http.should_exit = True
            with pytest.raises(ConnectionClosed):
                await told(client)
            assert client.close_code == 1012
    assert server.http.server_state.connections == set()
