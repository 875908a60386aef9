"""Which media process is ended by force, and when; and what becomes of its socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH

from pysfu import Config, MediaProcess, Room, Sfu, _remote, errors, messages, worker
from pysfu._handle import ProcessHandle
from pysfu._remote import RemoteCore
from pysfu.events import EngineLost, EngineRestarted

CONFIG = Config(bind=("127.0.0.1",))
NEVER = timedelta(seconds=20)


def pid_at(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(NEVER.total_seconds()):
        while not true():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.02)


def core_of(sfu: Sfu) -> RemoteCore:
    core = sfu._bridge.core
    assert isinstance(core, RemoteCore)
    return core


async def test_whoever_connects_learns_which_process_it_is_and_not_who_made_the_socket(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process):
        pid = pid_at(process.socket)
        assert pid != os.getpid()
        assert b"worker.py" in command_of(pid)


def test_before_a_media_process_listens_it_is_not_known_and_nobody_is_ended_in_its_place(tmp_path: Path) -> None:
    made = tmp_path / f"m.sock.{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as connection:
        listening.bind(str(made))
        listening.listen()
        connection.connect(str(made))
        assert ProcessHandle.at(connection) is None, "that would be this process"


def test_what_has_the_number_of_a_process_that_ended_is_not_hit() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    handle = ProcessHandle(pid)
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert handle.kill(), "it has ended already"
    handle.close()


async def test_a_process_that_says_nothing_is_ended_and_another_one_started(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remote, "SILENCE_LIMIT_S", 1.0)
    async with Sfu(CONFIG, process=process) as sfu, asyncio.timeout(NEVER.total_seconds()):
        before = pid_at(process.socket)
        with sfu.subscription() as events:
            os.kill(before, signal.SIGSTOP)
            assert await anext(events) == EngineLost("it has ended", timedelta(0))
            assert await anext(events) == EngineRestarted("stood still, and was ended by force")
        assert pid_at(process.socket) != before
        await sfu.create_room()


def test_a_media_process_that_breaks_says_so_in_one_line_of_the_log() -> None:
    command = worker.command(0, orphan_limit=NEVER, user=None)
    broken = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert broken.returncode == worker.EXIT_BROKEN
    assert json.loads(broken.stderr) == {
        "level": "error",
        "event": "media process broke: OSError",
        "component": "media",
    }


async def test_silence_is_counted_in_looks_and_over_with_the_first_word(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process) as sfu:
        core, told = core_of(sfu), list[str]()
        core.when_silent = lambda: told.append("silent")
        looks = int(_remote.SILENCE_LIMIT_S / _remote._LOOK_EVERY_S)

        def look(times: int) -> None:
            for _ in range(times):
                core._next_look.cancel()
                core._look()  # however late it comes, it counts as one: whoever is held up itself blames nobody

        look(looks - 2)
        before = core.counters()
        await until(lambda: core.counters() is not before)
        look(looks - 2)
        assert not told
        look(2)
        look(2)
        assert told == ["silent"], "told once"


async def test_the_socket_of_a_successor_stays_when_the_process_before_is_stopped(process: MediaProcess) -> None:
    with socket.socket(socket.AF_UNIX) as successor:
        async with Sfu(CONFIG, process=process):
            successor.bind(str(process.socket.with_name("other")))
            successor.listen()
            process.socket.with_name("other").rename(process.socket)
        assert process.socket.exists()


async def test_a_socket_that_nobody_listens_at_is_gone_once_the_process_is_stopped(process: MediaProcess) -> None:
    async with Sfu(CONFIG, process=process):
        assert process.socket.exists()
    assert not process.socket.exists()


async def test_an_answer_makes_room_for_another_request_in_its_lane(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remote, "MAX_COMMANDS", 2)
    monkeypatch.setattr(_remote, "MAX_REVOCATIONS", 1)
    async with Sfu(CONFIG, process=process) as sfu:
        core = core_of(sfu)

        def taken(number: int, command: messages.Command) -> bool:
            return core.submit(0, messages.Request(id=number, command=command))

        ask, take_away = messages.Stats(), messages.Mute(track=1, muted=True)
        assert [taken(1, ask), taken(2, ask), taken(3, ask)] == [True, True, False]
        assert [taken(4, take_away), taken(5, take_away)] == [True, False], "it has a lane of its own"
        core.answered(4)
        core.answered(4)  # whoever says so twice makes no more room
        assert [taken(6, ask), taken(7, take_away), taken(8, take_away)] == [False, True, False]
        core.answered(1)
        assert [taken(9, ask), taken(10, ask)] == [True, False]


async def test_that_a_process_does_not_take_what_it_is_told_last_is_logged(
    process: MediaProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_remote, "_CLOSE_TIMEOUT_S", 0.05)
    async with Sfu(CONFIG, process=process) as sfu:
        room = await sfu.create_room()
        pid = pid_at(process.socket)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            room.keep(bytes(90_000))  # together more than a socket holds
        sfu.detach()
    assert "did not take all that it was told" in caplog.text
    end(pid)


async def meeting(sfu: Sfu) -> Room:
    """Makes a room in which one hears and sees another one."""
    room = await sfu.create_room()
    anna, bela = await room.add_participant(), await room.add_participant()
    sent = await anna.answer(SENDS_BOTH)
    await bela.answer(TAKES_BOTH, publish=False, play=sent.tracks)
    for track in sent.tracks:
        await bela.allow(track)
    return room


async def state(sfu: Sfu) -> messages.State:
    return (await sfu._bridge.call(0, messages.Snapshot(), messages.SnapshotReply)).snapshot


async def test_what_was_in_a_process_that_has_ended_changes_nothing_of_the_same_number_in_the_next_one(
    process: MediaProcess,
) -> None:
    async with Sfu(CONFIG, process=process) as sfu, asyncio.timeout(NEVER.total_seconds()):
        before = await meeting(sfu)
        anna, bela = before.participants
        (sent,), (taken,) = anna.transports, bela.transports
        sound, pictures = sent.tracks
        with sfu.subscription() as events:
            os.kill(pid_at(process.socket), signal.SIGKILL)
            while not isinstance(await anext(events), EngineRestarted):
                pass
        now = await meeting(sfu)
        assert now.number == before.number
        assert list(now.transports) == [(0, sent.number), (0, taken.number)]
        assert list(now.tracks) == [(0, sound.number), (0, pictures.number)]
        assert now.id != before.id
        assert {each.id for each in now.transports.values()}.isdisjoint([sent.id, taken.id])
        assert {each.id for each in now.tracks.values()}.isdisjoint([sound.id, pictures.id])
        as_it_was = await state(sfu)
        for ending in (pictures.mute, sound.unpublish, sent.close, taken.close, anna.remove, before.close):
            await ending()
        for asking in (pictures.unmute, sound.request_keyframe, taken.stats):
            with pytest.raises(errors.UnavailableError, match="has ended"):
                await asking()
        with pytest.raises(errors.UnavailableError, match="has ended"):
            await (await before.add_participant()).answer(SENDS_BOTH)
        assert await state(sfu) == as_it_was
