"""Operands of the reconfigurable multiplier-accumulator: significands, exponents and what is not a number."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from .carry import ZERO, Chain, Term

__all__ = ["Select", "Unpacked", "cut", "magnitude", "product_signs", "unpack"]

Select = Callable[..., Value]
"""Names of modes -> whether the mode is one of them; constant where that is known."""


@dataclass(frozen=True, eq=False)
class Unpacked:
    """A word's parts: significands in 16 bits as the multiplier takes them, exponents of its lanes, lanes that are no numbers."""
    significand: Value
    exponents: tuple[Value, ...]
    nan: Value


def cut(inject: Value, keep: Value) -> tuple[Term, Term]:
    """Terms of a position between two adders on a chain: passes the carry on if ``keep``, and ``inject`` otherwise."""
    if isinstance(keep, Const):
        return (Term(0b10, (inject,)), Term(0b10, (inject,))) if not keep.value else (Term(1), ZERO)
    pair = (inject, keep)
    return Term(0b1110, pair), Term(0b0010, pair)


def magnitude(m: Module, word: Value, negates: Value, quarters: Value, wide: Value, name: str, *, cells: bool) -> Value:
    """Two's complement of the lanes whose top bit is set, where the mode ``negates``: signed numbers without their signs.

    Lanes are nibbles if ``quarters``, the word if ``wide``, bytes otherwise.
    """
    tops = Signal(4, name=f"{name}_tops")
    lanes = [word[4 * n + 3] for n in range(4)]
    whole = wide if isinstance(wide, Const) and not wide.value else wide
    byte = [Mux(whole, lanes[3], lanes[1]), lanes[3]]
    m.d.comb += tops.eq(Cat(Mux(quarters, lanes[n], byte[n // 2]) for n in range(4)) & negates.replicate(4))
    signs = [Signal(name=f"{name}_negative_{n}") for n in range(4)]
    m.d.comb += Cat(signs).eq(tops)
    x: list[Term] = []
    y: list[Term] = []
    places = []
    for n in range(4):
        keep = wide if n == 2 else _not(quarters)
        if n and not (isinstance(keep, Const) and keep.value):
            inject, passing = Signal(name=f"{name}_inject_{n}"), Signal(name=f"{name}_keep_{n}")
            m.d.comb += [inject.eq(signs[n]), passing.eq(keep)]
            for terms, term in zip((x, y), cut(inject, keep if isinstance(keep, Const) else passing), strict=True):
                terms.append(term)
        for k in range(4 * n, 4 * n + 4):
            places.append(len(x))
            x.append(Term(0b0110, (word[k], signs[n])))
            y.append(ZERO)
    chain = Chain(m, name, cells=cells)
    total = chain.add(x, y, len(x), carry=signs[0])
    chain.close()
    return Cat(total[place] for place in places)


def _not(value: Value) -> Value:
    return Const(1 - value.value, 1) if isinstance(value, Const) else ~value


def product_signs(a: Value, b: Value, quarters: Value, wide: Value) -> Value:
    """Sign of the product of each quarter of the accumulator."""
    either = [a[4 * n + 3] ^ b[4 * n + 3] for n in range(4)]
    byte = [Mux(wide, either[3], either[1]), either[3]]
    return Cat(Mux(quarters, either[n], byte[n // 2]) for n in range(4))


def unpack(m: Module, word: Value, select: Select, name: str) -> Unpacked:
    """Parts of a word from which :func:`magnitude` has taken the signs of integers and posits."""
    candidates: list[tuple[Value, Sequence[Value]]] = []
    exponents: list[list[tuple[Value, Value]]] = [[], []]
    nans: list[Value] = [Const(0, 1), Const(0, 1)]
    integers, e4m3, e2m1, posit8 = select("int8", "int4"), select("e4m3"), select("e2m1"), select("posit8_0")
    if _maybe(integers):
        candidates.append((integers, list(word)))
    if _maybe(e2m1):
        candidates.append((e2m1, [bit for n in range(4) for bit in _e2m1(word[4 * n:4 * n + 3])]))
    if _maybe(e4m3):
        bits: list[Value] = []
        for n in range(2):
            code = word[8 * n:8 * n + 8]
            normal = code[3:7].any()
            bits += [*code[:3], normal, *[Const(0, 1)] * 4]
            exponents[n].append((e4m3, Cat(code[3] | ~normal, code[4:7])))
            nans[n] |= e4m3 & code[:7].all()
        candidates.append((e4m3, bits))
    if _maybe(posit8):
        bits = []
        for n in range(2):
            fraction, scale = _posit8(m, word[8 * n:8 * n + 7], f"{name}_posit_{n}")
            bits += [*fraction, *[Const(0, 1)] * 2]
            exponents[n].append((posit8, scale))
            nans[n] |= posit8 & word[8 * n + 7]
        candidates.append((posit8, bits))
    merged = Cat(_merge([(when, bits[k]) for when, bits in candidates]) for k in range(16))
    return Unpacked(merged, tuple(_merge(found, 4) for found in exponents), Cat(nans))


def _maybe(value: Value) -> bool:
    return not (isinstance(value, Const) and not value.value)


def _merge(choices: Sequence[tuple[Value, Value]], width: int = 1) -> Value:
    """The choice whose condition holds, zero if none."""
    total: Value = Const(0, width)
    for when, value in choices:
        if isinstance(value, Const) and not value.value:
            continue
        total = total | (value if isinstance(when, Const) else value & when.replicate(len(value)))
    return total


def _e2m1(code: Value) -> list[Value]:
    """Twice the magnitude, four bits."""
    low, middle, high = code
    return [low & ~high, (middle & ~high) | (low & high & ~middle), high & (low | ~middle), high & middle]


def _posit8(m: Module, body: Value, name: str) -> tuple[Value, Value]:
    """Six bits of significand, and the exponent plus 8.

    The bits after the first, each compared with it, move up until one that differs is on top: the end of the regime. What comes in
    below equals the first bit; so it ends the regime of the largest posit, and zero has nothing on top.
    """
    first = body[6]
    moving: Value = Cat(first.replicate(2), body[:6] ^ first.replicate(6))
    count = []
    for step in (4, 2, 1):
        level = Signal(8, name=f"{name}_{step}")
        still = Signal(name=f"{name}_still_{step}")
        m.d.comb += [still.eq(~moving[8 - step:].any()), level.eq(Mux(still, Cat(first.replicate(step), moving[:8 - step]), moving))]
        moving = level
        count.insert(0, still)
    return Cat(moving[2:7] ^ first.replicate(5), moving[7]), Cat(Cat(count) ^ (~first).replicate(3), first)
