"""Designs of the catalogue as Verilog, with metadata and a datasheet each."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import hashlib
import inspect
import json
import os
from pathlib import Path
from typing import Any

from amaranth.back import verilog
from amaranth.lib import wiring

from ..design import Design
from ..hw.payload import leaves, ports, used, width_of
from .files import write, write_json

__all__ = ["MEASURED", "Emitted", "emit", "emit_all", "text_of", "verilog_of"]

MEASURED = "measured.json"
"""File beside the manifest in which the bench keeps latency and throughput by digest of the Verilog."""


@dataclass(frozen=True, kw_only=True)
class Emitted:
    """What was written for one design.

    Members
    -------
    verilog
        Path of the source.
    entry
        The design's part of the manifest.
    """
    verilog: Path
    entry: Mapping[str, Any]


def text_of(component: wiring.Component, name: str) -> str:
    """Verilog of a component as module ``name``."""
    return verilog.convert(component, name=name, emit_src=False)


def verilog_of(design: Design) -> str:
    """Verilog of a design, converted once per process."""
    if id(design) not in _TEXTS:
        _TEXTS[id(design)] = design, text_of(design.component(), design.name)
    return _TEXTS[id(design)][1]


_TEXTS: dict[int, tuple[Design, str]] = {}          # holding the design keeps its id its own


def emit(design: Design, folder: Path) -> Emitted:
    """Write ``<name>.v`` and ``<name>.json`` and the datasheet ``<name>.md``.

    Measured latency and throughput are in the two if the bench has run on this very Verilog in this folder.
    """
    component = used(design.component())
    text = verilog_of(design)
    sha = hashlib.sha256(text.encode()).hexdigest()
    entry = {"summary": design.summary, "params": {name: value if isinstance(value, (int, str, bool)) else repr(value)
                                                   for name, value in design.params.items()},
             "family": design.family, "stateless": design.stateless, "sha256": sha, "streams": _streams(component),
             "measured": _measured(folder, sha), "interface": component.metadata.as_json()["interface"]}
    path = write(folder / f"{design.name}.v", text)
    write_json(folder / f"{design.name}.json", {"name": design.name, **entry})
    write(folder / f"{design.name}.md", _datasheet(design, component, entry))
    return Emitted(verilog=path, entry=entry)


def emit_all(designs: Iterable[Design], folder: Path, *, progress: Callable[[Design], object] = lambda design: None) -> Path:
    """Write every design and ``manifest.json``; path of the manifest. ``progress`` is called after each."""
    def one(design: Design) -> tuple[str, dict[str, Any]]:
        entry = emit(design, folder).entry
        progress(design)
        return design.name, {key: value for key, value in entry.items() if key != "interface"}
    with ThreadPoolExecutor(os.cpu_count()) as pool:            # most of the time is a subprocess's
        manifest = dict(pool.map(one, designs))
    return write_json(folder / "manifest.json", manifest)


def _measured(folder: Path, sha: str) -> Mapping[str, Any] | None:
    try:
        return json.loads((folder / MEASURED).read_text()).get(sha)
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _streams(component: wiring.Component) -> dict[str, Any]:
    inputs, outputs = ports(component)
    return {name: {"direction": "input" if name in inputs else "output", "width": width_of(layout),
                   "fields": _fields(layout)} for name, layout in {**inputs, **outputs}.items()}


def _fields(layout: Any) -> list[dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = {}
    for leaf in leaves(layout):
        field = fields.setdefault(leaf.field, {"name": leaf.field, "low": leaf.low, "width": leaf.width, "signed": leaf.signed})
        field["shape"] = [index + 1 for index in leaf.index]
    return list(fields.values())


def _speed(measured: Mapping[str, Any] | None) -> str:
    if not measured:
        return "Latency and throughput: not measured."
    return (f"Latency: {measured['latency']} cycles from the first valid input to the first output. Throughput: {measured['throughput']} "
            f"transfers per cycle on `{measured['port']}`. Both measured without stalls.")


def _datasheet(design: Design, component: wiring.Component, entry: Mapping[str, Any]) -> str:
    cls = type(component)
    made = f"{cls.__module__}.{cls.__name__}{inspect.signature(cls)}"
    lines = [f"# {design.name}", "", f"{design.summary.rstrip('.')}. Made by `{made}`.", "",
             "| parameter | value |", "| --- | --- |", *(f"| {name} | `{value}` |" for name, value in entry["params"].items()), "",
             "| stream | direction | field | bits | of each |", "| --- | --- | --- | --- | --- |"]
    for port, about in entry["streams"].items():
        for field in about["fields"]:
            n = 1
            for extent in field["shape"]:
                n *= extent
            bits = f"{field['low'] + n * field['width'] - 1}:{field['low']}"
            kind = f"{' x '.join(map(str, field['shape']))} {'of ' if field['shape'] else ''}{'signed' if field['signed'] else 'unsigned'}"
            lines.append(f"| `{port}` | {about['direction']} | {field['name']} | {bits} | {kind.strip()} {field['width']} |")
    lines += ["", _speed(entry["measured"]), ""]
    return "\n".join([*lines, inspect.cleandoc(cls.__doc__ or ""), ""])
