"""Registers of a pipeline that moves as a whole, and the kinds of operands that are on their way in it."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_

from amaranth.hdl import Const, Module, Signal, Value

__all__ = ["KINDS", "Kinds", "Pipe", "any_of", "maybe", "negated", "together"]

KINDS = {"wide": 1, "byte": 2, "nibble": 4}
"""How an operand word is divided, and into how many lanes."""


def maybe(value: Value) -> bool:
    """Whether it is not known to be zero."""
    return not (isinstance(value, Const) and not value.value)


def negated(value: Value) -> Value:
    """``~value``, constant if it is."""
    return Const(1 - value.value, 1) if isinstance(value, Const) else ~value


def together(*values: Value) -> Value:
    """AND of single bits, constant where that is known."""
    open_ = [value for value in values if not isinstance(value, Const)]
    if any(isinstance(value, Const) and not value.value for value in values) or not open_:
        return Const(all(value.value for value in values if isinstance(value, Const)), 1)
    return reduce(and_, open_)


def any_of(*values: Value) -> Value:
    """OR of single bits, constant where that is known."""
    return negated(together(*map(negated, values)))


@dataclass(frozen=True, eq=False)
class Pipe:
    """Makes registers that follow while ``advance`` is high."""
    m: Module
    advance: Value

    def register(self, value: Value, name: str, *, zero: Value | None = None, stages: int = 1) -> Value:
        """``value``, ``stages`` later; a constant stays one. Held at zero after ``zero``, which costs no gate of the bits' own."""
        if isinstance(value, Const) or not len(value):
            return value
        for stage in range(stages):
            later = Signal(len(value), name=f"{name}_{stage}" if stages > 1 else name, reset_less=True)
            with self.m.If(self.advance):
                if zero is None or not maybe(zero) or stage:
                    self.m.d.sync += later.eq(value)
                elif isinstance(zero, Const):
                    self.m.d.sync += later.eq(0)
                else:
                    with self.m.If(zero):
                        self.m.d.sync += later.eq(0)
                    with self.m.Else():
                        self.m.d.sync += later.eq(value)
            value = later
        return value


@dataclass(eq=False)
class Kinds:
    """Whether the operands are of a kind, stages later: constant where they all are or none is.

    Parameters
    ----------
    pipe
        Makes the registers.
    now
        The kinds at stage ``start``, by name.
    start
        Stage of ``now``.
    """
    pipe: Pipe
    now: Mapping[str, Value]
    start: int
    _known: dict[tuple[str, int], Value] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Kinds there may be."""
        return tuple(name for name in KINDS if maybe(self.now[name]))

    def at(self, name: str, stage: int) -> Value:
        """Whether operands at ``stage`` are of that kind."""
        if stage == self.start:
            return self.now[name]
        if (name, stage) not in self._known:
            self._known[name, stage] = self.pipe.register(self.at(name, stage - 1), f"{name}_{stage}")
        return self._known[name, stage]

    def any(self, names: object, stage: int) -> Value:
        """Whether operands at ``stage`` are of one of the kinds ``names``, with the fewest gates."""
        wanted = [name for name in self.names if name in set(names)]            # type: ignore[call-overload]
        if len(wanted) in (0, len(self.names)):
            return Const(bool(wanted), 1)
        if len(wanted) == 1:
            return self.at(wanted[0], stage)
        other, = (name for name in self.names if name not in wanted)
        return ~self.at(other, stage)
