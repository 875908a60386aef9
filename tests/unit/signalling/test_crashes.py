"""Whatever was done before a crash: rooms that were made are there, deleted ones are not, who was removed stays out."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from conftest import NOW
from fake_engine import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from offers import offer
from restarts import resumed

from signalling.domain.grants import Grant
from signalling.domain.ids import ParticipantId, RoomId
from signalling.faults import RefusedError
from signalling.media import ResumedRoom
from signalling.rooms import Rooms
from signalling.store.rooms import SqlRooms, opened

PEOPLE = ("anna", "bela", "eve")


@dataclass
class World:
    """A server, its media process and its disk; and what must be so."""

    folder: Path
    expected: dict[RoomId, list[str]] = field(default_factory=dict)
    now: datetime = NOW
    lives: int = 0
    engine: FakeEngine = field(default_factory=FakeEngine)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.lives}.db"

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @contextlib.asynccontextmanager
    async def server(self) -> AsyncIterator[tuple[Rooms, SqlRooms]]:
        async with opened(self.path) as store:
            rooms = Rooms(
                self.engine, store, max_rooms=99, max_participants=9, clock=self.clock, steady=lambda: self.now - NOW
            )
            await rooms.resume(await store.load())
            yield rooms, store
            rooms.give_up()

    def crash(self, *, media: bool) -> None:
        """Keeps what is on disk at this moment, and of the media process what is in it, if it goes on."""
        before, self.lives = self.path, self.lives + 1
        for suffix in ("", "-wal"):
            if (file := before.with_name(before.name + suffix)).exists():
                shutil.copy(file, self.path.with_name(self.path.name + suffix))
        engine, self.engine = self.engine, FakeEngine()
        if not media:
            return
        self.engine.numbers = engine.numbers
        for room in [room for room in engine.rooms if not room.closed]:
            room.engine = self.engine
            for peer in room.peers:
                peer.engine = self.engine
            self.engine.rooms.append(room)
            peers = tuple(resumed(peer, has_ended=False) for peer in room.peers if not peer.removed)
            self.engine.found.append(ResumedRoom(room=room, note=room.note, peers=peers))


def grant_of(participant: str, room: RoomId) -> Grant:
    return Grant(
        participant=ParticipantId(participant),
        room=room,
        join=True,
        can_publish=True,
        can_subscribe=True,
        issued_at=None,
        not_before=None,
        expires_at=NOW + timedelta(1),
    )


Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "remove", "delete", "join", "crash", "crash of both"]),
        st.integers(0, 3),
        st.sampled_from(PEOPLE),
    ),
    max_size=14,
)


async def take(world: World, rooms: Rooms, step: Step) -> None:
    """Does one thing, and writes down what must be so then."""
    what, number, who = step
    if what == "create":
        world.expected[(await rooms.create()).room] = []
        return
    if not world.expected:
        return
    room = list(world.expected)[number % len(world.expected)]
    match what:
        case "remove":
            await rooms.remove(room, ParticipantId(who))
            world.expected[room] = [each for each in world.expected[room] if each != who] + [who]
        case "delete":
            await rooms.delete(room)
            del world.expected[room]
        case "join":
            with contextlib.suppress(RefusedError):
                await rooms.publish(room, grant_of(who, room), offer())
                assert who not in world.expected[room]


async def live(world: World, plan: list[Step]) -> list[Step]:
    """Goes through the plan until the next crash, and returns what is left of it."""
    async with world.server() as (rooms, store):
        assert {each.room: list(each.removed) for each in rooms.all()} == world.expected
        for room, removed in world.expected.items():
            for who in removed:
                assert who not in {seat.participant for seat in rooms.roster(room)}
        for at, step in enumerate(plan):
            if step[0].startswith("crash"):
                await store.settle()
                world.crash(media=step[0] == "crash")
                return plan[at + 1 :]
            await take(world, rooms, step)
        return []


@settings(max_examples=40)
@given(plan=steps)
def test_after_any_crash_everything_is_as_it_was_last_said_to_be(plan: list[Step]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world, left = World(Path(folder)), [*plan, ("crash of both", 0, "")]
            while left:
                left = await live(world, left)
            await live(world, [])

    asyncio.run(run())
