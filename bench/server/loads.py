"""Runs `bench_load`, and tells what happens in it as it happens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from rig import Rig

PROGRAM = Path(__file__).parents[2] / "target" / "release" / "bench_load"

Event = Mapping[str, Any]


class LoadError(Exception):
    """The load could not do what it was asked to."""


def events(rig: Rig, namespace: str, what: str, settings: Mapping[str, Any], *, limit_s: int) -> Iterator[Event]:
    """Runs one program of the load in a namespace and yields what it tells, line by line.

    It is ended after `limit_s`, whatever happens.

    Raises:
        LoadError: it failed.
    """
    process = start(rig, namespace, what, settings, limit_s=limit_s)
    try:
        assert process.stdin is not None
        process.stdin.close()
        yield from _told(process, what)
    finally:
        process.kill()
        process.wait()


def start(rig: Rig, namespace: str, what: str, settings: Mapping[str, Any], *, limit_s: int) -> subprocess.Popen[str]:
    """Starts one program of the load in a namespace. Its standard input stays open."""
    command = ["setpriv", "--pdeathsig", "KILL", *rig.inside(namespace, [PROGRAM, what, str(limit_s)])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings))
    process.stdin.flush()
    return process


def _told(process: subprocess.Popen[str], what: str) -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    assert process.stderr is not None
    said = process.stderr.read()
    if process.wait() != 0:
        raise LoadError(f"bench_load {what}: {said.strip()}")
    sys.stderr.write(said)


class Calls:
    """Calls that go on while something is done to the server, until they are told to end.

    Args:
        rig: where.
        settings: of the load; the span that it measures lasts `steady_ms` at most.
        limit_s: no run takes longer, whatever happens.
    """

    def __init__(self, rig: Rig, settings: Mapping[str, Any], *, limit_s: int) -> None:
        self._process = start(rig, rig.load, "load", settings | {"until_told": True}, limit_s=limit_s)
        self._told = _told(self._process, "load")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_for(self, name: str) -> Event:
        """Waits until the load tells of something, and returns what.

        Raises:
            LoadError: it has failed, or ended without.
        """
        for event in self._told:
            if event["event"] == name:
                return event
        raise LoadError(f"bench_load ended before the event {name}")

    def end(self) -> Event:
        """Ends the span, and returns what was counted in it.

        Raises:
            LoadError: it was over already, or the load has failed.
        """
        if self._process.poll() is not None:
            raise LoadError("the calls were over too soon")
        assert self._process.stdin is not None
        self._process.stdin.close()
        report = self.wait_for("report")
        for _ in self._told:
            pass  # until it has ended, well or not
        return report
