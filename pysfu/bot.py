"""A participant that lives in this process: clear RTP packets, or with pysfu[bots] frames, without network or keys."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pysfu import codecs, messages
from pysfu.errors import ClosedError, NoFreeSectionError, PysfuError, RefusedError
from pysfu.rtp.packet import Packet, is_rtcp, keyframes_asked_for, parse, write
from pysfu.rtp.window import ReorderWindow
from pysfu.track import Track
from pysfu.transport import Transport, TransportState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence

    from pysfu._compiled import BotRing
    from pysfu.codecs import VideoCodec
    from pysfu.participant import Participant
    from pysfu.rtp.window import Arrival

MAX_WAITING_PACKETS = 1_024
"""Most packets of one track that wait for their reader: 20 seconds of sound, some seconds of pictures."""

# How long a packet waits for those before it: as long as asking for them again takes on a usual network.
_HOLD_AUDIO_S = 0.1
_HOLD_VIDEO_S = 0.25
_ASK_AGAIN_S = 1.0  # a keyframe that was asked for may itself be lost

T = TypeVar("T")


class _Sender:
    """Numbers the packets of one section."""

    def __init__(self, media: messages.ReceiveMedia) -> None:
        self.ssrc = media.encodings[0].ssrc or 0
        self.payload_type = media.payload_types[0].number
        self.timestamp = secrets.randbits(32)
        self._sequence = secrets.randbits(16)

    def packets(self, payloads: list[bytes], *, marked: bool) -> Iterator[bytes]:
        """Makes packets of one timestamp, of which the last may be marked."""
        for index, payload in enumerate(payloads, 1):
            self._sequence = (self._sequence + 1) & 0xFFFF
            marker = marked and index == len(payloads)
            yield write(Packet(self._sequence, self.timestamp, marker, self.payload_type, self.ssrc, payload))

    def step(self, ticks: int) -> None:
        self.timestamp = (self.timestamp + ticks) & 0xFFFFFFFF


@dataclass(slots=True)
class _Inbox:
    """What waits of one section for its reader.

    Attributes:
        packets: those that nobody has taken; None when nothing more comes.
        discards: how often what waits was dropped, so that whoever keeps what it has taken drops that, too.
    """

    packets: asyncio.Queue[Packet | None] = field(default_factory=asyncio.Queue)
    discards: int = 0

    def discard(self) -> None:
        """Drops what waits."""
        self.discards += 1
        while not self.packets.empty():
            self.packets.get_nowait()

    def until_discarded(self, taken: Iterable[T]) -> Iterator[T]:
        """Yields what was made of packets, until what waits is dropped."""
        discards = self.discards
        for each in taken:
            if self.discards != discards:
                return
            yield each


class Bot:
    """A participant that lives in this process. Made by `Room.bot`.

    It hears Opus, with and without redundancy (RFC 2198), and sees VP8, VP9 and H.264, but not AV1. It sends Opus and
    one of the three. Coding and decoding happen in the event loop: milliseconds for a picture of a camera, tens of them
    for one of 3840x2160, which a publisher may send.

    `participant` and `transport` are what it is in the room. `dropped` counts packets that made room for newer ones
    because their reader was slow; those that it did not even take from the engine are `bot_drops` of `Sfu.counters`.
    """

    def __init__(self, participant: Participant, transport: Transport, ring: BotRing) -> None:
        self.participant = participant
        self.transport = transport
        self.dropped = 0
        self._ring = ring
        self._senders: dict[str, _Sender] = {}
        self._inboxes: dict[int, _Inbox] = {}
        self._sound_encoder: Any = None
        self._picture_encoder: Any = None
        self._vp9_packetizer: Any = None
        self._keyframe_wanted = False
        self._listening: asyncio.AbstractEventLoop | None = None
        for section in transport.session.receive if transport.session is not None else []:
            self._senders[section.kind] = _Sender(section)
        transport.when_ended(self._end)
        transport.when_discarding(self._discard)

    @classmethod
    async def join(
        cls,
        participant: Participant,
        *,
        publish_audio: bool,
        publish_video: VideoCodec | None,
        play: Sequence[Track],
    ) -> Bot:
        """Makes the bot's transport and wires it.

        Raises:
            OtherRoomError: something of `play` is in another room.
        """
        participant.check_same_room(*(track.publisher for track in play))
        session = codecs.session(publish_audio=publish_audio, publish_video=publish_video, play=play)
        room, part = participant.room, participant.part
        reply = await room.bridge.call(
            part.worker,
            messages.CreateBot(room=part.number, participant=participant.number, session=session),
            messages.BotReply,
            undo=lambda reply: messages.RemovePeer(peer=reply.peer),
        )
        transport = Transport(participant, reply.peer, None)
        transport.negotiation.session = session
        transport.set_state(TransportState.CONNECTED)
        part.transports[transport.number] = transport
        try:
            bot = cls(participant, transport, room.bridge.bot(part.worker, reply.peer))
            await transport.publish_all(mids=None, sources={}, encrypted=False)
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

    # --- RTP ---

    def send(self, packet: bytes) -> None:
        """Sends a clear RTP packet as it is; once the bot has ended it goes nowhere.

        Raises:
            PysfuError: it is too large.
        """
        if not self._ring.send(packet):
            raise PysfuError("the packet is too large")

    async def packets(self, track: Track) -> AsyncIterator[Packet]:
        """Yields the packets of a track until it or the bot ends, or it is stopped; a further reader ends this one.

        Those that wait are dropped when the right to the track ends; when too many wait, the oldest make room. They
        come as the network brought them: late ones in the wrong place. `pysfu.codecs.codec_of` tells what a payload
        type stands for.
        """
        with self._inbox_of(track) as inbox:
            get = inbox.packets.get
            while self.transport.state is TransportState.CONNECTED and (packet := await get()) is not None:
                yield packet

    def keyframe_wanted(self) -> bool:
        """Whether someone asked for a keyframe since this was last called; `send_video` heeds it by itself."""
        self._listen()
        wanted, self._keyframe_wanted = self._keyframe_wanted, False
        return wanted

    # --- frames ---

    async def audio_frames(self, track: Track) -> AsyncIterator[Any]:
        """Yields `av.AudioFrame`s (48 kHz). Needs pysfu[bots].

        What was lost and came along with later packets is put back; where nothing came, up to a second of silence is,
        so that the sound lasts as long as it did.
        """
        from pysfu.decoding import SoundReader

        reader = SoundReader()
        with self._inbox_of(track) as inbox:
            discards = inbox.discards
            async with contextlib.aclosing(self._in_order(inbox, hold_s=_HOLD_AUDIO_S)) as arrivals:
                async for arrival in arrivals:
                    if inbox.discards != discards:
                        discards = inbox.discards
                        reader.discard()
                    frames = reader.push(arrival.packet, codecs.codec_of(arrival.packet.payload_type) or "")
                    for frame in inbox.until_discarded(frames):
                        yield frame

    async def video_frames(self, track: Track) -> AsyncIterator[Any]:
        """Yields `av.VideoFrame`s of a VP8, VP9 or H.264 track, from a keyframe on. Needs pysfu[bots].

        A picture of which something was lost is left out, as are those after it until the keyframe that is asked for.
        """
        from pysfu.decoding import PictureReader

        loop = asyncio.get_running_loop()
        reader = PictureReader()
        await _ask_for_keyframe(track)
        asked_s = loop.time()
        with self._inbox_of(track) as inbox:
            async with contextlib.aclosing(self._in_order(inbox, hold_s=_HOLD_VIDEO_S)) as arrivals:
                async for arrival in arrivals:
                    frames = reader.push(arrival, codecs.codec_of(arrival.packet.payload_type) or "")
                    for frame in inbox.until_discarded(frames):
                        yield frame
                    if not reader.waiting:
                        asked_s = -_ASK_AGAIN_S
                    elif loop.time() - asked_s >= _ASK_AGAIN_S:
                        await _ask_for_keyframe(track)
                        asked_s = loop.time()

    async def send_audio(self, frame: Any) -> None:
        """Encodes an `av.AudioFrame` of any format as Opus and sends it. Needs pysfu[bots]."""
        from pysfu import encoding

        sender = self._sender("audio")
        if self._sound_encoder is None:
            self._sound_encoder = encoding.SoundEncoder()
        for payload in self._sound_encoder.encode(frame):
            self._send_all(sender.packets([payload], marked=False))
            sender.step(encoding.SAMPLES_PER_PACKET)

    async def send_video(self, frame: Any, *, bitrate_bps: int = 1_000_000, frame_rate: int = 30) -> None:
        """Encodes an `av.VideoFrame` of any format and sends it. Needs pysfu[bots].

        Raises:
            UnsuitablePictureError: H.264 is agreed on for at most 1280x720 at 30 a second.
        """
        from pysfu import encoding
        from pysfu.rtp import vp9

        sender = self._sender("video")
        codec = codecs.codec_of(sender.payload_type)
        assert codec in ("vp8", "vp9", "h264"), "a section for pictures"
        # H.264 has no odd sizes with 4:2:0.
        shape = encoding.Shape(frame.width & ~1, frame.height & ~1, bitrate_bps, frame_rate)
        if self._picture_encoder is None or self._picture_encoder.shape != shape:
            self._vp9_packetizer = self._vp9_packetizer or vp9.Packetizer(secrets.randbits(15))
            self._picture_encoder = encoding.PictureEncoder(codec, shape, vp9_packetizer=self._vp9_packetizer)
        for payloads in self._picture_encoder.encode(frame, keyframe=self.keyframe_wanted()):
            self._send_all(sender.packets(payloads, marked=True))
            sender.step(90_000 // frame_rate)

    # --- inside ---

    def _send_all(self, packets: Iterator[bytes]) -> None:
        for packet in packets:
            self.send(packet)

    async def _in_order(self, inbox: _Inbox, *, hold_s: float) -> AsyncGenerator[Arrival, None]:
        """Yields packets in order; a late one is waited for, but not long."""
        clock = asyncio.get_running_loop().time
        window, discards = ReorderWindow(hold_s), inbox.discards
        while self.transport.state is TransportState.CONNECTED:
            taken: list[Packet] = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(window.due_s):
                    packet = await inbox.packets.get()
                if packet is None:
                    return
                taken.append(packet)
            if inbox.discards != discards:
                discards = inbox.discards
                window.discard()
            arrivals = [arrival for packet in taken for arrival in window.push(packet, clock())]
            for arrival in inbox.until_discarded(arrivals + window.expire(clock())):
                yield arrival

    @contextlib.contextmanager
    def _inbox_of(self, track: Track) -> Iterator[_Inbox]:
        ssrc, inbox = self._ssrc_of(track), _Inbox()
        # A reader that was left with `break` ends only when the loop comes to it, after the next one has begun.
        before, self._inboxes[ssrc] = self._inboxes.get(ssrc), inbox
        if before is not None:
            before.discard()  # nobody could take it back from there any more
            before.packets.put_nowait(None)
        self._listen()
        try:
            yield inbox
        finally:
            # There may be another reader by now, of this track or of another one in its section.
            if self._inboxes.get(ssrc) is inbox:
                del self._inboxes[ssrc]

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

    def _listen(self) -> None:
        """Begins to take what comes, packets and requests."""
        if self._listening is None and self.transport.state is TransportState.CONNECTED:
            self._listening = asyncio.get_running_loop()
            self._listening.add_reader(self._ring.fd, self._drain)

    def _discard(self, mid: str) -> None:
        """Drops what waits of a section; where it plays nothing any more, its reader ends."""
        session = self.transport.session
        for section in session.send if session is not None else []:
            if section.mid != mid:
                continue
            self._ring.discard(section.ssrc)
            inbox = self._inboxes.get(section.ssrc)
            if inbox is None:
                continue
            inbox.discard()
            if mid not in self.transport.playing or self.transport.state is not TransportState.CONNECTED:
                del self._inboxes[section.ssrc]
                inbox.packets.put_nowait(None)

    def _end(self) -> None:
        """Wakes the readers: nothing more comes."""
        if self._listening is not None:
            self._listening.remove_reader(self._ring.fd)
            self._listening = None
        for inbox in self._inboxes.values():
            inbox.discard()
            inbox.packets.put_nowait(None)

    def _drain(self) -> None:
        video = self._senders.get("video")
        for data in self._ring.drain():
            if is_rtcp(data):
                self._keyframe_wanted |= video is not None and video.ssrc in keyframes_asked_for(data)
                continue
            packet = parse(data)
            inbox = self._inboxes.get(packet.ssrc) if packet is not None else None
            if packet is None or inbox is None:
                continue
            if inbox.packets.qsize() >= MAX_WAITING_PACKETS:
                inbox.packets.get_nowait()
                self.dropped += 1
            inbox.packets.put_nowait(packet)


async def _ask_for_keyframe(track: Track) -> None:
    # It has ended, and the reader will know when the bot does; or the engine is busy, and is asked again.
    with contextlib.suppress(RefusedError, ClosedError):
        await track.request_keyframe()
