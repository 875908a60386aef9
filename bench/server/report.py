"""What is printed and written: one line per figure, and the same with every sample as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(slots=True)
class Row:
    """One figure.

    Attributes:
        name: what it is.
        unit: of what.
        samples: one per round; None for a round without one.
    """

    name: str
    unit: str
    samples: list[float | None] = field(default_factory=list)

    def values(self) -> list[float]:
        """Returns the samples there are."""
        return [sample for sample in self.samples if sample is not None]


class Report:
    """All rows in the order in which they were first mentioned, and how each run went."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.runs: list[dict[str, Any]] = []
        self._rounds = 0

    def begin_round(self) -> None:
        """Samples are of another round from here on."""
        self._rounds += 1

    def add(self, name: str, value: float | None, unit: str) -> None:
        """Takes the sample of this round; a row without one has None in its place."""
        samples = self._rows.setdefault(name, Row(name, unit)).samples
        samples.extend([None] * (self._rounds - 1 - len(samples)))
        samples.append(value)

    def rows(self) -> list[Row]:
        """Returns the rows that have samples, each followed by how it compares."""
        return [row for own in self._rows.values() for row in (own, *self._compared(own)) if row.values()]

    def _compared(self, row: Row) -> list[Row]:
        """Compares with the floor and with Janus, round by round, so that the mood of the machine cancels out."""
        if "/pysfu" not in row.name or row.unit != "us":
            return []
        comparisons = (("floor", "times-floor"), ("janus", "times-below-janus"))
        compared = []
        for other, word in comparisons:
            found = self._rows.get(row.name.replace("/pysfu", f"/{other}"))
            if found is None:
                continue
            pairs = zip(row.samples, found.samples, strict=False)
            whole = [(own, theirs) for own, theirs in pairs if own is not None and theirs is not None]
            ratios = [own / theirs if other == "floor" else theirs / own for own, theirs in whole]
            compared.append(Row(row.name.replace("/pysfu", f"/{word}"), "ratio", list(ratios)))
        return compared


def lines(rows: Sequence[Row]) -> str:
    """Returns `name value unit` lines: the median, and with more than one sample the extremes."""
    found = []
    for row in rows:
        values = row.values()
        found.append(f"{row.name} {_shown(median(values))} {row.unit}")
        if len(values) > 1:
            found.append(f"{row.name}/min {_shown(min(values))} {row.unit}")
            found.append(f"{row.name}/max {_shown(max(values))} {row.unit}")
    return "".join(f"{line}\n" for line in found)


def write(path: Path, report: Report) -> None:
    """Writes the rows with every sample, and how each run went."""
    rows = [
        {
            "name": row.name,
            "unit": row.unit,
            "min": _rounded(min(row.values())),
            "median": _rounded(median(row.values())),
            "max": _rounded(max(row.values())),
            "samples": [None if sample is None else _rounded(sample) for sample in row.samples],
        }
        for row in report.rows()
    ]
    whole = {"machine": _machine(), "rows": rows, "runs": report.runs}
    path.write_text(json.dumps(whole, indent=1) + "\n")


def _shown(value: float) -> str:
    return f"{_rounded(value):g}"


def _rounded(value: float) -> float:
    """Keeps four digits, which is more than any figure here is worth."""
    return float(f"{value:.4g}")


def _machine() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else "unknown processor"
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}"
