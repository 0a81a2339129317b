"""Floating-point multiplier, correctly rounded."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..errors import MantissaError
from ..formats import Float, Format, Top, get_scalar
from .pipeline import Pipeline, leading_zeros, shift_right

__all__ = ["MultiplyFloat", "check_ieee"]


def check_ieee(name: object) -> Float:
    """Signed float with infinities and NaNs as IEEE 754 has them, called ``name``.

    Raises
    ------
    ValueError
        If there is none; the sentence has the nearest names.
    """
    try:
        fmt: Format = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fmt, Float) or not fmt.signed or fmt.top is not Top.IEEE:
        raise ValueError(f"Format must be a signed float with infinities, not {name!r}")
    return fmt


class MultiplyFloat(wiring.Component):
    """Product of two floats, rounded once to the same format.

    To the nearest, ties to even; subnormal operands and results are numbers like any other; a product out of range is an infinity. A
    product with a NaN, and of zero and infinity, is the canonical NaN: positive, quiet, no payload (IEEE 754-2019, 4.3.1, 6.2 and 7.4;
    RISC-V's choice of the NaN). No flags. One product per cycle, seven cycles of latency; one global stall.

    Significands are multiplied as they are and the product is normalised, so that no operand has to be: it moves left until its leading one
    is at the top or its exponent is the least there is, and right if it is less. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Signed float with infinities, by its name in :func:`mantissa.formats.get`.

    Members
    -------
    i : :py:`In(stream.Signature({"a": width, "b": width}))`
        Codes.
    o : :py:`Out(stream.Signature({"p": width}))`
        Code of the product.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str) -> None:
        self.fmt = check_ieee(fmt)
        code = unsigned(self.fmt.width)
        super().__init__({"i": In(stream.Signature(data.StructLayout({"a": code, "b": code}))),
                          "o": Out(stream.Signature(data.StructLayout({"p": code})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exp, man = self.fmt.exp, self.fmt.man
        wide, top, bias = 2 * (man + 1), (1 << exp) - 1, (1 << exp - 1) - 1
        pipe = Pipeline(m, self.i, self.o)
        a, b = self.i.p.a, self.i.p.b
        parts = {f"{name}_{part}": value for name, code in (("a", a), ("b", b))
                 for part, value in zip("se", self._parts(code), strict=True)}
        nan = (self._infinite(a) & ~b[:-1].any()) | (self._infinite(b) & ~a[:-1].any()) | self._nan(a) | self._nan(b)
        a_s, a_e, b_s, b_e, sign, inf, nan = pipe.step(**parts, sign=a[-1] ^ b[-1], inf=self._top(a) | self._top(b), nan=nan)
        product, scale, sign, inf, nan = pipe.step(product=a_s * b_s, scale=((a_e + b_e) - Const(bias, exp))[:exp + 2].as_signed(),
                                                   sign=sign, inf=inf, nan=nan)
        product, scale, zeros, sign, inf, nan = pipe.step(product=product, scale=scale, zeros=leading_zeros(product), sign=sign, inf=inf,
                                                          nan=nan)
        under, most = scale < 0, (1 << wide.bit_length()) - 1
        left = Mux(under, 0, Mux(zeros > scale, scale, zeros))[:wide.bit_length()]
        right = Mux(under, Mux(-scale > most, most, -scale), 0)[:wide.bit_length()]
        product, scale, left, right, sign, inf, nan = pipe.step(product=product, scale=scale, left=left, right=right, sign=sign, inf=inf,
                                                                nan=nan)
        lower, lost = shift_right(product, right)
        moved = Mux(scale < 0, lower, (product << left)[:wide])
        moved, lost, power, sign, inf, nan = pipe.step(moved=moved, lost=lost, power=(scale - left + 1)[:exp + 1], sign=sign, inf=inf,
                                                         nan=nan)
        up = moved[man] & (moved[:man].any() | lost | moved[man + 1])
        magnitude = Cat(moved[man + 1:-1], Mux(moved[-1], power, 0)) + up
        magnitude, sign, inf, nan = pipe.step(magnitude=magnitude[:exp + man + 1], sign=sign, inf=inf, nan=nan)
        infinity = Const(top << man, exp + man)
        whole = Mux(inf | (magnitude[man:] >= top), infinity, magnitude[:exp + man])
        pipe.end(p=Mux(nan, Const(top << man | 1 << man - 1, self.fmt.width), Cat(whole, sign)))
        return m

    def _parts(self, code: Value) -> tuple[Value, Value]:
        """Significand, and exponent from 1 up."""
        normal = code[self.fmt.man:-1].any()
        return Cat(code[:self.fmt.man], normal), Cat(code[self.fmt.man] | ~normal, code[self.fmt.man + 1:-1])

    def _top(self, code: Value) -> Value:
        return code[self.fmt.man:-1].all()

    def _infinite(self, code: Value) -> Value:
        return self._top(code) & ~code[:self.fmt.man].any()

    def _nan(self, code: Value) -> Value:
        return self._top(code) & code[:self.fmt.man].any()
