"""Pieces the requantizers are made of: pipeline registers, exact product, shift, rounding, clamp."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream

__all__ = ["ROUND_BITS", "Pipeline", "add", "clamp", "fraction", "increment", "product", "shifted"]

ROUND_BITS = 9
"""Bits of the signed integer before the zero point is added: beyond them any 8-bit result is clamped."""


class Pipeline:
    """Registers that all advance together, when the last one is empty or taken.

    Parameters
    ----------
    m : :class:`Module`
        Where the registers live.
    i, o : stream interfaces
        Input and output; ``i.ready`` and ``o.valid`` are driven by :meth:`finish`.
    """

    def __init__(self, m: Module, i: stream.Interface, o: stream.Interface) -> None:
        self.m = m
        self.i = i
        self.o = o
        self.advance = Signal()
        m.d.comb += [self.advance.eq(~o.valid | o.ready), i.ready.eq(self.advance)]

    def keep(self, value: Value, *, times: int = 1) -> Value:
        """``value``, ``times`` stages later."""
        for _ in range(times):
            stage = Signal(value.shape(), reset_less=True)
            with self.m.If(self.advance):
                self.m.d.sync += stage.eq(value)
            value = stage
        return value

    def valid(self, value: Value, *, times: int) -> Value:
        """Like :meth:`keep`, for what a reset must clear."""
        for _ in range(times):
            stage = Signal()
            with self.m.If(self.advance):
                self.m.d.sync += stage.eq(value)
            value = stage
        return value


def add(a: Value, b: Value, carry: Value, width: int) -> Value:
    """Signed ``a + b + carry`` in one carry chain, cut to ``width`` bits."""
    if isinstance(b, Const) and b.value == 0:
        return (a + carry)[:width].as_signed()
    return (Cat(Const(1), a).as_signed() + Cat(carry, b).as_signed())[1:width + 1].as_signed()


def product(pipe: Pipeline, x: Value, b: Value) -> tuple[Value, int]:
    """Exact signed ``x * b``, and the stages it takes; ``x`` is signed, ``b`` unsigned, both out of registers.

    Each partial product fits one signed or one unsigned 18x18 multiplier.
    """
    size = len(x) + len(b)
    if len(b) > 18:
        return _product_quarters(pipe, x, b)
    if len(x) <= 18 and len(b) <= 17:
        return pipe.keep((x * b)[:size].as_signed()), 1
    cut = min(18, len(x) - 1)
    part_low = pipe.keep(x[:cut] * b)
    if len(b) <= 17:
        part_high, stages = pipe.keep(x[cut:].as_signed() * b), 2
    else:                                                  # 19 bits as a signed number: multiply unsigned, then correct
        part_low = pipe.keep(part_low)
        part_high = pipe.keep(x[cut:] * b)
        minus = pipe.keep(Mux(x[-1], b, 0))
        part_high, stages = pipe.keep((part_high - (minus << (len(x) - cut)))[:size - cut].as_signed()), 3
    return pipe.keep(Cat(part_low[:cut], (part_high + part_low[cut:])[:size - cut]).as_signed()), stages


def _product_quarters(pipe: Pipeline, x: Value, b: Value) -> tuple[Value, int]:
    half, size = len(b) // 2, len(x) + len(b)
    high = x[half:].as_signed() if len(x) > half else x[-1].as_signed()
    outer = pipe.keep(Cat(pipe.keep(x[:half] * b[:half]), pipe.keep((high * b[half:])[:max(size - 2 * half, 0)])))
    inner = pipe.keep((pipe.keep(x[:half] * b[half:]) + pipe.keep(high * b[:half])).as_signed())
    return pipe.keep(Cat(outer[:half], (outer[half:].as_signed() + inner)[:size - half]).as_signed()), 3


def _differs(bits: Value, sign: Value) -> Value:
    """Whether any of ``bits`` is not ``sign``."""
    return (bits ^ sign.replicate(len(bits))).any() if len(bits) else Const(0)


def _slice(m: Module, e: Value, sign: Value, s: Value, shifts: list[int], size: int, sticky: Value, lost: Value,
           first: int = 0) -> tuple[Value, Value, Value]:
    """``size`` bits of ``e`` from ``shifts[s]`` up; what is below, from ``first`` on, is joined to ``sticky``, above to ``lost``.

    Where nothing but the sign is left, it is the sticky bit: a negative number is then less than a half from 0, a positive one has no half.
    """
    window, below, above = Signal(size), Signal(), Signal()
    with m.Switch(s):
        for n, by in enumerate(shifts):
            with m.Case(n):
                part = e[by:by + size]
                under = e[min(first, by):by].any() if by < len(e) - 1 else sign
                m.d.comb += [window.eq(Cat(part, sign.replicate(size - len(part)))), below.eq(under),
                             above.eq(_differs(e[by + size:], sign))]
    return window, sticky | below, lost | above


def shifted(pipe: Pipeline, p: Value, c: Value, *, bits: int = ROUND_BITS, first: int = 0) -> tuple[Value, Value, Value, Value, Value, int]:
    """Signed ``p`` shifted right by 6-bit ``c``: integer, half bit, sticky bit, overflow, sign, and the stages it takes.

    The integer is ``bits`` wide; overflow says that the true one is not. ``p`` must not be the least number of its width. The sticky bit
    does not look below bit ``first``: for numbers that have nothing there, or where it makes no difference.
    """
    e = Cat(Const(0), p)                                   # bit 0 becomes the half bit
    size = bits + 1
    sign = p[-1]
    window, sticky, lost = _slice(pipe.m, e, sign, c[4:], [0, 16, 32, 48], size + 15, Const(0), Const(0), first and first + 1)
    window, sticky, lost, sign, c = (pipe.keep(v) for v in (window, sticky, lost, sign, c[:4]))
    window, sticky, lost = _slice(pipe.m, window, sign, c[2:], [0, 4, 8, 12], size + 3, sticky, lost)
    window, sticky, lost = _slice(pipe.m, window, sign, c[:2], [0, 1, 2, 3], size, sticky, lost)
    window, sticky, lost, sign = (pipe.keep(v) for v in (window, sticky, lost, sign))
    return window[1:].as_signed(), window[0], sticky, lost | (window[-1] != sign), sign, 2


def fraction(p: Value, shift: int) -> tuple[Value, Value, Value, Value, Value]:
    """Like :func:`shifted` for a constant shift: integer, half bit, sticky bit, overflow, sign; no register."""
    size = max(len(p), shift + ROUND_BITS)
    e = Cat(p, p[-1].replicate(size - len(p)))
    half = e[shift - 1] if shift else Const(0)
    sticky = e[:shift - 1].any() if shift > 1 else Const(0)
    integer = e[shift:shift + ROUND_BITS].as_signed()
    return integer, half, sticky, _differs(e[shift + ROUND_BITS - 1:len(p)], p[-1]), p[-1]


def increment(rounding: str, odd: Value, half: Value, sticky: Value, sign: Value) -> Value:
    """Whether to add one to the integer part; ``tflite_double`` wants its first rounding done before."""
    match rounding:
        case "half_even":
            return half & (sticky | odd)
        case "half_up":
            return half
        case "half_away" | "tflite_double":
            return half & (sticky | ~sign)
        case "toward_zero":
            return sign & (half | sticky)
        case _:
            return Const(0)


def clamp(value: Value, lost: Value, sign: Value, low: Value, high: Value) -> Value:
    """``value`` clamped to 8 bits; if ``lost`` it is far outside, on the side of ``sign``."""
    under, over = value < low, value > high
    if isinstance(low, Const) and low.value == -128:       # no carry chain for what the top bits say
        under = value[-1] & ~value[7:-1].all()
    if isinstance(high, Const) and high.value == 127:
        over = ~value[-1] & value[7:-1].any()
    below, above = Mux(lost, sign, under), Mux(lost, ~sign, over)
    return Mux(below, low, Mux(above, high, value))[:8].as_signed()
