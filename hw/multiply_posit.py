"""Posit multiplier, correctly rounded."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..errors import MantissaError
from ..formats import Format, Posit, get_scalar
from .pipeline import Pipeline, leading_zeros, shift_right

__all__ = ["MultiplyPosit", "check_posit"]


def check_posit(name: object) -> Posit:
    """Posit of at least 5 bits that has a fraction, called ``name``.

    Raises
    ------
    ValueError
        If there is none; the sentence has the nearest names.
    """
    try:
        fmt: Format = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fmt, Posit) or fmt.width < fmt.es + 5:
        raise ValueError(f"Format must be a posit with two bits of fraction or more, not {name!r}")
    return fmt


class MultiplyPosit(wiring.Component):
    """Product of two posits, rounded once to the same format.

    To the nearest by the bit string, ties to the even code, never to zero or NaR; a product with NaR is NaR (Posit Standard 2022, 4.1 and
    5.1). One product per cycle, eight cycles of latency; one global stall.

    The magnitude's regime is counted and moved out, significands multiplied, and the regime of the product moved in before the exponent and
    the fraction, which an arithmetic shift of ``10`` or ``01`` and these does. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Posit, by its name in :func:`mantissa.formats.get`.

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
        self.fmt = check_posit(fmt)
        code = unsigned(self.fmt.width)
        super().__init__({"i": In(stream.Signature(data.StructLayout({"a": code, "b": code}))),
                          "o": Out(stream.Signature(data.StructLayout({"p": code})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width, es = self.fmt.width, self.fmt.es
        fraction = width - 3 - es
        pipe = Pipeline(m, self.i, self.o)
        a, b = self.i.p.a, self.i.p.b
        zero, nar = ~a.any() | ~b.any(), self._nar(a) | self._nar(b)
        a, b, sign, zero, nar = pipe.step(a=self._magnitude(a), b=self._magnitude(b), sign=a[-1] ^ b[-1], zero=zero, nar=nar)
        runs = {f"{name}_run": leading_zeros((value ^ value[-1].replicate(width - 1))[:-1]) for name, value in (("a", a), ("b", b))}
        a, b, a_run, b_run, sign, zero, nar = pipe.step(a=a, b=b, **runs, sign=sign, zero=zero, nar=nar)
        found = {}
        for name, value, run in (("a", a, a_run), ("b", b, b_run)):
            rest = (value[:-2] << run)[:width - 3]           # the run but one, and the bit that ends it, go
            run = Cat(run, Const(0, 1))
            power = Mux(value[-1], run, ~run)
            found |= {f"{name}_s": Cat(rest[:fraction], Const(1, 1)), f"{name}_p": Cat(rest[fraction:], power).as_signed()}
        a_s, a_p, b_s, b_p, sign, zero, nar = pipe.step(**found, sign=sign, zero=zero, nar=nar)
        product, power, sign, zero, nar = pipe.step(product=a_s * b_s, power=a_p + b_p, sign=sign, zero=zero, nar=nar)
        carry = product[-1]
        product, power, sign, zero, nar = pipe.step(
            product=Mux(carry, product[:-1], Cat(Const(0, 1), product[:-2])), power=power + carry, sign=sign, zero=zero, nar=nar)
        k, negative = power[es:], power[-1]
        count = Mux(negative, ~k, k)[:-1]
        most = Const(width - 2, (width - 2).bit_length())
        far = count > most
        by = Mux(far, most, count)[:len(most)]
        text = Cat(product, power[:es], negative, ~negative)
        text, by, tiny, sign, zero, nar = pipe.step(text=text, by=by, tiny=negative & (count >= most), sign=sign, zero=zero, nar=nar)
        moved, lost = shift_right(text, by, text[-1])
        below = len(text) - (width - 1)
        up = moved[below - 1] & (moved[:below - 1].any() | lost | tiny | moved[below])
        body, up, sign, zero, nar = pipe.step(body=moved[below:], up=up, sign=sign, zero=zero, nar=nar)
        code = Cat(body, Const(0, 1))
        rounded = Mux(sign, ~code, code) + Mux(sign, ~up, up)
        pipe.end(p=Mux(nar, Const(1 << width - 1, width), Mux(zero, Const(0, width), rounded[:width])))
        return m

    def _magnitude(self, code: Value) -> Value:
        """All but the sign, negated if that is set."""
        return (Mux(code[-1], ~code, code) + code[-1])[:self.fmt.width - 1]

    def _nar(self, code: Value) -> Value:
        return code[-1] & ~code[:-1].any()
