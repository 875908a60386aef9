"""A pysfu server whose processes are killed and stopped while it carries calls, and what it answers meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import servers
from rig import Rig

_LOOK_S = 0.02
"""How often is asked for what nobody tells."""
ANSWER_LIMIT_S = 10.0


class Asking(http.client.HTTPConnection):
    """HTTP from within the server's namespace over loopback, as an administrating system beside it."""

    def __init__(self, rig: Rig, target: Mapping[str, str]) -> None:
        self._rig = rig
        self._headers = {"Authorization": f"Bearer {target['bearer']}", "Content-Type": "application/json"}
        host, _, port = target["url"].removeprefix("http://").partition(":")
        super().__init__(host, int(port), timeout=ANSWER_LIMIT_S)

    def connect(self) -> None:
        """Connects, whenever there is no connection; what is asked then goes over it."""
        with self._rig.within(self._rig.server):
            super().connect()

    def ask(self, method: str, path: str) -> None:
        """Asks, and does not wait for the answer."""
        self.request(method, path, headers=self._headers)

    def answered(self) -> tuple[int, Any]:
        """Waits for the answer: its status, and what it says."""
        response = self.getresponse()
        said = response.read()
        return response.status, json.loads(said) if said else None

    def call(self, method: str, path: str) -> tuple[int, Any]:
        """Asks, and waits for the answer; without a server the status is 0."""
        try:
            self.ask(method, path)
            return self.answered()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, None


class Restartable:
    """`pysfu serve` and its media process, under calls."""

    def __init__(self, rig: Rig, plan: servers.Plan) -> None:
        self._rig = rig
        self._plan = plan
        self._process = servers.launch(rig, plan)
        self.http = Asking(rig, plan.target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        servers.end(self._rig, self._process)

    @property
    def target(self) -> Mapping[str, str]:
        """Where the load finds it."""
        return self._plan.target

    @property
    def pid(self) -> int:
        """The signalling process."""
        return self._process.pid

    @property
    def media_pid(self) -> int:
        """The media process: what else is in its namespace.

        Raises:
            RuntimeError: there is none, or more than one.
        """
        others = [pid for pid in self._rig.processes(self._rig.server) if pid != self._process.pid]
        if len(others) != 1:
            raise RuntimeError(f"there are {len(others)} media processes: {self.log()}")
        return others[0]

    def wait_until_ready(self) -> None:
        """Waits until it takes calls.

        Raises:
            RuntimeError: it does not.
        """
        deadline = time.monotonic() + servers.START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            status, _ = self.http.call("GET", "/ready")
            if status == 200:
                return
            time.sleep(_LOOK_S)  # it tells nobody but who asks
        raise RuntimeError(f"the server is not ready: {self.log()}")

    def kill_signalling(self) -> None:
        """Kills the signalling process, as the kernel does when memory is short."""
        self._process.kill()
        self._process.wait()
        self.http.close()

    def start_signalling(self) -> None:
        """Starts it again, and waits until it is ready.

        Raises:
            RuntimeError: it is not.
        """
        self._process = servers.launch(self._rig, self._plan)
        self.wait_until_ready()

    def load_as_at_start(self, seconds: float) -> None:
        """Has another Python load what the server loads when it starts; takes so long in all."""
        until = time.monotonic() + seconds
        command = self._rig.inside(
            self._rig.server, [sys.executable, "-c", "import signalling.cli, signalling.server, pysfu"]
        )
        subprocess.run(command, check=True, env=self._plan.environment, cwd=self._plan.log.parent)
        time.sleep(max(0.0, until - time.monotonic()))  # for as long as the span it is compared with

    def rooms(self) -> list[str]:
        """Returns all rooms."""
        return [room["room"] for room in self.told("GET", "/rooms")]

    def roster(self) -> dict[tuple[str, str], list[str]]:
        """Returns who is in which room, and receives from whom."""
        seats = ((room, seat) for room in self.rooms() for seat in self.told("GET", f"/rooms/{room}")["roster"])
        return {(room, seat["participant"]): sorted(seat["receives_from"]) for room, seat in seats}

    def told(self, method: str, path: str) -> Any:
        """Returns what the server answers.

        Raises:
            RuntimeError: it refuses.
        """
        status, said = self.http.call(method, path)
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {said}")
        return said

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Sees to it that the signalling process, which has been stopped, goes on afterwards."""
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def is_stopped(self) -> bool:
        """Whether the signalling process stands still, with all its threads."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def log(self) -> str:
        """Returns the end of what was logged."""
        return self._plan.log.read_text()[-2_000:]


@contextlib.contextmanager
def restartable(rig: Rig, program: Sequence[str | Path] = servers.SERVE) -> Iterator[Restartable]:
    """Runs the server from the release build until the end, and nothing of it runs on then."""
    rig.set_offload(on=False)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(Restartable(rig, servers.plan_of_pysfu(rig, folder, program)))
        server.wait_until_ready()
        servers.check_release([server.pid, server.media_pid])
        yield server
