"""What `/metrics` shows is bounded, and no label can say who or where somebody is: all values are from closed sets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import get_args

import pytest
from conftest import SDP, Bench, settings
from offers import offer
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import pysfu
from pysfu import messages
from signalling.config import MediaSettings
from signalling.domain.flow import Cause, Observed, Stall
from signalling.domain.heartbeat import WorkerFault
from signalling.figures import DROPS, MediaFigures, MediaWarning, figures_of
from signalling.http.front import _METHODS
from signalling.media_events import (
    EngineRestarted,
    MediaEvent,
    PeerConnected,
    PeerGone,
    PeerReconnected,
    Resynced,
    RoomGone,
)

MAX_SERIES = 2_000
MAX_WORKERS = 64
CANARY = "canary"
WARNINGS = [messages.base.snake(warning.__name__) for warning in get_args(messages.AnyWarning)]
PROFILES = ("SRTP_AEAD_AES_256_GCM", "SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_HMAC_SHA1_80")
ENDS = (*get_args(messages.FailReason), "closed", "lost")
STATUSES = (200, 300, 400, 500)

UNPUBLISHED = ("unmatched", "/openapi.json", "/rtc", "/rtc/validate", "/rtc/{path:path}")

LABELS: dict[str, set[str] | re.Pattern[str]] = {
    "cause": set(Cause),
    "code": {*WARNINGS, *(f"{status // 100}xx" for status in STATUSES)},
    "dir": {"in", "out", "pub", "sub"},
    "dtls": set(get_args(messages.DtlsVersion)),
    "generation": {"0", "1", "2"},
    "kind": {"audio", "video", "resume", "ice_restart"},
    "le": re.compile(r"\+Inf|\d+(\.\d+)?(e[+-]\d+)?"),
    "method": {*_METHODS, "OTHER", "token", "admin", "metrics"},
    "outcome": {"ok", "denied", "error", "retried"},
    "profile": set(PROFILES),
    "python": re.compile(r"3\.\d+\.\d+\S{0,8}"),
    "reason": {*DROPS, *ENDS, "room", "failure", "receive_buffer_full", "oversize", "unreachable"},
    "route": set(),  # the templates that are published, see `paths_of`
    "shard": re.compile(r"[0-9]|[1-5][0-9]|6[0-3]"),
    "stage": {"signal", "connect", "ice", "dtls", "first_packet"},
    "state": {"starting", "serving", "draining", "stopping", "connected", "connecting"},
    "usage": {"http"},
    "version": re.compile(r"\d+(\.\d+){0,2}(\+source|[a-z]+\d*)?"),
}
"""Every label, and what it may say. Whoever adds one adds it here, where it is seen."""

PERSON_LIKE = re.compile(
    "room|ident|participant|name|user|peer|ip|addr|host|phone|mail|track|session|person|patient|staff|unit|clinic|id$"
)


def strange(text: str, *, routes: Collection[str]) -> list[tuple[str, str, str]]:
    """Lists the labels that say what they may not, each with its metric."""
    return [
        (sample.name, label, value)
        for sample in samples(text)
        for label, value in sample.labels.items()
        if not allowed(label, value, routes=routes)
    ]


def allowed(label: str, value: str, *, routes: Collection[str] = ()) -> bool:
    says = LABELS.get(label, set())
    if isinstance(says, re.Pattern):
        return says.fullmatch(value) is not None
    return value in says or (label == "route" and value in routes)


async def scrape(bench: Bench) -> str:
    async with bench.http(peer="127.0.0.1") as http:
        return (await http.get("/metrics")).text


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


def samples(text: str) -> list[Sample]:
    return [sample for family in families(text) for sample in family.samples]


async def figures_at_the_cap() -> MediaFigures:
    """What a real engine shows, as if it had as many workers as it may."""
    async with pysfu.Sfu(pysfu.Config(bind=("127.0.0.1",))) as sfu:
        real = figures_of(await sfu.stats(), {})
    return replace(real, rims=real.rims * MAX_WORKERS)


def everything_that_happens() -> Iterator[MediaEvent]:
    for profile in PROFILES:
        for dtls in get_args(messages.DtlsVersion):
            yield PeerConnected(peer=CANARY, srtp_profile=profile, dtls_version=dtls)
    yield from (PeerGone(peer=CANARY, reason=reason) for reason in ENDS)
    yield from (MediaWarning(code=code) for code in WARNINGS)
    yield from (PeerReconnected(peer=CANARY), RoomGone(media_room=CANARY), EngineRestarted())
    yield Resynced(media_rooms=frozenset(), peers=frozenset())


async def paths_of(bench: Bench) -> list[str]:
    """Lists the templates by which requests are counted."""
    async with bench.http() as http:
        return [*UNPUBLISHED, *(await http.get("/openapi.json")).json()["paths"]]


@pytest.fixture
async def full(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A server on which everything that is counted has happened, with as many workers as there may be."""
    bench = Bench(settings())
    figures = await figures_at_the_cap()

    async def at_the_cap() -> MediaFigures:
        return figures

    monkeypatch.setattr(bench.engine, "figures", at_the_cap)
    metrics = bench.parts.metrics
    for event in everything_that_happens():
        metrics.on_event(event)
    metrics.on_workers(MAX_WORKERS, {0: WorkerFault.FAILED})
    metrics.on_reconnect("ice_restart")
    metrics.certificate_expiry.labels("http").set(1)
    standing = {(kind, cause): 1 for kind in ("audio", "video") for cause in Cause}
    stalls = tuple(Stall(kind=kind, cause=cause) for kind, cause in standing)
    metrics.on_look(Observed(changed={}, stalls=stalls, standing=standing))
    for path in await paths_of(bench):
        for method in (*_METHODS, "OTHER"):
            for status in STATUSES:
                metrics.on_request(route=path, method=method, status=status, seconds=0.1)
    return bench


async def test_a_full_server_shows_at_most_two_thousand_series(full: Bench) -> None:
    assert len(samples(await scrape(full))) <= MAX_SERIES


async def test_every_label_of_a_full_server_says_only_what_it_may(full: Bench) -> None:
    assert strange(await scrape(full), routes=await paths_of(full)) == [], (
        "is that in LABELS, and of whom does it say it?"
    )


def test_no_label_has_a_name_by_which_a_person_or_place_could_come_in() -> None:
    assert [label for label in LABELS if PERSON_LIKE.search(label)] == []
    for label in ("room", "identity", "name", "user", "ip", "phone", "track_id", "session", "participant"):
        assert PERSON_LIKE.search(label)
        assert not allowed(label, "ok")


@pytest.mark.parametrize(
    "value", ["r_0123456789abcdef01234567", "anna", "192.0.2.7", "19121212-1212", "anna@example.org"]
)
def test_no_label_can_say_a_person_a_room_or_an_address(value: str) -> None:
    assert [label for label in LABELS if allowed(label, value)] == []


async def test_nothing_of_those_who_meet_is_shown_and_the_number_of_series_does_not_grow_with_them(
    bench: Bench,
) -> None:
    await meet(bench, numbers=range(1))
    await scrape(bench)  # which is itself counted
    few = samples(await scrape(bench))
    rooms = await meet(bench, numbers=range(1, 51))
    text = await scrape(bench)
    assert len(samples(text)) == len(few)
    assert CANARY not in text.lower()
    for told in (*rooms, "192.0.2.", "2001:db8", "50000", "Bearer", "eyJ"):
        assert told not in text
    assert strange(text, routes=await paths_of(bench)) == []


async def meet(bench: Bench, *, numbers: range) -> list[str]:
    """Has people with tell-tale names do in rooms of tell-tale names what can be done, and fail at it."""
    made = []
    for number in numbers:
        room = await bench.room(name=f"{CANARY}-room-{number}")
        made.append(room)
        async with (
            await bench.participant(room, f"{CANARY}-anna-{number}") as anna,
            await bench.participant(room, f"{CANARY}-bela-{number}") as bela,
            bench.admin() as admin,
        ):
            published = await bench.publish(room, anna)
            assert published.status_code == 201
            assert (await bench.play(room, bela, f"{CANARY}-anna-{number}")).status_code == 201
            await bench.publish(f"{CANARY}-elsewhere", anna)
            await bench.play(room, bela, f"{CANARY}-nobody")
            await anna.request(f"{CANARY.upper()}", f"/{CANARY}?name={CANARY}")
            await anna.post(f"/whip/{room}", content=offer(more=f"a=tool:{CANARY}\x00"), headers=SDP)
            await anna.patch(published.headers["location"], content=CANARY)
            removed = await admin.delete(f"/rooms/{room}/participants/{CANARY}-bela-{number}")
            assert removed.status_code == 204
        async with bench.http(Authorization=f"Bearer {CANARY}") as stranger:
            await stranger.get(f"/rooms/{CANARY}")
            for path in ("/rtc", "/rtc/validate", f"/rtc/{CANARY}"):
                await stranger.get(path, params={"access_token": CANARY})
    return made


def test_as_many_workers_as_there_may_be_were_shown() -> None:
    (most,) = [limit.le for limit in MediaSettings.model_fields["workers"].metadata if hasattr(limit, "le")]
    assert most == MAX_WORKERS
