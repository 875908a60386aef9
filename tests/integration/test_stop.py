"""`pysfu serve` ends in time when asked to, also while a real worker of it hangs."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from callers import HANG_S
from ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"
GRACE_S = 1
DEADLINE_S = GRACE_S + 10  # as signalling/README.md says

# ptrace(2): stopping one thread of another process is how a hang of it looks from everywhere else.
_SEIZE, _INTERRUPT = 0x4206, 0x4207
_WAIT_FOR_ANY_THREAD = 0x4000_0000


def _worker_thread(process: int, name: str) -> int:
    for task in Path(f"/proc/{process}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"there is no thread {name}")


def _hang(thread: int) -> None:
    """Stops a thread until its process ends. To be called by the parent of the process, which may."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    for request in (_SEIZE, _INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    os.waitpid(thread, _WAIT_FOR_ANY_THREAD)


def _end_of(process: subprocess.Popen[str], thread: int | None) -> float:
    """Waits for the end of the process and returns how long it took. A stopped thread is waited for as well."""
    began = time.monotonic()
    if thread is not None:
        while time.monotonic() - began < HANG_S and os.waitpid(thread, os.WNOHANG | _WAIT_FOR_ANY_THREAD)[0] == 0:
            time.sleep(0.01)  # a tracer can wait for a thread, but not for so long and no longer
    process.wait(max(0.1, HANG_S - (time.monotonic() - began)))
    return time.monotonic() - began


@pytest.mark.parametrize(("hangs", "code"), [(False, 0), (True, 1)])
def test_sigterm_ends_the_server_within_its_deadline(tmp_path: Path, hangs: bool, code: int) -> None:
    http, media = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    config = f'[http]\nport = {http}\n[media]\nport = {media}\n[admin]\nbearer = "{ADMIN}"\n'
    (tmp_path / "pysfu.toml").write_text(f"{config}[shutdown]\ngrace_s = {GRACE_S}\n")
    command = [sys.executable, "-m", "signalling.cli", "serve", "--config", str(tmp_path / "pysfu.toml")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "Listening" in process.stdout.readline()
            made = httpx.post(f"http://127.0.0.1:{http}/rooms", headers={"Authorization": f"Bearer {ADMIN}"})
            assert made.status_code == 201, made.text
            thread = _worker_thread(process.pid, "sfu-0") if hangs else None
            if thread is not None:
                _hang(thread)
            process.send_signal(signal.SIGTERM)
            took = _end_of(process, thread)
        finally:
            process.kill()
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == code, told
    assert took < DEADLINE_S, told
    assert ("pysfu: stopped, although media worker 0 hung" in told) is hangs, told
