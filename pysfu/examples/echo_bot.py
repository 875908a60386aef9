"""A bot that says back what it hears, such as for trying a headset before a meeting. Needs `pysfu[bots]`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pysfu import Bot, Room, Track


@asynccontextmanager
async def echo(room: Room, track: Track) -> AsyncIterator[Bot]:
    """Puts a bot into the room that says back what comes on a track.

    Whoever shall hear it gets a transport that plays `bot.tracks`, and is allowed to:

        async with echo(room, speaking.tracks[0]) as bot:
            hearing = await alice.answer(offer, publish=False, play=bot.tracks)
            await alice.allow(bot.tracks[0])
    """
    async with room.bot(publish_audio=True, play=[track]) as bot:
        await bot.participant.allow(track)  # from here on the roster shows that it listens
        repeating = asyncio.create_task(_repeat(bot, track))
        try:
            yield bot
        finally:
            repeating.cancel()
            await asyncio.wait([repeating])
            if not repeating.cancelled():
                repeating.result()  # what broke it is told


async def _repeat(bot: Bot, track: Track) -> None:
    async for frame in bot.audio_frames(track):
        await bot.send_audio(frame)
