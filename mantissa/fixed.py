"""Formats the accelerator computes with, as integers in units of their smallest step.

Every number of these formats is a whole number of units below 2**18 in magnitude, so operands are decoded once, where they enter the array,
and everything behind is exact integer arithmetic; results become codes again in one rounding, at the end.

Codes travel in bytes: the code's bits, extended with zeros, as int8. So int8's codes are its values.
"""
from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .codes import encode
from .errors import MantissaError
from .formats import get_scalar
from .kinds import Format
from .kinds_float import Float, Top

__all__ = ["BITS", "BLOCK", "EXPONENT_MOST", "NAMES", "WEIGHTS", "as_codes", "as_fixed", "check_name", "limits", "quantized", "unit",
           "weight_fixed", "weight_unit"]

NAMES = ("int8", "int4", "e4m3", "e2m1", "posit8_0", "posit4_1")
"""Names; their order is the code by which a program says which."""

WEIGHTS = (*NAMES, "mxfp4")
"""Formats of weights: also blocks of e2m1 with a power of two each."""

BLOCK = 32
"""Input channels that share an exponent."""

EXPONENT_MOST = 14
"""Largest exponent of a block; the least is 0."""

BITS = 18
"""Bits of the largest magnitude, in units."""

_GUARD = 4
"""Bits kept below a unit when rounding; what is below them only matters as being there."""


def check_name(name: object) -> str:
    """``name`` if it is one of :data:`NAMES`.

    Raises
    ------
    MantissaError
        If it is not.
    """
    if name not in NAMES:
        raise MantissaError(f"Format of the accelerator must be one of {', '.join(NAMES)}, not {name!r}")
    return str(name)


@cache
def unit(name: str) -> int:
    """Exponent of two of the smallest step."""
    table = np.abs(get_scalar(check_name(name)).table)
    return int(np.log2(np.nanmin(np.where(table > 0, table, np.nan))))


@cache
def _table(name: str) -> npt.NDArray[np.int64]:
    """Units of every code. E4M3's NaN is the number its bits would be, a posit's NaR is 0: no rounding makes either."""
    fmt: Format = get_scalar(check_name(name))
    if isinstance(fmt, Float):
        fmt = replace(fmt, top=Top.NUMBERS)
    table = np.ldexp(np.nan_to_num(fmt.table), -unit(name))
    found = table.astype(np.int64)
    assert (found == table).all() and np.abs(found).max() < 1 << BITS
    return found


def as_fixed(name: str, codes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Units of codes in bytes, int8 or uint8; bits beyond the format's width are not looked at."""
    table = _table(name)
    return np.asarray(table[np.asarray(codes).astype(np.int64) & len(table) - 1])


def limits(name: str) -> tuple[int, int]:
    """Lowest and highest number, in units; of codes that rounding makes."""
    finite = _table(name)[np.isfinite(get_scalar(name).table)]
    return int(finite.min()), int(finite.max())


def weight_unit(name: str) -> int:
    """:func:`unit` of a format of weights."""
    return unit("e2m1" if name == "mxfp4" else name)


def weight_fixed(name: str, codes: npt.NDArray[np.int8], exponents: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Units of weights (..., C in, C out); of mxfp4 with their blocks' exponents, (..., ceil(C in / 32), C out)."""
    if name != "mxfp4":
        return as_fixed(name, codes)
    assert exponents is not None
    return as_fixed("e2m1", codes) << np.repeat(exponents, BLOCK, axis=-2)[..., :codes.shape[-2], :]


def as_codes(name: str, value: npt.ArrayLike, shift: npt.ArrayLike = 0) -> npt.NDArray[np.int8]:
    """Codes of ``value / 2**shift`` units, integers of any size, rounded once: half to even, saturating.

    As :func:`mantissa.formats.encode` rounds the exact number; a posit never becomes 0 unless the number is.
    """
    number, by = np.asarray(value), np.asarray(shift)
    if number.dtype.kind != "i" or by.dtype.kind != "i" or _reaches(number, 1 << 62 - _GUARD) or _reaches(by, 64):
        number, by = number.astype(object), by.astype(object)
    return _rounded(name, *np.broadcast_arrays(number, by))


def quantized(name: str, value: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike, *,
              relu: bool = False) -> npt.NDArray[np.int8]:
    """Codes of ``value * multiplier / 2**shift`` units, rounded once as by :func:`as_codes`; ``relu``: of 0 if that is negative.

    Parameters
    ----------
    value
        Integers.
    multiplier
        Integers from 0 to 2**32 - 1.
    shift
        0 to 63.
    """
    number = np.maximum(value, 0) if relu else np.asarray(value)
    b, c = np.asarray(multiplier).astype(np.int64), np.asarray(shift).astype(np.int64)
    if number.dtype.kind != "i" or _reaches(number, 1 << 46):
        return as_codes(name, number.astype(object) * b.astype(object), c)
    # what is below the guard bits is only kept as being there: as low half and high half, both within 64 bits
    low = number * (b & 0xffff)
    high = number * (b >> 16) + (low >> 16)                                 # number * b = high * 2**16 + (low & 0xffff)
    cut = np.clip(c - _GUARD - 2, 0, 16)
    rest = low & 0xffff
    kept = np.left_shift(high, 16 - cut) | rest >> cut
    if _reaches(high, 1 << 62 - _GUARD - 16 + int(cut.min())):
        return as_codes(name, number.astype(object) * b.astype(object), c)
    return as_codes(name, kept | (rest & (np.left_shift(1, cut) - 1) != 0), c - cut)


def _reaches(values: npt.NDArray[np.int64], most: int) -> bool:
    return bool(values.size) and (int(values.max()) >= most or int(values.min()) <= -most)


def _rounded(name: str, number: npt.NDArray[Any], by: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    fmt = get_scalar(check_name(name))
    low, high = limits(name)
    scaled = number * (1 << _GUARD)
    whole = np.asarray(scaled >> by)
    # to odd: the last bit says whether anything was cut off, so that a second rounding is as good as one
    odd = whole | (np.asarray(whole << by) != scaled).astype(whole.dtype)
    near = np.clip(odd, (low - 1 << _GUARD) - 1, (high + 1 << _GUARD) + 1).astype(np.float64)
    codes = encode(fmt, np.ldexp(near, unit(name) - _GUARD))
    return np.asarray(codes).astype(np.uint8).view(np.int8)
