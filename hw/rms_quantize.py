"""RMSNorm and absmax quantisation of a token in one pass."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_positive

__all__ = ["RmsQuantize"]

DIGITS = 8
"""Bits of the quotient of twice a code: 0 to 254."""


def _divide_step(rest: Value, bit: Value, by: Value) -> tuple[Value, Value]:
    """One digit of a restoring division: the digit, and the rest; ``rest`` is less than ``by``."""
    twice = Cat(bit, rest)
    less = (twice - by)[:len(by) + 1]
    digit = ~less[-1]
    return digit, Mux(digit, less[:-1], twice[:-1])


class RmsQuantize(wiring.Component):
    """Codes ``127 * g / max|g|`` of tokens ``g = x * gain``, exactly, half to even, and what their scale is made of.

    A token of values is taken, one per cycle: its sum of squares and largest magnitude are collected while its products are kept in block
    memory. Then its codes come out, one per cycle, and after the last of them the next token is taken. A token of zeros has codes of 0.
    Nothing is approximated: no reciprocal, but eight digits of a restoring division in a pipeline, for a code needs no more. The root mean
    square cancels in the codes (BitNet b1.58's norm and quantisation, in one pass).

    Latency from a token's last value to its first code: 18 cycles; ``o_scale`` comes before. A token of n values takes 2 n + 17 cycles.

    Parameters
    ----------
    width, gain_width : :class:`int`
        Bits of the signed values and of the gain's, 2 to 32. Up to 18 bits a product is one 18x18 multiplier.
    depth : :class:`int`
        Values of a token, at most; one with more ends there, as if ``last`` were set.

    Members
    -------
    i : ``In(stream.Signature({"x": signed(width), "gain": signed(gain_width), "last": 1}))``
        Values; ``last`` with a token's last.
    o : ``Out(stream.Signature({"code": signed(8), "last": 1}))``
    o_scale : ``Out(stream.Signature({"squares": ..., "largest": width + gain_width - 1}))``
        Of every token, the sum of squares of ``x`` and the largest magnitude of ``g``.
    """

    def __init__(self, *, width: int = 16, gain_width: int = 16, depth: int = 4096) -> None:
        for name, value in (("Width", width), ("Gain width", gain_width)):
            if not isinstance(value, int) or isinstance(value, bool) or not 2 <= value <= 32:
                raise ValueError(f"{name} must be between 2 and 32 bits, not {value!r}")
        self.width = width
        self.gain_width = gain_width
        self.depth = check_positive("Depth", depth, 2)
        self.product_width = width + gain_width - 1         # of a magnitude
        self.squares_width = 2 * (width - 1) + depth.bit_length()
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"x": signed(width), "gain": signed(gain_width), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"code": signed(8), "last": unsigned(1)}))),
            "o_scale": Out(stream.Signature(data.StructLayout(
                {"squares": unsigned(self.squares_width), "largest": unsigned(self.product_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self.product_width
        m.submodules.store = store = memory.Memory(shape=unsigned(size + 1), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        squares, largest = Signal(self.squares_width), Signal(size)
        taking, count, settled = Signal(init=1), Signal(range(self.depth)), Signal(4)
        walking, at, told = Signal(), Signal(range(self.depth)), Signal(init=1)

        # First pass: registers after the operands, after the products, and after the magnitude.
        x, gain = Signal(signed(self.width), reset_less=True), Signal(signed(self.gain_width), reset_less=True)
        product, square = Signal(signed(size + 1), reset_less=True), Signal(2 * self.width - 1, reset_less=True)
        magnitude, sign, squared = Signal(size, reset_less=True), Signal(reset_less=True), Signal.like(square)
        present = Signal(3)
        enter = self.i.valid & taking
        ends = self.i.p.last | (count == self.depth - 1)
        m.d.comb += self.i.ready.eq(taking)
        m.d.sync += [
            x.eq(self.i.p.x), gain.eq(self.i.p.gain), product.eq(x * gain), square.eq(x * x), squared.eq(square),
            magnitude.eq(Mux(product[-1], -product, product)), sign.eq(product[-1]), present.eq(Cat(enter, present)),
        ]
        index = Signal(range(self.depth))
        m.d.comb += [write.addr.eq(index), write.data.eq(Cat(magnitude, sign)), write.en.eq(present[-1])]
        with m.If(present[-1] & told):                      # told whenever a token is taken; it holds o_scale by itself
            m.d.sync += [squares.eq(squares + squared), index.eq(index + 1)]
            with m.If(magnitude > largest):
                m.d.sync += largest.eq(magnitude)
        with m.If(enter):
            m.d.sync += count.eq(count + 1)
            with m.If(ends):
                m.d.sync += [taking.eq(0), settled.eq(1)]
        with m.If(settled.any()):
            m.d.sync += settled.eq(settled << 1)

        # Second pass: the divisor waits in a register of its own, 1 for a token of zeros.
        by = Signal(size, reset_less=True)
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), read.en.eq(advance), read.addr.eq(at)]
        with m.If(settled[-1]):
            m.d.sync += [by.eq(Mux(largest.any(), largest, 1)), walking.eq(1), told.eq(0)]
        final = at == (count - 1)[:len(at)]
        m.d.comb += [self.o_scale.valid.eq(~told), self.o_scale.p.squares.eq(squares), self.o_scale.p.largest.eq(largest)]
        with m.If(self.o_scale.valid & self.o_scale.ready):
            m.d.sync += told.eq(1)
        with m.If(advance & walking):
            m.d.sync += at.eq(at + 1)
            with m.If(final):
                m.d.sync += walking.eq(0)

        valid, last = Signal(DIGITS + 5), Signal(DIGITS + 5, reset_less=True)
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(walking, valid)), last.eq(Cat(final, last))]
        rest, low, minus, digits = self._doubled(m, advance, read.data, size)
        for _ in range(DIGITS):
            digit, after = _divide_step(rest, low[-1], by)
            now = [Signal(size, reset_less=True), Signal(len(low) - 1, reset_less=True), Signal(reset_less=True),
                   Signal(len(digits) + 1, reset_less=True)]
            with m.If(advance):
                m.d.sync += [now[0].eq(after), now[1].eq(low[:-1]), now[2].eq(minus), now[3].eq(Cat(digit, digits))]
            rest, low, minus, digits = now
        tie, half, sign = (Signal(reset_less=True) for _ in range(3))
        low = Signal(DIGITS - 1, reset_less=True)
        code = Signal(signed(8), reset_less=True)
        nearest = low + (half & ~(tie & ~low[0]))
        with m.If(advance):
            m.d.sync += [tie.eq(~rest.any()), half.eq(digits[0]), low.eq(digits[1:]), sign.eq(minus),
                         code.eq(Mux(sign, -nearest, nearest))]
        m.d.comb += [self.o.valid.eq(valid[-1]), self.o.p.last.eq(last[-1]), self.o.p.code.eq(code)]

        # Both of a token's streams must be through before the next is taken.
        idle = ~taking & ~settled.any() & ~walking & told & ~valid[:-1].any()
        with m.If(idle):
            m.d.sync += [taking.eq(1), count.eq(0), index.eq(0), at.eq(0), squares.eq(0), largest.eq(0)]
        return m

    def _doubled(self, m: Module, advance: Signal, word: Value, size: int) -> tuple[Signal, Signal, Signal, Signal]:
        """254 times a magnitude as the rest to begin with and the digits' bits to come; its sign, and no digits yet."""
        low, rest, minus = Signal(DIGITS, reset_less=True), Signal(size, reset_less=True), Signal(reset_less=True)
        held = Signal(size + 1, reset_less=True)            # block memory is slow
        number = held[:size]
        with m.If(advance):
            m.d.sync += [held.eq(word), Cat(low, rest).eq((number << DIGITS) - (number << 1)), minus.eq(held[-1])]
        return rest, low, minus, Signal(0)
