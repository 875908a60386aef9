"""Who is removed gets nothing more: counted on the wire, at a relay that goes on listening when the client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from callers import Caller, Meeting
from footage import Camera, Tone
from relay import Relay
from relayed import ends, flows

import pysfu


async def test_after_a_participant_is_deleted_no_packet_is_sent_to_them_and_others_see_on(room: Meeting) -> None:
    with Relay() as stays, Relay() as goes:
        async with Caller() as publisher, Caller(relay=stays) as carl:
            await room.publish(publisher.send(Camera(1, frame_rate=30), Tone(440)), "anna")
            await room.play(carl.take("video", "audio"), "anna", "carl")
            for name in ("bela", "dora"):
                async with Caller(relay=goes) as bela:
                    await room.play(bela.take("video", "audio"), "anna", name)
                    await flows(stays, goes)
                    await ends(lambda name=name: room.remove(name), goes)
                    await flows(stays)
                    assert await room.roster() == {"anna": [], "carl": ["anna"]}


async def test_after_a_publisher_is_deleted_no_packet_of_them_is_sent_to_anybody(room: Meeting) -> None:
    with Relay() as one, Relay() as two:
        async with Caller() as publisher, Caller(relay=one) as bela, Caller(relay=two) as carl:
            await room.publish(publisher.send(Camera(1, frame_rate=30), Tone(440)), "anna")
            for name, subscriber in (("bela", bela), ("carl", carl)):
                await room.play(subscriber.take("video", "audio"), "anna", name)
            await flows(one, two)
            await ends(lambda: room.remove("anna"), one, two)
            assert await room.roster() == {}, "whoever plays only them has nothing left"


@pytest.mark.parametrize("how", ["revoke", "remove", "close", "mute", "stop"])
async def test_after_a_right_is_taken_away_no_packet_is_sent(sfu: pysfu.Sfu, how: str) -> None:
    with Relay() as relay:
        async with await sfu.create_room() as room, Caller() as publisher, Caller(relay=relay) as caller:
            anna, bela = await room.add_participant(), await room.add_participant()
            sending = await anna.answer(await publisher.send(Camera(1, frame_rate=30), Tone(440)).offer())
            await publisher.accept(sending.sdp)
            offer = await caller.take("video", "audio").offer()
            playing = await bela.answer(offer, publish=False, play=sending.tracks)
            await caller.accept(playing.sdp)
            for track in sending.tracks:
                await bela.allow(track)
            await flows(relay)
            each: dict[str, Callable[[], Awaitable[object]]] = {
                "revoke": lambda: asyncio.gather(*(bela.revoke(track) for track in sending.tracks)),
                "remove": bela.remove,
                "close": playing.close,
                "mute": lambda: asyncio.gather(*(track.mute() for track in sending.tracks)),
                "stop": lambda: asyncio.gather(*(playing.stop(track) for track in sending.tracks)),
            }
            await ends(each[how], relay)
            assert (await sfu.stats()).total("unauthorized_forwards") == 0
