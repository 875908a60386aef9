"""What meetings of LiveKit's clients take: the load of `bench/server` by their protocol, beside Janus; joins, returns.

Prints `name value unit` lines on standard output and writes the same with all samples as JSON. See `bench/README.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import first_frame
import go_clients
import loads
import measure
from figures import Gaps, Span, above_jitter, p95
from lag import Lag
from measure import Run, Sampled, Shape
from rig import Rig
from rounds import Rounds, Step, measure_in_rounds

ROOMS_40 = "rooms-40x3"
COSTS = {
    ROOMS_40: Shape(40, 3),
    "meeting-8x8": Shape(1, 8),
    "audio-1x100": Shape(1, 1, 100, video=False),
}
"""What is measured for its cost, by the name of the row."""
STARTERS = {"pysfu": "meetings", "janus": "janus"}
"""How a server is called, by how its rows are called."""
IDLE = "meetings/idle-rss"
LAG = "meetings/loop-lag-p99"
BURST = "meetings/burst-join-p95"
BURST_ROWS = (BURST, "meetings/burst-gap")
CALLS_IN_BURST = Shape(5, 3)
BURST_ROOMS = Shape(20, 8, 2, video=False)
"""Those of the 200 who join. Eight talk, as the engine forwards no more at once, and two listen."""
BURST_MS = 10_000
BURST_REST_MS = 4_000
"""For who joins last."""

TIMES = 50
CALLS_IN_RESUME = Shape(3, 3)
RESUME_EVERY_MS = 1_000
RESUME_REST_MS = 3_000
GAP_STEP_MS = 10
MEDIA_GAP_MS = 40
"""Longer than a stream is silent of itself: the gap that a cut makes longer began so long before it at most."""
SPAN_MS = 400
"""In which the gap that a cut makes begins."""


def resume_rows(kind: str) -> tuple[str, ...]:
    """Returns the rows of those who come back after that."""
    row = f"meetings/resume-gap-p95/{kind}"
    return (row, f"{row}-longest", *((f"{row}-jitter",) if kind == "line" else ()))


class Bench:
    """Takes the samples."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._rig = rounds.rig
        self._report = rounds.report
        self._lag = Lag(rounds.rig)

    def measure(self) -> None:
        """Takes one sample of every row wanted in turn, again and again."""
        self._rig.check_offload(on=False)
        self._rounds.take(self._steps(), self._steps_of_one_round())

    def _steps(self) -> Iterator[Step]:
        """Yields what takes a sample, in the order of a round."""
        for name, shape in COSTS.items():
            for server in STARTERS:
                row = f"meetings/{name}/{server}"
                beside = (IDLE,) if (name, server) == (ROOMS_40, "pysfu") else ()
                if self._rounds.wants(row, *beside):
                    yield Step(row, self._cost(row, shape, server, idle=bool(beside)))
        if self._rounds.wants(*BURST_ROWS):
            yield Step(BURST, self._burst)
        if self._rounds.wants(LAG):
            yield Step(LAG, lambda: self._report.add(LAG, self._lag.take_p99_ms(), "ms"))

    def _steps_of_one_round(self) -> Iterator[Step]:
        for kind in ("line", "network"):
            rows = resume_rows(kind)
            if self._rounds.wants(*rows):
                yield self._rounds.sampled(rows[0], self._resume(kind))
        if self._rounds.wants(*first_frame.ROWS):
            yield self._rounds.sampled(first_frame.ROWS[0], first_frame.sample)
        for name in go_clients.SHAPES:
            if self._rounds.wants(*go_clients.rows(name)):
                yield self._rounds.sampled(go_clients.rows(name)[0], go_clients.sampler(name))

    def _run(self, server: str, settings: dict[str, Any]) -> Run:
        at_end = self._lag.note if server == "pysfu" else lambda running: None
        return measure.run_server(self._rig, STARTERS[server], settings, at_end=at_end)

    def _cost(self, row: str, shape: Shape, server: str, *, idle: bool) -> Callable[[], None]:
        def sample() -> None:
            run = self._run(server, measure.load_settings(shape, steady_ms=self._rounds.options.steady_ms))
            self._rounds.keep(row, run)
            carried = self._rounds.check(row, run, offload=False)
            self._report.add(row, run.us_per_packet if carried else None, "us")
            if idle:
                self._report.add(IDLE, run.idle_kib / 1024, "MiB")

        return sample

    def _burst(self) -> None:
        late = {"shape": BURST_ROOMS.settings(), "over_ms": BURST_MS}
        settings = measure.load_settings(CALLS_IN_BURST, steady_ms=BURST_MS + BURST_REST_MS, latecomers=late)
        run = self._run("pysfu", settings)
        self._rounds.keep(BURST, run)
        self._rounds.check(BURST, run, offload=False)
        joined = run.report["joined_ms"]
        wanted = BURST_ROOMS.participants - BURST_ROOMS.rooms  # the first in a room finds nobody
        if len(joined) < wanted or None in joined:
            heard = sum(one is not None for one in joined)
            raise loads.LoadError(f"of {wanted} who found somebody {heard} heard everybody who was there")
        gap = max(run.report["longest_gap_audio_ms"], run.report["longest_gap_video_ms"])
        self._report.add(BURST, p95(joined), "ms")
        self._report.add("meetings/burst-gap", gap, "ms")

    def _resume(self, kind: str) -> Callable[[Rig], Sampled]:
        def take(_: Rig) -> Sampled:
            interruptions = {"kind": kind, "times": TIMES, "every_ms": RESUME_EVERY_MS}
            steady_ms = TIMES * RESUME_EVERY_MS + RESUME_REST_MS
            settings = measure.load_settings(
                CALLS_IN_RESUME, steady_ms=steady_ms, interruptions=interruptions, gap_span_ms=GAP_STEP_MS
            )
            return _gaps_of_resumes(kind, self._run("pysfu", settings))

        return take


def _gaps_of_resumes(kind: str, run: Run) -> Sampled:
    """Returns how long streams brought nothing around each cut.

    Raises:
        LoadError: somebody did not come back.
    """
    report = run.report
    if len(report["interrupted_ns"]) < TIMES or report["resumed"] < TIMES:
        raise loads.LoadError(f"{report['resumed']} of {TIMES} came back on another line")
    gaps = Gaps(report["begin_ns"], GAP_STEP_MS * 1_000_000, report["gaps"])
    spans = [Span(at_ns - MEDIA_GAP_MS * 1_000_000, at_ns + SPAN_MS * 1_000_000) for at_ns in report["interrupted_ns"]]
    disturbed = [gaps.longest_in(span) for span in spans]
    quiet = [gaps.longest_in(span.after()) for span in spans]
    row, longest, *jitter = resume_rows(kind)
    rows = {row: (above_jitter(disturbed, quiet) if jitter else p95(disturbed), "ms"), longest: (max(disturbed), "ms")}
    rows |= {name: (p95(quiet), "ms") for name in jitter}
    kept = {"gaps_ms": disturbed, "quiet_ms": quiet, "lost": report["lost"], "sent_late_us": report["sent_late_us"]}
    return Sampled(rows, kept)


def _measure(rounds: Rounds) -> None:
    Bench(rounds).measure()


if __name__ == "__main__":
    measure_in_rounds(_measure, __doc__, sys.argv[1:])
