"""Rounding of a number of units to a code of one of the accelerator's formats, in pieces between registers.

All formats share one leading-one detector, one shift and one adder: a code without its sign grows with the number it stands for, so it is
a base that the place of the leading one gives, plus the bits that are kept, plus one if what is cut off rounds up.
"""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from ..fixed import BITS, NAMES
from .requantize_parts import clamp

__all__ = ["finished", "placed", "reduced", "rounded"]

_CODE = 9
"""Bits of a number of int8 before the zero point is added, and of the larger of all codes."""

_BEYOND = {"int8": _CODE, "int4": 4, "e4m3": BITS, "e2m1": 4, "posit8_0": 12, "posit4_1": 8}
"""Place of a leading one that is beyond the largest number, or (posits) is it."""

_NONE = 8
"""A shift past all that a posit(4, 1) has."""

_PLACED = data.StructLayout({"window": BITS + 1, "shift": 4, "base": 7, "sticky": 1, "big": 1, "some": 1})
_REDUCED = data.StructLayout({"kept": _CODE, "base": 7, "half": 1, "sticky": 1, "big": 1, "some": 1})
_ROUNDED = data.StructLayout({"code": _CODE, "big": 1})


def _shift_base(name: str, place: int) -> tuple[int, int]:
    """Bits to cut off a number whose leading one is at ``place`` (or that is 0, at 0), and the base of its code."""
    if name == "e4m3":
        return max(place - 3, 0), 8 * max(place - 3, 0)
    if name == "e2m1":
        return max(place - 1, 0), 2 * max(place - 1, 0)
    if name == "posit8_0" and place >= 6:                   # a regime of ones, and what is kept begins with the leading one
        ones = place - 5
        return 2 * place - 11, (((1 << ones) - 1) << 7 - ones) - (1 << 11 - place)
    if name == "posit4_1":
        # 1, 4, 8, ..., 64, 256: between the two ends and their neighbours a bit of the exponent is cut off, so 2 and 128 are the middles.
        return (place, place - 1) if 2 <= place <= 5 else (_NONE, {0: 1, 1: 2}.get(place, 6))
    return 0, 0


def placed(m: Module, formats: Sequence[str], window: Value, sticky: Value, lost: Value, which: Value) -> data.View:
    """A number (``window``: a half bit below an integer; ``sticky``: more below it; ``lost``: bits above), where to cut, and the base."""
    o, number = Signal(_PLACED), window[1:]
    m.d.comb += [o.window.eq(window), o.sticky.eq(sticky), o.big.eq(lost), o.some.eq(window.any() | sticky)]
    with m.Switch(which):
        for name in formats:
            with m.Case(NAMES.index(name)):
                for place in range(_BEYOND[name]):
                    shift, base = _shift_base(name, place)
                    with m.If(number[place] if place else Const(1, 1)):
                        m.d.comb += [o.shift.eq(shift), o.base.eq(base)]
                m.d.comb += o.big.eq(lost | number[_BEYOND[name]:].any())
    return o


def reduced(m: Module, i: data.View) -> data.View:
    """What is kept, and what was cut off."""
    o, half, below = Signal(_REDUCED), Signal(), Signal()
    with m.Switch(i.shift):
        for by in range(1 << len(i.shift)):
            with m.Case(by):
                m.d.comb += [o.kept.eq(i.window[by + 1:]), half.eq(i.window[by]), below.eq(i.window[:by].any())]
    m.d.comb += [o.half.eq(half), o.sticky.eq(i.sticky | below), o.base.eq(i.base), o.big.eq(i.big), o.some.eq(i.some)]
    return o


def rounded(m: Module, formats: Sequence[str], i: data.View, which: Value) -> data.View:
    """The code without its sign, saturated but for integers, of which ``big`` says that they are far outside."""
    o, total = Signal(_ROUNDED), Signal(_CODE + 1)
    up = i.half & (i.sticky | (i.base[0] ^ i.kept[0]))
    m.d.comb += [total.eq((Cat(Const(1, 1), i.base) + Cat(up, i.kept))[1:]), o.code.eq(total), o.big.eq(i.big | total[-1])]
    with m.Switch(which):
        for name, most in (("e4m3", 0x7e), ("e2m1", 7), ("posit8_0", 0x7f), ("posit4_1", 7)):
            if name in formats:
                with m.Case(NAMES.index(name)):
                    code = total | (i.some & ~total.any()) if name == "posit8_0" else total
                    if name == "posit4_1":
                        code = Mux(i.some, total, 0)
                    m.d.comb += o.code.eq(Mux(i.big | (total > most), most, code))
    return o


def _negated(code: Value, sign: Value, width: int) -> Value:
    return ((code[:width] ^ sign.replicate(width)) + sign)[:width]


def finished(m: Module, formats: Sequence[str], i: data.View, sign: Value, which: Value, zero_point: Value, low: Value,
             high: Value) -> Value:
    """The code, of int8 with the zero point and clamped."""
    y = Signal(8)
    with m.Switch(which):
        for name in formats:
            with m.Case(NAMES.index(name)):
                if name == "int8":
                    value = (Cat(i.code, Const(0, 1)) ^ sign.replicate(_CODE + 1)).as_signed() + sign + zero_point
                    m.d.comb += y.eq(clamp(value, i.big, sign, low, high))
                elif name == "int4":
                    over = i.big | i.code[3:].any() & ~(sign & (i.code == 8))
                    m.d.comb += y.eq(Mux(over, Mux(sign, 8, 7), _negated(i.code, sign, 4)))
                elif name == "e4m3":
                    m.d.comb += y.eq(Cat(i.code[:7], sign))
                elif name == "e2m1":
                    m.d.comb += y.eq(Cat(i.code[:3], sign))
                else:
                    m.d.comb += y.eq(_negated(i.code, sign, 8 if name == "posit8_0" else 4))
    return y.as_signed()
