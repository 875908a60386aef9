"""What a server takes per forwarded packet, adds of delay and bears, beside Janus and the floor. See `bench/README.md`.

Prints `name value unit` lines on standard output and writes the same with all samples as JSON. Servers take turns.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

import figures
import kills
import loads
import measure
import revokes
import rig
from measure import Run, Sampled, Shape
from rounds import Rounds, Step, measure_in_rounds

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
SERVERS = ("pysfu", "janus")
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


class Bench:
    """Takes the samples."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._rig = rounds.rig
        self._report = rounds.report
        self._steady_ms = rounds.options.steady_ms
        self._way_us = 0.0

    def measure(self) -> None:
        """Takes one sample of every row wanted in turn, again and again."""
        for on in (True, False):
            self._rig.check_offload(on=on)
        direct = measure.run_floor(self._rig, COSTS[ROOMS_40], steady_ms=2_000, offload=False, direct=True)
        # To the server and from it.
        self._way_us = 2 * direct.report["delay_us"]["p50"]
        once = (self._rounds.sampled(rows[0], take) for rows, take in ONCE.items() if self._rounds.wants(*rows))
        self._rounds.take(self._steps(), once)

    def _steps(self) -> Iterator[Step]:
        """Yields what takes a sample, in the order of a round."""
        for name, shape in COSTS.items():
            for offload in (False, True) if name in OFFLOADED else (False,):
                servers = ("pysfu", "janus", "floor") if not offload else ("pysfu", "floor")
                for server in servers:
                    row = f"server/{name}/{server}" + ("/offload" if offload else "")
                    beside = BESIDE if name == ROOMS_40 else ()
                    if (name, server) not in TOO_MUCH and self._rounds.wants(row, *beside):
                        yield Step(row, self._cost(name, shape, server, offload=offload))
        for server in SERVERS:
            ending = "" if server == "pysfu" else f"/{server}"
            first, gap = f"server/first-packet-p95{ending}", f"server/join-200-in-10s-gap{ending}"
            if self._rounds.wants(first):
                yield Step(first, self._first_packets(server, first))
            if ("join-200-in-10s-gap", server) not in TOO_MUCH and self._rounds.wants(gap):
                yield Step(gap, self._join_200(server, gap))
        for kind in FLOODS:
            if self._rounds.wants(f"server/flood-loss/{kind}"):
                yield Step(f"server/flood-loss/{kind}", self._flood(kind))

    def _cost(self, name: str, shape: Shape, server: str, *, offload: bool) -> Callable[[], None]:
        row = f"server/{name}/{server}" + ("/offload" if offload else "")

        def sample() -> None:
            steady_ms = self._steady_ms
            if server == "floor":
                run = measure.run_floor(self._rig, shape, steady_ms=steady_ms, offload=offload)
                self._rounds.keep(row, run)
                self._report.add(row, run.us_per_packet, "us")
                return
            settings = measure.load_settings(shape, steady_ms=steady_ms, offload=offload)
            run = measure.run_server(self._rig, server, settings)
            self._rounds.keep(row, run)
            carried = self._rounds.check(row, run, offload=offload)
            self._report.add(row, run.us_per_packet if carried else None, "us")
            if name == ROOMS_40 and not offload:
                self._beside(server, shape, run)

        return sample

    def _beside(self, server: str, shape: Shape, run: Run) -> None:
        """Takes what the same run says of delay and memory."""
        ending = "" if server == "pysfu" else f"/{server}"
        for quantile in ("p50", "p99", "p99.9"):
            added_us = run.report["delay_us"][quantile] - self._way_us
            self._report.add(f"server/{ROOMS_40}/delay-{quantile}{ending}", max(0.0, added_us) / 1e3, "ms")
        self._report.add(f"server/idle-rss{ending}", run.idle_kib / 1024, "MiB")
        each = (run.end.rss_kib - run.idle_kib) / shape.participants
        self._report.add(f"server/rss-per-participant-3-party{ending}", each, "KiB")

    def _first_packets(self, server: str, row: str) -> Callable[[], None]:
        def sample() -> None:
            settings = measure.load_settings(FIRST_PACKETS, steady_ms=500, pace_ms=30)
            run = measure.run_server(self._rig, server, settings)
            self._report.add(row, figures.p95(run.joined["first_packet_ms"]), "ms")

        return sample

    def _join_200(self, server: str, row: str) -> Callable[[], None]:
        def sample() -> None:
            late = {"shape": JOINING_ROOMS.settings(), "over_ms": JOIN_MS}
            settings = measure.load_settings(CALLS_IN_JOIN, steady_ms=JOIN_MS + 1_000, latecomers=late)
            run = measure.run_server(self._rig, server, settings)
            self._rounds.keep(row, run)
            self._rounds.check(row, run, offload=False)
            if not run.all_late:
                raise loads.LoadError("200 could not join in 10 s")
            gap = max(run.report["longest_gap_audio_ms"], run.report["longest_gap_video_ms"])
            self._report.add(row, gap, "ms")

        return sample

    def _flood(self, kind: str) -> Callable[[], None]:
        row = f"server/flood-loss/{kind}"

        def sample() -> None:
            steady_ms = self._steady_ms
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
            self._rounds.keep(row, run, flooded=sent)
            self._report.add(row, 100 * max(0.0, 1 - run.delivered), "percent")
            self._report.add(f"server/flood-gap/{kind}", run.report["longest_gap_audio_ms"], "ms")
            grown = run.end.rss_kib - run.begin.rss_kib
            self._report.add(f"server/flood-memory/{kind}", grown / 1024, "MiB")

        return sample


def _measure(rounds: Rounds) -> None:
    Bench(rounds).measure()


if __name__ == "__main__":
    measure_in_rounds(_measure, __doc__, sys.argv[1:])
