"""Number formats as shapes of signals."""
from __future__ import annotations

import math
from typing import Any

from amaranth.hdl import Const, Format, Shape, ShapeCastable, Value, ValueCastable, unsigned

from ..formats import Float, Int, encode
from ..formats import Format as NumberFormat

__all__ = ["Code", "CodeView"]

_SHOWN = 8                        # bits of the widest format whose values are spelt out in waveforms


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
        if not all(hasattr(fmt, name) for name in ("name", "width", "table")):
            raise TypeError(f"Format of a code must have a name, a width and a table, not be {fmt!r}")
        self.fmt = fmt

    def as_shape(self) -> Shape:
        """Unsigned, of the format's width."""
        return unsigned(self.fmt.width)

    def const(self, init: Any) -> Const:
        """Code of the number ``init``; of 0 for :data:`None`."""
        number = 0 if init is None else init
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
    sign, exp, man : :class:`Value`
        Fields of a :class:`~mantissa.formats.Float`.
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

    def _field(self, kind: type, name: str, low: int, high: int) -> Value:
        fmt = self._shape.fmt
        if not isinstance(fmt, kind):
            raise AttributeError(f"Code of {fmt.name} must be of a {kind.__name__} to have its {name}")
        return self._bits[low:high]

    @property
    def sign(self) -> Value:
        """Sign bit."""
        return self._field(Float, "sign", self._shape.fmt.width - 1, self._shape.fmt.width)

    @property
    def exp(self) -> Value:
        """Biased exponent."""
        return self._field(Float, "exponent", getattr(self._shape.fmt, "man", 0), self._shape.fmt.width - 1)

    @property
    def man(self) -> Value:
        """Fraction."""
        return self._field(Float, "fraction", 0, getattr(self._shape.fmt, "man", 0))

    @property
    def number(self) -> Value:
        """Integer."""
        bits = self._field(Int, "number", 0, self._shape.fmt.width)
        return bits.as_signed() if getattr(self._shape.fmt, "signed", False) else bits

    def __repr__(self) -> str:
        return f"{self._shape!r}({self._bits!r})"
