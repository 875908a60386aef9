"""Media threads stay on their processors when the configuration says so, and only then."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from signalling import config, server


def processors() -> dict[str, set[int]]:
    """Tells on which processors each media thread may run."""
    tasks = Path("/proc/self/task").iterdir()
    named = {(task / "comm").read_text().strip(): int(task.name) for task in tasks}
    return {name: os.sched_getaffinity(number) for name, number in named.items() if name.startswith("sfu-")}


@pytest.mark.parametrize("pin", [True, False])
async def test_media_threads_stay_on_their_processors_when_configured_so(pin: bool) -> None:
    allowed = os.sched_getaffinity(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    media = {"host": "127.0.0.1", "port": port, "workers": 2, "pin_workers": pin, "process": "inside"}
    async with server.pysfu_engine(config.build({"media": media})) as engine:
        for _ in range(2):
            await engine.create_room(avoid=())  # each has begun to work then
        found = processors()
    expected = {f"sfu-{number}": {number} if pin and number in allowed else allowed for number in range(2)}
    assert found == expected
