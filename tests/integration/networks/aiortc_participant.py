"""A program: one aiortc participant that publishes a moving picture and a tone by WHIP, or plays by WHEP.

Takes an order (see `whip.Order`) as JSON, writes one JSON line per thing that happens, ends when its input ends.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import math
import sys
import time
from contextlib import suppress

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from networks.whip import Order, post, tell, told

LOOK_INTERVAL_S = 0.1
SAMPLE_RATE = 48_000
SAMPLES = 960
TONE_HZ = 440
VIDEO_CLOCK = 90_000


class Picture(VideoStreamTrack):
    """A bar that moves, so that every frame differs from the one before."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._order = order
        self._began = time.monotonic()
        self._number = 0

    async def recv(self) -> VideoFrame:
        """Makes the next frame when it is due."""
        self._number += 1
        due = self._began + self._number / self._order.frame_rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        pixels = np.full((self._order.height, self._order.width, 3), 60, np.uint8)
        left = self._number * 8 % (self._order.width - 40)
        pixels[:, left : left + 40] = (200, 120, 30)
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = self._number * VIDEO_CLOCK // self._order.frame_rate
        frame.time_base = fractions.Fraction(1, VIDEO_CLOCK)
        return frame


class Tone(MediaStreamTrack):
    """A tone in frames of 20 ms."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._sent = 0

    async def recv(self) -> AudioFrame:
        """Makes the next frame when it is due."""
        await asyncio.sleep(max(0.0, self._began + self._sent / SAMPLE_RATE - time.monotonic()))
        angles = (np.arange(SAMPLES) + self._sent) * (2 * math.pi * TONE_HZ / SAMPLE_RATE)
        samples = (np.sin(angles) * 8000).astype(np.int16)[None, :]
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._sent
        frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
        self._sent += SAMPLES
        return frame


class Counts:
    """What was decoded so far."""

    def __init__(self) -> None:
        self.frames = 0
        self.samples = 0
        self.width = 0

    async def decode(self, track: MediaStreamTrack) -> None:
        """Counts the frames of a track until it ends."""
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, VideoFrame):
                    self.frames += 1
                    self.width = frame.width
                else:
                    self.samples += frame.samples


async def main(order: Order) -> None:
    """Joins, tells what it decodes, and leaves when its input ends."""
    peer, counts, tasks = RTCPeerConnection(RTCConfiguration(iceServers=[])), Counts(), set[asyncio.Task[None]]()
    if order.publishes:
        peer.addTrack(Tone())
        peer.addTrack(Picture(order))
    else:
        for kind in ("audio", "video"):
            peer.addTransceiver(kind, direction="recvonly")
        peer.on("track", lambda track: tasks.add(asyncio.create_task(counts.decode(track))))
    peer.on("connectionstatechange", lambda: tell(looks=[{"at": time.time(), "state": peer.connectionState}]))
    await peer.setLocalDescription(await peer.createOffer())
    tell(ready=True)
    lines = await told()
    opened = await post(order, (await lines.readline()).decode().strip(), peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(opened.answer, "answer"))
    tell(joined=opened.resource, source=opened.source)
    tasks.add(asyncio.create_task(_tell_looks(counts)))
    await lines.read()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await peer.close()


async def _tell_looks(counts: Counts) -> None:
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        look = {"at": time.time(), "frames": counts.frames, "samples": counts.samples, "width": counts.width}
        tell(looks=[look])


if __name__ == "__main__":
    asyncio.run(main(Order(**json.loads(sys.argv[1]))))
