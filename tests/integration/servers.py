"""`pysfu serve`, as operators run it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
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
KEY, SECRET = "tests", "k" * 32
FROM_SOURCE = (sys.executable, "-m", "signalling.cli")


# Certificates of tests are made on the spot.
TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True)
class Server:
    """A `pysfu serve` process."""

    base_url: str
    admin_bearer: str
    log: Path
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def serving(
    folder: Path,
    program: Sequence[str | Path] = FROM_SOURCE,
    *,
    cwd: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[Server]:
    """Runs the server with a configuration in a folder, and wants it to end well.

    Args:
        folder: where its configuration and its log are.
        program: what to run.
        cwd: where it runs.
        environment: its own.
        certificate: a certificate and its key, for HTTPS.
    """
    tls = f'certificate = "{certificate[0]}"\n        key = "{certificate[1]}"' if certificate is not None else ""
    http, media = free_port(), free_port(socket.SOCK_DGRAM)
    (folder / "pysfu.toml").write_text(
        f"""
        [http]
        port = {http}
        {tls}
        [media]
        port = {media}
        orphan_limit_s = 10
        [admin]
        bearer = "{ADMIN}"
        [tokens.keys]
        {KEY} = "{SECRET}"
        """
    )
    log = folder / "serve.log"
    command = [*program, "serve", "--config", str(folder / "pysfu.toml")]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=cwd, env=environment, stderr=stderr) as process:
        scheme = "http" if certificate is None else "https"
        running = Server(f"{scheme}://127.0.0.1:{http}", ADMIN, log, process)
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
            if httpx.get(f"{running.base_url}/ready", verify=TRUSTING).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)  # it listens as soon as it can, and tells nobody but who asks
    raise AssertionError(f"the server did not start: {running.log.read_text()}")
