"""Dyadic requantizer, pipelined: wide accumulators to 8 bits, one rounding."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Shape, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..rounding import check_rounding
from .requantize_booth import booth
from .requantize_parts import ROUND_BITS, Pipeline, add, clamp, fraction, increment, product, shifted

__all__ = ["FIRST", "Requantize", "check_requantize", "payload"]

MOST_SHIFT = 63
FIRST = 31
"""Bits of ``tflite_double``'s first rounding."""


def check_requantize(*, acc_width: object, multiplier_width: object, shift: object, rounding: str, zero_point: object,
                     low: object, high: object) -> None:
    """Refuse parameters no requantizer has."""
    def whole(name: str, value: object, least: int, most: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer from {least} to {most}, not {value!r}")
        if not least <= value <= most:
            raise ValueError(f"{name} must be an integer from {least} to {most}, not {value!r}")
    whole("Accumulator width", acc_width, 9, 32)
    whole("Multiplier width", multiplier_width, 2, 32)
    if shift is not None:
        whole("Shift", shift, 0, MOST_SHIFT)
    check_rounding(rounding)
    for name, value in (("Zero point", zero_point), ("Low", low), ("High", high)):
        if value is not None:
            whole(name, value, -128, 127)
    if isinstance(low, int) and isinstance(high, int) and low > high:
        raise ValueError(f"Low must not be above high ({high}), not {low}")


def payload(*, acc_width: int, multiplier_width: int, **constants: int | None) -> data.StructLayout:
    """Layout of the input: a field for every one of ``shift``, ``zero_point``, ``low`` and ``high`` that is no constant."""
    shapes: dict[str, Shape] = {"acc": signed(acc_width), "b": unsigned(multiplier_width)}
    for name, field, shape in (("shift", "c", unsigned(6)), ("zero_point", "zero_point", signed(8)),
                               ("low", "low", signed(8)), ("high", "high", signed(8))):
        if constants[name] is None:
            shapes[field] = shape
    return data.StructLayout(shapes)


class Requantize(wiring.Component):
    """``clamp(round(acc * b / 2**c) + zero_point, low, high)``, exact until the one rounding.

    One transaction per cycle. The latency is 3 cycles, 2 more if the shift is a field, 1 more for ``tflite_double`` (none if
    the shift is 31 or less), and those of the product: 1 if both factors fit 18 bits signed, 2 if only ``b`` does, 3 if it does
    not; without multipliers 1 and one for each halving of the ``multiplier_width // 2 + 1`` Booth digits.

    The rounding modes are those of :mod:`mantissa.rounding`.

    Parameters
    ----------
    acc_width : :class:`int`
        Bits of the signed accumulator, 9 to 32.
    multiplier_width : :class:`int`
        Bits of the unsigned multiplier, 2 to 32. Up to 18 bits take two 18x18 multipliers, more take four.
    shift : :class:`int` or :data:`None`
        The shift ``c``, 0 to 63, or :data:`None`: a field of the transaction.
    rounding : :class:`str`
        Rounding mode.
    zero_point, low, high : :class:`int` or :data:`None`
        From -128 to 127, or :data:`None`: a field of the transaction. ``low`` must not be above ``high``.
    dsp : :class:`bool`
        Whether the product is left to multipliers. Otherwise it is made of adders.

    Members
    -------
    i : ``In(stream.Signature({"acc": signed(acc_width), "b": multiplier_width, "c": 6, "zero_point": signed(8), ...}))``
        Accumulators; see ``shift``, ``zero_point``, ``low`` and ``high``.
    o : ``Out(stream.Signature({"y": signed(8)}))``
        Results, one for each, in order.
    """

    def __init__(self, *, acc_width: int = 32, multiplier_width: int = 32, shift: int | None = None, rounding: str = "half_even",
                 zero_point: int | None = 0, low: int | None = -128, high: int | None = 127, dsp: bool = True) -> None:
        check_requantize(acc_width=acc_width, multiplier_width=multiplier_width, shift=shift, rounding=rounding,
                         zero_point=zero_point, low=low, high=high)
        if not isinstance(dsp, bool):
            raise TypeError(f"Dsp must be true or false, not {dsp!r}")
        self.acc_width = acc_width
        self.multiplier_width = multiplier_width
        self.shift = shift
        self.rounding = rounding
        self.zero_point = zero_point
        self.low = low
        self.high = high
        self.dsp = dsp
        layout = payload(acc_width=acc_width, multiplier_width=multiplier_width, shift=shift, zero_point=zero_point, low=low, high=high)
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(data.StructLayout({"y": signed(8)})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = self.i.p, self.o
        pipe = Pipeline(m, self.i, o)
        x, b = pipe.keep(i.acc), pipe.keep(i.b)
        p, stages = (product if self.dsp else booth)(pipe, x, b)
        now = stages + 1
        if self.shift is None:
            parts, stages = self._variable(pipe, p, pipe.keep(i.c, times=now))
        else:
            parts, stages = self._constant(pipe, p, self.shift)
        integer, up, lost, sign = parts
        now += stages

        rounded = pipe.keep(add(integer, self._constraint(pipe, "zero_point", now), up, ROUND_BITS + 1))
        lost, sign = pipe.keep(lost), pipe.keep(sign)
        low, high = (self._constraint(pipe, name, now + 1) for name in ("low", "high"))
        m.d.comb += [o.p.y.eq(pipe.keep(clamp(rounded, lost, sign, low, high))),
                     o.valid.eq(pipe.valid(self.i.valid, times=now + 2))]
        return m

    def _constraint(self, pipe: Pipeline, name: str, stages: int) -> Value:
        constant = getattr(self, name)
        return Const(constant, signed(8)) if constant is not None else pipe.keep(getattr(self.i.p, name), times=stages)

    def _variable(self, pipe: Pipeline, p: Value, c: Value) -> tuple[tuple[Value, Value, Value, Value], int]:
        """Integer, increment, overflow and sign, and the stages they take."""
        extra, once, first = 0, Const(0), 0
        if self.rounding == "tflite_double":
            p = Cat(p, p[-1].replicate(max(FIRST + 2 - len(p), 0))).as_signed()
            twice = c >= FIRST
            upper = (p[FIRST:].as_signed() + (p[FIRST - 1] & twice))[:len(p) - FIRST]
            p = pipe.keep(Cat(p[:FIRST] & (~twice).replicate(FIRST), upper).as_signed())
            once, c, extra = pipe.keep(~twice, times=3), pipe.keep(c), 1
            first = FIRST
        integer, half, sticky, lost, sign, stages = shifted(pipe, p, c, first=first)
        up = increment(self.rounding, integer[0], half, sticky | once, sign)
        return (integer, up, lost, sign), stages + extra

    def _constant(self, pipe: Pipeline, p: Value, shift: int) -> tuple[tuple[Value, Value, Value, Value], int]:
        rounding, extra = self.rounding, 0
        if rounding == "tflite_double":
            if shift > FIRST:
                p = Cat(p, p[-1].replicate(max(FIRST + 2 - len(p), 0)))
                p = pipe.keep((p[FIRST:].as_signed() + p[FIRST - 1])[:len(p) - FIRST].as_signed())
                shift, extra = shift - FIRST, 1
            else:
                rounding = "half_up"
        integer, half, sticky, lost, sign = fraction(p, shift)
        return (integer, increment(rounding, integer[0], half, sticky, sign), lost, sign), extra
