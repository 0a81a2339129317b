"""Rounding and overflow rules, by name, as exact functions of integers.

==================  ================================================================================
``half_even``       nearest, ties to the even integer (ONNX, HAWQ, IEEE 754's default)
``half_up``         nearest, ties towards plus infinity (TFLite single rounding, ITA)
``half_away``       nearest, ties away from zero (gemmlowp's RoundingDivideByPOT)
``tflite_double``   ``half_up`` by min(shift, 31) bits, then ``half_away`` by the rest: what gemmlowp's
                    SaturatingRoundingDoublingHighMul and RoundingDivideByPOT compute together
``floor``           towards minus infinity
``toward_zero``     truncation
==================  ================================================================================

Arrays hold int64, or Python integers (dtype object) where 64 bits could overflow; results likewise.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import MantissaError

__all__ = ["OVERFLOWS", "ROUNDINGS", "Ints", "bound", "check_rounding", "extent", "integers", "scale", "shift_right",
           "shift_right_stochastic"]

Ints = npt.NDArray[Any]
"""int64, or object holding Python integers."""

ROUNDINGS = ("half_even", "half_up", "half_away", "tflite_double", "floor", "toward_zero")

OVERFLOWS = ("saturate", "wrap", "refuse")
"""What :func:`bound` does with an integer out of range."""

_FIRST = 31
_LOW = 32


def check_rounding(rounding: str, allowed: tuple[str, ...] = ROUNDINGS) -> None:
    """Refuse a rounding mode that is not one of ``allowed``."""
    if rounding not in allowed:
        raise MantissaError(f"Rounding must be one of {', '.join(allowed)}, not {rounding!r}")


def integers(values: npt.ArrayLike, what: str) -> Ints:
    """``values`` as int64, or object where they do not fit.

    Raises
    ------
    MantissaError
        If they are not integers; ``what`` begins the sentence.
    """
    array = np.asarray(values)
    if array.dtype.kind == "i" or array.dtype.kind == "u" and array.dtype.itemsize < 8:
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "u":
        return array.astype(np.int64 if extent(array) < 1 << 63 else object)
    if array.dtype == object and all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in array.flat):
        out = np.array([int(v) for v in array.flat], object).reshape(array.shape)
        return out.astype(np.int64) if extent(out) < 1 << 63 else out
    if array.size == 0 and array.dtype == np.float64:      # an empty list has no kind
        return array.astype(np.int64)
    raise MantissaError(f"{what} must be integers, not {array.dtype}")


def extent(values: Ints) -> int:
    """Largest magnitude, 0 if empty."""
    return max(-int(values.min()), int(values.max())) if values.size else 0


def shift_right(values: npt.ArrayLike, shift: npt.ArrayLike, rounding: str = "half_even") -> Ints:
    """``values / 2**shift`` rounded to an integer; ``shift`` broadcasts and must not be negative."""
    check_rounding(rounding)
    num, by = integers(values, "Values"), _shifts(shift)
    shape = np.broadcast_shapes(num.shape, by.shape)
    return _by_mode(np.atleast_1d(num), by, np.zeros_like(by), rounding).reshape(shape)


def shift_right_stochastic(values: npt.ArrayLike, shift: npt.ArrayLike, random: npt.ArrayLike, bits: int) -> Ints:
    """``floor(values / 2**shift + random / 2**bits)``; arguments broadcast.

    ``random`` are integers of ``bits`` bits, added below the last bit that is kept: the stochastic rounding of two's-complement
    formats, :func:`~mantissa.formats.encode`.
    """
    num, by, dice = integers(values, "Values"), _shifts(shift), integers(random, "Random")
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 62:
        raise MantissaError(f"Random bits must be between 1 and 62, not {bits!r}")
    if dice.size and (dice.min() < 0 or dice.max() >> bits):
        raise MantissaError(f"Random must be between 0 and {(1 << bits) - 1}, not {dice.min() if dice.min() < 0 else dice.max()}")
    most = int(by.max()) if by.size else 0
    if extent(num) >> (61 - bits if bits < 61 else 0) or most + bits > 61:
        num, by, dice = num.astype(object), by.astype(object), dice.astype(object)
    return integers(np.asarray(((num << bits) + (dice << by)) >> (by + bits)), "Values")


def scale(values: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike, rounding: str = "half_even") -> Ints:
    """``values * multiplier / 2**shift`` rounded to an integer; arguments broadcast.

    The product is never approximated: where it needs more than 63 bits its low bits are held apart
    and joined to the rounding as a sticky bit, and where that is not enough it is a Python integer.
    """
    check_rounding(rounding)
    num, mul, by = integers(values, "Values"), integers(multiplier, "Multiplier"), _shifts(shift)
    if mul.size and mul.min() < 0:
        raise MantissaError(f"Multiplier must not be negative, not {mul.min()}")
    shape = np.broadcast_shapes(num.shape, mul.shape, by.shape)
    num, mul, by = np.atleast_1d(num), np.atleast_1d(mul), np.atleast_1d(by)
    none = np.zeros_like(by)
    if extent(num) * extent(mul) < 1 << 63:
        return _by_mode(num * mul, by, none, rounding).reshape(shape)
    first = np.minimum(by, _FIRST) if rounding == "tflite_double" else by
    jam = np.clip(first - 2, 0, _LOW)
    fits = num.dtype != object and extent(num) < 1 << 46 and extent(mul) < 1 << 32
    if not fits or extent(num) * extent(mul) >> (int(jam.min()) if jam.size else 0) >= 1 << 62:
        return _by_mode(num.astype(object) * mul.astype(object), by, none, rounding).reshape(shape)
    return _by_mode(_product_jammed(num, mul, jam), by, jam, rounding).reshape(shape)


def bound(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, overflow: str = "saturate") -> Ints:
    """``values`` brought into ``low`` to ``high`` (both included), by a rule of :data:`OVERFLOWS`.

    ``wrap`` keeps the value modulo the size of the range; ``refuse`` raises :exc:`MantissaError`.
    """
    if overflow not in OVERFLOWS:
        raise MantissaError(f"Overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")
    num, least, most = integers(values, "Values"), integers(low, "Low"), integers(high, "High")
    if np.any(least > most):
        raise MantissaError(f"Low must not be above high, not {least.max()} and {most.min()}")
    if overflow == "wrap":
        if max(extent(num), extent(least), extent(most)) >= 1 << 61:
            num, least, most = num.astype(object), least.astype(object), most.astype(object)
        return integers((num - least) % (most - least + 1) + least, "Values")
    outside = (num < least) | (num > most)
    if overflow == "refuse" and np.any(outside):
        worst = np.broadcast_to(num, outside.shape)[outside].flat[0]
        raise MantissaError(f"Value must be between {least.min()} and {most.max()}, not {worst}")
    return integers(np.minimum(np.maximum(num, least), most), "Values")


def _shifts(shift: npt.ArrayLike) -> npt.NDArray[np.int64]:
    by = integers(shift, "Shift")
    if by.size and (by.dtype == object or by.min() < 0 or by.max() > 1 << 20):
        wrong = by.min() if by.min() < 0 else by.max()
        raise MantissaError(f"Shift must be between 0 and {1 << 20}, not {wrong}")
    return by


def _by_mode(num: Ints, by: Ints, done: Ints, rounding: str) -> Ints:
    """``num`` over ``2**by`` rounded, ``done`` bits of the shift being behind it already."""
    if rounding != "tflite_double":
        return integers(_round(num, by - done, rounding), "Values")
    first = np.minimum(by, _FIRST)
    return integers(_round(_round(num, first - done, "half_up"), by - first, "half_away"), "Values")


def _round(num: Ints, by: Ints, rounding: str) -> Ints:
    """One rounding step."""
    if num.dtype == object or by.size and by.max() > 62:
        num, by = num.astype(object), by.astype(object)
    quotient = np.asarray(num >> by)
    unit = np.asarray((by * 0 + 1) << by)
    twice = np.asarray(2 * (num - (quotient << by)))       # below 2**63: by is 62 at most
    match rounding:
        case "floor":
            return quotient
        case "toward_zero":
            up = (num < 0) & (twice != 0)
        case "half_even":
            up = (twice > unit) | (twice == unit) & (quotient & 1 == 1)
        case "half_up":
            up = twice >= unit
        case _:
            up = (twice > unit) | (twice == unit) & (num >= 0)
    return np.asarray(quotient + np.asarray(up).astype(quotient.dtype))


def _product_jammed(num: Ints, mul: Ints, jam: Ints) -> Ints:
    """``floor(num * mul / 2**jam)`` with bit 0 set if anything was cut off; ``jam`` is 32 at most.

    Rounding that by two bits or more gives what rounding the product gives: quotient, half bit and
    "more than that" are all still there.
    """
    lower = num * (mul & 0xffff)
    upper = num * (mul >> 16) + (lower >> 16)
    high, low = upper >> 16, (upper & 0xffff) << 16 | lower & 0xffff       # product = high * 2**32 + low
    cut = (low & ((np.int64(1) << jam) - 1)) != 0
    return np.asarray((high << (_LOW - jam)) + (low >> jam) | cut)
