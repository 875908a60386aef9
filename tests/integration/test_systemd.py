"""The units of `signalling/ops`, installed as the README tells an administrator, under a systemd that is process 1."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from callers import HANG_S, Caller, Meeting, meeting
from footage import Camera, Tone
from machine import ADDRESS, Machine, booted
from relay import Relay
from servers import ADMIN, ROOT, TRUSTING

from signalling.certificate import make_trial_certificate

pytestmark = pytest.mark.long

SERVER, MEDIA, SOCKET = "pysfu.service", "pysfu-media.service", "pysfu-media.socket"
ROOT_URL = f"https://{ADDRESS}:8443"
ORPHAN_LIMIT_S = 15
WATCHDOG_S = 5.0  # WatchdogSec
SOON_S = 5.0  # for systemd to start another, the server to find it, and us to ask, on a busy machine
A_WHILE = 45  # pictures: one and a half seconds of them
SETTINGS = {
    "http.host": '"0.0.0.0"',
    "http.certificate": '"/etc/pysfu/fullchain.pem"',
    "http.key": '"/etc/pysfu/privkey.pem"',
    "media.process": '"external"',
    "media.control_socket": '"/run/pysfu-media/media.sock"',
    "media.orphan_limit_s": str(ORPHAN_LIMIT_S),
    "admin.bearer": f'"{ADMIN}"',
    "tokens.keys": '{ "2026-11" = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" }',
}


def lines_for_administrators() -> list[str]:
    """Returns the README's lines: those before the configuration is written, and those after."""
    section = (ROOT / "signalling/README.md").read_text().partition("**Under systemd**")[2]
    return re.findall(r"```sh\n(.*?)```", section.partition("\n**")[0], re.DOTALL)


def configured(sample: str) -> str:
    """Sets what an administrator sets, in the file that `sample-config` has made."""
    section, lines, left = "", [], dict(SETTINGS)
    for line in sample.splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        named = re.match(r"# (\w+) = ", line)
        value = left.pop(f"{section}.{named[1]}", None) if named else None
        lines.append(line if value is None else f"{named[1]} = {value}")
    assert not left, "the sample has all of them"
    return "\n".join(lines)


def certify(machine: Machine, folder: Path) -> None:
    """Puts a new certificate in place."""
    certificate, key = make_trial_certificate(folder, [ip_address(ADDRESS)])
    for made, name in ((certificate, "fullchain.pem"), (key, "privkey.pem")):
        shutil.copy(made, machine.path(f"/srv/{name}"))
        machine.run("install", "-m", "640", "-g", "pysfu", name, f"/etc/pysfu/{name}")


@pytest.fixture(scope="module")
def machine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boots a machine and installs the server there. It reaches no network: what the wheel needs is fetched before."""
    folder = tmp_path_factory.mktemp("systemd")
    subprocess.run(["/usr/bin/python3", "-m", "venv", folder / "venv"], check=True)  # of the version that runs it there
    fetch = [folder / "venv/bin/pip", "download", "--quiet", "--disable-pip-version-check", "--dest", folder / "wheels"]
    subprocess.run([*fetch, wheel], check=True)
    (folder / "machine").mkdir()
    with booted(folder / "machine") as running:
        shutil.copytree(folder / "wheels", running.path("/srv/wheels"))
        shutil.move(running.path(f"/srv/wheels/{wheel.name}"), running.path("/srv"))
        before, after = lines_for_administrators()
        mirror = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/wheels"}
        running.run("sh", "-euc", before, environment=mirror)
        written = running.path("/etc/pysfu/pysfu.toml")
        written.write_text(configured(written.read_text()))
        certify(running, folder / "tls")
        running.run("sh", "-euc", after)
        yield running


@pytest.fixture
async def there(machine: Machine) -> AsyncIterator[Machine]:
    """The machine with a server that takes calls, and this thread in its network."""
    machine.run("systemctl", "start", SOCKET, SERVER)
    with machine.network():
        await ready()
        yield machine


@pytest.fixture
async def room(there: Machine) -> AsyncIterator[Meeting]:
    async with meeting(ROOT_URL, ADMIN, TRUSTING) as made:
        yield made


async def in_time(so: Callable[[], Awaitable[bool]], what: str) -> None:
    """Waits until something is so."""
    try:
        async with asyncio.timeout(HANG_S):
            while not await so():  # noqa: ASYNC110 - systemd tells those on its bus only
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def ready() -> None:
    """Waits until the server takes calls."""

    async def is_ready() -> bool:
        try:
            async with httpx.AsyncClient(verify=TRUSTING, timeout=HANG_S) as http:
                return (await http.get(f"{ROOT_URL}/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await in_time(is_ready, "a server that is ready")


async def another(machine: Machine, unit: str, before: int) -> int:
    """Waits until another process runs for a unit."""

    async def runs() -> bool:
        return await asyncio.to_thread(machine.main_pid, unit) not in (0, before)

    await in_time(runs, f"another process of {unit}")
    return machine.main_pid(unit)


async def signalled(machine: Machine, signal: str, process: int) -> None:
    await asyncio.to_thread(machine.run, "sh", "-c", f"kill -{signal} {process}")


async def call(room: Meeting, anna: Caller, bela: Caller) -> str:
    """Has two people meet, and returns where the one plays the other."""
    await room.publish(anna.send(Camera(1, frame_rate=30), Tone(440)), "anna")
    resource = await room.play(bela.take("video", "audio"), "anna", "bela")
    await bela.watched(A_WHILE)
    return resource


async def everyone_comes_back(room: Meeting) -> None:
    async with Caller() as anna, Caller() as bela:
        await call(room, anna, bela)
        assert await room.roster() == {"anna": [], "bela": ["anna"]}


def status(machine: Machine, process: int) -> dict[str, str]:
    lines = machine.path(f"/proc/{process}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def complaints(machine: Machine, unit: str) -> list[str]:
    """Returns what a unit's processes wrote that is no note, or what systemd finds wrong with it."""
    written = [line for line in machine.journal(unit, "_TRANSPORT=stdout") if line.startswith("{")]
    faults = [line for line in written if json.loads(line)["level"] not in ("debug", "info")]
    return faults + machine.journal(unit, "--priority=warning")


async def test_the_lines_of_the_readme_leave_a_server_in_which_people_meet_and_of_which_nothing_complains(
    there: Machine, room: Meeting
) -> None:
    await everyone_comes_back(room)
    enabled = there.run("systemctl", "is-enabled", SERVER, SOCKET).stdout.split()
    assert enabled == ["enabled", "enabled"]
    for unit in (SERVER, MEDIA):
        assert there.shown(unit, "NRestarts") == "0"
        assert complaints(there, unit) == []


def how_scheduled(there: Machine, thread: str) -> tuple[int, int, int]:
    """Returns niceness, level of real time and policy of a thread of the media process (`proc_pid_stat(5)`)."""
    tasks = there.path(f"/proc/{there.main_pid(MEDIA)}/task")
    (found,) = (task for task in tasks.iterdir() if (task / "comm").read_text().strip() == thread)
    fields = (found / "stat").read_text().rpartition(")")[2].split()
    return int(fields[16]), int(fields[37]), int(fields[38])


@pytest.fixture
async def right_to_real_time(there: Machine) -> AsyncIterator[None]:
    """The unit's right to real time, where systemd may give it.

    In a container it may not raise a limit (CAP_SYS_RESOURCE), but start the process in real time.
    """
    limits = there.path(f"/proc/{there.main_pid(MEDIA)}/limits").read_text()
    if re.search(r"Max realtime priority +2 +2 ", limits):
        yield
        return
    given = "[Service]\nCPUSchedulingPolicy=rr\nCPUSchedulingPriority=2\n"
    drop_in = there.path(f"/etc/systemd/system/{MEDIA}.d/given.conf")
    drop_in.parent.mkdir()
    drop_in.write_text(given)
    await asyncio.to_thread(there.run, "sh", "-c", f"systemctl daemon-reload; systemctl restart {MEDIA}")
    yield
    shutil.rmtree(drop_in.parent)
    await asyncio.to_thread(there.run, "systemctl", "daemon-reload")


async def test_a_worker_comes_before_everybody_else_within_what_the_unit_allows(
    there: Machine, room: Meeting, right_to_real_time: None
) -> None:
    async def is_so() -> bool:
        return how_scheduled(there, "sfu-0") == (-10, 1, os.SCHED_RR)

    await ready()
    await everyone_comes_back(room)
    await in_time(is_so, "a worker of real time")
    assert how_scheduled(there, "sfu-guard") == (-10, 2, os.SCHED_RR)


async def test_neither_process_has_a_right_and_the_server_still_shows_what_prometheus_wants_to_know(
    there: Machine, room: Meeting
) -> None:
    server, media = (status(there, there.main_pid(unit)) for unit in (SERVER, MEDIA))
    for process in (server, media):
        assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
        assert int(process["CapEff"], 16) == int(process["CapPrm"], 16) == int(process["CapBnd"], 16) == 0
    assert set(server["Uid"].split()) == {there.run("id", "-u", "pysfu").stdout.strip()}
    assert int(media["Uid"].split()[0]) >= 61_184, "a user that is there as long as it runs (DynamicUser)"
    figures = (await room.http.get("https://127.0.0.1:8443/metrics")).text
    assert "process_resident_memory_bytes" in figures


def test_the_units_leave_little_to_attack_as_they_are_loaded(machine: Machine) -> None:
    for unit in (SERVER, MEDIA):
        machine.run("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
    verified = machine.run("systemd-analyze", "verify", *(f"/etc/systemd/system/{u}" for u in (SERVER, MEDIA, SOCKET)))
    assert verified.stdout + verified.stderr == ""


async def test_a_call_goes_on_while_systemd_starts_the_killed_server_anew(there: Machine, room: Meeting) -> None:
    with Relay() as relay:
        async with Caller() as anna, Caller(relay=relay) as bela:
            await call(room, anna, bela)
            before, media = there.main_pid(SERVER), there.main_pid(MEDIA)
            since_ns = time.time_ns()
            await signalled(there, "KILL", before)
            await another(there, SERVER, before)
            await ready()
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"
            assert there.main_pid(MEDIA) == media
            assert await room.roster() == {"anna": [], "bela": ["anna"]}


async def test_a_call_goes_on_while_the_server_is_stopped_in_order_and_started_again(
    there: Machine, room: Meeting
) -> None:
    with Relay() as relay:
        async with Caller() as anna, Caller(relay=relay) as bela:
            await call(room, anna, bela)
            since_ns = time.time_ns()
            await asyncio.to_thread(there.run, "systemctl", "stop", SERVER)
            assert (there.shown(SERVER, "ActiveState"), there.shown(SERVER, "Result")) == ("inactive", "success")
            await bela.more(A_WHILE)
            await asyncio.to_thread(there.run, "systemctl", "start", SERVER)
            await ready()
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"
            assert await room.roster() == {"anna": [], "bela": ["anna"]}


@pytest.mark.parametrize(("signal", "at_least_s"), [("KILL", 0.0), ("STOP", WATCHDOG_S - 0.5)], ids=["killed", "still"])
async def test_when_the_media_process_dies_or_stands_still_systemd_starts_another_and_everyone_can_come_back(
    there: Machine, room: Meeting, signal: str, at_least_s: float
) -> None:
    server, media = there.main_pid(SERVER), there.main_pid(MEDIA)
    async with Caller() as anna, Caller() as bela:
        await call(room, anna, bela)
        began = time.monotonic()
        await signalled(there, signal, media)
        await another(there, MEDIA, media)
        took_s = time.monotonic() - began
    assert at_least_s <= took_s <= at_least_s + SOON_S
    await ready()
    await everyone_comes_back(room)
    assert there.main_pid(SERVER) == server
    if signal == "STOP":
        assert any("Watchdog timeout" in line for line in there.journal(MEDIA))


async def test_systemd_does_not_give_up_a_media_process_or_a_server_that_dies_again_and_again(there: Machine) -> None:
    for unit in (MEDIA, SERVER):
        for _ in range(7):
            before = there.main_pid(unit)
            await signalled(there, "SEGV", before)
            await another(there, unit, before)
        await ready()


async def test_a_media_process_that_nobody_controls_ends_and_says_so_and_comes_back_with_the_server(
    there: Machine,
) -> None:
    async def has_ended() -> bool:
        return await asyncio.to_thread(there.shown, MEDIA, "ActiveState") == "inactive"

    there.run("systemctl", "stop", SERVER)
    began = time.monotonic()
    await in_time(has_ended, "the end of the media process")
    assert ORPHAN_LIMIT_S - 1 <= time.monotonic() - began <= ORPHAN_LIMIT_S + SOON_S
    assert any("nobody was in control" in line for line in there.journal(MEDIA))
    there.run("systemctl", "start", SERVER)
    await ready()
    assert there.main_pid(MEDIA)


async def test_a_reload_takes_the_renewed_certificate_into_use_and_drops_no_call(
    there: Machine, room: Meeting, tmp_path: Path
) -> None:
    def shown() -> str:
        return ssl.get_server_certificate((ADDRESS, 8443))

    with Relay() as relay:
        async with Caller() as anna, Caller(relay=relay) as bela:
            await call(room, anna, bela)
            before, since_ns = shown(), time.time_ns()
            certify(there, tmp_path)
            await asyncio.to_thread(there.run, "systemctl", "reload", SERVER)

            async def is_new() -> bool:
                return await asyncio.to_thread(shown) != before

            await in_time(is_new, "the new certificate")
            await bela.more(A_WHILE)
            assert relay.missing_to_clients(since_ns) == [], "the same call, with nothing missing"


async def test_a_server_that_was_drained_stays_stopped(there: Machine) -> None:
    began = time.monotonic()
    drained = await asyncio.to_thread(there.run, "/opt/pysfu/bin/pysfu", "drain", "--wait")
    assert drained.stdout.splitlines()[-1] == "The server has stopped."
    assert time.monotonic() - began < ORPHAN_LIMIT_S, "it waits for no port that the media process keeps"
    await asyncio.sleep(2.0)  # as long as it would take systemd to start it, and more
    assert (there.shown(SERVER, "ActiveState"), there.shown(SERVER, "Result")) == ("inactive", "success")


async def test_stopping_the_media_process_ends_all_calls(there: Machine, room: Meeting) -> None:
    async with Caller() as anna, Caller() as bela:
        await call(room, anna, bela)
        await asyncio.to_thread(there.run, "systemctl", "stop", MEDIA)

        async def nobody() -> bool:
            return await room.roster() == {}

        await in_time(nobody, "an empty room")
    await ready()
    await everyone_comes_back(room)
