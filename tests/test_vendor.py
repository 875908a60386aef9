"""What is kept of others is as they published it: livekit-client all of it, `dimpl` but for the patch beside it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[1] / "sfu_core" / "vendor"
SCRIPTS = Path(__file__).parent / "browser" / "vendor"
CARGO_HOME = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
ASKING = """
[package]
name = "asking"
version = "0.0.0"
edition = "2024"
[dependencies]
dimpl = { version = "=0.9.0", default-features = false }
"""


def sums_of(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file below."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def published(sums: Path = VENDOR / "dimpl.sha256") -> tuple[str, dict[str, str]]:
    """Returns the SHA-256 of the archive that its registry has, and of every file in it that is kept."""
    head, *lines = sums.read_text().splitlines()
    return head.rpartition(" ")[2], {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def assert_has(archive: Path, expected: tuple[str, dict[str, str]], folder: str) -> None:
    """Wants an archive of a registry to be that, with those files in a folder."""
    digest, kept = expected
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest
    with tarfile.open(archive) as opened:
        for name, sum_of_file in kept.items():
            member = opened.extractfile(f"{folder}/{name}")
            assert member is not None
            assert hashlib.sha256(member.read()).hexdigest() == sum_of_file, name


def test_dimpl_without_its_patch_is_the_published_crate(tmp_path: Path) -> None:
    shutil.copytree(VENDOR / "dimpl", tmp_path / "dimpl")
    patch = ["git", "apply", "--reverse", VENDOR / "dimpl.patch"]
    subprocess.run(patch, cwd=tmp_path / "dimpl", check=True, env={"GIT_DIR": "/nonexistent", "PATH": "/usr/bin:/bin"})
    _, expected = published()
    assert len(expected) > 90
    assert sums_of(tmp_path / "dimpl") == expected


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """Fetches what crates.io has. Our own workspace puts its copy in the place of it, so another one asks."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").touch()
    (tmp_path / "Cargo.toml").write_text(ASKING)
    subprocess.run(["cargo", "fetch", "--quiet"], cwd=tmp_path, check=True)
    (fetched, *_) = CARGO_HOME.glob("registry/cache/*/dimpl-0.9.0.crate")
    return fetched


@pytest.mark.long
def test_the_sums_are_those_of_the_crate_that_crates_io_has(crate: Path) -> None:
    assert_has(crate, published(), "dimpl-0.9.0")


def test_livekit_client_is_the_published_scripts_with_their_licence() -> None:
    _, expected = published(SCRIPTS / "livekit-client.sha256")
    assert sums_of(SCRIPTS / "livekit-client") == expected
    assert set(expected) == {"LICENSE", "dist/livekit-client.e2ee.worker.js", "dist/livekit-client.umd.js"}


@pytest.mark.long
def test_the_sums_are_those_of_the_package_that_npm_has(tmp_path: Path) -> None:
    sums = SCRIPTS / "livekit-client.sha256"
    name, _, version = sums.read_text().split(" ", 1)[0].removesuffix(".tgz").rpartition("-")
    subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
    assert_has(tmp_path / f"{name}-{version}.tgz", published(sums), "package")
