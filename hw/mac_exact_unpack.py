"""Narrow floats and posits as a significand and a shift."""
from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value
import numpy as np
import numpy.typing as npt

from ..errors import MantissaError
from ..formats import Float, Format, Posit, Top, get_scalar

__all__ = ["check_format", "has_nan", "integers", "operands", "parts"]


def check_format(name: object) -> Float | Posit:
    """Float or posit of at most 8 bits, signed, called ``name``.

    Raises
    ------
    ValueError
        If there is none; the sentence has the nearest names.
    """
    try:
        fmt: Format = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    signed = isinstance(fmt, Posit) or (isinstance(fmt, Float) and fmt.signed and fmt.top is not Top.FNUZ)
    if not signed or fmt.width > 8:
        raise ValueError(f"Format must be a signed float or posit of at most 8 bits, not {name!r}")
    assert isinstance(fmt, Float | Posit)
    return fmt


def has_nan(fmt: Float | Posit) -> bool:
    """Whether there are codes that are not numbers."""
    return isinstance(fmt, Posit) or fmt.top is not Top.NUMBERS


@cache
def integers(fmt: Float | Posit) -> npt.NDArray[Any]:
    """Values of the codes as integers, in units of the least; zero for what is not a number."""
    numbers = np.where(np.isfinite(fmt.table), fmt.table, 0)
    least = np.abs(numbers[numbers != 0]).min()
    return np.array([int(value) for value in numbers / least], dtype=object)


def linear(fmt: Float | Posit) -> bool:
    """Whether a posit below one is its bits as an integer, so that nothing has to be looked up."""
    return isinstance(fmt, Posit) and fmt.es == 0 and fmt.width > 3


@cache
def operands(fmt: Float | Posit) -> tuple[tuple[int, int], ...]:
    """Significand and shift of each code without its sign. Their value is in units of the least; but twice that for floats."""
    if isinstance(fmt, Float):
        codes = range(1 << fmt.width - 1)
        return tuple((code & (1 << fmt.man) - 1 | (code >> fmt.man > 0) << fmt.man, max(code >> fmt.man, 1)) for code in codes)
    top, found = fmt.width - 2, []
    for code, value in enumerate(map(int, integers(fmt)[:1 << fmt.width - 1])):
        ones = min(top - (~code & (1 << top) - 1).bit_length(), top - 1)
        shift = (2 * ones + 1 if code >> top else 0) if linear(fmt) else max((value & -value).bit_length() - 1, 0)
        found.append((value >> shift, shift))
    return tuple(found)


def parts(m: Module, fmt: Float | Posit, code: Value, name: str) -> tuple[Value, Value]:
    """Significand and shift of a code without its sign."""
    table = operands(fmt)
    widths = [max(row[k] for row in table).bit_length() for k in range(2)]
    if isinstance(fmt, Float):
        normal = Signal(name=f"{name}_normal")
        m.d.comb += normal.eq(code[fmt.man:].any())
        return Cat(code[:fmt.man], normal), Cat(code[fmt.man] | ~normal, code[fmt.man + 1:])
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
    found = []
    for k, width in enumerate(widths):
        part = Signal(width, name=f"{name}_part_{k}")
        m.d.comb += part.eq(Array(Const(row[k], width) for row in table)[code])
        found.append(part)
    return found[0], found[1]
