"""Clients of `/rtc` that answer nothing, take nothing, or send too much: each ends, and the others go on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from conftest import Bench
from fake_meetings import FakeSession
from jwts import CLAIMS, signed
from lines import HANG_S, Served, code_of_end, served, told
from livekit.protocol.rtc import Ping, SignalRequest, SignalResponse
from websockets.exceptions import InvalidStatus

from signalling import serving
from signalling.http import MAX_REQUEST_LINE, connection, websocket
from signalling.http.connection import TimedProtocol
from signalling.http.websocket import MAX_ASIDES, TimedWebSocket
from signalling.rtc import pace

CANARY = "kanariefagel"
UPGRADE = (
    "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
ASKED = SignalRequest(ping_req=Ping(timestamp=7)).SerializeToString()


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[Served]:
    async with served(bench) as server:
        yield server


async def until_gone(server: Served) -> None:
    """Waits until the server knows of no connection any more, and does nothing for one."""
    state = server.http.server_state
    async with asyncio.timeout(HANG_S):
        while state.connections or state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def until_over(session: FakeSession) -> None:
    async with asyncio.timeout(HANG_S):
        await session.over.wait()


@dataclass(frozen=True)
class Raw:
    """A client that does what it likes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def rest(self) -> bytes:
        """Returns what it is sent until the connection ends."""
        async with asyncio.timeout(HANG_S):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""


@contextlib.asynccontextmanager
async def raw(server: Served, sent: str) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(sent.encode())
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def silent(server: Served) -> AsyncIterator[tuple[Raw, FakeSession]]:
    """A client that was taken in, and of which nothing more is heard."""
    token = await server.bench.token(await server.bench.room(), participant="alice")
    async with raw(server, f"GET /rtc?access_token={token} HTTP/1.1\r\n{UPGRADE}\r\n") as client:
        async with asyncio.timeout(HANG_S):
            assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
        yield client, server.bench.meetings.sessions[-1]


def made(kind: type[object]) -> int:
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def test_two_hundred_handshakes_that_are_never_finished_end_and_leave_nothing(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEADER_TIMEOUT_S", 0.2)
    tasks = len(asyncio.all_tasks())
    async with contextlib.AsyncExitStack() as clients:
        sent = f"GET /rtc?access_token=a HTTP/1.1\r\n{UPGRADE}X-A: "
        opened = [await clients.enter_async_context(raw(server, sent)) for _ in range(200)]
        assert [await client.rest() for client in opened] == [b""] * 200
    await until_gone(server)
    assert (len(asyncio.all_tasks()), made(TimedProtocol), made(TimedWebSocket)) == (tasks, 0, 0)


async def test_a_line_outlasts_the_time_that_a_request_has_to_become_whole(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[TimedProtocol] = []
    waits = TimedProtocol._wait
    monkeypatch.setattr(TimedProtocol, "_wait", lambda self: (begun.append(self), waits(self)))
    async with await server.joining() as client:
        await told(client)
        (handed_over,) = set(begun)
        assert handed_over._deadline is None
        await client.send(ASKED)
        assert [await told(client), await told(client)][1].pong == 1
        assert handed_over._deadline is None


async def test_a_line_that_has_ended_leaves_nothing(server: Served) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        async with await server.joining() as client:
            await client.send(ASKED)
            await told(client)
        server.bench.meetings.sessions.clear()  # as meetings do
    await until_gone(server)
    await server.bench.settle()
    assert (len(asyncio.all_tasks()), made(TimedProtocol), made(TimedWebSocket)) == (tasks, 0, 0)


async def test_a_client_that_answers_no_ping_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (websocket.PING_INTERVAL_S, websocket.PING_LIMIT_S) == (3.0, 9.0)
    monkeypatch.setattr(serving, "PING_INTERVAL_S", 0.01)
    monkeypatch.setattr(serving, "PING_LIMIT_S", 0.05)
    async with served(bench) as server:
        async with silent(server) as (client, session):
            await until_over(session)
            await client.rest()
        await until_gone(server)
    assert session.ends == 1


async def test_a_client_whose_answer_waits_behind_what_it_asked_is_not_taken_for_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PING_INTERVAL_S", 0.01)
    monkeypatch.setattr(serving, "PING_LIMIT_S", 0.01)
    monkeypatch.setattr(websocket, "PING_LIMIT_S", 0.01)
    waited = asyncio.Event()
    late, missed = TimedWebSocket.keepalive_timeout, 0

    def counted(self: TimedWebSocket) -> None:
        nonlocal missed
        missed += 1
        late(self)
        if missed == 5:
            waited.set()

    monkeypatch.setattr(TimedWebSocket, "keepalive_timeout", counted)
    async with served(bench) as server, await server.joining() as client:
        await told(client)
        (session,) = bench.meetings.sessions
        session.held = asyncio.Event()
        for _ in range(3):
            await client.send(ASKED)
        async with asyncio.timeout(HANG_S):
            await waited.wait()
        assert session.ends == 0
        session.held.set()
        assert [await told(client) for _ in range(4)][3].pong == 3


async def test_a_client_that_takes_nothing_is_cut_off_and_what_waited_for_it_forgotten(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "TAKE_LIMIT_S", 0.05)
    async with silent(server) as (client, session):
        client.writer.transport.pause_reading()
        line = session.line
        async with asyncio.timeout(HANG_S):
            while not session.ends:
                line.tell(SignalResponse(refresh_token="t" * 100_000))
                await asyncio.sleep(0)
        await until_gone(server)
    assert session.ends == 1
    assert line._waiting == type(line._waiting)()  # type: ignore[attr-defined]
    line.tell(SignalResponse(pong=1))
    assert not line._waiting  # type: ignore[attr-defined]


async def test_a_client_that_does_not_hear_that_it_is_over_is_cut_off(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "GOODBYE_S", 0.05)
    async with silent(server) as (client, session):
        client.writer.transport.pause_reading()
        session.line.tell(SignalResponse(refresh_token="t" * 1_000_000))
        session.line.hang_up()
        await until_gone(server)
    assert session.ends == 1


async def test_a_client_that_does_not_hear_that_it_is_over_does_not_hold_up_the_stop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "GOODBYE_S", 0.05)
    async with contextlib.AsyncExitStack() as clients:
        async with served(bench) as server:
            client, session = await clients.enter_async_context(silent(server))
            client.writer.transport.pause_reading()
            session.line.tell(SignalResponse(refresh_token="t" * 1_000_000))
        assert server.http.server_state.connections == set()


@pytest.mark.parametrize("kind", ["pings", "pongs", "pieces"])
async def test_frames_without_end_that_say_nothing_end_the_line(server: Served, kind: str) -> None:
    async with await server.joining() as client:
        await told(client)
        with contextlib.suppress(Exception):  # it may end while they are sent
            if kind == "pieces":
                await client.send(b"" for _ in range(MAX_ASIDES + 10))
            for _ in range(MAX_ASIDES + 10):
                await (client.ping() if kind == "pings" else client.pong())
        assert await code_of_end(client) == 1008
    (session,) = server.bench.meetings.sessions
    await until_over(session)
    assert session.ends == 1


async def test_as_many_pieces_as_a_browser_makes_are_one_request(server: Served) -> None:
    async with await server.joining() as client:
        await client.send(ASKED[at : at + 1] for at in range(len(ASKED)))
        assert [await told(client) for _ in range(3)][2].pong == 1


async def test_a_burst_of_small_frames_is_read_a_piece_at_a_time(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    read = TimedWebSocket.__mro__[1].data_received  # uvicorn's own

    def counted(self: object, data: bytes) -> None:
        pieces.append(len(data))
        read(self, data)

    monkeypatch.setattr(TimedWebSocket.__mro__[1], "data_received", counted)
    empty = struct.pack("!BBI", 0x82, 0x80, 0)  # an empty message, masked
    last = struct.pack("!BBI", 0x82, 0x80 | len(ASKED), 0) + ASKED
    monkeypatch.setattr(pace, "MAX_REQUESTS_PER_S", 1_000_000)
    async with silent(server) as (client, session):
        pieces.clear()
        client.writer.write(empty * 10_000 + last)
        async with asyncio.timeout(HANG_S):
            while not session.requests:  # noqa: ASYNC110
                await asyncio.sleep(0)
    assert max(pieces) <= websocket.PIECE_BYTES
    assert sum(pieces) == 10_000 * len(empty) + len(last)


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        (f"GET /rtc?x={'x' * (MAX_REQUEST_LINE + 10)} HTTP/1.1", UPGRADE, b"414"),
        ("GET /rtc HTTP/1.1", UPGRADE + "X-A: b\r\n" * 200, b"431"),
        ("GET /rtc HTTP/1.1", UPGRADE + "Transfer-Encoding: chunked\r\n", b"400"),
        ("POST /rtc HTTP/1.1", UPGRADE, b"405"),
        ("GET /rtc HTTP/1.1", UPGRADE.replace("13", "12"), b"4"),
        ("GET /rtc HTTP/1.1", UPGRADE.replace("AAAA", "A"), b"4"),
    ],
    ids=["long line", "many headers", "a body", "a post", "old version", "short key"],
)
async def test_a_handshake_that_is_none_is_answered_and_ends(
    server: Served, request_line: str, headers: str, status: bytes
) -> None:
    async with raw(server, f"{request_line}\r\n{headers}\r\n") as client:
        assert (await client.rest()).split(b" ")[1].startswith(status)
    await until_gone(server)


async def test_an_address_of_sixty_thousand_characters_is_understood(server: Served) -> None:
    token = await server.bench.token(await server.bench.room(), participant="alice")
    async with server.connecting(server.address(access_token=token, of_next_year="x" * 60_000)) as client:
        assert (await told(client)).HasField("join")


async def test_nothing_of_an_address_or_of_who_connects_reaches_the_log(server: Served, logged: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.DEBUG)  # as nobody does, so that all is seen that there is
    room = await server.bench.room(name=CANARY)
    token = signed(CLAIMS | {"sub": f"p_{CANARY}", "name": CANARY, "video": {"roomJoin": True, "room": CANARY}})
    with pytest.raises(InvalidStatus):
        await server.connecting(server.address(access_token=CANARY, attributes=CANARY))
    server.bench.meetings.refusal = RuntimeError(CANARY)
    with pytest.raises(InvalidStatus):
        await server.connecting(server.address(access_token=token))
    server.bench.meetings.refusal = None
    headers = {"Authorization": f"Bearer {token}", "User-Agent": CANARY}
    async with server.connecting(server.address(sid=CANARY, sdk=CANARY), additional_headers=headers) as client:
        await told(client)
        server.bench.meetings.sessions[-1].failing = RuntimeError(CANARY)
        await client.send(SignalRequest(ping_req=Ping(timestamp=7)).SerializeToString())
        await code_of_end(client)
    async with server.connecting(server.address(access_token=token, x=CANARY)) as client:
        await client.send(b"\xff" + CANARY.encode())
        await code_of_end(client)
    async with raw(server, f"GET /rtc?{CANARY} HTTP/1.1\r\n{UPGRADE}Transfer-Encoding: chunked\r\n\r\n") as stranger:
        await stranger.rest()
    text = logged.getvalue()
    assert text.count("signal connection opened") == 2
    assert room in text
    for secret in (CANARY, "eyJ", "127.0.0.1", "access_token", "Bearer"):
        assert secret not in text


async def test_the_server_goes_on_when_a_client_closes_as_the_server_stops(bench: Bench) -> None:
    async with served(bench) as server:
        async with await server.joining() as client:
            await told(client)
            protocol = next(each for each in server.http.server_state.connections if isinstance(each, TimedWebSocket))
            protocol.conn.receive_data(struct.pack("!BBI", 0x88, 0x80, 0))  # its end has come, and was not looked at
            protocol.shutdown()
            await code_of_end(client)
        await until_gone(server)
    assert bench.meetings.sessions[0].ends == 1
