"""Runs everything there is to run, in shards that each end within half an hour, with one line for each at the end.

`make test-all` runs all of them, `make test-all SHARD=fuzz` one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "target" / "shards"
MAX_S = 1_800


@dataclass(frozen=True)
class Shard:
    """Some of the tests: a command, and how to count what it ran."""

    command: list[str]
    count: Callable[[str, Path], tuple[int, int, int]]


@dataclass(frozen=True)
class Outcome:
    """How a shard went."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    reason: str | None

    def __str__(self) -> str:
        counted = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        line = f"shard {self.name}: {counted}, {self.seconds:.0f} s"
        return line if self.reason is None else f"{line}: {self.reason}"


def of_cargo(output: str, _: Path) -> tuple[int, int, int]:
    """Adds up what the test binaries say."""
    lines = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.MULTILINE)
    return tuple(sum(map(int, column)) for column in zip(*lines, strict=True)) or (0, 0, 0)  # type: ignore[return-value]


def of_pytest(_: str, report: Path) -> tuple[int, int, int]:
    """Reads pytest's report; without one nothing was run."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(report).iter("testsuite"))
    ran, failed, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return ran - failed - errors - skipped, failed + errors, skipped


def of_fuzz(output: str, _: Path) -> tuple[int, int, int]:
    """Counts targets."""
    passed, failed = (len(re.findall(rf"^fuzz \w+: {word}$", output, re.MULTILINE)) for word in ("passed", "FAILED"))
    return passed, failed, 0


def pytest(name: str, *arguments: str, within: Sequence[str] = ()) -> Shard:
    """Makes a shard of Python tests."""
    report = str(REPORTS / f"{name}.xml")
    return Shard([*within, ".venv/bin/pytest", "-q", f"--junitxml={report}", *arguments], of_pytest)


NETWORKS = "tests/integration/test_networks.py"

SHARDS = {
    "rust": Shard(["cargo", "test", "--workspace"], of_cargo),
    "asan": Shard(["make", "--no-print-directory", "asan"], of_cargo),
    "python": pytest("python", "-m", "not long", f"--ignore={NETWORKS}", "tests"),
    "long": pytest("long", "-m", "long", f"--ignore={NETWORKS}", "tests"),
    "networks": pytest("networks", NETWORKS, within=["tests/setup/namespaces.sh"]),
    "fuzz": Shard(["make", "--no-print-directory", "fuzz"], of_fuzz),
}


def run(name: str, shard: Shard, *, seconds: float = MAX_S) -> Outcome:
    """Runs one shard, showing what it says, and ends it and all its processes when its time is up."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    log = REPORTS / f"{name}.log"
    began, reason = time.monotonic(), None
    with log.open("wb") as output:
        tests = subprocess.Popen(shard.command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            status = tests.wait(seconds)
            reason = None if status == 0 else f"exit status {status}, see {log.relative_to(ROOT)}"
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            tests.wait()
            reason = f"not done within {seconds:.0f} s, see {log.relative_to(ROOT)}"
    passed, failed, skipped = shard.count(log.read_text(errors="replace"), report)
    if reason is None and passed + failed == 0:
        reason = f"nothing was run, see {log.relative_to(ROOT)}"
    return Outcome(name, passed, failed, skipped, time.monotonic() - began, reason)


def main(names: list[str]) -> int:
    """Runs the shards named, or all."""
    unknown = [name for name in names if name not in SHARDS]
    if unknown:
        print(f"There is no shard {', '.join(unknown)}; there are {', '.join(SHARDS)}.", file=sys.stderr)
        return 2
    outcomes = []
    for name in names or SHARDS:
        print(f"shard {name}: {' '.join(SHARDS[name].command)}", flush=True)
        outcomes.append(run(name, SHARDS[name]))
        print(outcomes[-1], flush=True)
    if len(outcomes) > 1:
        print("---", *outcomes, sep="\n")
    return 1 if any(outcome.reason is not None or outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
