"""A real `pysfu serve` on the server's host, and what it tells about itself."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import ssl
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from networks.network import SERVER, Host, Network
from signalling.certificate import make_trial_certificate

BEARER = "an-administrator-of-these-tests"
PORT = 8443
PATIENCE_S = 120.0  # only catches hangs
CALL_PATIENCE_S = 10.0
_CLONE_NEWNET = 0x4000_0000

_CONFIG = """
[http]
host = "0.0.0.0"
certificate = "{certificate}"
key = "{key}"
[admin]
bearer = "{bearer}"
[metrics]
bearer = "{bearer}"
[tokens.keys]
tests = "a-secret-that-only-these-tests-know"
[media]
announced_addresses = {announced}
"""

_SAMPLE = re.compile(r"^(sfu_\w+(?:\{.*\})?) ([0-9.e+-]+)$", re.MULTILINE)


def base(address: str) -> str:
    """Returns where the server is asked."""
    return f"https://{address}:{PORT}"


class PysfuServer:
    """Runs the server between entry and exit; `announced` is what participants are told, where that is not its own."""

    def __init__(self, network: Network, folder: Path, *, announced: Sequence[str] = ()) -> None:
        self._host = network.server
        self._config = folder / "pysfu.toml"
        self._log = folder / "server.log"
        self._announced = list(announced)
        names = [ip_address(address) for address in (SERVER, *announced)]
        self.certificate, self._key = make_trial_certificate(folder / "tls", names)
        self._process: asyncio.subprocess.Process | None = None
        self._inside = ThreadPoolExecutor(1, initializer=_enter, initargs=(self._host,))
        self._http = httpx.Client(
            base_url=base(SERVER),
            headers={"Authorization": f"Bearer {BEARER}"},
            verify=ssl.create_default_context(cafile=str(self.certificate)),
            timeout=CALL_PATIENCE_S,
        )

    async def __aenter__(self) -> Self:
        config = _CONFIG.format(
            certificate=self.certificate, key=self._key, bearer=BEARER, announced=json.dumps(self._announced)
        )
        self._config.write_text(config, encoding="utf-8")
        serve = f"from signalling.cli import app; app(['serve', '--config', {str(self._config)!r}])"
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._host.command(sys.executable, "-c", serve), stdout=log, stderr=log
            )
        async with asyncio.timeout(PATIENCE_S):
            while not self.events("server started"):
                if self._process.returncode is not None:
                    raise AssertionError(f"the server did not start: {self._log.read_text(encoding='utf-8')}")
                await asyncio.sleep(0.05)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.submit(self._http.close).result()
        self._inside.shutdown()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._process.wait()

    async def room(self) -> str:
        """Makes a room."""
        return str(json.loads(await self._call("POST", "/rooms"))["room"])

    async def token(self, room: str) -> str:
        """Makes a token for one more participant."""
        return str(json.loads(await self._call("POST", f"/rooms/{room}/tokens"))["token"])

    async def figures(self) -> dict[str, float]:
        """Returns the metrics, each with its labels as Prometheus writes them."""
        return {name: float(value) for name, value in _SAMPLE.findall(await self._call("GET", "/metrics"))}

    def events(self, event: str) -> list[dict[str, object]]:
        """Returns the lines of the log for one kind of event."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        logged = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in logged if line.get("event") == event]

    async def _call(self, method: str, path: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._inside, self._request, method, path)

    def _request(self, method: str, path: str) -> str:
        answer = self._http.request(method, path, json={} if method == "POST" else None)
        answer.raise_for_status()
        return answer.text


def _enter(host: Host) -> None:
    """Moves the calling thread into a namespace: what it connects to, it connects to from there."""
    with Path(f"/run/netns/{host.namespace}").open("rb") as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
