"""From codes to values and back, for every format with a table."""
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .boundaries import boundaries, grid_of, round_stochastic
from .errors import MantissaError
from .kinds import Format, Int, Values, check_format
from .kinds_posit import Posit
from .rounding import check_rounding

__all__ = ["MODES", "OVERFLOWS", "RANDOM_BITS", "Codes", "decode", "encode", "limits", "reals"]

Codes = npt.NDArray[np.int64]

OVERFLOWS = ("saturate", "special", "wrap", "refuse")
"""What :func:`encode` does with a number beyond the last finite one."""

MODES = ("half_even", "half_up", "half_away", "floor", "toward_zero", "stochastic")
"""How :func:`encode` rounds."""

RANDOM_BITS = 24
"""Random bits of one rounding at most; the thresholds are exact in float64."""


def decode(fmt: Format, codes: npt.ArrayLike) -> Values:
    """Values of ``codes``, which are bit patterns: 0 to ``2**width - 1``, whatever the format.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a format of single numbers, or a code is not an integer or out of range.
    """
    check_format(fmt)
    array = np.asarray(codes)
    if array.dtype.kind not in "iu" and array.size:
        raise MantissaError(f"Codes of {fmt.name} must be integers, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >> fmt.width):
        wrong = array.min() if array.min() < 0 else array.max()
        raise MantissaError(f"Codes of {fmt.name} must be between 0 and {(1 << fmt.width) - 1}, not {wrong}")
    return fmt.table[array.astype(np.intp)]


def limits(fmt: Format) -> tuple[float, float]:
    """Lowest and highest finite value.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a format of single numbers.
    """
    check_format(fmt)
    values = grid_of(fmt).values
    return float(values[1]), float(values[-2])


def encode(fmt: Format, values: npt.ArrayLike, rounding: str = "half_even", overflow: str = "saturate", *,
           random: npt.ArrayLike | None = None, random_bits: int = 0) -> Codes:
    """Codes of ``values``, each rounded once from its exact value.

    A value overflows if it is infinite, or if rounding it to the format continued by one step beyond its last
    finite value gives that step. NaN becomes the quiet positive NaN. What rounds to zero keeps its sign
    where the format has a negative zero. Posits round no number but 0 to 0, and none to NaR, in any mode; powers of two
    and of its root take the nearest on the logarithmic scale.

    ``stochastic`` adds ``random / 2**random_bits`` of a step to the number and cuts off what is then below the last bit: of
    the number itself in :class:`Int` and :class:`Binary`, of its magnitude in all others. A step is what is between two
    neighbouring values, linearly; of posits, between two neighbouring bit strings.

    Parameters
    ----------
    rounding
        ``half_even`` (ties to the even code), ``half_up``, ``half_away``, ``floor``, ``toward_zero`` or ``stochastic``.
    overflow
        ``saturate``: the last finite value of that sign. ``special``: infinity, or NaN in a format without one,
        but where the rounding mode points inwards, as in IEEE 754, a finite value saturates. ``wrap``: integers
        only, modulo ``2**width``. ``refuse``: an error.
    random
        Integers of ``random_bits`` bits, of a shape that broadcasts to that of ``values``; for ``stochastic`` alone.
    random_bits
        1 to 24.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a format of single numbers, if a value is not a real number exact in float64, or is NaN and the
        format has none, or if the format cannot do what ``overflow`` says.
    """
    check_format(fmt)
    check_rounding(rounding, MODES)
    if overflow not in OVERFLOWS:
        raise MantissaError(f"Overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")
    exact = reals(fmt.name, values)
    dice = _random(exact, rounding, random, random_bits)
    nan = np.isnan(exact)
    nans = np.flatnonzero(np.isnan(fmt.table))
    if not len(nans) and nan.any():
        raise MantissaError(f"Values of {fmt.name} must be numbers, not nan")
    if overflow == "wrap":
        return _wrap(fmt, exact, rounding, dice, random_bits)
    codes = grid_of(fmt).codes
    index = (round_stochastic(fmt, exact, dice, random_bits) if rounding == "stochastic"
             else np.searchsorted(boundaries(fmt, rounding), exact, side="right"))
    under, over = (index == 0) & ~nan, (index == len(codes) - 1) & ~nan
    if overflow == "refuse" and np.any(outside := under | over):
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
        goes = not isinstance(fmt, Posit) and rounding != "toward_zero"
        out = np.where(under & (infinite | goes), below, out)
        out = np.where(over & (infinite | (goes and rounding != "floor")), above, out)
    if not len(nans):
        return out
    # an IEEE format has 2**man - 1 NaNs of each sign, and the middle one's fraction is 10...0
    return np.where(nan, nans[len(nans) // (4 if "sign" in fmt.fields else 2)], out)


def reals(name: str, values: npt.ArrayLike) -> Values:
    """``values`` of something called ``name`` as float64, refused if that changes one."""
    array = np.asarray(values)
    try:
        if array.dtype.kind in "cUSMm":
            raise TypeError
        exact = array.astype(np.float64)
    except (TypeError, ValueError):
        raise MantissaError(f"Values of {name} must be real numbers, not {array.dtype}") from None
    except OverflowError:
        raise MantissaError(f"Values of {name} must be exact in float64, not beyond 2**1024") from None
    small = array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) <= 1 << 53
    if array.dtype.kind == "O" or array.dtype.itemsize >= 8 and array.dtype != np.float64 and not small:
        for given, got in zip(array.astype(object).flat, exact.flat, strict=True):
            if given is None:
                raise MantissaError(f"Values of {name} must be real numbers, not None")
            if given == given and given != float(got):
                raise MantissaError(f"Values of {name} must be exact in float64, not {given}")
    return exact


def _random(exact: Values, rounding: str, random: npt.ArrayLike | None, bits: int) -> Codes:
    """Random integers, one for each value."""
    if rounding != "stochastic":
        if random is not None:
            raise MantissaError(f"Random must be left out unless rounding is stochastic, not given with {rounding}")
        return np.zeros((), np.int64)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= RANDOM_BITS:
        raise MantissaError(f"Random bits must be between 1 and {RANDOM_BITS}, not {bits!r}")
    if random is None:
        raise MantissaError("Random must be given where rounding is stochastic, not None")
    array = np.asarray(random)
    if array.dtype.kind not in "iu" and array.size:
        raise MantissaError(f"Random must be integers, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >> bits):
        raise MantissaError(f"Random must be between 0 and {(1 << bits) - 1}, not {array.min() if array.min() < 0 else array.max()}")
    try:
        return np.broadcast_to(array.astype(np.int64), exact.shape)
    except ValueError:
        raise MantissaError(f"Random must have the shape of the values, {exact.shape}, not {array.shape}") from None


def _wrap(fmt: Format, exact: Values, rounding: str, random: Codes, bits: int) -> Codes:
    if not isinstance(fmt, Int):
        raise MantissaError(f"Overflow of {fmt.name} must be saturate, special or refuse, not 'wrap'")
    if np.isinf(exact).any():
        raise MantissaError(f"Values of {fmt.name} must be finite to wrap, not infinite")
    with np.errstate(over="ignore"):
        steps = np.ldexp(exact, fmt.fraction)
    if np.isinf(steps).any():
        raise MantissaError(f"Values of {fmt.name} must be below 2**{1024 - fmt.fraction} to wrap, not {np.abs(exact).max():g}")
    whole = np.trunc(steps)
    rest, sign = np.abs(steps - whole), np.copysign(1, steps)              # exact: the low bits of a float64
    if rounding == "stochastic":
        part = np.ldexp(1.0 * random, -bits)
        up = np.where(sign < 0, rest > part, rest >= 1 - part)             # down if negative
    else:
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
    return int(nans[-1]), int(found[1][0]) if len(found[1]) else int(nans[0])
