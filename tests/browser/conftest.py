"""Real browsers, the real server in a process of its own, and an engine in this process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import pytest
import pytest_asyncio
from browser_lab import CHROMIUM, PATIENCE_S, Browsers, Engine, Person, Place, Tab, page_app, served, until
from meeting_lab import Hall, OpenGuest, open_guests, open_hall
from playwright.async_api import ViewportSize, async_playwright
from ports import free_port

import pysfu

ROOT = Path(__file__).parents[2]
PYSFU = Path(sys.executable).with_name("pysfu")
ADMIN = "admin-bearer-of-these-tests"
LAST_LINE = "Stop with Ctrl-C.\n"

FIREFOX = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
}

# The browsers, and all that talks to them, live in one event loop for the whole run.
shared = pytest_asyncio.fixture(scope="session", loop_scope="session")
each = pytest_asyncio.fixture(loop_scope="session")

Join = Callable[[str, ViewportSize], Awaitable[Person]]
OpenTab = Callable[[str], Awaitable[Tab]]


@shared
async def browsers() -> AsyncIterator[Browsers]:
    async with async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        firefox = await driver.firefox.launch(
            channel="moz-firefox", executable_path="/usr/bin/firefox-esr", firefox_user_prefs=FIREFOX
        )
        yield {"chromium": chromium, "firefox": firefox}
        await firefox.close()
        await chromium.close()


@shared
async def lab_page() -> AsyncIterator[str]:
    async with served(page_app()) as root:
        yield root


@each
async def open_tab(browsers: Browsers, lab_page: str) -> AsyncIterator[OpenTab]:
    """Opens a tab of its own window on the lab's page; whatever the browser complains of fails the test."""
    tabs: list[Tab] = []
    async with AsyncExitStack() as stack:

        async def opened(browser: str) -> Tab:
            context = await browsers[browser].new_context()
            stack.push_async_callback(context.close)
            tab = Tab(browser, await context.new_page())
            tabs.append(tab)
            await tab.page.goto(f"{lab_page}/lab")
            await tab.page.wait_for_function("() => window.lab")
            return tab

        yield opened
        for tab in tabs:
            await tab.call("drop")
    assert [fault for tab in tabs for fault in tab.faults] == []


class Running:
    """A program that is ended as Ctrl-C does, and prints lines until it runs."""

    def __init__(self, *command: str | Path, **settings: str) -> None:
        self._command = command
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("PYSFU_")} | settings

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment | {"PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGINT)
        await asyncio.wait_for(self._process.communicate(), PATIENCE_S)

    async def printed(self, until: str) -> str:
        """Returns what it prints up to a line."""
        assert self._process.stdout is not None
        read = await asyncio.wait_for(self._process.stdout.readuntil(until.encode()), PATIENCE_S)
        return read.decode()


@shared
async def server(lab_page: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """`pysfu serve` with its defaults; media goes over real UDP between the addresses of this machine."""
    port = free_port(socket.SOCK_STREAM)
    settings = {
        "PYSFU_HTTP__PORT": str(port),
        "PYSFU_HTTP__ALLOWED_ORIGINS": f'["{lab_page}"]',
        "PYSFU_MEDIA__PORT": str(free_port(socket.SOCK_DGRAM)),
        "PYSFU_ADMIN__BEARER": ADMIN,
        "PYSFU_LOG__LEVEL": "warning",
        "PYSFU_STORE__PATH": str(tmp_path_factory.mktemp("serve") / "pysfu.db"),
    }
    async with (
        Running(PYSFU, "serve", **settings),
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {ADMIN}"}, trust_env=False
        ) as http,
    ):

        async def ready() -> bool:
            try:
                return (await http.get("/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await until(ready)
        yield http


@each
async def place(server: httpx.AsyncClient) -> AsyncIterator[Place]:
    """A room of the server."""
    made = await server.post("/rooms", json={})
    assert made.status_code == 201, made.text
    room = str(made.json()["room"])
    yield Place(server, room)
    await server.delete(f"/rooms/{room}")


@each
async def engine() -> AsyncIterator[Engine]:
    """A room of an engine in this process."""
    async with pysfu.Sfu() as sfu, await sfu.create_room() as room:
        rig = Engine(room)
        async with served(rig.app()) as rig.root:
            yield rig


@shared
async def hall(lab_page: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hall]:
    """`pysfu serve` behind a cable, where participants meet through LiveKit's client SDKs."""
    async with open_hall(tmp_path_factory.mktemp("hall"), origin=lab_page) as running:
        yield running


@each
async def meeting(hall: Hall) -> AsyncIterator[Place]:
    """A room there."""
    place = await hall.room()
    yield place
    await hall.http.delete(f"/rooms/{place.room}")


@each
async def open_guest(browsers: Browsers, lab_page: str) -> AsyncIterator[OpenGuest]:
    """Opens pages of participants; whatever a browser complains of fails the test."""
    async with open_guests(browsers, lab_page) as opened:
        yield opened


def ports() -> tuple[str, str]:
    """Finds one for pages and one for media."""
    return str(free_port()), str(free_port(socket.SOCK_DGRAM))


@shared
async def demo_link() -> AsyncIterator[str]:
    """The link that `make demo` prints. The module is what it is: a test compiles nothing."""
    port, media_port = ports()
    made = ["make", "--no-print-directory", "--assume-old=pysfu/_core.abi3.so", "demo"]
    async with Running(*made, PYSFU_HTTP__PORT=port, PYSFU_MEDIA__PORT=media_port) as running:
        (link,) = re.findall(r"http://127\.0\.0\.1:\S+", await running.printed(LAST_LINE))
        yield link


@dataclass(frozen=True)
class Trial:
    """What `pysfu demo --lan` prints: a link for each address, and whose certificate to accept."""

    links: list[str]
    fingerprint: str


@each
async def lan_trial() -> AsyncIterator[Trial]:
    port, media_port = ports()
    async with Running(PYSFU, "demo", "--lan", "--port", port, "--media-port", media_port) as running:
        said = await running.printed(LAST_LINE)
        (fingerprint,) = re.findall(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", said)
        yield Trial(re.findall(r"https://\S+", said), fingerprint)
