"""What a server's processes take: processor time, memory; and how large their UDP buffers are."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

_CPUCLOCK_SCHED = 2
_SYS_PIDFD_GETFD = 438
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33


def cpu_ns(pids: Iterable[int]) -> int:
    """Returns the processor time of processes with all their threads, those that have ended too, in nanoseconds.

    It is the scheduler's own count, from the clock that `clock_getcpuclockid` names: exact, where the ticks of
    `/proc/PID/stat` would be a hundredth of a second each.
    """
    return sum(_cpu_ns(pid) for pid in pids)


def _cpu_ns(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0  # it has ended


def rss_kib(pids: Iterable[int]) -> int:
    """Returns the resident sets of processes together, in KiB."""
    return sum(_status(pid, "VmRSS") for pid in pids)


def threads(pids: Iterable[int]) -> int:
    """Returns how many threads processes have together."""
    return sum(_status(pid, "Threads") for pid in pids)


def switches(pids: Iterable[int]) -> int:
    """Returns how often all threads of processes were switched away from."""
    count = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                lines = (task / "status").read_text().splitlines()
            except OSError:
                continue  # it has ended
            count += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return count


def _status(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def widen_udp_buffers(pids: Iterable[int], *, size: int) -> int:
    """Gives each UDP socket of processes larger buffers, as the processes would with SO_RCVBUF; returns how many.

    For servers that have no setting of their own. The sysctl `net.core.rmem_default` is that of the whole machine.
    """
    return sum(_widen(pid, size) for pid in pids)


def _widen(pid: int, size: int) -> int:
    count = 0
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                is_socket = str(entry.readlink()).startswith("socket:")
            except OSError:
                continue  # closed meanwhile
            descriptor = _borrow(process, int(entry.name)) if is_socket else -1
            if descriptor >= 0:
                with socket.socket(fileno=descriptor) as borrowed:
                    if borrowed.family in (socket.AF_INET, socket.AF_INET6) and borrowed.type == socket.SOCK_DGRAM:
                        _set(borrowed, _SO_RCVBUFFORCE, socket.SO_RCVBUF, size)
                        _set(borrowed, _SO_SNDBUFFORCE, socket.SO_SNDBUF, size)
                        count += 1
    finally:
        os.close(process)
    return count


def _set(udp: socket.socket, force: int, name: int, size: int) -> None:
    """Sets a size as `sfu_core` does: by force where that is allowed, else up to what the machine grants everybody."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, force, size)
    except PermissionError:
        udp.setsockopt(socket.SOL_SOCKET, name, size)


def _borrow(process: int, descriptor: int) -> int:
    """Duplicates another process's descriptor (pidfd_getfd, which Python does not have); -1 when it is closed."""
    return int(ctypes.CDLL(None, use_errno=True).syscall(_SYS_PIDFD_GETFD, process, descriptor, 0))
