"""Lane-by-lane reduction of vectors: the pooling unit."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..registers import ACC_BITS
from .engine import vector
from .stream import check_positive

__all__ = ["Reduce"]

_COUNT_BITS = 16


class Reduce(wiring.Component):
    """Maximum or sum of a run of vectors, lane by lane.

    A run begins with a vector marked ``first`` and ends with one marked ``last``, whose result is emitted one cycle
    later. One vector per cycle. A run of a single vector passes it on. Sums hold at most 65,536 vectors.

    Parameters
    ----------
    lanes : :class:`int`
        Numbers per vector.
    width : :class:`int`
        Bits of a number.
    acc_width : :class:`int`
        Bits of a result, which is of ``width + 16``.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes * signed(width), "maximum": 1, "first": 1, "last": 1, "hold": 1, "end": 1}))`
        Vectors; ``maximum`` selects the operation, ``hold`` and ``end`` are passed along.
    o : :py:`Out(stream.Signature({"acc": lanes * signed(acc_width), "hold": 1, "end": 1}))`
        Results.
    """

    def __init__(self, *, lanes: int, width: int = 8, acc_width: int = ACC_BITS) -> None:
        if not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"Lanes must be a positive integer, not {lanes!r}")
        self.lanes = lanes
        self.width = check_positive("Width", width)
        self.acc_width = check_positive("Width of results", acc_width, width + _COUNT_BITS)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": vector(lanes, width), "maximum": 1, "first": 1, "last": 1, "hold": 1, "end": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"acc": vector(lanes, acc_width), "hold": 1, "end": 1}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        m.d.comb += i.ready.eq(~o.valid | o.ready)
        with m.If(i.ready):
            m.d.sync += o.valid.eq(i.valid & i.p.last)
        for n in range(self.lanes):
            kept = Signal(signed(self.width + _COUNT_BITS), name=f"kept{n}", reset_less=True)
            keep = i.p.first | i.p.maximum & (i.p.a[n] > kept)
            with m.If(i.valid & i.ready):
                m.d.sync += kept.eq(Mux(keep, 0, kept) + Mux(i.p.maximum & ~keep, 0, i.p.a[n]))
            m.d.comb += o.p.acc[n].eq(kept)
        with m.If(i.valid & i.ready):
            m.d.sync += [o.p.hold.eq(i.p.hold), o.p.end.eq(i.p.end)]
        return m
