"""A file for Chromium's fake camera with a picture that is expensive to encode, so that an encoder uses all it may."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FRAMES = 30  # played in a loop
GRAIN = 6  # pixels: coarser than what quantisation removes at once
STEP = 10  # pixels that the texture moves per frame


def write_busy_camera(path: Path, *, width: int, height: int, frame_rate: int) -> Path:
    """Writes a moving texture in Y4M."""
    random = np.random.default_rng(1)
    small = random.integers(40, 215, (height // GRAIN + 2, (width + FRAMES * STEP) // GRAIN + 2), np.uint8)
    texture = small.repeat(GRAIN, axis=0).repeat(GRAIN, axis=1)
    grey = np.full(height * width // 2, 128, np.uint8).tobytes()
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{frame_rate}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(FRAMES):
            left = number * STEP
            luma = texture[:height, left : left + width] // 2 + random.integers(0, 60, (height, width), np.uint8)
            file.write(b"FRAME\n" + luma.tobytes() + grey)
    return path
