"""Debian's simple-whip-client (GStreamer's webrtcbin, libnice, OpenSSL), as a program that publishes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

HANG_S = 60.0
CODECS = ("VP8", "H264")

SOUND = "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=100 ! queue"
PICTURES = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=15/1 ! videoconvert"
ENCODED = {
    "VP8": f"{PICTURES} ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=2000 ! rtpvp8pay pt=96 ! queue",
    "H264": f"{PICTURES} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=2000"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency"
    " ! queue",
}


def environment(folder: Path) -> dict[str, str]:
    """Makes in a folder what the program needs to run, and returns its environment."""
    name = "libgupnp-igd-1.0.so.4"
    source = Path(__file__).parent / "whip_client" / "debian12.c"
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source], check=True)
    return os.environ | {
        "LD_LIBRARY_PATH": str(folder),
        "GST_REGISTRY": str(folder / "registry"),
        "GST_REGISTRY_FORK": "no",
    }


@contextlib.contextmanager
def publishing(url: str, token: str, codec: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Publishes until the end of the block."""
    sound = f"{SOUND} ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
    pictures = f"{ENCODED[codec]} ! application/x-rtp,media=video,encoding-name={codec},payload=96"
    command = ["whip-client", "--url", url, "--token", token, "--disable-colors", "-A", sound, "-V", pictures]
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        try:
            yield
            assert process.poll() is None, "it ended by itself"
        except BaseException:
            print(log.read_text())
            raise
        finally:
            process.terminate()
            process.wait(HANG_S)
