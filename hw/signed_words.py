"""Signed words of terms: added at their places, shifted into registers, made longer."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from .carry import Chain, Term, plain

__all__ = ["added", "extended", "shifted"]


def added(m: Module, words: Sequence[tuple[int, list[Term]]], name: str, *, cells: bool) -> tuple[int, list[Term]]:
    """Sum of one or two signed words, each at a place, the second higher."""
    if len(words) == 1:
        return words[0]
    (place, low), (above, high) = words
    by = above - place
    width = max(len(low) - by, len(high)) + 1
    chain = Chain(m, name, cells=cells, tied=True)
    total = chain.add(extended(high, width), extended(low[by:], width), width)
    chain.close()
    return place, [*low[:by], *map(plain, total)]


def shifted(m: Module, advance: Value, bits: list[Value], steps: list[Value], negative: Value, on: Value,
            name: str) -> tuple[list[Term], Term]:
    """Register of ``bits << steps``, inverted where ``negative``, zero where not ``on``, and the carry that completes it."""
    *muxes, far = steps if steps else [Const(0, 1)]
    for n, when in enumerate(muxes):
        by = 1 << n
        low, high = [*bits, *[bits[-1]] * by], [*[Const(0, 1)] * by, *bits]
        bits = [*(Mux(when, moved, kept) for kept, moved in zip(low[:-1], high[:-1], strict=True)), bits[-1]]
    word = Cat(bits) ^ negative.replicate(len(bits))
    stay, kept = Signal(len(bits), name=f"{name}_stay", reset_less=True), Signal(name=f"{name}_kept", reset_less=True)
    with m.If(advance):
        m.d.sync += [stay.eq(word), kept.eq(negative)]
        with m.If(far | ~on):
            m.d.sync += [stay.eq(0), kept.eq(0)]
    if not steps:
        return [plain(bit) for bit in stay], plain(kept)
    by = 1 << len(muxes)
    move, fill = Signal(len(bits), name=f"{name}_move", reset_less=True), Signal(name=f"{name}_fill", reset_less=True)
    with m.If(advance):
        m.d.sync += [move.eq(word), fill.eq(negative)]
        with m.If(~far | ~on):
            m.d.sync += [move.eq(0), fill.eq(0)]
    low, high = [*stay, *[stay[-1]] * by], [*[fill] * by, *move]
    return [Term(0b1110, pair) for pair in zip(low, high, strict=True)], Term(0b1110, (kept, fill))


def extended(word: list[Term], width: int) -> list[Term]:
    """A signed word of more bits."""
    return [*word, *[word[-1]] * (width - len(word))][:width]
