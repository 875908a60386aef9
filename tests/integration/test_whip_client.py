"""Debian's simple-whip-client (GStreamer's webrtcbin, libnice, OpenSSL) publishes; aiortc decodes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import HANG_S, Caller, Meeting

SOUND = "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=100 ! queue"
PICTURES = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=15/1 ! videoconvert"
ENCODED = {
    "VP8": f"{PICTURES} ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=2000 ! rtpvp8pay pt=96 ! queue",
    "H264": f"{PICTURES} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=2000"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency"
    " ! queue",
}


@pytest.fixture(scope="session")
def whip_client_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whip_client")
    name = "libgupnp-igd-1.0.so.4"
    source = Path(__file__).parent / "whip_client" / "debian12.c"
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source], check=True)
    return os.environ | {
        "LD_LIBRARY_PATH": str(folder),
        "LD_PRELOAD": str(folder / name),
        "GST_REGISTRY": str(folder / "registry"),
        "GST_REGISTRY_FORK": "no",
    }


@contextlib.contextmanager
def whip_client(url: str, token: str, codec: str, environment: dict[str, str], log: Path) -> Iterator[None]:
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


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_what_simple_whip_client_publishes_is_decoded(
    room: Meeting, codec: str, whip_client_environment: dict[str, str], tmp_path: Path
) -> None:
    token = await room.token("encoder")
    url = str(room.http.base_url.join(f"/whip/{room.room}"))
    log = tmp_path / "whip-client.log"
    with whip_client(url, token, codec, whip_client_environment, log):
        await room.joined("encoder")
        async with Caller(lambda frame: frame.to_ndarray(format="gray").astype(int)) as subscriber:
            await room.play(subscriber.take("video", "audio"), "encoder")
            await subscriber.watched(30)
            assert abs(await subscriber.heard() - 440) <= 2
            first, last = subscriber.pictures[0], subscriber.pictures[-1]
            assert first.shape == (120, 160)
            assert abs(first - last).max() > 100, "the ball moves"
