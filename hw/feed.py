"""Between the memories and the engine: steps become vectors, weight words become a stream."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .engine import vector
from .loops import ADDRESS_BITS
from .stream import Skid

__all__ = ["Feeder", "WeightLoader"]

FLAGS = {"swap": 1, "first": 1, "last": 1, "hold": 1, "end": 1}


class Feeder(wiring.Component):
    """Reads the activation word of each step, or puts ``pad`` in its place.

    One step per cycle, two cycles of latency; no combinational path from ``o.ready``. A step whose word does not exist is not taken and
    raises ``fault``.

    Parameters
    ----------
    lanes : :class:`int`
        Bytes per word.
    depth : :class:`int`
        Words in the memory, a power of two.

    Members
    -------
    i : :py:`In(stream.Signature({"address": signed(20), "inside": 1, "swap": 1, "first": 1, "last": 1, "hold": 1, "end": 1}))`
        Steps; all after ``inside`` is passed along.
    o : :py:`Out(stream.Signature({"a": lanes * signed(8), "swap": 1, ...}))`
        Vectors.
    pad : :py:`In(signed(8))`
        What every lane holds outside the tensor.
    fault : :py:`Out(1)`
        The step on offer is outside the memory.
    """

    def __init__(self, *, lanes: int, depth: int) -> None:
        self.lanes = lanes
        self.depth = depth
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"address": signed(ADDRESS_BITS), "inside": 1} | FLAGS))),
            "o": Out(stream.Signature(data.StructLayout({"a": vector(lanes)} | FLAGS))),
            "pad": In(signed(8)), "fault": Out(1),
            "read_address": Out(ceil_log2(depth)), "read_enable": Out(1), "read_data": In(8 * lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.output = output = Skid(self.o.p.shape())
        wiring.connect(m, output.o, wiring.flipped(self.o))
        i, o = self.i, output.i
        free = ~o.valid | o.ready
        take = i.valid & i.ready
        outside, flags = Signal(reset_less=True), Signal(data.StructLayout(FLAGS), reset_less=True)
        m.d.comb += [
            self.fault.eq(i.valid & i.p.inside & (i.p.address[ceil_log2(self.depth):] != 0)),
            i.ready.eq(free & ~self.fault),
            self.read_address.eq(i.p.address), self.read_enable.eq(take),
        ]
        with m.If(free):
            m.d.sync += o.valid.eq(take)
        with m.If(take):
            m.d.sync += [outside.eq(~i.p.inside)] + [flags[name].eq(i.p[name]) for name in FLAGS]
        m.d.comb += [o.p[name].eq(flags[name]) for name in FLAGS]
        for n in range(self.lanes):
            m.d.comb += o.p.a[n].eq(Mux(outside, self.pad, self.read_data[8 * n:8 * n + 8].as_signed()))
        return m


class WeightLoader(wiring.Component):
    """Reads weight words one after the other, from ``base`` to the end of the memory.

    One word per cycle; no combinational path from ``o.ready``. ``start`` begins anew; the first word follows three cycles later.

    Parameters
    ----------
    lanes : :class:`int`
        Bytes per word.
    depth : :class:`int`
        Words in the memory, a power of two.

    Members
    -------
    start : :py:`In(1)`
    base : :py:`In(18)`
        Address of the first word.
    o : :py:`Out(stream.Signature({"b": lanes * signed(8)}))`
        Words.
    exhausted : :py:`Out(1)`
        The end of the memory was reached and the last word taken.
    """

    def __init__(self, *, lanes: int, depth: int) -> None:
        self.lanes = lanes
        self.depth = depth
        super().__init__({
            "start": In(1), "base": In(18),
            "o": Out(stream.Signature(data.StructLayout({"b": vector(lanes)}))),
            "exhausted": Out(1),
            "read_address": Out(ceil_log2(depth)), "read_enable": Out(1), "read_data": In(8 * lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.output = output = ResetInserter(self.start)(Skid(self.o.p.shape()))
        wiring.connect(m, output.o, wiring.flipped(self.o))
        o = output.i
        address = Signal(19)
        active = Signal()
        beyond = address[ceil_log2(self.depth):] != 0
        m.d.comb += [
            self.read_address.eq(address),
            self.read_enable.eq(active & ~beyond & (~o.valid | o.ready)),
            self.exhausted.eq(active & beyond & ~o.valid & ~self.o.valid),
            Cat(o.p.b[n] for n in range(self.lanes)).eq(self.read_data),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(1), address.eq(self.base), o.valid.eq(0)]
        with m.Elif(self.read_enable):
            m.d.sync += [address.eq(address + 1), o.valid.eq(1)]
        with m.Elif(o.ready):
            m.d.sync += o.valid.eq(0)
        return m
