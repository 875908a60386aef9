"""Real browsers, the real server in a process of its own, and an engine in this process."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest_asyncio
from browser_lab import PATIENCE_S, Browsers, Engine, Person, Place, Tab, page_app, served, until
from playwright.async_api import ViewportSize, async_playwright
from ports import free_port

import pysfu

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
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
    """A process of `pysfu` that is told to stop at the end."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._arguments = arguments
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("PYSFU_")} | settings

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "signalling.cli",
            *self._arguments,
            env=self._environment | {"PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        return self._process

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await asyncio.wait_for(self._process.communicate(), PATIENCE_S)


@shared
async def server(lab_page: str) -> AsyncIterator[httpx.AsyncClient]:
    """`pysfu serve` with its defaults; media goes over real UDP between the addresses of this machine."""
    port = free_port(socket.SOCK_STREAM)
    settings = {
        "PYSFU_HTTP__PORT": str(port),
        "PYSFU_HTTP__ALLOWED_ORIGINS": f'["{lab_page}"]',
        "PYSFU_MEDIA__PORT": str(free_port(socket.SOCK_DGRAM)),
        "PYSFU_ADMIN__BEARER": ADMIN,
        "PYSFU_LOG__LEVEL": "warning",
    }
    async with (
        Running("serve", **settings),
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
async def demo_link() -> AsyncIterator[str]:
    """The link that `pysfu demo` prints."""
    ports = ["--port", str(free_port(socket.SOCK_STREAM)), "--media-port", str(free_port(socket.SOCK_DGRAM))]
    async with Running("demo", *ports) as process:
        assert process.stdout is not None
        while (line := (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()) != "":
            if (link := re.search(r"http://127\.0\.0\.1:\S+", line)) is not None:
                yield link[0]
                break
