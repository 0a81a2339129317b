"""Kinds of number format: what a code means.

A format is a small frozen value whose one primitive, ``table``, is the exact value of every code.
Decoding, encoding and the hardware's field layout follow from it for every format alike: another kind
of number is another frozen class with ``name``, ``width`` and ``table``.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_WIDTH", "Float", "Format", "Int", "Top", "Values"]

Values = npt.NDArray[np.float64]

MAX_WIDTH = 16


class Format(Protocol):
    """What the golden model, the hardware and the driver may ask of a number format."""
    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def table(self) -> Values: ...
    def __hash__(self) -> int: ...


def _check_int(value: object, what: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be between {low} and {high}, not {value}")


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"Name of a format must be an identifier, not {name!r}")


def _frozen(values: npt.ArrayLike) -> Values:
    table = np.asarray(values, np.float64)
    table.flags.writeable = False
    return table


@dataclass(frozen=True, kw_only=True)
class Int:
    """Two's-complement or unsigned integer of 1 to 16 bits. The most negative one is a number like any other."""
    name: str
    width: int
    signed: bool = True

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_int(self.width, f"Width of {self.name}", 1, MAX_WIDTH)

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _int_table(self)


class Top(Enum):
    """What the codes whose exponent is all ones mean."""
    IEEE = "infinity where the fraction is 0, else NaN"
    NAN = "numbers, but for one NaN of each sign where the fraction is all ones too"
    NUMBERS = "numbers"


@dataclass(frozen=True, kw_only=True)
class Float:
    """Sign, biased exponent, fraction; subnormals and both zeros always. At most 16 bits, values exact in float64.

    Parameters
    ----------
    name
        Identifier.
    exp, man
        Bits of exponent and of fraction.
    top
        Policy for the largest exponent.
    """
    name: str
    exp: int
    man: int
    top: Top

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not isinstance(self.top, Top):
            raise TypeError(f"Top of {self.name} must be a Top, not {self.top!r}")
        _check_int(self.exp, f"Exponent width of {self.name}", 1, 11 if self.top is Top.IEEE else 10)
        lone = self.exp == 1 and self.top is not Top.NUMBERS          # e1m0 would be left with zero alone
        _check_int(self.man, f"Fraction width of {self.name}", int(lone), MAX_WIDTH - 1 - self.exp)

    @property
    def width(self) -> int:
        """Bits in a code."""
        return 1 + self.exp + self.man

    @property
    def bias(self) -> int:
        """What the stored exponent exceeds the true one by."""
        return (1 << (self.exp - 1)) - 1

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _float_table(self)


@cache
def _int_table(fmt: Int) -> Values:
    codes = np.arange(1 << fmt.width)
    return _frozen(codes - (fmt.signed & (codes >> (fmt.width - 1))) * (1 << fmt.width))


@cache
def _float_table(fmt: Float) -> Values:
    code = np.arange(1 << fmt.width)
    sign = np.where(code >> (fmt.width - 1), -1.0, 1.0)
    exp = (code >> fmt.man) & ((1 << fmt.exp) - 1)
    man = code & ((1 << fmt.man) - 1)
    ones = exp == (1 << fmt.exp) - 1
    special = ones & {Top.IEEE: True, Top.NAN: man == (1 << fmt.man) - 1, Top.NUMBERS: False}[fmt.top]
    infinite = special & (man == 0) & (fmt.top is Top.IEEE)
    significand = np.where(exp == 0, man, man + (1 << fmt.man)).astype(np.float64)
    value = np.ldexp(np.where(special, 0.0, significand), np.maximum(exp, 1) - fmt.bias - fmt.man)
    return _frozen(sign * np.where(infinite, np.inf, np.where(special, np.nan, value)))
