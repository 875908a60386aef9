"""What is kept of others is as they published it, with their licences: scripts; `dimpl` but for the patch beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[1] / "sfu_core" / "vendor"
SCRIPTS = Path(__file__).parent / "browser" / "vendor"
BUNDLED = SCRIPTS / "livekit-client.bundled"
"""Of each package of which livekit-client's script has something: what says who made it, as published."""
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


def packed(spec: str, folder: Path) -> Path:
    """Fetches a package, as `name@version`, from npm."""
    pack = ["npm", "pack", "--silent", spec]
    name = subprocess.run(pack, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return folder / name


def contents(archive: Path) -> dict[str, bytes]:
    """Returns all files of a package of npm."""
    with tarfile.open(archive) as opened:
        files = {member.name.removeprefix("package/"): opened.extractfile(member) for member in opened.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


@pytest.mark.parametrize(
    ("package", "files"),
    [
        ("livekit-client", {"LICENSE", "dist/livekit-client.e2ee.worker.js", "dist/livekit-client.umd.js"}),
        ("axe-core", {"LICENSE", "LICENSE-3RD-PARTY.txt", "axe.min.js"}),
    ],
)
def test_scripts_of_others_are_as_published_with_their_licences(package: str, files: set[str]) -> None:
    _, expected = published(SCRIPTS / f"{package}.sha256")
    assert sums_of(SCRIPTS / package) == expected
    assert set(expected) == files


@pytest.mark.parametrize("package", sorted(BUNDLED.iterdir()), ids=lambda folder: folder.name)
def test_beside_livekit_client_lies_who_made_what_is_bundled_in_it_and_on_which_terms(package: Path) -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*") if path.is_file())
    assert re.search(r"copyright", texts, re.IGNORECASE)
    assert re.search(r"permission is hereby granted|permission to use|redistribut|Apache License", texts, re.IGNORECASE)


@pytest.mark.long
@pytest.mark.parametrize("package", ["livekit-client", "axe-core"])
def test_the_sums_are_those_of_the_package_that_npm_has(tmp_path: Path, package: str) -> None:
    sums = SCRIPTS / f"{package}.sha256"
    name, _, version = sums.read_text().split(" ", 1)[0].removesuffix(".tgz").rpartition("-")
    assert_has(packed(f"{name}@{version}", tmp_path), published(sums), "package")


@pytest.mark.long
def test_the_licences_are_those_of_all_packages_that_livekit_client_has_bundled(tmp_path: Path) -> None:
    _, _, version = (SCRIPTS / "livekit-client.sha256").read_text().partition(".tgz")[0].rpartition("-")
    client = contents(packed(f"livekit-client@{version}", tmp_path))
    sources = "\n".join(json.loads(client["dist/livekit-client.umd.js.map"])["sources"])
    bundled = {spec.replace("+", "/") for spec in re.findall(r"/\.pnpm/([^/]+)/", sources)}
    # Two more, which the map does not name: LiveKit's messages and what compiled TypeScript calls.
    needed = json.loads(client["package.json"])["dependencies"]
    bundled |= {f"{name}@{needed[name]}" for name in ("@livekit/protocol", "tslib")}
    folders: set[Path] = set()
    for spec in bundled:
        archive = packed(spec, tmp_path)
        folder, theirs = BUNDLED / archive.stem, contents(archive)
        folders.add(folder)
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            assert path.read_bytes() == theirs[path.relative_to(folder).as_posix()], path
    assert set(BUNDLED.iterdir()) == folders
