"""`pysfu serve` that can be killed and started again, and the media process that it leaves."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
from callers import HANG_S
from ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"
SECRET = "k" * 32


def children_of(pid: int) -> list[int]:
    """Returns the processes that were started by one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            if int(fields[1]) == pid:
                found.append(int(folder.name))
    return found


@dataclass
class Restartable:
    """A server with a configuration that stays. Open from entry to exit, and nothing of it runs on then.

    Attributes:
        folder: where its files are.
        orphan_limit_s: how long its media process goes on alone.
        external: where the media process of somebody else is controlled, if it is not to start one.
        media_settings: further lines of its section on media.
    """

    folder: Path
    orphan_limit_s: int = 30
    external: Path | None = None
    media_settings: str = ""
    control: Path | None = None
    base_url: str = ""
    media_port: int = 0
    media_pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        http, media = free_port(), free_port(socket.SOCK_DGRAM)
        self.media_port = media
        self.base_url = f"http://127.0.0.1:{http}"
        where = f'process = "external"\ncontrol_socket = "{self.external}"\n' if self.external is not None else ""
        where += f'control_socket = "{self.control}"\n' if self.control is not None else ""
        (self.folder / "pysfu.toml").write_text(
            f"[http]\nport = {http}\n[media]\nport = {media}\norphan_limit_s = {self.orphan_limit_s}\n{where}"
            f"{self.media_settings}"
            f'[admin]\nbearer = "{ADMIN}"\n[tokens.keys]\ntests = "{SECRET}"\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        code = self.process.wait(HANG_S)
        assert code == 0, self.log()
        self.wait_for_the_end_of_media()

    @property
    def children(self) -> list[int]:
        """What the running server has started and not seen to end."""
        assert self.process is not None
        return children_of(self.process.pid)

    @property
    def media_pid(self) -> int:
        """The media process that the running server has started."""
        (pid,) = self.children
        self.media_pids.add(pid)
        return pid

    def start(self) -> None:
        """Starts it, and waits until it serves."""
        command = [sys.executable, "-m", "signalling.cli", "serve", "--config", str(self.folder / "pysfu.toml")]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.base_url}/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(0.02)  # it tells nobody but who asks
        raise AssertionError(f"the server did not start: {self.log()}")

    def stop(self) -> None:
        """Stops it, as systemd does."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(HANG_S) == 0, self.log()

    def kill(self) -> None:
        """Kills it, as the kernel does when memory is short."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(HANG_S)

    def log(self) -> str:
        """Returns what was logged."""
        return (self.folder / "serve.log").read_text()

    def wait_for_the_end_of_media(self) -> None:
        """Waits until no media process of it runs any more."""
        self.wait_for_the_end_of(*self.media_pids)

    def wait_for_the_end_of(self, *pids: int) -> None:
        """Waits until these media processes run no more."""
        deadline = time.monotonic() + HANG_S
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < deadline, "a media process runs on"
            time.sleep(0.02)  # they are no children of ours, of whose end we would be told


@contextlib.contextmanager
def systemd_media(control: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Has systemd's own program listen, and start the media process at the first connection."""
    listens = ["systemd-socket-activate", "--listen", str(control), str(Path(sys.executable).with_name("pysfu-media"))]
    with subprocess.Popen(listens, cwd=ROOT, stderr=subprocess.DEVNULL) as media:
        try:
            deadline = time.monotonic() + HANG_S
            while not control.exists():
                assert time.monotonic() < deadline, "it does not listen"
                time.sleep(0.02)  # it tells nobody that it listens
            yield media
        finally:
            media.terminate()


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
