"""Formats the accelerator computes with, as integers in units of their smallest step.

Every number of these formats is a whole number of units below 2**18 in magnitude, so operands are decoded once, where they enter the array,
and everything behind is exact integer arithmetic; results become codes again in one rounding, at the end.

Codes travel in bytes: the code's bits, extended with zeros, as int8. So int8's codes are its values.
"""
from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from .codes import encode
from .errors import MantissaError
from .formats import get_scalar
from .kinds import Format
from .kinds_float import Float, Top

__all__ = ["BITS", "NAMES", "as_codes", "as_fixed", "check_name", "limits", "unit"]

NAMES = ("int8", "int4", "e4m3", "e2m1", "posit8_0", "posit4_1")
"""Names; their order is the code by which a program says which."""

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


def as_codes(name: str, value: npt.ArrayLike, shift: npt.ArrayLike = 0) -> npt.NDArray[np.int8]:
    """Codes of ``value / 2**shift`` units, integers of any size, rounded once: half to even, saturating.

    As :func:`mantissa.formats.encode` rounds the exact number; a posit never becomes 0 unless the number is.
    """
    fmt = get_scalar(check_name(name))
    low, high = limits(name)
    number, by = np.broadcast_arrays(np.asarray(value, object), np.asarray(shift, object))
    scaled = number * (1 << _GUARD)
    whole = np.asarray(scaled >> by, object)
    # to odd: the last bit says whether anything was cut off, so that a second rounding is as good as one
    odd = whole | (np.asarray(whole << by, object) != scaled).astype(object)
    near = np.clip(odd, (low - 1 << _GUARD) - 1, (high + 1 << _GUARD) + 1).astype(np.float64)
    codes = encode(fmt, np.ldexp(near, unit(name) - _GUARD))
    return np.asarray(codes).astype(np.uint8).view(np.int8)
