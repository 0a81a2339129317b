"""Operands of the reconfigurable multiplier-accumulator: significands, exponents and what is not a number."""
from __future__ import annotations

from collections.abc import Callable
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


def unpack(m: Module, advance: Value, word: Value, select: Select, name: str) -> Unpacked:
    """Registers of the parts of a word from which :func:`magnitude` has taken the signs of integers and posits.

    The lane of a whole word has its significand where the first byte has it, and the other byte's is zero.
    """
    e4m3, e5m2, e2m1, posit8, bf16 = (select(mode) for mode in ("e4m3", "e5m2", "e2m1", "posit8_0", "bf16"))
    significand = Signal(16, name=f"{name}_significand", reset_less=True)
    exponents: list[Value] = []
    nans: list[Value] = []
    for n in range(2):
        code = word[8 * n:8 * n + 8]
        normal = Signal(name=f"{name}_normal_{n}")
        m.d.comb += normal.eq(code[3:7].any() | (e5m2 & code[2]))
        bits: list[Value] = [code[k] for k in range(8)]
        count: Value = Const(0, 3)
        if _maybe(posit8):
            bits, count = _posit8(m, code, posit8, f"{name}_posit_{n}")
        if _maybe(e2m1):
            doubled = [bit for k in range(2) for bit in _e2m1(code[4 * k:4 * k + 3])]
            bits = [Mux(e2m1, *pair) for pair in zip(doubled, bits, strict=True)]
        if _maybe(e5m2):
            bits[2], bits[3] = Mux(e5m2, normal, bits[2]), bits[3] & ~e5m2
        if _maybe(e4m3):
            bits[3] = Mux(e4m3, normal, bits[3])
        choices = {"e4m3": Cat(code[3] | ~normal, code[4:7]), "posit8_0": Cat(code[6], count), "e5m2": Cat(code[2] | ~normal, code[3:7])}
        bad = (e4m3 & code[:7].all()) | (posit8 & code[7]) | (e5m2 & code[2:7].all())
        if not n and _maybe(bf16):
            some = Signal(name=f"{name}_normal")
            m.d.comb += some.eq(word[7:15].any())
            bits[7] = Mux(bf16, some, bits[7])
            choices["bf16"] = Cat(word[7] | ~some, word[8:15])
            bad = bad | (bf16 & word[7:15].all())
        empty = (bf16 if n else Const(0, 1), e4m3 | e5m2 | bf16 if n else e4m3 | e5m2)
        for part, zero in enumerate(empty):
            target, source = significand[8 * n + 4 * part:8 * n + 4 * part + 4], Cat(bits[4 * part:4 * part + 4])
            with m.If(advance):
                if isinstance(zero, Const):                  # not a switch, which would not be Verilog
                    m.d.sync += target.eq(0 if zero.value else source)
                else:
                    with m.If(zero):
                        m.d.sync += target.eq(0)
                    with m.Else():
                        m.d.sync += target.eq(source)
        choices = {mode: value for mode, value in choices.items() if _maybe(select(mode))}
        if not choices:
            exponents.append(Const(0, 4))
            continue
        exponent = Signal(max(len(value) for value in choices.values()), name=f"{name}_exponent_{n}", reset_less=True)
        names = list(choices)
        chosen: Value = choices[names[-1]]
        for mode in names[-2::-1]:
            chosen = Mux(select(mode), choices[mode], chosen)
        some = select(*names)
        with m.If(advance):
            if isinstance(some, Const):
                m.d.sync += exponent.eq(chosen)
            else:
                with m.If(some):
                    m.d.sync += exponent.eq(chosen)
                with m.Else():
                    m.d.sync += exponent.eq(0)
        exponents.append(exponent)
        nans.append(bad)
    return Unpacked(significand, tuple(exponents), Cat(nans))


def _maybe(value: Value) -> bool:
    return not (isinstance(value, Const) and not value.value)


def _e2m1(code: Value) -> list[Value]:
    """Twice the magnitude, four bits."""
    low, middle, high = code
    return [low & ~high, (middle & ~high) | (low & high & ~middle), high & (low | ~middle), high & middle]


def _posit8(m: Module, code: Value, when: Value, name: str) -> tuple[list[Value], Value]:
    """Eight bits of significand if ``when``, the code's own otherwise; and the ones that follow the code's first.

    A posit below one is its bits as an integer, in units of 2 ** -6. In one that is not, the zero that ends the regime becomes the
    significand's first bit and the ones before it vanish: nothing moves. It counts ``2 ** (2 * ones + 1)`` times as much then.
    The largest, which has no zero, is twice the one with five ones.
    """
    run = []
    for k in range(6):
        ones = Signal(name=f"{name}_ones_{k}")
        source = when & code[3:7].all() & code[k:3].all() if k < 3 else when & code[k:7].all()
        m.d.comb += ones.eq(source)
        run.append(ones)
    bits = [code[0] ^ run[1], (code[1] ^ run[2]) | run[0], *(code[k] ^ run[k + 1] for k in range(2, 5)), code[5] ^ (when & code[6]),
            code[6] & ~when, code[7] & ~when]
    return bits, Cat((run[5] & ~run[4]) | (run[3] & ~run[2]) | run[1], run[4] & ~run[2], run[2])
