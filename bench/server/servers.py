"""The servers that are measured, each started for one run and ended after it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import processes
from rig import SERVER_ADDRESS, Rig

ROOT = Path(__file__).parents[2]
SITE = ROOT / "target" / "bench" / "site"
"""The unpacked wheel, see the Makefile."""
JANUS_PLUGINS = Path("/usr/lib/x86_64-linux-gnu/janus")
START_LIMIT_S = 20.0
BUFFER_BYTES = 4 << 20
"""What `pysfu` asks for by default (`EngineConfig`)."""
EVENT_LOOPS = 1
"""Of Janus, which then has one thread for the media of all handles. `bench/README.md` tells how it was found."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        name: pysfu, meetings or janus.
        target: where the load finds it, and how it says hello; a part of the load's settings.
    """

    name: str
    target: Mapping[str, str]
    rig: Rig

    def pids(self) -> list[int]:
        """Returns all its processes: it has the namespace to itself."""
        return self.rig.processes(self.rig.server)

    def prepare(self) -> None:
        """Does what is to be done once all have joined."""
        if self.name == "janus":
            processes.widen_udp_buffers(self.pids(), size=BUFFER_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a server is started.

    Attributes:
        command: its program.
        log: where it writes.
        port: on which it listens once it has started.
        environment: of its processes.
        target: as of `Server`.
    """

    command: Sequence[str | Path]
    log: Path
    port: int
    environment: Mapping[str, str]
    target: Mapping[str, str]


SERVE = ("-m", "signalling.cli")
"""`pysfu`, as arguments of Python."""


def plan_of_pysfu(rig: Rig, folder: Path, program: Sequence[str | Path] = SERVE) -> Plan:
    """Writes a configuration for `pysfu serve` as an operator would, and says how it is started."""
    bearer = secrets.token_urlsafe(32)
    (folder / "pysfu.toml").write_text(
        f"""
        [http]
        port = 8443
        [media]
        host = "{SERVER_ADDRESS}"
        port = 7882
        control_socket = "{folder / "media.sock"}"
        [admin]
        bearer = "{bearer}"
        [tokens.keys]
        bench = "{secrets.token_urlsafe(48)}"
        [rooms]
        max_participants = 200
        [log]
        level = "warning"
        """
    )
    return Plan(
        command=[sys.executable, *program, "serve", "--config", folder / "pysfu.toml"],
        log=folder / "pysfu.log",
        port=8443,
        environment=os.environ | {"PYTHONPATH": str(SITE)},
        target={
            "server": "pysfu",
            "url": "http://127.0.0.1:8443",
            "bearer": bearer,
            "namespace": rig.path(rig.server),
        },
    )


@contextlib.contextmanager
def pysfu(rig: Rig, folder: Path) -> Iterator[Server]:
    """Runs `pysfu serve` from the release build."""
    plan = plan_of_pysfu(rig, folder)
    with _running(rig, plan):
        running = Server("pysfu", plan.target, rig)
        check_release(running.pids())
        yield running


@contextlib.contextmanager
def meetings(rig: Rig, folder: Path) -> Iterator[Server]:
    """Runs the same, for a load that speaks LiveKit's client protocol."""
    with pysfu(rig, folder) as running:
        yield Server("meetings", {**running.target, "server": "meetings"}, rig)


def check_release(pids: Sequence[int]) -> None:
    """Sees to it that the module is that of the wheel: the one beside the sources is built for tests.

    Raises:
        RuntimeError: it is not.
    """
    mapped = "\n".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    modules = {line.split(maxsplit=5)[5] for line in mapped.splitlines() if line.endswith("_core.abi3.so")}
    if modules != {str(SITE / "pysfu" / "_core.abi3.so")}:
        raise RuntimeError(f"the server runs another build: {modules}")


@contextlib.contextmanager
def janus(rig: Rig, folder: Path, *, event_loops: int = EVENT_LOOPS) -> Iterator[Server]:
    """Runs Debian's Janus with the plugin VideoRoom and the WebSocket only."""
    settings = folder / "janus"
    settings.mkdir(exist_ok=True)
    (settings / "janus.jcfg").write_text(
        f"""
        general: {{
            configs_folder = "{settings}"
            plugins_folder = "{JANUS_PLUGINS}/plugins"
            transports_folder = "{JANUS_PLUGINS}/transports"
            events_folder = "{JANUS_PLUGINS}/events"
            loggers_folder = "{JANUS_PLUGINS}/loggers"
            debug_level = 2
            session_timeout = 0
            {f"event_loops = {event_loops}" if event_loops else ""}
        }}
        media: {{ ipv6 = false }}
        nat: {{ ice_enforce_list = "{SERVER_ADDRESS}" }}
        plugins: {{ disable = "{_all_but("plugins", "videoroom")}" }}
        transports: {{ disable = "{_all_but("transports", "websockets")}" }}
        loggers: {{ disable = "libjanus_jsonlog.so" }}
        """
    )
    (settings / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")
    (settings / "janus.transport.websockets.jcfg").write_text(
        'general: { json = "compact"\nws = true\nws_port = 8188\nws_interface = "lo"\nwss = false }\n'
        "admin: { admin_ws = false }\n"
    )
    command = ["janus", "--config", settings / "janus.jcfg", "--configs-folder", settings, "--disable-colors"]
    target = {"server": "janus", "url": "ws://127.0.0.1:8188", "namespace": rig.path(rig.server)}
    plan = Plan(command=command, log=folder / "janus.log", port=8188, environment=os.environ, target=target)
    with _running(rig, plan):
        yield Server("janus", target, rig)


def _all_but(kind: str, wanted: str) -> str:
    files = sorted(path.name for path in (JANUS_PLUGINS / kind).glob("libjanus_*.so") if wanted not in path.name)
    return ",".join(files)


@contextlib.contextmanager
def _running(rig: Rig, plan: Plan) -> Iterator[None]:
    process = launch(rig, plan)
    try:
        _wait_until_listening(rig, process, plan)
        yield
    finally:
        end(rig, process)


def launch(rig: Rig, plan: Plan) -> subprocess.Popen[bytes]:
    """Starts a server, and does not wait until it serves."""
    with plan.log.open("ab") as output:
        return subprocess.Popen(
            # Whatever becomes of this program, no server outlives it.
            ["setpriv", "--pdeathsig", "KILL", *rig.inside(rig.server, plan.command)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            # Python would find the sources first in the folder that it is started in.
            cwd=plan.log.parent,
            env=plan.environment,
        )


def _wait_until_listening(rig: Rig, process: subprocess.Popen[bytes], plan: Plan) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        listening = subprocess.run(
            rig.inside(rig.server, ["ss", "-Hltn", f"sport = :{plan.port}"]), check=True, capture_output=True, text=True
        )
        if listening.stdout:
            return
        time.sleep(0.1)  # it tells nobody but who asks
    raise RuntimeError(f"the server did not start: {plan.log.read_text()[-2000:]}")


def end(rig: Rig, process: subprocess.Popen[bytes]) -> None:
    """Ends the server, and whatever it has left in its namespace."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in rig.processes(rig.server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
