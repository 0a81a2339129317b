"""Dyadic requantizer, one bit of the multiplier per cycle."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .requantize import FIRST, check_requantize, payload
from .requantize_collect import Collector
from .requantize_parts import ROUND_BITS, add, clamp, fraction, increment

__all__ = ["RequantizeSerial"]


class RequantizeSerial(wiring.Component):
    """:class:`~.requantize.Requantize` in little space: the same results, by shifting and adding.

    A transaction takes ``multiplier_width + 2`` cycles with a constant shift. With a variable one it takes
    ``c + 3`` if ``c`` is not below ``multiplier_width``, else ``c + 11`` but at least ``multiplier_width + 3``. With ``tflite_double``
    and a shift above 31 (variable: of 31 or more) ``multiplier_width`` counts as at least 31. The result follows
    2 cycles later. It is accepted at the end: ``i.ready`` waits for ``i.valid``.

    Parameters
    ----------
    acc_width, multiplier_width, shift, rounding, zero_point, low, high
        As :class:`~.requantize.Requantize`.

    Members
    -------
    i, o
        As :class:`~.requantize.Requantize`.
    """

    def __init__(self, *, acc_width: int = 32, multiplier_width: int = 32, shift: int | None = None, rounding: str = "half_even",
                 zero_point: int | None = 0, low: int | None = -128, high: int | None = 127) -> None:
        check_requantize(acc_width=acc_width, multiplier_width=multiplier_width, shift=shift, rounding=rounding,
                         zero_point=zero_point, low=low, high=high)
        self.acc_width = acc_width
        self.multiplier_width = multiplier_width
        self.shift = shift
        self.rounding = rounding
        self.zero_point = zero_point
        self.low = low
        self.high = high
        layout = payload(acc_width=acc_width, multiplier_width=multiplier_width, shift=shift, zero_point=zero_point, low=low, high=high)
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(data.StructLayout({"y": signed(8)})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i = self.i.p
        step = Signal(range(self._steps(FIRST) + 2))       # which bit of b is next
        rest = Signal(signed(self.acc_width), reset_less=True)
        addend = Signal(signed(self.acc_width), reset_less=True)
        first = Signal()                                   # the bit that rounds tflite_double's first shift
        total = Signal(signed(self.acc_width + 1))
        go, done, taken = Signal(), Signal(), Signal()
        bits = Cat(i.b, Const(0, (1 << len(step)) - len(i.b)))

        # One bit of the product per step, lowest first: rest = (rest + bit of b * acc) / 2.
        m.d.comb += [total.eq(add(addend, rest, first, self.acc_width + 1)), self.i.ready.eq(taken)]
        with m.If(go | (step == 0)):
            with m.If(bits.bit_select(step, 1)):           # 0 otherwise: the registers' synchronous reset, not an AND
                m.d.sync += addend.eq(i.acc)
            with m.Else():
                m.d.sync += addend.eq(0)
        with m.If(step == 0):
            m.d.sync += rest.eq(0)
            with m.If(self.i.valid):
                m.d.sync += step.eq(1)
        with m.Elif(go):
            m.d.sync += rest.eq(total >> 1)
        if self.shift is None:
            integer, up = self._variable(m, step, rest, total[0], go, done, first)
        else:
            integer, up = self._constant(m, step, rest, total[0], go, done, first)
        self._emit(m, step, integer, up, done, taken)
        return m

    def _steps(self, shift: int) -> int:
        """Steps until no bit of ``b`` is left, nor a first rounding to do."""
        twice = self.rounding == "tflite_double" and shift >= FIRST
        return max(self.multiplier_width, FIRST) if twice else self.multiplier_width

    def _emit(self, m: Module, step: Signal, integer: Value, up: Value, done: Value, taken: Value) -> None:
        """Round, then clamp while the next value is under way."""
        o = self.o
        waiting = Signal()
        constraint = Signal(data.StructLayout({"low": signed(8), "high": signed(8)}), reset_less=True)
        rounded = Signal(signed(ROUND_BITS + 1), reset_less=True)
        output = Signal(signed(8), reset_less=True)
        now, later = {}, {}
        for name in ("zero_point", "low", "high"):
            constant = getattr(self, name)
            now[name] = Const(constant, signed(8)) if constant is not None else getattr(self.i.p, name)
            later[name] = now[name] if constant is not None or name == "zero_point" else constraint[name]
        m.d.comb += [taken.eq(done & (~waiting | ~o.valid | o.ready)), o.p.y.eq(output)]
        with m.If(~o.valid | o.ready):
            m.d.sync += [o.valid.eq(waiting), waiting.eq(0),
                         output.eq(clamp(rounded, Const(0), Const(0), later["low"], later["high"]))]
        with m.If(taken):
            m.d.sync += [rounded.eq(add(integer, now["zero_point"], up, ROUND_BITS + 1)), waiting.eq(1), step.eq(0),
                         constraint.low.eq(now["low"]), constraint.high.eq(now["high"])]

    def _constant(self, m: Module, step: Signal, rest: Value, bit: Value, go: Value, done: Value, first: Value
                  ) -> tuple[Value, Value]:
        shift, rounding = self.shift, self.rounding
        assert shift is not None
        if rounding == "tflite_double" and shift <= FIRST:
            rounding = "half_up"
        steps = self._steps(shift) if rounding == "tflite_double" else self.multiplier_width
        kept = min(max(steps - shift + 1, 0), steps)       # bits to keep beside ``rest``, the half bit lowest
        m.d.comb += [done.eq(step == steps + 1), go.eq((step != 0) & ~done)]
        tail, sticky = Signal(kept, reset_less=True), Signal(reset_less=True)
        counted = Const(1)
        if rounding == "tflite_double":
            m.d.comb += first.eq(step == FIRST)
            counted = step > FIRST + kept
        with m.If(step == 0):
            m.d.sync += [sticky.eq(0), tail.eq(0)]
        with m.Elif(go):
            out = Cat(tail, bit)
            m.d.sync += [step.eq(step + 1), tail.eq(out[1:]), sticky.eq(sticky | out[0] & counted)]
        integer, half, below, lost, sign = fraction(Cat(tail, rest), shift - steps + kept)
        value = Cat(integer[:-1] ^ (lost.replicate(ROUND_BITS - 1) & (integer[:-1] ^ (~sign).replicate(ROUND_BITS - 1))), sign)
        return value.as_signed(), increment(rounding, integer[0], half, below | sticky, sign)

    def _variable(self, m: Module, step: Signal, rest: Value, bit: Value, go: Value, done: Value, first: Value
                  ) -> tuple[Value, Value]:
        ended = Signal()
        collect = Collector(m)
        twice = self.i.p.c >= FIRST if self.rounding == "tflite_double" else Const(0)
        enough = (step > self.multiplier_width) & ((step > FIRST) | ~twice)
        at_once = enough & collect.now & ~ended
        stop = at_once | enough & collect.past
        m.d.comb += [done.eq(ended & (step != 0)), go.eq((step != 0) & ~stop & ~ended), first.eq(twice & (step == FIRST))]
        with m.If(step == 0):
            m.d.sync += ended.eq(0)
            collect.start(self.i.p.c)
        with m.Elif(go):
            collect.step(bit)
            with m.If(~enough):
                m.d.sync += step.eq(step + 1)
        with m.Elif(~ended):
            m.d.sync += ended.eq(1)
        with m.If(at_once):
            collect.take(rest)
        with m.If(first):                                  # what the first rounding cut off is gone
            m.d.sync += [collect.half.eq(0), collect.sticky.eq(0)]
        once = ~twice if self.rounding == "tflite_double" else Const(0)
        up = increment(self.rounding, collect.window[0], collect.half, collect.sticky | once, rest[-1])
        return collect.integer(rest), up
