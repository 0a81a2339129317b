"""From real scales to the requantizer's ``b / 2**c``, correctly rounded."""
from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .errors import MantissaError

__all__ = ["SHIFT_MOST", "dyadic", "dyadic_together"]

SHIFT_MOST = 63


def _exponent(scale: Fraction) -> int:
    """``e`` with ``2**(e - 1) <= scale < 2**e``."""
    e = scale.numerator.bit_length() - scale.denominator.bit_length() + 1
    return e - 1 if scale < Fraction(2) ** (e - 1) else e


def dyadic(scale: Fraction) -> tuple[int, int]:
    """Multiplier and shift nearest to one scale.

    Parameters
    ----------
    scale
        Exact positive scale.

    Returns
    -------
    tuple of int
        ``b, c`` with ``b`` from 2**30 to 2**31 and ``c`` up to 63; below 2**-32 ``b`` is smaller, as ``c`` is 63.

    Raises
    ------
    MantissaError
        If the scale is not positive, or 2**31 or more.
    """
    (b,), c = dyadic_together([scale])
    return b, c


def dyadic_together(scales: Sequence[Fraction]) -> tuple[tuple[int, ...], int]:
    """Multipliers of several scales with one shift: the largest scale's of :func:`dyadic`.

    Raises
    ------
    MantissaError
        As :func:`dyadic`.
    """
    for scale in scales:
        if scale <= 0:
            raise MantissaError(f"Requantization scale must be positive, not {float(scale):g}")
    shift = min(31 - _exponent(max(scales)), SHIFT_MOST)
    if shift < 0:
        raise MantissaError(f"Requantization scale must be less than 2**31, not {float(max(scales)):g}")
    return tuple(round(scale * 2 ** shift) for scale in scales), shift
