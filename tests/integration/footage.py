"""A moving picture that carries its own number, and a tone: made by a publisher, read back by a subscriber."""

from __future__ import annotations

import asyncio
import fractions

import av
import numpy as np
from aiortc import MediaStreamTrack

FRAME_RATE = 15
WIDTH, HEIGHT = 160, 120
_BLOCK_WIDTH, _BLOCK_HEIGHT = 40, 24  # 16 blocks of black or white are 16 bits; below them a bar moves
_NUMBERS = 1 << 12
SAMPLE_RATE = 48_000
_SAMPLES = 960  # 20 ms


def draw(camera: int, number: int) -> av.VideoFrame:
    """Draws one frame: 4 bits say whose it is, 12 bits which."""
    bits = (camera & 0xF) << 12 | number % _NUMBERS
    luma = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for at in range(16):
        row, column = divmod(at, 4)
        top, left = row * _BLOCK_HEIGHT, column * _BLOCK_WIDTH
        luma[top : top + _BLOCK_HEIGHT, left : left + _BLOCK_WIDTH] = 235 if bits >> at & 1 else 16
    bar = number * 4 % (WIDTH - 16)
    luma[4 * _BLOCK_HEIGHT :, bar : bar + 16] = 235
    planes = np.vstack([luma, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def read(frame: av.VideoFrame) -> tuple[int, int]:
    """Returns whose frame it is, and which."""
    return read_luma(frame.to_ndarray(format="gray"))


def read_luma(luma: np.ndarray) -> tuple[int, int]:
    """Returns it of the picture's brightness alone."""
    bits = 0
    for at in range(16):
        row, column = divmod(at, 4)
        top, left = row * _BLOCK_HEIGHT, column * _BLOCK_WIDTH
        middle = luma[top + 6 : top + _BLOCK_HEIGHT - 6, left + 8 : left + _BLOCK_WIDTH - 8]
        bits |= int(middle.mean() > 128) << at
    return bits >> 12, bits & (_NUMBERS - 1)


def follows(earlier: int, later: int) -> bool:
    """Tells whether a number is the one after another."""
    return later == (earlier + 1) % _NUMBERS


class Camera(MediaStreamTrack):
    """Numbered frames in real time."""

    kind = "video"

    def __init__(self, camera: int, *, frame_rate: int = FRAME_RATE) -> None:
        super().__init__()
        self.sent = 0
        self._camera = camera
        self._frame_rate = frame_rate
        self._began: float | None = None

    async def recv(self) -> av.VideoFrame:
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        await asyncio.sleep(self._began + self.sent / self._frame_rate - loop.time())
        frame = draw(self._camera, self.sent)
        frame.pts, frame.time_base = self.sent * 90_000 // self._frame_rate, fractions.Fraction(1, 90_000)
        self.sent += 1
        return frame


class Tone(MediaStreamTrack):
    """A sine in real time."""

    kind = "audio"

    def __init__(self, frequency_hz: float) -> None:
        super().__init__()
        self._frequency_hz = frequency_hz
        self._at = 0
        self._began: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        await asyncio.sleep(self._began + self._at / SAMPLE_RATE - loop.time())
        frame = sine(self._frequency_hz, self._at)
        self._at += _SAMPLES
        return frame


def sine(frequency_hz: float, at: int, samples: int = _SAMPLES) -> av.AudioFrame:
    """Makes a piece of a sine that goes on from sample to sample."""
    phase = 2 * np.pi * frequency_hz * (at + np.arange(samples)) / SAMPLE_RATE
    wave = (8_000 * np.sin(phase)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, fractions.Fraction(1, SAMPLE_RATE)
    return frame


def samples_of(frame: av.AudioFrame) -> np.ndarray:
    """Returns the first channel."""
    wave = frame.to_ndarray().astype(np.float64)
    channels = len(frame.layout.channels)
    return wave[0, ::channels] if not frame.format.is_planar else wave[0]


def frequency_of(wave: np.ndarray) -> float:
    """Returns the loudest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(wave))
