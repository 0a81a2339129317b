"""Counters that tell of their last step by their sign."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value

from .carry import Chain, Term

__all__ = ["count_up", "loaded"]


def loaded(load: Value, before: Value, value: Value) -> Term:
    """``load ? value : before``, of one bit each."""
    return Term(0b11100010, (before, load, value))


def count_up(m: Module, name: str, last: Value, load: Value, step: Value, *, cells: bool) -> tuple[Signal, Value]:
    """A counter of ``last + 1`` steps, from ``-last`` to zero: its value, and whether this is the last step.

    It starts when ``load`` is high and moves when ``step`` is. Nothing is compared, and on carry cells nothing is chosen from.
    """
    width = len(last) + 1
    count, chain = Signal(width, name=name), Chain(m, f"{name}_next", cells=cells, tied=True)
    top = Term(0b1110, (count[-1], load))
    inverted = [Term(0b00101110, (bit, load, end)) for bit, end in zip(count, last, strict=False)]
    after = chain.add([*inverted, top], [], width, carry=1)
    chain.close()
    with m.If(load | step):
        m.d.sync += count.eq(Cat(after))
    return count, ~count[-1]
