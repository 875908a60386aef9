"""Two bots in one room of the real engine: what is allowed flows, what is revoked does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pysfu import Config, Sfu, bot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pysfu import Track

pytestmark = pytest.mark.asyncio
CONFIG = Config(bind=("127.0.0.1",))


async def turns(sfu: Sfu) -> None:
    """Returns when the worker has handed on all that bots had sent before: its answers come in turns of their own."""
    for _ in range(3):
        await sfu.stats()


async def speak(sfu: Sfu, speaker: bot.Bot, payload: bytes) -> None:
    sender = speaker._sender("audio")
    for _ in range(20):
        for packet in sender.packets([b"\x78" + payload], marked=False):
            speaker.send(packet)
        sender.step(960)
    await turns(sfu)


async def heard(packets: AsyncIterator[bot.Packet], *, count: int) -> list[bot.Packet]:
    return [await asyncio.wait_for(anext(packets), 5) for _ in range(count)]


async def test_a_bot_hears_another_once_allowed_and_no_more_once_revoked() -> None:
    async with Sfu(CONFIG) as sfu, await sfu.create_room() as room, room.bot(publish_audio=True) as alice:
        (track,) = alice.tracks
        async with room.bot(play=[track]) as bob:
            packets = bob.packets(track)
            first = asyncio.ensure_future(anext(packets))
            await speak(sfu, alice, b"before")
            assert not first.done(), "nothing flows before it is allowed"
            await bob.participant.allow(track)
            await speak(sfu, alice, b"allowed")
            sequence = [(await asyncio.wait_for(first, 5)).sequence_number]
            sequence += [packet.sequence_number for packet in await heard(packets, count=10)]
            assert [(number - sequence[0]) & 0xFFFF for number in sequence] == list(range(11))
            await bob.participant.revoke(track)
            before = (await sfu.stats()).total("rtp_packets_out")
            late = asyncio.ensure_future(anext(packets))
            await speak(sfu, alice, b"revoked")
            assert not late.done(), "nor what was waiting"
            stats = await sfu.stats()
            assert stats.total("rtp_packets_out") == before
            assert stats.total("unauthorized_forwards") == 0
            await bob.participant.allow(track)
            await speak(sfu, alice, b"again")
            assert (await asyncio.wait_for(late, 5)).payload == b"\x78again"
            await packets.aclose()


@pytest.mark.parametrize("ending", ["mute", "stop", "revoke"])
async def test_what_waits_for_a_bot_that_does_not_read_is_dropped_with_its_right(ending: str) -> None:
    async with Sfu(CONFIG) as sfu, await sfu.create_room() as room, room.bot(publish_audio=True) as alice:
        (track,) = alice.tracks
        async with room.bot(play=[track]) as bob:
            await bob.participant.allow(track)
            await speak(sfu, alice, b"allowed")
            match ending:
                case "mute":
                    await track.mute()
                    assert track.muted
                    await track.unmute()
                    assert not track.muted
                case "stop":
                    await bob.transport.stop(track)
                    await bob.transport.play(track)
                case _:
                    await bob.participant.revoke(track)
                    await bob.participant.allow(track)
            packets = bob.packets(track)
            late = asyncio.ensure_future(anext(packets))
            await speak(sfu, alice, b"again")
            assert (await asyncio.wait_for(late, 5)).payload == b"\x78again"
            await packets.aclose()


async def test_a_section_that_plays_another_track_hands_over_nothing_of_the_one_before() -> None:
    async with (
        Sfu(CONFIG) as sfu,
        await sfu.create_room() as room,
        room.bot(publish_audio=True) as alice,
        room.bot(publish_audio=True) as carol,
        room.bot(play=alice.tracks) as bob,
    ):
        (track,) = alice.tracks
        await bob.participant.allow(track)
        before = bob.packets(track)
        await speak(sfu, alice, b"alice")
        assert (await heard(before, count=1))[0].payload == b"\x78alice"
        await speak(sfu, alice, b"alice")
        await alice.participant.remove()
        assert [packet async for packet in before] == [], "it ends with the track"
        await bob.transport.play(carol.tracks[0])
        await bob.participant.allow(carol.tracks[0])
        packets = bob.packets(carol.tracks[0])
        first = asyncio.ensure_future(anext(packets))
        await asyncio.sleep(0)  # it reads: what comes while nobody does is not kept for a bot that has read before
        await speak(sfu, carol, b"carol")
        assert (await asyncio.wait_for(first, 5)).payload == b"\x78carol"
        await packets.aclose()


async def test_whoever_reads_a_bot_stops_when_the_bot_its_room_or_the_engine_ends() -> None:
    async def read_to_the_end(reader: bot.Bot, track: Track) -> list[bot.Packet]:
        return [packet async for packet in reader.packets(track)]

    async with Sfu(CONFIG) as sfu:
        room, other = await sfu.create_room(), await sfu.create_room()
        async with room.bot(publish_audio=True) as alice, other.bot(publish_audio=True) as carol:
            async with room.bot(play=alice.tracks) as bob:
                readings = [asyncio.create_task(read_to_the_end(bob, alice.tracks[0]))]
                await asyncio.sleep(0)
            async with room.bot(play=alice.tracks) as bob, other.bot(play=carol.tracks) as dora:
                readings.append(asyncio.create_task(read_to_the_end(bob, alice.tracks[0])))
                readings.append(asyncio.create_task(read_to_the_end(dora, carol.tracks[0])))
                await asyncio.sleep(0)
                await room.close()
                other.end()  # as `Sfu` does when it closes
            assert await asyncio.wait_for(asyncio.gather(*readings), 5) == [[], [], []]
