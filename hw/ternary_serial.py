"""Dot product of int8 activations and ternary weights, one product per cycle."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, signed_width
from .carry import Chain, Term, plain
from .ternary_tree import check_flag

__all__ = ["TernarySerial", "added"]


def added(m: Module, acc: Value, operand: Value, take: Value, negative: Value, name: str, *, cells: bool) -> Value:
    """``acc`` and the signed ``operand``, nothing or its negative, in one carry cell a bit; the sum wraps."""
    bits = [*operand[:-1], *[operand[-1]] * (len(acc) - len(operand) + 1)]
    chain = Chain(m, name, cells=cells)
    # (operand & take) ^ negative
    total = chain.add([plain(bit) for bit in acc], [Term(0b01111000, (bit, take, negative)) for bit in bits], len(acc), carry=negative,
                      fits=True)
    chain.close()
    return Cat(total)


class TernarySerial(wiring.Component):
    """Sum of ``a * w`` from one ``last`` to the next, one product per cycle and no pause between sums.

    Trits are -1, 0 and 1; -2 counts as zero. Latency from ``last`` is 2 cycles; one global stall. The sum leaves the accumulator into a
    register of its own, while the accumulator is reset, so that no gate clears it.

    Parameters
    ----------
    depth : :class:`int`
        Most transactions in a sum.
    fused : :class:`bool`
        Whether the select is inside carry cells, or before the operand's register and the adder is left to synthesis.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description; only with ``fused``.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "w": signed(2), "last": 1}))`
        Activations and trits.
    o : :py:`Out(stream.Signature({"sum": signed(n)}))`
        Sums, exact.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, depth: int, *, fused: bool = True, cells: bool = True) -> None:
        check_dimension("Depth", depth)
        self.depth = depth
        self.fused = check_flag("Fused", fused)
        self.cells = check_flag("Cells", cells)
        self.width = signed_width(128 * depth)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": signed(8), "w": signed(2), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = self.i.p, self.o
        advance = Signal()
        m.d.comb += [advance.eq(~o.valid | o.ready), self.i.ready.eq(advance)]
        operand, take, negative, last = Signal(8, reset_less=True), Signal(), Signal(), Signal()
        acc = Signal(self.width)
        with m.If(advance):
            m.d.sync += [operand.eq(i.a if self.fused else Mux(i.w[0], i.a, 0)[:8] ^ i.w[1].replicate(8)), o.valid.eq(last)]
        with m.If(advance & ~self.i.valid):
            m.d.sync += Cat(take, negative, last).eq(0)
        with m.Elif(advance):
            m.d.sync += Cat(take, negative, last).eq(Cat(i.w, i.last))
        after = self._after(m, acc, operand, take, negative)
        with m.If(advance & last):
            m.d.sync += [acc.eq(0), o.p.sum.eq(after)]
        with m.Elif(advance if self.fused else advance & take):
            m.d.sync += acc.eq(after)
        return m

    def _after(self, m: Module, acc: Value, operand: Value, take: Value, negative: Value) -> Value:
        if self.fused:
            return added(m, acc, operand, take, negative, "sum", cells=self.cells)
        return (Cat(1, acc) + Cat(negative, operand[:7], operand[7].replicate(self.width - 7)))[1:]
