"""aiortc (OpenSSL, PyAV) publishes by WHIP and plays by WHEP, through `pysfu serve` over real UDP."""

from __future__ import annotations

import asyncio
import contextlib

from callers import Caller, Meeting, gaps
from footage import FRAME_RATE, Camera, Tone

SECONDS = 6
TONES_HZ = {"anna": 440.0, "bela": 880.0}
CAMERAS = {"anna": 1, "bela": 2}
CODECS = {"anna": "VP8", "bela": "H264"}


async def test_six_subscribers_decode_two_publishers_without_a_gap(room: Meeting) -> None:
    async with contextlib.AsyncExitStack() as callers:
        for name, camera in CAMERAS.items():
            publisher = await callers.enter_async_context(Caller())
            publisher.send(Camera(camera), Tone(TONES_HZ[name]), codec=CODECS[name])
            await room.publish(publisher, name)
            await publisher.connected()
        subscribers: list[tuple[str, Caller]] = []
        for index in range(6):
            source = ("anna", "bela")[index % 2]
            subscriber = (await callers.enter_async_context(Caller())).take("video", "audio")
            await room.play(subscriber, source)
            subscribers.append((source, subscriber))
        await asyncio.gather(*(each.watched(SECONDS * FRAME_RATE) for _, each in subscribers))
        tones = await asyncio.gather(*(each.heard() for _, each in subscribers))

        for (source, subscriber), tone in zip(subscribers, tones, strict=True):
            assert {camera for camera, _ in subscriber.pictures} == {CAMERAS[source]}
            assert gaps([number for _, number in subscriber.pictures]) == []
            assert abs(tone - TONES_HZ[source]) <= 2.0
        assert sorted(map(tuple, (await room.roster()).values())) == sorted(
            [(), (), *[("anna",)] * 3, *[("bela",)] * 3]
        )


async def test_a_publisher_who_leaves_is_gone_and_can_return(room: Meeting) -> None:
    async with Caller() as before, Caller() as subscriber:
        resource = await room.publish(before.send(Camera(3)), "anna")
        await before.connected()
        await room.play(subscriber.take("video"), "anna", "bela")
        await subscriber.watched(5)
        await room.leave(resource, "anna")
        assert await room.roster() == {}

    async with Caller() as again, Caller() as subscriber:
        await room.publish(again.send(Camera(4)), "anna")
        await again.connected()
        await room.play(subscriber.take("video"), "anna", "bela")
        assert {camera for camera, _ in await subscriber.watched(5)} == {4}
        assert await room.roster() == {"anna": [], "bela": ["anna"]}
