"""Making and ending rooms while a media worker hangs, and while other things happen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from fake_engine import FakeEngine, FakeRoom
from fake_store import FakeStore
from offers import offer

from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.refusals import Refusal
from signalling.faults import ClosingError, RefusedError
from signalling.media_events import RoomGone
from signalling.rooms import Rooms

pytestmark = pytest.mark.asyncio


def rooms_of(engine: FakeEngine, *, max_rooms: int = 9) -> Rooms:
    return Rooms(engine, FakeStore(), max_rooms=max_rooms, max_participants=9, hanging=lambda: {1: "stalled"})


def grant_of(participant: str, room: RoomId) -> Grant:
    return Grant(
        participant=ParticipantId(participant),
        room=room,
        join=True,
        can_publish=True,
        can_subscribe=True,
        issued_at=None,
        not_before=None,
        expires_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


async def test_nothing_is_published_but_what_was_looked_at_whatever_the_engine_reads_in_the_offer() -> None:
    engine = FakeEngine()
    rooms = rooms_of(engine)
    room = (await rooms.create()).room
    opened = await rooms.publish(room, grant_of("alice", room), offer(), kinds=["audio"])
    assert [track.kind for track in engine.peers()[0].tracks] == ["audio"]
    assert opened.connection.publication is not None
    assert [track.kind for track in opened.connection.publication.tracks] == ["audio"]


async def test_nobody_is_let_in_on_a_worker_that_hangs_while_there_is_another() -> None:
    engine = FakeEngine()
    rooms = rooms_of(engine)
    room = (await rooms.create()).room
    await rooms.publish(room, grant_of("alice", room), offer())
    await rooms.play(room, grant_of("bob", room), "alice", offer())
    assert engine.rooms[0].avoided == [{1}, {1}]


async def test_a_room_is_made_while_another_waits_for_its_worker() -> None:
    engine = FakeEngine()
    engine.creating = held = asyncio.Event()
    rooms = rooms_of(engine, max_rooms=2)
    waiting = asyncio.ensure_future(rooms.create())
    await asyncio.sleep(0)
    engine.creating = None
    made = await rooms.create()
    assert rooms.all() == [made]
    with pytest.raises(RefusedError) as refused:
        await rooms.create()
    assert refused.value.refusal is Refusal.TOO_MANY_ROOMS, "the one under way counts"
    held.set()
    await waiting
    assert len(rooms.all()) == 2


async def test_no_room_is_placed_on_a_worker_that_hangs() -> None:
    engine = FakeEngine()
    await rooms_of(engine).create()
    assert engine.avoided == [{1}]


async def test_a_room_that_is_made_when_the_server_stops_is_ended_at_once() -> None:
    engine = FakeEngine()
    engine.creating = asyncio.Event()
    rooms = rooms_of(engine)
    waiting = asyncio.ensure_future(rooms.create())
    await asyncio.sleep(0)
    await rooms.close_all()
    engine.creating.set()
    with pytest.raises(ClosingError):
        await waiting
    assert [room.closed for room in engine.rooms] == [True]


async def test_all_rooms_end_although_one_fails_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    rooms = rooms_of(engine)
    for _ in range(3):
        await rooms.create()
    close, following = FakeRoom.close, list[asyncio.Future[None]]()

    async def close_slowly(self: FakeRoom) -> None:
        following.extend(asyncio.ensure_future(rooms.on_event(RoomGone(media_room=room.id))) for room in engine.rooms)
        await asyncio.sleep(0)
        await close(self)

    monkeypatch.setattr(FakeRoom, "close", close_slowly)
    await rooms.close_all()
    await asyncio.gather(*following)
    assert rooms.all() == []
    assert len(engine.rooms) == 3, "none gets other media"
