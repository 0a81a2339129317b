"""Exact product without multipliers: radix-4 Booth rows and a tree of adders, a register after each."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from .requantize_parts import Pipeline

__all__ = ["booth"]


class _Node:
    """Part of the sum: a signed value, the row its bit 0 belongs to, and a one still to be added at bit ``place``."""

    def __init__(self, value: Value, row: int, rows: int, one: Value, place: int) -> None:
        self.value = value
        self.row = row
        self.rows = rows
        self.one = one
        self.place = place


def _row(pipe: Pipeline, x: Value, digit: Value, row: int) -> _Node:
    """``x`` times one digit of -2 to 2, negatives as the ones' complement."""
    low, middle, high = digit
    single = middle ^ low
    zero = ~single & (high == middle)
    chosen = Mux(single, Cat(x, x[-1]), Cat(Const(0), x))
    value = Signal(len(x) + 1, reset_less=True)
    one = Signal(reset_less=True)
    # Zero in an arm of its own: it becomes the registers' synchronous reset, and a bit of the row one LUT4.
    with pipe.m.If(pipe.advance):
        with pipe.m.If(zero):
            pipe.m.d.sync += [value.eq(0), one.eq(0)]
        with pipe.m.Else():
            pipe.m.d.sync += [value.eq(chosen ^ high.replicate(len(value))), one.eq(high)]
    return _Node(value, row, 1, one, 0)


def _join(pipe: Pipeline, lower: _Node, upper: _Node, width: int) -> _Node:
    """Sum of two nodes; the lower one's pending one goes where the upper one has no bits."""
    gap, place = 2 * (upper.row - lower.row), lower.place
    rows = lower.rows + upper.rows
    other = Cat(lower.one, Const(0, gap - place - 1), upper.value)
    total = (lower.value[place:].as_signed() + other.as_signed())[:width + 2 * rows - place]
    value = Cat(lower.value[:place], total)
    return _Node(pipe.keep(value), lower.row, rows, pipe.keep(upper.one), upper.place + gap)


def booth(pipe: Pipeline, x: Value, b: Value) -> tuple[Value, int]:
    """Exact signed ``x * b``, and the stages it takes; ``x`` is signed, ``b`` unsigned, both out of registers."""
    width, size = len(x), len(x) + len(b)
    digits = Cat(Const(0), b, Const(0, 2 - len(b) % 2))
    nodes = [_row(pipe, x, digits[2 * n:2 * n + 3], n) for n in range(len(b) // 2 + 1)]
    stages = 1
    while len(nodes) > 1:
        pairs = [_join(pipe, lower, upper, width) for lower, upper in zip(nodes[::2], nodes[1::2], strict=False)]
        if len(nodes) % 2:
            last = nodes[-1]
            pairs.append(_Node(pipe.keep(last.value), last.row, last.rows, pipe.keep(last.one), last.place))
        nodes, stages = pairs, stages + 1
    value = nodes[0].value
    return Cat(value, value[-1].replicate(max(size - len(value), 0)))[:size].as_signed(), stages
