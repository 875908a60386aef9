"""Frames through a bot's encoders, as packets, and back through its decoders. Needs pysfu[bots]."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from pysfu import TransportState, bot, messages

pytestmark = pytest.mark.asyncio


class Ring:
    """What is sent comes back."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.waiting: list[bytes] = []
        self.dropped = 0

    def send(self, packet: bytes) -> bool:
        self.waiting.append(packet)
        os.eventfd_write(self.fd, 1)
        return True

    def drain(self) -> list[bytes]:
        os.eventfd_read(self.fd)
        waiting, self.waiting = self.waiting, []
        return waiting


class Transport:
    state = TransportState.CONNECTED

    def __init__(self, session: messages.NegotiatedSession, track: Any) -> None:
        self.session = session
        self.playing = {"in0": track}
        self.tracks = [track]

    def when_ended(self, tell: Callable[[], None]) -> None:
        pass

    def when_discarding(self, discard: Callable[[str], None]) -> None:
        pass


class Track:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.keyframes = 0

    async def request_keyframe(self) -> None:
        self.keyframes += 1


def looped(kind: str) -> tuple[bot.Bot, Any]:
    """A bot that plays what it publishes: the section it receives in has the sender's own number."""
    track: Any = Track(kind)
    session, senders = bot._session(publish_audio=kind == "audio", publish_video=kind == "video", play=[track])
    senders[kind].ssrc = session.send[0].ssrc
    transport: Any = Transport(session, track)
    ring: Any = Ring()
    made = bot.Bot(transport, transport, ring)
    made._senders = senders
    return made, track


async def test_sound_comes_back_as_sound() -> None:
    player, track = looped("audio")
    frames = player.audio_frames(track)
    first = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    tone = (8_000 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000)).astype(np.int16)
    for at in range(0, 48_000, 480):
        frame = av.AudioFrame.from_ndarray(tone[None, at : at + 480], format="s16", layout="mono")
        frame.sample_rate = 48_000
        await player.send_audio(frame)
    heard = [await first] + [await anext(frames) for _ in range(20)]
    assert all(frame.sample_rate == 48_000 for frame in heard)
    assert np.abs(heard[-1].to_ndarray()).max() > 0.05 * (1 if heard[-1].format.name.startswith("flt") else 32_768)
    await frames.aclose()


async def test_pictures_come_back_as_pictures() -> None:
    player, track = looped("video")
    frames = player.video_frames(track)
    first = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for shade in range(5):
        await player.send_video(
            av.VideoFrame.from_ndarray(np.full((240, 320, 3), 40 * shade, np.uint8), format="rgb24")
        )
    seen = [await first] + [await anext(frames) for _ in range(4)]
    assert [(frame.width, frame.height) for frame in seen] == [(320, 240)] * 5
    shades = [int(frame.to_ndarray(format="rgb24").mean()) for frame in seen]
    assert shades == sorted(shades)
    assert abs(shades[-1] - 160) < 12
    assert track.keyframes == 1
    await frames.aclose()
