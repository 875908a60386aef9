"""Coded sounds and pictures to `av` frames. Needs pysfu[bots]."""

from __future__ import annotations

import fractions
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from pysfu.errors import InvalidPayloadError
from pysfu.rtp import h264, opus, vp8, vp9
from pysfu.rtp.picture import PictureAssembler
from pysfu.rtp.sound import SoundAssembler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pysfu.rtp.fragment import Fragment
    from pysfu.rtp.packet import Packet
    from pysfu.rtp.picture import Picture
    from pysfu.rtp.sound import Sound
    from pysfu.rtp.window import Arrival

MAX_PIXELS = 4_096 * 2_304  # a stranger's keyframe decides how much the decoder allocates
MAX_SILENCE = opus.CLOCK_RATE_HZ  # samples put into one gap; a longer one is seen in `pts` only
_MIN_SILENCE = opus.CLOCK_RATE_HZ // 400  # the shortest packet
_VIDEO_CLOCK = fractions.Fraction(1, 90_000)
_AUDIO_CLOCK = fractions.Fraction(1, opus.CLOCK_RATE_HZ)

DEPACKETIZERS: Mapping[str, Callable[[bytes], Fragment]] = {
    "vp8": vp8.depacketize,
    "vp9": vp9.depacketize,
    "h264": h264.depacketize,
}


class PictureReader:
    """Frames of the packets of one track, whatever codec its publisher changes to."""

    def __init__(self) -> None:
        self._codec = ""
        self._assembler: PictureAssembler | None = None
        self._decoder: PictureDecoder | None = None

    @property
    def waiting(self) -> bool:
        """Whether there will be nothing before the next keyframe."""
        return self._assembler is None or self._assembler.waiting

    def push(self, arrival: Arrival, codec: str) -> list[Any]:
        """Takes the next packet and returns the frames that it completes."""
        if codec not in DEPACKETIZERS:
            return []
        if self._assembler is None or self._decoder is None or codec != self._codec:
            self._codec = codec
            self._assembler, self._decoder = PictureAssembler(DEPACKETIZERS[codec]), PictureDecoder(codec)
        frames: list[Any] = []
        for picture in self._assembler.push(arrival):
            try:
                frames += self._decoder.decode(picture)
            except InvalidPayloadError:
                self._assembler.damage()
        return frames


class PictureDecoder:
    """The decoder of one stream."""

    def __init__(self, codec: str) -> None:
        self._context: Any = av.CodecContext.create(codec, "r")
        self._context.options = {"max_pixels": str(MAX_PIXELS)}
        self._context.flags |= 0x80000  # AV_CODEC_FLAG_LOW_DELAY: a picture comes out before the next goes in

    def decode(self, picture: Picture) -> list[Any]:
        """Returns the frames; `pts` counts 90 kHz from the first picture.

        Raises:
            InvalidPayloadError: the decoder needs a keyframe to go on.
        """
        frames: list[Any] = []
        try:
            for data in picture.frames:
                packet = av.Packet(data)
                packet.pts, packet.time_base = picture.ticks, _VIDEO_CLOCK
                decoded = self._context.decode(packet)
                frames = decoded or frames  # of spatial layers the highest is shown
        except FFmpegError as error:
            raise InvalidPayloadError("the decoder does not take the picture") from error
        if any(frame.is_corrupt for frame in frames):
            raise InvalidPayloadError("the picture lacks what it builds on")
        for frame in frames:
            frame.time_base = _VIDEO_CLOCK
        return frames


class SoundReader:
    """Frames of the packets of one track."""

    def __init__(self) -> None:
        self._assembler, self._decoder = SoundAssembler(), SoundDecoder()

    def push(self, packet: Packet, codec: str) -> list[Any]:
        """Takes the next packet and returns the frames that it brings."""
        if codec not in ("opus", "red"):
            return []
        sounds = self._assembler.push(packet, redundant=codec == "red")
        return [frame for sound in sounds for frame in self._decoder.decode(sound)]

    def discard(self) -> None:
        """Puts nothing back that is older than the next packet."""
        self._assembler.discard()


class SoundDecoder:
    """The decoder of one stream, with silence where nothing came: lost for good, or not sent (DTX)."""

    def __init__(self) -> None:
        self._context: Any = av.CodecContext.create("opus", "r")
        self._last: Any = None
        self._end = 0

    def decode(self, sound: Sound) -> list[Any]:
        """Returns the frames; `pts` counts 48 kHz from the first packet. Of what is no Opus there are none."""
        packet = av.Packet(sound.data)
        packet.pts, packet.time_base = sound.ticks, _AUDIO_CLOCK
        try:
            frames: list[Any] = self._context.decode(packet)
        except FFmpegError:
            return []
        if not frames:
            return []
        frames = self._silence(sound.ticks - self._end) + frames
        self._end = sound.ticks + opus.samples(sound.data)
        self._last = frames[-1]
        return frames

    def _silence(self, samples: int) -> list[Any]:
        if self._last is None or not _MIN_SILENCE <= samples <= MAX_SILENCE:
            return []
        frame = av.AudioFrame(format=self._last.format.name, layout=self._last.layout.name, samples=samples)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = opus.CLOCK_RATE_HZ, self._end, _AUDIO_CLOCK
        return [frame]
