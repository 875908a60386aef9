"""Rooms outlive every process, nobody who was removed comes back, and a disk that fails ends no call."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from conftest import Bench, settings
from fake_engine import FakeRoom
from restarts import after_both_died, next_server, taken_up

from signalling import notes
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.room import MAX_METADATA_LENGTH
from signalling.faults import ClosingError
from signalling.http.errors import RETRY_S
from signalling.media import ReplacedError
from signalling.media_events import EngineRestarted, EngineTakenOver
from signalling.store.base import StoreUnavailableError

UNAVAILABLE = (503, "store_unavailable", "the disk is full: make room there")


async def test_after_both_processes_died_all_rooms_are_there_and_get_media_when_somebody_joins(bench: Bench) -> None:
    rooms = [await bench.room(name=name, max_participants=3, metadata="bed 2") for name in ("ward-7", "ward-8", None)]
    await bench.parts.rooms.remove(RoomId(rooms[0]), ParticipantId("eve"))
    after = after_both_died(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == bench.parts.rooms.all()
    assert after.engine.rooms == [], "nobody has asked for any"
    assert after.parts.rooms.census.waiting() == 0
    async with await after.participant(rooms[0], "anna") as anna, await after.participant(rooms[0], "eve") as eve:
        assert (await after.publish(rooms[0], eve)).json()["code"] == "participant_removed"
        assert (await after.publish(rooms[0], anna)).status_code == 201
    assert len(after.engine.rooms) == 1
    assert [list(note.removed) for room in after.engine.rooms if (note := notes.read_room(room.note))] == [["eve"]]


async def test_a_room_that_nobody_has_joined_since_a_restart_is_not_made_anew_with_the_media_process(
    bench: Bench,
) -> None:
    await bench.room()
    after = after_both_died(bench)
    await taken_up(after)
    await after.parts.rooms.on_event(EngineRestarted())
    await after.settle()
    assert after.engine.rooms == []


async def test_a_room_that_is_deleted_before_anybody_joins_is_gone_for_good(bench: Bench) -> None:
    room = await bench.room()
    after = after_both_died(bench)
    await taken_up(after)
    async with after.admin() as http:
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
        assert (await http.get("/rooms")).json() == []
    last = after_both_died(after)
    await taken_up(last)
    assert last.parts.rooms.all() == []


async def test_rooms_go_on_in_the_next_server_after_one_that_was_stopped(bench: Bench) -> None:
    room = await bench.room()
    await bench.parts.rooms.close_all()
    after = after_both_died(bench)
    await taken_up(after)
    assert [each.room for each in after.parts.rooms.all()] == [room]


async def test_a_room_whose_deletion_broke_off_in_the_media_process_is_ended_by_the_next_server(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna:
        await bench.publish(room, anna)
    await bench.store.delete(RoomId(room))  # the server is killed here
    after = next_server(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == []
    assert [each.closed for each in after.engine.rooms] == [True]
    assert after.engine.peers() == []


async def test_a_room_whose_making_broke_off_before_it_was_written_down_is_ended_by_the_next_server(
    bench: Bench,
) -> None:
    bench.store.held = asyncio.Event()
    making = asyncio.ensure_future(bench.parts.rooms.create())
    await bench.settle()
    after = next_server(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == []
    assert [each.closed for each in after.engine.rooms] == [True]
    making.cancel()


async def test_a_store_that_is_new_takes_in_what_the_media_process_has(bench: Bench) -> None:
    room, lost = await bench.room(name="ward-7"), await bench.room()
    await bench.parts.rooms.remove(RoomId(room), ParticipantId("eve"))
    note = bench.engine.rooms[1].note
    bench.engine.break_room(bench.engine.rooms[1])
    bench.engine.rooms[1].note = note
    bench.store.rooms.clear()
    bench.store.is_new = True
    after = next_server(bench)
    await taken_up(after)
    assert after.parts.rooms.all() == bench.parts.rooms.all()
    assert {each.room: list(each.removed) for each in bench.store.rooms.values()} == {room: ["eve"], lost: []}
    assert not bench.store.is_new, "the next server goes by what is on disk"


async def test_a_removal_of_which_only_a_note_knows_is_written_down_by_the_next_server(bench: Bench) -> None:
    room = await bench.room()
    bench.store.unavailable = True
    async with bench.admin() as http:
        assert (await http.delete(f"/rooms/{room}/participants/eve")).status_code == 503
    bench.store.unavailable = False
    after = next_server(bench)
    await taken_up(after)
    assert list(bench.store.rooms[RoomId(room)].removed) == ["eve"]


async def test_a_removal_that_only_the_disk_has_is_noted_by_the_next_server(bench: Bench) -> None:
    room = await bench.room()
    bench.store.rooms[RoomId(room)].remove(ParticipantId("eve"))
    async with await bench.participant(room, "eve") as eve:
        await bench.publish(room, eve)
    after = next_server(bench)
    await taken_up(after)
    assert after.engine.peers() == []
    noted = notes.read_room(after.engine.rooms[0].note)
    assert noted is not None
    assert list(noted.removed) == ["eve"]


async def test_the_store_that_fails_while_the_next_server_takes_up_what_goes_on_ends_nothing(
    bench: Bench, logged: io.StringIO
) -> None:
    room = await bench.room()
    bench.store.unavailable = True
    async with bench.admin() as http:
        await http.delete(f"/rooms/{room}/participants/eve")
    after = next_server(bench)
    await taken_up(after)
    assert [each.room for each in after.parts.rooms.all()] == [room]
    (line,) = [each for each in map(json.loads, logged.getvalue().splitlines()) if "written down" in each["event"]]
    assert (line["level"], line["error"]) == ("error", "StoreUnavailableError")


async def test_a_room_that_cannot_be_written_down_is_not_made(bench: Bench) -> None:
    bench.store.unavailable = True
    async with bench.admin() as http:
        refused = await http.post("/rooms")
        assert (refused.status_code, *(refused.json()[key] for key in ("code", "detail"))) == UNAVAILABLE
        assert refused.headers["Retry-After"] == str(RETRY_S)
        assert (await http.get("/rooms")).json() == []
    assert [each.closed for each in bench.engine.rooms] == [True]


async def test_a_room_that_cannot_be_erased_goes_on_with_everybody_in_it(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna, bench.admin() as http:
        await bench.publish(room, anna)
        bench.store.unavailable = True
        refused = await http.delete(f"/rooms/{room}")
        assert (refused.status_code, *(refused.json()[key] for key in ("code", "detail"))) == UNAVAILABLE
        async with await bench.participant(room, "bela") as bela:
            assert (await bench.play(room, bela, "anna")).status_code == 201, "calls go on, joins too"
        bench.store.unavailable = False
        assert (await http.delete(f"/rooms/{room}")).status_code == 204
    assert bench.store.rooms == {}


async def test_a_removal_waits_for_no_disk_and_says_so_when_it_is_not_written_down(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "eve") as eve, bench.admin() as http:
        await bench.publish(room, eve)
        bench.store.held = asyncio.Event()
        removing = asyncio.ensure_future(bench.parts.rooms.remove(RoomId(room), ParticipantId("eve")))
        await bench.settle()
        assert not removing.done()
        assert bench.engine.peers() == []
        assert (await bench.publish(room, eve)).json()["code"] == "participant_removed"
        bench.store.unavailable = True
        bench.store.held.set()
        with pytest.raises(StoreUnavailableError):
            await removing
        refused = await http.delete(f"/rooms/{room}/participants/eve")
        assert (refused.status_code, *(refused.json()[key] for key in ("code", "detail"))) == UNAVAILABLE
        bench.store.unavailable = False
        assert (await http.delete(f"/rooms/{room}/participants/eve")).status_code == 204
    assert list(bench.store.rooms[RoomId(room)].removed) == ["eve"]


async def test_a_room_that_is_written_down_when_the_server_drains_or_is_replaced_is_erased_again(
    bench: Bench,
) -> None:
    rooms = bench.parts.rooms
    for meanwhile, told in (
        (rooms.drain, ClosingError),
        (lambda: asyncio.ensure_future(rooms.on_event(EngineTakenOver())), ReplacedError),
    ):
        bench.store.held = asyncio.Event()
        making = asyncio.ensure_future(rooms.create())
        await bench.settle()
        meanwhile()
        bench.store.held.set()
        with pytest.raises(told):
            await making
        rooms.call_off_drain()
        assert bench.store.rooms == {}
    assert all(isinstance(each, FakeRoom) and each.closed for each in bench.engine.rooms)


async def test_whoever_gives_up_the_making_of_a_room_leaves_none_in_the_engine(bench: Bench) -> None:
    bench.store.held = asyncio.Event()
    making = asyncio.ensure_future(bench.parts.rooms.create())
    await bench.settle()
    making.cancel()
    await bench.settle()
    assert [each.closed for each in bench.engine.rooms] == [True]
    assert bench.parts.rooms.all() == []


async def test_a_name_belongs_to_one_room_until_that_is_deleted(bench: Bench) -> None:
    room = await bench.room(name="ward-7")
    async with bench.admin() as http:
        refused = await http.post("/rooms", json={"name": "ward-7"})
        assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
        assert [each["room"] for each in (await http.get("/rooms")).json()] == [room]
        await http.delete(f"/rooms/{room}")
        assert (await http.post("/rooms", json={"name": "ward-7"})).status_code == 201


async def test_what_is_written_on_a_room_is_shown_again_and_one_character_too_many_is_refused(bench: Bench) -> None:
    text = "å" * MAX_METADATA_LENGTH
    room = await bench.room(metadata=text)
    async with bench.admin() as http:
        assert (await http.get(f"/rooms/{room}")).json()["metadata"] == text
        assert (await http.post("/rooms", json={"metadata": "m" * (MAX_METADATA_LENGTH + 1)})).status_code == 422


async def test_who_comes_in_is_handed_to_the_store(bench: Bench) -> None:
    room = await bench.room()
    async with await bench.participant(room, "anna") as anna:
        await bench.publish(room, anna)
    assert bench.store.seen == {(room, "anna"): bench.clock.at}


async def test_rooms_that_are_on_disk_count_against_the_most_there_may_be(bench: Bench) -> None:
    await bench.room()
    after = Bench(settings(rooms={"max_rooms": 1}), clock=bench.clock, store=bench.store)
    await taken_up(after)
    async with after.admin() as http:
        assert (await http.post("/rooms")).json()["code"] == "too_many_rooms"
