"""Steps of a rounder: the leading one to the top, and a run of equal bits in front."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value

__all__ = ["falls", "level", "odd", "part", "run", "widen"]


def odd(most: int) -> bool:
    """Whether the first of the :func:`falls` up to ``most`` is one beside the powers of two."""
    return most & most + 1 != 0


def falls(most: int) -> list[int]:
    """Amounts of the levels that bring a word up by anything from 0 to ``most``, the first one first.

    Powers of two, and before them what is missing to ``most``: a word that would need more stops there.
    """
    powers = (most + 1).bit_length() - 1
    return [most + 1 - (1 << powers)] * odd(most) + [1 << k for k in reversed(range(powers))]


def widen(word: Value, width: int) -> Value:
    """``word`` with zeros below it, to at least ``width`` bits."""
    return Cat(Const(0, max(width - len(word), 0)), word)


def part(word: Value, low: int, high: int) -> tuple[Value, Value, Value]:
    """Bits ``low`` to ``high - 1`` of ``word``, zeros where it has none; whether there are ones above; and below."""
    width = len(word)
    inside = word[min(max(low, 0), width):min(max(high, 0), width)]
    found = Cat(Const(0, max(min(-low, high - low), 0)), inside)
    return Cat(found, Const(0, high - low - len(found))), word[min(max(high, 0), width):].any(), word[:min(max(low, 0), width)].any()


def level(word: Value, amount: int, width: int) -> tuple[Value, Value, Value]:
    """Upper ``width`` bits of ``word``, moved up by ``amount`` if as many upper ones are zero; whether they were; whether any bit that is
    cut off is not."""
    moves = ~word[len(word) - amount:].any()
    moved = Cat(Const(0, amount), word)[:len(word)]
    cut = len(word) - width
    low = max(cut - amount, 0)
    return Mux(moves, moved, word)[cut:], moves, word[:low].any() | (~moves & word[low:cut].any())


def run(word: Value, by: Value, fill: Value) -> tuple[Value, Value]:
    """``word`` moved down by ``by``, ``fill`` coming in at its top; and whether any bit that went out is not zero."""
    lost: Value = Const(0, 1)
    for k, when in enumerate(by):
        amount = min(1 << k, len(word))
        lost = lost | (when & word[:amount].any())
        word = Mux(when, Cat(word[amount:], fill.replicate(amount)), word)
    return word, lost
