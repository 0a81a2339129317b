"""Kinds of number format, and the integers among them.

A format is a small frozen value whose one primitive, ``table``, is the exact value of every code.
Decoding, encoding and the hardware's view of its fields follow from it for every format alike: another kind
of number is another frozen class with ``name``, ``width``, ``fields`` and ``table``.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .errors import MantissaError

__all__ = ["MAX_WIDTH", "Binary", "Fields", "Format", "Int", "SignMagnitude", "Ternary", "Values", "check_format", "check_int",
           "check_name", "frozen"]

Values = npt.NDArray[np.float64]

Fields = Mapping[str, tuple[int, int]]
"""Bits of a code by name: the lowest one, and the one after the highest."""

MAX_WIDTH = 16


class Format(Protocol):
    """What the golden model, the hardware and the driver may ask of a number format."""
    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def fields(self) -> Fields: ...
    @property
    def table(self) -> Values: ...
    def __hash__(self) -> int: ...


def check_int(value: object, what: str, low: int, high: int) -> None:
    """Refuse what is not an integer of ``low`` to ``high``; ``what`` begins the sentence."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be between {low} and {high}, not {value}")


def check_name(name: object) -> None:
    """Refuse what can not name a format."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"Name of a format must be an identifier, not {name!r}")


def check_format(fmt: object, blocks: bool = False) -> None:
    """Refuse what is not a format of single numbers or, where ``blocks``, not a block format."""
    wanted, part, getter = ("a block format", "element", "get_block") if blocks else ("one of single numbers", "table", "get_scalar")
    if hasattr(fmt, part) and not isinstance(fmt, type):
        return
    if isinstance(fmt, str):
        raise MantissaError(f"Format must be {wanted}, as {getter} gives, not the name {fmt!r}")
    other, sort = ("table", "format of single numbers") if blocks else ("element", "block format")
    given = f"the {sort} {getattr(fmt, 'name', '')!r}" if hasattr(fmt, other) and not isinstance(fmt, type) else type(fmt).__name__
    raise MantissaError(f"Format must be {wanted}, not {given}")


def frozen(values: npt.ArrayLike) -> Values:
    """Float64 table that can not be written."""
    table = np.asarray(values, np.float64)
    table.flags.writeable = False
    return table


@dataclass(frozen=True, kw_only=True)
class Int:
    """Two's-complement or unsigned integer of 1 to 16 bits, or such a number of steps of ``2**-fraction``.

    The most negative one is a number like any other.

    Parameters
    ----------
    name
        Identifier.
    width
        Bits.
    signed
        Two's complement, or unsigned.
    fraction
        Bits after the point, 0 to 16; MXINT8's elements have 6 (OCP MX 1.0, section 5.3.4).
    """
    name: str
    width: int
    signed: bool = True
    fraction: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 1, MAX_WIDTH)
        check_int(self.fraction, f"Fraction width of {self.name}", 0, MAX_WIDTH)

    @property
    def fields(self) -> Fields:
        """All bits are the ``number``."""
        return {"number": (0, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _int_table(self)


@dataclass(frozen=True, kw_only=True)
class SignMagnitude:
    """Sign bit above an unsigned magnitude, 2 to 16 bits together; both zeros."""
    name: str
    width: int

    def __post_init__(self) -> None:
        check_name(self.name)
        check_int(self.width, f"Width of {self.name}", 2, MAX_WIDTH)

    @property
    def fields(self) -> Fields:
        """``magnitude`` and ``sign``."""
        return {"magnitude": (0, self.width - 1), "sign": (self.width - 1, self.width)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return _sign_magnitude_table(self.width)


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One bit: 0 is -1 and 1 is +1, so that XNOR multiplies (XNOR-Net; QONNX BipolarQuant).

    Nearest goes by the sign, and 0 is +1, as published; so does toward zero, for there is none.
    """
    name: str = "binary"

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def width(self) -> int:
        """One."""
        return 1

    @property
    def fields(self) -> Fields:
        """``positive``."""
        return {"positive": (0, 1)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return frozen([-1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Ternary:
    """-1, 0 or +1 in two bits: a magnitude and, above it, a sign.

    The codes 0, 1 and 3 mean what they mean in two's complement; code 2 is a second zero, never produced.
    How several share a byte is the business of the ternary engine.
    """
    name: str = "ternary"

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def width(self) -> int:
        """Two."""
        return 2

    @property
    def fields(self) -> Fields:
        """``magnitude`` and ``sign``."""
        return {"magnitude": (0, 1), "sign": (1, 2)}

    @property
    def table(self) -> Values:
        """Value of every code."""
        return frozen([0.0, 1.0, 0.0, -1.0])


@cache
def _int_table(fmt: Int) -> Values:
    codes = np.arange(1 << fmt.width)
    return frozen(np.ldexp(1.0 * (codes - (fmt.signed & (codes >> (fmt.width - 1))) * (1 << fmt.width)), -fmt.fraction))


@cache
def _sign_magnitude_table(width: int) -> Values:
    magnitude = np.arange(1 << (width - 1), dtype=np.float64)
    return frozen(np.concatenate([magnitude, -magnitude]))
