"""A media process that stands still, loses a worker or dies again and again is replaced, and it is said why."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from callers import HANG_S, Caller, meeting, until
from footage import Tone
from hanging import end_of_thread, hang, worker_thread
from media_process import ADMIN, ROOT, Restartable

LIMIT_S = 5.0  # SILENCE_LIMIT_S of pysfu, STALL_LIMIT of the media process
ANEW = "media process started anew: all rooms get other media"
SOON_S = 3.0  # to notice, to start another, and to be asked by us, on a busy machine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with Restartable(tmp_path) as running:
        yield running


def lines(server: Restartable, event: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, server.log().splitlines()) if line["event"] == event]


async def replaced(server: Restartable, before: int) -> float:
    """Waits until another media process has taken the place of one, and returns how long that took in seconds."""
    began = time.monotonic()
    await until(lambda: bool(lines(server, ANEW)), "another media process")
    took_s = time.monotonic() - began
    assert server.media_pid != before
    return took_s


async def in_time(server: Restartable, *, ready: bool) -> None:
    """Waits until the server says that it is ready, or that it is not."""
    async with httpx.AsyncClient(base_url=server.base_url, timeout=HANG_S) as http, asyncio.timeout(HANG_S):
        while ((await http.get("/ready")).status_code == 200) is not ready:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.02)


async def test_a_media_process_that_stands_still_is_replaced_and_everyone_can_come_back(server: Restartable) -> None:
    async with meeting(server.base_url, ADMIN) as room:
        async with Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            before = server.media_pid
            os.kill(before, signal.SIGSTOP)
            took_s = await replaced(server, before)
        assert LIMIT_S - 0.5 <= took_s <= LIMIT_S + SOON_S, took_s
        async with Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            await anna.connected()
            assert await room.roster() == {"anna": []}
    (told,) = lines(server, ANEW)
    assert told["reason"] == "stood still, and was ended by force"
    server.wait_for_the_end_of(before)


async def test_a_media_process_of_the_server_before_is_replaced_when_it_stands_still(server: Restartable) -> None:
    before = server.media_pid
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert not server.children, "it goes on with the one of the server before"
    os.kill(before, signal.SIGSTOP)
    await replaced(server, before)
    server.wait_for_the_end_of(before)
    await in_time(server, ready=True)


async def test_a_media_process_that_stood_still_before_the_server_came_is_replaced(server: Restartable) -> None:
    before = server.media_pid
    os.kill(before, signal.SIGSTOP)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert server.media_pid != before
    server.wait_for_the_end_of(before)


async def test_a_media_process_whose_only_worker_hangs_ends_and_is_replaced(server: Restartable) -> None:
    before = server.media_pid
    thread = worker_thread(before, "sfu-0")
    hang(thread)
    took_s = await asyncio.wait_for(asyncio.to_thread(end_of_thread, thread), HANG_S)
    assert LIMIT_S - 0.5 <= took_s <= LIMIT_S + SOON_S, took_s
    await replaced(server, before)
    (told,) = lines(server, ANEW)
    assert "a worker failed or hung" in str(told["reason"])
    assert [line["level"] for line in lines(server, "media process ended: a worker failed or hangs")] == ["error"]
    await in_time(server, ready=True)


async def test_a_media_process_that_dies_again_and_again_is_started_at_once_and_then_less_and_less_often(
    server: Restartable,
) -> None:
    for died in range(1, 5):
        await in_time(server, ready=True)
        os.kill(server.media_pid, signal.SIGSEGV)
        await until(lambda: len(lines(server, ANEW)) == died, "another media process")  # noqa: B023 - waited for here
    assert [line["seconds"] for line in lines(server, "media process lost: started anew")] == [0.0, 0.25, 0.5, 1.0]
    told = lines(server, ANEW)
    assert {line["reason"] for line in told} == {"was ended by signal 11: a fault of ours, please report it"}
    async with httpx.AsyncClient(base_url=server.base_url, timeout=HANG_S) as http:
        assert "sfu_engine_restarts_total 4.0" in (await http.get("/metrics")).text


async def test_no_call_is_taken_while_no_media_process_can_be_started(server: Restartable) -> None:
    before, (taken,) = server.media_pid, [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    with taken:
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + HANG_S
        while True:
            try:
                taken.bind(("0.0.0.0", server.media_port))
                break
            except OSError:
                assert time.monotonic() < deadline
        await until(lambda: len(lines(server, "media process does not start: tried again")) > 1, "two tries")
        await in_time(server, ready=False)
        first, second = lines(server, "media process does not start: tried again")[:2]
        assert "Address already in use" in str(first["reason"])
        assert (first["seconds"], second["seconds"]) == (0.25, 0.5)
    await replaced(server, before)


def test_systemd_is_told_that_the_media_process_goes_round_and_not_while_it_stands_still(tmp_path: Path) -> None:
    control = tmp_path / "media.sock"
    program = f"{sys.executable} -I -S {ROOT}/pysfu/worker.py"
    activate = f"systemd-socket-activate -E NOTIFY_SOCKET -E WATCHDOG_PID --listen {control} {program}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(HANG_S)
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(
            ["sh", "-c", f"WATCHDOG_PID=$$ exec {activate}"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        ) as media:
            try:
                with Restartable(tmp_path, external=control):
                    assert [systemd.recv(64) for _ in range(4)] == [b"WATCHDOG=1"] * 4
                    media.send_signal(signal.SIGSTOP)
                    os.waitid(os.P_PID, media.pid, os.WSTOPPED)
                    while select.select([systemd], [], [], 0)[0]:
                        systemd.recv(64)  # what it said before
                    systemd.settimeout(1.0)  # four times as long as between two
                    with pytest.raises(TimeoutError):
                        systemd.recv(64)
                    media.send_signal(signal.SIGCONT)
            finally:
                media.kill()


def test_the_unit_has_systemd_end_a_media_process_that_stands_still() -> None:
    unit = (ROOT / "signalling/ops/pysfu-media.service").read_text().splitlines()
    assert {"WatchdogSec=5s", "WatchdogSignal=SIGKILL", "Restart=on-failure"} <= set(unit)


def test_the_socket_that_an_orphan_left_is_replaced_by_the_next_server_and_removed_with_it(tmp_path: Path) -> None:
    control = tmp_path / "media.sock"
    server = Restartable(tmp_path, orphan_limit_s=1, control=control)
    server.start()
    assert server.media_pid
    server.kill()
    server.wait_for_the_end_of_media()
    assert control.exists(), "it may remove nothing"
    server.start()
    assert server.media_pid
    server.stop()
    assert not control.exists()
