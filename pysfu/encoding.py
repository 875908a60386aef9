"""`av` frames to coded sounds and pictures, cut into RTP payloads. Needs pysfu[bots]."""

from __future__ import annotations

import fractions
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
from av.video.frame import PictureType

from pysfu.errors import UnsuitablePictureError
from pysfu.rtp import h264, opus, vp8, vp9

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysfu.codecs import VideoCodec

SAMPLES_PER_PACKET = opus.CLOCK_RATE_HZ // 50
_KEYFRAME_EVERY_S = 3  # for those who cannot ask

_REALTIME_VPX = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
_ENCODERS: Mapping[VideoCodec, tuple[str, Mapping[str, str]]] = {
    "vp8": ("libvpx", _REALTIME_VPX),
    "vp9": ("libvpx-vp9", _REALTIME_VPX),
    # Parameter sets come with every IDR picture, and every keyframe is one.
    "h264": (
        "libx264",
        {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "level": h264.LEVEL, "forced-idr": "1"},
    ),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What an encoder is made for; for another, another is made."""

    width: int
    height: int
    bitrate_bps: int
    frame_rate: int


class PictureEncoder:
    """The encoder of one stream.

    Raises:
        UnsuitablePictureError: H.264 was agreed on for smaller or fewer pictures.
    """

    def __init__(self, codec: VideoCodec, shape: Shape, *, vp9_packetizer: vp9.Packetizer) -> None:
        if codec == "h264" and not h264.fits_level(shape.width, shape.height, shape.frame_rate):
            raise UnsuitablePictureError(
                f"H.264 is agreed on at level {h264.LEVEL}: pictures up to 1280x720, 30 a second; else use VP8 or VP9"
            )
        name, options = _ENCODERS[codec]
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height, context.pix_fmt = shape.width, shape.height, "yuv420p"
        context.bit_rate = shape.bitrate_bps
        context.time_base = fractions.Fraction(1, shape.frame_rate)
        context.framerate = fractions.Fraction(shape.frame_rate)
        context.gop_size = _KEYFRAME_EVERY_S * shape.frame_rate
        context.options = dict(options)
        context.open()
        self.shape = shape
        self._codec = codec
        self._context = context
        self._vp9 = vp9_packetizer
        self._count = 0

    def encode(self, frame: Any, *, keyframe: bool) -> list[list[bytes]]:
        """Returns the payloads of each coded picture."""
        picture = frame.reformat(width=self.shape.width, height=self.shape.height, format="yuv420p")
        if picture is frame:  # nothing had to change; the caller's own must not
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")
        picture.pts, picture.time_base = self._count, self._context.time_base
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._count += 1
        return [self._packetize(coded) for coded in self._context.encode(picture)]

    def _packetize(self, coded: Any) -> list[bytes]:
        data = bytes(coded)
        if self._codec == "h264":
            return h264.packetize(data)
        if self._codec == "vp8":
            return vp8.packetize(data)
        width, height = self.shape.width, self.shape.height
        return self._vp9.packetize(data, keyframe=coded.is_keyframe, width=width, height=height)


class SoundEncoder:
    """The encoder of one stream: packets of 20 ms."""

    def __init__(self) -> None:
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = opus.CLOCK_RATE_HZ, "stereo", "s16"
        context.time_base = fractions.Fraction(1, opus.CLOCK_RATE_HZ)
        context.open()
        self._context = context
        self._resampler: Any = av.AudioResampler(format="s16", layout="stereo", rate=opus.CLOCK_RATE_HZ)
        self._fifo: Any = av.AudioFifo()

    def encode(self, frame: Any) -> list[bytes]:
        """Returns the payloads of what is complete."""
        for resampled in self._resampler.resample(frame):
            resampled.pts = None
            self._fifo.write(resampled)
        payloads = []
        while (chunk := self._fifo.read(SAMPLES_PER_PACKET)) is not None:
            chunk.pts = None
            payloads += [bytes(coded) for coded in self._context.encode(chunk)]
        return payloads
