"""Webhooks over real HTTP on loopback: to a receiver that fails, stalls, goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from happened import CANARY, EVERYTHING, joined
from livekit import api
from livekit.protocol.webhook import WebhookEvent
from ports import free_port

from signalling import logs
from signalling.certificate import make_trial_certificate
from signalling.config import WebhookSettings
from signalling.tokens import Tokens
from signalling.webhooks import posting, telling
from signalling.webhooks.receiver import Outcome
from signalling.webhooks.telling import Webhooks, webhooks_of

KEY, SECRET, OTHER = "hooks", "h" * 32, "o" * 32
TOKENS = Tokens({"first": OTHER.encode(), KEY: SECRET.encode()}, max_life=timedelta(hours=6))
HANG_S = 20
Answer = Callable[[web.Request], Awaitable[web.Response]]


class Receiver:
    """A system that is told, and verifies what it is told with LiveKit's library."""

    def __init__(self) -> None:
        self.port = free_port()
        self.events: list[WebhookEvent] = []
        self.answers: list[Answer] = []
        self.requests: list[web.Request] = []
        self.arrived = asyncio.Event()
        self.elsewhere = 0

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/hooks?secret={CANARY}"

    @property
    def identities(self) -> list[str]:
        return [event.participant.identity for event in self.events]

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/hooks", self._on_post)
        app.router.add_route("*", "/elsewhere", self._on_elsewhere)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(HANG_S):
            while len(self.events) < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def _on_post(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.requests.append(request)
        if self.answers:
            return await self.answers.pop(0)(request)
        verifier = api.TokenVerifier(KEY, SECRET)
        self.events.append(api.WebhookReceiver(verifier).receive(body, request.headers["Authorization"]))
        self.arrived.set()
        return web.Response()

    async def _on_elsewhere(self, _: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()


def answering(status: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    return answer


async def stalling(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def to(
    receiver: Receiver,
    outcomes: list[Outcome],
    *,
    scheme: str = "http",
    sleep: Callable[[float], Awaitable[None]] = no_pause,
) -> Webhooks:
    def sign(body: bytes) -> str:
        return TOKENS.sign_body(body, issuer=KEY, now=datetime.now(UTC))

    return Webhooks([receiver.url(scheme)], sign=sign, on_outcome=outcomes.append, sleep=sleep)


async def test_everything_that_happens_is_posted_as_livekits_library_verifies_it(receiver: Receiver) -> None:
    settings = WebhookSettings(urls=(receiver.url(),), key=KEY)
    hooks = webhooks_of(settings, TOKENS, on_outcome=lambda _: None)
    async with receiver.listening(), hooks.running():
        for happening in EVERYTHING.values():
            hooks.tell(happening)
        await receiver.until(len(EVERYTHING))
    assert [event.event for event in receiver.events] == list(EVERYTHING)
    (headers,) = {
        (request.headers["Content-Type"], request.headers["User-Agent"], request.headers.get("Cookie"))
        for request in receiver.requests
    }
    assert headers == ("application/webhook+json", "pysfu", None)
    assert all("Bearer" not in request.headers["Authorization"] for request in receiver.requests)


async def test_the_signature_of_one_body_is_not_that_of_another_nor_of_another_key(receiver: Receiver) -> None:
    signature = TOKENS.sign_body(b'{"event":"room_started"}', issuer=KEY, now=datetime.now(UTC))
    library = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
    assert library.receive('{"event":"room_started"}', signature).event == "room_started"
    with pytest.raises(Exception, match="hash mismatch"):
        library.receive('{"event":"room_finished"}', signature)
    with pytest.raises(Exception, match=r"[Ss]ignature"):
        api.WebhookReceiver(api.TokenVerifier(KEY, OTHER)).receive('{"event":"room_started"}', signature)


async def test_a_receiver_that_fails_and_stalls_is_told_everything_in_order(
    receiver: Receiver, outcomes: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    receiver.answers = [answering(503), stalling, answering(429), answering(500)]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), hooks.running():
        for happening in joined("r_1", "a", "b", "c"):
            hooks.tell(happening)
        await receiver.until(3)
    assert receiver.identities == ["a", "b", "c"]
    assert outcomes == [Outcome.RETRIED] * 4 + [Outcome.OK] * 3


async def test_a_receiver_that_is_gone_is_told_what_it_missed_when_it_is_back(
    receiver: Receiver, outcomes: list[Outcome]
) -> None:
    is_gone, is_back = asyncio.Event(), asyncio.Event()

    async def pause(_: float) -> None:
        is_gone.set()
        await is_back.wait()

    hooks = to(receiver, outcomes, sleep=pause)
    async with hooks.running():
        async with receiver.listening():
            hooks.tell(joined("r_1", "a")[0])
            await receiver.until(1)
        for happening in joined("r_1", "b", "c"):
            hooks.tell(happening)
        await asyncio.wait_for(is_gone.wait(), HANG_S)
        async with receiver.listening():
            is_back.set()
            await receiver.until(3)
    assert receiver.identities == ["a", "b", "c"]
    assert [event.num_dropped for event in receiver.events] == [0, 0, 0]


async def test_a_redirect_is_not_followed_and_what_is_lost_by_it_is_said(
    receiver: Receiver, outcomes: list[Outcome]
) -> None:
    receiver.answers = [answering(307, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), hooks.running():
        for happening in joined("r_1", "a", "b"):
            hooks.tell(happening)
        await receiver.until(1)
    assert receiver.elsewhere == 0
    assert [(event.participant.identity, event.num_dropped) for event in receiver.events] == [("b", 1)]
    assert outcomes == [Outcome.DROPPED, Outcome.OK]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 501])
async def test_an_answer_that_will_not_change_ends_the_tries(
    receiver: Receiver, outcomes: list[Outcome], status: int
) -> None:
    receiver.answers = [answering(status)]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), hooks.running():
        hooks.tell(EVERYTHING["room_started"])
    assert outcomes == [Outcome.DROPPED]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_an_answer_that_may_change_has_it_posted_again(
    receiver: Receiver, outcomes: list[Outcome], status: int
) -> None:
    receiver.answers = [answering(status)]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), hooks.running():
        hooks.tell(EVERYTHING["room_started"])
    assert outcomes == [Outcome.RETRIED, Outcome.OK]


async def test_a_receiver_whose_certificate_is_not_trusted_is_told_nothing(
    receiver: Receiver, outcomes: list[Outcome], tmp_path: Path
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*make_trial_certificate(tmp_path, [ip_address("127.0.0.1")]))
    was_tried = asyncio.Event()

    async def pause(_: float) -> None:
        was_tried.set()
        await asyncio.Event().wait()

    hooks = to(receiver, outcomes, scheme="https", sleep=pause)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(telling, "LAST_WORDS_S", 0)
        async with receiver.listening(tls), hooks.running():
            hooks.tell(EVERYTHING["room_started"])
            await asyncio.wait_for(was_tried.wait(), HANG_S)
    assert receiver.requests == []
    assert outcomes == [Outcome.RETRIED]


async def test_what_a_stop_brings_about_is_told_before_the_server_is_gone(
    receiver: Receiver, outcomes: list[Outcome]
) -> None:
    hooks = to(receiver, outcomes)
    async with receiver.listening():
        async with hooks.running():
            hooks.tell(EVERYTHING["room_finished"])
        assert [event.event for event in receiver.events] == ["room_finished"]


async def test_a_receiver_that_stalls_holds_up_the_stop_for_a_moment_only(
    receiver: Receiver, outcomes: list[Outcome]
) -> None:
    receiver.answers = [stalling]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), asyncio.timeout(telling.LAST_WORDS_S + 5), hooks.running():
        hooks.tell(EVERYTHING["room_started"])
    assert receiver.events == []


async def test_neither_anybodys_words_nor_the_address_of_a_receiver_are_in_the_log(
    receiver: Receiver, outcomes: list[Outcome]
) -> None:
    output = io.StringIO()
    logs.configure(level="debug", output=output)
    receiver.answers = [answering(500, Server=CANARY), answering(404)]
    hooks = to(receiver, outcomes)
    async with receiver.listening(), hooks.running():
        for happening in EVERYTHING.values():
            hooks.tell(happening)
        await receiver.until(len(EVERYTHING) - 1)
    assert "webhook receiver takes nothing" in output.getvalue()
    for told in (CANARY, "p_1", "127.0.0.1", "/hooks"):
        assert told not in output.getvalue()
