"""Cost of ternary dot products without tables as they are first written: what synthesis makes of them, beside the catalogue's.

    python bench/ternary_naive.py [--seeds N]

``select`` adds up one of ``a``, ``-a`` and zero for each lane, ``product`` adds up ``a * w``. Operands and sum are registered, and nothing
between, with the handshake of :class:`~mantissa.hw.ternary_dot.TernaryDot`.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mantissa.fpga.cost import cost
from mantissa.hw.array_widths import signed_width
from mantissa.hw.designs_ternary import ternary_dot


LANES = 8


class NaiveDot(wiring.Component):
    """Sum of ``a * w`` over the lanes, left to synthesis."""
    i: stream.Interface
    o: stream.Interface

    def __init__(self, lanes: int, select: bool) -> None:
        self.lanes, self.select = lanes, select
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(signed(8), lanes), "w": data.ArrayLayout(signed(2), lanes)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(signed_width(128 * lanes))}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, valid, held = Signal(), Signal(), Signal.like(self.i.p, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        terms = [Mux(w[0], Mux(w[1], -a, a), 0) if self.select else a * w
                 for a, w in ((held.a[n], held.w[n]) for n in range(self.lanes))]
        while len(terms) > 1:
            terms = [sum(terms[n + 1:n + 2], terms[n]) for n in range(0, len(terms), 2)]
        with m.If(advance):
            m.d.sync += [held.eq(self.i.p), Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)), self.o.p.sum.eq(terms[0])]
        return m


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(argv)
    like = ternary_dot(LANES, fused=False)
    designs = [replace(like, name=f"naive_{kind}_x{LANES}", component=partial(NaiveDot, LANES, kind == "select"))
               for kind in ("select", "product")]
    print("| design | LUT-eq | FF | MHz | MAC/cycle | LUT-eq per MAC/cycle |\n| --- | --: | --: | --: | --: | --: |")
    for row in cost([*designs, like], pnr=chosen.seeds > 0, seeds=max(chosen.seeds, 1), jobs=1):
        mhz = f"{row.fmax:.0f}" if row.fmax else "-"
        print(f"| `{row.name}` | {row.luteq} | {row.ff} | {mhz} | {LANES} | {row.luteq / LANES:.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
