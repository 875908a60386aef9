"""Whoever holds a connection is told when it has ended, and whether to connect again."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest
from conftest import ADMIN, SDP, Bench
from conftest import settings as plain
from fake_engine import FakeEngine
from offers import offer
from ports import free_port
from running import running, settings

from signalling import homes
from signalling.config import Settings
from signalling.domain.notices import Notice, Reason, Told, notice_of
from signalling.http import events
from signalling.media_events import EngineRestarted, EngineTakenOver, PeerGone
from signalling.notices import Watch

BEARER = {"Authorization": f"Bearer {ADMIN}"}
HANG_S = 20.0  # Only catches hangs.


@dataclass(frozen=True)
class Holder:
    """Who holds a connection to a running server."""

    http: httpx.AsyncClient
    bearer: dict[str, str]
    room: str
    location: str

    @contextlib.asynccontextmanager
    async def listening(self, query: str = "") -> AsyncIterator[AsyncIterator[str]]:
        """Waits for events; whoever is in here has been answered."""
        async with self.http.stream("GET", f"{self.location}/events{query}", headers=self.bearer) as answer:
            assert answer.status_code == 200, await answer.aread()
            lines = answer.aiter_lines()
            assert await anext(lines) == ":"
            yield lines


async def told(lines: AsyncIterator[str]) -> tuple[str, dict[str, object]] | None:
    """Returns the event, and None when the stream ends without any."""
    async with asyncio.timeout(HANG_S):
        said = [line async for line in lines if line not in ("", ":")]
    if not said:
        return None
    event, data = said
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@contextlib.asynccontextmanager
async def held(engine: FakeEngine, with_settings: Settings) -> AsyncIterator[tuple[Holder, asyncio.Task[None]]]:
    root = f"http://127.0.0.1:{with_settings.http.port}"
    async with running(with_settings, engine) as serving, httpx.AsyncClient(base_url=root, timeout=HANG_S) as http:
        room = (await http.post("/rooms", headers=BEARER)).json()["room"]
        wanted = {"participant": "alice"}
        token = (await http.post(f"/rooms/{room}/tokens", json=wanted, headers=BEARER)).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        made = await http.post(f"/whip/{room}", content=offer(), headers=bearer | SDP)
        yield Holder(http, bearer, room, made.headers["location"]), serving


def with_port(**sections: dict[str, object]) -> Settings:
    return settings(http={"port": free_port()}, **sections)


async def test_each_connection_announces_its_events(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        both = {"whip": await bench.publish(room, alice), "whep": await bench.play(room, bob, "alice")}
        for protocol, made in both.items():
            location = made.headers["location"]
            link = f'<{location}/events>; rel="urn:ietf:params:{protocol}:ext:core:server-sent-events"'
            assert f'{link}; events="reconnect,ended,media"' in made.headers["link"]


async def test_the_events_are_for_whom_the_connection_belongs_to_also_with_an_expired_token(bench: Bench) -> None:
    room = await bench.room()
    async with (
        await bench.participant(room, "alice", life_s=60) as alice,
        bench.http() as nobody,
        bench.admin() as admin,
    ):
        path = (await bench.publish(room, alice)).headers["location"] + "/events"
        bench.clock.go(hours=1)
        for method in ("GET", "POST"):
            assert (await nobody.request(method, path)).json()["code"] == "token_missing"
        for http in (alice, admin):
            made = await http.post(path, json=["ended", "viewercount", 7])
            assert (made.status_code, made.headers["location"]) == (201, f"{path}?events=ended")
        assert (await alice.post(path)).headers["location"] == path
        assert (await alice.post(path, content="[" * 60_000)).json()["code"] == "request_invalid"
        assert (await alice.post(path, json={"reconnect": True})).json()["code"] == "request_invalid"
        stranger = await bench.token(room, participant="eve")
        headers = {"Authorization": f"Bearer {stranger}"}
        for method in ("GET", "POST"):
            assert (await nobody.request(method, path, headers=headers)).json()["code"] == "not_yours"
            unknown = re.sub("/[0-9a-f]+/events", "/none/events", path)
            assert (await alice.request(method, unknown)).json()["code"] == "connection_unknown"


Ending = Callable[[Holder, FakeEngine], Awaitable[object]]


async def leave(holder: Holder, _: FakeEngine) -> None:
    await holder.http.delete(holder.location, headers=holder.bearer)


async def remove(holder: Holder, _: FakeEngine) -> None:
    await holder.http.delete(f"/rooms/{holder.room}/participants/alice", headers=BEARER)


async def delete(holder: Holder, _: FakeEngine) -> None:
    await holder.http.delete(f"/rooms/{holder.room}", headers=BEARER)


async def lose(_: Holder, engine: FakeEngine) -> None:
    await engine.happened.put(PeerGone(peer=engine.peers()[0].id, reason="ice"))


async def fail(_: Holder, engine: FakeEngine) -> None:
    await engine.happened.put(engine.break_room(engine.rooms[0]))


async def restart(_: Holder, engine: FakeEngine) -> None:
    await engine.happened.put(EngineRestarted())


@pytest.mark.parametrize(
    ("end", "event", "reason"),
    [
        (leave, Told.ENDED, Reason.LEFT),
        (remove, Told.ENDED, Reason.REMOVED),
        (delete, Told.ENDED, Reason.ROOM_DELETED),
        (lose, Told.RECONNECT, Reason.TRANSPORT_LOST),
        (fail, Told.RECONNECT, Reason.ROOM_FAILED),
        (restart, Told.RECONNECT, Reason.ENGINE_RESTARTED),
    ],
)
async def test_whoever_listens_is_told_why_the_connection_ended_and_whether_to_connect_again(
    end: Ending, event: Told, reason: Reason
) -> None:
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _):
        async with alice.listening() as lines:
            await end(alice, engine)
            assert await told(lines) == (event, {"reason": reason})
        answer = await alice.http.get(f"{alice.location}/events", headers=alice.bearer)
        assert answer.status_code in (403, 404), "and nothing is there any more"
        if event is Told.RECONNECT:
            again = await alice.http.post(f"/whip/{alice.room}", content=offer(), headers=alice.bearer | SDP)
            assert again.status_code == 201


async def test_when_a_room_rests_its_people_are_told_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "RETRY_S", (0.0,))
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _):
        async with alice.listening() as lines:
            await engine.happened.put(engine.break_room(engine.rooms[0]))
            assert (await told(lines) or ("",))[0] == Told.RECONNECT
        made = await alice.http.post(f"/whip/{alice.room}", content=offer(), headers=alice.bearer | SDP)
        again = Holder(alice.http, alice.bearer, alice.room, made.headers["location"])
        async with again.listening() as lines:
            await engine.happened.put(engine.break_room(engine.rooms[-1]))
            assert await told(lines) == (Told.RECONNECT, {"reason": Reason.ROOM_QUARANTINED, "after_s": 60})


@pytest.mark.parametrize(("reconnect", "event"), [(False, Told.ENDED), (True, Told.RECONNECT)])
async def test_when_the_server_stops_it_says_so_and_nobody_who_listens_holds_it_up(
    reconnect: bool, event: Told
) -> None:
    engine = FakeEngine()
    async with held(engine, with_port(shutdown={"reconnect": reconnect, "grace_s": 30})) as (alice, serving):
        async with alice.listening() as lines:
            os.kill(os.getpid(), signal.SIGTERM)
            began = time.monotonic()
            assert await told(lines) == (event, {"reason": Reason.STOPPING})
        await serving
        assert time.monotonic() - began < 5, "not the time that requests get to finish"


@pytest.mark.parametrize("drains", [False, True])
async def test_a_server_that_was_taken_over_stops_and_tells_nobody_that_a_call_ends_which_goes_on(
    logged: io.StringIO, drains: bool
) -> None:
    engine = FakeEngine()
    async with held(engine, with_port(shutdown={"drain_s": 60})) as (alice, serving):
        async with alice.listening() as lines:
            if drains:
                os.kill(os.getpid(), signal.SIGTERM)
                while (await alice.http.get("/ready")).status_code == 200:
                    pass
            await engine.happened.put(EngineTakenOver())
            assert await told(lines) is None
        await asyncio.wait_for(serving, HANG_S)
    assert engine.closed, "parted from"
    assert (len(engine.peers()), engine.rooms[0].closed) == (1, False)
    assert "another server has taken control" in logged.getvalue()
    for done in ("room deleted", "connection closed", "drained"):
        assert done not in logged.getvalue()


async def test_only_the_events_that_were_chosen_are_told() -> None:
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _), alice.listening("?events=ended") as lines:
        await engine.happened.put(EngineRestarted())
        assert await told(lines) is None


async def test_the_newest_who_listens_hears_it_and_the_one_before_waits_no_longer() -> None:
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _), alice.listening() as older, alice.listening() as newer:
        assert await told(older) is None
        await remove(alice, engine)
        assert await told(newer) == (Told.ENDED, {"reason": Reason.REMOVED})


async def test_while_nothing_happens_something_is_sent_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.01)
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _), alice.listening() as lines:
        async with asyncio.timeout(HANG_S):
            assert [await anext(lines) for _ in range(6)] == ["", ":"] * 3


async def test_those_who_listen_leave_half_of_all_connections_to_others() -> None:
    bench = Bench(plain(http={"max_connections": 10}))
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        path = (await bench.publish(room, alice)).headers["location"] + "/events"
        bench.parts.streams = 5
        refused = await alice.get(path)
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        assert refused.headers["retry-after"]


async def test_whoever_goes_away_is_forgotten() -> None:
    engine = FakeEngine()
    async with held(engine, with_port()) as (alice, _):
        async with alice.listening():
            assert "sfu_event_streams 1.0" in (await alice.http.get("/metrics")).text
        async with asyncio.timeout(HANG_S):
            while "sfu_event_streams 0.0" not in (await alice.http.get("/metrics")).text:
                pass


@pytest.mark.parametrize("reason", list(Reason))
def test_a_notice_says_nothing_of_anybody(reason: Reason) -> None:
    notice = notice_of(reason)
    assert re.fullmatch("[a-z_]+", notice.reason)
    assert notice.told is (Told.RECONNECT if notice.welcome else Told.ENDED)


async def test_the_first_notice_of_a_connection_stands() -> None:
    watch, first = Watch(), notice_of(Reason.REMOVED)
    watch.end(first)
    watch.end(Notice(reason=Reason.STOPPING, welcome=True))
    await watch.changed()
    assert watch.notice is first
