"""Output-stationary integer array in whole ECP5 DSP slices."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator, check_dimension, check_operand
from .dsp_slice import DotSlice

__all__ = ["SliceStationary"]


class SliceStationary(wiring.Component):
    """:class:`~.array_output.OutputStationary` with the accumulators' adders in the DSP slices.

    Same streams, same results. A slice takes two steps of the inner dimension at once, for two columns in turn, so the array keeps its one
    transaction per cycle with as many multipliers as products, and hardly any logic. Transactions are taken in pairs, each in two
    cycles: a dot product of odd length takes one cycle more, and after a pause the first transaction may wait one cycle. Latency from
    ``last`` is 6 or 7 cycles. A finished result waits in registers of its own, as there.

    Parameters
    ----------
    rows, columns : :class:`int`
        Shape of the result; columns even.
    cells : :class:`bool`
        Whether to instantiate the ECP5's cells, or their description.
    depth, acc_width, wraps, a_width, b_width
        As there; accumulators have at most 54 bits.

    Members
    -------
    i : :py:`In(stream.Signature({"a": rows * signed(a_width), "b": columns * signed(b_width), "first": 1, "last": 1}))`
        Columns of the left matrix and rows of the right one.
    o : :py:`Out(stream.Signature({"acc": rows * (columns * signed(acc_width))}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, rows: int, columns: int, *, cells: bool = True, a_width: int = 8, b_width: int = 8,
                 depth: int = 1024, acc_width: int | None = None, wraps: bool = False) -> None:
        for name, value in (("Rows", rows), ("Columns", columns), ("Depth", depth)):
            check_dimension(name, value)
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if columns % 2:
            raise ValueError(f"Columns must be even in slices, not {columns!r}")
        self.rows = rows
        self.columns = columns
        self.cells = cells
        self.a_width = a_width
        self.b_width = b_width
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, a_width, b_width, depth, wraps, product=False)
        if self.acc_width > 54:
            raise ValueError(f"Accumulator width must be at most 54 in slices, not {self.acc_width}")
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(signed(a_width), rows), "b": data.ArrayLayout(signed(b_width), columns),
                "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({
                "acc": data.ArrayLayout(data.ArrayLayout(signed(self.acc_width), columns), rows)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = self.columns // 2
        advance, phase = Signal(), Signal()
        pair, first, last = self._pairs(m, advance, phase)
        # One flag per stage from the operands' registers on: operands, products, result.
        starts, ends, odd = Signal(2), Signal(3), Signal(3)
        done = ends[2]
        m.d.comb += advance.eq(~done | ~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance):
            m.d.sync += [phase.eq(~phase), starts.eq(Cat(first, starts)), ends.eq(Cat(last, ends)), odd.eq(Cat(phase, odd))]
        with m.If(advance & done & odd[2]):
            m.d.sync += self.o.valid.eq(1)
        (a0, b0), (a1, b1) = pair
        for c in range(half):
            # The column of this phase; its sum and the other's take turns in the slice.
            left, right = (Mux(phase, b[c + half], b[c]) for b in (b0, b1))
            for r in range(self.rows):
                dot = m.submodules[f"dot_{r}_{c}"] = DotSlice(cells=self.cells)
                m.d.comb += [dot.a0.eq(a0[r]), dot.b0.eq(left), dot.a1.eq(a1[r]), dot.b1.eq(right),
                             dot.clear.eq(starts[1]), dot.advance.eq(advance)]
                with m.If(advance & done & ~odd[2]):
                    m.d.sync += self.o.p.acc[r][c].eq(dot.r)
                with m.If(advance & done & odd[2]):
                    m.d.sync += self.o.p.acc[r][c + half].eq(dot.r)
        return m

    def _pairs(self, m: Module, advance: Value, phase: Value) -> tuple[tuple, Value, Value]:
        """Two transactions side by side for two phases; zeros where there is none, so that every sum then stays as it is."""
        held = Signal(self.i.p.shape(), reset_less=True)
        have = Signal()
        a0, a1 = (Signal(data.ArrayLayout(signed(self.a_width), self.rows), name=f"pair_a{k}", reset_less=True) for k in range(2))
        b0, b1 = (Signal(data.ArrayLayout(signed(self.b_width), self.columns), name=f"pair_b{k}", reset_less=True) for k in range(2))
        first, last = Signal(), Signal()
        alone, second, restart = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(advance & (~have | phase)),
            alone.eq(have & held.last),
            second.eq(have & ~held.last & self.i.valid),
            restart.eq(second & self.i.p.first),         # what is held belongs to a dot product that was given up
        ]
        with m.If(advance & (~have | (phase & alone))):
            m.d.sync += have.eq(self.i.valid)
        with m.Elif(advance & phase & second):
            m.d.sync += have.eq(0)
        with m.If(advance & (~have | (phase & alone))):
            m.d.sync += held.eq(self.i.p)
        with m.If(advance & phase):
            m.d.sync += [b0.eq(held.b), b1.eq(self.i.p.b), a0.eq(held.a), a1.eq(self.i.p.a)]
            m.d.sync += [first.eq((alone | second) & held.first | restart), last.eq(alone | second & self.i.p.last)]
            with m.If(~(alone | second) | restart):
                m.d.sync += a0.eq(0)
            with m.If(~second):
                m.d.sync += a1.eq(0)
        return ((a0, b0), (a1, b1)), first, last
