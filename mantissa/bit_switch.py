"""Fewer bits from the integers that are stored: bit-switching by double rounding.

Weights are rounded once to the highest width, ``h`` bits, and from there to every other: ``clamp(round(code / 2**(h - l)))``, whose step
is ``2**(h - l)`` times the stored one (Huang et al. 2025, arXiv 2502.01199). So only the widest codes and one scale are kept.
"""
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .codes import Codes, decode
from .errors import MantissaError
from .kinds import Int, check_format
from .rounding import bound, shift_right

__all__ = ["SWITCH_ROUNDINGS", "switch_bits"]

SWITCH_ROUNDINGS = ("half_even", "half_up", "half_away", "floor", "toward_zero")


def switch_bits(codes: npt.ArrayLike, source: Int, target: Int, rounding: str = "half_even") -> Codes:
    """Codes of ``target`` for those of ``source``, in the same shape.

    The paper leaves ties open; half to even is what rounding does in the framework it was written for.

    Raises
    ------
    MantissaError
        If the formats are not integers of one signedness, or the target is the wider one.
    """
    check_format(source)
    check_format(target)
    if not isinstance(source, Int) or not isinstance(target, Int) or source.signed != target.signed or source.fraction or target.fraction:
        raise MantissaError(f"Formats to switch between must be integers of one signedness, not {source.name} and {target.name}")
    if target.width > source.width:
        raise MantissaError(f"Target must have at most the {source.width} bits of {source.name}, not the {target.width} of {target.name}")
    if rounding not in SWITCH_ROUNDINGS:
        raise MantissaError(f"Rounding must be one of {', '.join(SWITCH_ROUNDINGS)}, not {rounding!r}")
    numbers = decode(source, codes).astype(np.int64)
    low, high = int(target.table.min()), int(target.table.max())
    return np.asarray(bound(shift_right(numbers, source.width - target.width, rounding), low, high)) & ((1 << target.width) - 1)
