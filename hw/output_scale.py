"""Scale of a BitLinear's outputs, as a dyadic, by a serial root and a serial division."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ROOT_BITS", "OutputScale"]

ROOT_BITS = 18


class OutputScale(wiring.Component):
    """``constant * largest / sqrt(squares + eps)`` as ``b / 2**c``, once a token: :func:`mantissa.bitlinear.output_scale`, bit for bit.

    One bit a cycle: two normalisations, a root of 18 bits, a quotient of 18 bits, a product and its rounding, one transaction at a time.
    At most ``(squares_width + 2) // 2 + largest_width + 2 * bits + 43`` cycles, for sums of 34 bits and more and magnitudes of 18 and
    more. Root and quotient are rounded down, which we chose.

    Parameters
    ----------
    squares_width, largest_width : :class:`int`
        Bits of the sum of squares and of the largest magnitude, 1 to 96.
    bits : :class:`int`
        Bits of the multiplier, 2 to 18; 8 are a bfloat16's.

    Members
    -------
    i : ``In(stream.Signature({"squares": squares_width, "largest": largest_width, "eps": 32, "multiplier": bits, "shift": signed(8)}))``
        ``multiplier / 2**shift`` is the constant; its highest bit must be set.
    o : ``Out(stream.Signature({"b": bits, "c": 6}))``
    """

    def __init__(self, *, squares_width: int = 43, largest_width: int = 31, bits: int = 16) -> None:
        for name, value, low, high in (("Squares", squares_width, 1, 96), ("Largest", largest_width, 1, 96), ("Multiplier", bits, 2, 18)):
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"{name} must have {low} to {high} bits, not {value!r}")
        self.squares_width = squares_width
        self.largest_width = largest_width
        self.bits = bits
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "squares": unsigned(squares_width), "largest": unsigned(largest_width), "eps": unsigned(32),
                "multiplier": unsigned(bits), "shift": signed(8)}))),
            "o": Out(stream.Signature(data.StructLayout({"b": unsigned(bits), "c": unsigned(6)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n, bits = ROOT_BITS, self.bits
        wide = max(2 * n, (max(self.squares_width, 32) + 2) // 2 * 2)       # of squares + eps, even
        long = max(n, self.largest_width)
        squares, largest = Signal(wide, reset_less=True), Signal(long, reset_less=True)
        c = Signal(signed(10), reset_less=True)
        by, step = Signal(bits, reset_less=True), Signal(range(max(n, bits)))
        root, rest, quotient = Signal(n), Signal(n + 2), Signal(n)
        product = Signal(n + bits)
        b, half = Signal(bits), Signal()
        lost = Signal()

        with m.FSM():
            with m.State("wait"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [squares.eq(self.i.p.squares + self.i.p.eps), largest.eq(self.i.p.largest), by.eq(self.i.p.multiplier),
                             c.eq(self.i.p.shift + (n - 1) + (wide // 2 - n) - (long - n)), root.eq(0), rest.eq(0), product.eq(0),
                             step.eq(0), half.eq(0)]
                with m.If(self.i.valid):
                    m.next = "squares"
            with m.State("squares"):
                with m.If(~squares.any()):
                    m.d.sync += squares.eq(1)
                with m.Elif(squares[-2:].any()):
                    m.next = "root"
                with m.Else():
                    m.d.sync += [squares.eq(squares << 2), c.eq(c - 1)]
            with m.State("root"):
                longer, tried = Cat(squares[-2:], rest)[:n + 2], Signal(n + 3)
                m.d.comb += tried.eq(longer - Cat(Const(1, 2), root))
                digit = ~tried[-1]
                m.d.sync += [squares.eq(squares << 2), rest.eq(Mux(digit, tried, longer)), root.eq(Cat(digit, root)), step.eq(step + 1)]
                with m.If(step == n - 1):
                    m.d.sync += step.eq(0)
                    m.next = "largest"
            with m.State("largest"):
                with m.If(largest[-1]):
                    m.next = "compare"
                with m.Elif(~largest.any()):
                    m.d.sync += [b.eq(0), c.eq(63)]
                    m.next = "give"
                with m.Else():
                    m.d.sync += [largest.eq(largest << 1), c.eq(c + 1)]
            with m.State("compare"):
                less = largest[-n:] < root
                m.d.sync += [rest.eq(Mux(less, largest[-n:] << 1, largest[-n:])), c.eq(c + less)]
                m.next = "divide"
            with m.State("divide"):
                tried = Signal(n + 2)
                m.d.comb += tried.eq(rest[:n + 1] - root)
                digit = ~tried[-1]
                m.d.sync += [rest.eq(Mux(digit, tried[:n + 1], rest[:n + 1]) << 1), quotient.eq(Cat(digit, quotient)), step.eq(step + 1)]
                with m.If(step == n - 1):
                    m.d.sync += step.eq(0)
                    m.next = "multiply"
            with m.State("multiply"):
                m.d.sync += [product.eq((product << 1) + Mux(by[-1], quotient, 0)), by.eq(by << 1), step.eq(step + 1)]
                with m.If(step == bits - 1):
                    m.next = "normalise"
            with m.State("normalise"):
                m.d.sync += c.eq(c - n + ~product[-1])
                with m.If(product[-1]):
                    m.d.sync += [b.eq(product[n:]), half.eq(product[n - 1])]
                with m.Else():
                    m.d.sync += [b.eq(product[n - 1:-1]), half.eq(product[n - 2])]
                m.next = "round"
            with m.State("round"):
                m.d.sync += half.eq(0)
                with m.If(half & b.all()):
                    m.d.sync += [b.eq(1 << bits - 1), c.eq(c - 1)]
                with m.Else():
                    m.d.sync += b.eq(b + half)
                m.d.sync += lost.eq(0)
                m.next = "bound"
            with m.State("bound"):
                with m.If(c < 0):
                    m.d.sync += [b.eq(-1), c.eq(0)]
                    m.next = "give"
                with m.Elif((c > 63) & (b.any() | lost)):
                    m.d.sync += [Cat(lost, b).eq(b), c.eq(c - 1)]
                with m.Else():
                    m.d.sync += [b.eq(b + lost), c[6:].eq(0)]
                    with m.If(c > 63):
                        m.d.sync += c.eq(63)
                    m.next = "give"
            with m.State("give"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "wait"
        m.d.comb += [self.o.p.b.eq(b), self.o.p.c.eq(c)]
        return m
