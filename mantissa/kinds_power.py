"""Powers of two, and of its square root: numbers one multiplies by with shifts.

Nearest is meant on the logarithmic scale here, as published: ``k = round(log(|x|) / log(base))``, so the boundary of two
neighbours is their geometric mean. It is irrational, hence no tie, and the three nearest modes coincide. To have the
nearest power of two by value, as INQ has it, take a float without a fraction, ``eXm0``.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import isqrt

import numpy as np

from .kinds import Fields, Values, check_int, check_name, frozen

__all__ = ["PowerOfRootTwo", "PowerOfTwo", "least_above_root"]

_WIDEST = 8
_FARTHEST = 256


@dataclass(frozen=True, kw_only=True)
class PowerOfTwo:
    """Zero and plus or minus ``2**k`` (POT; Elhoushi et al. 2021, DeepShift).

    A sign above a field of ``width - 1`` bits: 0 is zero, and ``f`` is ``2**(top - most + f)``, ``most`` being the largest field.

    Parameters
    ----------
    name
        Identifier.
    width
        Bits, 2 to 8.
    top
        Exponent of the largest number; published quantisers scale the largest weight to 1, hence 0.
    """
    name: str
    width: int
    top: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 2, _WIDEST)
        check_int(self.top, f"Top exponent of {self.name}", -_FARTHEST, _FARTHEST)

    @property
    def fields(self) -> Fields:
        """``power`` and ``sign``."""
        return {"power": (0, self.width - 1), "sign": (self.width - 1, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _power_table(self.width, self.top, 1, 0)


@dataclass(frozen=True, kw_only=True)
class PowerOfRootTwo:
    """Zero and plus or minus ``sqrt(2)**k`` (POST), the root being a stated multiple of ``2**-root_bits``.

    A sign above a field of ``width - 1`` bits: 0 is zero, and ``f`` is the root to the power ``2 * top - most + f``. The
    published values are irrational; ours are ``2**j`` and ``root * 2**j``, ``root`` being the multiple nearest ``sqrt(2)``,
    181/128 by default, because that is what exact products are made from. Which one is nearest is decided for the irrational
    ones.

    Parameters
    ----------
    name
        Identifier.
    width
        Bits, 2 to 8.
    top
        Exponent of two of the largest number.
    root_bits
        Bits after the point of the root, 1 to 16.
    """
    name: str
    width: int
    top: int = 0
    root_bits: int = 7

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 2, _WIDEST)
        check_int(self.top, f"Top exponent of {self.name}", -_FARTHEST, _FARTHEST)
        check_int(self.root_bits, f"Root width of {self.name}", 1, 16)

    @property
    def root(self) -> int:
        """``sqrt(2)`` in steps of ``2**-root_bits``, rounded to nearest."""
        return (isqrt(8 << (2 * self.root_bits)) + 1) // 2

    @property
    def fields(self) -> Fields:
        """``power`` and ``sign``."""
        return {"power": (0, self.width - 1), "sign": (self.width - 1, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _power_table(self.width, self.top, self.root, self.root_bits)


@cache
def _power_table(width: int, top: int, root: int, root_bits: int) -> Values:
    most = (1 << (width - 1)) - 1
    below = most - np.arange(1, most + 1)                                  # steps below the top
    if root == 1:
        values = np.ldexp(1.0, top - below)
    else:
        odd = below & 1
        values = np.ldexp(np.where(odd, root, 1 << root_bits), top - (below + odd) // 2 - root_bits)
    magnitude = np.concatenate([[0.0], values])
    return frozen(np.concatenate([magnitude, -magnitude]))


def least_above_root(quarters: int) -> float:
    """Smallest float64 above ``2**(quarters / 4)``, which must be irrational."""
    whole, part = divmod(quarters, 4)
    if not part:
        raise ValueError(f"Quarters must not be a multiple of 4, not {quarters}")
    return float(np.ldexp(float(isqrt(isqrt(1 << (4 * 52 + part))) + 1), whole - 52))       # 53 bits, the last one up
