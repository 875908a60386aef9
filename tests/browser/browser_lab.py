"""Tabs of real browsers that publish and play, and an engine in this process whose levers a test moves itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from playwright.async_api import Browser, ConsoleMessage, Page
from relay import Relay

import pysfu

HERE = Path(__file__).parent
AXE = (HERE / "vendor" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")  # npm axe-core 4.11.4, MPL 2.0
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
PATIENCE_S = 60  # Time-outs only catch hangs: most of what is waited for takes less than two seconds.

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], seconds: float = PATIENCE_S) -> T:
    """Asks until the answer is true; fails with the last answer when time is out."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (answer := await ask()):
        assert loop.time() < end, f"still {answer!r} after {seconds} s"
        await asyncio.sleep(0.1)
    return answer


@contextlib.asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Serves an app from this process, and yields its root."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = _Uvicorn(uvicorn.Config(app, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Watched:
    """A page in a browser of that name, and what the browser complains of."""

    name: str
    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"{self.name}: {error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"{self.name}: {message.text} ({message.location.get('url')})")


class Person(Watched):
    """Someone on the demo's page who has no mouse."""

    async def tab_to(self, selector: str) -> None:
        """Presses Tab until that has the focus."""
        for _ in range(20):
            if await self.page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{self.name}: Tab does not lead to {selector}")

    async def press(self, button: str) -> None:
        target = self.page.get_by_role("button", name=button)
        await self.tab_to(f"#{await target.get_attribute('id')}")
        await self.page.keyboard.press("Enter")

    async def ask_in(self, called: str) -> None:
        await self.tab_to("#called")
        await self.page.keyboard.type(called)
        await self.page.keyboard.press("Enter")

    async def come_in(self, called: str) -> None:
        await self.ask_in(called)
        await self.page.get_by_role("button", name="Leave").wait_for()

    async def until_status(self, text: str) -> None:
        await self.page.get_by_role("status").get_by_text(text, exact=True).wait_for()

    async def until_seeing(self, other: str) -> None:
        """Waits until the other one's picture moves."""
        video = self.page.get_by_label(f"Picture of {other}")
        await video.wait_for()
        for _ in range(10):
            frame = video.evaluate("(v) => new Promise((wake) => v.requestVideoFrameCallback(() => wake()))")
            await asyncio.wait_for(frame, PATIENCE_S)

    async def shows_itself(self) -> bool:
        return bool(await self.page.locator(".own video").evaluate("(v) => v.videoWidth > 0"))

    async def barriers(self) -> list[str]:
        """What axe finds against WCAG 2.2 AA and good practice."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate("axe.run()")
        return [f"{fault['id']}: {[node['html'] for node in fault['nodes']]}" for fault in found["violations"]]

    async def sees_whole_width(self) -> bool:
        return bool(await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


class Tab(Watched):
    """A tab with the lab's page."""

    async def publish(self, url: str, token: str, *, name: str = "out", **wish: object) -> str | None:
        return await self.page.evaluate("([n, u, t, w]) => lab.publish(n, u, t, w)", [name, url, token, wish])

    async def play(self, url: str, token: str, *, name: str) -> None:
        await self.page.evaluate("([n, u, t]) => lab.play(n, u, t)", [name, url, token])

    async def call(self, function: str, *arguments: object) -> Any:
        return await self.page.evaluate(f"(a) => lab.{function}(...a)", list(arguments))

    async def figures(self, name: str) -> dict[str, Any]:
        """What the browser counts for a connection; an absent kind counts as nothing."""
        found = await self.call("figures", name)
        nothing = {"packetsReceived": 0, "framesDecoded": 0, "frameWidth": 0, "totalAudioEnergy": 0, "codec": None}
        return found | {kind: nothing | found.get(kind, {}) for kind in ("audio", "video")}

    async def until_decoding(self, name: str, *, frames: int = 10, since: int = 0) -> dict[str, Any]:
        """Waits until so many further frames are decoded and there is sound, and returns the figures."""

        async def decoding() -> dict[str, Any] | None:
            found = await self.figures(name)
            enough = found["video"]["framesDecoded"] >= since + frames and found["audio"]["totalAudioEnergy"] > 0
            return found if enough else None

        try:
            return await until(decoding)
        except AssertionError:
            raise AssertionError(f"{self.name}/{name}: {await self.figures(name)}") from None

    async def until_width(self, name: str, width: int) -> None:
        """Waits until the picture is that wide."""

        async def wide() -> bool:
            return (await self.figures(name))["video"]["frameWidth"] == width

        try:
            await until(wide)
        except AssertionError:
            raise AssertionError(f"{self.name}/{name}: {await self.figures(name)}") from None


@dataclass
class Place:
    """A room of a real server, and who comes in."""

    http: httpx.AsyncClient
    room: str

    async def token(self, **wish: object) -> str:
        made = await self.http.post(f"/rooms/{self.room}/tokens", json=wish)
        assert made.status_code == 201, made.text
        return str(made.json()["token"])

    @property
    def whip(self) -> str:
        return f"{self.http.base_url}/whip/{self.room}".replace("//whip", "/whip")

    def whep(self, source: str) -> str:
        """Where a participant is played who was not published from a tab."""
        return f"{self.whip.replace('/whip/', '/whep/')}/{source}"

    async def roster(self) -> list[dict[str, Any]]:
        return list((await self.http.get(f"/rooms/{self.room}")).json()["roster"])


@dataclass
class Engine:
    """A room of an engine in this process. The path of a request names the participant. A relay may stand before it."""

    room: pysfu.Room
    relay: Relay | None = None
    root: str = ""
    people: dict[str, pysfu.Participant] = field(default_factory=dict)

    def track(self, publisher: str, kind: str) -> pysfu.Track:
        return next(track for track in self.people[publisher].tracks if track.kind == kind)

    def whip(self, called: str) -> str:
        return f"{self.root}/whip/{called}"

    def whep(self, called: str, source: str) -> str:
        return f"{self.root}/whep/{called}/{source}"

    def _reached(self, answer: str) -> str:
        return answer if self.relay is None else self.relay.through(answer)

    def app(self) -> FastAPI:
        """Makes the few lines that a program around pysfu needs."""
        app = FastAPI()
        app.add_middleware(
            CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["Location"]
        )

        @app.post("/whip/{called}")
        async def publish(request: Request, called: str) -> Response:
            self.people[called] = participant = await self.room.add_participant()
            offer = (await request.body()).decode()
            transport = await participant.answer(offer, start_bitrate_bps=1_500_000)
            return Response(self._reached(transport.sdp), status_code=201, headers={"Location": f"/people/{called}"})

        @app.post("/whep/{called}/{source}")
        async def play(request: Request, called: str, source: str) -> Response:
            self.people[called] = participant = await self.room.add_participant()
            tracks = self.people[source].tracks
            transport = await participant.answer((await request.body()).decode(), publish=False, play=tracks)
            for track in tracks:
                await participant.allow(track)
            return Response(self._reached(transport.sdp), status_code=201, headers={"Location": f"/people/{called}"})

        @app.delete("/people/{called}")
        async def leave(called: str) -> None:
            await self.people.pop(called).remove()

        return app


LIVEKIT = HERE / "vendor" / "livekit-client" / "dist"
PAGES = {
    "lab": HERE / "lab.html",
    "lab.js": HERE / "lab.js",
    "meeting_lab": HERE / "meeting_lab.html",
    "meeting_lab.js": HERE / "meeting_lab.js",
    "livekit-client.umd.js": LIVEKIT / "livekit-client.umd.js",
    "livekit-client.e2ee.worker.js": LIVEKIT / "livekit-client.e2ee.worker.js",
}


def page_app() -> FastAPI:
    """Makes the app that gives out the labs' pages."""
    app = FastAPI()

    @app.get("/{file}")
    async def page(file: str) -> FileResponse:
        return FileResponse(PAGES[file])

    return app


Browsers = dict[str, Browser]
