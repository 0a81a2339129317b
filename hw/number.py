"""Number formats as shapes of signals."""
from __future__ import annotations

import math
from typing import Any

from amaranth.hdl import Const, Format, Shape, ShapeCastable, Value, ValueCastable, unsigned

from ..errors import MantissaError
from ..formats import Format as NumberFormat
from ..formats import encode, get_scalar

__all__ = ["Code", "CodeView", "named"]

_SHOWN = 8                        # bits of the widest format whose values are spelt out in waveforms


def named(name: object) -> NumberFormat:
    """Format of single numbers called ``name``, for a unit that is asked for it.

    Raises
    ------
    ValueError
        If there is none; the sentence has the nearest names.
    """
    try:
        return get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None


class Code(ShapeCastable):
    """Shape of a code of a number format.

    ``Signal(Code(E4M3))`` has the format's width and fields. Its initial value, and what a simulation sets it to, is given as
    a number and encoded by the golden model, rounded to the nearest; a number out of range is refused. What a simulation reads
    is the raw code: benches compare codes, not values. Waveforms show the value of formats of at most 8 bits.

    Parameters
    ----------
    fmt : :class:`~mantissa.formats.Format`
        Format.
    """

    def __init__(self, fmt: NumberFormat) -> None:
        if not all(hasattr(fmt, name) for name in ("name", "width", "fields", "table")):
            raise TypeError(f"Format of a code must be one of single numbers, not {fmt!r}")
        self.fmt = fmt

    def as_shape(self) -> Shape:
        """Unsigned, of the format's width."""
        return unsigned(self.fmt.width)

    def const(self, init: Any) -> Const:
        """Code of the number ``init``; code 0 for :data:`None`, which is 0 in every format that has it."""
        if init is None:
            return Const(0, self.as_shape())
        number = init
        if isinstance(number, bool) or not hasattr(number, "__float__"):
            raise TypeError(f"Value of {self.fmt.name} must be a number, not {init!r}")
        overflow = "special" if math.isinf(number) else "refuse"
        return Const(int(encode(self.fmt, number, overflow=overflow)), self.as_shape())

    def from_bits(self, raw: int) -> int:
        """The code itself."""
        return raw

    def __call__(self, target: Any) -> CodeView:
        return CodeView(self, target)

    def format(self, value: Any, spec: str) -> Any:
        """The value where it can be spelt out, else the raw code; the code formatted by ``spec`` if there is one."""
        code = Value.cast(value)
        if spec or self.fmt.width > _SHOWN:
            return Format(f"{{:{spec}}}", code)
        return Format.Enum(code, {n: _text(float(v)) for n, v in enumerate(self.fmt.table)}, name=self.fmt.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and other.fmt == self.fmt

    def __hash__(self) -> int:
        return hash(self.fmt)

    def __repr__(self) -> str:
        return f"Code({self.fmt.name})"


def _text(value: float) -> str:
    """Shortest exact decimal, without the point where there is no fraction."""
    return repr(value).removesuffix(".0")


class CodeView(ValueCastable):
    """A value whose shape is a :class:`Code`.

    Members
    -------
    sign, exp, man, magnitude, power, body, positive : :class:`Value`
        Fields the format has; see its ``fields``.
    number : :class:`Value`
        What an :class:`~mantissa.formats.Int` means: the bits, signed or unsigned.
    """

    def __init__(self, shape: Code, target: Any) -> None:
        bits = Value.cast(target)
        if len(bits) != shape.fmt.width:
            raise ValueError(f"Value viewed as {shape.fmt.name} must have {shape.fmt.width} bits, not {len(bits)}")
        self._shape, self._bits = shape, bits

    def shape(self) -> Code:
        """The code's shape."""
        return self._shape

    def as_value(self) -> Value:
        """The code's bits."""
        return self._bits

    def eq(self, other: Any) -> Any:
        """Assignment of another code of the same format, of plain bits, or of a number."""
        if isinstance(other, CodeView) and other.shape() != self._shape:
            raise TypeError(f"Code of {self._shape.fmt.name} must be assigned one of the same format, not of {other.shape().fmt.name}")
        bits = Value.cast(other) if isinstance(other, (Value, ValueCastable)) else self._shape.const(other)
        return self._bits.eq(bits)

    def _field(self, name: str) -> Value:
        fmt = self._shape.fmt
        if name not in fmt.fields:
            raise AttributeError(f"Code of {fmt.name} must have a field {name}, not {', '.join(fmt.fields)}")
        low, high = fmt.fields[name]
        return self._bits[low:high]

    @property
    def sign(self) -> Value:
        """Sign bit, 1 where negative."""
        return self._field("sign")

    @property
    def exp(self) -> Value:
        """Biased exponent of a float or a scale."""
        return self._field("exp")

    @property
    def man(self) -> Value:
        """Fraction of a float."""
        return self._field("man")

    @property
    def magnitude(self) -> Value:
        """Magnitude of sign-magnitude and ternary numbers."""
        return self._field("magnitude")

    @property
    def power(self) -> Value:
        """Field of a power that is 0 for zero, and otherwise counts the powers."""
        return self._field("power")

    @property
    def body(self) -> Value:
        """All of a posit but the sign."""
        return self._field("body")

    @property
    def positive(self) -> Value:
        """The bit of a binary number."""
        return self._field("positive")

    @property
    def number(self) -> Value:
        """Integer, signed or unsigned; in steps if the format has a fraction."""
        bits = self._field("number")
        return bits.as_signed() if getattr(self._shape.fmt, "signed", False) else bits

    def __repr__(self) -> str:
        return f"{self._shape!r}({self._bits!r})"
