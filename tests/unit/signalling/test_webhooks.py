"""Who is told what happens, by webhooks: tries, pauses, what is dropped. Nothing is posted in earnest here."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx
import pytest
from fake_engine import FakeEngine
from google.protobuf import json_format
from happened import ANNA, CANARY, EVERYTHING, GRANT, ROOM, joined, started
from livekit.protocol.webhook import WebhookEvent
from ports import free_port
from running import running, settings

from signalling.domain.happenings import Happening, ParticipantJoined
from signalling.rtc.hooks import event_of
from signalling.webhooks import telling
from signalling.webhooks.outbox import Outbox
from signalling.webhooks.receiver import AT_ONCE, MAX_TRIES, NotTakenError, Outcome, Receiver
from signalling.webhooks.telling import Webhooks

LATER, NEVER = NotTakenError("503", again=True), NotTakenError("404", again=False)


class Elsewhere:
    """A receiver, and who posts to it."""

    def __init__(self, **more: object) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.pauses: list[float] = []
        self.taken: list[WebhookEvent] = []
        self.faults: list[Exception] = []
        self.under_way = self.most_under_way = 0
        self.open = asyncio.Event()
        self.open.set()
        self.receiver = Receiver(1, on_outcome=self._count, sleep=self._pause, **more)  # type: ignore[arg-type]

    def tell(self, *happenings: Happening) -> None:
        for happening in happenings:
            self.receiver.tell(happening.room.room, event_of(happening, words=False))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.receiver.serve(self._post))
        try:
            yield
            await asyncio.wait_for(self.receiver.idle(), 10)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def identities(self) -> list[str]:
        return [event.participant.identity for event in self.taken]

    def _count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def _post(self, body: bytes) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            if self.faults:
                raise self.faults.pop(0)
            self.taken.append(json_format.Parse(body, WebhookEvent()))
        finally:
            self.under_way -= 1


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_happens_before_anybody_posts_is_told_afterwards_in_order() -> None:
    there = Elsewhere()
    there.tell(*joined("r_1", "a", "b", "c"))
    assert there.receiver.waiting == 3
    async with there.serving():
        pass
    assert there.identities == ["a", "b", "c"]
    assert there.outcomes == {Outcome.OK: 3}


async def test_what_is_not_taken_is_posted_again_before_what_came_after_it() -> None:
    there = Elsewhere()
    there.faults = [LATER, LATER]
    async with there.serving():
        there.tell(*joined("r_1", "a", "b"))
    assert there.identities == ["a", "b"]
    assert there.outcomes == {Outcome.OK: 2, Outcome.RETRIED: 2}


async def test_a_room_whose_webhook_fails_keeps_no_other_room_waiting() -> None:
    there = Elsewhere()
    held = asyncio.Event()

    async def pause(_: float) -> None:
        await held.wait()

    there.receiver = Receiver(1, on_outcome=there._count, sleep=pause)
    there.faults = [LATER]
    async with there.serving():
        there.tell(*joined("r_1", "a", "b"), *joined("r_2", "c", "d"))
        await settle()
        assert there.identities == ["c", "d"]
        held.set()
    assert there.identities == ["c", "d", "a", "b"]


async def test_pauses_grow_to_half_a_minute_and_after_a_quarter_of_an_hour_it_is_given_up() -> None:
    there = Elsewhere()
    there.faults = [LATER] * MAX_TRIES
    async with there.serving():
        there.tell(*joined("r_1", "a", "b"))
    assert there.identities == ["b"]
    assert there.outcomes == {Outcome.RETRIED: MAX_TRIES - 1, Outcome.DROPPED: 1, Outcome.OK: 1}
    assert there.pauses == sorted(there.pauses)
    assert there.pauses[0] < 2.1
    assert max(there.pauses) == 30
    assert 600 < sum(there.pauses) < 1_200


async def test_what_is_refused_is_not_posted_again_and_the_next_one_says_how_many_are_missing() -> None:
    there = Elsewhere()
    there.faults = [NEVER, NEVER]
    async with there.serving():
        there.tell(*joined("r_1", "a", "b", "c", "d"))
    assert there.identities == ["c", "d"]
    assert [event.num_dropped for event in there.taken] == [2, 0]
    assert there.outcomes == {Outcome.DROPPED: 2, Outcome.OK: 2}


async def test_of_what_waits_too_long_the_oldest_is_dropped_and_that_is_said() -> None:
    there = Elsewhere(outbox=Outbox[WebhookEvent](most_of_room=2))
    there.open.clear()
    async with there.serving():
        there.tell(*joined("r_1", "a"))
        await settle()
        there.tell(*joined("r_1", "b", "c", "d", "e"))
        there.open.set()
    assert there.identities == ["a", "d", "e"], "the first one was under way"
    assert [event.num_dropped for event in there.taken] == [0, 2, 0]
    assert there.outcomes == {Outcome.OK: 3, Outcome.DROPPED: 2}


async def test_of_long_words_fewer_events_wait() -> None:
    long, short = joined("r_1", "l" * 1_000, "s")
    there = Elsewhere(outbox=Outbox[WebhookEvent](most_bytes=event_of(long, words=False).ByteSize() + 50))
    there.tell(long, short)
    assert there.receiver.waiting == 1
    async with there.serving():
        pass
    assert [event.num_dropped for event in there.taken] == [1]


async def test_no_more_than_so_many_are_posted_at_once() -> None:
    there = Elsewhere()
    there.open.clear()
    async with there.serving():
        there.tell(*(started(f"r_{number}") for number in range(3 * AT_ONCE)))
        await settle()
        there.open.set()
    assert there.most_under_way == AT_ONCE
    assert len(there.taken) == 3 * AT_ONCE


async def test_a_fault_of_our_own_loses_one_webhook_and_ends_nothing(logged: io.StringIO) -> None:
    there = Elsewhere()
    there.faults = [RuntimeError(CANARY)]
    async with there.serving():
        there.tell(*joined("r_1", "a", "b"))
    assert there.identities == ["b"]
    assert there.outcomes == {Outcome.DROPPED: 1, Outcome.OK: 1}
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert (line["event"], line["error"]) == ("webhook not told", "RuntimeError")
    assert CANARY not in logged.getvalue()


async def test_a_receiver_that_fails_is_in_the_log_once_and_once_more_when_it_is_back(logged: io.StringIO) -> None:
    there = Elsewhere()
    there.faults = [LATER, NEVER, LATER, LATER]
    async with there.serving():
        there.tell(*joined("r_1", "a", "b", "c"))
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["event"], line["component"]) for line in lines] == [
        ("webhook receiver takes nothing", "webhook receiver 1"),
        ("webhook receiver takes what it is told again", "webhook receiver 1"),
    ]
    assert lines[0]["reason"] == "503"


# --- all receivers ---


class Posts:
    """What posts, and what it was given."""

    def __init__(self, urls: dict[str, Callable[[], None]]) -> None:
        self.urls = urls
        self.posted: dict[str, list[tuple[WebhookEvent, str]]] = {url: [] for url in urls}

    async def __aenter__(self) -> Posts:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def post(self, url: str, body: bytes, *, signature: str) -> None:
        self.urls[url]()
        self.posted[url].append((json_format.Parse(body, WebhookEvent()), signature))


def nothing() -> None:
    return None


def webhooks(monkeypatch: pytest.MonkeyPatch, posts: Posts, **more: object) -> Webhooks:
    monkeypatch.setattr("signalling.webhooks.posting.Poster", lambda: posts)
    return Webhooks(list(posts.urls), sign=lambda body: f"signed {len(body)}", **more)  # type: ignore[arg-type]


async def test_every_receiver_is_told_everything_signed_and_by_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Posts({"http://a": nothing, "http://b": nothing})
    hooks = webhooks(monkeypatch, posts)
    async with hooks.running():
        for happening in EVERYTHING.values():
            hooks.tell(happening)
    for posted in posts.posted.values():
        assert [event.event for event, _ in posted] == list(EVERYTHING)
        assert all(signature.startswith("signed ") for _, signature in posted)
    first, second = ([event.id for event, _ in posted] for posted in posts.posted.values())
    assert first == second
    assert len(set(first)) == len(EVERYTHING)
    assert all(number.startswith("EV_") for number in first)


@pytest.mark.parametrize("words", [False, True])
async def test_what_others_wrote_is_posted_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, *, words: bool
) -> None:
    posts = Posts({"http://a": nothing})
    hooks = webhooks(monkeypatch, posts, **({"words": True} if words else {}))
    async with hooks.running():
        for happening in EVERYTHING.values():
            hooks.tell(happening)
    assert [CANARY in str(event) for event, _ in posts.posted["http://a"]] == [words] * len(EVERYTHING)


async def test_a_receiver_that_fails_keeps_no_other_waiting_and_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    def fail() -> None:
        raise LATER

    async def for_ever(_: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(telling, "LAST_WORDS_S", 0)
    posts = Posts({"http://a": fail, "http://b": nothing})
    hooks = webhooks(monkeypatch, posts, sleep=for_ever)
    async with hooks.running():
        for happening in joined("r_1", "a", "b"):
            hooks.tell(happening)
        await settle()
        assert len(posts.posted["http://b"]) == 2
        assert hooks.waiting() == 1, "the other one is being tried"
    assert "webhooks left untold by the stop" in logged.getvalue()


async def test_without_a_receiver_nothing_is_kept() -> None:
    hooks = Webhooks(sign=lambda _: "")
    async with hooks.running():
        hooks.tell(EVERYTHING["room_started"])
    assert hooks.waiting() == 0


async def test_words_that_cannot_be_written_cost_one_webhook_and_no_join(
    monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    outcomes: list[Outcome] = []
    posts = Posts({"http://a": nothing})
    hooks = webhooks(monkeypatch, posts, words=True, on_outcome=outcomes.append)
    half = replace(ANNA, grant=replace(GRANT, name=f"{CANARY}\ud800"))
    async with hooks.running():
        hooks.tell(ParticipantJoined(room=ROOM, at=ROOM.created_at, who=half))
        hooks.tell(EVERYTHING["participant_joined"])
    assert [event.participant.name for event, _ in posts.posted["http://a"]] == [GRANT.name]
    assert outcomes == [Outcome.DROPPED, Outcome.OK]
    assert CANARY not in logged.getvalue()


async def test_a_server_that_has_receivers_starts_shows_what_waits_and_stops() -> None:
    port = free_port()
    hooks = {"urls": ["http://127.0.0.1:9/hooks"], "key": "k1"}
    async with (
        running(settings(http={"port": port}, webhooks=hooks), FakeEngine()) as serving,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        shown = (await http.get("/metrics")).text
    assert serving.done()
    assert "sfu_webhooks_waiting 0.0" in shown
    assert 'sfu_webhooks_total{outcome="dropped"} 0.0' in shown


def test_a_server_without_receivers_does_not_have_what_posts_in_memory() -> None:
    program = "import sys, signalling.server; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
