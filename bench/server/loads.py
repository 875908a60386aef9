"""Runs `bench_load`, and tells what happens in it as it happens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
        assert process.stderr is not None
        said = process.stderr.read()
        if process.wait() != 0:
            raise LoadError(f"bench_load {what}: {said.strip()}")
        sys.stderr.write(said)
    finally:
        process.kill()
        process.wait()


def start(rig: Rig, namespace: str, what: str, settings: Mapping[str, Any], *, limit_s: int) -> subprocess.Popen[str]:
    """Starts one program of the load in a namespace."""
    command = ["setpriv", "--pdeathsig", "KILL", *rig.inside(namespace, [PROGRAM, what, str(limit_s)])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings))
    process.stdin.close()
    return process
