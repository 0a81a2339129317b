"""Shifters of the reconfigurable multiplier-accumulator, a level at a time."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
import numpy.typing as npt

__all__ = ["Bits", "choose", "lengths", "shift"]

Bits = list[Value | None]
"""Bits of a word, lowest first; those known to be zero are absent."""


def lengths(words: npt.NDArray[Any], shifts: npt.NDArray[Any], levels: int) -> list[tuple[int, int]]:
    """Bits of the longest word before each level of a shift, the lowest first: of those it leaves, and of those it moves."""
    found = []
    for level in range(levels):
        before = words.astype(object) << (shifts & (1 << level) - 1).astype(object)
        up = (shifts >> level & 1).astype(bool)
        stay, move = (int(max(before[which], default=0)).bit_length() for which in (~up, up))
        found.append((stay, move))
    return found


def shift(bits: Bits, when: Value, amount: int, stay: int, move: int) -> Bits:
    """Gates of one level, of which words longer than ``stay`` are not left and those longer than ``move`` not moved up."""
    result: Bits = []
    left, up = bits[:stay], [None] * amount + bits[:move]
    for k in range(max(len(left), len(up))):
        stays, comes = (word[k] if k < len(word) else None for word in (left, up))
        if comes is None:
            result.append(None if stays is None else stays & ~when)
        else:
            result.append(comes & when if stays is None else Mux(when, comes, stays))
    return result


def choose(m: Module, advance: Value, choices: Sequence[tuple[Value | None, Bits]], name: str) -> Bits:
    """Register of the first choice whose condition holds; the last one has none.

    Bits that some choices leave zero are reset by those, which costs no gate of the bit's own.
    """
    length = max(len(bits) for _, bits in choices)
    register = Signal(length, name=name, reset_less=True)
    table = [[bits[k] if k < len(bits) else None for _, bits in choices] for k in range(length)]

    def pattern(k: int) -> tuple[int, ...]:
        return tuple(0 if bit is None else 1 + next(n for n, other in enumerate(table[k]) if other is bit) for bit in table[k])

    used: Bits = [register[k] if any(bit is not None for bit in table[k]) else None for k in range(length)]
    for _, run in groupby(range(length), pattern):
        places = list(run)
        source = table[places[0]]
        if all(bit is None for bit in source):
            continue
        target = register[places[0]:places[-1] + 1]
        with m.If(advance):
            _assign(m, target, [(when, Cat(Const(0, 1) if bit is None else bit for bit in (table[k][n] for k in places)))
                                for n, (when, _) in enumerate(choices)], pattern(places[0]))
    return used


def _assign(m: Module, target: Value, choices: Sequence[tuple[Value | None, Value]], pattern: Sequence[int]) -> None:
    """Arms only where the choice differs from the last."""
    *some, (_, rest) = choices
    if all(kind == pattern[-1] for kind in pattern):
        m.d.sync += target.eq(rest)
        return
    opened = False
    for when, value in some:
        assert when is not None
        with m.Elif(when) if opened else m.If(when):
            m.d.sync += target.eq(value)
        opened = True
    with m.Else():
        m.d.sync += target.eq(rest)
