"""Two 8-bit products from one 18-bit multiplier."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FIELD", "PackedPair", "truncated_product"]

FIELD = 10
"""Distance in bits between the two weights inside the 18-bit operand: 18 - 8."""


def truncated_product(a: Value, b: Value, width: int) -> Value:
    """Low ``width`` bits of ``a * b``, in logic.

    Written as gates and not as ``*``: Yosys gives even a 2x2 multiplication a whole DSP block, and
    turns a sum of more than two terms into a compressor that is larger on four-input tables.
    """
    total: list[Value] = [a[k] & b[0] for k in range(width)]
    for row in range(1, width):
        carry: Value = Const(0, 1)
        for k in range(row, width):
            x, y = total[k], a[k - row] & b[row]
            total[k], carry = x ^ y ^ carry, (x & y) | (carry & (x ^ y))
    return Cat(*total)


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
        a_late = Signal(signed(8), reset_less=True)
        negative = Signal(reset_less=True)
        product = Signal(signed(26), reset_less=True)
        known = Signal(5, reset_less=True)
        valid = Signal(2)
        advance = ~self.o.valid | self.o.ready
        packed = Cat(w0[:7], Const(0, 3), w1).as_signed()
        rest = Signal(signed(5))
        low = Signal(signed(15))
        m.d.comb += [
            self.i.ready.eq(advance),
            rest.eq(product[FIELD:FIELD + 5] - known),
            low.eq(Cat(product[:FIELD], rest)),
        ]
        with m.If(advance):
            m.d.sync += [
                a.eq(self.i.p.a), w0.eq(self.i.p.w0), w1.eq(self.i.p.w1),
                product.eq(a * packed), known.eq(truncated_product(a, w1, 5)),
                a_late.eq(a), negative.eq(w0[7]),
                self.o.p.p0.eq(low - (Mux(negative, a_late, 0) << 7)),
                self.o.p.p1.eq((product >> FIELD) - rest),
                Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)),
            ]
        return m
