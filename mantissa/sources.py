"""Which of our modules a module is made of."""
from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

__all__ = ["closure"]

ROOT = Path(__file__).parent


def _imported(path: Path) -> set[Path]:
    """Our modules that a module imports by relative imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            candidates = [base, *(base / alias.name for alias in node.names)]
            found |= {at.with_suffix(".py") for at in candidates if at != path.parent}
    return {at for at in found if at.is_file()}


def closure(starts: Iterable[str]) -> list[Path]:
    """Files of modules, given relative to the package, and of all they import from it, sorted."""
    todo, found = [ROOT / name for name in starts], set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imported(path)
    return sorted(found)
