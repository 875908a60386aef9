"""The media process: how it is started when it does not run, and ended when it hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pysfu import _remote, worker
from pysfu._compiled import LocalCore
from pysfu._control_socket import connected, listen
from pysfu._handle import ProcessHandle
from pysfu.errors import StartError

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from pysfu import messages
    from pysfu._remote import RemoteCore
    from pysfu.config import Config

logger = logging.getLogger("pysfu")

_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGSYS)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "RUST_BACKTRACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaProcess:
    """A media process of its own: it outlives this one, and whoever comes after finds the calls that go on.

    Args:
        socket: where it is controlled. Whoever can write there controls all calls: only this user may, and root.
        spawn: whether to start one where none runs; otherwise another supervisor does, such as systemd.
        orphan_limit: how long calls go on while nobody controls them.
        user: whose rights it keeps, when this process is root's.
    """

    socket: Path
    spawn: bool = True
    orphan_limit: timedelta = timedelta(minutes=5)
    user: str = "nobody"

    def ids(self) -> tuple[int, int] | None:
        """Returns the numbers of the user and group whose rights it keeps; None for those of this process.

        Raises:
            StartError: there is no such user.
        """
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(self.user)
        except KeyError as error:
            raise StartError(f"there is no user {self.user} whose rights the media process could keep") from error
        return entry.pw_uid, entry.pw_gid


class Supervisor:
    """Finds the media process or starts it, and ends the one that it controls when that hangs."""

    def __init__(self, process: MediaProcess, config: messages.DriverConfig) -> None:
        self._process = process
        self._config = config
        self._how_it_ended: str | None = None
        self._had_control = False
        self._pids: list[int] = []  # of those started here that have not been seen to end
        self._handle: ProcessHandle | None = None  # of the one that is controlled, where it is ours to end

    async def open(self) -> RemoteCore:
        """Takes control of the process that runs, or starts one.

        Raises:
            StartError: there is none, or it does not start.
            ReplacedError: it was controlled from here, and is by another process now.
        """
        self._reap()
        path, is_ours = self._process.socket, self._process.spawn
        connection = connected(path)
        if connection is None:
            if not is_ours:
                raise StartError(f"no media process listens at {path}: start it, or see why it does not run")
            return await self._started()
        self._hold(ProcessHandle.at(connection) if is_ours else None)
        try:
            core = await _remote.connect(
                connection,
                self._config,
                end_other_version=is_ours,
                orphan_limit=self._process.orphan_limit,
                reclaims=self._had_control,
            )
        except _remote.ProtocolError as error:
            if not is_ours:
                raise StartError(str(error)) from error
            # Of the version before an upgrade, whose calls end now: nobody could control them.
            logger.warning("the media process is of another version, and is started anew")
            return await self._started()
        except _remote.SilentError as error:
            if not is_ours or not self._end_hanging("did not answer"):
                raise StartError(str(error)) from error
            return await self._started()
        if not core.as_configured:
            logger.warning("the media process runs with other settings: they change when it is started anew")
        return self._taken_up(core)

    async def _started(self) -> RemoteCore:
        """Starts a process and takes control of it."""
        connection = self._start()
        try:
            core = await _remote.connect(connection, self._config, orphan_limit=self._process.orphan_limit)
        except BaseException as error:
            # Also when this is cancelled: nothing goes on in it yet, and nobody else would end it.
            self._end_by_force()
            if isinstance(error, _remote.ProtocolError | _remote.SilentError):
                raise StartError(str(error)) from error
            raise
        return self._taken_up(core)

    def _taken_up(self, core: RemoteCore) -> RemoteCore:
        self._had_control = True
        core.when_closed = self._closed
        core.when_silent = self._silent
        self._reap()
        core.predecessor, self._how_it_ended = self._how_it_ended, None
        return core

    def _hold(self, handle: ProcessHandle | None) -> None:
        if self._handle is not None:
            self._handle.close()
        self._handle = handle

    def _silent(self) -> None:
        """Ends a process that stands still: that its connection ends then tells everyone else."""
        if not self._process.spawn:
            logger.error("the media process stands still: whoever has started it must end it")
            return
        self._end_hanging("stood still")

    def _closed(self, *, has_ended: bool) -> None:
        """Sees to the end of what was controlled, by force if it does not end."""
        if not self._process.spawn:
            return
        if has_ended:
            self._reap(patiently=True)
            self._remove_socket()
        else:
            self._end_hanging("did not stop")
        self._hold(None)

    def _end_hanging(self, how: str) -> bool:
        """Ends the process that is controlled by force, and says whether that was possible."""
        logger.error("the media process %s, and is ended by force", how)
        if not self._end_by_force():
            logger.error("the media process cannot be ended from here: it is not known, or not ours to end")
            return False
        self._how_it_ended = f"{how}, and was ended by force"
        return True

    def _end_by_force(self) -> bool:
        if self._handle is None or not self._handle.kill():
            return False
        self._ended()
        self._remove_socket()
        return True

    def _remove_socket(self) -> None:
        """Removes the socket that nobody listens at any more; a successor may have put its own there meanwhile."""
        with contextlib.suppress(StartError):
            successor = connected(self._process.socket)
            if successor is None:
                self._process.socket.unlink(missing_ok=True)
            else:
                successor.close()

    def _start(self) -> socket.socket:
        """Starts a process and connects to it, before it listens: the kernel keeps the connection for it."""
        listening, connection = listen(self._process.socket)
        with listening:
            listening.set_inheritable(True)
            limit = self._process.orphan_limit
            line = worker.command(listening.fileno(), orphan_limit=limit, user=self._process.ids())
            nothing = "/dev/null"
            try:
                pid = os.posix_spawn(
                    line[0],
                    line,
                    {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, nothing, os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 1, nothing, os.O_WRONLY, 0),
                    ],
                    setsid=True,  # what ends this process and its group must not end calls
                )
                self._pids.append(pid)
                self._hold(ProcessHandle(pid))
            except OSError as error:
                connection.close()
                raise StartError(f"the media process cannot be started: {error.strerror}") from error
        return connection

    def _reap(self, *, patiently: bool = False) -> None:
        """Takes note of how those ended that were started here."""
        for code in filter(None, self._ended(patiently=patiently)):
            how = _how_it_ended(code)
            logger.error("the media process %s", how)
            self._how_it_ended = self._how_it_ended or how

    def _ended(self, *, patiently: bool = False) -> list[int]:
        """Returns with what those ended that were started here, each once."""
        codes = []
        for started in tuple(self._pids):
            pid, status = os.waitpid(started, 0 if patiently else os.WNOHANG)
            if pid:
                self._pids.remove(pid)
                codes.append(os.waitstatus_to_exitcode(status))
        return codes


def _how_it_ended(code: int) -> str:
    """Says how a process ended, and who can do something about that.

    Args:
        code: with what it ended, which is not 0; of a signal the negative number.
    """
    if code == worker.EXIT_WORKER_LOST:
        return "gave up as a worker failed or hung: a fault of ours, please report it"
    if code > 0:
        return f"ended with status {code}: its last lines on stderr say why"
    if code in _CRASHES:
        return f"was ended by signal {-code}: a fault of ours, please report it"
    if code == -signal.SIGKILL:
        return "was ended by signal 9: by somebody, or by the kernel as memory was short"
    return f"was ended by signal {-code}: by somebody"


def opener(config: Config, process: MediaProcess | None) -> Callable[[], Awaitable[LocalCore | RemoteCore]]:
    """Returns what starts the engine, in this process unless told otherwise."""
    if process is not None:
        return Supervisor(process, config.to_message()).open

    async def in_this_process() -> LocalCore:
        return LocalCore(config.to_message())

    return in_this_process


def default_socket(port: int) -> Path:
    """Returns where the media process of a server with that first UDP port is controlled, unless told otherwise."""
    if "RUNTIME_DIRECTORY" in os.environ:
        folder = Path(os.environ["RUNTIME_DIRECTORY"].partition(":")[0])
    elif os.geteuid() == 0:
        folder = Path("/run/pysfu")
    elif "XDG_RUNTIME_DIR" in os.environ:
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "pysfu"
    else:
        folder = Path(f"/tmp/pysfu-{os.geteuid()}")  # noqa: S108 - ours alone, which is checked
    return folder / f"media-{port}.sock"
