"""A bot that plays what it publishes, without engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from pysfu import TransportState, bot, codecs
from pysfu.rtp import packet as rtp


class Ring:
    """What is sent comes back, but for what the network loses."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.waiting: list[bytes] = []
        self.lose: Callable[[rtp.Packet], bool] = lambda packet: False
        self.pictures: list[list[bytes]] = [[]]

    def send(self, packet: bytes) -> bool:
        read = rtp.parse(packet)
        assert read is not None
        self.pictures[-1].append(read.payload)
        if read.marker:
            self.pictures.append([])
        if not self.lose(read):
            self.bring(packet)
        return True

    def bring(self, datagram: bytes) -> None:
        self.waiting.append(datagram)
        os.eventfd_write(self.fd, 1)

    def drain(self) -> list[bytes]:
        os.eventfd_read(self.fd)
        waiting, self.waiting = self.waiting, []
        return waiting

    def discard(self, ssrc: int) -> None:
        self.waiting = [datagram for datagram in self.waiting if datagram[8:12] != ssrc.to_bytes(4, "big")]


class Transport:
    state = TransportState.CONNECTED

    def __init__(self, session: Any, track: Any) -> None:
        self.session = session
        self.playing = {"in0": track}
        self.tracks = [track]

    def when_ended(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def when_discarding(self, discard: Callable[[str], None]) -> None:
        self.discard = discard

    def end(self) -> None:
        self.state = TransportState.CLOSED
        self._tell()


class Track:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.keyframes = 0
        self.refusal: Exception | None = None

    async def request_keyframe(self) -> None:
        self.keyframes += 1
        if self.refusal is not None:
            raise self.refusal


def looped(kind: str, codec: codecs.VideoCodec = "vp8") -> tuple[bot.Bot, Any, Ring]:
    """A bot that plays what it publishes: the section it receives in has the sender's own number."""
    track: Any = Track(kind)
    publish_video = codec if kind == "video" else None
    session = codecs.session(publish_audio=kind == "audio", publish_video=publish_video, play=[track])
    transport: Any = Transport(session, track)
    ring = Ring()
    made = bot.Bot(transport, transport, ring)  # type: ignore[arg-type]
    made._senders[kind].ssrc = session.send[0].ssrc
    return made, track, ring


async def begun(frames: AsyncIterator[Any]) -> asyncio.Future[Any]:
    """Lets the reader get as far as waiting for a packet."""
    first = asyncio.ensure_future(anext(frames))
    for _ in range(5):
        await asyncio.sleep(0)
    return first
