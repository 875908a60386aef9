"""A machine inside this one in which systemd is process 1, to see what administrators see. It takes root's rights."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from callers import HANG_S
from media_process import children_of

ADDRESS = "192.0.2.10"
"""Where it is reached, besides 127.0.0.1: from inside its network only."""

_BOOT = Path(__file__).with_name("boot.sh")
_NAMESPACES = ("--pid", "--mount", "--net", "--cgroup", "--ipc", "--uts")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_CLONE_NEWNET = 0x4000_0000
_ENTERS_CGROUP = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """It runs, and ends with whoever has made it.

    Attributes:
        init: the number of its process 1 here.
    """

    init: int

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, cwd: str = "/srv", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in it as root, as one who has just logged in."""
        enters = ["nsenter", f"--target={self.init}", "--all", f"--wdns={cwd}"]
        own = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"} | dict(environment or {})
        done = subprocess.run([*enters, *command], env=own, capture_output=True, text=True, timeout=5 * HANG_S)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def path(self, name: str) -> Path:
        """Returns where a file of it is found from here."""
        return Path(f"/proc/{self.init}/root") / name.lstrip("/")

    def shown(self, unit: str, what: str) -> str:
        """Returns a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={what}", unit).stdout.strip()

    def main_pid(self, unit: str) -> int:
        """Returns the main process of a unit by its number there; 0 without one."""
        return int(self.shown(unit, "MainPID"))

    def journal(self, unit: str, *arguments: str) -> list[str]:
        """Returns what the journal has of a unit: what it wrote, and what systemd says of it."""
        said = self.run("journalctl", "--quiet", "--output=cat", f"--unit={unit}", *arguments)
        return said.stdout.splitlines()

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Has this thread be in its network, and those that it starts."""
        with Path("/proc/thread-self/ns/net").open() as own, Path(f"/proc/{self.init}/ns/net").open() as its:
            _enter(its)
            try:
                yield
            finally:
                _enter(own)


def _enter(network: IO[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # Python has `os.setns` from 3.12 on
    if libc.setns(network.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boots a machine.

    Args:
        folder: an empty one, over which it mounts its files; here it stays empty.
    """
    assert os.geteuid() == 0, "systemd as process 1 takes root's rights: run this as root"
    with _cgroup() as cgroup:
        # Whatever becomes of us, the kernel ends unshare then, and with it process 1 and all others there.
        dies_with_us = ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child"]
        command = ["sh", "-c", _ENTERS_CGROUP, "sh", str(cgroup), *dies_with_us, "sh", str(_BOOT), str(folder)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                yield _when_up(process)
            finally:
                process.kill()


def _when_up(process: subprocess.Popen[bytes]) -> Machine:
    """Waits until it has booted."""
    deadline = time.monotonic() + HANG_S
    state = "nothing is known"
    while time.monotonic() < deadline and process.poll() is None:
        for init in children_of(process.pid):
            if Path(f"/proc/{init}/comm").read_text().strip() == "systemd":
                machine = Machine(init)
                state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state == "running":
                    return machine
                state += machine.run("systemctl", "--failed", "--no-legend", "--plain", check=False).stdout
        time.sleep(0.1)  # process 1 tells nobody outside
    raise AssertionError(f"systemd does not come up: {state}")


@contextlib.contextmanager
def _cgroup() -> Iterator[Path]:
    """Makes a cgroup beside our own, and removes it with all that was made in it."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next(Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2")
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    made = root / own.removeprefix("0::/") / f"machine-of-a-test-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        _remove(made)


def _remove(cgroup: Path) -> None:
    deadline = time.monotonic() + HANG_S
    for folder in [*sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True), cgroup]:
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{folder} is in use"
                time.sleep(0.05)  # the kernel takes a moment to bury what was in it
