"""Who may know whom, where import-linter cannot see, how long a module may be, and what is left out of a wheel."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imports_of(path: Path) -> set[str]:
    """Every dotted name that a file imports, `from a import b` as `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_one_module_imports_the_compiled_one() -> None:
    paths = sources("pysfu", "signalling")
    assert len(paths) > 20
    importers = {str(path.relative_to(ROOT)) for path in paths if "pysfu._core" in imports_of(path)}
    assert importers == {"pysfu/_compiled.py"}


def test_only_media_metrics_echo_and_server_import_pysfu() -> None:
    engine = ("pysfu_engine", "pysfu_room", "pysfu_transport", "pysfu_events", "pysfu_errors")
    allowed = {f"signalling/{name}.py" for name in (*engine, "metrics", "echo", "server")}
    importers = {
        str(path.relative_to(ROOT))
        for path in sources("signalling")
        if any(name == "pysfu" or name.startswith("pysfu.") for name in imports_of(path))
    }
    assert importers <= allowed


def too_long(paths: list[Path], *, limit: int) -> list[str]:
    assert len(paths) > 20
    return [str(path.relative_to(ROOT)) for path in paths if len(path.read_text("utf-8").splitlines()) > limit]


def test_no_module_is_too_long_to_be_read_in_one_go() -> None:
    assert too_long(sources("pysfu", "signalling"), limit=400) == []
    assert too_long(sorted((ROOT / "sfu_core" / "src").rglob("*.rs")), limit=500) == []


def test_a_wheel_has_the_features_of_a_server_and_nothing_of_a_simulation_or_of_a_test() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["maturin"]
    assert built["features"] == ["python"]
    features = tomllib.loads((ROOT / "sfu_core" / "Cargo.toml").read_text("utf-8"))["features"]
    assert {"simulation", "breakable"} <= features.keys()
    assert "default" not in features
    assert all(needs.startswith("dep:") for needs in features["python"])
