"""People in real browsers who meet through livekit-client, and a server of theirs that can be killed and started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from browser_lab import PATIENCE_S, Browsers, Place, Watched, until
from cable import Cable
from ports import free_port

from signalling.domain.ids import ParticipantId, RoomId
from signalling.tokens import TokenRequest, Tokens

ROOT = Path(__file__).parents[2]
PYSFU = Path(sys.executable).with_name("pysfu")
ADMIN = "admin-bearer-of-these-tests"
KEY, SECRET = "tests", "k" * 32
TOKENS = Tokens({KEY: SECRET}, max_life=timedelta(hours=6))
LIFE = timedelta(minutes=10)

# What a browser says of the version of the protocol that is not spoken here: the library asks for that one first.
UNSPOKEN = "/rtc/v1"
# What the library says when it has left, or was told to, and the server has closed the channels before it has.
GOODBYE = "closed unexpectedly"

SILENCE = 1e-5  # more sound than seconds of silence have, and less than one second of what is sent here
MIN_SHOWN = 3  # a busy machine shows fewer than it decodes
HEARD = ("microphone", "audio")

Figures = dict[str, dict[str, Any]]
Look = Callable[[], Awaitable[Any]]


def token(room: str, identity: str, *, tokens: Tokens = TOKENS, now: datetime | None = None, **rights: Any) -> str:
    """Makes a token, with which everything is allowed that is not denied."""
    allowed = {"can_publish_data": True} | rights
    wish = TokenRequest(participant=ParticipantId(identity), room=RoomId(room), life=LIFE, **allowed)
    return tokens.mint(wish, now=now or datetime.now(UTC))


class Hall:
    """A server, from its start to its stop; who calls it comes over a cable. Rooms outlive its processes."""

    def __init__(self, folder: Path, cable: Cable, *, origin: str) -> None:
        self._cable = cable
        self._process: asyncio.subprocess.Process | None = None
        self._log = folder / "serve.log"
        settings = {
            "PYSFU_HTTP__PORT": str(cable.to),
            "PYSFU_HTTP__ALLOWED_ORIGINS": json.dumps([origin]),
            "PYSFU_MEDIA__PORT": str(free_port(socket.SOCK_DGRAM)),
            "PYSFU_ADMIN__BEARER": ADMIN,
            "PYSFU_TOKENS__KEYS": json.dumps({KEY: SECRET}),
            "PYSFU_LOG__LEVEL": "warning",
            "PYSFU_STORE__PATH": str(folder / "pysfu.db"),
        }
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("PYSFU_")} | settings
        root = f"http://127.0.0.1:{cable.to}"
        self.http = httpx.AsyncClient(base_url=root, headers={"Authorization": f"Bearer {ADMIN}"}, trust_env=False)

    @property
    def url(self) -> str:
        """Where participants connect to."""
        return f"ws://127.0.0.1:{self._cable.port}"

    @property
    def cable(self) -> Cable:
        """Over which they come."""
        return self._cable

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PYSFU, "serve", env=self._environment, cwd=ROOT, stderr=log
            )
        await until(self._is_ready)

    async def kill(self) -> None:
        """Ends it without a word, as a machine does that is out of memory."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ends it as an operator does, and wants it to end well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        await self.http.aclose()
        assert code == 0, self.said()

    def said(self) -> str:
        """Everything that it has logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def room(self) -> Place:
        """Makes a room."""
        made = await self.http.post("/rooms", json={})
        assert made.status_code == 201, made.text
        return Place(self.http, str(made.json()["room"]))

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.said()
        try:
            return (await self.http.get("/ready")).status_code == 200
        except httpx.TransportError:
            return False


@contextlib.asynccontextmanager
async def open_hall(folder: Path, *, origin: str) -> AsyncIterator[Hall]:
    """Runs a server behind a cable."""
    async with Cable(free_port()) as cable:
        running = Hall(folder, cable, origin=origin)
        await running.start()
        yield running
        await running.stop()


@dataclass
class Guest(Watched):
    """A participant: a page with livekit-client in a browser of that name."""

    identity: str = ""

    async def call(self, function: str, *arguments: object) -> Any:
        """Has the page do something."""
        doing = self.page.evaluate(f"(a) => meeting.{function}(...a)", list(arguments))
        try:
            return await asyncio.wait_for(doing, PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"{self.identity} ({self.name}) is not done with {function}: {self.faults}") from None

    async def refusal(self, url: str, token: str, **options: object) -> dict[str, Any] | None:
        """Tries to come in; returns what the library says of why it cannot."""
        found: dict[str, Any] | None = await self.call("join", url, token, options)
        return found

    async def join(self, hall: Hall, place: Place, **options: object) -> None:
        """Comes in."""
        refused = await self.refusal(hall.url, token(place.room, self.identity), **options)
        assert refused is None, f"{self.identity}: {refused} {self.faults}"

    async def figures(self) -> Figures:
        """What has come of each track, by `identity/source`."""
        found: Figures = await self.call("figures")
        return found

    async def figure(self, track: str, name: str) -> Any:
        """One number of it; 0 when there is no such track."""
        return (await self.figures()).get(track, {}).get(name, 0)

    async def events(self, name: str) -> list[list[Any]]:
        """What the library has told under this name."""
        return [told[1:] for told in await self.call("told") if told[0] == name]

    async def received(self) -> list[list[Any]]:
        """What has come of data: from whom, on which topic, how, and the text."""
        found: list[list[Any]] = await self.call("received")
        return found

    async def until_sees(self, track: str, *, frames: int = 10, since: int | None = None) -> dict[str, Any]:
        """Waits until so many more pictures of a track have been decoded here, and some of them shown."""
        start = await self.figure(track, "frames") if since is None else since
        shown = await self.figure(track, "shown")
        return await self._until(track, lambda f: f["frames"] >= start + frames and f["shown"] >= shown + MIN_SHOWN)

    async def until_hears(self, track: str, *, since: float | None = None) -> dict[str, Any]:
        """Waits until more sound of a track has been played here than silence has."""
        start = await self.figure(track, "energy") if since is None else since
        return await self._until(track, lambda found: found["energy"] > start + SILENCE)

    async def until_gets(self, track: str) -> dict[str, Any]:
        """Waits until more of a track is seen or heard here."""
        return await (self.until_hears(track) if track.endswith(HEARD) else self.until_sees(track))

    async def until_wide(self, track: str, width: int) -> dict[str, Any]:
        """Waits until a picture is that wide."""
        return await self._until(track, lambda found: found["width"] == width)

    async def until_has(self, count: int, *, topic: str) -> list[list[Any]]:
        """Waits until so many messages on a topic have come; the server itself speaks on others."""

        async def come() -> list[list[Any]] | None:
            found = [each for each in await self.received() if each[1] == topic]
            return found if len(found) >= count else None

        return await self.waits(come, "messages")

    async def until_told(self, name: str, *words: object) -> None:
        """Waits until the library has told this."""

        async def told() -> bool:
            return list(words) in [event[: len(words)] for event in await self.events(name)]

        await self.waits(told, f"{name} {words}")

    async def until_without(self, track: str) -> None:
        """Waits until a track is not there any more."""

        async def without() -> bool:
            return track not in await self.figures()

        await self.waits(without, f"no {track}")

    async def waits(self, ask: Look, what: str) -> Any:
        """Waits until a question has an answer; says what there was when it has none."""
        try:
            return await until(ask)
        except AssertionError:
            seen = {"figures": await self.figures(), "told": await self.call("told"), "faults": self.faults}
            raise AssertionError(f"{self.identity} ({self.name}) waits for {what}: {json.dumps(seen)}") from None

    async def _until(self, track: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found = (await self.figures()).get(track)
            return found if found is not None and is_so(found) else None

        found: dict[str, Any] = await self.waits(look, track)
        return found


OpenGuest = Callable[[str, str], Awaitable[Guest]]


async def all_see_all(guests: Sequence[Guest], *tracks: str) -> None:
    """Waits until each of them sees, or hears, these tracks of each other one."""

    for guest in guests:
        for other in guests:
            for track in tracks if other is not guest else ():
                await guest.until_gets(f"{other.identity}/{track}")


@contextlib.asynccontextmanager
async def open_guests(
    browsers: Browsers, page: str, *, expected: Sequence[str] = (UNSPOKEN, GOODBYE)
) -> AsyncIterator[OpenGuest]:
    """Opens pages, each in a window of its own; what a browser complains of, and is not expected, fails the test."""
    opened: list[Guest] = []
    async with contextlib.AsyncExitStack() as stack:

        async def open_guest(browser: str, identity: str) -> Guest:
            context = await browsers[browser].new_context()
            stack.push_async_callback(context.close)
            guest = Guest(browser, await context.new_page(), identity=identity)
            opened.append(guest)
            await guest.page.goto(f"{page}/meeting_lab")
            await guest.page.wait_for_function("() => window.meeting")
            return guest

        yield open_guest
        for guest in opened:
            await guest.call("leave")
    faults = [fault for guest in opened for fault in guest.faults if not any(part in fault for part in expected)]
    assert not faults, "\n".join(faults)
