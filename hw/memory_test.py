"""A test of a memory that needs nobody: for boards, and for what a controller costs when it is not alone."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from .memory_port import MemoryPort

__all__ = ["MemoryTest"]


class MemoryTest(wiring.Component):
    """Writes every word of a memory, reads every word, and says whether all were right; once, after reset.

    A word is its address, so that each row, bank and column is told from every other, its upper bits folded over its lower ones; the
    rest of a wide word is the complement. Bursts are as long as can be, and requests go ahead of the words.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them, at least 16 bits of data.

    Members
    -------
    memory : ``Out(MemoryPort(address_bits, length_bits, data_bits))``
    done, failed : ``Out(1)``
        All words have been read; one was wrong, or had an error, or a burst written had.
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int) -> None:
        signature = MemoryPort(address_bits, length_bits, data_bits)
        if data_bits < 16 or address_bits > 2 * data_bits or length_bits >= address_bits:
            raise ValueError(f"Test of a memory must have words of at least 16 bits and bursts shorter than the memory, not {signature!r}")
        self.address_bits = address_bits
        self.length_bits = length_bits
        self.data_bits = data_bits
        super().__init__({"memory": Out(signature), "done": Out(1), "failed": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory, length = self.memory, (1 << self.length_bits) - 1
        bursts = self.address_bits - self.length_bits
        asked, written, ended, wanted, read = (Signal(bits + 1, name=name) for name, bits in (
            ("asked", bursts), ("written", self.address_bits), ("ended", bursts), ("wanted", bursts), ("read", self.address_bits)))
        wrong = Signal()
        for requests, count, may in ((memory.write_requests, asked, 1), (memory.read_requests, wanted, ended[-1])):
            m.d.comb += [requests.valid.eq(may & ~count[-1]), requests.payload.address.eq(count[:-1] << self.length_bits),
                         requests.payload.length.eq(length)]
            with m.If(requests.valid & requests.ready):
                m.d.sync += count.eq(count + 1)
        words = memory.write_data
        m.d.comb += [words.valid.eq(~written[-1]), words.payload.data.eq(self._word(written)),
                     words.payload.last.eq(written[:self.length_bits].all()), memory.write_done.ready.eq(1), memory.read_data.ready.eq(1)]
        with m.If(words.valid & words.ready):
            m.d.sync += written.eq(written + 1)
        with m.If(memory.write_done.valid):
            m.d.sync += ended.eq(ended + 1)
        # What came is compared a cycle later: the memory is far away.
        came, due, valid = Signal(self.data_bits), Signal(self.data_bits), Signal()
        m.d.sync += [valid.eq(memory.read_data.valid), came.eq(memory.read_data.payload.data), due.eq(self._word(read)),
                     wrong.eq(valid & (came != due)), self.done.eq(read[-1])]
        with m.If(memory.read_data.valid):
            m.d.sync += read.eq(read + 1)
        refused = (memory.read_data.valid & memory.read_data.payload.error) | (memory.write_done.valid & memory.write_done.payload.error)
        with m.If(wrong | refused):
            m.d.sync += self.failed.eq(1)
        return m

    def _word(self, count: Signal) -> Value:
        address = count[:-1]
        folded = address[:self.data_bits] ^ address[self.data_bits:]
        return Cat(folded, (~folded).replicate(self.data_bits))[:self.data_bits]
