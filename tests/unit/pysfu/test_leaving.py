"""Whoever leaves an engine that goes on has seen to what was to be taken away, or says that this is not known."""

from __future__ import annotations

import asyncio

import pytest
from fake_core import SENDS_BOTH, TAKES_BOTH, FakeCore, settle

from pysfu import Participant, Sfu, Track, _pending, errors

pytestmark = pytest.mark.asyncio


async def with_a_right(sfu: Sfu) -> tuple[Participant, Track]:
    """Makes a room in which a participant may hear another one."""
    room = await sfu.create_room()
    alice, bob = await room.add_participant(), await room.add_participant()
    (track, _) = (await alice.answer(SENDS_BOTH)).tracks
    await bob.answer(TAKES_BOTH, publish=False)
    await bob.allow(track)
    return bob, track


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_a_worker_did_not_take_yet_is_taken_away_before_it_is_left(
    cores: list[FakeCore], *, is_cancelled: bool
) -> None:
    sfu = await Sfu().__aenter__()
    bob, track = await with_a_right(sfu)
    cores[0].busy = True
    revoking = asyncio.ensure_future(bob.revoke(track))
    await settle()
    if is_cancelled:
        revoking.cancel()
    sfu.detach()
    leaving = asyncio.ensure_future(sfu.__aexit__(None, None, None))
    await settle()
    assert not leaving.done()
    assert cores[0].edges
    cores[0].busy = False
    cores[0].release()  # somebody else's answer is read
    await leaving
    assert cores[0].edges == set()
    await asyncio.wait([revoking])
    assert revoking.cancelled() == is_cancelled


async def test_what_is_not_said_to_be_taken_away_in_time_is_told_to_whoever_asked_and_logged(
    cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_pending, "REVOKED_LIMIT_S", 0.05)
    async with Sfu() as sfu:
        bob, track = await with_a_right(sfu)
        cores[0].held = True
        revoking = asyncio.ensure_future(bob.revoke(track))
        asking = asyncio.ensure_future(sfu.create_room())
        await settle()
        sfu.detach()
    with pytest.raises(errors.UnavailableError, match="before it said that this is done"):
        await revoking
    with pytest.raises(errors.ClosedError):
        await asking
    assert "before it said that 1 revocations are carried out" in caplog.text


async def test_who_is_cancelled_while_leaving_has_left(cores: list[FakeCore]) -> None:
    sfu = await Sfu().__aenter__()
    bob, track = await with_a_right(sfu)
    cores[0].held = True
    revoking = asyncio.ensure_future(bob.revoke(track))
    await settle()
    sfu.detach()
    with sfu.subscription() as events:
        leaving = asyncio.ensure_future(sfu.__aexit__(None, None, None))
        await settle()
        leaving.cancel()
        assert [event async for event in events] == []
    with pytest.raises(errors.UnavailableError):
        await revoking
    with pytest.raises(errors.ClosedError):
        await sfu.create_room()


async def test_an_engine_that_ends_is_not_waited_for(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        bob, track = await with_a_right(sfu)
        cores[0].held = True
        revoking = asyncio.ensure_future(bob.revoke(track))
        await settle()
    with pytest.raises(errors.ClosedError):
        await revoking
