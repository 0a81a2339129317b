"""Two 8-bit products from one 18-bit multiplier."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FIELD", "PackedPair", "truncated_product", "unpack_pair"]

FIELD = 10
"""Distance in bits between the two weights inside the 18-bit operand: 18 - 8."""


def truncated_product(m: Module, a: Value, b: Value, width: int) -> Signal:
    """Low ``width`` bits of ``a * b``, in logic.

    Written as gates and not as ``*``: Yosys gives even a 2x2 multiplication a whole DSP block, and
    turns a sum of more than two terms into a compressor that is larger on four-input tables.
    """
    total = Signal(width)
    m.d.comb += total.eq(a[:width] & b[0].replicate(width))
    for row in range(1, width):
        more = Signal(width - row)
        carry = Signal(width - row)
        result = Signal(width)
        m.d.comb += more.eq(a[:width - row] & b[row].replicate(width - row))
        x = total[row:]
        m.d.comb += [carry.eq(Cat(Const(0, 1), (x & more) | (carry & (x ^ more)))), result.eq(Cat(total[:row], x ^ more ^ carry))]
        total = result
    return total


def unpack_pair(m: Module, product: Value, known: Value) -> tuple[Value, Value]:
    """Both products out of ``a * (w1 * 2**FIELD + low)``, ``low`` having seven unsigned bits.

    Parameters
    ----------
    product
        26 bits.
    known
        Five low bits of ``a * w1``.

    Returns
    -------
    ``a * low``, 15 bits, and ``a * w1``, 16 bits.
    """
    middle, upper = product[FIELD:FIELD + 5], product[FIELD + 5:FIELD + 16]
    # What a * low has beyond FIELD bits is between -16 and 15: five bits, and the borrow they leave is known.
    rest = Signal(6)
    m.d.comb += rest.eq(Cat(middle, 0) - Cat(known, 0))
    negative, borrow = rest[4], rest[5]
    above = upper + (borrow & ~negative).replicate(11) + (negative & ~borrow)
    return Cat(product[:FIELD], rest[:5]), Cat(known, above[:11]).as_signed()


class PackedPair(wiring.Component):
    """Products of one 8-bit operand with two 8-bit weights, by one 18-bit multiplier.

    All operands are signed and every value is legal, -128 included. One pair per cycle, three
    cycles of latency, one global stall.

    The multiplier sees ``a * (w1 * 2**10 + low)`` with ``low`` the seven low bits of ``w0``, so no
    operand bit overlaps and nothing has to be added beforehand. The product's ten low bits are those of
    ``a * low``; its next five are those of ``a * w1`` plus the rest of ``a * low``, and subtracting the
    five low bits of ``a * w1`` (a product small enough for logic) tells the two apart. The sign bit of ``w0``
    is worth ``-128 * a``, subtracted afterwards.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "w0": signed(8), "w1": signed(8)}))`
        Shared operand and the two weights.
    o : :py:`Out(stream.Signature({"p0": signed(16), "p1": signed(16)}))`
        ``a * w0`` and ``a * w1``.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": signed(8), "w0": signed(8), "w1": signed(8)}))),
            "o": Out(stream.Signature(data.StructLayout({"p0": signed(16), "p1": signed(16)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, w0, w1 = (Signal(signed(8), name=name, reset_less=True) for name in ("a", "w0", "w1"))
        excess = Signal(signed(8), reset_less=True)
        product = Signal(signed(FIELD + 16), reset_less=True)
        known = Signal(5, reset_less=True)
        valid = Signal(2)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        low, high = unpack_pair(m, product, known)
        with m.If(advance):
            m.d.sync += [
                a.eq(self.i.p.a), w0.eq(self.i.p.w0), w1.eq(self.i.p.w1),
                product.eq(a * Cat(w0[:7], Const(0, FIELD - 7), w1).as_signed()),
                known.eq(truncated_product(m, a, w1, 5)),
                excess.eq(Mux(w0[7], a, 0)),
                self.o.p.p0.eq(Cat(low[:7], low[7:].as_signed() - excess)),
                self.o.p.p1.eq(high),
                Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)),
            ]
        return m
