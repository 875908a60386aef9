"""Who may know whom, beyond what import-linter checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import signalling

ROOT = Path(signalling.__file__).parent
MODULES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")
}

RIM = ("asyncio", "socket", "time", "sqlalchemy", "starlette", "fastapi", "pysfu", "structlog", "secrets")


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(*packages: str) -> set[str]:
    return {
        name for name, tree in MODULES.items() if {part.partition(".")[0] for part in imported(tree)} & set(packages)
    }


def test_only_the_engine_metrics_echo_and_server_know_pysfu() -> None:
    assert "pysfu_engine.py" in importers("pysfu")
    others = {name for name in importers("pysfu") if not name.startswith("pysfu_")}
    assert others <= {"echo.py", "server.py", "metrics.py"}


def test_the_domain_does_no_input_or_output_and_reads_no_clock() -> None:
    forbidden = importers(*RIM)
    assert not {name for name in forbidden if name.startswith("domain/")}
    assert not [name for name, tree in MODULES.items() if name.startswith("domain/") and ".now(" in ast.unparse(tree)]


def test_only_the_settings_read_the_environment() -> None:
    sources = {name: ast.unparse(tree) for name, tree in MODULES.items()}
    readers = {name for name, source in sources.items() if "os.environ" in source or "getenv" in source}
    assert readers == {"config.py", "http/__init__.py"}, "the other one writes what a library is to read"


def test_files_and_functions_stay_short_enough_to_read() -> None:
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path.name
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 80, f"{name}: {node.name}"
