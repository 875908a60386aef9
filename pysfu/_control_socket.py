"""The Unix socket on which a media process is controlled: who may be trusted to have made it, connecting, making it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

from pysfu.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

_BACKLOG = 8  # as the media process has it: `BACKLOG` of `driver/process.rs`


def connected(path: Path) -> socket.socket | None:
    """Connects to the process that listens there, if one does.

    Raises:
        StartError: it takes no more connections, or others could have put it there.
    """
    # At once, or not at all: one that hangs takes no more after a while.
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _check_folder(path.parent)
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BlockingIOError as error:
        connection.close()
        raise StartError(f"{path}: the media process accepts no connection: it hangs, and is to be ended") from error
    except OSError as error:
        connection.close()
        raise StartError(f"{path}: {error.strerror}") from error
    except StartError:
        connection.close()
        raise
    return connection


def listen(path: Path) -> tuple[socket.socket, socket.socket]:
    """Makes the socket of a new process, with a connection to it; it takes the place of one that nobody listens at.

    Raises:
        StartError: it cannot be made there, or others could put another in its place.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):
            made.unlink()
        listening.bind(str(made))
        made.chmod(0o600)
        listening.listen(_BACKLOG)
        connection.connect(str(made))
        made.rename(path)
    except StartError:
        listening.close()
        connection.close()
        raise
    except OSError as error:
        listening.close()
        connection.close()
        reason = "is too long for a socket" if error.errno is None else error.strerror or errno.errorcode[error.errno]
        raise StartError(f"{path}: {reason}") from error
    connection.setblocking(False)
    return listening, connection


def _check_folder(folder: Path) -> None:
    """Refuses a folder in which others could put a socket of theirs in place of ours.

    Raises:
        StartError: it is such a folder.
    """
    # Where it is a link, whose that is counts as well.
    owners = {folder.lstat().st_uid, folder.stat().st_uid}
    if not owners <= {os.geteuid(), 0} or folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(f"{folder}: others may write here, so it is no place for a control socket")
