"""What rooms are called."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Bench

from signalling.domain.ids import RoomId
from signalling.domain.refusals import Refusal
from signalling.faults import NotFoundError, RefusedError
from signalling.media import ReplacedError


async def test_a_name_is_one_rooms_until_that_room_has_ended(bench: Bench) -> None:
    first = await bench.room(name="ward-7")
    async with bench.admin() as http:
        refused = await http.post("/rooms", json={"name": "ward-7"})
        assert (refused.status_code, refused.json()["code"]) == (409, Refusal.NAME_TAKEN)
        await http.delete(f"/rooms/{first}")
    assert await bench.room(name="ward-7") != first
    assert len(bench.engine.rooms) == 2


async def test_a_room_is_not_called_by_another_rooms_id(bench: Bench) -> None:
    room = await bench.room()
    async with bench.admin() as http:
        assert (await http.post("/rooms", json={"name": room})).json()["code"] == Refusal.NAME_TAKEN


async def test_any_number_of_rooms_have_no_name(bench: Bench) -> None:
    assert await bench.room() != await bench.room()


async def test_a_name_is_kept_for_a_room_that_is_being_made_and_free_again_when_that_fails(bench: Bench) -> None:
    rooms = bench.parts.rooms
    bench.engine.creating = held = asyncio.Event()
    making = asyncio.ensure_future(rooms.create(name="ward-7"))
    await bench.settle()
    with pytest.raises(RefusedError) as refused:
        await rooms.create(name="ward-7")
    assert refused.value.refusal is Refusal.NAME_TAKEN
    making.cancel()
    held.set()
    bench.engine.creating = None
    await asyncio.wait([making])
    assert (await rooms.create(name="ward-7")).name == "ward-7"


async def test_who_waits_for_a_room_to_be_made_finds_it_afterwards(bench: Bench) -> None:
    rooms = bench.parts.rooms
    bench.engine.creating = held = asyncio.Event()
    making = asyncio.ensure_future(rooms.create(name="ward-7"))
    await bench.settle()
    waiting = asyncio.ensure_future(rooms.names.settled("ward-7"))
    await bench.settle()
    assert not waiting.done()
    held.set()
    assert await waiting
    assert rooms.names.find("ward-7") == await making
    assert not await rooms.names.settled("ward-7"), "nobody makes one any more"


async def test_a_room_is_found_by_its_name_and_else_by_its_id(bench: Bench) -> None:
    named, other = await bench.room(name="ward-7"), await bench.room()
    names = bench.parts.rooms.names
    assert [names.find(name).room for name in ("ward-7", named, other)] == [named, named, other]
    for nobodys in ("ward-8", "", "r_0"):
        with pytest.raises(NotFoundError):
            names.find(nobodys)


async def test_a_room_that_is_about_to_end_is_found_and_keeps_its_name_but_does_not_last(bench: Bench) -> None:
    room, rooms = RoomId(await bench.room(name="ward-7")), bench.parts.rooms
    async with await bench.participant(room, "alice") as alice:
        await bench.publish(room, alice)
    assert rooms.names.find_lasting("ward-7").room == room
    bench.engine.held = held = asyncio.Event()
    ending = asyncio.ensure_future(rooms.delete(room))
    await bench.settle()
    assert rooms.names.find("ward-7").room == room
    with pytest.raises(NotFoundError):
        rooms.names.find_lasting("ward-7")
    with pytest.raises(RefusedError):
        await rooms.create(name="ward-7")
    held.set()
    await ending
    with pytest.raises(NotFoundError):
        rooms.names.find("ward-7")


async def test_a_server_that_was_replaced_finds_no_room(bench: Bench) -> None:
    await bench.room(name="ward-7")
    bench.parts.rooms.control.lost.set()
    with pytest.raises(ReplacedError):
        bench.parts.rooms.names.find("ward-7")
