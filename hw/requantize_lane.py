"""The accelerator's requantizer lane: bias, multiply, sum of products, one rounding."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .requantize_collect import Collector
from .requantize_parts import ROUND_BITS, Pipeline, add, clamp, increment, product, shifted
from .stream import check_positive

__all__ = ["HELD_BITS", "RequantizeLane"]

HELD_BITS = 44
"""Width of a held sum of products."""

_B_BITS = 32


class RequantizeLane(wiring.Component):
    """``clamp(round_half_even(sum((acc + bias) * b) / 2**c) + zero_point, low, high)``.

    Transactions belong to ``depth`` groups in rotation. Each adds its product to its group's sum; with ``hold`` the sum
    is kept and nothing comes out, without it the sum is shifted by this transaction's ``c``, rounded, emitted,
    and the group starts again from zero. So two values are added before one rounding by ``depth`` transactions with
    ``hold`` followed by ``depth`` without.

    Exact as long as ``acc + bias`` fits 32 bits, a held sum :data:`HELD_BITS` bits and an emitted sum 64, all signed
    (so it is where ``acc + bias`` of what is held or added to it is below 2**10 in magnitude).

    Parallel: one transaction per cycle, 9 cycles of latency, four 18x18 multipliers. Serial: a transaction is accepted
    every ``max(c, 32) + 3`` cycles (``c + 11`` if ``c`` is 24 to 31; at least 47 if it holds or any group holds something), no
    multiplier; the result follows 2 cycles after that.

    Parameters
    ----------
    serial : :class:`bool`
        Whether it takes one bit of ``b`` per cycle.
    depth : :class:`int`
        Groups.

    Members
    -------
    i : ``In(stream.Signature({"acc": signed(32), "bias": signed(32), "b": 32, "c": 6, "hold": 1, "tag": 1}))``
        Transactions.
    o : ``Out(stream.Signature({"y": signed(8), "tag": 1}))``
        Results; ``tag`` is that of the transaction that emitted.
    zero_point, low, high : ``In(signed(8))``
        Must not change while a transaction is inside; ``low`` must not be above ``high``.
    """

    def __init__(self, *, serial: bool, depth: int) -> None:
        if not isinstance(serial, bool):
            raise TypeError(f"Serial must be true or false, not {serial!r}")
        self.serial = serial
        self.depth = check_positive("Depth", depth)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "acc": signed(32), "bias": signed(32), "b": unsigned(_B_BITS), "c": unsigned(6), "hold": 1, "tag": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"y": signed(8), "tag": 1}))),
            "zero_point": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.serial:
            self._serial(m)
        else:
            self._parallel(m)
        return m

    def _parallel(self, m: Module) -> None:
        i = self.i.p
        pipe = Pipeline(m, self.i, self.o)
        x, b = pipe.keep((i.acc + i.bias)[:32].as_signed()), pipe.keep(i.b)
        p, stages = product(pipe, x, b)
        stages += 1
        valid, hold = pipe.valid(self.i.valid, times=stages), pipe.keep(i.hold, times=stages)
        tag, c = pipe.keep(i.tag, times=stages), pipe.keep(i.c, times=stages)

        held = Signal(data.ArrayLayout(signed(HELD_BITS), self.depth))
        total = Signal(signed(64))
        m.d.comb += total.eq(p + held[self.depth - 1])
        with m.If(pipe.advance & valid):
            m.d.sync += [held[n].eq(held[n - 1]) for n in range(1, self.depth)]
            m.d.sync += held[0].eq(Mux(hold, total, 0))

        total, c = pipe.keep(total), pipe.keep(c)
        integer, half, sticky, lost, sign, stages = shifted(pipe, total, c)
        up = increment("half_even", integer[0], half, sticky, sign)
        rounded = pipe.keep(add(integer, self.zero_point, up, 10))
        lost, sign = pipe.keep(lost), pipe.keep(sign)
        stages += 3
        m.d.comb += [
            self.o.valid.eq(pipe.valid(valid & ~hold, times=stages)),
            self.o.p.tag.eq(pipe.keep(tag, times=stages)),
            self.o.p.y.eq(pipe.keep(clamp(rounded, lost, sign, self.low, self.high))),
        ]

    def _serial(self, m: Module) -> None:
        i, o = self.i.p, self.o
        x = Signal(signed(32), reset_less=True)
        b = Signal(_B_BITS, reset_less=True)
        hold, tag = Signal(reset_less=True), Signal(reset_less=True)
        held, groups = Signal(HELD_BITS * self.depth), Signal(self.depth)
        rest = Signal(signed(32), reset_less=True)         # the sum's bits not yet shifted out
        step = Signal(6, reset_less=True)
        enough, rotate = Signal(), Signal()
        collect = Collector(m)
        rounded, emitted, waiting = Signal(signed(ROUND_BITS + 1), reset_less=True), Signal(reset_less=True), Signal()
        output = Signal(self.o.payload.shape(), reset_less=True)
        m.d.comb += o.payload.eq(output)

        # One bit of the sum of products per step, lowest first: rest = (rest + bit of b * x + bit held) / 2. The last
        # bit held is a sign, and counts -1.
        total = Signal(signed(33))
        last = step[5] & step[3] & step[1] & step[0]       # HELD_BITS - 1
        bit = held[0] & rotate & ~enough
        m.d.comb += [
            rotate.eq(hold | groups.any()),
            enough.eq(step[5] & (~rotate | step[3] & step[2])),
            total.eq(add((x.as_unsigned() & b[0].replicate(32)) | (bit & last).replicate(32), rest, bit & ~last, 33)),
        ]
        at_once = enough & collect.now
        with m.If(~o.valid | o.ready):
            m.d.sync += [o.valid.eq(waiting), waiting.eq(0), output.tag.eq(emitted),
                         output.y.eq(clamp(rounded, Const(0), Const(0), self.low, self.high))]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [x.eq(i.acc + i.bias), b.eq(i.b), hold.eq(i.hold), tag.eq(i.tag), rest.eq(0), step.eq(0)]
                collect.start(i.c)
                with m.If(self.i.valid):
                    m.next = "run"
            with m.State("run"):
                with m.If(at_once):
                    collect.take(rest)
                with m.If(enough & (hold | at_once | collect.past)):
                    m.next = "end"
                with m.Else():
                    m.d.sync += [b.eq(b[1:]), rest.eq(total >> 1)]
                    collect.step(total[0])
                    with m.If(~enough):
                        m.d.sync += step.eq(step + 1)
                        with m.If(rotate):
                            m.d.sync += held.eq(Cat(held[1:], total[0] & hold))
            with m.State("end"):
                up = increment("half_even", collect.window[0], collect.half, collect.sticky, rest[-1])
                with m.If(~waiting | ~o.valid | o.ready):
                    m.d.sync += [rounded.eq(add(collect.integer(rest), self.zero_point, up, ROUND_BITS + 1)),
                                 waiting.eq(~hold), emitted.eq(tag)]
                    with m.If(rotate):
                        m.d.sync += groups.eq(Cat(hold, groups))
                    m.next = "idle"
