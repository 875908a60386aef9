"""`pysfu drain` against a real server: it says what is left, is called off, and waits for the server to stop."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from ipaddress import ip_address
from pathlib import Path

import pytest
from callers import HANG_S, Caller, meeting
from footage import Tone
from media_process import ADMIN, Restartable
from servers import FROM_SOURCE, ROOT, TRUSTING, serving

from signalling.certificate import make_trial_certificate


async def begun(folder: Path, *arguments: str) -> Process:
    # As in a terminal: where tests run in the background, SIGINT is ignored, also by what they start.
    in_terminal = ["env", "--default-signal=INT"]
    command = [*in_terminal, *FROM_SOURCE, "drain", "--config", str(folder / "pysfu.toml"), *arguments]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)


async def end_of(process: Process) -> tuple[int | None, str, str]:
    try:
        said, told = await asyncio.wait_for(process.communicate(), HANG_S)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return process.returncode, said.decode(), told.decode()


async def drain(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    return await end_of(await begun(folder, *arguments))


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
async def test_a_drain_is_called_off_and_another_one_stops_the_server_with_the_last_call(
    tmp_path: Path, is_secure: bool
) -> None:
    certificate = make_trial_certificate(tmp_path / "tls", [ip_address("127.0.0.1")]) if is_secure else None
    with serving(tmp_path, certificate=certificate) as running:
        async with meeting(running.base_url, running.admin_bearer, TRUSTING) as room, Caller() as anna:
            resource = await room.publish(anna.send(Tone(440)), "anna")
            assert await drain(tmp_path) == (0, "Nobody new comes in; calls left: 1, seconds left: 3600.\n", "")
            assert (await room.http.get("/ready")).status_code == 503
            assert await drain(tmp_path, "--cancel") == (0, "The server takes calls.\n", "")
            assert (await room.http.get("/ready")).status_code == 200
            waiting = await begun(tmp_path, "--deadline-s", "600", "--wait")
            assert waiting.stdout is not None
            assert await waiting.stdout.readline() == b"Nobody new comes in; calls left: 1, seconds left: 600.\n"
            await room.leave(resource, "anna")
            code, said, told = await end_of(waiting)
            assert (code, said.splitlines()[-1], told) == (0, "The server has stopped.", "")
            await asyncio.to_thread(running.process.wait, HANG_S)
    code, _, told = await drain(tmp_path)
    assert (code, told.startswith("pysfu: no server answers at 127.0.0.1:")) == (1, True), told


async def test_whoever_waits_for_a_drain_that_is_called_off_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        async with meeting(running.base_url, running.admin_bearer) as room, Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            waiting = await begun(tmp_path, "--wait")
            assert waiting.stdout is not None
            await waiting.stdout.readline()
            await drain(tmp_path, "--cancel")
            assert await end_of(waiting) == (1, "The server takes calls.\n", "")


async def test_at_its_deadline_a_drain_ends_the_calls_and_the_server_stops(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        async with meeting(running.base_url, running.admin_bearer) as room, Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            code, said, told = await drain(tmp_path, "--deadline-s", "2", "--wait")
            assert (code, said.splitlines()[-1], told) == (0, "The server has stopped; calls ended: 1.", "")
            await asyncio.to_thread(running.process.wait, HANG_S)


async def test_whoever_waits_for_a_drain_is_told_when_the_server_is_killed_meanwhile(tmp_path: Path) -> None:
    with Restartable(tmp_path) as running:
        async with meeting(running.base_url, ADMIN) as room, Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            assert running.media_pid
            waiting = await begun(tmp_path, "--wait")
            assert waiting.stdout is not None
            await waiting.stdout.readline()
            await asyncio.to_thread(running.kill)
            code, said, told = await end_of(waiting)
            wanted = "pysfu: the server was gone before the drain was over; calls left: 1\n"
            assert (code, said, told) == (1, "", wanted)
            await asyncio.to_thread(running.start)


async def test_whoever_waits_no_longer_is_told_that_the_drain_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        async with meeting(running.base_url, running.admin_bearer) as room, Caller() as anna:
            await room.publish(anna.send(Tone(440)), "anna")
            waiting = await begun(tmp_path, "--wait")
            assert waiting.stdout is not None
            await waiting.stdout.readline()
            waiting.send_signal(signal.SIGINT)
            code, _, told = await end_of(waiting)
            assert code == 130
            assert told == "pysfu: waits no longer; the drain goes on (`pysfu drain --cancel` calls it off)\n"
            assert (await room.http.get("/ready")).status_code == 503
