"""What Yosys leaves undone around ECP5 multipliers: registers moved into them, and operands that spare wires."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

__all__ = ["absorb", "align"]

Cell = dict[str, Any]
Bit = int | str

SIDES = {"A": ("REG_INPUTA", 18), "B": ("REG_INPUTB", 18)}
PRODUCT = [f"P{n}" for n in range(36)]
CONTROLS = 4
"""Clocks and clock enables a multiplier can choose from."""

Control = tuple[Bit, Bit]
"""Clock and clock enable of a register, ``"1"`` for one that is always enabled."""


def align(module: Cell) -> int:
    """Move operands narrower than MULT18X18D's to its upper bits, in place, with the product.

    Yosys extends them by their sign, with a wire for each bit; zeros below need none.

    Returns
    -------
    Wires spared.
    """
    read = {bit for port in module["ports"].values() for bit in port["bits"]}
    for cell in module["cells"].values():
        read.update(bit for port, bits in cell["connections"].items() if cell["port_directions"].get(port) != "output" for bit in bits)
    spared = 0
    for cell in module["cells"].values():
        pins = cell["connections"]
        if cell["type"] != "MULT18X18D" or pins["SIGNEDA"] != ["1"] or pins["SIGNEDB"] != ["1"]:
            continue
        free = next((n for n in range(36) if any(bit in read for bit in pins.get(f"P{35 - n}", []))), 0)
        for side, (_, width) in SIDES.items():
            sign = pins[f"{side}{width - 1}"]
            copies = next(n for n in range(1, width + 1) if n == width or pins[f"{side}{width - 1 - n}"] != sign) - 1
            copies = min(copies, free)
            if not copies or sign[0] == "0":
                continue
            free -= copies
            spared += copies
            operand, result = [pins[f"{side}{n}"] for n in range(width)], [pins.get(pin, ["x"]) for pin in PRODUCT]
            for n in range(width):
                pins[f"{side}{n}"] = operand[n - copies] if n >= copies else ["0"]
            for n, pin in enumerate(PRODUCT):
                if pin in pins or n >= copies:
                    pins[pin] = result[n - copies] if n >= copies else result[len(PRODUCT) - copies + n]
                    cell["port_directions"][pin] = "output"
    return spared


def absorb(module: Cell) -> int:
    """Use the registers inside of MULT18X18D for those right before its operands and right after its product, in place.

    A side's bits must all come from flip-flops (or be 0) of one clock and one enable, the product's must each go to one
    flip-flop alone; none of them may have a reset or start as 1: the multiplier's start as 0. A flip-flop that has other readers
    stays for them. What the module does is the same in every cycle.

    Returns
    -------
    Flip-flops removed.
    """
    drivers: dict[Bit, str] = {}
    readers: dict[Bit, set[tuple[str, str]]] = defaultdict(set)
    for name, cell in module["cells"].items():
        for port, bits in cell["connections"].items():
            for bit in bits:
                if cell["port_directions"].get(port) == "output":
                    drivers[bit] = name
                else:
                    readers[bit].add((name, port))
    for name, port in module["ports"].items():
        for bit in port["bits"]:
            readers[bit].add(("", name))
    cells: dict[str, Cell] = module["cells"]
    removed = 0
    for name, cell in list(cells.items()):
        if cell["type"] != "MULT18X18D" or any(cell["parameters"].get(f"{register}_CLK", "NONE") != "NONE"
                                               for register in ("REG_INPUTA", "REG_INPUTB", "REG_PIPELINE", "REG_OUTPUT")):
            continue
        for side, (register, width) in SIDES.items():
            pins = [f"{side}{n}" for n in range(width)]
            before = {pin: drivers[bit] for pin in pins if (bit := cell["connections"][pin][0]) in drivers}
            loose = [pin for pin in pins if pin not in before and cell["connections"][pin][0] not in ("0", "x")]
            control = _shared(cells[source] for source in before.values())
            if loose or control is None or not _connect(cell, register, control):
                continue
            for pin, source in before.items():
                flip_flop = cells[source]
                readers[cell["connections"][pin][0]].discard((name, pin))
                readers[flip_flop["connections"]["DI"][0]].add((name, pin))
                cell["connections"][pin] = list(flip_flop["connections"]["DI"])
        after = {}
        for pin in PRODUCT:
            bit = cell["connections"].get(pin, ["x"])[0]
            if readers[bit] and bit != "x":
                after[pin] = [reader for reader, port in readers[bit] if reader and port == "DI"] if len(readers[bit]) == 1 else []
        control = _shared(cells[target[0]] for target in after.values()) if after and all(after.values()) else None
        if control and _connect(cell, "REG_OUTPUT", control):
            for pin, (target,) in after.items():
                cell["connections"][pin] = list(cells[target]["connections"]["Q"])
                drivers[cell["connections"][pin][0]] = name
                removed += 1
                del cells[target]
    for name, cell in list(cells.items()):
        if cell["type"] == "TRELLIS_FF" and not readers[cell["connections"]["Q"][0]]:
            removed += 1
            del cells[name]
    return removed


def _shared(registers: Iterable[Cell]) -> Control | None:
    """Clock and enable that all have, if there is one for all and nothing speaks against their use."""
    controls = {_control(register) for register in registers}
    return controls.pop() if len(controls) == 1 else None


def _control(register: Cell) -> Control | None:
    if register["type"] != "TRELLIS_FF":
        return None
    parameters, connections = register["parameters"], register["connections"]
    plain = (parameters.get("CLKMUX", "CLK") == "CLK" and parameters.get("REGSET", "RESET") == "RESET"
             and connections.get("LSR", ["0"])[0] in ("0", "x") and "M" not in connections)
    enable = parameters.get("CEMUX", "1").strip()
    if not plain or enable not in ("1", "CE"):
        return None
    return connections["CLK"][0], connections["CE"][0] if enable == "CE" else "1"


def _connect(cell: Cell, register: str, control: Control) -> bool:
    """Switch a register on, with a clock and an enable of the cell that are the control's or were free."""
    chosen = {}
    for kind, bit in zip(("CLK", "CE"), control, strict=True):
        pins = [f"{kind}{n}" for n in range(CONTROLS)]
        here = [pin for pin in pins if cell["connections"].get(pin) == [bit]] or [pin for pin in pins if pin not in cell["connections"]]
        if not here:
            return False
        chosen[kind] = here[0]
    for kind, bit in zip(("CLK", "CE"), control, strict=True):
        cell["connections"][chosen[kind]] = [bit]
        cell["port_directions"][chosen[kind]] = "input"
        cell["parameters"][f"{register}_{kind}"] = chosen[kind]
    cell["connections"].setdefault("RST0", ["0"])
    cell["port_directions"].setdefault("RST0", "input")
    cell["parameters"] |= {f"{register}_RST": "RST0", "RESETMODE": "SYNC", "GSR": "DISABLED"}
    return True
