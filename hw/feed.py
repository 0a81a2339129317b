"""Between the memories and the engine: steps become vectors, weight words become a stream."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .engine import vector
from .loops import ADDRESS_BITS
from .stream import Queue, room_for

__all__ = ["Feeder", "WeightLoader"]

FLAGS = {"swap": 1, "first": 1, "last": 1, "hold": 1, "end": 1}


class Feeder(wiring.Component):
    """Reads the activation word of each step, or puts ``pad`` in its place.

    One step per cycle, ``latency + 1`` cycles of latency. A step is taken when there is room for its word, so nothing stalls between the
    memory and the queue of words. A step whose word does not exist raises ``fault`` in the next cycle.

    Parameters
    ----------
    lanes : :class:`int`
        Bytes per word.
    depth : :class:`int`
        Words in the memory, a power of two.
    latency : :class:`int`
        Cycles from the address to the memory's word.
    room : :class:`int`
        Words that can wait, ``latency + 2`` or more for one step per cycle.

    Members
    -------
    i : :py:`In(stream.Signature({"address": signed(20), "inside": 1, "swap": 1, "first": 1, "last": 1, "hold": 1, "end": 1}))`
        Steps; all after ``inside`` is passed along.
    o : :py:`Out(stream.Signature({"a": lanes * signed(8), "swap": 1, ...}))`
        Vectors.
    pad : :py:`In(signed(8))`
        What every lane holds outside the tensor.
    fault, fault_address : :py:`Out(1)`, :py:`Out(signed(20))`
        The step before was outside the memory, at this address.
    read_address, read_data
        The memory's read port, always enabled.
    """

    def __init__(self, *, lanes: int, depth: int, latency: int, room: int) -> None:
        self.lanes = lanes
        self.depth = depth
        self.latency = latency
        self.room = room
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"address": signed(ADDRESS_BITS), "inside": 1} | FLAGS))),
            "o": Out(stream.Signature(data.StructLayout({"a": vector(lanes)} | FLAGS))),
            "pad": In(signed(8)), "fault": Out(1), "fault_address": Out(signed(ADDRESS_BITS)),
            "read_address": Out(ceil_log2(depth)), "read_data": In(8 * lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self.o.p.shape(), depth=self.room)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        i, o = self.i, queue.i
        take = Signal()
        m.d.comb += [take.eq(i.valid & i.ready), i.ready.eq(room_for(m, self.room, self.o.valid & self.o.ready, take)),
                     self.read_address.eq(i.p.address)]
        m.d.sync += [self.fault.eq(take & i.p.inside & (i.p.address[ceil_log2(self.depth):] != 0)), self.fault_address.eq(i.p.address)]
        known = Signal(data.StructLayout({"outside": 1} | FLAGS))
        m.d.comb += [known.outside.eq(~i.p.inside)] + [known[name].eq(i.p[name]) for name in FLAGS]
        valid = Signal(self.latency)
        m.d.sync += valid.eq(Cat(take, valid))
        for _ in range(self.latency):
            later = Signal(known.shape(), reset_less=True)
            m.d.sync += later.eq(known)
            known = later
        m.d.comb += [o.valid.eq(valid[-1])] + [o.p[name].eq(known[name]) for name in FLAGS]
        for n in range(self.lanes):
            m.d.comb += o.p.a[n].eq(Mux(known.outside, self.pad, self.read_data[8 * n:8 * n + 8].as_signed()))
        return m


class WeightLoader(wiring.Component):
    """Reads weight words one after the other, from ``base`` to the end of the memory.

    One word per cycle. After a reset, ``start`` begins; the first word follows ``latency + 2`` cycles later. A word is read when there is
    room for it, so nothing stalls between the memory and the queue of words.

    Parameters
    ----------
    lanes : :class:`int`
        Bytes per word.
    depth : :class:`int`
        Words in the memory, a power of two.
    latency : :class:`int`
        Cycles from the address to the memory's word.
    room : :class:`int`
        Words that can wait, ``latency + 2`` or more for one word per cycle.

    Members
    -------
    start : :py:`In(1)`
    base : :py:`In(18)`
        Address of the first word.
    o : :py:`Out(stream.Signature({"b": lanes * signed(8)}))`
        Words.
    exhausted : :py:`Out(1)`
        The end of the memory was reached and the last word taken.
    read_address, read_data
        The memory's read port, always enabled.
    """

    def __init__(self, *, lanes: int, depth: int, latency: int, room: int) -> None:
        self.lanes = lanes
        self.depth = depth
        self.latency = latency
        self.room = room
        super().__init__({
            "start": In(1), "base": In(18),
            "o": Out(stream.Signature(data.StructLayout({"b": vector(lanes)}))),
            "exhausted": Out(1),
            "read_address": Out(ceil_log2(depth)), "read_data": In(8 * lanes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self.o.p.shape(), depth=self.room)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        address = Signal(19)
        active, read = Signal(), Signal()
        valid = Signal(self.latency)
        beyond = address[ceil_log2(self.depth):] != 0
        m.d.comb += [
            self.read_address.eq(address),
            read.eq(active & ~beyond & room_for(m, self.room, self.o.valid & self.o.ready, read)),
            self.exhausted.eq(active & beyond & (valid == 0) & ~self.o.valid),
            queue.i.valid.eq(valid[-1]), Cat(queue.i.p.b[n] for n in range(self.lanes)).eq(self.read_data),
        ]
        m.d.sync += valid.eq(Cat(read, valid))
        with m.If(self.start):
            m.d.sync += [active.eq(1), address.eq(self.base)]
        with m.Elif(read):
            m.d.sync += address.eq(address + 1)
        return m
