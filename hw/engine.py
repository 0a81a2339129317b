"""The accelerator's compute slot, filled by the integer array."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..registers import ACC_BITS
from .stream import Queue, check_positive, room_for

__all__ = ["Accumulate", "vector"]


def vector(lanes: int, width: int = 8) -> data.ArrayLayout:
    """``lanes`` signed numbers."""
    return data.ArrayLayout(signed(width), lanes)


class Accumulate(wiring.Component):
    """Adds successive passes of partial sums, slot by slot.

    A pass is a run of vectors beginning with one marked ``swap``; the n-th vector of a pass belongs to slot n.
    Vectors marked ``first`` set their slot, others add to it, and vectors marked ``last`` are emitted.
    One vector per cycle; the pass after one of up to four vectors begins when nothing is on the way. Five cycles from
    input to output. Nothing stalls on the way: a vector marked ``last`` enters when there is room for its result in a queue, so that no
    signal has to reach every register. Sums wrap at ``acc_width`` bits; that they cannot is the compiler's proof.

    Parameters
    ----------
    lanes : :class:`int`
        Sums per vector.
    width : :class:`int`
        Bits of a partial sum.
    slots : :class:`int`
        Depth, a power of two.
    room : :class:`int`
        Finished vectors that can wait, 7 or more for one per cycle.
    acc_width : :class:`int`
        Bits of a sum.

    Members
    -------
    i : :py:`In(stream.Signature({"sum": lanes * signed(width), "swap": 1, "first": 1, "last": 1, "end": 1}))`
        Partial sums. ``end`` is passed along.
    o : :py:`Out(stream.Signature({"acc": lanes * signed(acc_width), "end": 1}))`
        Finished sums.
    overflow : :py:`Out(1)`
        High when a vector beyond the last slot is offered, which is then not taken.
    """

    def __init__(self, *, lanes: int, width: int, slots: int, room: int, acc_width: int = ACC_BITS) -> None:
        if not isinstance(slots, int) or slots < 2 or slots & (slots - 1):
            raise ValueError(f"Slots must be a power of two from 2, not {slots!r}")
        self.lanes = lanes
        self.width = width
        self.slots = slots
        self.room = check_positive("Room", room)
        self.acc_width = check_positive("Width of sums", acc_width, width)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "sum": vector(lanes, width), "swap": 1, "first": 1, "last": 1, "end": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"acc": vector(lanes, acc_width), "end": 1}))),
            "overflow": Out(1),
        })
        self.queue = Queue(self.o.p.shape(), depth=self.room)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, bits = self.i, ceil_log2(self.slots)
        m.submodules.queue = queue = self.queue
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        o = queue.i
        m.submodules.memory = memory = Memory(shape=unsigned(self.acc_width * self.lanes), depth=self.slots, init=[])
        read, write = memory.read_port(), memory.write_port()

        # The slot of the vector on offer; one bit more than an address, to see the end.
        count, slot = Signal(bits + 1), Signal(bits + 1)
        m.d.comb += [slot.eq(Mux(i.p.swap, 0, count)), self.overflow.eq(i.valid & slot[-1])]

        # Stage a holds the sum while the memory's word comes out, r both, b again both, the word being zero for the first pass,
        # and stage c what is written or emitted.
        a, r, b = (Signal(i.p.shape(), name=stage, reset_less=True) for stage in "arb")
        a_valid, r_valid, b_valid, c_valid = (Signal(name=f"{stage}_valid") for stage in "arbc")
        a_slot, r_slot, b_slot, c_slot = (Signal(bits, name=f"{stage}_slot", reset_less=True) for stage in "arbc")
        word = Signal(len(read.data), reset_less=True)
        c_last = Signal(reset_less=True)
        take, promise, short = Signal(), Signal(), Signal()
        # Slots come in order, so only after a pass shorter than the pipeline can the next one's meet their own sums on the way.
        hazard = i.p.swap & ~i.p.first & short & (a_valid | r_valid | b_valid | c_valid)
        m.d.comb += [
            i.ready.eq(room_for(m, self.room, self.o.valid & self.o.ready, promise) & ~hazard & ~slot[-1]),
            take.eq(i.valid & i.ready), promise.eq(take & i.p.last),
            read.addr.eq(slot),
            o.valid.eq(c_valid & c_last),
            write.addr.eq(c_slot), write.en.eq(c_valid),
        ]
        with m.If(take):
            m.d.sync += [count.eq(slot + 1), short.eq(slot < 4)]
        acc, end = Signal(vector(self.lanes, self.acc_width), reset_less=True), Signal(reset_less=True)
        m.d.sync += [a.eq(i.p), a_slot.eq(slot), a_valid.eq(take),
                     r_valid.eq(a_valid), r.eq(a), r_slot.eq(a_slot), word.eq(read.data),
                     b_valid.eq(r_valid), b.eq(r), b_slot.eq(r_slot),
                     c_valid.eq(b_valid), c_slot.eq(b_slot), c_last.eq(b.last), end.eq(b.end)]
        m.d.comb += [o.p.acc.eq(acc), o.p.end.eq(end)]
        width = self.acc_width
        for n in range(self.lanes):
            before = Signal(signed(width), name=f"before{n}", reset_less=True)
            m.d.sync += [before.eq(Mux(r.first, 0, word[width * n:width * (n + 1)].as_signed())),
                         acc[n].eq(before + b.sum[n])]
        m.d.comb += write.data.eq(Cat(acc[n] for n in range(self.lanes)))
        return m
