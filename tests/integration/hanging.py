"""Stopping one thread of a server for good, as a hang of it looks from everywhere else: ptrace(2)."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from pathlib import Path

from callers import HANG_S

_SEIZE, _INTERRUPT = 0x4206, 0x4207
_WAIT_FOR_ANY_THREAD = 0x4000_0000


def worker_thread(process: int, name: str) -> int:
    for task in Path(f"/proc/{process}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"there is no thread {name}")


def hang(thread: int) -> None:
    """Stops a thread until its process ends. To be called by the parent of the process, which may."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    for request in (_SEIZE, _INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    os.waitpid(thread, _WAIT_FOR_ANY_THREAD)


def end_of_thread(thread: int) -> float:
    """Waits for the end of a stopped thread, as whoever stopped it must, and returns how long it took in seconds."""
    began = time.monotonic()
    os.waitpid(thread, _WAIT_FOR_ANY_THREAD)
    return time.monotonic() - began


def end_of(process: subprocess.Popen[str], thread: int | None) -> float:
    """Waits for the end of the process and returns how long it took. A stopped thread is waited for as well."""
    began = time.monotonic()
    if thread is not None:
        while time.monotonic() - began < HANG_S and os.waitpid(thread, os.WNOHANG | _WAIT_FOR_ANY_THREAD)[0] == 0:
            time.sleep(0.01)  # a tracer can wait for a thread, but not for so long and no longer
    process.wait(max(0.1, HANG_S - (time.monotonic() - began)))
    return time.monotonic() - began
