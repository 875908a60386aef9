"""The certificate in use: taken from its files when they are good, kept when not, and reminded of before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling import certificate as certificates
from signalling.certificate import LiveCertificate, follow, make_trial_certificate
from signalling.domain.expiry import REMINDERS, reminder

HANG_S = 10.0
NOW = datetime(2026, 11, 28, tzinfo=UTC)
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=800))


@given(life=spans, left=spans, later=spans)
def test_a_reminder_comes_in_the_last_third_of_a_life_and_only_gets_more_urgent(
    life: timedelta, left: timedelta, later: timedelta
) -> None:
    ends = NOW + left
    due = reminder(ends - life, ends, now=NOW)
    assert (due is None) is (left > min(REMINDERS[0], life / 3))
    after = reminder(ends - life, ends, now=NOW + later)
    assert due is None or (after is not None and after <= due)


def test_a_certificate_that_has_ended_is_reminded_of_as_such() -> None:
    assert reminder(NOW - timedelta(days=90), NOW, now=NOW) == timedelta(0)


@asynccontextmanager
async def followed(live: LiveCertificate, asked: asyncio.Event) -> AsyncIterator[list[datetime]]:
    told: list[datetime] = []
    following = asyncio.ensure_future(follow(live, asked=asked, on_expiry=told.append))
    await asyncio.sleep(0)
    try:
        yield told
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def lines(logged: io.StringIO) -> list[tuple[str, str]]:
    return [(line["level"], line["event"]) for line in map(json.loads, logged.getvalue().splitlines())]


async def test_whoever_asks_has_the_files_read_at_once_and_a_bad_pair_changes_nothing(
    tmp_path: Path, logged: io.StringIO
) -> None:
    certificate, key = make_trial_certificate(tmp_path, [])
    live, asked = LiveCertificate(certificate, key), asyncio.Event()
    async with followed(live, asked) as told:
        before = live.in_use
        make_trial_certificate(tmp_path, [])
        asked.set()
        await until(lambda: len(told) == 2)
        assert live.in_use.fingerprint != before.fingerprint
        good = live.in_use
        key.write_text("no key")
        asked.set()
        await until(lambda: len(told) == 3)
        assert live.in_use is good
        certificate.unlink()
        asked.set()
        await until(lambda: len(told) == 4)
        assert live.in_use is good
    assert lines(logged) == [
        ("info", "certificate reloaded"),
        ("error", "certificate not reloaded: the one before stays in use"),
        ("error", "certificate not reloaded: the one before stays in use"),
    ]


def shown(live: LiveCertificate) -> bytes | None:
    """Returns the certificate that a newcomer sees in a handshake that names no server."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = live.context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert(binary_form=True)


@pytest.mark.parametrize("reading", [1, 2])
def test_files_that_change_while_they_are_read_leave_no_newcomer_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: int
) -> None:
    certificate, key = make_trial_certificate(tmp_path / "tls", [])
    live = LiveCertificate(certificate, key)
    assert shown(live) == live.in_use.der
    make_trial_certificate(tmp_path / "tls", [])
    other, _ = make_trial_certificate(tmp_path / "other", [])
    read, readings = certificates.read_certificate, 0

    def read_and_renew(path: Path) -> certificates.Certificate:
        nonlocal readings
        readings += 1
        found = read(path)
        if readings == reading:
            certificate.write_bytes(other.read_bytes())
        return found

    monkeypatch.setattr(certificates, "read_certificate", read_and_renew)
    live.reload()
    assert shown(live) is not None


async def test_a_bad_pair_is_told_once_and_not_at_every_look(
    tmp_path: Path, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "RELOAD_INTERVAL_S", 0.001)
    certificate, key = make_trial_certificate(tmp_path, [])
    async with followed(LiveCertificate(certificate, key), asyncio.Event()) as told:
        key.write_text("no key")
        await until(lambda: lines(logged) != [])
        looks = len(told)
        await until(lambda: len(told) > looks + 5)
        assert len(lines(logged)) == 1
        make_trial_certificate(tmp_path, [])
        await until(lambda: lines(logged)[-1] == ("info", "certificate reloaded"))


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=22), []),
        (timedelta(days=20), [("warning", "certificate ends soon: renew it")]),
        (timedelta(hours=20), [("error", "certificate ends soon: renew it")]),
        (-timedelta(hours=1), [("error", "certificate has ended: renew it")]),
    ],
)
def test_the_log_reminds_once_of_each_step(
    tmp_path: Path, logged: io.StringIO, left: timedelta, told: list[tuple[str, str]]
) -> None:
    made, _ = make_trial_certificate(tmp_path, [])
    certificate = certificates.read_certificate(made)
    now = certificate.not_after - left
    long_lived = certificates.Certificate(
        not_before=now - timedelta(days=365), not_after=certificate.not_after, names=(), fingerprint="", der=b""
    )
    reminded = None
    for _ in range(3):
        reminded = certificates._remind(long_lived, reminded, now=now)
    assert lines(logged) == told
