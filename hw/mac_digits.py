"""Multiplier-accumulators that take the digits of one factor one by one, and none that are zero."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator, check_dimension
from .carry import Chain, clear, plain
from .mac_carry_save import compress

__all__ = ["MacDigits", "recode"]


def recode(m: Module, a: Value) -> tuple[Value, Value, Value]:
    """Digits of a signed 8-bit number: which are there, which count twice, and which are negative, four bits each.

    Radix 4 on the magnitude: a digit of 3 or 4 becomes -1 or 0 and carries, so that digits are -1, 0, 1 and 2; the highest has no
    need to, as the magnitude is 128 at most. The number's sign then turns them all.
    """
    negative = a[7]
    magnitude, found = Signal(8), []
    m.d.comb += magnitude.eq((a ^ negative.replicate(8)) + negative)
    carry: Value = Const(0, 1)
    for n in range(4):
        low, high = magnitude[2 * n], magnitude[2 * n + 1]
        one, twice = low ^ carry, (high ^ low) & ~(low ^ carry) & (high ^ carry)
        found.append((one, twice, one & high))
        carry = high & (low | carry)
    there, twice, minus = (Cat(column) for column in zip(*((one | two, two, less) for one, two, less in found), strict=True))
    return there, twice, minus ^ negative.replicate(4)


class MacDigits(wiring.Component):
    """Dot products of signed 8-bit numbers, one digit of ``a`` per cycle: the bit-weight transformations OPT3 and OPT4C.

    ``sum[n]`` is that of ``a * b[n]`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which
    emits it. A transaction takes as many cycles as the digits of ``a`` that are not zero, one at least and four at most; 2.9 on
    average over all values. Latency from ``last`` is 4 to 7 cycles. A finished sum waits in registers of its own. Before the first
    ``first`` the sums are unspecified.

    As published ("Exploring the Performance Improvement of Tensor Processing Engines through Transformation in the Bit-weight Dimension
    of MACs", HPCA 2025): recoded digits, zeros skipped, one candidate of a factor chosen and shifted per cycle, and a three-to-two
    compressor with the accumulator's sum and carry. With one lane, each unit having its recoder, it is OPT3; with several, one
    recoder for a column, OPT4C. Left open there, and chosen here: the lowest digit goes first; every lane has the adder of its two
    words, as the multiplexer to share one is no smaller on four-input tables; columns are not synchronised with each other, there
    being one.

    Parameters
    ----------
    lanes : :class:`int`
        Numbers of ``b``.
    carry_save : :class:`bool`
        Whether the accumulators are two words, as published, or one with the adder in ECP5 carry cells.
    cells : :class:`bool`
        Whether to instantiate those cells, or their description.
    depth : :class:`int`
        Most transactions in a dot product.
    acc_width : :class:`int` or :data:`None`
        Accumulator bits, as in :class:`~.mac_lut.MacLut`.
    wraps : :class:`bool`
        Whether one too narrow for ``depth`` products is accepted, as there.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "b": lanes * signed(8), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": lanes * signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, lanes: int, *, carry_save: bool = True, cells: bool = True, depth: int = 256,
                 acc_width: int | None = None, wraps: bool = False) -> None:
        check_dimension("Lanes", lanes)
        self.lanes = lanes
        self.carry_save = carry_save
        self.cells = cells
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, 8, 8, depth, wraps)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(8), "b": data.ArrayLayout(signed(8), lanes), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": data.ArrayLayout(signed(self.acc_width), lanes)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, final, done = Signal(), Signal(), Signal()
        have, fresh = Signal(), Signal()
        there, twice, minus = (Signal(4, name=name, reset_less=True) for name in ("there", "twice", "minus"))
        b = Signal(data.ArrayLayout(signed(8), self.lanes), reset_less=True)
        flags = Signal(2, reset_less=True)
        left = Signal(4)
        m.d.comb += [
            left.eq(there & (there - 1)), final.eq(left == 0), self.i.ready.eq(advance & (~have | final)),
            advance.eq(~(done & self.o.valid & ~self.o.ready)),
        ]
        codes = recode(m, self.i.p.a)
        with m.If(advance):
            m.d.sync += [there.eq(left), fresh.eq(0)]
        with m.If(self.i.ready):
            m.d.sync += [have.eq(self.i.valid), fresh.eq(1), Cat(there, twice, minus).eq(Cat(codes)), b.eq(self.i.p.b),
                         flags.eq(Cat(self.i.p.first, self.i.p.last))]

        # The digit chosen, as the row of every lane.
        chosen = Signal(4)
        m.d.comb += chosen.eq(there & ~left)
        index = Signal(2, reset_less=True)
        negative = (minus & chosen).any()
        rows = [Signal(signed(9), name=f"row_{n}", reset_less=True) for n in range(self.lanes)]
        one, valid, first, last = Signal(reset_less=True), Signal(), Signal(reset_less=True), Signal(reset_less=True)
        with m.If(advance):
            m.d.sync += [index.eq(Cat(chosen[1] | chosen[3], chosen[2] | chosen[3])), valid.eq(have), first.eq(flags[0] & fresh),
                         last.eq(flags[1] & final), done.eq(valid & last)]
            with m.If(chosen == 0):
                m.d.sync += [one.eq(0), *(row.eq(0) for row in rows)]
            with m.Else():
                m.d.sync += one.eq(negative)
                m.d.sync += [row.eq(Mux((twice & chosen).any(), Cat(Const(0, 1), x), Cat(x, x[7])) ^ negative.replicate(9))
                             for row, x in zip(rows, b, strict=True)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance & done):
            m.d.sync += self.o.valid.eq(1)
        for n, row in enumerate(rows):
            self._accumulate(m, n, row, one, index, first, advance & valid, advance & done)
        return m

    def _accumulate(self, m: Module, n: int, row: Value, one: Value, index: Value, first: Value, adds: Value, ends: Value) -> None:
        """One lane's accumulator: what shifting a negative row leaves below it are ones, completed by one at the lowest bit."""
        width = self.acc_width
        by_four = Mux(index[0], Cat(one.replicate(2), row), Cat(row, row[8].replicate(2)))
        shifted = Signal(15, name=f"shifted_{n}")
        m.d.comb += shifted.eq(Mux(index[1], Cat(one.replicate(4), by_four), Cat(by_four, row[8].replicate(4))))
        total = Signal(width, name=f"total_{n}", reset_less=True)
        if not self.carry_save:
            chain = Chain(m, f"sum_{n}", cells=self.cells)
            added = [plain(bit) for bit in shifted] + [plain(shifted[14])] * (width - 15)
            after = chain.add([clear(bit, first) for bit in total], added, width, carry=one)
            chain.close()
            with m.If(adds):
                m.d.sync += total.eq(Cat(after))
            with m.If(ends):
                m.d.sync += self.o.p.sum[n].eq(total)
            return
        carry = Signal(width, name=f"carry_{n}", reset_less=True)
        kept, carried = (word & ~first.replicate(width) for word in (total, carry))
        words = compress(Cat(shifted, shifted[14].replicate(width - 15)), kept, carried, one)
        with m.If(adds):
            m.d.sync += [total.eq(words[0]), carry.eq(words[1])]
        with m.If(ends):
            m.d.sync += self.o.p.sum[n].eq(total + carry)
