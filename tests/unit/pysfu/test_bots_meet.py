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


async def speak(speaker: bot.Bot, *, packets: int) -> None:
    sender = speaker._sender("audio")
    for _ in range(packets):
        for packet in sender.packets([b"\x78" + bytes(60)], marked=False):
            speaker.send(packet)
        sender.step(960)
        await asyncio.sleep(0.001)


async def heard(packets: AsyncIterator[bot.Packet], *, count: int) -> list[bot.Packet]:
    return [await asyncio.wait_for(anext(packets), 5) for _ in range(count)]


async def test_a_bot_hears_another_once_allowed_and_no_more_once_revoked() -> None:
    async with Sfu(CONFIG) as sfu, await sfu.create_room() as room, room.bot(publish_audio=True) as alice:
        (track,) = alice.tracks
        async with room.bot(play=[track]) as bob:
            packets = bob.packets(track)
            first = asyncio.ensure_future(anext(packets))
            await speak(alice, packets=20)
            assert not first.done(), "nothing flows before it is allowed"
            await bob.participant.allow(track)
            await speak(alice, packets=20)
            sequence = [(await asyncio.wait_for(first, 5)).sequence_number]
            sequence += [packet.sequence_number for packet in await heard(packets, count=10)]
            assert [(number - sequence[0]) & 0xFFFF for number in sequence] == list(range(11))
            await bob.participant.revoke(track)
            before = (await sfu.stats()).total("rtp_packets_out")
            await speak(alice, packets=20)
            stats = await sfu.stats()
            assert stats.total("rtp_packets_out") == before
            assert stats.total("unauthorized_forwards") == 0
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
