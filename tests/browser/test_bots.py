"""Bots and real browsers see and hear each other, with every codec that both have."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from browser_lab import PATIENCE_S

if TYPE_CHECKING:
    from browser_lab import Engine
    from conftest import OpenTab

    import pysfu
    from pysfu.codecs import VideoCodec

pytestmark = pytest.mark.asyncio(loop_scope="session")

FRAME_RATE = 15
WIDTH, HEIGHT = 640, 360
# Firefox's H.264 comes from its maker at run time, so not here.
PAIRS = [("chromium", "vp8"), ("chromium", "vp9"), ("chromium", "h264"), ("firefox", "vp8"), ("firefox", "vp9")]


@contextlib.asynccontextmanager
async def performing(bot: pysfu.Bot) -> AsyncIterator[None]:
    """Has a bot publish noise that moves, and a tone."""

    async def film() -> None:
        rng = np.random.default_rng(1)
        for number in itertools.count():
            picture = rng.integers(0, 99, (HEIGHT, WIDTH, 3), np.uint8)
            picture[:, number * 8 % WIDTH :] += np.uint8(99)
            await bot.send_video(av.VideoFrame.from_ndarray(picture, format="rgb24"), frame_rate=FRAME_RATE)
            await asyncio.sleep(1 / FRAME_RATE)

    async def sing() -> None:
        tone = (8_000 * np.sin(np.arange(960) * 2 * np.pi * 500 / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None, :], format="s16", layout="mono")
        frame.sample_rate = 48_000
        while True:
            await bot.send_audio(frame)
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(film()), asyncio.create_task(sing())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()  # what broke it is told


async def first(frames: AsyncIterator[Any], count: int) -> list[Any]:
    """Takes so many frames."""
    taken = []
    async with asyncio.timeout(PATIENCE_S), contextlib.aclosing(frames):
        async for frame in frames:
            taken.append(frame)
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize(("browser", "codec"), PAIRS)
async def test_a_browser_sees_and_hears_a_bot(
    open_tab: OpenTab, engine: Engine, browser: str, codec: VideoCodec
) -> None:
    tab = await open_tab(browser)
    async with engine.room.bot(publish_audio=True, publish_video=True, video_codec=codec) as bot, performing(bot):
        engine.people["bot"] = bot.participant
        await tab.play(engine.whep("viewer", "bot"), "", name="bot")
        seen = (await tab.until_decoding("bot", frames=2 * FRAME_RATE))["video"]
        assert (seen["codec"].lower(), seen["frameWidth"], seen["frameHeight"]) == (f"video/{codec}", WIDTH, HEIGHT)


@pytest.mark.parametrize(("browser", "codec"), PAIRS)
async def test_a_bot_sees_and_hears_a_browser(
    open_tab: OpenTab, engine: Engine, browser: str, codec: VideoCodec
) -> None:
    tab = await open_tab(browser)
    await tab.publish(engine.whip("alice"), "", codec=f"video/{codec}", width=WIDTH, height=HEIGHT)
    picture, sound = engine.track("alice", "video"), engine.track("alice", "audio")
    async with engine.room.bot(play=[picture, sound]) as bot:
        for track in (picture, sound):
            await bot.participant.allow(track)
        pictures, sounds = await asyncio.gather(
            first(bot.video_frames(picture), 2 * FRAME_RATE), first(bot.audio_frames(sound), 150)
        )
    times = [frame.pts for frame in pictures]
    assert times == sorted(set(times))
    assert 0.5 < (times[-1] - times[0]) / 90_000 < 2 * PATIENCE_S
    assert all(frame.to_ndarray(format="gray").std() > 1 for frame in pictures)
    assert np.abs(np.concatenate([frame.to_ndarray()[0] for frame in sounds])).max() > 0.01
    # Where Opus changes its mode a packet sounds up to half a millisecond longer or shorter than it says.
    holes = [later.pts - earlier.pts - earlier.samples for earlier, later in itertools.pairwise(sounds)]
    assert max(map(abs, holes)) <= 24
