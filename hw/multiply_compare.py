"""The multiplier of a sibling of XR-NPE that compares as well, as its published RTL has it: a reference, not a unit to be used."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CompareBlock", "CompareCell"]


def _product(a: Value, b: Value) -> Value:
    """Four bits, of two bits each."""
    both = a[1] & b[1]
    return Cat(a[0] & b[0], (a[1] & b[0]) ^ (a[0] & b[1]), both & ~(a[0] & b[0]), both & a[0] & b[0])


def _larger(a: Value, b: Value) -> Value:
    """The larger of both, of two bits each."""
    return Cat((a[0] & ~b[1]) | (~a[1] & b[0]) | (a[1] & a[0]) | (b[1] & b[0]), a[1] | b[1])


def _beyond(a: Value, b: Value) -> Value:
    """By how much ``b`` is larger than ``a``, or zero."""
    return Cat((~a[0] & ((~a[1] & b[0]) | (b[1] & b[0]))) | (a[0] & ~a[1] & b[1] & ~b[0]), ~a[1] & ((b[1] & b[0]) | (~a[0] & b[1])))


class CompareCell(wiring.Component):
    """Product and comparison of two numbers of two bits, combinational, one pair per cycle.

    ``product`` is ``a * b``, ``most`` the larger of both, ``above`` is ``max(0, b - a)`` and ``below`` ``max(0, a - b)``. Two registers,
    latency 2 cycles. The gates are those of the RMM2EC cell in the RTL of Bhasha-Rupantarika (arXiv 2510.10676), a sibling of XR-NPE
    (arXiv 2508.13049), whose own is not public. The registers are ours.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 2, "b": 2}))`
        Slices of significands, or of exponents.
    o : :py:`Out(stream.Signature({"product": 4, "most": 2, "above": 2, "below": 2}))`
        What the cell finds.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": unsigned(2), "b": unsigned(2)}))),
            "o": Out(stream.Signature(data.StructLayout({
                "product": unsigned(4), "most": unsigned(2), "above": unsigned(2), "below": unsigned(2)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, valid = Signal(), Signal()
        a, b = Signal(2, reset_less=True), Signal(2, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [
                valid.eq(self.i.valid), a.eq(self.i.p.a), b.eq(self.i.p.b), self.o.valid.eq(valid), self.o.p.product.eq(_product(a, b)),
                self.o.p.most.eq(_larger(a, b)), self.o.p.above.eq(_beyond(a, b)), self.o.p.below.eq(_beyond(b, a)),
            ]
        return m


class CompareBlock(wiring.Component):
    """Product, or comparison, of two numbers of four bits, chosen while it runs, one pair per cycle.

    ``result`` is ``a * b``, or, with ``compares``, the larger of both in its low half and their distance in its high half. Latency
    2 cycles.

    Four cells of two bits (:class:`CompareCell`), of which those of equal halves compare, and two adders of eight bits that both share, as
    in the published RTL: ``{high, low} + (mixed << 2) + (mixed << 2)``; where the high halves are equal, the low cell's comparison is the
    number's, and otherwise the adders find ``a - b`` and ``b - a``. Which of them is not negative is chosen by the high cell. That the
    result is one field for both, and the registers, are ours.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 4, "b": 4, "compares": 1}))`
        Significands, or exponents.
    o : :py:`Out(stream.Signature({"result": 8}))`
        What the block finds.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": unsigned(4), "b": unsigned(4), "compares": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"result": unsigned(8)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, valid = Signal(), Signal()
        a, b, compares = Signal(4, reset_less=True), Signal(4, reset_less=True), Signal(reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        high, low = (a[2:], b[2:]), (a[:2], b[:2])
        one, other = Signal(8), Signal(8)
        straight, crossed = Cat(_product(*low), _product(*high)), [_product(a[2:], b[:2]), _product(a[:2], b[2:])]
        m.d.comb += one.eq(Mux(compares, a, straight) + Mux(compares, ~b, crossed[0] << 2) + compares)
        m.d.comb += other.eq(Mux(compares, b, one) + Mux(compares, ~a, crossed[1] << 2) + compares)
        above, below = _beyond(*high), _beyond(*reversed(high))
        result = Signal(8)
        with m.If(~compares):
            m.d.comb += result.eq(other)
        with m.Elif(above.any()):
            m.d.comb += result.eq(Cat(b, other[:4]))
        with m.Elif(below.any()):
            m.d.comb += result.eq(Cat(a, one[:4]))
        with m.Else():
            m.d.comb += result.eq(Cat(_larger(*low), _larger(*high), _beyond(*low) | _beyond(*reversed(low)), Signal(2)))
        with m.If(advance):
            m.d.sync += [valid.eq(self.i.valid), a.eq(self.i.p.a), b.eq(self.i.p.b), compares.eq(self.i.p.compares),
                         self.o.valid.eq(valid), self.o.p.result.eq(result)]
        return m
