"""A process that can be ended whatever it does: by a descriptor, so that no other one that got its number is hit."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

END_TIMEOUT_S = 2.0
"""How long the kernel gets to end a process by force; it takes milliseconds, unless a device holds it up."""

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
_INIT = 1  # what systemd has opened is its own until the media process listens


class ProcessHandle:
    """A process, whatever becomes of its number.

    Args:
        pid: its number; it runs, or is a child that nobody has waited for.

    Raises:
        OSError: there is none of that number.
    """

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    @classmethod
    def at(cls, connection: socket.socket) -> Self | None:
        """Returns the media process that listens at the other end, to be trusted as long as that has not hung up.

        None where it cannot be known: it has not listened yet (whose number there is in the socket's name, as it made
        that), or runs where we see no processes.
        """
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, _, _ = _CREDENTIALS.unpack(credentials)
        if pid <= _INIT or str(connection.getpeername()).endswith(f".{pid}"):
            return None
        try:
            return cls(pid)
        except OSError:
            return None

    def kill(self) -> bool:
        """Ends it by force, waits for that a while, and says whether it has ended; False also where it is not ours."""
        try:
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        ended = select.poll()
        ended.register(self._fd, select.POLLIN)
        return bool(ended.poll(END_TIMEOUT_S * 1_000))

    def close(self) -> None:
        """Forgets it. Nothing else may be called afterwards."""
        os.close(self._fd)
