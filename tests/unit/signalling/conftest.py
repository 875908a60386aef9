"""A server around a media engine in memory."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import uvloop
from fake_engine import FakeEngine
from fake_meetings import FakeMeetings
from fake_store import FakeStore
from offers import offer
from starlette.types import ASGIApp

from signalling import config, logs
from signalling.config import Settings
from signalling.http.app import build
from signalling.http.parts import Parts, State
from signalling.meetings.administering import Administering
from signalling.meetings.edge import LiveMeetings
from signalling.metrics import Metrics
from signalling.rooms import Rooms
from signalling.tokens import Tokens

if TYPE_CHECKING:
    from meeting_room import MeetingRoom

ADMIN = "admin-bearer-of-these-tests"
METRICS = "metrics-bearer-of-these-tests"
SECRET = "k" * 32
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SDP = {"Content-Type": "application/sdp"}


@dataclass
class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def go(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Bench:
    """The server under test, and what stands around it."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    engine: FakeEngine = field(default_factory=FakeEngine)
    store: FakeStore = field(default_factory=FakeStore)
    meetings: FakeMeetings = field(default_factory=FakeMeetings)
    page_prefix: str | None = None

    def __post_init__(self) -> None:
        limits = self.settings.rooms
        rooms = Rooms(
            self.engine,
            self.store,
            max_rooms=limits.max_rooms,
            max_participants=limits.max_participants,
            clock=self.clock,
            steady=lambda: self.clock.at - NOW,
        )
        tokens = Tokens({"k1": SECRET.encode()}, max_life=timedelta(seconds=self.settings.tokens.max_life_s))
        self.parts = Parts(
            settings=self.settings,
            rooms=rooms,
            meetings=self.meetings,
            administered=Administering(rooms, LiveMeetings(rooms, tokens, utc=self.clock)),
            tokens=tokens,
            metrics=Metrics(self.engine, version="0"),
            now=self.clock,
        )
        self.parts.enter(State.SERVING)
        self.app: ASGIApp = build(self.parts)

    def http(self, *, peer: str = "192.0.2.9", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(peer, 40000))
        return httpx.AsyncClient(transport=transport, base_url="http://pysfu.test", headers=headers)

    def admin(self) -> httpx.AsyncClient:
        return self.http(Authorization=f"Bearer {ADMIN}")

    async def room(self, **wanted: object) -> str:
        async with self.admin() as http:
            made = await http.post("/rooms", json=wanted)
            assert made.status_code == 201, made.text
            return str(made.json()["room"])

    async def token(self, room: str, **wanted: object) -> str:
        async with self.admin() as http:
            made = await http.post(f"/rooms/{room}/tokens", json=wanted)
            assert made.status_code == 201, made.text
            return str(made.json()["token"])

    async def participant(self, room: str, name: str, **wanted: object) -> httpx.AsyncClient:
        token = await self.token(room, participant=name, **wanted)
        return self.http(Authorization=f"Bearer {token}")

    async def publish(self, room: str, http: httpx.AsyncClient) -> httpx.Response:
        return await http.post(f"/whip/{room}", content=offer(), headers=SDP)

    async def play(self, room: str, http: httpx.AsyncClient, source: str) -> httpx.Response:
        return await http.post(f"/whep/{room}/{source}", content=offer("recvonly"), headers=SDP)

    async def settle(self) -> None:
        """Lets everything happen that waits for nothing but its turn."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def roster(self, room: str) -> list[dict[str, object]]:
        async with self.admin() as http:
            return list((await http.get(f"/rooms/{room}")).json()["roster"])


def settings(**sections: dict[str, object]) -> Settings:
    defaults: dict[str, dict[str, object]] = {"admin": {"bearer": ADMIN}, "tokens": {"keys": {"k1": SECRET}}}
    return config.build(defaults | sections)


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tries what depends on how a loop treats sockets on both."""
    both = item.path.name in ("test_rtc_lines.py", "test_rtc_hostile.py")
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PYSFU_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYSFU_STORE__PATH", str(tmp_path / "pysfu.db"))


@pytest.fixture(autouse=True)
def logged() -> io.StringIO:
    """What is logged, at the most talkative level."""
    output = io.StringIO()
    logs.configure(level="debug", output=output)
    return output


@pytest.fixture
def bench() -> Bench:
    return Bench(settings())


@pytest.fixture
async def there() -> AsyncIterator[MeetingRoom]:
    """A room in which clients of LiveKit's protocol meet."""
    from meeting_room import MeetingRoom  # which is made of what is in this file

    room = await MeetingRoom().open()
    yield room
    await room.rooms.close_all()
    await room.settle()
