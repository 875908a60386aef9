"""Bots with every codec: among themselves through the engine, and with aiortc over real UDP."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from callers import HANG_S, Caller, gaps
from footage import FRAME_RATE, Camera, Tone, draw, frequency_of, read, samples_of

import pysfu
from pysfu.codecs import VideoCodec, codec_of

if TYPE_CHECKING:
    from pysfu._compiled import BotRing

VIDEO: list[VideoCodec] = ["vp8", "vp9", "h264"]


@contextlib.asynccontextmanager
async def filming(bot: pysfu.Bot, camera: int) -> AsyncIterator[list[int]]:
    """Has a bot publish numbered pictures, and tells which it has sent. A crash ends the block."""
    sent = [-1]

    async def film() -> None:
        for number in itertools.count():
            sent.append(number)
            picture = draw(camera, number).to_ndarray(format="rgb24")
            await bot.send_video(av.VideoFrame.from_ndarray(picture, format="rgb24"), frame_rate=FRAME_RATE)
            await asyncio.sleep(1 / FRAME_RATE)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(film())
        yield sent
        task.cancel()


async def watched(bot: pysfu.Bot, track: pysfu.Track, frames: int) -> list[tuple[int, int]]:
    """Returns whose pictures a bot saw, and which."""
    seen = []
    async with asyncio.timeout(HANG_S), contextlib.aclosing(bot.video_frames(track)) as pictures:
        async for picture in pictures:
            seen.append(read(picture))
            if len(seen) == frames:
                break
    return seen


async def heard(bot: pysfu.Bot, track: pysfu.Track) -> float:
    """Returns the frequency of a second of sound."""
    waves: list[np.ndarray] = []
    async with asyncio.timeout(HANG_S), contextlib.aclosing(bot.audio_frames(track)) as sounds:
        async for sound in sounds:
            waves.append(samples_of(sound))
            if sum(map(len, waves)) >= 48_000:
                break
    return frequency_of(np.concatenate(waves))


@pytest.fixture
async def room(sfu: pysfu.Sfu) -> AsyncIterator[pysfu.Room]:
    async with await sfu.create_room() as made:
        yield made


@pytest.mark.parametrize("codec", VIDEO)
async def test_a_bot_sees_every_picture_of_another_and_one_who_comes_later_need_not_wait(
    room: pysfu.Room, codec: VideoCodec
) -> None:
    async with room.bot(publish_video=True, video_codec=codec) as filmer, filming(filmer, 3) as sent:
        for _ in range(2):
            async with room.bot(play=filmer.tracks) as viewer:
                await viewer.participant.allow(filmer.tracks[0])
                async with (
                    asyncio.timeout(HANG_S),
                    contextlib.aclosing(viewer.packets(filmer.tracks[0])) as packets,
                ):
                    assert codec_of((await anext(packets)).payload_type) == codec
                asked = sent[-1]
                seen = await watched(viewer, filmer.tracks[0], 2 * FRAME_RATE)
                assert seen[0][1] - asked < FRAME_RATE, "a keyframe comes when asked for, not after three seconds"
                assert {camera for camera, _ in seen} == {3}
                assert gaps([number for _, number in seen]) == []


class Lossy:
    """A bot's ring on a network that loses every thirtieth packet."""

    def __init__(self, ring: BotRing) -> None:
        self._ring = ring
        self._sent = 0
        self.lost = 0
        self.fd, self.drain = ring.fd, ring.drain

    def send(self, packet: bytes) -> bool:
        self._sent += 1
        if self._sent % 30:
            return self._ring.send(packet)
        self.lost += 1
        return True


@pytest.mark.parametrize("codec", VIDEO)
async def test_what_is_lost_is_left_out_until_the_keyframe_that_the_bot_asks_for(
    room: pysfu.Room, codec: VideoCodec
) -> None:
    async with room.bot(publish_video=True, video_codec=codec) as filmer, room.bot(play=filmer.tracks) as viewer:
        lossy = Lossy(filmer._ring)
        filmer._ring = lossy  # type: ignore[assignment]
        await viewer.participant.allow(filmer.tracks[0])
        async with filming(filmer, 7):
            seen = await watched(viewer, filmer.tracks[0], 6 * FRAME_RATE)
    assert lossy.lost >= 2
    assert {camera for camera, _ in seen} == {7}
    assert all(earlier < later for (_, earlier), (_, later) in itertools.pairwise(seen))
    missing = [later - earlier for earlier, later in gaps([number for _, number in seen])]
    assert missing
    assert max(missing) < 2 * FRAME_RATE


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_bot_sees_and_hears_aiortc(room: pysfu.Room, codec: str) -> None:
    alice = await room.add_participant()
    async with Caller() as caller:
        speaking = await alice.answer(await caller.send(Camera(5), Tone(660), codec=codec).offer())
        await caller.accept(speaking.sdp)
        await caller.connected()
        picture, sound = sorted(speaking.tracks, key=lambda track: track.kind, reverse=True)
        async with room.bot(play=[picture, sound]) as bot:
            await bot.participant.allow(picture)
            await bot.participant.allow(sound)
            seen, tone = await asyncio.gather(watched(bot, picture, 3 * FRAME_RATE), heard(bot, sound))
        assert {camera for camera, _ in seen} == {5}
        assert gaps([number for _, number in seen]) == []
        assert abs(tone - 660) <= 2


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_aiortc_sees_every_picture_of_a_bot(room: pysfu.Room, codec: VideoCodec) -> None:
    bob = await room.add_participant()
    async with Caller() as caller, room.bot(publish_video=True, video_codec=codec) as bot:
        watching = await bob.answer(await caller.take("video").offer(), publish=False, play=bot.tracks)
        await bob.allow(bot.tracks[0])
        await caller.accept(watching.sdp)
        await caller.connected()
        async with filming(bot, 6):
            seen = await caller.watched(2 * FRAME_RATE)
        assert {camera for camera, _ in seen} == {6}
        assert gaps([number for _, number in seen]) == []
