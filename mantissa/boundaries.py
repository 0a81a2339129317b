"""Where rounding to a format changes its mind."""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .kinds import Binary, Format, Int, Values
from .kinds_float import Exponent, Float
from .kinds_posit import Posit, posit_values
from .kinds_power import PowerOfRootTwo, PowerOfTwo, least_above_root

__all__ = ["Grid", "boundaries", "grid_of", "round_stochastic"]

_TINY = 5e-324

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Finite values of a format in order.

    Attributes
    ----------
    values
        Ascending, continued by one step at both ends: the first and the last are beyond the format.
    steps
        Between neighbours.
    codes
        One for each of ``values``; at the ends those of the neighbour. Of two zeros, the positive one.
    """
    values: Values
    steps: Values
    codes: Codes


@lru_cache(maxsize=256)
def grid_of(fmt: Format) -> Grid:
    """Grid of ``fmt``."""
    finite = np.flatnonzero(np.isfinite(fmt.table))
    values, first = np.unique(fmt.table[finite], return_index=True)
    codes = finite[first].astype(np.int64)
    steps = np.diff(values)
    low, high = steps[0], steps[-1]
    match fmt:
        case Posit():
            low = high = np.inf                              # nothing beyond: rounding never overflows
        case Exponent():
            low, high = values[0] / 2, values[-1]
        case Float(man=0):
            low, high = -values[0] if fmt.signed else low, values[-1]
        case PowerOfTwo():
            low = high = values[-1]
        case PowerOfRootTwo():
            low = high = np.ldexp(fmt.root, fmt.top - fmt.root_bits) - values[-1]
        case _:
            pass
    with np.errstate(over="ignore"):                         # a step beyond an 11-bit exponent is infinite
        values = np.concatenate([[values[0] - low], values, [values[-1] + high]])
    return Grid(values, np.concatenate([[low], steps, [high]]), np.concatenate([codes[:1], codes, codes[-1:]]))


@lru_cache(maxsize=256)
def boundaries(fmt: Format, rounding: str) -> Values:
    """Smallest float64 that rounds to each value of the grid but the first; ascending.

    So the number of them not above a number is the index of what it rounds to.
    """
    grid = grid_of(fmt)
    below, above = grid.values[:-1], grid.values[1:]
    if rounding == "floor":
        cuts = above.copy()
    elif rounding == "toward_zero" and not isinstance(fmt, Binary):
        cuts = np.where(below < 0, np.nextafter(below, np.inf), above)
    elif isinstance(fmt, (PowerOfTwo, PowerOfRootTwo)):
        return _geometric(fmt, len(above))
    else:
        middle = _middles(fmt, grid)
        up = middle >= 0                                     # half_away, and what has no zero to go toward
        if rounding != "half_away" and not isinstance(fmt, Binary):
            up = up | True if rounding == "half_up" else _lower_odd(grid)
        cuts = np.where(up, middle, np.nextafter(middle, np.inf))
    if isinstance(fmt, Posit):                               # never to zero, never beyond the largest
        zero = int(np.searchsorted(grid.values, 0.0))
        cuts[0], cuts[zero - 1], cuts[zero], cuts[-1] = grid.values[1], 0.0, _TINY, np.nextafter(grid.values[-2], np.inf)
    return cuts


def _middles(fmt: Format, grid: Grid) -> Values:
    """Midpoints, exact in float64; of posits, the bit string's: one more bit, set."""
    if not isinstance(fmt, Posit):
        return np.concatenate([[grid.values[1] - grid.steps[0] / 2], grid.values[1:-1] + grid.steps[1:] / 2])
    longer = (2 * grid.codes[:-1] + 1) & ((2 << fmt.width) - 1)            # the lower neighbour's code; what is beyond does not matter
    return np.nan_to_num(posit_values(longer, fmt.width + 1, fmt.es))


def _lower_odd(grid: Grid) -> npt.NDArray[np.bool_]:
    """Whether a tie goes up to the even code."""
    odd = np.asarray(grid.codes[:-1] & 1 == 1)
    odd[0] ^= True                                           # its code is the neighbour's
    return odd


def _geometric(fmt: PowerOfTwo | PowerOfRootTwo, count: int) -> Values:
    """Boundaries on the logarithmic scale, where there are no ties; below the least power, zero is the next one."""
    half, step = (2, 4) if isinstance(fmt, PowerOfTwo) else (1, 2)          # in quarters of an octave
    up = np.array([least_above_root(4 * fmt.top + half - step * n) for n in range(count // 2)])
    return np.concatenate([-np.nextafter(up, 0.0), up[::-1]])


def round_stochastic(fmt: Format, values: Values, random: Codes, bits: int) -> npt.NDArray[np.intp]:
    """Index in the grid of what ``values`` round to with ``random``, integers of ``bits`` bits: see ``codes.encode``."""
    grid = grid_of(fmt)
    if isinstance(fmt, Posit):
        return _posit_stochastic(fmt, grid, values, random, bits)
    index = np.clip(np.searchsorted(grid.values, values, side="right") - 1, 0, len(grid.steps) - 1)
    below, above, step = grid.values[index], grid.values[index + 1], grid.steps[index]
    part = step * np.ldexp(1.0 * ((1 << bits) - random), -bits)            # exact, and so are the sums
    with np.errstate(over="ignore", invalid="ignore"):
        up = values >= below + part
        if not isinstance(fmt, (Int, Binary)):                             # the magnitude is what is cut
            up = np.where(values < 0, values > above - part, up)
    return np.asarray(index + up)


def _posit_stochastic(fmt: Posit, grid: Grid, values: Values, random: Codes, bits: int) -> npt.NDArray[np.intp]:
    """On the bit string of the magnitude."""
    zero = int(np.searchsorted(grid.values, 0.0))
    positive = grid.values[zero + 1:-1]
    magnitude = np.abs(values)
    code = np.clip(np.searchsorted(positive, magnitude, side="right"), 1, len(positive))
    longer = (np.minimum(code, len(positive) - 1) << bits) + (1 << bits) - random
    up = (code < len(positive)) & (magnitude >= posit_values(longer.astype(np.int64), fmt.width + bits, fmt.es))
    code = np.where(magnitude == 0, 0, np.where(magnitude > positive[-1], len(positive) + 1, code + up))
    return np.asarray(zero + np.where(values < 0, -code, code))
