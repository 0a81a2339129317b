"""Reads and writes of a memory in the order in which they are asked for."""
from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .memory_port import MemoryPort, answer_layout, done_layout, word_layout
from .stream import check_positive

__all__ = ["InOrder"]


class InOrder(wiring.Component):
    """One stream of requests for a memory: what is read is what was written before, and not what is written after.

    Reads follow reads, and writes writes, without waiting; a request of the other kind waits until all before it have been answered.
    No latency and no store; each ready depends on those behind it.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them.
    waiting
        Requests under way at most, 1 or more.

    Members
    -------
    i_requests : ``In(stream.Signature(StructLayout({"write": 1, "address": address_bits, "length": length_bits})))``
    i_write_data, o_read_data, o_write_done
        As the port's.
    memory : ``Out(MemoryPort(address_bits, length_bits, data_bits))``
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int, waiting: int = 4) -> None:
        signature = MemoryPort(address_bits, length_bits, data_bits)
        self.waiting = check_positive("Waiting requests", waiting)
        super().__init__({
            "i_requests": In(stream.Signature(data.StructLayout({"write": 1, "address": address_bits, "length": length_bits}))),
            "i_write_data": In(stream.Signature(word_layout(data_bits))), "o_read_data": Out(stream.Signature(answer_layout(data_bits))),
            "o_write_done": Out(stream.Signature(done_layout())), "memory": Out(signature),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory, i = self.memory, self.i_requests
        wiring.connect(m, wiring.flipped(self.i_write_data), wiring.flipped(memory.write_data))
        wiring.connect(m, wiring.flipped(memory.read_data), wiring.flipped(self.o_read_data))
        wiring.connect(m, wiring.flipped(memory.write_done), wiring.flipped(self.o_write_done))
        reads, writes = Signal(range(self.waiting + 1)), Signal(range(self.waiting + 1))
        read_end = self.o_read_data.valid & self.o_read_data.ready & self.o_read_data.p.last
        write_end = self.o_write_done.valid & self.o_write_done.ready
        for kind, requests, mine, others, end in ((0, memory.read_requests, reads, writes, read_end),
                                                  (1, memory.write_requests, writes, reads, write_end)):
            here = i.valid & (i.payload.write == kind) & (others == 0) & (mine != self.waiting)
            m.d.comb += [requests.valid.eq(here), requests.payload.address.eq(i.payload.address),
                         requests.payload.length.eq(i.payload.length)]
            with m.If(here):
                m.d.comb += i.ready.eq(requests.ready)
            m.d.sync += mine.eq(mine + (here & requests.ready) - end)
        return m
