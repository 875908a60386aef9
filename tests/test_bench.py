"""What `make bench-server` prints."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report() -> ModuleType:
    """The module by its path: its neighbours have names that others have too."""
    spec = importlib.util.spec_from_file_location("bench_server_report", ROOT / "bench" / "server" / "report.py")
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
