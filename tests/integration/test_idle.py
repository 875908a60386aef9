"""What a server and its media process have loaded before anybody calls, which is most of the memory that they take."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from callers import HANG_S
from media_process import ROOT, Restartable, children_of

import pysfu.worker

SERVES = """
import sys
from signalling import cli

cli.typer.echo = lambda _: print(*sys.modules, flush=True)
cli.app(["serve", "--config", sys.argv[1]])
"""
"""`pysfu serve`, which prints what it has loaded in the place of where it listens."""

LOADS = """
from pathlib import Path
import pysfu._core
print(Path("/proc/self/smaps").read_text())
"""

UNUSED = {
    "aiohttp": "posts webhooks, of which none are configured",
    "alembic": "changes a database that an earlier version has made",
    "av": "belongs to bots",
    "numpy": "belongs to bots",
    "rich": "prints in colour",
}
"""What is there, and why an idle server has not loaded it."""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration file like an operator's."""
    Restartable(tmp_path)
    return tmp_path / "pysfu.toml"


def of_media(pid: int) -> set[str]:
    """Returns the names of the compiled modules of Python that the media process has loaded."""
    mapped = Path(f"/proc/{pid}/maps").read_text()
    return {
        Path(name).name for name in re.findall(r"\S+\.so$", mapped, re.MULTILINE) if "python" in name or "pysfu" in name
    }


def test_an_idle_server_has_loaded_nothing_that_it_does_not_use(settings: Path) -> None:
    command = [sys.executable, "-c", SERVES, settings]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        loaded = {name.partition(".")[0] for name in serving.stdout.readline().split()}
        (media,) = children_of(serving.pid)
        of_media_process = of_media(media)
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(HANG_S) == 0
    assert {"fastapi", "pysfu", "signalling", "sqlalchemy", "structlog"} <= loaded, "it serves"
    assert loaded & UNUSED.keys() == set()
    assert of_media_process == {"_core.abi3.so"}


def test_the_media_process_has_loaded_little_of_the_standard_library() -> None:
    asks = [sys.executable, "-I", "-S", "-X", "importtime", pysfu.worker.__file__]
    ended = subprocess.run(asks, check=False, capture_output=True, text=True)
    assert ended.returncode == pysfu.worker.EXIT_NO_SOCKET, "it goes no further than to what it needs"
    loaded = set(re.findall(r"\| +(\S+)$", ended.stderr, re.MULTILINE))
    assert {"importlib.util", "signal"} <= loaded
    assert loaded & {"asyncio", "json", "logging", "re", "socket", "ssl", "subprocess", "typing"} == set()


def test_loading_the_engine_touches_no_huge_page() -> None:
    loads = subprocess.run([sys.executable, "-c", LOADS], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "_core.abi3.so" in loads.stdout
    assert set(re.findall(r"^AnonHugePages: +(\d+) kB$", loads.stdout, re.MULTILINE)) == {"0"}
