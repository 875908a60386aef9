"""What `make bench-server` and `make bench-meetings` read off what they have measured, and what they print."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


MS = 1_000_000


@pytest.fixture(scope="module")
def report() -> ModuleType:
    return _module("report")


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    return _module("figures")


@pytest.fixture(scope="module")
def buckets() -> ModuleType:
    return _module("buckets", of="meetings")


def _module(name: str, *, of: str = "server") -> ModuleType:
    """Loads a module by its path: its neighbours have names that others have too."""
    spec = importlib.util.spec_from_file_location(f"bench_{of}_{name}", ROOT / "bench" / of / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_servers_are_compared_round_by_round(report: ModuleType) -> None:
    rows = report.Report()
    for pysfu, janus, floor in ((4.0, 20.0, 2.0), (8.0, 24.0, 4.0), (6.0, 36.0, 2.0)):
        rows.begin_round()
        rows.add("server/x/pysfu", pysfu, "us")
        rows.add("server/x/janus", janus, "us")
        rows.add("server/x/floor", floor, "us")
    found = dict(line.split(" ", 1) for line in report.lines(rows.rows()).splitlines())
    assert found["server/x/pysfu"] == "6 us"
    assert found["server/x/pysfu/min"] == "4 us"
    assert found["server/x/times-floor"] == "2 ratio"
    assert found["server/x/times-below-janus"] == "5 ratio"


def test_a_round_in_which_a_server_was_overloaded_or_failed_compares_nothing(report: ModuleType) -> None:
    rows = report.Report()
    for pysfu, janus in ((4.0, [None]), (5.0, []), (4.0, [20.0])):
        rows.begin_round()
        rows.add("server/x/pysfu/offload", pysfu, "us")
        for sample in janus:
            rows.add("server/x/janus/offload", sample, "us")
    assert "server/x/times-below-janus/offload 5 ratio\n" in report.lines(rows.rows())


def test_every_line_is_a_name_a_value_and_a_unit(report: ModuleType) -> None:
    rows = report.Report()
    rows.begin_round()
    rows.add("server/idle-rss", 123_456.789, "MiB")
    rows.begin_round()
    rows.add("server/idle-rss", 0.000_123_456, "MiB")
    rows.add("server/nothing", None, "us")
    lines = report.lines(rows.rows()).splitlines()
    assert [len(line.split(" ")) for line in lines] == [3, 3, 3]
    assert lines[1:] == ["server/idle-rss/min 0.0001235 MiB", "server/idle-rss/max 123500 MiB"]


def test_the_95th_percentile_of_fifty_is_the_third_largest_and_of_a_few_the_largest(figures: ModuleType) -> None:
    assert figures.p95(list(range(50, 0, -1))) == 48
    assert figures.p95([3.0, 9.0, 1.0]) == 9.0
    assert figures.p95([7.0]) == 7.0


def test_a_gap_belongs_to_the_span_in_which_it_began(figures: ModuleType) -> None:
    gaps = figures.Gaps(begin_ns=1_000 * MS, step_ns=10 * MS, longest_ms=[23.0, 20.0, 500.0, 21.0, 22.0])
    kill = figures.Span(1_010 * MS, 1_029 * MS)
    assert gaps.longest_in(kill) == 500.0
    assert kill.after() == figures.Span(1_029 * MS, 1_048 * MS)
    assert gaps.longest_in(figures.Span(1_030 * MS, 1_049 * MS)) == 22.0


@pytest.mark.parametrize(("from_ms", "until_ms"), [(999, 1_010), (1_010, 1_020)])
def test_a_span_that_was_not_measured_whole_has_no_gap(figures: ModuleType, from_ms: int, until_ms: int) -> None:
    gaps = figures.Gaps(begin_ns=1_000 * MS, step_ns=10 * MS, longest_ms=[20.0, 20.0])
    with pytest.raises(ValueError, match="not within"):
        gaps.longest_in(figures.Span(from_ms * MS, until_ms * MS))


def test_gaps_are_above_jitter_by_what_quiet_spans_do_not_have(figures: ModuleType) -> None:
    quiet = [23.0] * 47 + [30.0, 90.0, 91.0]
    assert figures.above_jitter([24.0] * 47 + [35.0, 80.0, 81.0], quiet) == 5.0
    assert figures.above_jitter([24.0] * 50, quiet) == 0.0


def test_what_came_after_an_instant_is_counted_up_to_the_last(figures: ModuleType) -> None:
    latest = [10 * MS, 12 * MS, 15 * MS]
    assert figures.rest_after(latest, 11 * MS) == figures.Rest(packets=2, last_ms=4.0)
    assert figures.rest_after(latest, 15 * MS) == figures.Rest(packets=0, last_ms=0.0)
    assert figures.rest_after(latest, 16 * MS) == figures.Rest(packets=0, last_ms=-1.0)
    with pytest.raises(ValueError, match="nothing came"):
        figures.rest_after([], 16 * MS)


LAG = """
# TYPE sfu_event_loop_lag_seconds histogram
sfu_event_loop_lag_seconds_bucket{le="0.005"} 90.0
sfu_event_loop_lag_seconds_bucket{le="0.02"} 98.0
sfu_event_loop_lag_seconds_bucket{le="0.05"} 100.0
sfu_event_loop_lag_seconds_bucket{le="+Inf"} 100.0
sfu_event_loop_lag_seconds_count 100.0
"""


def test_a_quantile_lies_between_the_bounds_of_its_bucket(buckets: ModuleType) -> None:
    told = buckets.buckets(LAG)
    assert buckets.quantile_ms(told, 0.99) == pytest.approx(35.0)
    assert buckets.quantile_ms(told, 0.45) == pytest.approx(2.5)
    assert buckets.quantile_ms(told + told, 0.94) == pytest.approx(12.5)


def test_what_lies_beyond_the_last_bound_is_no_less_than_it(buckets: ModuleType) -> None:
    told = buckets.buckets(LAG.replace('"+Inf"} 100', '"+Inf"} 200'))
    assert buckets.quantile_ms(told, 0.99) == pytest.approx(50.0)


def test_metrics_without_a_histogram_have_no_quantile(buckets: ModuleType) -> None:
    with pytest.raises(ValueError, match="nobody looked"):
        buckets.quantile_ms(buckets.buckets("sfu_rooms 3.0"), 0.99)
