"""Multiplier-accumulator whose accumulator is two words, added once at the end."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator

__all__ = ["MacCarrySave", "compress"]


def compress(x: Value, y: Value, z: Value, one: Value) -> tuple[Value, Value]:
    """Two words with the sum of three of the same width, and of a one."""
    return x ^ y ^ z, Cat(one, ((x & y) | (y & z) | (x & z))[:-1])


class MacCarrySave(wiring.Component):
    """Dot products of signed 8-bit numbers, one product per cycle: the bit-weight transformation OPT1.

    Same streams and sums as :class:`~.mac_lut.MacLut`. Latency from ``last`` is 5 cycles. A finished sum waits in registers of its own.

    As published ("Exploring the Performance Improvement of Tensor Processing Engines through Transformation in the Bit-weight Dimension
    of MACs", HPCA 2025): the accumulator is a sum and a carry word, a tree compresses them with the four partial products of a
    radix-4 Booth multiplier, six words to two, and the adder that carries is outside of that loop. Left open there, and chosen here:
    the partial products are registers; a negative one is the ones' complement of the shifted word, and the ones that complete the
    four go to the empty lowest bits of the four compressors' carries; the adder is the unit's own.

    Parameters
    ----------
    depth : :class:`int`
        Most transactions in a dot product.
    acc_width : :class:`int` or :data:`None`
        Accumulator bits, as in :class:`~.mac_lut.MacLut`.
    wraps : :class:`bool`
        Whether one too narrow for ``depth`` products is accepted, as there.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "b": signed(8), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, depth: int = 256, acc_width: int | None = None, wraps: bool = False) -> None:
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, 8, 8, depth, wraps)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": signed(8), "b": signed(8), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, done = Signal(), Signal()
        valid, first, last = Signal(2), Signal(2, reset_less=True), Signal(2, reset_less=True)
        a, b = Signal(signed(8), reset_less=True), Signal(signed(8), reset_less=True)
        total, carry = Signal(self.acc_width, reset_less=True), Signal(self.acc_width, reset_less=True)
        m.d.comb += [advance.eq(~(done & self.o.valid & ~self.o.ready)), self.i.ready.eq(advance)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), b.eq(self.i.p.b), valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)),
                         last.eq(Cat(self.i.p.last, last)), done.eq(valid[1] & last[1])]
        with m.If(advance & done):
            m.d.sync += [self.o.valid.eq(1), self.o.p.sum.eq(total + carry)]

        rows, ones = [], []
        digits = Cat(Const(0, 1), b)
        for n in range(4):
            low, middle, high = digits[2 * n:2 * n + 3]
            row, one = Signal(signed(9), name=f"row_{n}", reset_less=True), Signal(name=f"one_{n}", reset_less=True)
            with m.If(advance):
                with m.If((low == middle) & (middle == high)):      # zero: the registers' synchronous reset
                    m.d.sync += [row.eq(0), one.eq(0)]
                with m.Else():
                    m.d.sync += [row.eq(Mux(middle ^ low, Cat(a, a[7]), Cat(Const(0, 1), a)) ^ high.replicate(9)), one.eq(high)]
            rows.append(Cat(one.replicate(2 * n), row, row[8].replicate(self.acc_width))[:self.acc_width])
            ones.append(one)
        kept, carried = (word & ~first[1].replicate(self.acc_width) for word in (total, carry))
        three = compress(rows[0], rows[1], rows[2], ones[0])
        other = compress(rows[3], kept, carried, ones[1])
        four = compress(*three, other[0], ones[2])
        six = compress(*four, other[1], ones[3])
        with m.If(advance & valid[1]):
            m.d.sync += [total.eq(six[0]), carry.eq(six[1])]
        return m
