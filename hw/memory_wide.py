"""A memory's port with wider words."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory_port import MemoryPort

__all__ = ["Wider"]


class Wider(wiring.Component):
    """Words of ``wide`` bits on a memory with words of ``narrow`` bits, the lowest bits at the lowest address.

    A narrow word a cycle each way, bursts back to back; a wide word read is there a cycle after its last narrow word, and one to be
    written is taken with its last. A word read has ``error`` if its last part had, as
    a burst's errors stay. Requests pass through, their ready with them;
    ``write_data``'s ready depends on the memory's, ``memory.read_data``'s on the one who asks.

    Parameters
    ----------
    narrow, wide
        Bits, two of :data:`~mantissa.hw.memory_port.WIDTHS`, the first below the second.
    address_bits, length_bits
        Of the wide words.

    Members
    -------
    port : ``In(MemoryPort(address_bits, length_bits, wide))``
    memory : ``Out(MemoryPort(...))``
        Address and length have more bits by those of ``wide / narrow``.
    """

    def __init__(self, *, narrow: int, wide: int, address_bits: int, length_bits: int) -> None:
        port = MemoryPort(address_bits, length_bits, wide)
        if not isinstance(narrow, int) or narrow >= wide:
            raise ValueError(f"Narrow words must have fewer bits than wide ones' {wide}, not {narrow!r}")
        self.narrow = narrow
        self.wide = wide
        self.parts = wide // narrow
        self.shift = ceil_log2(self.parts)
        super().__init__({"port": In(port), "memory": Out(MemoryPort(address_bits + self.shift, length_bits + self.shift, narrow))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port, memory = self.port, self.memory
        for name in ("read_requests", "write_requests"):
            asked, passed = getattr(port, name), getattr(memory, name)
            m.d.comb += [passed.valid.eq(asked.valid), asked.ready.eq(passed.ready),
                         passed.payload.address.eq(asked.payload.address << self.shift),
                         passed.payload.length.eq((asked.payload.length << self.shift) | (self.parts - 1))]
        m.d.comb += [port.write_done.valid.eq(memory.write_done.valid), port.write_done.payload.eq(memory.write_done.payload),
                     memory.write_done.ready.eq(port.write_done.ready)]
        self._join(m)
        self._part(m)
        return m

    def _join(self, m: Module) -> None:
        """Narrow words read, to wide ones."""
        o, i = self.port.read_data, self.memory.read_data
        part = Signal(range(self.parts))
        free = ~o.valid | o.ready
        m.d.comb += i.ready.eq(free)
        with m.If(free):
            m.d.sync += o.valid.eq(i.valid & (part == self.parts - 1))
            with m.If(i.valid):
                m.d.sync += [part.eq(part + 1), o.payload.error.eq(i.payload.error), o.payload.last.eq(i.payload.last),
                             o.payload.data.eq((i.payload.data << (self.wide - self.narrow)) | (o.payload.data >> self.narrow))]

    def _part(self, m: Module) -> None:
        """Wide words to be written, to narrow ones."""
        i, o = self.port.write_data, self.memory.write_data
        part = Signal(range(self.parts))
        last = part == self.parts - 1
        m.d.comb += [o.valid.eq(i.valid), i.ready.eq(o.ready & last), o.payload.last.eq(i.payload.last & last),
                     o.payload.data.eq(i.payload.data.word_select(part, self.narrow))]
        with m.If(o.valid & o.ready):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
