"""Rounds of samples: in each every row is sampled once, so that servers take turns, and what is doubtful is told."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import loads
import measure
import report
import rig
from measure import Run, Sampled

MAX_LATE_US = 1_000
"""A load that kept its timetable worse than this measured the machine and not the server."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the program was asked for."""

    runs: int
    only: str
    steady_ms: int
    path: Path | None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that takes a sample."""

    name: str
    sample: Callable[[], None]


class Rounds:
    """Takes the samples."""

    def __init__(self, options: Options, net: rig.Rig) -> None:
        self.options = options
        self.rig = net
        self.report = report.Report()
        self.has_failed = False

    def take(self, steps: Iterable[Step], once: Iterable[Step] = ()) -> None:
        """Takes one sample of every row in turn, again and again; of those of `once` in the first round only, first."""
        steps, once = list(steps), list(once)
        for number in range(self.options.runs):
            self.report.begin_round()
            for step in (*(once if number == 0 else ()), *steps):
                say(f"round {number + 1} of {self.options.runs}: {step.name}")
                with self._reported(step.name):
                    step.sample()

    def wants(self, *names: str) -> bool:
        """Whether one of these rows was asked for."""
        return any(self.options.only in name for name in names)

    def sampled(self, name: str, take: Callable[[rig.Rig], Sampled]) -> Step:
        """Returns the step that takes what fills several rows."""

        def sample() -> None:
            taken = take(self.rig)
            for row, (value, unit) in taken.rows.items():
                self.report.add(row, value, unit)
            self.report.runs.append({"row": name, **taken.kept})

        return Step(name, sample)

    def keep(self, row: str, run: Run, **others: object) -> None:
        """Keeps how a run went."""
        self.report.runs.append({"row": row, **run.summary(), **others})

    def check(self, row: str, run: Run, *, offload: bool) -> bool:
        """Says on standard error what makes a run doubtful; returns whether the server carried its load."""
        late_us = run.report["sent_late_us"]["p99"]
        if late_us > MAX_LATE_US:
            say(f"{row}: the load sent packets {late_us / 1e3:.1f} ms late (p99): the machine is busy")
        if (unreadable := run.report["counts"]["unreadable"]) > 0:
            say(f"{row}: {unreadable} datagrams could not be read")
        sent = run.end.wire.sent - run.begin.wire.sent
        if not offload and sent < 0.98 * run.packets:
            say(f"{row}: {run.packets} packets arrived in {sent} of the wire: it carries groups in one piece")
        if run.delivered < measure.MIN_DELIVERED:
            say(f"{row}: only {100 * run.delivered:.1f} % arrived: it is overloaded, its cost does not count")
        return run.delivered >= measure.MIN_DELIVERED

    @contextlib.contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Lets the other rows be measured when one cannot be."""
        try:
            yield
        except (loads.LoadError, RuntimeError) as error:
            self.has_failed = True
            say(f"{name}: {error}")


def say(text: str) -> None:
    """Tells whoever watches."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure_in_rounds(bench: Callable[[Rounds], None], purpose: str | None, arguments: Sequence[str]) -> None:
    """Reads the command line, measures, prints, writes."""
    wanted = _options(purpose, arguments)
    # So that the networks are removed then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with rig.rig() as net:
        rounds = Rounds(wanted, net)
        try:
            bench(rounds)
        finally:
            # What was measured is told even when somebody has had enough.
            sys.stdout.write(report.lines(rounds.report.rows()))
            if wanted.path is not None:
                report.write(wanted.path, rounds.report)
    if rounds.has_failed:
        sys.exit("Some rows could not be measured: see above.")


def _options(purpose: str | None, arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--runs", type=int, default=5, help="rounds; each takes one sample of every row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--steady-ms", type=int, default=8_000, help="how long each run measures")
    parser.add_argument("--json", type=Path, default=None, help="where to write all samples")
    given = parser.parse_args(arguments)
    return Options(given.runs, given.only, given.steady_ms, given.json)
