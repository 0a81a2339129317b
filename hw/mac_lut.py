"""Signed multiplier-accumulator in look-up tables."""
from __future__ import annotations

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator, check_operand
from .carry import Chain, inverted
from .intake import accumulate, intake
from .multiply_rows import default_groups, check_groups, group, registered, split, total

__all__ = ["MacLut"]


class MacLut(wiring.Component):
    """Dot products of signed numbers, one product per cycle, without a DSP.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it. No pause between dot products. The accumulator is the output register: a finished sum that is not taken stops the unit,
    and one that is takes no cycle. Latency from ``last`` is 3 cycles. Before the first
    ``first`` the sum is unspecified.

    The multiplier is :class:`~.multiply_lut.MultiplyLut`'s. What it leaves to be added, the sign, and clearing at ``first`` are inside
    the accumulator's cells, so that the accumulator costs its bits.

    Parameters
    ----------
    a_width, b_width : :class:`int`
        Operand bits, 2 to 16. Fewer bits on ``b`` are cheaper than on ``a``.
    depth : :class:`int`
        Most transactions in a dot product. Decides the accumulator's width, unless that is given.
    acc_width : :class:`int` or :data:`None`
        Accumulator bits, at least those of a product. :data:`None` takes what ``depth`` products of the most negative operands need,
        so that sums are exact.
    wraps : :class:`bool`
        Whether an accumulator is accepted that is too narrow for ``depth`` products. Sums are then exact modulo ``2 ** acc_width``, as
        signed numbers.
    groups : :class:`int` or :data:`None`
        Groups of the multiplier's rows, added after a register, in the cycle of the accumulation; by default of about four rows.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(a_width), "b": signed(b_width), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, a_width: int, b_width: int, *, depth: int = 256, acc_width: int | None = None, wraps: bool = False,
                 groups: int | None = None, cells: bool = True) -> None:
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if groups is not None:
            check_groups(groups, b_width)
        self.a_width = a_width
        self.b_width = b_width
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, a_width, b_width, depth, wraps)
        self.groups = default_groups(b_width) if groups is None else groups
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(a_width), "b": signed(b_width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        a, b = Signal(self.a_width, reset_less=True), Signal(self.b_width, reset_less=True)
        begin = intake(m, advance, self.i, self.o, [(b, self.i.p.b)], stages=2)
        with m.If(advance):
            m.d.sync += a.eq(self.i.p.a)
        rows = split(self.b_width, self.groups)
        chains = [Chain(m, f"group_{n}", cells=self.cells, tied=True) for n in range(self.groups)]
        sums = registered(m, advance, [group(chain, list(a), list(b), part) for chain, part in zip(chains, rows, strict=True)], "sums")
        # An accumulator of its own chain takes a cell more, and is not timed from the groups' adders through carries that are zero.
        if self.groups > 1:
            chains.append(Chain(m, "sum", cells=self.cells, tied=True))
        product = total(chains[-1], [(part[0], found) for part, found in zip(rows, sums, strict=True)])
        *low, top = product
        sign = [inverted(*top.signals)] * (self.acc_width - len(low))
        accumulate(m, advance, self.o, begin, chains, [*low, *sign])
        return m
