"""What is asked of a media worker that hangs or takes no commands: nobody waits long, and no ending is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from conftest import Bench, settings
from fake_core import FakeCore
from offers import fragment

from pysfu import _compiled
from signalling import endings, media, pysfu_engine
from signalling.media_events import PeerGone, RoomGone
from signalling.pysfu_engine import PysfuEngine

FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
HANG_S = 10.0  # Only catches hangs.
NEW = fragment(ufrag="nEw1", password="n" * 24)


@pytest.fixture(autouse=True)
def _tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "RETRY_S", 0.001)


@contextlib.contextmanager
def little_patience(limit_s: float = 0.02) -> Iterator[None]:
    """Has nobody wait long for a worker that hangs; what is to work, before and after, gets the time that it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endings, "ANSWER_LIMIT_S", limit_s)
        yield


async def until(true: Callable[[], bool]) -> None:
    """Waits for what the next retry of an ending brings, which tells nobody."""
    async with asyncio.timeout(HANG_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(endings.RETRY_S)


def told_late(answer: httpx.Response) -> bool:
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_late"), answer.text
    return bool(answer.headers["retry-after"])


def removals(bench: Bench) -> float | None:
    return bench.parts.metrics.registry.get_sample_value("sfu_removal_duration_seconds_count")


def joins(bench: Bench, outcome: str) -> float | None:
    return bench.parts.metrics.registry.get_sample_value("sfu_joins_total", {"outcome": outcome})


def ending(room: str, location: str, what: str) -> str:
    return {"room": f"/rooms/{room}", "participant": f"/rooms/{room}/participants/alice", "connection": location}[what]


@pytest.mark.parametrize("what", ["room", "participant", "connection"])
@pytest.mark.parametrize("fault", ["unavailable", "held"])
async def test_what_the_engine_has_not_ended_is_shown_and_is_ended_once_it_can_be(
    bench: Bench, what: str, fault: str
) -> None:
    room = await bench.room()
    async with (
        await bench.participant(room, "alice") as alice,
        await bench.participant(room, "bob") as bob,
        bench.admin() as http,
    ):
        location = (await bench.publish(room, alice)).headers["location"]
        await bench.play(room, bob, "alice")
        held = asyncio.Event()
        setattr(bench.engine, fault, held if fault == "held" else True)
        for _ in range(2):  # asking again changes nothing
            with little_patience():
                refused = await http.delete(ending(room, location, what))
            assert told_late(refused)
            assert "ask again" in refused.json()["detail"]
            assert not any(peer.removed for peer in bench.engine.peers())
            assert [seat["participant"] for seat in await bench.roster(room)] == ["alice", "bob"]
        assert removals(bench) == 0
        setattr(bench.engine, fault, None if fault == "held" else False)
        held.set()
        await until(lambda: bench.engine.peers() == [])
        await bench.settle()
        again = await http.delete(ending(room, location, what))
        assert again.status_code == (204 if what == "participant" else 404)
        assert removals(bench) == (1 if what == "participant" else 0)


async def test_an_ending_that_somebody_waits_for_is_answered_when_it_is_done(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        bench.engine.held = held = asyncio.Event()
        asking = [asyncio.ensure_future(http.delete(f"/rooms/{room}/participants/alice")) for _ in range(2)]
        await bench.settle()
        held.set()
        assert [(await asked).status_code for asked in asking] == [204, 204]
    assert bench.engine.peers() == []


async def test_nobody_joins_or_plays_what_is_ending(bench: Bench) -> None:
    room = await bench.room()
    async with (
        await bench.participant(room, "alice") as alice,
        await bench.participant(room, "bob") as bob,
        bench.admin() as http,
    ):
        location = (await bench.publish(room, alice)).headers["location"]
        bench.engine.unavailable = True
        with little_patience():
            assert told_late(await alice.delete(location))
        assert (await bench.play(room, bob, "alice")).json()["code"] == "publication_unknown"
        with little_patience():
            assert told_late(await http.delete(f"/rooms/{room}"))
        assert (await bench.publish(room, bob)).json()["code"] == "room_unknown"
        bench.engine.unavailable = False


@pytest.mark.parametrize("pauses", [1, 2], ids=["at_the_answer", "at_the_edges"])
async def test_a_join_is_given_up_in_time_and_leaves_nobody_behind(bench: Bench, pauses: int) -> None:
    room, left, held = await bench.room(), pauses, asyncio.Event()

    def hang() -> None:
        nonlocal left
        left -= 1
        bench.engine.held = held if left <= 0 else None

    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        bench.engine.at_pause = hang
        with little_patience():
            assert told_late(await bench.play(room, bob, "alice"))
        bench.engine.at_pause, bench.engine.held = None, None
        held.set()
        await until(lambda: len(bench.engine.peers()) == 1)
        await bench.settle()
        assert [seat["participant"] for seat in await bench.roster(room)] == ["alice"]
        assert (await bench.play(room, bob, "alice")).status_code == 201


async def test_many_who_ask_the_same_worker_do_not_wait_for_each_other_in_turn(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        location = (await bench.publish(room, alice)).headers["location"]
        bench.engine.held = held = asyncio.Event()
        restart = alice.patch(location, content=NEW, headers=FRAGMENT)
        asked = [restart, *(bench.publish(room, alice) for _ in range(20))]
        with little_patience(0.2):
            async with asyncio.timeout(0.2 * 15):  # not 20 times the limit
                answers = await asyncio.gather(*asked)
        assert all(map(told_late, answers))
        bench.engine.held = None
        held.set()
        await bench.settle()
        assert (await bench.publish(room, alice)).status_code == 201
    assert joins(bench, "error") == 20


async def test_what_is_there_no_more_is_told_by_its_own_name(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        location = (await bench.publish(room, alice)).headers["location"]
        bench.engine.peers()[0].removed = True
        restarted = await alice.patch(location, content=NEW, headers=FRAGMENT)
        assert (restarted.status_code, restarted.json()["code"]) == (404, "connection_unknown")
        assert (await bench.play(room, bob, "alice")).json()["code"] == "publication_unknown"
        bench.engine.rooms[0].closed = True
        played = await bench.play(room, bob, "alice")
        assert (played.status_code, played.json()["code"]) == (503, "room_failed")


async def test_a_join_whose_room_loses_its_media_meanwhile_did_not_succeed(bench: Bench) -> None:
    room, following, pauses = await bench.room(), list[asyncio.Future[None]](), itertools.count(1)

    def fail() -> None:
        if next(pauses) == 3:  # between the answer and the last edge
            gone = bench.parts.rooms.on_event(RoomGone(media_room=bench.engine.rooms[0].id))
            following.append(asyncio.ensure_future(gone))

    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        await bench.publish(room, alice)
        bench.engine.at_pause = fail
        played = await bench.play(room, bob, "alice")
    await asyncio.gather(*following)
    assert len(following) == 1
    assert (played.status_code, played.json()["code"]) == (503, "room_failed")
    assert [joins(bench, outcome) for outcome in ("ok", "error")] == [1, 1]


async def test_an_ending_that_fails_for_another_reason_can_be_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        (peer,) = bench.engine.peers()
        remove = type(peer).remove

        async def broken(_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(type(peer), "remove", broken)
        assert (await http.delete(f"/rooms/{room}/participants/alice")).status_code == 500
        assert len(await bench.roster(room)) == 1
        monkeypatch.setattr(type(peer), "remove", remove)
        assert (await http.delete(f"/rooms/{room}/participants/alice")).status_code == 204
    assert bench.engine.peers() == []
    assert await bench.roster(room) == []


async def test_an_ending_is_logged_once_however_often_it_is_tried(logged: io.StringIO) -> None:
    tries = itertools.count(1)

    async def end() -> None:
        if next(tries) <= 6:
            raise media.EngineUnavailableError

    under_way = endings.Endings()
    async with asyncio.timeout(HANG_S):
        await asyncio.gather(*(under_way.begin(end) for _ in range(2)))
    assert next(tries) == 9, "two endings were tried eight times"
    assert logged.getvalue().count("what ends is tried again") == 2


async def test_a_room_that_is_not_made_in_time_is_answered_like_anything_else_that_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_compiled._core, "Core", FakeCore)
    monkeypatch.setattr(pysfu_engine, "CREATE_TIMEOUT", timedelta(0))
    async with PysfuEngine(host="127.0.0.1", port=7882, workers=2, announced_addresses=[]) as engine:
        bench = Bench(settings(), engine=engine)
        core = engine._sfu._bridge.core._core
        core.held = True
        async with bench.admin() as http:
            assert told_late(await http.post("/rooms"))
            core.release()
            monkeypatch.setattr(pysfu_engine, "CREATE_TIMEOUT", timedelta(seconds=HANG_S))
            assert (await http.post("/rooms")).status_code == 201
        await bench.settle()
        assert len(bench.parts.rooms.all()) == len(core.rooms) == 1, "the late one is ended"


async def test_an_event_about_a_worker_that_hangs_is_not_followed_for_ever(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        await bench.publish(room, alice)
    bench.engine.held = held = asyncio.Event()
    with little_patience(), pytest.raises(endings.EngineLateError):
        await bench.parts.rooms.on_event(PeerGone(peer=bench.engine.peers()[0].id, reason="ice"))
    held.set()
    await bench.settle()
    assert await bench.roster(room) == []
