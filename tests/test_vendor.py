"""What is kept of others in `sfu_core/vendor/` is as they published it, but for the patch that lies beside it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[1] / "sfu_core" / "vendor"
CRATES = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "registry" / "cache"


def sums_of(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file below."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def published() -> tuple[str, dict[str, str]]:
    """Returns the SHA-256 of the crate that crates.io has, and of every file in it that is kept."""
    head, *lines = (VENDOR / "dimpl.sha256").read_text().splitlines()
    return head.rpartition(" ")[2], {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def test_dimpl_without_its_patch_is_the_published_crate(tmp_path: Path) -> None:
    shutil.copytree(VENDOR / "dimpl", tmp_path / "dimpl")
    patch = ["git", "apply", "--reverse", VENDOR / "dimpl.patch"]
    subprocess.run(patch, cwd=tmp_path / "dimpl", check=True, env={"GIT_DIR": "/nonexistent", "PATH": "/usr/bin:/bin"})
    _, expected = published()
    assert len(expected) > 90
    assert sums_of(tmp_path / "dimpl") == expected


@pytest.mark.long
def test_the_sums_are_those_of_the_crate_that_cargo_fetches(tmp_path: Path) -> None:
    manifest = '[package]\nname = "fetches"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\ndimpl = "=0.9.0"\n'
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").touch()
    (tmp_path / "Cargo.toml").write_text(manifest)
    subprocess.run(["cargo", "fetch", "--quiet"], cwd=tmp_path, check=True)
    crate, kept = published()
    path, *_ = CRATES.glob("*/dimpl-0.9.0.crate")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == crate
    with tarfile.open(path) as archive:
        for name, digest in kept.items():
            member = archive.extractfile(f"dimpl-0.9.0/{name}")
            assert member is not None
            assert hashlib.sha256(member.read()).hexdigest() == digest
