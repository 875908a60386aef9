"""People on the demo's page meet again by themselves after their room broke or their server was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import pytest
import pytest_asyncio
from browser_lab import Person
from ports import free_port

if TYPE_CHECKING:
    from browser_lab import Browsers

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("PYSFU_")} | {"PYTHONPATH": PATHS}
KEY = "key-of-these-tests-and-bearer"
ADMIN = {"Authorization": f"Bearer {KEY}"}
EXPECTED = (
    "Failed to load resource",
    "/demo/",
    "NetworkError",
    "Cross-Origin Request",
)  # of a server that is not there
SOON_S = 20.0  # On an idle machine it takes two. What would not be found out by itself takes a browser 30 s and more.


class Trial:
    """A demo that can be killed and started anew."""

    def __init__(self) -> None:
        self.port, self._media_port = str(free_port()), str(free_port(socket.SOCK_DGRAM))
        self.link = f"http://127.0.0.1:{self.port}/demo/#k={KEY}"

    async def start(self) -> Self:
        program = str(Path(__file__).with_name("trial.py"))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, program, KEY, self.port, self._media_port, cwd=ROOT, env=ENVIRONMENT, stdout=PIPE
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"started\n"
        return self

    async def kill(self) -> None:
        self._process.kill()
        await self._process.communicate()

    def break_rooms(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=ADMIN, trust_env=False)


@pytest_asyncio.fixture(loop_scope="session")
async def trial() -> AsyncIterator[Trial]:
    running = await Trial().start()
    yield running
    await running.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def two(browsers: Browsers, trial: Trial) -> AsyncIterator[tuple[Person, Person]]:
    """Two people who see each other."""
    people = []
    for browser, name in (("chromium", "Krom"), ("firefox", "Räv")):
        context = await browsers[browser].new_context(locale="en-GB")
        people.append(Person(browser, await context.new_page()))
        await people[-1].page.goto(trial.link)
        await people[-1].come_in(name)
    await see_each_other(*people)
    yield people[0], people[1]
    for person in people:
        await person.page.context.close()
    strange = [fault for person in people for fault in person.faults if not any(part in fault for part in EXPECTED)]
    assert strange == []


async def see_each_other(krom: Person, fox: Person) -> None:
    await krom.until_seeing("Räv")
    await fox.until_seeing("Krom")


PLAYED = "() => [...document.querySelectorAll('#tiles li')].map((tile) => tile.dataset.publication)"


@asynccontextmanager
async def seeing_each_other_anew(krom: Person, fox: Person) -> AsyncIterator[None]:
    """Wants each to see something else of the other after what is done here, without a hand on either page."""
    before = [set(await person.page.evaluate(PLAYED)) - {"own"} for person in (krom, fox)]
    yield
    began = time.monotonic()
    for person, old in zip((krom, fox), before, strict=True):
        assert len(old) == 1
        await person.page.wait_for_function(f"(old) => !({PLAYED})().includes(old)", arg=old.pop())
    await see_each_other(krom, fox)
    assert time.monotonic() - began < SOON_S


async def test_people_whose_room_broke_see_each_other_again_by_themselves(
    two: tuple[Person, Person], trial: Trial
) -> None:
    async with seeing_each_other_anew(*two):
        trial.break_rooms()
    async with trial.http() as http:
        (room,) = (await http.get("/rooms")).json()
    assert room["participants"] == 2, "in the room in which they were"


async def test_people_whose_room_breaks_again_are_told_to_stay(two: tuple[Person, Person], trial: Trial) -> None:
    async with seeing_each_other_anew(*two):
        trial.break_rooms()
    trial.break_rooms()
    for person in two:
        await person.page.get_by_role("status").get_by_text("It will be back in a while").wait_for()
        assert await person.page.get_by_role("button", name="Leave").is_visible()


async def test_people_whose_server_was_killed_and_started_anew_see_each_other_again(
    two: tuple[Person, Person], trial: Trial
) -> None:
    async with seeing_each_other_anew(*two):
        await trial.kill()
        await trial.start()


async def test_whoever_is_removed_leaves_and_is_told_why(two: tuple[Person, Person], trial: Trial) -> None:
    krom, fox = two
    async with trial.http() as http:
        (room,) = (await http.get("/rooms")).json()
        roster = (await http.get(f"/rooms/{room['room']}")).json()["roster"]
        await http.delete(f"/rooms/{room['room']}/participants/{roster[0]['participant']}")
    await krom.page.get_by_role("alert").get_by_text("You were removed from the meeting.").wait_for()
    await fox.until_status("Krom has left.")


async def test_when_the_room_is_deleted_its_people_are_told_that_the_meeting_has_ended(
    two: tuple[Person, Person], trial: Trial
) -> None:
    async with trial.http() as http:
        (room,) = (await http.get("/rooms")).json()
        await http.delete(f"/rooms/{room['room']}")
    for person in two:
        await person.page.get_by_role("alert").get_by_text("The meeting has been ended.").wait_for()
