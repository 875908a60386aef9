"""Offers of ours, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest
from fake_core import SENDS_BOTH, FakeCore, offer, settle

from pysfu import Sfu, errors, messages

pytestmark = pytest.mark.asyncio

SPEAKS = offer(("audio", "sendonly")).replace("actpass", "active")


async def test_an_offer_of_ours_is_accepted(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, _ = (await alice.answer(SENDS_BOTH)).tracks
        pending = await bob.offer(play=[audio])
        answer = offer(("audio", "recvonly")).replace("actpass", "active")
        transport = await pending.accept(answer)
        assert list(transport.playing.values()) == [audio]


async def test_all_that_an_answer_takes_is_wired_at_the_same_time(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        tracks = (await alice.answer(SENDS_BOTH)).tracks
        pending = await bob.offer(play=tracks)
        submit, waiting = cores[0].submit, []

        def submit_and_look(worker: int, request: bytes) -> bool:
            taken = submit(worker, request)
            waiting.append(sum(isinstance(each.command, messages.Subscribe) for _, each in cores[0].queue))
            return taken

        cores[0].submit = submit_and_look  # type: ignore[method-assign]
        transport = await pending.accept(
            offer(("audio", "recvonly"), ("video", "recvonly")).replace("actpass", "active")
        )
        assert max(waiting) == 2
        assert list(transport.playing.values()) == tracks


async def test_an_offer_that_waits_for_its_answer_ends_with_its_participant(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        bob = await room.add_participant()
        pending = await bob.offer(publish=["audio"])
        await bob.remove()
        assert cores[0].peers == {}
        assert room.transports == {}
        with pytest.raises(errors.UnknownPeerError):
            await pending.accept(SPEAKS)
        with pytest.raises(errors.UnknownPeerError):
            await bob.offer(publish=["audio"])
        await settle()
        assert cores[0].peers == {}


@pytest.mark.parametrize("answer", [None, "nonsense"], ids=["unanswered", "ill_answered"])
async def test_an_offer_that_was_not_accepted_by_the_end_of_its_block_is_given_up(
    cores: list[FakeCore], answer: str | None
) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        bob = await room.add_participant()
        async with await bob.offer(publish=["audio"]) as pending:
            assert len(cores[0].peers) == 1
            if answer is not None:
                with pytest.raises(errors.InvalidSdpError):
                    await pending.accept(answer)
        assert (cores[0].peers, room.transports) == ({}, {})


async def test_a_block_that_fails_gives_the_offer_up(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        bob = await room.add_participant()
        with pytest.raises(ConnectionError):
            async with await bob.offer(publish=["audio"]):
                raise ConnectionError
        assert (cores[0].peers, room.transports) == ({}, {})


async def test_an_offer_that_was_accepted_in_its_block_goes_on_after_it(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        bob = await room.add_participant()
        async with await bob.offer(publish=["audio"]) as pending:
            with pytest.raises(errors.InvalidSdpError):
                await pending.accept("nonsense")
            transport = await pending.accept(SPEAKS)
        assert len(cores[0].peers) == 1
        assert bob.transports == [transport]
        assert [track.kind for track in transport.tracks] == ["audio"]


async def test_a_block_is_left_in_peace_when_its_participant_is_gone_or_accepting_was_cancelled(
    cores: list[FakeCore],
) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        bob = await room.add_participant()
        async with await bob.offer(publish=["audio"]) as pending:
            accepting = asyncio.create_task(pending.accept(SPEAKS))
            await asyncio.sleep(0)
            accepting.cancel()
        async with await bob.offer(publish=["audio"]):
            await bob.remove()
        await settle()
        assert (cores[0].peers, room.transports) == ({}, {})
