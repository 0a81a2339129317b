"""What an SDRAM controller remembers of the chip's banks."""
from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value

from .sdram_timing import Cycles, Geometry

__all__ = ["Banks"]


class Banks:
    """What is open, and since when: of the bank at ``look``, and of all."""

    def __init__(self, m: Module, geometry: Geometry, cycles: Cycles) -> None:
        self.m = m
        self.cycles = cycles
        count = 1 << geometry.bank_bits
        self.ras = max(cycles.ras, cycles.rc - cycles.rp)               # so that rc holds by itself
        self.open = [Signal(name=f"open{n}") for n in range(count)]
        self.rows = [Signal(geometry.row_bits, name=f"row{n}", reset_less=True) for n in range(count)]
        self.settle = [Signal(range(max(cycles.rcd, cycles.rp)), name=f"settle{n}") for n in range(count)]
        self.keep = [Signal(range(max(self.ras, cycles.wr)), name=f"keep{n}") for n in range(count)]
        self.apart = Signal(range(max(2, cycles.rrd)))
        self.look = Signal(geometry.bank_bits)
        self.opened, self.row = Array(self.open)[self.look], Array(self.rows)[self.look]
        self.settled = Array([timer == 0 for timer in self.settle])[self.look]
        self.may_close = Array([timer == 0 for timer in self.keep])[self.look]
        self.may_open = self.settled & (self.apart == 0)
        self.all_may_close = Cat(timer == 0 for timer in self.keep).all()

    def follow(self, *, close: Value, open_: Value, row: Value, write: Value, written: Value) -> None:
        """Keep the account of the commands given in this cycle."""
        m, times = self.m, self.cycles
        m.d.sync += self.apart.eq(Mux(open_, times.rrd - 1, Mux(self.apart == 0, 0, self.apart - 1)))
        for n, (is_open, held, settle, keep) in enumerate(zip(self.open, self.rows, self.settle, self.keep, strict=True)):
            here = self.look == n
            m.d.sync += [settle.eq(Mux(settle == 0, 0, settle - 1)), keep.eq(Mux(keep == 0, 0, keep - 1))]
            with m.If(here & close):
                m.d.sync += [is_open.eq(0), settle.eq(times.rp - 1)]
            with m.If(here & open_):
                m.d.sync += [is_open.eq(1), held.eq(row), settle.eq(times.rcd - 1), keep.eq(self.ras - 1)]
            with m.If(write & (written == n) & (keep < times.wr)):
                m.d.sync += keep.eq(times.wr - 1)

    def all_closed(self) -> list:
        """Statements that forget what is open."""
        return [is_open.eq(0) for is_open in self.open]
