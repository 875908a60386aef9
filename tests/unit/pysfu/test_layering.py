"""Who imports the compiled module."""

from __future__ import annotations

import ast
from pathlib import Path

import pysfu


def imports_core(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(alias.name == "pysfu._core" for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "pysfu._core" or (node.module == "pysfu" and "_core" in names):
                return True
    return False


def test_only_the_bridge_imports_the_compiled_module() -> None:
    folder = Path(pysfu.__file__).parent
    found = {path.name for path in folder.glob("*.py") if imports_core(path.read_text())}
    assert found == {"_compiled.py"}
