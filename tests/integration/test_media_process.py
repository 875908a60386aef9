"""The media has a process of its own: calls outlive the server, the server outlives its media (X2, X22)."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from callers import HANG_S, SDP, Caller, Meeting, meeting, until
from footage import Camera, Tone
from media_process import ADMIN, ROOT, SECRET, Restartable, systemd_media
from relay import Relay

BEARER = {"Authorization": f"Bearer {ADMIN}"}
A_WHILE = 45  # pictures: one and a half seconds of them
PUBLISHED = ("video", "audio")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with Restartable(tmp_path) as running:
        yield running


@pytest.fixture
async def room(server: Restartable) -> AsyncIterator[Meeting]:
    async with meeting(server.base_url, ADMIN) as made:
        yield made


async def in_background(blocking: object) -> None:
    await asyncio.get_running_loop().run_in_executor(None, blocking)  # type: ignore[arg-type]


async def bearer_of(room: Meeting, participant: str) -> dict[str, str]:
    return SDP | {"Authorization": f"Bearer {await room.token(participant)}"}


async def an_offer() -> str:
    async with Caller() as caller:
        return await caller.take("video").offer()


async def test_a_call_goes_on_while_the_server_is_killed_and_the_next_one_has_it_in_hand_again(
    server: Restartable, room: Meeting
) -> None:
    with Relay() as relay:
        async with Caller() as anna, Caller(relay=relay) as bela:
            await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
            resource = await room.play(bela.take(*PUBLISHED), "anna", "bela")
            await bela.watched(A_WHILE)
            media = server.media_pid
            since_ns = time.time_ns()
            await in_background(server.kill)
            await bela.more(A_WHILE)
            await in_background(server.start)
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"
            os.kill(media, 0)  # the same process
            assert await room.roster() == {"anna": [], "bela": ["anna"]}
            # What the server before has begun goes on with this one: its resources, rights and refusals.
            await room.remove("bela")
            done_ns = time.time_ns()
            await asyncio.sleep(1.0)
            assert relay.rtp_to_clients(done_ns) == 0, "no packet after it said so"
            assert await room.roster() == {"anna": []}
            again = await room.http.post(
                f"/whep/{room.room}/anna", headers=await bearer_of(room, "bela"), content=await an_offer()
            )
            assert again.status_code == 403, "who was removed stays removed"
            assert (await room.http.delete(resource, headers=BEARER)).status_code == 404


async def test_a_room_on_two_workers_goes_on_while_the_server_is_killed_and_the_next_one_has_all_of_it(
    tmp_path: Path,
) -> None:
    spread = "workers = 2\nroom_spread_over = 1\n"
    with Restartable(tmp_path, media_settings=spread) as server, Relay() as relay:
        async with meeting(server.base_url, ADMIN) as room, Caller() as anna, Caller(relay=relay) as bela:
            await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
            await room.play(bela.take(*PUBLISHED), "anna", "bela")
            await bela.watched(A_WHILE)
            since_ns = time.time_ns()
            await in_background(server.kill)
            await in_background(server.start)
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"
            assert await room.roster() == {"anna": [], "bela": ["anna"]}
            async with httpx.AsyncClient(base_url=server.base_url) as http:
                figures = (await http.get("/metrics")).text
            assert re.search(r"^sfu_relay_packets_total [1-9]", figures, re.MULTILINE), "it was on two workers"
            async with Caller() as carl:
                await room.play(carl.take(*PUBLISHED), "anna", "carl")
                await carl.watched(A_WHILE)
            await room.remove("anna")
            done_ns = time.time_ns()
            await asyncio.sleep(1.0)  # in which pictures would have come
            assert relay.rtp_to_clients(done_ns) == 0, "no packet after it said so"


async def test_who_was_removed_before_the_server_was_killed_stays_removed(server: Restartable, room: Meeting) -> None:
    await room.remove("carl")
    await in_background(server.kill)
    await in_background(server.start)
    refused = await room.http.post(
        f"/whep/{room.room}/anna", headers=await bearer_of(room, "carl"), content=await an_offer()
    )
    assert refused.status_code == 403, refused.text


async def test_a_connection_of_the_server_before_restarts_ice_and_leaves_with_the_next_one(
    server: Restartable, room: Meeting
) -> None:
    async with Caller() as anna:
        resource = await room.publish(anna.send(Tone(440)), "anna")
        await anna.connected()
        await in_background(server.kill)
        await in_background(server.start)
        await room.leave(resource, "anna")
        assert await room.roster() == {}


async def test_what_ended_while_there_was_no_server_has_ended_for_the_next_one(
    server: Restartable, room: Meeting
) -> None:
    async with Caller() as anna:
        await room.publish(anna.send(Tone(440)), "anna")
        await anna.connected()
        await in_background(server.kill)
    # aiortc has closed its transport by now, and said so.
    await in_background(server.start)
    async with asyncio.timeout(HANG_S):
        while await room.roster() != {}:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)


async def test_a_server_that_stands_still_slows_no_packet(server: Restartable, room: Meeting) -> None:
    with Relay() as relay:
        async with Caller() as anna, Caller(relay=relay) as bela:
            await room.publish(anna.send(Camera(1, frame_rate=30)), "anna")
            await room.play(bela.take("video"), "anna", "bela")
            await bela.watched(A_WHILE)
            assert server.process is not None
            since_ns = time.time_ns()
            server.process.send_signal(signal.SIGSTOP)
            await bela.more(3 * A_WHILE)
            server.process.send_signal(signal.SIGCONT)
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == []
            assert await room.roster() == {"anna": [], "bela": ["anna"]}


async def test_rooms_outlive_the_media_process_and_everyone_can_come_back(server: Restartable, room: Meeting) -> None:
    async with Caller() as anna, Caller() as bela:
        await room.publish(anna.send(Camera(1)), "anna")
        await room.play(bela.take("video"), "anna", "bela")
        await bela.watched(A_WHILE)
        os.kill(server.media_pid, signal.SIGKILL)
        async with asyncio.timeout(HANG_S):
            while await room.roster() != {}:  # noqa: ASYNC110 - nothing tells us
                await asyncio.sleep(0.01)
    async with Caller() as anna, Caller() as bela:
        await room.publish(anna.send(Camera(2)), "anna")
        await room.play(bela.take("video"), "anna", "bela")
        await bela.watched(A_WHILE)
    assert "was ended by signal 9" in server.log()
    server.media_pid  # noqa: B018 - the new one must end with the server, too


async def test_a_media_process_that_stands_still_is_noticed_and_ended_by_force(tmp_path: Path) -> None:
    server = Restartable(tmp_path)
    server.start()
    assert server.process is not None
    os.kill(server.media_pid, signal.SIGSTOP)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=HANG_S) as http, asyncio.timeout(HANG_S):
        while (await http.get("/ready")).status_code == 200:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.05)
    server.process.terminate()
    assert await asyncio.to_thread(server.process.wait, HANG_S) == 1, "it says that something hung"
    server.wait_for_the_end_of_media()


def scheduling(thread: int) -> tuple[int, int, int]:
    """How a thread is scheduled (`sched_getattr(2)`): policy, level of real time, slice in nanoseconds or 0."""
    number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
    attributes = ctypes.create_string_buffer(56)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(number, thread, attributes, len(attributes), 0) == 0, os.strerror(ctypes.get_errno())
    _, policy, _, _, level, slice_ns = struct.unpack_from("=IIQiIQ", attributes)
    return policy, level, slice_ns


def may_be_of_real_time() -> bool:
    """Whether the kernel lets a child of this process come before everybody else."""
    ask = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))"
    return subprocess.run([sys.executable, "-c", ask], stderr=subprocess.DEVNULL, check=False).returncode == 0


async def test_workers_come_before_everybody_else_where_they_may_and_what_guards_them_before_that(
    server: Restartable,
) -> None:
    threads = list((Path("/proc") / str(server.media_pid) / "task").iterdir())
    named = {(thread / "comm").read_text().strip(): int(thread.name) for thread in threads}
    own = os.getpriority(os.PRIO_PROCESS, 0)
    niceness = {os.getpriority(os.PRIO_PROCESS, thread) for thread in named.values()}
    assert niceness == {-10 if os.geteuid() == 0 else own}
    # Linux 6.12 is the first that has slices of one's own.
    has_slices = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 12)
    in_turn = (os.SCHED_OTHER, 0, 100_000 if has_slices else 0)
    expected = dict.fromkeys(named, in_turn)
    if may_be_of_real_time():
        expected |= {"sfu-0": (os.SCHED_RR, 1, 0), "sfu-guard": (os.SCHED_RR, 2, 0)}
        await until(lambda: scheduling(named["sfu-0"]) == expected["sfu-0"], "the guard has begun")
        limits = (Path("/proc") / str(server.media_pid) / "limits").read_text()
        assert re.search(r"Max realtime timeout +1000000 +1000000 +us", limits), "the last resort"
    assert {name: scheduling(thread) for name, thread in named.items()} == expected


def test_the_media_process_has_no_secret_no_rights_and_no_file(server: Restartable) -> None:
    media = Path("/proc") / str(server.media_pid)
    status = dict(line.split(":\t", 1) for line in (media / "status").read_text().splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert "0" not in status["Uid"].split(), "not root's"
        environment = (media / "environ").read_bytes()
        assert SECRET.encode() not in environment
        assert b"PYSFU" not in environment
        opened = {str(entry.readlink()) for entry in (media / "fd").iterdir()}
        assert all(name.startswith(("socket:", "anon_inode:", "/dev/null", str(server.folder))) for name in opened), (
            opened
        )
        assert not [name for name in opened if name.endswith((".toml", ".db", ".sqlite"))]


async def test_a_server_is_restarted_under_calls_that_a_media_process_of_systemd_carries(tmp_path: Path) -> None:
    control = tmp_path / "media.sock"
    with systemd_media(control) as media:
        with Restartable(tmp_path, external=control) as server:
            async with meeting(server.base_url, ADMIN) as room, Caller() as anna, Caller() as bela:
                await room.publish(anna.send(Camera(1, frame_rate=30)), "anna")
                await room.play(bela.take("video"), "anna", "bela")
                await bela.watched(A_WHILE)
                await in_background(server.stop)
                await bela.more(A_WHILE)
                await in_background(server.start)
                await bela.more(A_WHILE)
                assert await room.roster() == {"anna": [], "bela": ["anna"]}
        assert media.poll() is None, "it is not the server's to end"


def test_the_units_of_systemd_leave_little_to_attack() -> None:
    for unit in ("pysfu.service", "pysfu-media.service"):
        examined = subprocess.run(
            [
                "systemd-analyze",
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold=20",
                ROOT / "signalling/ops" / unit,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert examined.returncode == 0, examined.stdout + examined.stderr
        assert "Unknown" not in examined.stderr, examined.stderr


def test_a_media_process_that_nobody_controls_ends_after_a_while(tmp_path: Path) -> None:
    server = Restartable(tmp_path, orphan_limit_s=1)
    server.start()
    assert server.media_pid
    server.kill()
    server.wait_for_the_end_of_media()
    assert "nobody was in control" in server.log()
