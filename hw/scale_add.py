"""Scaling of a BitLinear's sums and the addition of the residual."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .requantize_parts import Pipeline, add, increment, product, shifted

__all__ = ["ScaleAdd"]


class ScaleAdd(wiring.Component):
    """``clamp(round(acc * b / 2**c) + residual)`` to ``width`` bits: one rounding, half to even, before the residual is added.

    One transaction per cycle; latency 5 cycles and those of the product: 1 to 3, as of :class:`.requantize.Requantize`.

    Parameters
    ----------
    acc_width : :class:`int`
        Bits of the signed sums, 9 to 32.
    bits : :class:`int`
        Bits of the unsigned multiplier, 2 to 32. Up to 18 take two 18x18 multipliers, more take four.
    width : :class:`int`
        Bits of the signed residual and of the result, 2 to 32.

    Members
    -------
    i : ``In(stream.Signature({"acc": signed(acc_width), "b": bits, "c": 6, "residual": signed(width)}))``
    o : ``Out(stream.Signature({"y": signed(width)}))``
    """

    def __init__(self, *, acc_width: int = 32, bits: int = 16, width: int = 16) -> None:
        for name, value, low in (("Accumulator", acc_width, 9), ("Multiplier", bits, 2), ("Result", width, 2)):
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= 32:
                raise ValueError(f"{name} must have {low} to 32 bits, not {value!r}")
        self.acc_width = acc_width
        self.bits = bits
        self.width = width
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "acc": signed(acc_width), "b": unsigned(bits), "c": unsigned(6), "residual": signed(width)}))),
            "o": Out(stream.Signature(data.StructLayout({"y": signed(width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, width = self.i.p, self.width
        pipe = Pipeline(m, self.i, self.o)
        p, stages = product(pipe, pipe.keep(i.acc), pipe.keep(i.b))
        now = stages + 1
        integer, half, sticky, lost, sign, stages = shifted(pipe, p, pipe.keep(i.c, times=now), bits=width + 1)
        now += stages
        up = increment("half_even", integer[0], half, sticky, sign)
        total = pipe.keep(add(integer, pipe.keep(i.residual, times=now), up, width + 2))
        lost, sign = pipe.keep(lost), pipe.keep(sign)
        now += 1
        # Beyond width + 1 bits, no residual brings it back.
        beyond, below = lost | (total[width - 1:] != total[-1].replicate(3)), Mux(lost, sign, total[-1])
        m.d.comb += [self.o.p.y.eq(pipe.keep(Mux(beyond, Cat((~below).replicate(width - 1), below), total[:width]))),
                     self.o.valid.eq(pipe.valid(self.i.valid, times=now + 1))]
        return m
