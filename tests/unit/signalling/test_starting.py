"""The whole server on loopback at its start: what is on disk, and what happens while that is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
from conftest import ADMIN, NOW
from fake_engine import FakeEngine, FakePeer, FakeRoom
from ports import free_port
from restarts import resumed
from running import running, settings

from signalling import notes
from signalling.domain.ids import ParticipantId, ResourceId, RoomId
from signalling.domain.room import Connection, Room, RoomPolicy
from signalling.media import ResumedRoom
from signalling.media_events import PeerGone
from signalling.store.rooms import opened

BEARER = {"Authorization": f"Bearer {ADMIN}"}
ROOM = Room(room=RoomId("r_1"), name="ward-7", created_at=NOW, policy=RoomPolicy(max_participants=3))


def engine_with_a_call() -> FakeEngine:
    """A media process that has outlived its server, with somebody who publishes in a room."""
    engine = FakeEngine()
    connection = Connection(participant=ParticipantId("anna"), opened_at=NOW)
    note = notes.of_connection(ResourceId("w_1"), connection, plays=(), offer="v=0", ice_tag='"t"')
    peer = FakePeer("peer1", engine, note=note)
    room = FakeRoom("media1", engine, peers=[peer], note=notes.of_room(ROOM))
    engine.rooms.append(room)
    engine.found.append(ResumedRoom(room=room, note=room.note, peers=(resumed(peer, has_ended=False),)))
    return engine


COUNT_WHAT_IS_LOOKED_THROUGH = """
import gc
from signalling import cli

async def main() -> None:
    print(len(gc.get_objects()))

cli._run(main())
"""


async def rosters_after_start(engine: FakeEngine) -> dict[str, list[str]]:
    port = free_port()
    async with (
        running(settings(http={"port": port}), engine),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BEARER) as http,
    ):
        rooms = [each["room"] for each in (await http.get("/rooms")).json()]
        found = {room: (await http.get(f"/rooms/{room}")).json()["roster"] for room in rooms}
    return {room: [seat["participant"] for seat in roster] for room, roster in found.items()}


async def test_a_server_has_the_rooms_on_disk_with_whoever_is_in_them_before_anybody_can_ask(tmp_path: Path) -> None:
    async with opened(tmp_path / "pysfu.db") as store:
        await store.add(ROOM)
    assert await rosters_after_start(engine_with_a_call()) == {"r_1": ["anna"]}


async def test_who_leaves_while_the_disk_is_read_has_left(tmp_path: Path) -> None:
    async with opened(tmp_path / "pysfu.db") as store:
        await store.add(ROOM)
    engine = engine_with_a_call()
    engine.happened.put_nowait(PeerGone(peer="peer1", reason="closed"))
    assert await rosters_after_start(engine) == {"r_1": []}


async def test_a_server_with_a_new_store_goes_on_with_the_calls_of_one_that_had_none(tmp_path: Path) -> None:
    assert await rosters_after_start(engine_with_a_call()) == {"r_1": ["anna"]}
    async with opened(tmp_path / "pysfu.db") as store:
        assert list((await store.load()).rooms) == [ROOM]


def test_what_the_program_is_made_of_is_not_looked_through_with_what_comes_later() -> None:
    command = [sys.executable, "-c", COUNT_WHAT_IS_LOOKED_THROUGH]
    counted = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert int(counted.stdout) < 2_000, "there are more than a hundred thousand"
