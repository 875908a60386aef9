"""What the dashboard and the alert rules ask for is what a real server shows, by name, type and label."""

from __future__ import annotations

import re

import pytest
from callers import Caller, Meeting
from footage import Tone
from ops import FOREIGN, OF_COUNTERS, Use, expressions, uses
from prometheus_client.parser import text_string_to_metric_families
from servers import ROOT

README = (ROOT / "signalling" / "README.md").read_text("utf-8")
# `test_readme.py` holds that the table has the labels of every metric, also of those that have counted nothing yet.
LABELS = {
    name: frozenset(re.findall(r"[a-z]+", labels))
    for name, labels in re.findall(r"^\| `(sfu_[a-z_]+)` \| ([a-z, ]*) ?\|", README, flags=re.MULTILINE)
}
USED = [use for expression in expressions() for use in uses(expression) if use.series not in FOREIGN]


async def types(room: Meeting) -> dict[str, str]:
    """Returns the type of everything that a server with a call shows."""
    async with Caller() as caller:
        await room.publish(caller.send(Tone(440)), "anna")
        await caller.connected()
        text = (await room.http.get("/metrics")).text
    families = text_string_to_metric_families(text)
    return {family.name + "_total" * (family.type == "counter"): family.type for family in families}


async def test_every_metric_that_is_asked_for_is_shown_with_that_type(room: Meeting) -> None:
    shown = await types(room)
    assert len(USED) > 60
    assert {(use.family, shown.get(use.family)) for use in USED} == {(use.family, use.kind) for use in USED}


@pytest.mark.parametrize("use", USED, ids=lambda use: use.series)
def test_it_is_asked_for_labels_that_it_has(use: Use) -> None:
    if use.family.startswith("sfu_"):
        allowed = LABELS[use.family] | ({"le"} if use.kind == "histogram" else set())
        assert use.labels <= allowed, "a label that is not there selects or sums nothing"


def test_what_only_rises_is_shown_as_a_rate_or_increase() -> None:
    rising = [use for use in USED if use.kind != "gauge"]
    assert [use.series for use in rising if use.function not in OF_COUNTERS] == []


def test_reading_an_expression_finds_metrics_labels_and_functions() -> None:
    (bucket, gauge) = uses(
        'histogram_quantile(0.9, sum by (le, dir) (rate(sfu_x_seconds_bucket{a="b", c=~"d"}[5m]))) > sfu_y'
    )
    assert (bucket.series, bucket.family, bucket.kind) == ("sfu_x_seconds_bucket", "sfu_x_seconds", "histogram")
    assert (bucket.labels, bucket.function) == ({"a", "c", "le", "dir"}, "rate")
    assert (gauge.family, gauge.kind, gauge.function) == ("sfu_y", "gauge", None)
