"""Floating-point formats."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np

from .kinds import MAX_WIDTH, Fields, Values, check_int, check_name, frozen

__all__ = ["Exponent", "Float", "Top"]

_LEAST, _MOST = -1050, 1023
"""Exponents a format may have: midpoints, and thresholds of stochastic rounding, are exact in float64 too."""


class Top(Enum):
    """What a float spends codes on that are not numbers."""
    IEEE = "where the exponent is all ones: infinity where the fraction is 0, else NaN"
    NAN = "one NaN of each sign, all ones; no infinity"
    NUMBERS = "every code is a number"
    FNUZ = "one NaN, in the place of negative zero; no infinity"


@dataclass(frozen=True, kw_only=True)
class Float:
    """Sign, biased exponent, fraction; subnormals always. At most 16 bits, values exact in float64.

    Zero has both signs, but for unsigned formats and those whose top is FNUZ.

    Parameters
    ----------
    name
        Identifier.
    exp, man
        Bits of exponent and of fraction.
    top
        Which codes are not numbers.
    signed
        Whether there is a sign bit.
    extra_bias
        What the bias exceeds ``2**(exp - 1) - 1`` by.
    """
    name: str
    exp: int
    man: int
    top: Top
    signed: bool = True
    extra_bias: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        if not isinstance(self.top, Top):
            raise TypeError(f"Top of {self.name} must be a Top, not {self.top!r}")
        if self.top is Top.FNUZ and not self.signed:
            raise ValueError(f"Top of {self.name} must not be FNUZ where there is no sign")
        check_int(self.exp, f"Exponent width of {self.name}", 1, 11 if self.top is Top.IEEE else 10)
        lone = self.exp == 1 and self.top in (Top.IEEE, Top.NAN)      # e1m0 would be left with zero alone
        check_int(self.man, f"Fraction width of {self.name}", int(lone), MAX_WIDTH - self.signed - self.exp)
        highest = (1 << self.exp) - 1 - (self.top is Top.IEEE) - ((1 << (self.exp - 1)) - 1)
        check_int(self.extra_bias, f"Extra bias of {self.name}", highest - _MOST, 1 - self.man + self.extra_bias - self.bias - _LEAST)

    @property
    def width(self) -> int:
        """Bits in a code."""
        return self.signed + self.exp + self.man

    @property
    def bias(self) -> int:
        """What the stored exponent exceeds the true one by."""
        return (1 << (self.exp - 1)) - 1 + self.extra_bias

    @property
    def fields(self) -> Fields:
        """``man``, ``exp`` and, in signed formats, ``sign``."""
        top = self.man + self.exp
        return {"man": (0, self.man), "exp": (self.man, top)} | ({"sign": (top, top + 1)} if self.signed else {})

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _float_table(self)


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """A power of two, ``2**(code - bias)``, of 2 to 10 bits: no sign, no zero, NaN where all bits are ones.

    Of 8 bits it is E8M0, the scale of the MX formats (OCP MX 1.0, section 5.4.1).
    """
    name: str
    width: int

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 2, 10)

    @property
    def bias(self) -> int:
        """Code of 1."""
        return (1 << (self.width - 1)) - 1

    @property
    def fields(self) -> Fields:
        """All bits are ``exp``."""
        return {"exp": (0, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _exponent_table(self)


@cache
def _float_table(fmt: Float) -> Values:
    code = np.arange(1 << fmt.width)
    negative = (code >> (fmt.exp + fmt.man)) == 1
    exp = (code >> fmt.man) & ((1 << fmt.exp) - 1)
    man = code & ((1 << fmt.man) - 1)
    ones = exp == (1 << fmt.exp) - 1
    special = {Top.IEEE: ones, Top.NAN: ones & (man == (1 << fmt.man) - 1), Top.NUMBERS: ones & False,
               Top.FNUZ: negative & (exp == 0) & (man == 0)}[fmt.top]
    infinite = special & (man == 0) & (fmt.top is Top.IEEE)
    significand = np.where(exp == 0, man, man + (1 << fmt.man)).astype(np.float64)
    value = np.ldexp(np.where(special, 0.0, significand), np.maximum(exp, 1) - fmt.bias - fmt.man)
    return frozen(np.where(negative, -1.0, 1.0) * np.where(infinite, np.inf, np.where(special, np.nan, value)))


@cache
def _exponent_table(fmt: Exponent) -> Values:
    table = np.ldexp(1.0, np.arange(1 << fmt.width) - fmt.bias)
    table[-1] = np.nan
    return frozen(table)
