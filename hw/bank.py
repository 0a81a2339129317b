"""A memory that belongs to the bus while the accelerator rests, and to the accelerator while it runs."""
from __future__ import annotations

from math import prod

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .array_widths import delayed

__all__ = ["Bank"]


class Bank(wiring.Component):
    """Memory of ``depth`` words, each ``lanes`` items of ``item`` bytes.

    It changes hands a cycle after ``running`` does; ``busy`` tells whose it is. On the bus, items are ``stride`` bytes apart and
    numbered lane by lane, word by word; bytes of an item beyond ``item`` read 0 and ignore writes. Reads take one cycle (two from the
    bus, and one more for each of ``near`` and ``far``), and hold while not enabled. Unless ``dual``, the accelerator's read and write
    share one address and exclude each other, so that the memory fits a single-ported RAM.

    Parameters
    ----------
    depth, lanes, stride
        Powers of two.
    item
        Bytes, at most ``stride``.
    dual
        Whether the accelerator reads and writes in the same cycle.
    bus_writes
        Whether the bus may write.
    near
        Whether registers come right before the memory, after the choice between bus and accelerator: a cycle more for reads and writes.
    halves
        Whether the accelerator can write the lower or the upper halves of bytes alone, as the bits of ``write_halves`` say.
    far
        Whether a register follows the memory, on the way to the bus and to ``late_data``, because much lies around it.
    """

    def __init__(self, *, depth: int, lanes: int, item: int = 1, stride: int = 1, dual: bool = False,
                 bus_writes: bool = True, near: bool = False, far: bool = False, halves: bool = False) -> None:
        for name, value in (("Depth", depth), ("Lanes", lanes), ("Stride", stride)):
            if not isinstance(value, int) or value < 1 or value & (value - 1):
                raise ValueError(f"{name} of a bank must be a power of two, not {value!r}")
        if halves and not dual:
            raise ValueError("Bank of halves must be dual")
        if not 1 <= item <= stride:
            raise ValueError(f"Item of a bank must be 1 to {stride} bytes, not {item!r}")
        self.depth = depth
        self.lanes = lanes
        self.item = item
        self.stride = stride
        self.dual = dual
        self.bus_writes = bus_writes
        self.near = near
        self.far = far
        self.halves = halves
        address = ceil_log2(depth)
        word = 8 * lanes * item
        super().__init__({
            "running": In(1), "busy": Out(1),
            "bus_address": In(20), "bus_enable": In(1), "bus_write": In(1), "bus_data": In(8), "bus_value": Out(8),
            "read_address": In(address), "read_enable": In(1), "read_data": Out(word), "late_data": Out(word),
            "write_address": In(address), "write_enable": In(1), "write_data": In(word),
        } | ({"write_halves": In(2)} if halves else {}))

    @property
    def bus_bytes(self) -> int:
        """Size of the memory on the bus."""
        return prod((self.depth, self.lanes, self.stride))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self.lanes * self.item
        parts = 1 + self.halves                             # of a byte
        m.submodules.memory = memory = Memory(shape=data.ArrayLayout(unsigned(8 // parts), size * parts), depth=self.depth, init=[])
        # A register of its own, as many hang on it: the memory changes hands a cycle later.
        running = self.busy
        m.d.sync += running.eq(self.running)
        write = memory.write_port(granularity=1)
        read = memory.read_port(transparent_for=())

        # What the bus wants is decoded before it is registered: these registers are as far from the memory as the accelerator is.
        byte_bits, lane_bits = ceil_log2(self.stride), ceil_log2(self.lanes)
        byte, lane = self.bus_address[:byte_bits], self.bus_address[byte_bits:byte_bits + lane_bits]
        address, byte_in = Signal(20, reset_less=True), Signal(8, reset_less=True)
        reading, writes = Signal(), Signal(size)
        m.d.sync += [address.eq(self.bus_address), byte_in.eq(self.bus_data), reading.eq(self.bus_enable & ~self.bus_write)]
        word = address[byte_bits + lane_bits:]
        read_address = Mux(running, self.read_address, word)
        m.d.comb += [
            read.addr.eq(self._near(m, read_address, "read_at")),
            read.en.eq(self._near(m, Mux(running, self.read_enable, reading), "reads")),
            write.addr.eq(self._near(m, Mux(running, self.write_address, word) if self.dual else read_address, "write_at")),
            self.read_data.eq(read.data.as_value()),
        ]
        for n in range(size):
            here = (lane == n // self.item) & (byte == n % self.item)
            if self.bus_writes:
                m.d.sync += writes[n].eq(self.bus_enable & self.bus_write & here)
            allowed = self.write_halves if self.halves else [1 if self.dual else ~self.read_enable]
            for k, may in enumerate(allowed):
                m.d.comb += write.en[parts * n + k].eq(self._near(m, Mux(running, self.write_enable & may, writes[n]), f"write_{n}"))
            data_in = self._near(m, Mux(running, self.write_data[8 * n:8 * n + 8], byte_in), f"data_{n}")
            for k in range(parts):
                m.d.comb += write.data[parts * n + k].eq(data_in[4 * k:4 * k + 4] if self.halves else data_in)

        found = delayed(m, Const(1), read.data.as_value(), int(self.far), "found")
        m.d.comb += self.late_data.eq(found)
        held = delayed(m, Const(1), address[:byte_bits + lane_bits], 1 + self.near + self.far, "held")
        selected = Signal(8)
        with m.Switch(held):
            for n in range(size):
                with m.Case((n // self.item) * self.stride + n % self.item):
                    m.d.comb += selected.eq(found.word_select(n, 8))
        m.d.comb += self.bus_value.eq(selected)
        return m

    def _near(self, m: Module, value: Value, name: str) -> Value:
        return delayed(m, Const(1), value, int(self.near), name)
