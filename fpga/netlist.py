"""Netlists as Yosys writes them in JSON: the mend before placement, the timing harness, and cells by type."""
from __future__ import annotations

from collections import Counter
from typing import Any

__all__ = ["cells", "harness", "mend", "top_of"]

Module = dict[str, Any]


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


def _flip_flop(family: str, clock: int, source: int, target: int) -> Module:
    # "1 " is the string 1: digits alone would be a number
    if family == "ecp5":
        kind, parameters = "TRELLIS_FF", {"GSR": "DISABLED", "CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
        connections = {"CLK": [clock], "DI": [source], "Q": [target]}
    else:
        kind, parameters = "SB_DFF", {}
        connections = {"C": [clock], "D": [source], "Q": [target]}
    return {"hide_name": 0, "type": kind, "parameters": parameters, "attributes": {}, "connections": connections,
            "port_directions": {port: "output" if port == "Q" else "input" for port in connections}}


def _xor(family: str, sources: list[int], target: int) -> Module:
    inputs, output, init = (("A", "B", "C", "D"), "Z", "INIT") if family == "ecp5" else (("I0", "I1", "I2", "I3"), "O", "LUT_INIT")
    table = "".join(str(n.bit_count() & 1) for n in reversed(range(16)))
    padded: list[int | str] = [*sources, *"000"[len(sources) - 1:]]
    connections = {**{port: [bit] for port, bit in zip(inputs, padded, strict=True)}, output: [target]}
    return {"hide_name": 0, "type": "LUT4" if family == "ecp5" else "SB_LUT4", "parameters": {init: table}, "attributes": {},
            "connections": connections, "port_directions": {port: "output" if port == output else "input" for port in connections}}


def harness(module: Module, family: str, *, clock: str = "clk") -> None:
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
        made.append(_flip_flop(family, clock_bit, source, target))
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
            made.append(_xor(family, level[n:n + 4], next(free)))
            folded.append(registered(made[-1]["connections"]["Z" if family == "ecp5" else "O"][0]))
        level = folded
    module["cells"].update({f"harness${n}": cell for n, cell in enumerate(made)})
    module["ports"] = {"clk": {"direction": "input", "bits": [clock_bit]}, "in": {"direction": "input", "bits": [first]},
                       "out": {"direction": "output", "bits": level}}
    for wire in ("in", "out", "clk"):
        module["netnames"].pop(wire, None)
    module["netnames"].update({name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in module["ports"].items()})
