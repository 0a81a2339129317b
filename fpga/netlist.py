"""Netlists as Yosys writes them in JSON: the mends before placement, the timing harness, and cells by type."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .family import Family

__all__ = ["Primitive", "cells", "harness", "mend", "open_carry", "top_of"]

Module = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """A cell of one output: kind, ports, clock if it has one, what an input without a source gets (nothing: it is open), parameters."""
    kind: str
    inputs: tuple[str, ...]
    output: str
    clock: str = ""
    idle: str = "0"
    parameters: Mapping[str, str] = field(default_factory=dict)

    def cell(self, sources: list[int], target: int, clock: int | None = None) -> Module:
        """The cell in a netlist."""
        padded: list[int | str] = [*sources, *[self.idle] * (len(self.inputs) - len(sources))]
        connections: dict[str, list[int | str]] = {port: [bit] for port, bit in zip(self.inputs, padded, strict=True) if bit}
        if clock is not None:
            connections[self.clock] = [clock]
        connections[self.output] = [target]
        return {"hide_name": 0, "type": self.kind, "parameters": dict(self.parameters), "attributes": {}, "connections": connections,
                "port_directions": {port: "output" if port == self.output else "input" for port in connections}}


def top_of(netlist: dict[str, Any]) -> Module:
    """The top module of a netlist."""
    for module in netlist["modules"].values():
        if int(str(module["attributes"].get("top", "0")), 2):
            return module
    raise ValueError("Netlist must have a top module, and has none")


def cells(module: Module) -> Counter[str]:
    """How many cells of each type a module has."""
    return Counter(cell["type"] for cell in module["cells"].values() if not cell["type"].startswith("$"))


def _readers(module: Module) -> Counter[int | str]:
    readers: Counter[int | str] = Counter()
    for port in module["ports"].values():
        readers.update(port["bits"])
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "output":
                readers.update(bits)
    return readers


def mend(module: Module) -> int:
    """Cut the carry outputs nobody reads off ECP5 carry cells, in place; how many were cut.

    nextpnr-ecp5 ends every chain whose last carry output is driven, used or not, with a cell that brings the carry out to
    fabric: two LUTs each for nothing.
    """
    readers = _readers(module)
    mended = 0
    for cell in module["cells"].values():
        carry = cell["connections"].get("COUT")
        if cell["type"] == "CCU2C" and carry and carry != ["x"] and not readers[carry[0]]:
            cell["connections"]["COUT"] = ["x"]
            mended += 1
    return mended


def open_carry(module: Module) -> int:
    """Leave the carry inputs of Nexus carry cells open that are tied to zero, in place; how many were.

    Yosys ties the first of a chain to zero, and nextpnr-nexus takes nothing but another cell's carry output there.
    """
    zero: set[int | str] = {"0", *(bit for cell in module["cells"].values() if cell["type"] == "VLO" for bit in cell["connections"]["Z"])}
    opened = 0
    for cell in module["cells"].values():
        if cell["type"] == "CCU2" and zero.issuperset(cell["connections"].get("CIN") or "x"):
            cell["connections"]["CIN"] = []
            opened += 1
    return opened


def harness(module: Module, family: Family, *, clock: str = "clk") -> None:
    """Put registers around a module, in place, so that its timing is its own and three pins carry it.

    A shift register drives every input but the clock. Every output is registered, and the registers folded by a tree with one
    exclusive-or of four inputs between registers, to one output. What is between the registers is the module's netlist,
    cell for cell.
    """
    used = [bit for port in module["ports"].values() for bit in port["bits"] if isinstance(bit, int)]
    used += [bit for cell in module["cells"].values() for bits in cell["connections"].values() for bit in bits if isinstance(bit, int)]
    free = iter(range(max(used, default=1) + 1, 1 << 62))
    made: list[Module] = []
    clock_bit = module["ports"][clock]["bits"][0] if clock in module["ports"] else next(free)

    def registered(source: int, target: int | None = None) -> int:
        target = next(free) if target is None else target
        made.append(family.flip_flop.cell([source], target, clock_bit))
        return target

    last = first = next(free)
    for name, port in module["ports"].items():
        if port["direction"] == "input" and name != clock:
            for bit in port["bits"]:
                last = registered(last, bit)
    level = [registered(bit) for port in module["ports"].values() if port["direction"] == "output"
             for bit in port["bits"] if isinstance(bit, int)]
    level = level or [last]
    while len(level) > 1:
        folded = []
        for n in range(0, len(level), 4):
            made.append(family.lut.cell(level[n:n + 4], folds := next(free)))
            folded.append(registered(folds))
        level = folded
    ends = {"clk": clock_bit, "in": first, "out": level[0]}
    if family.pads:
        for name, pad in zip(ends, (family.pads[0], *family.pads), strict=True):
            inner, ends[name] = ends[name], next(free)
            made.append(pad.cell([inner], ends[name]) if name == "out" else pad.cell([ends[name]], inner))
    module["cells"].update({f"harness${n}": cell for n, cell in enumerate(made)})
    module["ports"] = {name: {"direction": "output" if name == "out" else "input", "bits": [bit]} for name, bit in ends.items()}
    for wire in ("in", "out", "clk"):
        module["netnames"].pop(wire, None)
    module["netnames"].update({name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in module["ports"].items()})
