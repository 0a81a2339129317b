"""A mapped ECP5 netlist, simulated on many streams at once, one bit of a word each, and the changes of its cells' outputs counted."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import MantissaError

__all__ = ["Mapped", "Wave"]

Wave = npt.NDArray[np.uint64]
"""One signal of all streams."""

SETTINGS = {"CEMUX": ("CE", "1"), "LSRMUX": ("LSR",), "CLKMUX": ("CLK",), "SRMODE": ("LSR_OVER_CE",)}
"""What a flip-flop may be set to, its default first."""

OUTPUTS = {"LUT4": ("Z",), "CCU2C": ("S0", "S1", "COUT"), "TRELLIS_FF": ("Q",)}


class Mapped:
    """Look-up tables, carry cells and flip-flops of one clock.

    Parameters
    ----------
    module
        The netlist's top, as Yosys writes it in JSON. Its clock is ``clk``.
    words
        Of 64 streams each.

    Raises
    ------
    MantissaError
        If there are other cells.
    """

    def __init__(self, module: Mapping[str, Any], words: int) -> None:
        self.ports = {name: port["bits"] for name, port in module["ports"].items()}
        cells = [cell for cell in module["cells"].values() if cell["type"] != "TRELLIS_IO"]
        strange = sorted({cell["type"] for cell in cells} - set(OUTPUTS))
        if strange:
            raise MantissaError(f"Netlist must have cells of types {', '.join(OUTPUTS)}, not {', '.join(strange)}")
        self.zero, self.one = np.zeros(words, np.uint64), np.full(words, ~np.uint64(0))
        self.registers = [_Register(cell) for cell in cells if cell["type"] == "TRELLIS_FF"]
        gates = [cell for cell in cells if cell["type"] != "TRELLIS_FF"]
        made = {bit: n for n, cell in enumerate(gates) for bit in _bits(cell, OUTPUTS[cell["type"]]).values() if isinstance(bit, int)}
        needs = {n: {made[bit] for bit in _bits(cell, set(cell["connections"]) - set(OUTPUTS[cell["type"]])).values() if bit in made}
                 for n, cell in enumerate(gates)}
        self.gates = [gates[n] for n in TopologicalSorter(needs).static_order()]
        self.values: dict[int, Wave] = {register.q: self.one if register.set else self.zero for register in self.registers}

    def read(self, bit: int | str | None, open_: Wave | None = None) -> Wave:
        """A signal; one that is not driven is zero."""
        if isinstance(bit, int):
            return self.values.get(bit, self.zero)
        return self.one if bit == "1" else self.zero if open_ is None or bit in ("0", "x") else open_

    def settle(self, inputs: Mapping[str, Sequence[Wave]]) -> None:
        """Drive the inputs, lowest bit first, and let the gates follow."""
        for name, waves in inputs.items():
            self.values.update(zip(self.ports[name], waves, strict=True))
        for cell in self.gates:
            pins = _bits(cell)
            if cell["type"] == "LUT4":
                self.values[pins["Z"]] = self._table(int(cell["parameters"]["INIT"], 2), [self.read(pins.get(pin)) for pin in "ABCD"])
                continue
            carry = self.read(pins.get("CIN"))
            for half in "01":
                levels = [self.read(pins.get(f"{pin}{half}")) for pin in "ABCD"]
                table = int(cell["parameters"][f"INIT{half}"], 2)
                passes, made = self._table(table, levels), self._table(table, [*levels[:2], self.zero, self.zero])
                if isinstance(pins.get(f"S{half}"), int):
                    self.values[pins[f"S{half}"]] = passes ^ carry
                carry = (passes & carry) | (~passes & made)
            if isinstance(pins.get("COUT"), int):
                self.values[pins["COUT"]] = carry

    def clock(self) -> None:
        """An edge."""
        after = []
        for register in self.registers:
            old, new = self.values[register.q], self.read(register.d)
            new = old ^ ((old ^ new) & self.read(register.enable, self.one))
            reset = self.read(register.reset)
            after.append((new | reset) if register.set else (new & ~reset))
        self.values.update(zip((register.q for register in self.registers), after, strict=True))

    def outputs(self) -> Wave:
        """Outputs of the tables, sums and flip-flops, in a fixed order."""
        bits = [_bits(cell).get(pin) for cell in self.gates for pin in OUTPUTS[cell["type"]] if pin != "COUT"]
        bits += [register.q for register in self.registers]
        return np.stack([self.values[bit] for bit in bits if isinstance(bit, int)])

    def _table(self, table: int, levels: Sequence[Wave]) -> Wave:
        if not levels:
            return self.one if table & 1 else self.zero
        half = 1 << len(levels) - 1
        low, high = table & (1 << half) - 1, table >> half
        if low == high:
            return self._table(low, levels[:-1])
        one, other = self._table(low, levels[:-1]), self._table(high, levels[:-1])
        return one ^ ((one ^ other) & levels[-1])


class _Register:
    """A flip-flop's pins."""

    def __init__(self, cell: Mapping[str, Any]) -> None:
        pins, parameters = _bits(cell), cell["parameters"]
        for name, known in SETTINGS.items():
            if parameters.get(name, known[0]) not in known:
                raise MantissaError(f"Flip-flop's {name} must be {' or '.join(known)}, not {parameters[name]}")
        self.q, self.d = pins["Q"], pins["DI"]
        self.enable = "1" if parameters.get("CEMUX") == "1" else pins.get("CE", "1")
        self.reset = pins.get("LSR", "0")
        self.set = parameters.get("REGSET", "RESET") == "SET"


def _bits(cell: Mapping[str, Any], names: Sequence[str] | set[str] | None = None) -> dict[str, Any]:
    return {name: bits[0] for name, bits in cell["connections"].items() if bits and (names is None or name in names)}
