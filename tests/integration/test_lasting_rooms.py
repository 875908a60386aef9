"""Rooms on disk: they outlive both processes, whenever those are killed, and a disk that takes nothing ends no call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from callers import HANG_S, SDP, Caller, Meeting, meeting
from footage import Camera, Tone
from media_process import ADMIN, ROOT, Restartable
from relay import Relay
from websockets.asyncio.client import connect

BEARER = {"Authorization": f"Bearer {ADMIN}"}
A_WHILE = 45  # pictures: one and a half seconds of them
SOON_S = 1.0  # to answer while the disk hangs, on a busy machine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with Restartable(tmp_path) as running:
        yield running


def kill_both(server: Restartable) -> None:
    """Kills the media process first: an orphan would go on. The server stands still, or it would start another one."""
    media = server.media_pid
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    os.kill(media, signal.SIGKILL)
    server.kill()
    server.wait_for_the_end_of(media)


def restart(server: Restartable) -> None:
    server.start()
    assert server.media_pid


@contextlib.contextmanager
def locked(server: Restartable) -> Iterator[None]:
    """Keeps the database, as a program that hangs in the middle of a change."""
    with contextlib.closing(sqlite3.connect(server.folder / "pysfu.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def refused(room: Meeting, participant: str, token: str | None = None) -> str:
    """Returns why somebody is not let in, by a new token unless they have one."""
    bearer = {"Authorization": f"Bearer {token or await room.token(participant)}"}
    async with Caller() as caller:
        offer = await caller.send(Tone(440)).offer()
        answer = await room.http.post(f"/whip/{room.room}", headers=SDP | bearer, content=offer)
    return str(answer.json()["code"])


async def test_after_both_processes_were_killed_the_room_is_there_who_was_removed_stays_out_and_a_call_works(
    server: Restartable,
) -> None:
    async with meeting(server.base_url, ADMIN) as room:
        gone = (await room.http.post("/rooms", headers=BEARER)).json()["room"]
        assert (await room.http.delete(f"/rooms/{gone}", headers=BEARER)).status_code == 204
        async with Caller() as anna, Caller() as eve:
            await room.publish(anna.send(Camera(1), Tone(440)), "anna")
            await room.play(eve.take("video"), "anna", "eve")
            await eve.watched(2)
            await room.remove("eve")
            before = (await room.http.get("/rooms", headers=BEARER)).json()
            await asyncio.to_thread(kill_both, server)
        await asyncio.to_thread(restart, server)
        after = (await room.http.get("/rooms", headers=BEARER)).json()
        assert [each["room"] for each in after] == [room.room]
        assert after == [each | {"participants": 0} for each in before]
        assert await refused(room, "eve") == "participant_removed"
        async with Caller() as anna, Caller() as bela:
            await room.publish(anna.send(Camera(2), Tone(440)), "anna")
            await room.play(bela.take("video"), "anna", "bela")
            assert {camera for camera, _ in await bela.watched(A_WHILE)} == {2}
            assert await room.roster() == {"anna": [], "bela": ["anna"]}
        assert (await room.http.delete(f"/rooms/{room.room}", headers=BEARER)).status_code == 204
        await asyncio.to_thread(kill_both, server)
        await asyncio.to_thread(restart, server)
        assert (await room.http.get("/rooms", headers=BEARER)).json() == []


async def test_rooms_are_there_again_after_a_stop_in_order(server: Restartable) -> None:
    async with meeting(server.base_url, ADMIN) as room:
        await room.remove("eve")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(restart, server)
        assert await refused(room, "eve") == "participant_removed"


async def test_who_was_muted_for_good_is_not_heard_by_an_older_token_after_both_processes_were_killed(
    server: Restartable,
) -> None:
    async with meeting(server.base_url, ADMIN) as room:
        token = await room.token("anna")
        address = server.base_url.replace("http", "ws", 1) + f"/rtc?access_token={token}"
        async with connect(address, proxy=None, open_timeout=HANG_S) as line:
            await line.recv()  # she is in now
            muted = {"permission": {"can_publish": False}}
            answer = await room.http.patch(f"/rooms/{room.room}/participants/anna", headers=BEARER, json=muted)
            assert answer.status_code == 200, answer.text
            await asyncio.to_thread(kill_both, server)
        await asyncio.to_thread(restart, server)
        assert await refused(room, "anna", token) == "publish_not_granted"
        async with Caller() as anna:  # with a newer token
            await room.publish(anna.send(Tone(440)), "anna")
        assert await refused(room, "anna", token) == "publish_not_granted"


@dataclass
class Confirmed:
    """What an administrating system was told is so."""

    removed: dict[str, set[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    asked_to_delete: set[str] = field(default_factory=set)
    answers: int = 0

    async def go_on(self, base_url: str) -> None:
        """Makes rooms, removes people and deletes rooms until nobody answers."""
        async with httpx.AsyncClient(base_url=base_url, headers=BEARER, timeout=HANG_S) as http:
            with contextlib.suppress(httpx.TransportError):
                while True:
                    room = (await http.post("/rooms")).json()["room"]
                    self.removed[room] = set()
                    for who in ("eve", "bob"):
                        if (await http.delete(f"/rooms/{room}/participants/{who}")).status_code == 204:
                            self.removed[room].add(who)
                        self.answers += 1
                    if len(self.removed) % 2:
                        self.asked_to_delete.add(room)
                        if (await http.delete(f"/rooms/{room}")).status_code == 204:
                            self.deleted.add(room)


@pytest.mark.parametrize("answers", [3, 20, 61])
async def test_whenever_both_are_killed_what_was_answered_is_so(server: Restartable, answers: int) -> None:
    confirmed = Confirmed()
    working = [asyncio.ensure_future(confirmed.go_on(server.base_url)) for _ in range(4)]
    async with asyncio.timeout(HANG_S):
        while confirmed.answers < answers:  # noqa: ASYNC110 - httpx tells nobody but who asks
            await asyncio.sleep(0)
    media = server.media_pid
    assert server.process is not None
    for pid in (server.process.pid, media):
        os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*working)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.wait_for_the_end_of, media)
    await asyncio.to_thread(restart, server)
    async with httpx.AsyncClient(base_url=server.base_url, headers=BEARER, timeout=HANG_S) as http:
        there = {each["room"] for each in (await http.get("/rooms")).json()}
        assert not there & confirmed.deleted
        assert set(confirmed.removed) - confirmed.asked_to_delete <= there
        for room in there & set(confirmed.removed):
            meeting_there = Meeting(http, room, BEARER)
            for who in confirmed.removed[room]:
                assert await refused(meeting_there, who) == "participant_removed"


async def test_a_disk_that_takes_nothing_ends_no_call_and_holds_nobody_up(server: Restartable) -> None:
    async with meeting(server.base_url, ADMIN) as room:
        with Relay() as relay:
            async with Caller() as anna, Caller(relay=relay) as bela, Caller() as carl:
                await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
                await room.play(bela.take("video"), "anna", "bela")
                await bela.watched(A_WHILE)
                since_ns = time.time_ns()
                with locked(server):
                    making = asyncio.ensure_future(room.http.post("/rooms", headers=BEARER))
                    await asyncio.sleep(0.2)  # so that it waits for the disk now
                    began = time.monotonic()
                    assert (await room.http.get("/ready")).status_code == 200
                    await room.play(carl.take("video"), "anna", "carl")
                    assert time.monotonic() - began < SOON_S
                    assert not making.done()
                    answers = [await making, await room.http.delete(f"/rooms/{room.room}", headers=BEARER)]
                    assert "another program keeps it locked" in answers[0].json()["detail"]
                    for answer in answers:
                        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
                    await bela.more(A_WHILE)
                await carl.watched(A_WHILE)
                assert relay.missing_to_clients(since_ns) == []
                assert await room.roster() == {"anna": [], "bela": ["anna"], "carl": ["anna"]}
        made = await room.http.post("/rooms", headers=BEARER)
        assert made.status_code == 201
        await asyncio.to_thread(kill_both, server)
        await asyncio.to_thread(restart, server)
        rooms = (await room.http.get("/rooms", headers=BEARER)).json()
        assert [each["room"] for each in rooms] == [room.room, made.json()["room"]], (
            "what was answered 503 was not done"
        )
        assert server.log().count("store takes nothing") == 1
        assert server.log().count("store takes what is written again") == 1


async def test_somebody_who_is_removed_while_the_disk_takes_nothing_is_out_at_once(server: Restartable) -> None:
    async with meeting(server.base_url, ADMIN) as room, Caller() as eve:
        await room.publish(eve.send(Tone(440)), "eve")
        address = f"/rooms/{room.room}/participants/eve"
        with locked(server):
            removing = asyncio.ensure_future(room.http.delete(address, headers=BEARER))
            async with asyncio.timeout(SOON_S):
                while await room.roster() != {}:  # noqa: ASYNC110 - nothing tells us
                    await asyncio.sleep(0.02)
            assert (await removing).json()["code"] == "store_unavailable"
            assert await refused(room, "eve") == "participant_removed"
        assert (await room.http.delete(address, headers=BEARER)).status_code == 204


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with the configuration in a folder."""
    arguments = [sys.executable, "-m", "signalling.cli", *command, "--config", str(folder / "pysfu.toml")]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


def test_the_database_is_made_by_migrate_and_what_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    Restartable(tmp_path)  # writes the configuration
    assert run(tmp_path, "check-config").returncode == 0
    assert not (tmp_path / "pysfu.db").exists()
    made = run(tmp_path, "migrate")
    assert (made.returncode, made.stdout) == (0, f"{tmp_path / 'pysfu.db'} is what this version needs.\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "pysfu.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("serve", "check-config", "migrate"):
        refused = run(tmp_path, command)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"pysfu: store.path: {tmp_path / 'pysfu.db'}: was written by a newer version of pysfu")
