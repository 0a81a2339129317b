"""Two multiplier-accumulators of 4-bit weights in one DSP."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator
from .carry import Chain, clear, plain

__all__ = ["MacPacked"]

FIELD = 12
"""Distance in bits between the two weights: their products with 8 bits."""


class MacPacked(wiring.Component):
    """Dot products of one signed 8-bit number with two signed 4-bit ones, by one 18-bit multiplier.

    ``sum[n]`` is that of ``a * b[n]`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which
    emits it. One transaction per cycle, without pause between dot products; latency from ``last`` is 3 cycles. The accumulators are
    the output registers: finished sums that are not taken stop the unit. Before the first ``first`` the sums are unspecified.

    The multiplier sees ``a * (b[1] * 2 ** 12 + b[0])``, added beforehand on the weights' few bits. A negative lower product borrows one
    from the upper, which its sign gives back as the carry into the upper accumulator. Packing products this way is common use; that
    the accumulator takes the borrow is ours.

    Parameters
    ----------
    depth : :class:`int`
        Most transactions in a dot product.
    acc_width : :class:`int` or :data:`None`
        Accumulator bits, as in :class:`~.mac_lut.MacLut`.
    wraps : :class:`bool`
        Whether one too narrow for ``depth`` products is accepted, as there.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells for the accumulators, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "b": 2 * signed(4), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": 2 * signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, depth: int = 256, acc_width: int | None = None, wraps: bool = False, cells: bool = True) -> None:
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, 8, 4, depth, wraps)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(8), "b": data.ArrayLayout(signed(4), 2), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": data.ArrayLayout(signed(self.acc_width), 2)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, adds = Signal(), Signal()
        valid, first, last = Signal(2), Signal(2, reset_less=True), Signal(2, reset_less=True)
        a, b = Signal(signed(8), reset_less=True), Signal(signed(FIELD + 5), reset_less=True)
        product = Signal(signed(2 * FIELD), reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[1]), self.i.ready.eq(advance)]
        low, high = self.i.p.b[0], self.i.p.b[1]
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), b.eq(Cat(low, low[3].replicate(FIELD - 4), (high - low[3])[:5])), product.eq(a * b),
                         valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last)),
                         self.o.valid.eq(valid[1] & last[1])]
        # A bit without operands between the two accumulators ends the carry of one and begins the other's.
        chain = Chain(m, "sum", cells=self.cells)
        for n, carry in enumerate((0, product[FIELD - 1])):
            acc = Signal(self.acc_width, name=f"acc_{n}", reset_less=True)
            part = list(product[n * FIELD:(n + 1) * FIELD])
            added = [plain(bit) for bit in part] + [plain(part[-1])] * (self.acc_width - FIELD)
            after = chain.add([clear(bit, first[1]) for bit in acc], added, self.acc_width + (not n), carry=carry)
            m.d.comb += self.o.p.sum[n].eq(acc)
            with m.If(adds):
                m.d.sync += acc.eq(Cat(after))
        chain.close()
        return m
