"""Output-stationary integer array."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator, check_dimension, check_operand, delayed
from .dsp_pair import FIELD, truncated_product, unpack_pair

__all__ = ["OutputStationary"]


class OutputStationary(wiring.Component):
    """Outer products accumulated in place: the product of two matrices, one step of the inner dimension per transaction.

    ``acc[r][c]`` is the sum of ``a[r] * b[c]`` over the transactions from the latest with ``first`` set through the one with
    ``last`` set, which emits it. One transaction per cycle without pause between dot products; latency from ``last`` is 3 cycles,
    4 when packed. A finished result waits in registers of its own, so the array stalls only when a second one is finished before
    the first is taken. Before the first ``first`` the sums are unspecified.

    Parameters
    ----------
    rows, columns : :class:`int`
        Shape of the result; columns even when packed.
    depth : :class:`int`
        Most transactions in a dot product. Decides the accumulators' width, unless that is given.
    acc_width : :class:`int` or :data:`None`
        Accumulator bits. :data:`None` takes what ``depth`` products of the most negative operands need, so that sums are exact.
    wraps : :class:`bool`
        Whether an accumulator is accepted that is too narrow for ``depth`` products. Sums are then exact modulo ``2 ** acc_width``, as
        signed numbers.
    packed : :class:`bool`
        Whether two columns share one 18-bit multiplier. Takes 8-bit operands.
    a_width, b_width : :class:`int`
        Operand bits, signed.

    Members
    -------
    i : :py:`In(stream.Signature({"a": rows * signed(a_width), "b": columns * signed(b_width), "first": 1, "last": 1}))`
        Columns of the left matrix and rows of the right one.
    o : :py:`Out(stream.Signature({"acc": rows * (columns * signed(acc_width))}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, rows: int, columns: int, packed: bool = False, *, a_width: int = 8, b_width: int = 8,
                 depth: int = 1024, acc_width: int | None = None, wraps: bool = False) -> None:
        for name, value in (("Rows", rows), ("Columns", columns), ("Depth", depth)):
            check_dimension(name, value)
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if packed and (a_width, b_width) != (8, 8):
            raise ValueError(f"Packed operands must be 8 by 8 bits, not {a_width} by {b_width}")
        if packed and columns % 2:
            raise ValueError(f"Columns must be even when packed, not {columns!r}")
        self.rows = rows
        self.columns = columns
        self.packed = packed
        self.a_width = a_width
        self.b_width = b_width
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, a_width, b_width, depth, wraps, product=False)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(signed(a_width), rows), "b": data.ArrayLayout(signed(b_width), columns),
                "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({
                "acc": data.ArrayLayout(data.ArrayLayout(signed(self.acc_width), columns), rows)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, starts, ends, adds = Signal(), Signal(), Signal(), Signal()
        stages = 3 if self.packed else 2
        valid, first, last = (Signal(stages, name=name) for name in ("valid", "first", "last"))
        m.d.comb += [
            self.i.ready.eq(advance),
            adds.eq(valid[-1]),
            ends.eq(valid[-1] & last[-1]),
            # The accumulator is cleared in the cycle before the first product, by the flip-flops' own reset: no logic per bit.
            starts.eq(valid[-2] & first[-2]),
            advance.eq(~ends | ~self.o.valid | self.o.ready),           # not as its complement: a DSP has no inverted enable
        ]
        products = self._products(m, advance)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)),
                         last.eq(Cat(self.i.p.last, last))]
        with m.If(advance & ends):
            m.d.sync += self.o.valid.eq(1)
        for r in range(self.rows):
            for c in range(self.columns):
                acc = Signal(signed(self.acc_width), name=f"acc_{r}_{c}", reset_less=True)
                total = Signal(signed(self.acc_width), name=f"total_{r}_{c}")
                m.d.comb += total.eq(acc + products[r][c])
                with m.If(advance & starts):
                    m.d.sync += acc.eq(0)
                with m.Elif(advance & adds):
                    m.d.sync += acc.eq(total)
                with m.If(advance & ends):
                    m.d.sync += self.o.p.acc[r][c].eq(total)
        return m

    def _products(self, m: Module, advance: Value) -> list[list[Value]]:
        a = [delayed(m, advance, self.i.p.a[r], 1, f"a_{r}") for r in range(self.rows)]
        b = [delayed(m, advance, self.i.p.b[c], 1, f"b_{c}") for c in range(self.columns)]
        if not self.packed:
            return [[delayed(m, advance, a[r] * b[c], 1, f"product_{r}_{c}") for c in range(self.columns)]
                    for r in range(self.rows)]
        return [[p for c in range(0, self.columns, 2) for p in self._pair(m, advance, a[r], b[c], b[c + 1], f"{r}_{c}")]
                for r in range(self.rows)]

    @staticmethod
    def _pair(m: Module, advance: Value, a: Value, w0: Value, w1: Value, name: str) -> tuple[Value, Value]:
        """What :class:`PackedPair` does, in this array's pipeline."""
        packed = Cat(w0[:7], Const(0, FIELD - 7), w1).as_signed()
        product = delayed(m, advance, (a * packed)[:FIELD + 16], 1, f"product_{name}")
        known = delayed(m, advance, truncated_product(m, a, w1, 5), 1, f"known_{name}")
        excess = Signal(signed(8), name=f"excess_{name}", reset_less=True)
        with m.If(advance):
            m.d.sync += excess.eq(0)
            with m.If(w0[7]):
                m.d.sync += excess.eq(a)
        low, high = unpack_pair(m, product, known)
        low = Cat(low[:7], low[7:].as_signed() - excess).as_signed()
        return (delayed(m, advance, low[:16].as_signed(), 1, f"low_{name}"),
                delayed(m, advance, high, 1, f"high_{name}"))
