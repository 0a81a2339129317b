"""Posits."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .kinds import MAX_WIDTH, Fields, Values, check_int, check_name, frozen

__all__ = ["Posit", "posit_values"]

_MOST = 1022
"""Exponent of the largest posit at most, so that it and the least one are normal in float64."""


@dataclass(frozen=True, kw_only=True)
class Posit:
    """Posit of 2 to 16 bits with ``es`` exponent bits.

    Sign, regime (a run of equal bits and the opposite one), up to ``es`` exponent bits, fraction; bits beyond the word's end
    are zeros. Negation is two's complement of the word; 100..0 is NaR, which is NaN here. The 2022 standard fixes ``es`` at 2;
    before, it was 0, 1 and 2 for 8, 16 and 32 bits (Gustafson and Yonemoto 2017; Posit Standard 2022, section 3).

    The largest is ``2**((width - 2) * 2**es)`` and must not exceed ``2**1022``.
    """
    name: str
    width: int
    es: int

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 2, MAX_WIDTH)
        check_int(self.es, f"Exponent width of {self.name}", 0, (_MOST // max(self.width - 2, 1)).bit_length() - 1)

    @property
    def scale(self) -> int:
        """Exponent of the largest one."""
        return (self.width - 2) << self.es

    @property
    def fields(self) -> Fields:
        """``body`` and ``sign``; where the regime ends depends on the code."""
        return {"body": (0, self.width - 1), "sign": (self.width - 1, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _posit_table(self.width, self.es)


def posit_values(codes: np.typing.NDArray[np.int64], width: int, es: int) -> Values:
    """Values of posits of ``width`` bits, at most 48; exact where they are in float64's range."""
    magnitude = np.where(codes >> (width - 1), -codes & ((1 << width) - 1), codes)
    first = magnitude >> (width - 2) & 1
    run, same = np.zeros_like(codes), np.full(codes.shape, True)
    for bit in range(width - 2, -1, -1):
        same &= (magnitude >> bit & 1) == first
        run += same
    left = np.maximum(width - 2 - run, 0)                                   # bits after the regime
    rest = magnitude & ((1 << left) - 1)
    fraction = np.maximum(left - es, 0)
    exponent = np.where(left >= es, rest >> fraction, rest << np.maximum(es - left, 0))
    scale = np.where(first, run - 1, -run) * (1 << es) + exponent
    value = np.ldexp(1.0 * ((rest & ((1 << fraction) - 1)) + (1 << fraction)), scale - fraction)
    value = np.where(codes >> (width - 1), -value, value)
    return np.where(codes == 0, 0.0, np.where(codes == 1 << (width - 1), np.nan, value))


@cache
def _posit_table(width: int, es: int) -> Values:
    return frozen(posit_values(np.arange(1 << width), width, es))
