"""A participant that lives in this process: clear RTP packets, or with pysfu[bots] frames, without network or keys.

RTP is RFC 3550; Opus goes by RFC 7587, VP8 by RFC 7741.
"""

from __future__ import annotations

import asyncio
import fractions
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pysfu import messages
from pysfu.errors import NoFreeSectionError, PysfuError
from pysfu.transport import Track, Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pysfu._bridge import BotRing
    from pysfu.participant import Participant

_OPUS = messages.PayloadType(number=111, codec="opus", clock_rate_hz=48_000)
_VP8 = messages.PayloadType(number=96, codec="vp8", clock_rate_hz=90_000)
_SAMPLES_PER_PACKET = 960  # 20 ms
_MAX_PAYLOAD = 1_100  # with headers and encryption below any usual MTU
MAX_WAITING_PACKETS = 1_024
"""Most packets of one track that wait for their reader: 20 seconds of sound, some seconds of pictures."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One clear RTP packet."""

    sequence_number: int
    timestamp: int
    marker: bool
    payload_type: int
    ssrc: int
    payload: bytes


def parse(data: bytes) -> Packet | None:
    """Reads an RTP packet; None when it is none."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    flags, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    at = 12 + 4 * (flags & 0x0F)
    if flags & 0x10:
        if len(data) < at + 4:
            return None
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    end = len(data) - (data[-1] if flags & 0x20 else 0)
    if at > end:
        return None
    return Packet(sequence, timestamp, bool(second & 0x80), second & 0x7F, ssrc, data[at:end])


def _write(packet: Packet) -> bytes:
    second = (0x80 if packet.marker else 0) | packet.payload_type
    header = struct.pack("!BBHII", 0x80, second, packet.sequence_number, packet.timestamp, packet.ssrc)
    return header + packet.payload


def _strip_vp8(payload: bytes) -> bytes:
    """Removes the VP8 payload descriptor."""
    if not payload:
        return b""
    at = 1
    if payload[0] & 0x80 and len(payload) > 1:
        extended = payload[1]
        at = 2
        if extended & 0x80:
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        at += bool(extended & 0x40) + bool(extended & 0x30)
    return payload[at:]


class _Sender:
    """Numbers the packets of one section."""

    def __init__(self, ssrc: int, payload_type: int) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.timestamp = secrets.randbits(32)
        self._sequence = secrets.randbits(16)

    def packet(self, payload: bytes, *, marker: bool) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return _write(Packet(self._sequence, self.timestamp, marker, self.payload_type, self.ssrc, payload))

    def step(self, ticks: int) -> None:
        self.timestamp = (self.timestamp + ticks) & 0xFFFFFFFF


class Bot:
    """A participant that lives in this process. Made by `Room.bot`."""

    def __init__(self, participant: Participant, transport: Transport, ring: BotRing) -> None:
        self.participant = participant
        self.transport = transport
        self.dropped = 0
        self._ring = ring
        self._senders: dict[str, _Sender] = {}
        self._queues: dict[int, asyncio.Queue[Packet | None]] = {}
        self._encoders: dict[str, Any] = {}
        self._resampler: Any = None
        self._fifo: Any = None
        transport.when_ended(self._end)
        transport.when_discarding(self._discard)

    @classmethod
    async def join(
        cls, participant: Participant, *, publish_audio: bool, publish_video: bool, play: Sequence[Track]
    ) -> Bot:
        """Makes the bot's transport and wires it."""
        session, senders = _session(publish_audio=publish_audio, publish_video=publish_video, play=play)
        room = participant.room
        reply = await room.bridge.call(
            room.worker,
            messages.CreateBot(room=room.number, participant=participant.number, session=session),
            messages.BotReply,
            undo=lambda reply: messages.RemovePeer(peer=reply.peer),
        )
        transport = Transport(participant, reply.peer, None)
        transport.session = session
        transport.set_state(TransportState.CONNECTED)
        room.transports[transport.number] = transport
        try:
            bot = cls(participant, transport, room.bridge.bot(room.worker, reply.peer))
            bot._senders = senders
            await transport.publish(sources={}, encrypted=False)
            for track, section in zip(play, session.send, strict=True):
                await transport.play(track, mid=section.mid)
            await participant.attach(transport)
        except BaseException:
            participant.abandon(transport)
            raise
        return bot

    @property
    def tracks(self) -> Sequence[Track]:
        """What it publishes."""
        return self.transport.tracks

    def send(self, packet: bytes) -> None:
        """Sends a clear RTP packet as it is.

        Raises:
            PysfuError: it is too large.
        """
        if not self._ring.send(packet):
            raise PysfuError("the packet is too large")

    async def packets(self, track: Track) -> AsyncIterator[Packet]:
        """Yields the packets of a track until it or the bot ends, or it is stopped. One reader at a time.

        Those that wait are dropped when the right to the track ends; when too many wait, the oldest make room.
        """
        ssrc = self._ssrc_of(track)
        queue = self._queues.setdefault(ssrc, asyncio.Queue())
        loop = asyncio.get_running_loop()
        if len(self._queues) == 1:
            loop.add_reader(self._ring.fd, self._drain)
        try:
            while self.transport.state is TransportState.CONNECTED and (packet := await queue.get()) is not None:
                yield packet
        finally:
            if self._queues.get(ssrc) is queue:
                del self._queues[ssrc]
            if not self._queues:
                loop.remove_reader(self._ring.fd)

    async def audio_frames(self, track: Track) -> AsyncIterator[Any]:
        """Yields `av.AudioFrame`s (48 kHz). Needs pysfu[bots]."""
        import av

        decoder = av.CodecContext.create("opus", "r")
        async for packet in self.packets(track):
            for frame in decoder.decode(av.Packet(packet.payload)):  # type: ignore[attr-defined,unused-ignore]
                yield frame

    async def video_frames(self, track: Track) -> AsyncIterator[Any]:
        """Yields `av.VideoFrame`s of a VP8 track, from a keyframe on. Needs pysfu[bots]."""
        import av

        decoder = av.CodecContext.create("vp8", "r")
        frame_bytes = bytearray()
        expected: int | None = None
        await track.request_keyframe()
        waiting = True
        async for packet in self.packets(track):
            if expected is not None and packet.sequence_number != expected:
                waiting = True
                frame_bytes.clear()
                await track.request_keyframe()
            expected = (packet.sequence_number + 1) & 0xFFFF
            body = _strip_vp8(packet.payload)
            if packet.payload and packet.payload[0] & 0x17 == 0x10:
                frame_bytes.clear()
                waiting = waiting and bool(body and body[0] & 1)
            frame_bytes += body
            if packet.marker and not waiting and frame_bytes:
                for frame in decoder.decode(av.Packet(bytes(frame_bytes))):  # type: ignore[attr-defined,unused-ignore]
                    yield frame

    async def send_audio(self, frame: Any) -> None:
        """Encodes an `av.AudioFrame` of any format as Opus and sends it. Needs pysfu[bots]."""
        import av

        sender = self._sender("audio")
        encoder = self._encoders.get("audio")
        if encoder is None:
            encoder = av.CodecContext.create("libopus", "w")
            encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"  # type: ignore[attr-defined,unused-ignore]
            encoder.time_base = fractions.Fraction(1, 48_000)
            encoder.open()
            self._encoders["audio"] = encoder
            self._resampler = av.AudioResampler(format="s16", layout="stereo", rate=48_000)
            self._fifo = av.AudioFifo()
        for resampled in self._resampler.resample(frame):
            resampled.pts = None
            self._fifo.write(resampled)
        while (chunk := self._fifo.read(_SAMPLES_PER_PACKET)) is not None:
            chunk.pts = None
            for encoded in encoder.encode(chunk):
                self.send(sender.packet(bytes(encoded), marker=False))
                sender.step(_SAMPLES_PER_PACKET)

    async def send_video(self, frame: Any, *, bitrate_bps: int = 1_000_000, frame_rate: int = 30) -> None:
        """Encodes an `av.VideoFrame` as VP8 and sends it. Needs pysfu[bots]."""
        import av

        sender = self._sender("video")
        encoder = self._encoders.get("video")
        if encoder is None:
            encoder = av.CodecContext.create("libvpx", "w")
            encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuv420p"  # type: ignore[attr-defined,unused-ignore]
            encoder.bit_rate = bitrate_bps
            encoder.time_base = fractions.Fraction(1, frame_rate)
            encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "g": str(3 * frame_rate)}
            encoder.open()
            self._encoders["video"] = encoder
        frame = frame.reformat(format="yuv420p")
        frame.pts = None
        for encoded in encoder.encode(frame):
            data = bytes(encoded)
            parts = [data[at : at + _MAX_PAYLOAD] for at in range(0, len(data), _MAX_PAYLOAD)]
            for index, part in enumerate(parts):
                descriptor = b"\x10" if index == 0 else b"\x00"
                self.send(sender.packet(descriptor + part, marker=index == len(parts) - 1))
            sender.step(90_000 // frame_rate)

    def _sender(self, kind: str) -> _Sender:
        sender = self._senders.get(kind)
        if sender is None:
            raise NoFreeSectionError(f"this bot does not publish {kind}")
        return sender

    def _ssrc_of(self, track: Track) -> int:
        sections = self.transport.session.send if self.transport.session is not None else []
        for section in sections:
            if self.transport.playing.get(section.mid) is track:
                return section.ssrc
        raise NoFreeSectionError("this bot does not play that track")

    def _discard(self, mid: str) -> None:
        """Drops what waits of a section; where it plays nothing any more, its reader ends."""
        session = self.transport.session
        for section in session.send if session is not None else []:
            if section.mid != mid:
                continue
            self._ring.discard(section.ssrc)
            queue = self._queues.get(section.ssrc)
            while queue is not None and not queue.empty():
                queue.get_nowait()
            ended = mid not in self.transport.playing or self.transport.state is not TransportState.CONNECTED
            if queue is not None and ended:
                del self._queues[section.ssrc]
                queue.put_nowait(None)

    def _end(self) -> None:
        """Wakes the readers: nothing more comes."""
        for queue in self._queues.values():
            queue.put_nowait(None)

    def _drain(self) -> None:
        for data in self._ring.drain():
            packet = parse(data)
            queue = self._queues.get(packet.ssrc) if packet is not None else None
            if packet is None or queue is None:
                continue
            if queue.qsize() >= MAX_WAITING_PACKETS:
                queue.get_nowait()
                self.dropped += 1
            queue.put_nowait(packet)


def _session(
    *, publish_audio: bool, publish_video: bool, play: Sequence[Track]
) -> tuple[messages.NegotiatedSession, dict[str, _Sender]]:
    senders: dict[str, _Sender] = {}
    receive: list[messages.ReceiveMedia] = []
    base = secrets.randbits(31) & ~0xFF
    wanted = [("audio", _OPUS)] if publish_audio else []
    wanted += [("video", _VP8)] if publish_video else []
    for index, (kind, payload_type) in enumerate(wanted):
        senders[kind] = _Sender(base + 0x80 + index, payload_type.number)
        receive.append(
            messages.ReceiveMedia(
                mid=f"out{index}",
                kind="audio" if kind == "audio" else "video",
                payload_types=[payload_type],
                encodings=[messages.RemoteEncoding(ssrc=base + 0x80 + index)],
            )
        )
    send = [
        messages.SendMedia(
            mid=f"in{index}",
            kind=track.kind,
            payload_types=[_OPUS if track.kind == "audio" else _VP8],
            ssrc=base + 2 * index,
        )
        for index, track in enumerate(play)
    ]
    remote = messages.RemoteTransport(ufrag="bot", pwd="bot", fingerprints=[])
    session = messages.NegotiatedSession(
        remote=remote, extensions=[0] * 10, feedback="none", receive=receive, send=send
    )
    return session, senders
