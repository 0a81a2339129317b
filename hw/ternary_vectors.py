"""Vectors of a ternary accelerator: out of its vector memory, and back."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["ADDRESS_BITS", "PAIR", "Pad", "VectorRead", "VectorWrite"]

ADDRESS_BITS = 18
"""Of a word in an instruction."""

RUN_BITS = 16

PAIR = data.StructLayout({"a": signed(32), "b": signed(32), "last": 1})


class VectorRead(wiring.Component):
    """Words of a vector, and beside them, if wanted, those of another.

    A word a cycle, of two vectors one in two cycles; the first is there two cycles after ``start``. ``start`` abandons what was read.

    Parameters
    ----------
    depth : :class:`int`
        Words of the memory, a power of two.

    Members
    -------
    start, base, other, last, paired : ``In(1)``, ``In(18)``, ``In(18)``, ``In(18)``, ``In(1)``
        Read the vector at ``base``, of ``last + 1`` words; if ``paired``, that at ``other`` too. All stable until ``idle``.
    run, skip : ``In(16)``, ``In(18)``
        After ``run + 1`` words of each vector, ``skip`` are left out; both as they will be, from the cycle of ``start`` on.
    o : ``Out(stream.Signature({"a": signed(32), "b": signed(32), "last": 1}))``
        ``b`` is without meaning if not ``paired``.
    idle : ``Out(1)``
        All words were read, and taken but for the last.
    fault : ``Out(1)``
        A word beyond the memory was asked for.
    address, enable, data
        The memory's read port, a cycle of latency; data stay while not enabled.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__({
            "start": In(1), "base": In(ADDRESS_BITS), "other": In(ADDRESS_BITS), "last": In(ADDRESS_BITS), "paired": In(1),
            "run": In(RUN_BITS), "skip": In(ADDRESS_BITS),
            "o": Out(stream.Signature(PAIR)),
            "idle": Out(1), "fault": Out(1),
            "address": Out(ceil_log2(depth)), "enable": Out(1), "data": In(32),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        o, address, other = self.o, Signal(ADDRESS_BITS + 1), Signal(ADDRESS_BITS + 1)
        left, active, second, fresh, held = Signal(ADDRESS_BITS), Signal(), Signal(), Signal(), Signal(32, reset_less=True)
        advance, step = Signal(), Signal()
        at, count, jump = Signal(ADDRESS_BITS + 1), Signal(RUN_BITS), Signal(ADDRESS_BITS + 1)
        further = Mux(count.any(), 1, jump)
        m.d.sync += jump.eq(self.skip + 1)
        m.d.comb += [
            advance.eq(~o.valid | o.ready), step.eq(active & advance), at.eq(Mux(second, other, address)),
            self.address.eq(at), self.enable.eq(step), self.fault.eq(step & (at >= self.depth)), self.idle.eq(~active),
            o.p.a.eq(Mux(self.paired, held, self.data)), o.p.b.eq(self.data),
        ]
        m.d.sync += fresh.eq(step & self.paired & ~second)
        with m.If(fresh):
            m.d.sync += held.eq(self.data)
        with m.If(advance):
            m.d.sync += o.valid.eq(step & (second | ~self.paired))
        with m.If(step):
            m.d.sync += [second.eq(self.paired & ~second), o.p.last.eq(left == 0)]
            with m.If(second | ~self.paired):
                m.d.sync += [address.eq(address + further), other.eq(other + further), left.eq(left - 1), active.eq(left != 0),
                             count.eq(Mux(count.any(), count - 1, self.run))]
        with m.If(self.start):
            m.d.sync += [address.eq(self.base), other.eq(self.other), left.eq(self.last), active.eq(1), second.eq(0), count.eq(self.run),
                         o.valid.eq(0)]
        return m


class VectorWrite(wiring.Component):
    """Words into the vector memory, one after the other; a word a cycle, a cycle after it came.

    Members
    -------
    start, base : ``In(1)``, ``In(18)``
        Words that follow are written from ``base`` on.
    run, skip : ``In(16)``, ``In(18)``
        After ``run + 1`` words, ``skip`` are left out; both as they will be, from the cycle of ``start`` on.
    i : ``In(stream.Signature({"word": 32}))``
    fault : ``Out(1)``
        A word beyond the memory came; it is dropped.
    address, enable, data
        The memory's write port.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__({
            "start": In(1), "base": In(ADDRESS_BITS), "run": In(RUN_BITS), "skip": In(ADDRESS_BITS),
            "i": In(stream.Signature(data.StructLayout({"word": 32}))), "fault": Out(1),
            "address": Out(ceil_log2(depth)), "enable": Out(1), "data": Out(32),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address, count, jump = Signal(ADDRESS_BITS + 1), Signal(RUN_BITS), Signal(ADDRESS_BITS + 1)
        m.d.sync += jump.eq(self.skip + 1)
        valid, word, beyond = Signal(), Signal(32, reset_less=True), address >= self.depth
        m.d.sync += [valid.eq(self.i.valid), word.eq(self.i.p.word)]
        m.d.comb += [self.i.ready.eq(1), self.address.eq(address), self.data.eq(word), self.enable.eq(valid & ~beyond),
                     self.fault.eq(valid & beyond)]
        with m.If(valid):
            m.d.sync += [address.eq(address + Mux(count.any(), 1, jump)), count.eq(Mux(count.any(), count - 1, self.run))]
        with m.If(self.start):
            m.d.sync += [address.eq(self.base), count.eq(self.run)]
        return m


class Pad(wiring.Component):
    """Codes, and zeros behind the last one until ``count`` have passed.

    Members
    -------
    start, count : ``In(1)``, ``In(18)``
        ``count`` codes follow, one at least.
    i : ``In(stream.Signature({"code": signed(8), "last": 1}))``
        The codes of one vector, ``count`` at most.
    o : ``Out(stream.Signature({"code": signed(8)}))``
    """

    def __init__(self) -> None:
        super().__init__({
            "start": In(1), "count": In(ADDRESS_BITS),
            "i": In(stream.Signature(data.StructLayout({"code": signed(8), "last": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"code": signed(8)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left, over = Signal(ADDRESS_BITS), Signal()
        m.d.comb += [
            self.o.valid.eq((left != 0) & (over | self.i.valid)), self.o.p.code.eq(Mux(over, 0, self.i.p.code)),
            self.i.ready.eq((left != 0) & ~over & self.o.ready),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [left.eq(left - 1), over.eq(over | self.i.p.last)]
        with m.If(self.start):
            m.d.sync += [left.eq(self.count), over.eq(0)]
        return m
