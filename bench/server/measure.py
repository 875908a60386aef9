"""Single runs: a server is started, the load calls it, and what that took is read."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import loads
import processes
import servers
from rig import LOAD_ADDRESSES, SERVER_ADDRESS, STRANGERS_ADDRESSES, Counters, Rig

MEDIA_PORT = 40000
WARM_UP_MS = 1500
"""After everybody hears everybody: bandwidth estimates settle."""
LIMIT_S = 120
"""No run takes longer, whatever happens."""
MIN_DELIVERED = 0.99
"""A server that delivers less is overloaded, and what it takes per packet is no cost."""

_ONLY_WHILE_IT_RUNS = ("event", "someone", "publishing", "first_packet_ms")
"""What the load tells that is not kept."""

Starter = Callable[[Rig, Path], AbstractContextManager[servers.Server]]
STARTERS: Mapping[str, Starter] = {"pysfu": servers.pysfu, "meetings": servers.meetings, "janus": servers.janus}


@dataclass(frozen=True, slots=True)
class Shape:
    """The same rooms, so many times; see `bench/load/src/shape.rs`."""

    rooms: int
    publishers: int
    listeners: int = 0
    audio: bool = True
    video: bool = True

    def settings(self) -> dict[str, Any]:
        """Returns it as a part of the load's settings."""
        return {
            "rooms": self.rooms,
            "publishers": self.publishers,
            "listeners": self.listeners,
            "audio": self.audio,
            "video": self.video,
        }

    @property
    def participants(self) -> int:
        """How many there are."""
        return self.rooms * (self.publishers + self.listeners)


@dataclass(slots=True)
class Taken:
    """What was read at the beginning and the end of the span."""

    cpu_ns: int = 0
    load_cpu_ns: int = 0
    rss_kib: int = 0
    wire: Counters = field(default_factory=lambda: Counters(0, 0))
    switches: int = 0
    busy_ticks: int = 0

    @classmethod
    def now(cls, rig: Rig) -> Taken:
        """Reads everything. What takes longest is read first, so that processor time is that of the instant."""
        pids, load = rig.processes(rig.server), rig.processes(rig.load)
        rss, switches = processes.rss_kib(pids), processes.switches(pids)
        wire, busy = rig.counters(), _busy_ticks()
        return cls(processes.cpu_ns(pids), processes.cpu_ns(load), rss, wire, switches, busy)


@dataclass(slots=True)
class Run:
    """How a run went.

    Attributes:
        joined: what the load told when everybody heard everybody.
        report: what it told at the end.
        idle_kib: resident set before anybody called.
        begin: read at the beginning of the span.
        end: read at its end.
        all_late: whether all latecomers had joined by then.
    """

    joined: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    idle_kib: int = 0
    begin: Taken = field(default_factory=Taken)
    end: Taken = field(default_factory=Taken)
    all_late: bool = False

    @property
    def packets(self) -> int:
        """RTP packets that the subscribers received, or the floor sent."""
        counts = self.report.get("counts")
        if counts is None:
            return int(self.report["sent"])
        return sum(counts["received"].values()) + sum(counts["received_late"].values())

    @property
    def delivered(self) -> float:
        """Which part of what was sent in the span arrived, repaired or not."""
        return self.report["counts"]["delivered"] / max(1, self.report["expected"])

    @property
    def us_per_packet(self) -> float:
        """Processor time of all processes of the server per packet."""
        return (self.end.cpu_ns - self.begin.cpu_ns) / 1e3 / max(1, self.packets)

    def summary(self) -> dict[str, Any]:
        """Returns what is kept of it."""
        took_s = self.report["steady_ms"] / 1e3
        kept = {
            "us_per_packet": round(self.us_per_packet, 3),
            "cpu_percent": round((self.end.cpu_ns - self.begin.cpu_ns) / took_s / 1e7, 2),
            "load_cpu_percent": round((self.end.load_cpu_ns - self.begin.load_cpu_ns) / took_s / 1e7, 2),
            "busy_percent_of_machine": round((self.end.busy_ticks - self.begin.busy_ticks) / took_s, 1),
            "switches_per_packet": round((self.end.switches - self.begin.switches) / max(1, self.packets), 4),
            "wire_packets_sent": self.end.wire.sent - self.begin.wire.sent,
            "wire_packets_received": self.end.wire.received - self.begin.wire.received,
            "rss_kib": self.end.rss_kib,
        }
        joined = {key: value for key, value in self.joined.items() if key not in _ONLY_WHILE_IT_RUNS}
        return kept | joined | {key: value for key, value in self.report.items() if key != "event"}


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was measured of a server to which something was done again and again.

    Attributes:
        rows: by name, the figure and its unit.
        kept: every single sample.
    """

    rows: Mapping[str, tuple[float, str]]
    kept: Mapping[str, Any]


def _busy_ticks() -> int:
    """Hundredths of a second in which a processor did anything, as the kernel samples them."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + irq + softirq


def load_settings(shape: Shape, *, steady_ms: int, offload: bool = False, **others: object) -> dict[str, Any]:
    """Returns what the load is to do, but for whom to call."""
    return {
        "shape": shape.settings(),
        "addresses": LOAD_ADDRESSES,
        "port": MEDIA_PORT,
        "offload": offload,
        "warm_up_ms": WARM_UP_MS,
        "steady_ms": steady_ms,
        **others,
    }


def run_server(
    rig: Rig,
    name: str,
    settings: Mapping[str, Any],
    *,
    at_begin: Callable[[Mapping[str, Any]], None] = lambda joined: None,
    at_end: Callable[[servers.Server], None] = lambda server: None,
) -> Run:
    """Starts a server, lets the load call it, and ends it.

    Args:
        rig: where.
        name: of the server.
        settings: of the load.
        at_begin: is called when the span begins, with what the load told when everybody had joined.
        at_end: is called once everything was counted, while the server runs.

    Raises:
        LoadError: not everybody could join.
    """
    run = Run()
    rig.set_offload(on=bool(settings["offload"]))
    with tempfile.TemporaryDirectory() as folder, STARTERS[name](rig, Path(folder)) as server:
        time.sleep(0.5)  # what it does once at its start shall be over
        run.idle_kib = processes.rss_kib(server.pids())
        for event in loads.events(rig, rig.load, "load", settings | {"target": server.target}, limit_s=LIMIT_S):
            match event["event"]:
                case "joined":
                    run.joined = event
                    server.prepare()
                case "begin":
                    run.begin = Taken.now(rig)
                    at_begin(run.joined)
                case "end":
                    run.end = Taken.now(rig)
                    run.all_late = bool(event["all_late"])
                case "report":
                    run.report = event
                    at_end(server)
    return run


def run_floor(rig: Rig, shape: Shape, *, steady_ms: int, offload: bool, direct: bool = False) -> Run:
    """Lets the floor send to a sink; with `direct`, each packet once, stamped.

    Raises:
        LoadError: not everything arrived.
    """
    run = Run()
    rig.set_offload(on=offload)
    settings = {
        "shape": shape.settings(),
        "addresses": LOAD_ADDRESSES,
        "port": MEDIA_PORT,
        "warm_up_ms": WARM_UP_MS,
        "steady_ms": steady_ms,
        "direct": direct,
    }
    with _sink(rig, offload=offload) as told:
        for event in loads.events(rig, rig.server, "floor", settings, limit_s=LIMIT_S):
            match event["event"]:
                case "begin":
                    run.begin = Taken.now(rig)
                case "end":
                    run.end = Taken.now(rig)
                case "report":
                    run.report = event
        arrived = told()
    if arrived["received"] < 0.999 * run.report["sent_in_all"]:
        raise loads.LoadError(f"of {run.report['sent_in_all']} packets of the floor {arrived['received']} arrived")
    run.report = {**run.report, "delay_us": arrived["delay_us"]}
    return run


@contextlib.contextmanager
def _sink(rig: Rig, *, offload: bool) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Receives what the floor sends, and says what that was."""
    settings = {"port": MEDIA_PORT, "offload": offload, "seconds": LIMIT_S}
    lines = loads.events(rig, rig.load, "sink", settings, limit_s=LIMIT_S)
    next(lines)  # it listens
    with contextlib.closing(lines):
        yield lambda: next(lines)


@contextlib.contextmanager
def flood(
    rig: Rig, kind: str, *, rate: int, seconds: int, ufrag: str, port: int
) -> Iterator[Callable[[], Mapping[str, Any]]]:
    """Sends what strangers send, for some seconds, and says how much it was."""
    settings = {
        "kind": kind,
        "target": f"{SERVER_ADDRESS}:{port}",
        "addresses": STRANGERS_ADDRESSES,
        "rate": rate,
        "seconds": seconds,
        "ufrag": ufrag,
    }
    lines = loads.events(rig, rig.strangers, "flood", settings, limit_s=seconds + 10)
    next(lines)  # it begins
    with contextlib.closing(lines):
        yield lambda: next(lines)
