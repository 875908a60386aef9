"""What `make` does on a machine that lacks something, and how `make test-all` counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from shards import SHARDS, Shard, main, of_cargo, of_fuzz, of_pytest, run

ROOT = Path(__file__).parents[1]
NOBODY = 65_534
MISSING = "no-such-package-of-pysfu"


@pytest.fixture
def clone() -> Iterator[Path]:
    """What of a fresh clone is needed to set up, on a machine that lacks a package."""
    folder = Path(tempfile.mkdtemp()) / "clone"  # pytest's own folders are closed to others
    folder.parent.chmod(0o755)
    shutil.copytree(ROOT / "tests" / "setup", folder / "tests" / "setup")
    for name in ("Makefile", "pyproject.toml", "uv.lock", "Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "sfu_core" / "src").mkdir(parents=True)
    shutil.copy(ROOT / "sfu_core" / "Cargo.toml", folder / "sfu_core")
    packages = folder / "tests" / "setup" / "packages.txt"
    packages.write_text(f"# of a test\n\n{MISSING}\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else path.stat().st_mode | 0o666)
    yield folder
    shutil.rmtree(folder.parent)


def as_nobody(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command without root's rights."""
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run([*other, *command], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("target", ["demo", "test", "check", "setup", "fuzz"])
def test_without_root_the_exact_line_is_printed_and_nothing_half_done_is_left(clone: Path, target: str) -> None:
    before = sorted(clone.rglob("*"))
    ended = as_nobody(clone, "make", target)
    assert ended.returncode != 0
    line = f"sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends {MISSING}'"
    assert line in ended.stderr
    assert sorted(clone.rglob("*")) == before


def test_an_ordinary_user_can_make_network_namespaces_or_is_told_what_forbids_it(clone: Path) -> None:
    ended = as_nobody(clone, "tests/setup/namespaces.sh", "sh", "-c", "ip netns add a && ip netns exec a id -u")
    allowed = as_nobody(clone, "unshare", "--user", "--map-root-user", "--mount", "--net", "true").returncode == 0
    if allowed:
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
    else:
        assert ended.returncode == 1
        assert "or run this as root" in ended.stderr


@pytest.mark.parametrize("service", ["prometheus", "postgresql"])
def test_whoever_installs_a_service_for_its_programs_gets_none_that_runs(clone: Path, service: str) -> None:
    nothing_installed = clone / "bin" / "dpkg-query"
    nothing_installed.parent.mkdir()
    nothing_installed.write_text("#!/bin/sh\n")
    nothing_installed.chmod(0o755)
    (clone / "tests" / "setup" / "packages.txt").write_text(f"{service}\n")
    path = f"PATH={nothing_installed.parent}:/usr/bin:/bin"
    ended = as_nobody(clone, "env", path, "tests/setup/system.sh")
    (line,) = re.findall(r"sudo sh -c '(.*)'", ended.stderr)
    before, _, _ = line.partition("apt-get update")
    assert f"ln -s /dev/null /etc/systemd/system/{service}.service" in before
    assert "RUNLEVEL=1" in before, "which keeps the scripts of SysV from starting it, too"
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


def test_where_nothing_is_missing_setting_up_says_nothing(clone: Path) -> None:
    (clone / "tests" / "setup" / "packages.txt").write_text("dpkg\n")
    ended = as_nobody(clone, "tests/setup/system.sh")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_shards_are_counted_by_what_their_tests_say(tmp_path: Path) -> None:
    cargo = "test result: ok. 7 passed; 0 failed; 1 ignored;\ntest result: FAILED. 1 passed; 2 failed; 0 ignored;"
    assert of_cargo(cargo, tmp_path) == (8, 2, 1)
    assert of_cargo("error: could not compile", tmp_path) == (0, 0, 0)
    assert of_fuzz("fuzz vp8: passed\n  runs: 3\nfuzz av1: FAILED\n", tmp_path) == (1, 1, 0)
    report = tmp_path / "report.xml"
    assert of_pytest("", report) == (0, 0, 0)
    report.write_text('<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>')
    assert of_pytest("", report) == (3, 3, 3)


def test_a_shard_ends_with_its_time_and_one_that_ran_nothing_has_not_passed() -> None:
    def program(text: str) -> Shard:
        return Shard([sys.executable, "-c", text], of_fuzz)

    good = run("of_a_test", program("print('fuzz x: passed')"))
    assert (good.passed, good.failed, good.reason) == (1, 0, None)
    assert str(good).startswith("shard of_a_test: 1 passed, 0 failed, 0 skipped, ")
    assert "exit status 3" in str(run("of_a_test", program("raise SystemExit(3)")))
    assert "nothing was run" in str(run("of_a_test", program("")))
    assert "not done within" in str(run("of_a_test", program("while True: pass"), seconds=0.2))


def test_the_shards_are_those_that_contributing_names() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| shard |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(SHARDS)


def test_a_shard_that_does_not_exist_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuz"]) == 2
    assert ", ".join(SHARDS) in capsys.readouterr().err
