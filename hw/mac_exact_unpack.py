"""Floats, posits and powers as a significand and a shift."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
import numpy as np
import numpy.typing as npt

from ..formats import Exponent, Float, Format, Posit, PowerOfRootTwo, PowerOfTwo, Top
from .number import named
from .round_parts import falls, level

__all__ = ["Scaled", "check_format", "has_nan", "has_sign", "integers", "not_a_number", "operands", "parts", "sign_of", "spare", "widest"]

Scaled = Exponent | Float | Posit | PowerOfRootTwo
"""Formats whose numbers are a significand and a shift. Powers of two are floats without a fraction."""

LISTED = 5
"""Bits of a posit with exponent bits that is looked up, at most."""


def check_format(name: object) -> Scaled:
    """Float, posit or powers called ``name``; those of two as the float without a fraction that they are, but for its scale.

    Raises
    ------
    ValueError
        If there is none; the sentence has the nearest names.
    """
    fmt = named(name)
    if isinstance(fmt, PowerOfTwo):
        return Float(name=fmt.name, exp=fmt.width - 1, man=0, top=Top.NUMBERS)
    if not isinstance(fmt, Scaled):
        raise ValueError(f"Format must be a float, a posit or powers, not {name!r}")
    return fmt


def has_nan(fmt: Scaled) -> bool:
    """Whether there are codes that are not numbers."""
    return isinstance(fmt, Exponent | Posit) or isinstance(fmt, Float) and fmt.top is not Top.NUMBERS


def has_sign(fmt: Scaled) -> bool:
    """Whether the top bit of a code is its sign."""
    return isinstance(fmt, Posit | PowerOfRootTwo) or isinstance(fmt, Float) and fmt.signed


def sign_of(fmt: Scaled, code: Value) -> Value:
    """Whether a code is negative."""
    return code[-1] if has_sign(fmt) else Const(0, 1)


def not_a_number(fmt: Scaled, code: Value) -> Value:
    """Whether a code is none; of a posit, its magnitude is given."""
    if isinstance(fmt, Posit):
        return code[-1]
    if isinstance(fmt, Exponent):
        return code.all()
    if isinstance(fmt, PowerOfRootTwo):
        return Const(0, 1)
    body = code[:fmt.exp + fmt.man]
    match fmt.top:
        case Top.IEEE:
            return body[fmt.man:].all()
        case Top.NAN:
            return body.all()
        case Top.FNUZ:
            return code[-1] & ~body.any()
        case _:
            return Const(0, 1)


@cache
def integers(fmt: Format) -> npt.NDArray[Any]:
    """Values of the codes as integers, in units of the least, of roots' over ``2 ** root_bits``; zero for what is not a number."""
    numbers = np.where(np.isfinite(fmt.table), fmt.table, 0)
    least = np.abs(numbers[numbers != 0]).min() / (1 << fmt.root_bits if isinstance(fmt, PowerOfRootTwo) else 1)
    return np.array([int(value) for value in numbers / least], dtype=object)


def linear(fmt: Scaled) -> bool:
    """Whether a posit below one is its bits as an integer, so that nothing has to be looked up."""
    return isinstance(fmt, Posit) and fmt.es == 0 and fmt.width > 3


def listed(fmt: Scaled) -> bool:
    """Whether a posit is looked up, or not by its regime."""
    return isinstance(fmt, Posit) and (linear(fmt) or fmt.width <= LISTED or fmt.width < fmt.es + 4)


def _regimes(fmt: Posit) -> int:
    """Bits of a regime's length."""
    return (fmt.width - 2).bit_length()


def spare(fmt: Scaled) -> int:
    """Bits below the least that a significand has after its shift, all of them zero."""
    if isinstance(fmt, Float | PowerOfRootTwo):
        return 1                                                            # exponents are one at least, roots are halved
    if isinstance(fmt, Exponent):
        return 0
    return 0 if listed(fmt) else fmt.width - 3 - fmt.es + (1 << _regimes(fmt) + fmt.es) - fmt.scale


@cache
def operands(fmt: Scaled) -> tuple[tuple[int, int], ...]:
    """Significand and shift of each code without its sign. Their value is in units of the least over ``2 **`` :func:`spare`."""
    if isinstance(fmt, Float):
        codes = range(1 << fmt.width - fmt.signed)
        least = int(fmt.man > 0)
        return tuple((code & (1 << fmt.man) - 1 | (code >> fmt.man > 0) << fmt.man, max(code >> fmt.man, least)) for code in codes)
    if isinstance(fmt, Exponent):
        return tuple((1, code) for code in range(1 << fmt.width))
    if isinstance(fmt, PowerOfRootTwo):
        return tuple((2 << fmt.root_bits if code & 1 else fmt.root if code else 0, code >> 1) for code in range(1 << fmt.width - 1))
    top, found = fmt.width - 2, []
    for code, value in enumerate(map(int, integers(fmt)[:1 << fmt.width - 1])):
        if listed(fmt):
            ones = min(top - (~code & (1 << top) - 1).bit_length(), top - 1)
            shift = (2 * ones + 1 if code >> top else 0) if linear(fmt) else max((value & -value).bit_length() - 1, 0)
        else:
            value <<= spare(fmt)
            shift = max(value.bit_length() - (top - fmt.es), 0)
        found.append((value >> shift, shift))
    return tuple(found)


@cache
def widest(fmt: Scaled) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The largest significand of each shift, and the shifts."""
    largest: dict[int, int] = {}
    for significand, shift in operands(fmt):
        largest[shift] = max(largest.get(shift, 0), significand)
    return np.array(list(largest.values()), dtype=object), np.array(list(largest))


def parts(m: Module, fmt: Scaled, code: Value, name: str, register: Callable[[Value, str], Value]) -> tuple[Value, Value]:
    """Significand and shift of a code without its sign; one stage later if it is a posit of more than 8 bits."""
    if isinstance(fmt, Float):
        normal = Signal(name=f"{name}_normal")
        m.d.comb += normal.eq(code[fmt.man:].any())
        least = code[fmt.man] | ~normal if fmt.man else code[0]             # zero alone has no exponent then
        return Cat(code[:fmt.man], normal), Cat(least, code[fmt.man + 1:])
    if isinstance(fmt, Exponent):
        return Const(1, 1), code
    if isinstance(fmt, PowerOfRootTwo):
        root = code.any() & ~code[0]
        return Cat(root if fmt.root >> k & 1 else Const(0, 1) for k in range(fmt.root_bits + 1)) | code[0] << fmt.root_bits + 1, code[1:]
    if linear(fmt):
        top = fmt.width - 2
        run = []
        for k in range(top):
            ones = Signal(name=f"{name}_ones_{k}")
            m.d.comb += ones.eq(code[k:].all())
            run.append(ones)
        bits = [code[k] ^ (run[k + 1] if k + 1 < top else code[top]) for k in range(top)]
        bits[1] = bits[1] | run[0]
        counts = [Cat(run[k] & ~run[k - 1] if k > 1 else run[k] for k in range(1, top) if (top - k) >> n & 1).any()
                  for n in range((top - 1).bit_length())]
        return Cat(bits), Cat(code[top], counts)
    if listed(fmt):
        table = operands(fmt)
        found = []
        for k in range(2):
            width = max(row[k] for row in table).bit_length()
            part = Signal(width, name=f"{name}_part_{k}")
            m.d.comb += part.eq(Array(Const(row[k], width) for row in table)[code])
            found.append(part)
        return found[0], found[1]
    # What follows the regime is brought up as the run in front of it vanishes; zeros, seen through the run's inversion, come in below.
    large, some = code[-1], code.any()
    word: Value = code[:-1] ^ large.replicate(len(code) - 1)
    counted: list[Value] = []
    amounts = falls((1 << _regimes(fmt)) - 1)
    for n, amount in enumerate(amounts):
        word, moves, _ = level(word, min(amount, len(word)), len(word), large)
        counted.insert(0, moves)
        if fmt.width > 8 and n == len(amounts) // 2 - 1:
            held = register(Cat(word, large, some, *counted), f"{name}_half")
            word, large, some, counted = held[:len(word)], held[len(word)], held[len(word) + 1], list(held[len(word) + 2:])
    rest = word[:-1] ^ large.replicate(len(word) - 1)
    fraction = rest[:len(rest) - fmt.es]
    regime = Cat(Mux(large, bit, ~bit) for bit in counted)
    return Cat(fraction, some), Cat(rest[len(rest) - fmt.es:], regime, large)
