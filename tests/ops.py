"""What the operators' files say: expressions of PromQL, and the metrics, labels and functions in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OPS = Path(__file__).parents[1] / "signalling" / "ops"
FOREIGN = {"up", "ALERTS"}
"""What Prometheus itself makes, and no server shows."""
COMMON_LABELS = {"job", "instance", "alertstate"}
OF_COUNTERS = ("rate", "increase")
SUFFIXES = {"_bucket": "histogram", "_count": "histogram", "_sum": "histogram", "_total": "counter"}

_SELECTOR = re.compile(r"\b(sfu_\w+|process_\w+|python_\w+|up|ALERTS)\b(\{[^}]*\})?(\[\w+\])?")
_LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring) \(([^)]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One metric in an expression."""

    series: str
    labels: frozenset[str]
    function: str | None

    @property
    def family(self) -> str:
        """The name under which it is described."""
        return self.series.removesuffix(self._suffix) if self._suffix != "_total" else self.series

    @property
    def kind(self) -> str:
        """Which type the name says it has."""
        return SUFFIXES.get(self._suffix, "gauge")

    @property
    def _suffix(self) -> str:
        return next((suffix for suffix in SUFFIXES if self.series.endswith(suffix)), "")


def uses(expression: str) -> Iterator[Use]:
    """Yields the metrics that an expression reads, each with the labels that it is asked for."""
    grouped = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")}
    for found in _SELECTOR.finditer(expression):
        before = re.search(r"(\w+)\($", expression[: found.start()].rstrip())
        function = before[1] if before is not None and found[3] else None
        labels = set(_LABEL.findall(found[2] or "")) | (grouped - {""})
        yield Use(series=found[1], labels=frozenset(labels - COMMON_LABELS), function=function)


def dashboard() -> dict[str, Any]:
    """Reads the dashboard."""
    read: dict[str, Any] = json.loads((OPS / "dashboard.json").read_text("utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    """Lists what the dashboard shows, without its headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions_of_dashboard() -> list[str]:
    """Lists every expression in it."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *(each["expr"] for each in dashboard()["annotations"]["list"])]


def rules() -> list[dict[str, Any]]:
    """Reads the alert rules, in their order."""
    groups = yaml.safe_load((OPS / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Lists every expression of the dashboard and of the rules."""
    return [*expressions_of_dashboard(), *(rule["expr"] for rule in rules())]
