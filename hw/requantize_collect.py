"""Rounding a number that comes bit by bit."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from .requantize_parts import ROUND_BITS

__all__ = ["Collector"]


class Collector:
    """Integer part, half bit and sticky bit of a number shifted right by ``c``: its bits come one per step, lowest first,
    and after the last step what is left of it is in ``rest``.

    Either the integer is caught bit by bit, which takes ``c + 8`` steps, or all of it is still in ``rest`` after ``c`` steps.

    Parameters
    ----------
    m : :class:`Module`
        Where the registers live.
    """

    def __init__(self, m: Module) -> None:
        self.m = m
        self.place = Signal(7, reset_less=True)            # 63 - c + steps: below 63 the fraction, from 71 the extension
        self.window = Signal(ROUND_BITS - 1, reset_less=True)
        self.half = Signal(reset_less=True)
        self.sticky = Signal(reset_less=True)
        self.ones = Signal(reset_less=True)
        self.zeros = Signal(reset_less=True)
        self.whole = Signal(reset_less=True)
        self.next_place = Signal(7)
        m.d.comb += self.next_place.eq(self.place + 1)
        self.now = self.next_place == 64
        """Whether exactly ``c`` steps were made."""
        self.past = self.next_place[6] & self.next_place[3:6].any()
        """Whether ``c + 8`` or more were made."""

    def start(self, c: Value) -> None:
        """Begin with the next cycle."""
        self.m.d.sync += [self.place.eq(~c), self.half.eq(0), self.sticky.eq(0), self.ones.eq(0), self.zeros.eq(0),
                          self.whole.eq(0)]

    def step(self, bit: Value) -> None:
        """Take the next bit."""
        m = self.m
        m.d.sync += self.place.eq(self.next_place)
        with m.If(~self.next_place[6]):
            m.d.sync += [self.half.eq(bit), self.sticky.eq(self.sticky | self.half)]
        with m.Elif(~self.past):
            m.d.sync += self.window.eq(Cat(self.window[1:], bit))
        with m.Else():
            m.d.sync += [self.ones.eq(self.ones | bit), self.zeros.eq(self.zeros | ~bit)]

    def take(self, rest: Value) -> None:
        """The integer is in ``rest``."""
        self.m.d.sync += [self.window.eq(rest[:ROUND_BITS - 1]), self.whole.eq(1)]

    def integer(self, rest: Value) -> Value:
        """Integer part, saturated to :data:`ROUND_BITS` signed bits."""
        sign, low = rest[-1], ROUND_BITS - 1
        other = rest.as_unsigned() ^ sign.replicate(len(rest))
        lost = other[low:].any() | ~self.whole & (other[:low].any() | Mux(sign, self.zeros, self.ones))
        return Cat(Mux(lost, (~sign).replicate(low), self.window), sign).as_signed()
