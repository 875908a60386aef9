"""The table of caps in the engine's README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

ENGINE = Path(__file__).parent.parent / "sfu_core"
PYSFU = ENGINE.parent / "pysfu"
PYTHON_ROW = re.compile(r"^\| [^|]+ \| `(MAX_[A-Z_]+)` \| `([a-z0-9_/]+\.py)` \| ([^|]+) \|$", re.MULTILINE)
PYTHON_CAP = re.compile(r"^(MAX_[A-Z_]+) = ([0-9][0-9_ *]*?) *(?:#.*)?$", re.MULTILINE)
ROW = re.compile(r"^\| [^|]+ \| `(MAX_[A-Z_]+)` \| `([a-z_/]+\.rs)` \| ([^|]+) \|$", re.MULTILINE)


def test_every_cap_in_the_readme_has_that_value_in_that_file() -> None:
    rows = ROW.findall((ENGINE / "README.md").read_text(encoding="utf-8"))
    assert len(rows) > 30
    for name, file, value in rows:
        source = (ENGINE / "src" / file).read_text(encoding="utf-8")
        found = re.search(rf"\bconst {name}: [a-z0-9]+ = ([^;]+);", source)
        assert found, f"{file} has no {name}"
        assert found[1] == value.strip(), f"{name} in {file}"


def test_every_cap_of_python_is_in_the_readme_with_its_value() -> None:
    rows = set(PYTHON_ROW.findall((ENGINE / "README.md").read_text(encoding="utf-8")))
    caps = {
        (name, path.relative_to(PYSFU).as_posix(), value)
        for path in PYSFU.rglob("*.py")
        for name, value in PYTHON_CAP.findall(path.read_text(encoding="utf-8"))
    }
    assert rows == caps


def test_every_file_the_engine_readme_names_exists() -> None:
    text = (ENGINE / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+\.rs)`", text):
        assert (ENGINE / "src" / name).exists(), name
