"""`pysfu serve` notices when a real worker of it hangs, and ends in time when asked to, also then."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from callers import HANG_S
from hanging import end_of, hang, worker_thread
from ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN = "admin-bearer-of-these-tests"
BEARER = {"Authorization": f"Bearer {ADMIN}"}
GRACE_S = 1
DEADLINE_S = GRACE_S + 10  # as signalling/README.md says
NOTICED_S = 2.0  # likewise
SLACK_S = 1.0  # of a machine at full load, for one request


@contextlib.contextmanager
def serving(folder: Path, *, workers: int = 1) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs a server, and kills it in the end if it is still there."""
    http, media = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    # A thread of another process is not ours to stop.
    config = f'[http]\nport = {http}\n[media]\nport = {media}\nprocess = "inside"\nworkers = {workers}\n'
    config += f'[admin]\nbearer = "{ADMIN}"\n'
    (folder / "pysfu.toml").write_text(f"{config}[shutdown]\ngrace_s = {GRACE_S}\n")
    command = [sys.executable, "-m", "signalling.cli", "serve", "--config", str(folder / "pysfu.toml")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "Listening" in process.stdout.readline()
            yield process, f"http://127.0.0.1:{http}"
        finally:
            process.kill()


def told_by(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


@pytest.mark.parametrize(("hangs", "code"), [(False, 0), (True, 1)])
def test_sigterm_ends_the_server_within_its_deadline(tmp_path: Path, hangs: bool, code: int) -> None:
    with serving(tmp_path) as (process, root):
        made = httpx.post(f"{root}/rooms", headers=BEARER)
        assert made.status_code == 201, made.text
        thread = worker_thread(process.pid, "sfu-0") if hangs else None
        if thread is not None:
            hang(thread)
        process.send_signal(signal.SIGTERM)
        took = end_of(process, thread)
        told = told_by(process)
    assert process.returncode == code, told
    assert took < DEADLINE_S, told
    assert ("pysfu: stopped, although media worker 0 hung" in told) is hangs, told


def test_a_worker_that_hangs_is_noticed_within_two_seconds_and_rooms_are_made_by_another(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as (process, root), httpx.Client(base_url=root, timeout=HANG_S) as http:
        thread = worker_thread(process.pid, "sfu-0")
        hang(thread)
        hung, deadline = datetime.now(UTC), time.monotonic() + HANG_S
        while 'sfu_worker_up{shard="0"} 1.0' in http.get("/metrics").text and time.monotonic() < deadline:
            pass
        assert http.get("/ready").status_code == 200, "the other one takes rooms"
        for _ in range(4):
            began = time.monotonic()
            assert http.post("/rooms", headers=BEARER).status_code == 201
            assert time.monotonic() - began < SLACK_S, "nobody waits for the one that hangs"
        process.send_signal(signal.SIGTERM)
        end_of(process, thread)
        told = told_by(process)
    (noticed,) = [line for line in map(json.loads, told.splitlines()[:-1]) if "go round" in line["event"]]
    assert (noticed["worker"], noticed["state"]) == (0, "stalled"), told
    took = datetime.fromisoformat(noticed["timestamp"]) - hung
    assert took.total_seconds() < NOTICED_S + SLACK_S, took
