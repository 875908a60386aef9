"""A server whose engine another one has taken over says that nothing was done, and leaves the calls to that one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import httpx
import pytest
from conftest import Bench, settings
from fake_core import FakeCore
from offers import offer

from pysfu import _compiled, events
from signalling import endings
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.media import EngineUnavailableError, MediaError, MediaGoneError, MediaRoomGoneError, ReplacedError
from signalling.media_events import EngineTakenOver
from signalling.pysfu_engine import PysfuEngine


async def replaced(bench: Bench) -> None:
    await take_over(bench)


def take_over(bench: Bench) -> asyncio.Future[None]:
    """Has the takeover heard of before this returns."""
    return asyncio.ensure_future(bench.parts.rooms.on_event(EngineTakenOver()))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/rooms/{room}/participants/alice"),
        ("DELETE", "/rooms/{room}"),
        ("DELETE", "{location}"),
        ("GET", "/rooms/{room}"),
        ("GET", "/rooms"),
        ("POST", "/rooms"),
        ("POST", "/rooms/{room}/tokens"),
    ],
)
async def test_after_a_takeover_an_administrator_is_told_that_nothing_was_done(
    bench: Bench, method: str, path: str
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        location = (await bench.publish(room, alice)).headers["location"]
        await replaced(bench)
        bench.parts.rooms.drain()
        refused = await http.request(method, path.format(room=room, location=location))
    assert (refused.status_code, refused.json()["code"]) == (503, "replaced")
    assert len(bench.engine.peers()) == 1
    assert not bench.engine.rooms[0].closed


async def test_after_a_takeover_a_participant_is_told_so_and_not_that_the_connection_is_gone(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        location = (await bench.publish(room, alice)).headers["location"]
        await replaced(bench)
        bench.parts.rooms.drain()
        for answer in (
            await bench.publish(room, alice),
            await bench.play(room, alice, "alice"),
            await alice.delete(location),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "replaced")
        assert (await bench.publish("nowhere", alice)).json()["code"] == "token_for_other_room"
    assert bench.parts.metrics.registry.get_sample_value("sfu_joins_total", {"outcome": "error"}) == 2


async def begun(bench: Bench, ending: Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]) -> httpx.Response:
    """Returns the answer to what was under way when another server came, and which the engine then calls done."""
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, bench.admin() as http:
        await bench.publish(room, alice)
        bench.engine.peers()[0].held = held = asyncio.Event()
        asked = asyncio.ensure_future(ending(http, room))
        await bench.settle()
        await replaced(bench)
        held.set()
        return await asked


@pytest.mark.parametrize("path", ["/rooms/{room}/participants/alice", "/rooms/{room}"])
async def test_an_ending_that_was_under_way_is_not_called_done_and_nobody_is_told_of_it(
    bench: Bench, logged: io.StringIO, path: str
) -> None:
    answer = await begun(bench, lambda http, room: http.delete(path.format(room=room)))
    assert (answer.status_code, answer.json()["code"]) == (503, "replaced")
    (opened,) = bench.parts.rooms._rooms.values()
    (connection,) = opened.open.values()
    assert not connection.watch.over
    for done in ("room deleted", "connection closed", "participant removed"):
        assert done not in logged.getvalue()
    assert bench.parts.metrics.registry.get_sample_value("sfu_removals_total") == 0


@pytest.mark.parametrize("asked", ["remove", "delete", "close"])
async def test_an_ending_that_the_engine_called_done_just_before_the_takeover_was_heard_of_is_not_called_done(
    bench: Bench, asked: str
) -> None:
    room = RoomId(await bench.room())
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
    resource = ResourceId(made.headers["location"].rpartition("/")[2])
    rooms = bench.parts.rooms
    rooms.connection(room, resource).watch.end = lambda _: take_over(bench)  # type: ignore[method-assign,assignment,return-value]
    named = {"remove": [ParticipantId("alice")], "delete": [], "close": [resource]}
    with pytest.raises(ReplacedError):
        await getattr(rooms, asked)(room, *named[asked])


async def test_what_the_engine_refuses_to_end_from_then_on_is_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "RETRY_S", 0)

    async def ending(http: httpx.AsyncClient, room: str) -> httpx.Response:
        bench.engine.unavailable = True
        return await http.delete(f"/rooms/{room}/participants/alice")

    answer = await asyncio.wait_for(begun(bench, ending), 5)
    assert (answer.status_code, answer.json()["code"]) == (503, "replaced")


async def test_a_room_that_was_being_made_is_not_called_made(bench: Bench) -> None:
    bench.engine.creating = held = asyncio.Event()
    asked = asyncio.ensure_future(bench.parts.rooms.create())
    await bench.settle()
    await replaced(bench)
    held.set()
    with pytest.raises(ReplacedError):
        await asked
    assert bench.parts.rooms.census.rooms() == 0


async def test_nobody_is_told_that_there_are_no_rooms(bench: Bench) -> None:
    await replaced(bench)
    async with bench.admin() as http:
        assert (await http.get("/rooms")).json()["code"] == "replaced"


@pytest.mark.parametrize("error", [None, MediaRoomGoneError, MediaGoneError])
async def test_a_join_that_was_under_way_is_not_called_made_nor_its_room_lost(
    bench: Bench, logged: io.StringIO, error: type[MediaError] | None
) -> None:
    room = await bench.room()

    def answer_late() -> None:
        take_over(bench)
        if error is not None:
            raise error

    bench.engine.at_pause = answer_late
    async with await bench.participant(room, "alice") as alice:
        assert (await bench.publish(room, alice)).json()["code"] == "replaced"
    assert "room lost its media" not in logged.getvalue()
    assert "connection opened" not in logged.getvalue()


async def test_a_restart_of_ice_in_a_call_that_is_another_servers_does_not_answer_that_it_has_ended(
    bench: Bench,
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
    opened = bench.parts.rooms.connection(RoomId(room), ResourceId(made.headers["location"].rpartition("/")[2]))

    def end_and_take_over() -> None:
        bench.engine.peers()[0].removed = True
        take_over(bench)

    bench.engine.at_pause = end_and_take_over
    with pytest.raises(ReplacedError):
        await bench.parts.rooms.restart(opened, offer())


async def test_that_the_engine_is_unavailable_is_said_as_ever_while_it_is_ours(bench: Bench) -> None:
    bench.engine.unavailable = True
    async with bench.admin() as http:
        assert (await http.post("/rooms")).json()["code"] == "engine_unavailable"
    with pytest.raises(EngineUnavailableError):
        await bench.parts.rooms.create()


async def test_rooms_that_are_another_servers_do_not_end_with_this_one(bench: Bench, logged: io.StringIO) -> None:
    await bench.room()
    await replaced(bench)
    await bench.parts.rooms.close_all()
    assert not bench.engine.rooms[0].closed
    assert "room deleted" not in logged.getvalue()


async def test_no_room_is_called_failed_whose_events_were_lost_before_another_server_had_it(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr(_compiled._core, "Core", FakeCore)
    async with PysfuEngine(host="127.0.0.1", port=7882, workers=2, announced_addresses=[]) as engine:
        bench = Bench(settings(), engine=engine)  # type: ignore[arg-type]

        async def follow() -> None:
            async for event in engine.events():
                await bench.parts.rooms.on_event(event)

        following = asyncio.ensure_future(follow())
        await bench.room()
        engine._sfu._emit(events.Resynced())
        engine._sfu._on_lost("another process has taken control of it", pause_s=None)
        await bench.settle()
        assert bench.parts.rooms.control.lost.is_set()
        assert "room lost its media" not in logged.getvalue()
        following.cancel()
