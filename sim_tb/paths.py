"""Combinational paths of any component between its streams."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import tempfile

from amaranth.back import rtlil
from amaranth.lib import wiring

from . import yosys

__all__ = ["paths"]


def paths(component: wiring.Component, *, library: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Combinational paths of a component between its streams: from each ``port.signal`` to every one it reaches."""
    text = rtlil.convert(component, name="top", emit_src=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "top.il").write_text(text)
        script = "read_rtlil top.il\n"
        for n, model in enumerate(library):
            (folder / f"{n}.v").write_text(model.read_text())
            script += f"read_verilog {n}.v\n"
        yosys.run(script + "hierarchy -top top\nproc\nflatten\nopt_clean\nwrite_json top.json\n", folder)
        module = json.loads((folder / "top.json").read_text())["modules"]["top"]
    return _reach(module)


def _reach(module: Mapping) -> dict[str, list[str]]:
    next_bits: dict[object, set[object]] = {}
    for cell in module["cells"].values():
        for source, drains in _edges(cell):
            for bit in source:
                next_bits.setdefault(bit, set()).update(drains)
    out: dict[str, list[str]] = {}
    names = {name: port["bits"] for name, port in module["ports"].items() if "__" in name}
    for name, port in module["ports"].items():
        if port["direction"] != "input" or "__" not in name:
            continue
        seen, todo = set(port["bits"]), list(port["bits"])
        while todo:
            fresh = next_bits.get(todo.pop(), set()) - seen
            seen |= fresh
            todo += fresh
        ends = [end for end, bits in names.items() if module["ports"][end]["direction"] == "output" and seen & set(bits)]
        if ends:
            out[name.replace("__", ".")] = [end.replace("__", ".") for end in ends]
    return out


def _edges(cell: Mapping) -> list[tuple[list, list]]:
    """(inputs, outputs) of a cell between which a value can pass without a clock edge."""
    kind, wires, direction = cell["type"], cell["connections"], cell["port_directions"]
    if kind in ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$memwr_v2", "$meminit_v2"):
        return []
    if kind == "$memrd_v2":
        return [] if int(cell["parameters"]["CLK_ENABLE"], 2) else [(wires["ADDR"], wires["DATA"])]
    into = [bit for port, bits in wires.items() if direction[port] != "output" for bit in bits if isinstance(bit, int)]
    return [(into, [bit for port, bits in wires.items() if direction[port] != "input" for bit in bits])]
