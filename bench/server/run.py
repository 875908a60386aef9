"""What a server takes per forwarded packet, adds of delay and bears, beside Janus and the floor. See `bench/README.md`.

Prints `name value unit` lines on standard output and writes the same with all samples as JSON. Servers take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import figures
import kills
import loads
import measure
import report
import revokes
import rig
from measure import Run, Sampled, Shape

ROOMS_40 = "rooms-40x3"
COSTS = {
    ROOMS_40: Shape(40, 3),
    "rooms-5x3": Shape(5, 3),
    "rooms-20x3": Shape(20, 3),
    "rooms-80x3": Shape(80, 3),
    "video-1x20": Shape(1, 1, 20, audio=False),
    "meeting-8x8": Shape(1, 8),
    "audio-1x100": Shape(1, 1, 100, video=False),
}
"""What is measured for its cost, by the name of the row."""
OFFLOADED = (ROOMS_40, "video-1x20", "meeting-8x8", "audio-1x100")
"""Rows with a second column, where the wire carries groups of datagrams in one piece. Janus sends no groups."""
TOO_MUCH = {("rooms-80x3", "janus"), ("join-200-in-10s-gap", "janus")}
"""What two processors cannot carry: Janus alone would take both, and has not let 200 in after 10 s."""
FLOODS = ("junk", "unknown_ufrag", "wrong_mac", "client_hello")
FLOOD_RATE = 50_000
CALLS_IN_FLOOD = Shape(10, 3)
CALLS_IN_JOIN = Shape(5, 3)
JOINING_ROOMS = Shape(100, 2)
"""Those of the 200 who join."""
JOIN_MS = 10_000
FIRST_PACKETS = Shape(10, 3)
BESIDE = (f"server/{ROOMS_40}/delay", "server/idle-rss", "server/rss-per-participant-3-party")
"""What the runs of that row say as well."""
ONCE: Mapping[tuple[str, ...], Callable[[rig.Rig], Sampled]] = {
    kills.SIGNALLING_ROWS: kills.signalling,
    kills.BACK_ROWS: kills.media_back,
    revokes.LAST_ROWS: revokes.last_packet,
    revokes.STALLED_ROWS: revokes.stalled,
}
"""What is done fifty times in one go, in the first round only; by the rows that it fills."""
MAX_LATE_US = 1_000
"""A load that kept its timetable worse than this measured the machine and not the server."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the program was asked for."""

    runs: int
    only: str
    steady_ms: int
    path: Path | None


class Bench:
    """Takes the samples."""

    def __init__(self, options: Options, net: rig.Rig) -> None:
        self._options = options
        self._rig = net
        self.report = report.Report()
        self._way_us = 0.0
        self.has_failed = False

    def measure(self) -> None:
        """Takes one sample of every row wanted in turn, again and again."""
        for on in (True, False):
            self._rig.check_offload(on=on)
        direct = measure.run_floor(self._rig, COSTS[ROOMS_40], steady_ms=2_000, offload=False, direct=True)
        # To the server and from it.
        self._way_us = 2 * direct.report["delay_us"]["p50"]
        steps = list(self._steps())
        once = list(self._steps_of_one_round())
        for number in range(self._options.runs):
            self.report.begin_round()
            for step in (*steps, *(once if number == 0 else ())):
                _say(f"round {number + 1} of {self._options.runs}: {step.name}")
                with self._reported(step.name):
                    step.sample()

    def _steps(self) -> Iterator[Step]:
        """Yields what takes a sample, in the order of a round."""
        for name, shape in COSTS.items():
            for offload in (False, True) if name in OFFLOADED else (False,):
                servers = ("pysfu", "janus", "floor") if not offload else ("pysfu", "floor")
                for server in servers:
                    row = f"server/{name}/{server}" + ("/offload" if offload else "")
                    if (name, server) not in TOO_MUCH and self._wants(row, *(BESIDE if name == ROOMS_40 else ())):
                        yield Step(row, self._cost(name, shape, server, offload=offload))
        for server in measure.STARTERS:
            ending = "" if server == "pysfu" else f"/{server}"
            if self._wants(f"server/first-packet-p95{ending}"):
                yield Step(f"server/first-packet-p95{ending}", self._first_packets(server, ending))
            if ("join-200-in-10s-gap", server) not in TOO_MUCH and self._wants(f"server/join-200-in-10s-gap{ending}"):
                yield Step(f"server/join-200-in-10s-gap{ending}", self._join_200(server, ending))
        for kind in FLOODS:
            if self._wants(f"server/flood-loss/{kind}"):
                yield Step(f"server/flood-loss/{kind}", self._flood(kind))

    def _steps_of_one_round(self) -> Iterator[Step]:
        for rows, take in ONCE.items():
            if self._wants(*rows):
                yield Step(rows[0], self._fifty(rows[0], take))

    def _fifty(self, name: str, take: Callable[[rig.Rig], Sampled]) -> Callable[[], None]:
        def sample() -> None:
            taken = take(self._rig)
            for row, (value, unit) in taken.rows.items():
                self.report.add(row, value, unit)
            self.report.runs.append({"row": name, **taken.kept})

        return sample

    def _wants(self, *names: str) -> bool:
        return any(self._options.only in name for name in names)

    def _cost(self, name: str, shape: Shape, server: str, *, offload: bool) -> Callable[[], None]:
        row = f"server/{name}/{server}" + ("/offload" if offload else "")

        def sample() -> None:
            steady_ms = self._options.steady_ms
            if server == "floor":
                run = measure.run_floor(self._rig, shape, steady_ms=steady_ms, offload=offload)
                self._keep(row, run)
                self.report.add(row, run.us_per_packet, "us")
                return
            settings = measure.load_settings(shape, steady_ms=steady_ms, offload=offload)
            run = measure.run_server(self._rig, server, settings)
            self._keep(row, run)
            carried = self._check(row, run, offload=offload)
            self.report.add(row, run.us_per_packet if carried else None, "us")
            if name == ROOMS_40 and not offload:
                self._beside(server, shape, run)

        return sample

    def _beside(self, server: str, shape: Shape, run: Run) -> None:
        """Takes what the same run says of delay and memory."""
        ending = "" if server == "pysfu" else f"/{server}"
        for quantile in ("p50", "p99", "p99.9"):
            added_us = run.report["delay_us"][quantile] - self._way_us
            self.report.add(f"server/{ROOMS_40}/delay-{quantile}{ending}", max(0.0, added_us) / 1e3, "ms")
        self.report.add(f"server/idle-rss{ending}", run.idle_kib / 1024, "MiB")
        each = (run.end.rss_kib - run.idle_kib) / shape.participants
        self.report.add(f"server/rss-per-participant-3-party{ending}", each, "KiB")

    def _first_packets(self, server: str, ending: str) -> Callable[[], None]:
        def sample() -> None:
            settings = measure.load_settings(FIRST_PACKETS, steady_ms=500, pace_ms=30)
            run = measure.run_server(self._rig, server, settings)
            self.report.add(f"server/first-packet-p95{ending}", figures.p95(run.joined["first_packet_ms"]), "ms")

        return sample

    def _join_200(self, server: str, ending: str) -> Callable[[], None]:
        row = f"server/join-200-in-10s-gap{ending}"

        def sample() -> None:
            late = {"shape": JOINING_ROOMS.settings(), "over_ms": JOIN_MS}
            settings = measure.load_settings(CALLS_IN_JOIN, steady_ms=JOIN_MS + 1_000, latecomers=late)
            run = measure.run_server(self._rig, server, settings)
            self._keep(row, run)
            self._check(row, run, offload=False)
            if not run.all_late:
                raise loads.LoadError("200 could not join in 10 s")
            gap = max(run.report["longest_gap_audio_ms"], run.report["longest_gap_video_ms"])
            self.report.add(row, gap, "ms")

        return sample

    def _flood(self, kind: str) -> Callable[[], None]:
        row = f"server/flood-loss/{kind}"

        def sample() -> None:
            steady_ms = self._options.steady_ms
            settings = measure.load_settings(CALLS_IN_FLOOD, steady_ms=steady_ms)
            with contextlib.ExitStack() as stack:
                flooding: list[Callable[[], loads.Event]] = []

                def begin(joined: loads.Event) -> None:
                    someone = joined["someone"]
                    port = int(someone["remote"].rpartition(":")[2])
                    seconds, ufrag = steady_ms // 1_000, someone["ufrag"]
                    strangers = measure.flood(self._rig, kind, rate=FLOOD_RATE, seconds=seconds, ufrag=ufrag, port=port)
                    flooding.append(stack.enter_context(strangers))

                run = measure.run_server(self._rig, "pysfu", settings, at_begin=begin)
                sent = flooding[0]()["sent"]
            self._keep(row, run, flooded=sent)
            self.report.add(row, 100 * max(0.0, 1 - run.delivered), "percent")
            self.report.add(f"server/flood-gap/{kind}", run.report["longest_gap_audio_ms"], "ms")
            grown = run.end.rss_kib - run.begin.rss_kib
            self.report.add(f"server/flood-memory/{kind}", grown / 1024, "MiB")

        return sample

    @contextlib.contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Lets the other rows be measured when one cannot be."""
        try:
            yield
        except (loads.LoadError, RuntimeError) as error:
            self.has_failed = True
            _say(f"{name}: {error}")

    def _keep(self, row: str, run: Run, **others: object) -> None:
        self.report.runs.append({"row": row, **run.summary(), **others})

    def _check(self, row: str, run: Run, *, offload: bool) -> bool:
        """Says on standard error what makes a run doubtful; returns whether the server carried its load."""
        late_us = run.report["sent_late_us"]["p99"]
        if late_us > MAX_LATE_US:
            _say(f"{row}: the load sent packets {late_us / 1e3:.1f} ms late (p99): the machine is busy")
        if (unreadable := run.report["counts"]["unreadable"]) > 0:
            _say(f"{row}: {unreadable} datagrams could not be read")
        sent = run.end.wire.sent - run.begin.wire.sent
        if not offload and sent < 0.98 * run.packets:
            _say(f"{row}: {run.packets} packets arrived in {sent} of the wire: it carries groups in one piece")
        if run.delivered < measure.MIN_DELIVERED:
            _say(f"{row}: only {100 * run.delivered:.1f} % arrived: it is overloaded, its cost does not count")
        return run.delivered >= measure.MIN_DELIVERED


@dataclass(frozen=True, slots=True)
class Step:
    """Something that takes a sample."""

    name: str
    sample: Callable[[], None]


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def options(arguments: Sequence[str]) -> Options:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds; each takes one sample of every row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--steady-ms", type=int, default=8_000, help="how long each run measures")
    parser.add_argument("--json", type=Path, default=None, help="where to write all samples")
    given = parser.parse_args(arguments)
    return Options(given.runs, given.only, given.steady_ms, given.json)


def main(arguments: Sequence[str]) -> None:
    """Measures, prints, writes."""
    wanted = options(arguments)
    # So that the networks are removed then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with rig.rig() as net:
        bench = Bench(wanted, net)
        try:
            bench.measure()
        finally:
            # What was measured is told even when somebody has had enough.
            sys.stdout.write(report.lines(bench.report.rows()))
            if wanted.path is not None:
                report.write(wanted.path, bench.report)
    if bench.has_failed:
        sys.exit("Some rows could not be measured: see above.")


if __name__ == "__main__":
    main(sys.argv[1:])
