"""Registers between the steps of a unit that all move together, and what floating-point units count and shift with."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream

__all__ = ["Pipeline", "leading_zeros", "shift_right"]


class Pipeline:
    """Stages of a module with one stream in and one out: all move when ``advance`` is high, which is when the last is empty or taken.

    Parameters
    ----------
    m
        Module of the unit.
    i, o
        Its streams; of these, only the payload of ``i`` is left to the unit.
    """

    def __init__(self, m: Module, i: stream.Interface, o: stream.Interface) -> None:
        self.m = m
        self.o = o
        self.advance = Signal()
        self._valid: list[Value] = [i.valid]
        m.d.comb += [self.advance.eq(~o.valid | o.ready), i.ready.eq(self.advance)]

    def step(self, **values: Value) -> tuple[Signal, ...]:
        """One stage: the values, registered, signed as they are."""
        n = len(self._valid)
        valid = Signal(name=f"valid_{n}")
        kept = tuple(Signal(Value.cast(value).shape(), name=f"{name}_{n}", reset_less=True) for name, value in values.items())
        with self.m.If(self.advance):
            self.m.d.sync += [valid.eq(self._valid[-1]), *(later.eq(value) for later, value in zip(kept, values.values(), strict=True))]
        self._valid.append(valid)
        return kept

    def end(self, **fields: Value) -> None:
        """The last stage: the output's payload."""
        with self.m.If(self.advance):
            self.m.d.sync += [self.o.valid.eq(self._valid[-1]), *(self.o.p[name].eq(value) for name, value in fields.items())]


def leading_zeros(value: Value) -> Value:
    """How many of the upper bits are zero: all of them, or as many as there are."""
    width = len(value)
    if width == 1:
        return ~value[0]
    low = (1 << (width - 1).bit_length()) >> 1             # the upper part may be the shorter one
    upper, lower = leading_zeros(value[low:]), leading_zeros(value[:low])
    return Mux(value[low:].any(), upper, lower + (width - low))[:width.bit_length()]


def shift_right(value: Value, amount: Value, fill: Value | None = None) -> tuple[Value, Value]:
    """``value`` shifted right by ``amount``, ``fill`` coming in from above; and whether a one went out below."""
    lost: Value = Const(0, 1)
    fill = Const(0, 1) if fill is None else fill
    for n, by in enumerate(amount):
        step = min(1 << n, len(value))
        lost = lost | (by & value[:step].any())
        value = Mux(by, Cat(value[step:], fill.replicate(step)), value)
    return value, lost
