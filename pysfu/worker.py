"""The entry of the media process. Run as a script, it needs but the compiled module beside it and starts at once.

It holds no database, no key and no secret: all it is given is the socket on which it is controlled.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import NoReturn

EXIT_BROKEN = 1
"""With what it ends when it cannot go on by itself; a line on stderr says what kind of error that was."""

EXIT_NO_SOCKET = 2
"""With what it ends when nobody has given it a socket."""

EXIT_WORKER_LOST = 70
"""With what the media process ends when a worker failed or hangs and no other one carries a call (EX_SOFTWARE)."""

_ENDINGS: dict[str, tuple[str | None, int]] = {
    "stopped": (None, 0),
    "orphaned": ("ended: nobody was in control", 0),
    "worker_lost": ("ended: a worker failed or hangs", EXIT_WORKER_LOST),
}
"""What the log says of each reason to end, and with what the process ends then."""

_SYSTEMD_FIRST_FD = 3  # SD_LISTEN_FDS_START
_UNCONTROLLED_LIMIT_S = 300.0  # until a server has come, which says how long calls go on without it


def command(fd: int, *, orphan_limit: timedelta, user: tuple[int, int] | None) -> list[str]:
    """Returns the command line that runs this for a socket that it inherits.

    Args:
        fd: the socket, which listens.
        orphan_limit: how long calls go on while nobody controls them.
        user: the numbers of the user and group whose rights are kept; None for those of whoever starts it.
    """
    # No environment, no site: nothing but the standard library and this file can have a say.
    line = [sys.executable, "-I", "-S", __file__, str(fd), str(orphan_limit.total_seconds())]
    return line + ([str(number) for number in user] if user is not None else [])


def start() -> NoReturn:
    """The program `pysfu-media`: becomes the media process on the socket that systemd has opened, and nothing else."""
    os.execv(sys.executable, [sys.executable, "-I", "-S", __file__])  # noqa: S606 - ourselves, without a shell


def main(arguments: list[str]) -> int:
    """Runs the media process; without a socket among the arguments, on the one that systemd has opened."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for whoever controls this, who says what to do
    os.chdir("/")
    fd, orphan_limit_s = _SYSTEMD_FIRST_FD, _UNCONTROLLED_LIMIT_S
    if arguments:
        fd, orphan_limit_s = int(arguments[0]), float(arguments[1])
    elif os.environ.get("LISTEN_PID") != str(os.getpid()):
        sys.stderr.write("pysfu media: no socket: it is started by pysfu serve, or by systemd through a socket unit\n")
        return EXIT_NO_SOCKET
    user = (int(arguments[2]), int(arguments[3])) if len(arguments) > 3 else None
    core = os.path.join(os.path.dirname(__file__), "_core.abi3.so")  # noqa: PTH118, PTH120
    loader = ExtensionFileLoader("_core", core)
    spec = spec_from_loader("_core", loader)
    assert spec is not None, "a loader has a spec"
    module = module_from_spec(spec)
    loader.exec_module(module)
    # systemd, where its unit has WatchdogSec, ends this process when it is not told often enough that it goes round.
    watchdog = os.environ.get("NOTIFY_SOCKET") if os.environ.get("WATCHDOG_PID") == str(os.getpid()) else None
    try:
        ended = module.serve_media(fd, orphan_limit_s, user, watchdog)
    except BaseException as error:  # a panic is no Exception
        _say(f"broke: {type(error).__name__}")
        return EXIT_BROKEN
    told, code = _ENDINGS[ended]
    if told is not None:
        _say(told)
    return code


def _say(what: str) -> None:
    """Writes as the server does, which logs to the same stderr; no time: nobody who could say it is imported."""
    sys.stderr.write(f'{{"level": "error", "event": "media process {what}", "component": "media"}}\n')


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
