"""Rows about LiveKit's SDK for Go: which tracks arrive at its clients, and what of them (`bench/load/livekit_go`)."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import guests
import servers
from measure import Sampled, Shape
from rig import Rig

PROGRAM = servers.ROOT / "target" / "bench" / "livekit_go"
SHAPES = {
    "go-audio-1x100": Shape(1, 1, 100, video=False),
    "go-video-1x50": Shape(1, 1, 50, audio=False),
    "go-video-8x8": Shape(1, 8, audio=False),
}
"""Pictures come in three encodings; each of the 8 receives the 7 others."""
SECONDS = 10
LIMIT_S = 120


def rows(name: str) -> tuple[str, str, str]:
    """Returns the rows of one shape."""
    return (f"meetings/{name}/tracks-got", f"meetings/{name}/tracks-expected", f"meetings/{name}/loss")


def sampler(name: str) -> Callable[[Rig], Sampled]:
    """Returns what lets everybody of that shape meet, and counts."""

    def take(rig: Rig) -> Sampled:
        told = _meet(rig, SHAPES[name])
        got, expected, loss = rows(name)
        sent = max(1, told["packets"] + told["lost"])
        found = {
            got: (told["got"], "tracks"),
            expected: (told["expected"], "tracks"),
            loss: (100 * told["lost"] / sent, "percent"),
        }
        return Sampled(found, told)

    return take


def _meet(rig: Rig, shape: Shape) -> Mapping[str, Any]:
    """Runs the program beside the server, in its namespace.

    Raises:
        RuntimeError: somebody did not get in.
    """
    with tempfile.TemporaryDirectory() as folder, servers.pysfu(rig, Path(folder)) as server:
        tokens = guests.tokens(rig, server, shape.participants)
        asked = {
            "url": server.target["url"],
            "publishers": tokens[: shape.publishers],
            "listeners": tokens[shape.publishers :],
            "kind": "video" if shape.video else "audio",
            "seconds": SECONDS,
        }
        command = ["setpriv", "--pdeathsig", "KILL", *rig.inside(rig.server, [PROGRAM])]
        try:
            done = subprocess.run(
                command, input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the clients did not end within {LIMIT_S} s") from error
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2_000:])
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told
