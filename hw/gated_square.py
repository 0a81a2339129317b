"""Squared ReLU, gated, with one exponent a token."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_positive

__all__ = ["GatedSquare"]

STAGES = 6
"""Registers from an operand to its product's magnitude."""


class GatedSquare(wiring.Component):
    """``relu(gate)**2 * up`` of a token, shifted right by one exponent: :func:`mantissa.bitlinear.gated_square`, bit for bit.

    A token is taken, one pair per cycle: its products' magnitudes are or-ed, for the highest bit of that is the highest bit of the
    largest, while the pairs are kept in block memory. The exponent is counted, one bit a cycle. Then the products are made again, by the
    same multipliers, and come out shifted, rounded half to even, one per cycle; after the last the next token is taken. BitNet b1.58's
    activation; the exponent rule is ours.

    A token of n pairs takes 2 n + 18 cycles, and one more for each of the exponent.

    Parameters
    ----------
    width : :class:`int`
        Bits of the signed operands, 2 to 18; up to 18 take three 18x18 multipliers.
    out_width : :class:`int`
        Bits of the results, 2 to 32, at most ``3 * width - 3``.
    depth : :class:`int`
        Pairs of a token, at most; one with more ends there, as if ``last`` were set.

    Members
    -------
    i : ``In(stream.Signature({"gate": signed(width), "up": signed(width), "last": 1}))``
    o : ``Out(stream.Signature({"y": signed(out_width), "exponent": 6, "last": 1}))``
        Results stand for ``y * 2**exponent``.
    """

    def __init__(self, *, width: int = 16, out_width: int = 16, depth: int = 8192) -> None:
        if not isinstance(width, int) or isinstance(width, bool) or not 2 <= width <= 18:
            raise ValueError(f"Width must be between 2 and 18 bits, not {width!r}")
        most = min(32, 3 * width - 3)
        if not isinstance(out_width, int) or isinstance(out_width, bool) or not 2 <= out_width <= most:
            raise ValueError(f"Output width must be between 2 and {most} bits, not {out_width!r}")
        self.width = width
        self.out_width = out_width
        self.depth = check_positive("Depth", depth, 2)
        self.product_width = 3 * width - 3                  # of a magnitude: below 2**(2 width - 2) times at most 2**(width - 1)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"gate": signed(width), "up": signed(width), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"y": signed(out_width), "exponent": unsigned(6), "last": unsigned(1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, width = self.product_width, self.width
        m.submodules.store = store = memory.Memory(shape=unsigned(2 * width), depth=self.depth, init=[])
        write, read = store.write_port(), store.read_port()
        taking, at, count = Signal(init=1), Signal(range(self.depth)), Signal(range(self.depth))
        walking, settling, exponent = Signal(), Signal(), Signal(6)
        seen, advance, enter = Signal(size), Signal(), Signal()
        ends = self.i.p.last | (at == self.depth - 1)
        final = at == count

        # Only one of the passes moves pairs at a time; both use the same registers.
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(taking), enter.eq(taking & self.i.valid),
                     write.addr.eq(at), write.data.eq(Cat(self.i.p.gate, self.i.p.up)), write.en.eq(enter),
                     read.addr.eq(at), read.en.eq(advance)]
        with m.If(enter):
            m.d.sync += at.eq(at + 1)
            with m.If(ends):
                m.d.sync += [taking.eq(0), settling.eq(1), count.eq(at), at.eq(0)]
        fetched = Signal()                                  # read.data is a pair of the second pass
        first, second, last = Signal(STAGES), Signal(STAGES + 3), Signal(STAGES + 4)
        with m.If(advance):
            m.d.sync += [fetched.eq(walking), first.eq(Cat(enter, first)), second.eq(Cat(fetched, second)), last.eq(Cat(final, last))]
            with m.If(walking):
                m.d.sync += at.eq(at + 1)
                with m.If(final):
                    m.d.sync += walking.eq(0)
        with m.If(settling & ~first.any() & ~self.o.valid):
            with m.If(seen[self.out_width - 1:].any()):
                m.d.sync += [seen.eq(seen >> 1), exponent.eq(exponent + 1)]
            with m.Else():
                m.d.sync += [settling.eq(0), walking.eq(1)]
        with m.If(~taking & ~settling & ~walking & ~fetched & ~second.any()):
            m.d.sync += [taking.eq(1), at.eq(0), seen.eq(0), exponent.eq(0)]

        magnitude, minus = self._magnitude(m, advance, Mux(fetched, read.data, Cat(self.i.p.gate, self.i.p.up)))
        with m.If(advance & first[-1]):
            m.d.sync += seen.eq(seen | magnitude)
        y = self._shifted(m, advance, magnitude, minus, exponent)
        m.d.comb += [self.o.valid.eq(second[-1]), self.o.p.last.eq(last[-1]), self.o.p.y.eq(y), self.o.p.exponent.eq(exponent)]
        return m

    def _magnitude(self, m: Module, advance: Signal, pair: Value) -> tuple[Signal, Signal]:
        """Magnitude and sign of a pair's product, :data:`STAGES` registers later; the square meets ``up`` in two parts."""
        width = self.width
        cut = min(17, width - 1)
        gate, up, then = (Signal(shape, reset_less=True) for shape in (unsigned(width - 1), signed(width), signed(width)))
        square = Signal(2 * width - 2, reset_less=True)
        low = Signal(signed(cut + width), reset_less=True)
        high = Signal(signed(3 * width - 2 - cut + 1), reset_less=True)
        product = Signal(signed(3 * width - 2), reset_less=True)
        held = Signal(2 * width, reset_less=True)           # block memory is slow
        given = held[:width].as_signed()
        magnitude, minus = Signal(self.product_width, reset_less=True), Signal(reset_less=True)
        with m.If(advance):
            m.d.sync += [held.eq(pair), gate.eq(Mux(given[-1], 0, given[:-1])), up.eq(held[width:].as_signed()),
                         square.eq(gate * gate), then.eq(up), low.eq(square[:cut] * then), high.eq(square[cut:] * then),
                         product.eq((high << cut) + low), magnitude.eq(Mux(product[-1], -product, product)), minus.eq(product[-1])]
        return magnitude, minus

    def _shifted(self, m: Module, advance: Signal, magnitude: Value, minus: Value, by: Signal) -> Signal:
        """The magnitude shifted right, rounded half to even, bounded and signed, three registers later."""
        limit = (1 << self.out_width - 1) - 1
        coarse, rough = Signal(len(magnitude) + 1, reset_less=True), Signal(reset_less=True)
        near, up, signs = Signal(self.out_width - 1, reset_less=True), Signal(reset_less=True), Signal(2, reset_less=True)
        y = Signal(signed(self.out_width), reset_less=True)
        number = Cat(Const(0, 1), magnitude)                # bit 0 is the half
        steps = (number >> (by[3:] << 3))[:len(number)]
        below = Signal()
        with m.Switch(by[3:]):
            for n in range(1, (len(number) - self.out_width) // 8 + 1):
                with m.Case(n):
                    m.d.comb += below.eq(number[:8 * n].any())
        fine = Signal(len(number))
        left = Signal()
        m.d.comb += fine.eq(coarse >> by[:3])
        with m.Switch(by[:3]):
            for n in range(1, 8):
                with m.Case(n):
                    m.d.comb += left.eq(coarse[:n].any())
        rounded = near + up
        bounded = Mux(rounded[-1], limit, rounded[:-1])
        with m.If(advance):
            m.d.sync += [coarse.eq(steps), rough.eq(below), signs.eq(Cat(minus, signs)),
                         near.eq(fine[1:]), up.eq(fine[0] & (fine[1] | rough | left)),
                         y.eq(Mux(signs[-1], -bounded, bounded))]
        return y
