"""A bot that tells which tone it hears: sound as numpy arrays, second by second. Needs `pysfu[bots]`."""

from collections.abc import AsyncIterator

import numpy as np

from pysfu import Room, Track

SAMPLE_RATE = 48_000


async def tones(room: Room, track: Track) -> AsyncIterator[float]:
    """Yields the loudest frequency of every second of a track, in Hz."""
    async with room.bot(play=[track]) as bot:
        await bot.participant.allow(track)
        second = np.empty(0)
        async for frame in bot.audio_frames(track):
            second = np.concatenate([second, frame.to_ndarray().mean(axis=0)])  # (channels, samples) to one channel
            if len(second) >= SAMPLE_RATE:
                yield loudest(second)
                second = np.empty(0)


def loudest(samples: np.ndarray) -> float:
    """Returns the loudest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))
