"""One ECP5 DSP slice as a dot product of two, with two accumulators that take turns."""
from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DotSlice"]

ADD = 0b0100
"""ALU operation: A + B + C."""

MULTIPLIER = 0b01
"""Selects the multiplier of its side, as operand A or B of the ALU."""

OPERAND_C = 0b011
"""Selects the C port as operand C of the ALU; 0 selects zero."""


class DotSlice(wiring.Component):
    """``a0 * b0 + a1 * b1`` added to the sum of two cycles ago, or, with ``clear``, to zero.

    Two MULT18X18D and one ALU54B: the slice's adder does what would take a look-up table per accumulator bit. Each register is the slice's
    own: operands, products, result, and the result's copy at the C port, so two sums alternate. All advance together. ``r`` has the
    sum 3 advances after its operands; ``clear`` belongs to the operands of 2 advances ago.

    The cells' behaviour is inferred: from published modules that Lattice's generator made (operation codes) and from nextpnr's handling
    of the cells. Lattice's own guide to them (FPGA-TN-02205) was not at hand, and it has not been seen on a board.
    nextpnr 0.11.1 ignores the timing of ALU54B, so a reported frequency
    does not cover what goes through it.

    Parameters
    ----------
    cells : :class:`bool`
        Whether to instantiate the cells, or describe them: the twin, for simulation and other families.

    Members
    -------
    a0, b0, a1, b1 : :py:`In(signed(18))`
        Operands.
    clear : :py:`In(1)`
        Start from zero.
    advance : :py:`In(1)`
        Enables every register.
    r : :py:`Out(signed(54))`
        Sum.
    """
    a0: Signal
    b0: Signal
    a1: Signal
    b1: Signal
    clear: Signal
    advance: Signal
    r: Signal

    def __init__(self, *, cells: bool = True) -> None:
        self.cells = cells
        operands = {name: In(signed(18)) for name in ("a0", "b0", "a1", "b1")}
        super().__init__({**operands, "clear": In(1), "advance": In(1), "r": Out(signed(54))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.cells:
            self._cells(m)
        else:
            self._twin(m)
        return m

    def _twin(self, m: Module) -> None:
        operands = [Signal(signed(18), name=f"{name}_in", reset_less=True) for name in ("a0", "b0", "a1", "b1")]
        products = [Signal(signed(36), name=f"product_{k}", reset_less=True) for k in range(2)]
        c = Signal(signed(54), reset_less=True)
        with m.If(self.advance):
            m.d.sync += [own.eq(given) for own, given in zip(operands, (self.a0, self.b0, self.a1, self.b1), strict=True)]
            m.d.sync += [products[0].eq(operands[0] * operands[1]), products[1].eq(operands[2] * operands[3])]
            m.d.sync += [self.r.eq(products[0] + products[1] + Mux(self.clear, 0, c)), c.eq(self.r)]

    def _cells(self, m: Module) -> None:
        alu: dict[str, Any] = {f"p_{name}_CLK": "CLK0" for name in ("REG_INPUTC0", "REG_INPUTC1", "REG_OUTPUT0", "REG_OUTPUT1")}
        for k, (a, b, side) in enumerate(((self.a0, self.b0, "A"), (self.a1, self.b1, "B"))):
            product, passed, signedness = Signal(36, name=f"product_{k}"), Signal(36, name=f"passed_{k}"), Signal(name=f"signed_{k}")
            m.submodules[f"multiplier_{k}"] = Instance(
                "MULT18X18D", **_common(self.advance), i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
                p_REG_INPUTA_CLK="CLK0", p_REG_INPUTB_CLK="CLK0", p_REG_PIPELINE_CLK="CLK0",
                **_pins("i_A", a), **_pins("i_B", b), **_pins("o_P", product), o_SIGNEDP=signedness,
                **_pins("o_ROA", passed[:18]), **_pins("o_ROB", passed[18:]))
            # Between the cells of a slice these wires are fixed, and nextpnr wants them named, operands that go unused too.
            alu |= _pins(f"i_M{side}", product) | _pins(f"i_{side}", passed) | {f"i_SIGNEDI{side}": signedness}
        operation = {0: MULTIPLIER, 2: MULTIPLIER, 7: ADD}
        opcode = [Const(0)] * 11
        for low, code in operation.items():
            for bit in range(4):
                if code >> bit & 1:
                    opcode[low + bit] = Const(1)
        for bit in range(3):
            if OPERAND_C >> bit & 1:
                opcode[4 + bit] = ~self.clear
        m.submodules.alu = Instance(
            "ALU54B", **_common(self.advance), **alu, **_pins("i_C", self.r), **_pins("o_R", self.r),
            **{f"i_OP{bit}": value for bit, value in enumerate(opcode)})


def _pins(name: str, value: Value) -> dict[str, Value]:
    return {f"{name}{bit}": value[bit] for bit in range(len(value))}


def _common(enable: Value) -> dict[str, Any]:
    return {"i_CLK0": ClockSignal(), "i_CE0": enable, "i_RST0": Const(0), "p_GSR": "DISABLED", "p_RESETMODE": "SYNC"}
