"""A room outlives its media: it has other media at once, unless it fails again and again."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta

import httpx
import pytest
from conftest import Bench, settings
from fake_engine import FakeRoom

from signalling import homes
from signalling.domain.heartbeat import Beat
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.notices import Notice, Reason
from signalling.domain.quarantine import REST
from signalling.domain.refusals import Refusal
from signalling.figures import WorkerFailed
from signalling.media import EngineUnavailableError
from signalling.media_events import EngineLost, EngineRestarted, MediaEvent, PeerGone
from signalling.notices import Watch


@pytest.fixture(autouse=True)
def _tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "RETRY_S", (0.0,))


async def fail(bench: Bench, at: int = -1) -> None:
    """Has the engine end a room by a fault of its own."""
    await tell(bench, bench.engine.break_room(bench.engine.rooms[at]))


async def tell(bench: Bench, event: MediaEvent) -> None:
    bench.parts.metrics.on_event(event)
    await bench.parts.rooms.on_event(event)
    await bench.settle()


def value(bench: Bench, name: str) -> float | None:
    return bench.parts.metrics.registry.get_sample_value(name)


def lines(logged: io.StringIO, event: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, logged.getvalue().splitlines()) if line["event"] == event]


def watch_of(bench: Bench, room: str, made: httpx.Response) -> Watch:
    resource = ResourceId(made.headers["location"].rpartition("/")[2])
    return bench.parts.rooms.connection(RoomId(room), resource).watch


async def test_a_room_whose_media_failed_has_other_media_and_its_people_come_back(
    bench: Bench, logged: io.StringIO
) -> None:
    room = await bench.room(name="ward-7", max_participants=3)
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        made = await bench.publish(room, alice)
        await bench.play(room, bob, "alice")
        watch = watch_of(bench, room, made)
        await fail(bench)
        assert await bench.roster(room) == []
        assert watch.notice == Notice(reason=Reason.ROOM_FAILED, welcome=True)
        assert (await alice.delete(made.headers["location"])).json()["code"] == "connection_unknown"
        assert (await bench.publish(room, alice)).status_code == 201
        assert (await bench.play(room, bob, "alice")).status_code == 201
    async with bench.admin() as http:
        shown = (await http.get(f"/rooms/{room}")).json()
    assert (shown["name"], shown["max_participants"], shown["participants"]) == ("ward-7", 3, 2)
    assert [len(each.peers) for each in bench.engine.rooms] == [2, 2]
    (lost,) = lines(logged, "room lost its media")
    assert (lost["room"], lost["reason"], lost["count"], lost["level"]) == (room, "room_failed", 2, "error")
    assert lines(logged, "room has media again")


async def test_who_was_removed_stays_removed_when_the_room_has_other_media(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "eve") as eve, bench.admin() as http:
        await bench.publish(room, eve)
        await http.delete(f"/rooms/{room}/participants/eve")
        await fail(bench)
        assert (await bench.publish(room, eve)).json()["code"] == Refusal.PARTICIPANT_REMOVED


async def test_a_room_that_fails_again_within_a_minute_rests_and_has_media_on_the_next_join_after(
    bench: Bench, logged: io.StringIO
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice", life_s=21_600) as alice:
        await fail(bench)
        bench.clock.go(seconds=30)
        await bench.publish(room, alice)
        await fail(bench)
        assert value(bench, "sfu_rooms_quarantined") == 1
        assert value(bench, "sfu_rooms_waiting") == 0
        bench.clock.go(seconds=0.5)
        refused = await bench.publish(room, alice)
        assert (refused.status_code, refused.json()["code"]) == (503, "room_quarantined")
        assert refused.headers["retry-after"] == "60"
        assert "try again in 60 seconds, or meet in another room" in refused.json()["detail"]
        assert (await bench.play(room, alice, "bob")).json()["code"] == "room_quarantined"
        assert bench.engine.rooms[-1].peers == []
        bench.clock.go(seconds=59.5)
        assert value(bench, "sfu_rooms_quarantined") == 0
        assert (await bench.publish(room, alice)).status_code == 201
        await fail(bench)
        assert (await bench.publish(room, alice)).headers["retry-after"] == "120"
        assert len(lines(logged, "room has media again")) == 1, "it rests, whatever it has"
    quarantined = lines(logged, "room quarantined")
    assert [(line["room"], line["level"], line["seconds"]) for line in quarantined] == [
        (room, "error", 60),
        (room, "error", 120),
    ]


async def test_a_room_that_rests_tells_its_people_when_to_come_back_and_others_are_not_held_up(bench: Bench) -> None:
    room, other = await bench.room(), await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(other, "bob") as bob:
        await fail(bench, at=0)
        watch = watch_of(bench, room, await bench.publish(room, alice))
        await fail(bench)
        assert watch.notice == Notice(reason=Reason.ROOM_QUARANTINED, welcome=True, after=REST)
        assert (await bench.publish(other, bob)).status_code == 201


async def test_a_room_that_fails_at_rest_although_it_is_empty_is_not_made_again_before_somebody_wants_it(
    bench: Bench,
) -> None:
    room = await bench.room()
    for _ in range(3):
        await fail(bench)
    assert [each.closed for each in bench.engine.rooms] == [True] * 3
    assert value(bench, "sfu_rooms_quarantined") == 1
    bench.clock.go(minutes=3)
    async with await bench.participant(room, "alice") as alice:
        assert (await bench.publish(room, alice)).status_code == 201
    assert len(bench.engine.rooms) == 4


async def test_a_room_that_rests_when_the_engine_is_started_anew_still_rests_in_that_one(bench: Bench) -> None:
    room = await bench.room()
    await fail(bench)
    await fail(bench)
    for event in (EngineLost(reason="it has ended", pause=timedelta(0)), EngineRestarted()):
        await tell(bench, event)
    assert len(bench.engine.rooms) == 4
    async with await bench.participant(room, "alice") as alice:
        assert (await bench.publish(room, alice)).json()["code"] == "room_quarantined"


async def test_a_room_that_rests_ends_when_it_is_deleted(bench: Bench) -> None:
    room = await bench.room()
    await fail(bench)
    await fail(bench)
    async with bench.admin() as http:
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
    assert bench.parts.rooms.all() == []
    assert value(bench, "sfu_rooms_quarantined") == 0


async def test_when_a_worker_has_failed_its_rooms_move_to_others_and_nothing_is_held_against_them(
    bench: Bench,
) -> None:
    bench.engine.workers = [Beat(turns=0), Beat(turns=0), Beat(turns=0)]
    rooms = [await bench.room() for _ in range(3)]
    bench.engine.rooms[1].worker = 1
    for worker in (0, 1):
        gone = [room for room in bench.engine.rooms if room.worker == worker and not room.closed]
        events = [bench.engine.break_room(room) for room in gone]
        for event in (WorkerFailed(worker=worker), *events):
            await tell(bench, event)
    assert [room.worker for room in bench.engine.rooms if not room.closed] == [2, 2, 2]
    assert len(rooms) == 3
    assert value(bench, "sfu_rooms_quarantined") == 0
    assert bench.engine.avoided[-1] == {0, 1}


async def test_a_room_that_has_grown_to_a_worker_moves_when_that_fails_and_nothing_is_held_against_it(
    bench: Bench,
) -> None:
    bench.engine.workers = [Beat(turns=0), Beat(turns=0), Beat(turns=0)]
    await bench.room()
    for failed in (1, 2):
        (room,) = [room for room in bench.engine.rooms if not room.closed]
        assert room.worker == 0
        room.grown_to = (failed,)
        for event in (WorkerFailed(worker=failed), bench.engine.break_room(room)):
            await tell(bench, event)
    assert len([room for room in bench.engine.rooms if not room.closed]) == 1
    assert value(bench, "sfu_rooms_quarantined") == 0, "it would rest after two failures of its own"


async def test_after_a_restart_of_the_engine_all_rooms_have_media_again_and_nothing_is_held_against_them() -> None:
    bench = Bench(settings(rooms={"max_rooms": 500}))
    rooms = [await bench.room() for _ in range(200)]
    await tell(bench, WorkerFailed(worker=0))
    at_once, most = 0, 0
    make = bench.engine.create_room

    async def create_room(*, avoid: frozenset[int] = frozenset()) -> FakeRoom:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return await make(avoid=avoid)

    bench.engine.create_room = create_room  # type: ignore[method-assign,assignment]
    for _ in range(3):
        await tell(bench, EngineRestarted())
        for _ in range(50):
            await bench.settle()
    assert most == homes.AT_ONCE
    assert value(bench, "sfu_engine_restarts_total") == 3
    assert [value(bench, f"sfu_rooms_{state}") for state in ("waiting", "quarantined")] == [0, 0]
    assert bench.engine.avoided[-1] == frozenset(), "the worker is well again"
    async with await bench.participant(rooms[-1], "alice") as alice:
        assert (await bench.publish(rooms[-1], alice)).status_code == 201


async def test_when_the_media_process_is_lost_its_calls_have_ended_and_rooms_wait_for_the_next_one(
    bench: Bench, logged: io.StringIO
) -> None:
    room, other = await bench.room(), await bench.room()
    async with await bench.participant(room, "alice") as alice:
        made = await bench.publish(room, alice)
        watch = watch_of(bench, room, made)
        bench.engine.unavailable = True
        await tell(bench, EngineLost(reason="it has ended", pause=timedelta(0)))
        assert await bench.roster(room) == []
        assert watch.notice == Notice(reason=Reason.ENGINE_RESTARTED, welcome=True)
        bench.engine.unavailable = False  # it runs again, which is not told yet: what is made then would not be known
        joining = asyncio.ensure_future(bench.publish(room, alice))
        await bench.settle()
        with pytest.raises(EngineUnavailableError):
            await bench.parts.rooms.create()
        assert not joining.done()
        assert len(bench.engine.rooms) == 2
        assert value(bench, "sfu_rooms_waiting") == 2
        await tell(bench, EngineRestarted())
        assert (await joining).status_code == 201
    assert len(bench.engine.rooms) == 4, "one for each"
    assert [line["room"] for line in lines(logged, "room lost its media")] == [room, other], "once"
    assert not lines(logged, "room gets no media yet: tried again")


async def test_a_room_that_gets_no_media_at_once_is_tried_again_and_joins_wait_for_it(
    bench: Bench, logged: io.StringIO
) -> None:
    room = await bench.room()
    bench.engine.unavailable = True
    await fail(bench)
    assert value(bench, "sfu_rooms_waiting") == 1
    async with await bench.participant(room, "alice") as alice:
        joining = asyncio.ensure_future(bench.publish(room, alice))
        await bench.settle()
        assert not joining.done()
        bench.engine.unavailable = False
        assert (await joining).status_code == 201
    assert len(lines(logged, "room gets no media yet: tried again")) == 1
    assert value(bench, "sfu_rooms_waiting") == 0


async def test_a_join_that_waits_for_media_too_long_is_told_so_and_the_room_is_not_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await bench.room()
    bench.engine.creating = held = asyncio.Event()
    await fail(bench)
    async with await bench.participant(room, "alice") as alice:
        with monkeypatch.context() as impatient:
            impatient.setattr("signalling.endings.ANSWER_LIMIT_S", 0.01)
            refused = await bench.publish(room, alice)
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_late")
        held.set()
        assert (await bench.publish(room, alice)).status_code == 201


async def test_media_made_by_an_engine_that_was_restarted_meanwhile_is_not_used(bench: Bench) -> None:
    room = await bench.room()
    bench.engine.creating = held = asyncio.Event()
    making = asyncio.ensure_future(bench.parts.rooms.create())
    await fail(bench)
    await tell(bench, EngineRestarted())
    held.set()
    with pytest.raises(EngineUnavailableError):
        await making
    await bench.settle()
    async with await bench.participant(room, "alice") as alice:
        assert (await bench.publish(room, alice)).status_code == 201
    assert [len(each.peers) for each in bench.engine.rooms] == [0, 0, 0, 1]


async def test_media_made_by_an_engine_that_was_lost_meanwhile_is_not_used(bench: Bench) -> None:
    bench.engine.creating = held = asyncio.Event()
    making = asyncio.ensure_future(bench.parts.rooms.create())
    await bench.settle()
    await tell(bench, EngineLost(reason="it has ended", pause=timedelta(0)))
    held.set()
    with pytest.raises(EngineUnavailableError):
        await making


async def test_a_room_that_is_deleted_while_it_gets_media_leaves_none_behind(bench: Bench) -> None:
    room = await bench.room()
    bench.engine.creating = held = asyncio.Event()
    await fail(bench)
    async with bench.admin() as http:
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
    held.set()
    await bench.settle()
    assert [each.closed for each in bench.engine.rooms] == [True, True]


async def test_a_room_that_ends_when_its_media_fails_has_no_other(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        watch = watch_of(bench, room, await bench.publish(room, alice))
    bench.engine.peers()[0].held = held = asyncio.Event()
    ending = asyncio.ensure_future(bench.parts.rooms.delete(RoomId(room)))
    await bench.settle()
    await fail(bench)
    held.set()
    await ending
    assert watch.notice == Notice(reason=Reason.ROOM_DELETED, welcome=False)
    assert len(bench.engine.rooms) == 1


async def test_an_ending_that_is_under_way_when_the_media_fails_is_done_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signalling.endings.RETRY_S", 0)
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice:
        watch = watch_of(bench, room, await bench.publish(room, alice))
    bench.engine.unavailable = True
    removing = asyncio.ensure_future(bench.parts.rooms.remove(RoomId(room), ParticipantId("alice")))
    await bench.settle()
    await fail(bench)
    await removing
    assert watch.notice == Notice(reason=Reason.REMOVED, welcome=False)
    bench.engine.unavailable = False


async def test_when_the_server_stops_no_room_gets_media_any_more(bench: Bench) -> None:
    await bench.room()
    bench.engine.unavailable = True
    await fail(bench)
    bench.engine.unavailable = False
    await bench.parts.rooms.close_all()
    await bench.settle()
    assert (bench.parts.rooms.all(), len(bench.engine.rooms)) == ([], 1)


@pytest.mark.parametrize(("reason", "told"), [("ice", (Reason.TRANSPORT_LOST, True)), ("closed", (Reason.LEFT, False))])
async def test_who_lost_the_transport_is_welcome_again_and_who_closed_it_has_left(
    bench: Bench, reason: str, told: tuple[Reason, bool]
) -> None:
    room = await bench.room()
    async with await bench.participant(room, "alice") as alice, await bench.participant(room, "bob") as bob:
        made = [await bench.publish(room, alice), await bench.play(room, bob, "alice")]
        publishing, playing = [watch_of(bench, room, each) for each in made]
        await tell(bench, PeerGone(peer=bench.engine.peers()[0].id, reason=reason))
    assert publishing.notice is not None
    assert (publishing.notice.reason, publishing.notice.welcome) == told
    assert playing.notice == Notice(reason=Reason.SOURCE_LEFT, welcome=False)
