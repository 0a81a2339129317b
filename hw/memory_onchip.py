"""Block RAM behind the contract of an external memory."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from .memory_port import MemoryPort

__all__ = ["OnChip"]


class OnChip(wiring.Component):
    """Memory of ``2 ** address_bits`` words on the chip.

    A word read and a word written a cycle, bursts back to back; the first word is there two cycles after its request's transfer, and
    ``write_done`` one after the last word's. Never ``error``; addresses wrap. Nothing is read in a cycle that could find it being
    written by a burst that is done, so the memory's collision behaviour does not matter. The ready of ``read_requests`` depends on that
    of ``read_data``, those of ``write_requests`` and ``write_data`` on that of ``write_done``.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them.

    Members
    -------
    port : ``In(MemoryPort(address_bits, length_bits, data_bits))``
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int) -> None:
        signature = MemoryPort(address_bits, length_bits, data_bits)
        self.address_bits = address_bits
        self.length_bits = length_bits
        self.data_bits = data_bits
        super().__init__({"port": In(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.store = store = Memory(shape=unsigned(self.data_bits), depth=1 << self.address_bits, init=[])
        self._read(m, store)
        self._write(m, store)
        return m

    def _burst(self, m: Module, requests, step, name: str) -> tuple[Signal, Signal, Signal]:
        """(valid, address, last) of the word at hand, of bursts taken one after another; ``step`` goes on to the next."""
        valid = Signal(name=f"{name}_valid")
        address = Signal(self.address_bits, name=f"{name}_address", reset_less=True)
        left = Signal(self.length_bits, name=f"{name}_left", reset_less=True)
        last = Signal(name=f"{name}_last")
        m.d.comb += [last.eq(left == 0), requests.ready.eq(~valid | (step & last))]
        with m.If(requests.ready):
            m.d.sync += [valid.eq(requests.valid), Cat(left, address).eq(Cat(requests.payload.length, requests.payload.address))]
        with m.Elif(step):
            m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
        return valid, address, last

    def _read(self, m: Module, store: Memory) -> None:
        o, read = self.port.read_data, store.read_port(transparent_for=())
        free = ~o.valid | o.ready
        valid, address, last = self._burst(m, self.port.read_requests, free, "read")
        m.d.comb += [read.addr.eq(address), read.en.eq(free), o.payload.data.eq(read.data)]
        with m.If(free):
            m.d.sync += [o.valid.eq(valid), o.payload.last.eq(last)]

    def _write(self, m: Module, store: Memory) -> None:
        i, done, write = self.port.write_data, self.port.write_done, store.write_port()
        step = Signal()
        valid, address, last = self._burst(m, self.port.write_requests, step, "write")
        m.d.comb += [i.ready.eq(valid & (~last | ~done.valid | done.ready)), step.eq(i.valid & i.ready),
                     write.addr.eq(address), write.data.eq(i.payload.data), write.en.eq(step)]
        with m.If(~done.valid | done.ready):
            m.d.sync += done.valid.eq(step & last)
