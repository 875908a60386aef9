"""`pysfu serve`, as operators run it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from callers import HANG_S
from ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"
FROM_SOURCE = (sys.executable, "-m", "signalling.cli")


@dataclass(frozen=True)
class Server:
    """A `pysfu serve` process."""

    base_url: str
    admin_bearer: str
    log: Path


@contextlib.contextmanager
def serving(
    folder: Path,
    program: Sequence[str | Path] = FROM_SOURCE,
    *,
    cwd: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Server]:
    """Runs the server with a configuration in a folder, and wants it to end well."""
    http, media = free_port(), free_port(socket.SOCK_DGRAM)
    (folder / "pysfu.toml").write_text(
        f"""
        [http]
        port = {http}
        [media]
        port = {media}
        [admin]
        bearer = "{ADMIN}"
        [tokens.keys]
        tests = "{"k" * 32}"
        """
    )
    log = folder / "serve.log"
    command = [*program, "serve", "--config", str(folder / "pysfu.toml")]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=cwd, env=environment, stderr=stderr) as process:
        running = Server(f"http://127.0.0.1:{http}", ADMIN, log)
        try:
            _wait_until_ready(running, process)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(HANG_S)
    assert code == 0, log.read_text()


def _wait_until_ready(running: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{running.base_url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # it listens as soon as it can, and tells nobody but who asks
    raise AssertionError(f"the server did not start: {running.log.read_text()}")
