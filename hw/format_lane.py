"""The accelerator's requantizer lane where there are formats: bias, multiply, sum of products, one rounding to a code."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..fixed import BITS
from ..registers import WIDE_ACC_BITS
from .decode import FORMAT, check_formats
from .format_round import finished, placed, reduced, rounded
from .requantize_parts import Pipeline
from .stream import check_positive

__all__ = ["HELD_BITS", "FormatLane"]

HELD_BITS = 54
"""Width of a held sum of products."""

_B_BITS = 32
_LIMB = 16


def _product(pipe: Pipeline, x: Value, b: Value) -> tuple[Value, int]:
    """Exact signed ``x * b`` and its stages, from 18x18 multipliers: 48 signed by 32 unsigned bits, in limbs of 16."""
    low, middle, high = x[:_LIMB], x[_LIMB:2 * _LIMB], x[2 * _LIMB:].as_signed()
    b0, b1 = b[:_LIMB], b[_LIMB:]
    parts = [pipe.keep(pipe.keep(p)) for p in (low * b0, low * b1, middle * b0, middle * b1, high * b0, high * b1)]
    ends = pipe.keep(Cat(parts[0], parts[3] + parts[4]).as_signed())
    inner, top = pipe.keep(parts[1] + parts[2]), pipe.keep(parts[5])
    most = WIDE_ACC_BITS + _B_BITS
    total = pipe.keep((ends + (inner << _LIMB))[:most].as_signed())
    return pipe.keep((total + (pipe.keep(top) << 3 * _LIMB))[:most].as_signed()), 5


def _window(pipe: Pipeline, value: Value, c: Value) -> tuple[Value, Value, Value, int]:
    """Unsigned ``value`` shifted right by 6-bit ``c``: an integer of :data:`BITS` bits over a half bit, sticky bit, whether more is
    above, and the stages it takes."""
    e: Value = value << 1
    size, sticky, lost = BITS + 1, Const(0, 1), Const(0, 1)
    stages = 0
    for low, high in ((4, 6), (2, 4), (0, 2)):
        keep = size + (1 << low) - 1
        window, below, above = Signal(keep), Signal(), Signal()
        with pipe.m.Switch(c[low:high]):
            for n in range(1 << high - low):
                with pipe.m.Case(n):
                    by = n << low
                    pipe.m.d.comb += [window.eq(e[by:by + keep]), below.eq(e[:by].any()), above.eq(e[by + keep:].any())]
        e, sticky, lost, c = (pipe.keep(v) for v in (window, sticky | below, lost | above, c))
        stages += 1
    return e, sticky, lost, stages


class FormatLane(wiring.Component):
    """Codes of ``sum((acc + bias) * b) / 2**c`` units, rounded once, half to even and saturating, in one of several formats.

    Of int8 ``clamp(round(...) + zero_point, low, high)``. Of any other the nearest code as of :func:`~mantissa.fixed.as_codes`, where
    negative sums count as 0 if ``low`` is not negative; neither ``zero_point`` nor ``high`` is looked at.

    Transactions belong to ``depth`` groups in rotation, as those of :class:`~.requantize_lane.RequantizeLane`: with ``hold`` a product is
    kept, and added to the next one of its group. One transaction per cycle, 15 cycles of latency, six 18x18 multipliers.

    Exact as long as ``acc + bias`` fits 48 bits, a held sum :data:`HELD_BITS` bits and an emitted sum 80, all signed (so it is where
    ``acc + bias`` of what is held or added to it is below 2**20 in magnitude).

    Parameters
    ----------
    formats : sequence of :class:`str`
        Those to choose from; the result in any other is unspecified.
    depth : :class:`int`
        Groups.

    Members
    -------
    i : ``In(stream.Signature({"acc": signed(48), "bias": signed(48), "b": 32, "c": 6, "format": 3, "hold": 1, "tag": 1}))``
        Transactions.
    o : ``Out(stream.Signature({"y": signed(8), "tag": 1}))``
        Codes; ``tag`` is that of the transaction that emitted.
    zero_point, low, high : ``In(signed(8))``
        Must not change while a transaction is inside; ``low`` must not be above ``high``.
    """

    def __init__(self, *, formats: Sequence[str], depth: int) -> None:
        self.formats = check_formats(formats)
        self.depth = check_positive("Depth", depth)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "acc": signed(WIDE_ACC_BITS), "bias": signed(WIDE_ACC_BITS), "b": unsigned(_B_BITS), "c": unsigned(6), "format": FORMAT,
                "hold": 1, "tag": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"y": signed(8), "tag": 1}))),
            "zero_point": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i = self.i.p
        pipe = Pipeline(m, self.i, self.o)
        x, b = pipe.keep((i.acc + i.bias)[:WIDE_ACC_BITS].as_signed()), pipe.keep(i.b)
        p, stages = _product(pipe, x, b)
        stages += 1
        valid, hold = pipe.valid(self.i.valid, times=stages), pipe.keep(i.hold, times=stages)
        late = pipe.keep(Cat(i.tag, i.c, i.format), times=stages)

        held = Signal(data.ArrayLayout(signed(HELD_BITS), self.depth))
        total = Signal(signed(len(p)))
        m.d.comb += total.eq(p + held[self.depth - 1])
        with m.If(pipe.advance & valid):
            m.d.sync += [held[n].eq(held[n - 1]) for n in range(1, self.depth)]
            m.d.sync += held[0].eq(Mux(hold, total, 0))
        valid, late, total = pipe.valid(valid & ~hold, times=1), pipe.keep(late), pipe.keep(total)

        drop = total[-1] & ~self.low[-1] & (late[7:] != 0)           # a negative sum that counts as 0
        sign = pipe.keep(total[-1] & ~drop)
        size = pipe.keep(Mux(drop, 0, (total ^ total[-1].replicate(len(total))) + total[-1])[:len(total)])
        late = pipe.keep(late)
        window, sticky, lost, stages = _window(pipe, size, late[1:7])
        sign, late = pipe.keep(sign, times=stages), pipe.keep(late, times=stages)
        part = pipe.keep(placed(m, self.formats, window, sticky, lost, late[7:]))
        part = pipe.keep(reduced(m, part))
        sign, late = pipe.keep(sign, times=2), pipe.keep(late, times=2)
        part = pipe.keep(rounded(m, self.formats, part, late[7:]))
        sign, late = pipe.keep(sign), pipe.keep(late)
        y = finished(m, self.formats, part, sign, late[7:], self.zero_point, self.low, self.high)
        m.d.comb += [
            self.o.valid.eq(pipe.valid(valid, times=stages + 5)),
            self.o.p.tag.eq(pipe.keep(late[0])), self.o.p.y.eq(pipe.keep(y)),
        ]
        return m
