"""From codes to values and back, for every format with a table."""
from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .kinds import Float, Format, Int, Values
from .rounding import ROUNDINGS, check_rounding

__all__ = ["OVERFLOWS", "Codes", "decode", "encode", "limits"]

Codes = npt.NDArray[np.int64]

OVERFLOWS = ("saturate", "special", "wrap", "refuse")
"""What :func:`encode` does with a number beyond the last finite one."""

_MODES = tuple(mode for mode in ROUNDINGS if mode != "tflite_double")      # a rule for shifts, not for values


def decode(fmt: Format, codes: npt.ArrayLike) -> Values:
    """Values of ``codes``, which are bit patterns: 0 to ``2**width - 1``, whatever the format.

    Raises
    ------
    MantissaError
        If a code is not an integer or out of range.
    """
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" and array.size:
        raise MantissaError(f"Codes of {fmt.name} must be integers, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >> fmt.width):
        wrong = array.min() if array.min() < 0 else array.max()
        raise MantissaError(f"Codes of {fmt.name} must be between 0 and {(1 << fmt.width) - 1}, not {wrong}")
    return fmt.table[array.astype(np.intp)]


def limits(fmt: Format) -> tuple[float, float]:
    """Lowest and highest finite value."""
    finite = fmt.table[np.isfinite(fmt.table)]
    return float(finite.min()), float(finite.max())


def encode(fmt: Format, values: npt.ArrayLike, rounding: str = "half_even", overflow: str = "saturate") -> Codes:
    """Codes of ``values``, each rounded once from its exact value.

    A value overflows if it is infinite, or if rounding it to the format continued by one step beyond its last
    finite value gives that step. NaN becomes the quiet positive NaN. What rounds to zero keeps its sign
    where the format has a negative zero.

    Parameters
    ----------
    rounding
        ``half_even`` (ties to the even code), ``half_up``, ``half_away``, ``floor`` or ``toward_zero``.
    overflow
        ``saturate``: the last finite value of that sign. ``special``: infinity, or NaN in a format without one,
        but where the rounding mode points inwards, as in IEEE 754, a finite value saturates. ``wrap``: integers
        only, modulo ``2**width``. ``refuse``: an error.

    Raises
    ------
    MantissaError
        If a value is not a real number exact in float64, or is NaN and the format has none, or if the format
        cannot do what ``overflow`` says.
    """
    check_rounding(rounding, _MODES)
    if overflow not in OVERFLOWS:
        raise MantissaError(f"Overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")
    exact = _reals(fmt, values)
    nan = np.isnan(exact)
    nans = np.flatnonzero(np.isnan(fmt.table))
    if not len(nans) and nan.any():
        raise MantissaError(f"Values of {fmt.name} must be numbers, not nan")
    if overflow == "wrap":
        return _wrap(fmt, exact, rounding)
    cuts, codes = _cuts(fmt, rounding)
    index = np.searchsorted(cuts, exact, side="right")      # 0 and the last: overflow
    if overflow == "refuse" and np.any(outside := ((index == 0) | (index == len(cuts))) & ~nan):
        low, high = limits(fmt)
        raise MantissaError(f"Values of {fmt.name} must be between {low:g} and {high:g}, "
                            f"not {exact[outside].flat[0]:g}")
    out = np.asarray(codes[index])
    zeros = np.flatnonzero((fmt.table == 0) & np.signbit(fmt.table))
    if len(zeros):
        out = np.where((out == 0) & np.signbit(exact), zeros[0], out)
    if overflow == "special":
        below, above = _specials(fmt)
        infinite = np.isinf(exact)
        out = np.where((index == 0) & (infinite | (rounding != "toward_zero")), below, out)
        out = np.where((index == len(cuts)) & (infinite | (rounding not in ("toward_zero", "floor"))), above, out)
    # an IEEE format has 2**man - 1 NaNs of each sign, and the middle one's fraction is 10...0
    return np.where(nan, nans[len(nans) // 4], out) if len(nans) else out


def _reals(fmt: Format, values: npt.ArrayLike) -> Values:
    """``values`` as float64, refused if that changes one."""
    array = np.asarray(values)
    try:
        if array.dtype.kind in "cUSMm":
            raise TypeError
        exact = array.astype(np.float64)
    except (TypeError, ValueError):
        raise MantissaError(f"Values of {fmt.name} must be real numbers, not {array.dtype}") from None
    except OverflowError:
        raise MantissaError(f"Values of {fmt.name} must be exact in float64, not beyond 2**1024") from None
    small = array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) <= 1 << 53
    if array.dtype.kind == "O" or array.dtype.itemsize >= 8 and array.dtype != np.float64 and not small:
        for given, got in zip(array.astype(object).flat, exact.flat, strict=True):
            if given is None:
                raise MantissaError(f"Values of {fmt.name} must be real numbers, not None")
            if given == given and given != float(got):
                raise MantissaError(f"Values of {fmt.name} must be exact in float64, not {given}")
    return exact


def _wrap(fmt: Format, exact: Values, rounding: str) -> Codes:
    if not isinstance(fmt, Int):
        raise MantissaError(f"Overflow of {fmt.name} must be saturate, special or refuse, not 'wrap'")
    if np.isinf(exact).any():
        raise MantissaError(f"Values of {fmt.name} must be finite to wrap, not infinite")
    whole = np.trunc(exact)
    rest, sign = np.abs(exact - whole), np.copysign(1, exact)              # exact: the low bits of a float64
    up = {"floor": (rest > 0) & (sign < 0), "toward_zero": rest < 0, "half_away": rest >= 0.5,
          "half_up": (rest > 0.5) | (rest == 0.5) & (sign > 0),
          "half_even": (rest > 0.5) | (rest == 0.5) & (np.mod(whole, 2) == 1)}[rounding]
    return np.asarray(np.mod(whole + up * sign, 1 << fmt.width)).astype(np.int64)


def _specials(fmt: Format) -> tuple[int, int]:
    """Codes an overflow becomes, below and above."""
    found = [np.flatnonzero(fmt.table == sign) for sign in (-np.inf, np.inf)]
    nans = np.flatnonzero(np.isnan(fmt.table))
    if all(map(len, found)):
        return int(found[0][0]), int(found[1][0])
    if not len(nans):
        raise MantissaError(f"Overflow of {fmt.name} must be saturate or refuse, not 'special'")
    return int(nans[-1]), int(nans[0])


@lru_cache(maxsize=256)
def _cuts(fmt: Format, rounding: str) -> tuple[Values, Codes]:
    """Where rounding changes its mind, exactly.

    Returns
    -------
    cuts
        Ascending; the number of them not above a value is the index of its code.
    codes
        In order of value, the first and the last twice: those indices are reached by overflow alone.
    """
    finite = np.flatnonzero(np.isfinite(fmt.table))
    grid, first = np.unique(fmt.table[finite], return_index=True)
    codes = finite[first]                                   # of two zeros, the positive one
    steps = np.diff(grid)
    bottom, top = (-grid[0], grid[-1]) if isinstance(fmt, Float) and fmt.man == 0 else (steps[0], steps[-1])
    middle = np.concatenate([[grid[0] - bottom / 2], grid[:-1] + steps / 2, [grid[-1] + top / 2]])
    with np.errstate(over="ignore"):                        # a step beyond an 11-bit exponent is infinite
        grid = np.concatenate([[grid[0] - bottom], grid, [grid[-1] + top]])
    odd = np.concatenate([[codes[0] & 1 == 0], codes & 1 == 1])
    below, above = grid[:-1], grid[1:]
    cuts = {"half_even": np.where(odd, middle, np.nextafter(middle, np.inf)), "half_up": middle,
            "half_away": np.where(middle >= 0, middle, np.nextafter(middle, np.inf)), "floor": above,
            "toward_zero": np.where(below < 0, np.nextafter(below, np.inf), above)}[rounding]
    return cuts, np.concatenate([codes[:1], codes, codes[-1:]])
