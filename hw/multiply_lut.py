"""Signed multiplier in look-up tables."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_operand
from .carry import Chain
from .multiply_rows import check_groups, default_groups, group, registered, split, total

__all__ = ["MultiplyLut"]


class MultiplyLut(wiring.Component):
    """Exact signed product, without a DSP.

    Every value is legal. One product per cycle, two cycles of latency, three with several groups; one global stall.

    The sum of Baugh and Wooley (1973), in which no partial product is negative, so that no adder leaves a carry and all adders of a group
    share one carry chain; the partial products' gates are inside the adders' cells. The arrangement is ours: rows one after another in
    groups, as a row added to a sum takes one half of a carry cell less than a row added to a row, and groups side by side for speed.

    Parameters
    ----------
    a_width, b_width : :class:`int`
        Bits of the factors, 2 to 16.
    groups : :class:`int` or :data:`None`
        Groups of the rows, one for each bit of ``b``; by default of about four.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(a_width), "b": signed(b_width)}))`
        Factors.
    o : :py:`Out(stream.Signature({"p": signed(a_width + b_width)}))`
        ``a * b``.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, a_width: int, b_width: int, *, groups: int | None = None, cells: bool = True) -> None:
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if groups is not None:
            check_groups(groups, b_width)
        self.a_width = a_width
        self.b_width = b_width
        self.groups = default_groups(b_width) if groups is None else groups
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": signed(a_width), "b": signed(b_width)}))),
            "o": Out(stream.Signature(data.StructLayout({"p": signed(a_width + b_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(self.a_width, reset_less=True), Signal(self.b_width, reset_less=True)
        valid = Signal(1 + (self.groups > 1))
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        rows = split(self.b_width, self.groups)
        chains = [Chain(m, f"group_{n}", cells=self.cells) for n in range(self.groups)]
        sums = [group(chain, list(a), list(b), part, flip=self.groups == 1) for chain, part in zip(chains, rows, strict=True)]
        if self.groups > 1:
            sums = registered(m, advance, sums, "sums")
        product = total(chains[-1], [(part[0], found) for part, found in zip(rows, sums, strict=True)], flip=True)
        for chain in chains:
            chain.close()
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), b.eq(self.i.p.b), self.o.p.p.eq(Cat(term.value for term in product)),
                         Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid))]
        return m
