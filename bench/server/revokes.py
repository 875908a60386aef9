"""Rows about participants who are removed while they receive: what is still sent to them, counted where it arrives.

One machine, one clock: the kernel stamps what arrives with the wall clock that is read here.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
from figures import Rest, p95, rest_after
from loads import Calls
from measure import Sampled, Shape
from restartable import Restartable, restartable
from rig import Rig

CALLS = Shape(5, 1, 11)
REMOVED_PER_ROOM = 10
"""Fifty in all; who stays shows that media flows on."""
PAUSE_S = 0.1
STALL_S = 0.3
"""How long not a line of Python runs in the signalling process: 60 packets to each."""
SILENCE_MS = 100
LIMIT_S = 90
INSTANT_LIMIT_S = 5.0

LAST = "server/revoke-last-packet"
LAST_ROWS = (LAST, f"{LAST}-longest", "server/revoke-packets-after", "server/revoke-call", "server/revoke-call-longest")
STALLED = "server/revoke-last-packet-stalled"
STALLED_ROWS = (STALLED, f"{STALLED}-longest")

STALLING = Path(__file__).with_name("stalling.py")


@dataclass(frozen=True, slots=True)
class Removal:
    """One that was asked for.

    Attributes:
        room: whose participant it was.
        participant: who was removed.
        since_ns: the instant after which nothing should come.
        took_ms: how long the call took.
    """

    room: str
    participant: str
    since_ns: int
    took_ms: float


def last_packet(rig: Rig) -> Sampled:
    """Removes participants over HTTP, and counts what comes after the answer.

    Raises:
        RuntimeError: a removal was refused, or somebody received nothing before.
        LoadError: the calls were over too soon.
    """
    with restartable(rig) as server:
        removals, rests = _removals(rig, server, lambda room, participant: _remove(server, room, participant))
    took = [one.took_ms for one in removals]
    rows = _rows(LAST, rests) | {
        "server/revoke-packets-after": (sum(rest.packets for rest in rests), "packets"),
        "server/revoke-call": (p95(took), "ms"),
        "server/revoke-call-longest": (max(took), "ms"),
    }
    return Sampled(rows, _kept(rests) | {"took_ms": took})


def stalled(rig: Rig) -> Sampled:
    """Removes participants while Python stands still from the moment on in which the media process was told.

    Raises:
        RuntimeError: a removal was refused, Python did not stand still, or somebody received nothing before.
        LoadError: the calls were over too soon.
    """
    with tempfile.TemporaryDirectory() as folder:
        instants = Path(folder) / "instants"
        instants.touch()
        with restartable(rig, ("-P", STALLING, instants)) as server:
            _, rests = _removals(rig, server, lambda *who: _remove_stalled(server, instants, *who))
    return Sampled(_rows(STALLED, rests), _kept(rests))


def _rows(name: str, rests: Sequence[Rest]) -> dict[str, tuple[float, str]]:
    last = [max(0.0, rest.last_ms) for rest in rests]
    return {name: (p95(last), "ms"), f"{name}-longest": (max(last), "ms")}


def _kept(rests: Sequence[Rest]) -> dict[str, Any]:
    return {"last_ms": [rest.last_ms for rest in rests], "packets": [rest.packets for rest in rests]}


def _removals(rig: Rig, server: Restartable, remove: Callable[[str, str], Removal]) -> tuple[list[Removal], list[Rest]]:
    """Removes ten of each room, and returns what came to each of them afterwards."""
    settings = measure.load_settings(CALLS, steady_ms=LIMIT_S * 1_000, per_stream=True) | {"target": server.target}
    with Calls(rig, settings, limit_s=LIMIT_S) as calls:
        calls.wait_for("begin")
        removals = []
        for room, participant in _to_be_removed(server):
            removals.append(remove(room, participant))
            time.sleep(PAUSE_S)  # one removal at a time, so that a late packet is of no other
        time.sleep(STALL_S)  # what comes late shall come
        report = calls.end()
    latest = _latest(report)
    rests = [rest_after(latest[one.room, one.participant], one.since_ns) for one in removals]
    if min(rest.last_ms for rest in rests) < -SILENCE_MS:
        raise RuntimeError("somebody received nothing before the removal, so it stopped nothing")
    _check_the_others(report, {(one.room, one.participant) for one in removals})
    return removals, rests


def _to_be_removed(server: Restartable) -> list[tuple[str, str]]:
    listeners: dict[str, list[str]] = {}
    for (room, participant), heard in server.roster().items():
        if heard:
            listeners.setdefault(room, []).append(participant)
    return [(room, participant) for room, those in listeners.items() for participant in those[:REMOVED_PER_ROOM]]


def _latest(report: Mapping[str, Any]) -> dict[tuple[str, str], list[int]]:
    """Returns when packets came to each participant; who only listens has one connection here."""
    return {(one["room"], one["participant"]): one["latest_ns"] for one in report["connections"]}


def _check_the_others(report: Mapping[str, Any], removed: set[tuple[str, str]]) -> None:
    """Sees to it that nobody else was disturbed.

    Raises:
        RuntimeError: somebody was.
    """
    stayed = [one for one in report["streams"] if (one["room"], one["participant"]) not in removed]
    if not stayed or any(one["lost"] or one["longest_gap_ms"] > SILENCE_MS for one in stayed):
        raise RuntimeError("who was not removed did not receive everything either")


def _remove(server: Restartable, room: str, participant: str) -> Removal:
    began = time.monotonic()
    status, said = server.http.call("DELETE", f"/rooms/{room}/participants/{participant}")
    returned_ns, took_s = time.time_ns(), time.monotonic() - began
    _check_removed(status, said)
    return Removal(room, participant, returned_ns, took_s * 1e3)


def _remove_stalled(server: Restartable, instants: Path, room: str, participant: str) -> Removal:
    already = len(_read(instants))
    began = time.monotonic()
    server.http.ask("DELETE", f"/rooms/{room}/participants/{participant}")
    with server.stopped():
        while len(_read(instants)) == already or not server.is_stopped:
            if time.monotonic() - began > INSTANT_LIMIT_S:
                raise RuntimeError(f"the signalling process did not stop: {server.log()}")
            time.sleep(0.001)  # it tells nobody but who looks
        time.sleep(STALL_S)  # how long Python stands still is what is measured
        if not server.is_stopped or len(_read(instants)) != already + 1:
            raise RuntimeError("the signalling process did not stand still")
    _check_removed(*server.http.answered())
    return Removal(room, participant, _read(instants)[-1], (time.monotonic() - began) * 1e3)


def _read(instants: Path) -> list[int]:
    return [int(line) for line in instants.read_text().splitlines()]


def _check_removed(status: int, said: Any) -> None:
    if status != 204:
        raise RuntimeError(f"the removal was answered {status}: {said}")
