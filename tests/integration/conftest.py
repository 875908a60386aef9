"""The server as operators run it, and the engine as developers embed it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from callers import HANG_S, Meeting, meeting
from ports import free_port

import pysfu

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"


@dataclass(frozen=True)
class Server:
    """A `pysfu serve` process."""

    base_url: str
    admin_bearer: str
    log: Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    http, media = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
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
    command = [sys.executable, "-m", "signalling.cli", "serve", "--config", str(folder / "pysfu.toml")]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=stderr) as process:
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
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {running.log.read_text()}")


@pytest.fixture
async def room(server: Server) -> AsyncIterator[Meeting]:
    async with meeting(server.base_url, server.admin_bearer) as made:
        yield made


@pytest.fixture
async def sfu() -> AsyncIterator[pysfu.Sfu]:
    async with pysfu.Sfu(pysfu.Config(bind=("127.0.0.1",))) as running:
        yield running


@pytest.fixture
async def other_room(server: Server) -> AsyncIterator[Meeting]:
    async with meeting(server.base_url, server.admin_bearer) as made:
        yield made
