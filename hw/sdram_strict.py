"""An SDRAM as hardware, that spoils what is read once a rule of its datasheet has been broken."""
from __future__ import annotations

from amaranth.hdl import Array, Cat, ClockSignal, Instance, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .sdram import SdramPins
from .sdram_timing import Cycles, Geometry

__all__ = ["StrictSdram", "words_module"]

SLACK = 64
"""Cycles by which a refresh may be late."""


class StrictSdram(wiring.Component):
    """What a controller is held against where there is no Python: generated Verilog, netlists, mutants.

    Words are right as long as every command keeps the rules; from the first that does not on, they are the complement.

    Parameters
    ----------
    cycles, geometry
        Of the chip.
    words
        Name of a Verilog module that holds the words, as :func:`words_module` writes it, for chips too large for a list of initial values;
        an empty name for a memory.

    Members
    -------
    pins : ``In(SdramPins(geometry))``
    broken : ``Out(1)``
        A rule has been broken.
    """

    def __init__(self, *, cycles: Cycles, geometry: Geometry, words: str = "") -> None:
        self.cycles = cycles
        self.geometry = geometry
        self.words = words
        super().__init__({"pins": In(SdramPins(geometry)), "broken": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pins, times, geometry = self.pins, self.cycles, self.geometry
        command = Cat(pins.we, pins.cas, pins.ras)
        is_ = {name: Signal(name=name) for name in ("activate", "read", "write", "close", "refresh", "mode", "end")}
        for name, code in (("activate", 0b100), ("read", 0b010), ("write", 0b011), ("close", 0b101), ("refresh", 0b110), ("mode", 0b111),
                           ("end", 0b001)):
            m.d.comb += is_[name].eq(pins.enable & (command == code))
        any_command = Cat(*is_.values()).any()
        wrong: list[Value] = [is_["end"]]

        banks = range(1 << geometry.bank_bits)
        open_ = [Signal(name=f"open{n}") for n in banks]
        rows = [Signal(geometry.row_bits, name=f"row{n}") for n in banks]
        for n in banks:
            here = pins.bank == n
            closes = is_["close"] & (here | pins.address[10])
            opened, closed = self._since(m, is_["activate"] & here, times.rc), self._since(m, closes, times.rp)
            written = self._since(m, is_["write"] & here, times.wr)
            wrong += [is_["activate"] & here & (open_[n] | (opened < times.rc) | (closed < times.rp)),
                      (is_["read"] | is_["write"]) & here & (~open_[n] | (opened < times.rcd)),
                      closes & open_[n] & ((opened < times.ras) | (written < times.wr)),
                      (is_["refresh"] | is_["mode"]) & (open_[n] | (closed < times.rp))]
            with m.If(is_["activate"] & here):
                m.d.sync += [open_[n].eq(1), rows[n].eq(pins.address)]
            with m.If(closes):
                m.d.sync += open_[n].eq(0)
        refreshed = self._since(m, is_["refresh"], times.refresh + SLACK + 1)
        set_up, count = Signal(), Signal(range(9))
        powered = self._since(m, 0, times.power_up, init=0)
        wrong += [is_["activate"] & (self._since(m, is_["activate"], times.rrd) < times.rrd),
                  any_command & (powered < times.power_up), any_command & (refreshed < times.rfc),
                  any_command & (self._since(m, is_["mode"], times.mrd) < times.mrd),
                  is_["mode"] & ((count != 8) | (pins.address != times.cas << 4) | (pins.bank != 0)),
                  (is_["activate"] | is_["read"] | is_["write"]) & ~set_up, set_up & (refreshed > times.refresh + SLACK),
                  is_["activate"] & (pins.address >> geometry.row_bits).any(),
                  (is_["read"] | is_["write"]) & ((pins.address >> geometry.column_bits).any() | pins.mask.any())]
        with m.If(is_["refresh"] & (count != 8)):
            m.d.sync += count.eq(count + 1)
        with m.If(is_["mode"]):
            m.d.sync += set_up.eq(1)
        wrong.append(self._words(m, is_["read"], is_["write"], Array(rows)[pins.bank]))
        with m.If(Cat(wrong).any()):
            m.d.sync += self.broken.eq(1)
        return m

    def _since(self, m: Module, event: Value | int, most: int, *, init: int | None = None) -> Signal:
        """Cycles since an event, up to ``most``; at first as if there had been none."""
        count = Signal(range(most + 1), init=most if init is None else init)
        m.d.sync += count.eq(Mux(event, 1, Mux(count == most, most, count + 1)))
        return count

    def _words(self, m: Module, read: Value, write: Value, row: Value) -> Value:
        """The words; whether the data pins are driven where they must not be, or not where they must."""
        pins, geometry, cas = self.pins, self.geometry, self.cycles.cas
        address, word = Cat(pins.address[:geometry.column_bits], pins.bank, row), Signal(16)
        if self.words:
            m.submodules.store = Instance(self.words, i_clk=ClockSignal(), i_address=address, i_enable=write, i_written=pins.data_out,
                                          o_word=word)
        else:
            m.submodules.store = store = Memory(shape=unsigned(16), depth=1 << geometry.address_bits, init=[])
            inward, outward = store.write_port(), store.read_port(transparent_for=())
            m.d.comb += [inward.addr.eq(address), inward.data.eq(pins.data_out), inward.en.eq(write),
                         outward.addr.eq(address), outward.en.eq(1), word.eq(outward.data)]
        coming = [read]
        for n in range(cas + 1):
            there = Signal(name=f"there{n}")
            m.d.sync += there.eq(coming[-1])
            coming.append(there)
        for n in range(cas - 1):
            later = Signal(16, name=f"later{n}")
            m.d.sync += later.eq(word)
            word = later
        m.d.comb += pins.data_in.eq(Mux(coming[cas], word ^ self.broken.replicate(16), 0xBAD))
        return (pins.drive & (read | Cat(coming[1:]).any())) | (pins.drive ^ write)


def words_module(name: str, geometry: Geometry) -> str:
    """Verilog of a memory of the chip's words, that reads a cycle after the address."""
    top = geometry.address_bits - 1
    return f"""module {name}(input clk, input [{top}:0] address, input enable, input [15:0] written, output reg [15:0] word);
  reg [15:0] words [0:{(1 << geometry.address_bits) - 1}];
  always @(posedge clk) begin
    if (enable) words[address] <= written;
    word <= words[address];
  end
endmodule
"""
