"""The engine breaks under one room of a running server: its people are told, and the other room misses nothing.

Only an engine that is built for this (feature `breakable`) breaks for whoever asks it to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from callers import SDP, Caller, Meeting, meeting
from footage import Camera, Tone
from media_process import children_of
from relay import Relay
from servers import ROOT, Server, serving

A_WHILE = 45  # pictures: one and a half seconds of them
AT_ONCE_S = 10  # for people who connect again; a minute's rest is far from it
APP, NAME = 204, b"OOPS"  # as `engine/breakable.rs` has them


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the program with an engine that breaks when it is asked to, in the profile of all tests."""
    out = tmp_path_factory.mktemp("breakable")
    build = [Path(sys.executable).with_name("maturin"), "build", "--profile", "dev", "--quiet", "--out", out]
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
    subprocess.run([*build, "--features", "python,breakable"], cwd=ROOT, check=True, env=environment)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "program")
    return out / "program"


async def breaks(caller: Caller) -> None:
    """Asks the engine to break while it serves this caller."""
    sender = caller.connection.getSenders()[0]
    asked = struct.pack("!BBHL4s", 0x80, APP, 2, sender._ssrc, NAME)
    await sender.transport._send_rtp(asked)  # a caller of aiortc itself never sends one


@contextlib.asynccontextmanager
async def listening(room: Meeting, resource: str, participant: str) -> AsyncIterator[Callable[[], Any]]:
    """Listens to the events of a connection; what it gives waits for the end of them."""
    bearer = {"Authorization": f"Bearer {await room.token(participant)}"}
    async with room.http.stream("GET", f"{resource}/events", headers=bearer) as events:
        assert events.status_code == 200

        async def told() -> list[str]:
            return [line async for line in events.aiter_lines() if line.startswith(("event:", "data:"))]

        yield told


async def the_end_of_a_call(room: Meeting) -> list[list[str]]:
    """Has two people meet and the engine break under them, and returns what they are told."""
    async with Caller() as anna, Caller() as bela, contextlib.AsyncExitStack() as stack:
        sends = await room.publish(anna.send(Camera(1), Tone(440)), "anna")
        plays = await room.play(bela.take("video", "audio"), "anna", "bela")
        await bela.watched(A_WHILE)
        told = [
            await stack.enter_async_context(listening(room, resource, who))
            for resource, who in ((sends, "anna"), (plays, "bela"))
        ]
        await breaks(anna)
        heard = await asyncio.gather(*(each() for each in told))
        for resource, who in ((sends, "anna"), (plays, "bela")):
            bearer = {"Authorization": f"Bearer {await room.token(who)}"}
            assert (await room.http.delete(resource, headers=bearer)).status_code == 404, "it has ended"
    return heard


async def figures(room: Meeting) -> dict[str, float]:
    lines = (await room.http.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def lines_of(server: Server, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, server.log.read_text().splitlines()) if line["event"] == event]


@pytest.mark.long
async def test_a_panic_ends_the_calls_of_its_room_a_second_one_has_it_rest_and_no_other_room_misses_a_packet(
    breakable: Path, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with serving(tmp_path, cwd=breakable, environment=environment) as server, Relay() as relay:
        media = children_of(server.process.pid)
        where = (server.base_url, server.admin_bearer)
        async with meeting(*where) as broken, meeting(*where) as other, Caller() as carla, Caller(relay=relay) as dora:
            await other.publish(carla.send(Camera(2, frame_rate=30), Tone(330)), "carla")
            await other.play(dora.take("video", "audio"), "carla", "dora")
            await dora.watched(A_WHILE)
            since_ns = time.time_ns()

            again = ["event: reconnect", 'data: {"reason": "room_failed"}']
            assert await the_end_of_a_call(broken) == [again, again]
            failed = time.monotonic()
            assert await broken.roster() == {}
            counted = await figures(broken)
            assert (counted["sfu_panics_total"], counted["sfu_rooms_quarantined"]) == (1, 0)

            later = await the_end_of_a_call(broken)
            assert time.monotonic() - failed < 60, "a second one within a minute"
            for event, data in later:
                assert event == "event: reconnect"
                told = json.loads(data.removeprefix("data: "))
                assert told["reason"] == "room_quarantined"
                assert 60 - AT_ONCE_S < told["after_s"] <= 60
            async with Caller() as anna:
                bearer = {"Authorization": f"Bearer {await broken.token('anna')}"}
                offer = await anna.send(Tone(440)).offer()
                refused = await broken.http.post(f"/whip/{broken.room}", headers=SDP | bearer, content=offer)
            assert (refused.status_code, refused.json()["code"]) == (503, "room_quarantined")
            assert 0 < int(refused.headers["Retry-After"]) <= 60

            counted = await figures(broken)
            assert (counted["sfu_panics_total"], counted["sfu_rooms_quarantined"]) == (2, 1)
            assert counted['sfu_transport_ends_total{reason="room"}'] == 2, "of rooms, however many were in them"
            assert (counted["sfu_unauthorized_forward_total"], counted["sfu_engine_restarts_total"]) == (0, 0)
            assert counted['sfu_worker_up{shard="0"}'] == 1

            await dora.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"
            assert await other.roster() == {"carla": [], "dora": ["carla"]}
            assert (await other.http.get("/ready")).status_code == 200
            assert children_of(server.process.pid) == media, "the process goes on"
    assert [line["component"] for line in lines_of(server, "panic")] == ["media", "media"]
    assert all(at.startswith("breakable.rs:") for line in lines_of(server, "panic") for at in line["at"])
    assert len(lines_of(server, "room has media again")) == 1
    (rests,) = lines_of(server, "room quarantined")
    assert (rests["room"], rests["count"], rests["seconds"], rests["level"]) == (broken.room, 2, 60, "error")
