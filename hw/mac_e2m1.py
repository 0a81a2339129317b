"""Exact dot product of FP4 numbers, one lane."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, signed_width
from .carry import Chain, Term, both, clear, plain
from .dot_sum import Summand

__all__ = ["LARGEST", "STAGES", "MacE2M1", "product", "sum_width"]

LARGEST = 144
"""Largest product, 6 times 6, in units of the smallest, half times half."""


def sum_width(depth: int) -> int:
    """Bits of the signed sum of ``depth`` products."""
    check_dimension("Depth", depth)
    return max(signed_width(depth * LARGEST), 9)


STAGES = 3
"""Registers that a product takes."""


def product(m: Module, advance: Value, a_code: Value, b_code: Value, chain: Chain, name: str = "") -> Summand:
    """Product of two E2M1 codes in units of 1/4, :data:`STAGES` advances later; its adder is the next on ``chain``."""
    def register(width: int, what: str) -> Signal:
        return Signal(width, name=f"{name}{what}", reset_less=True)

    # Operands: a is three bits, twice that with its high exponent bit; b is two bits, twice or four times that.
    sign, wide, narrow = register(3, "sign"), register(3, "wide"), register(2, "narrow")
    a_high, b_exp = register(2, "a_high"), register(4, "b_exp")
    (a_m, a_low, a_up, a_sign), (b_m, b_low, b_up, b_sign) = a_code, b_code
    with m.If(advance):
        m.d.sync += [
            wide.eq(Cat(a_m & ~(a_up & a_low), (a_up ^ a_low) | (a_up & a_low & a_m), a_up & a_low)), narrow.eq(Cat(b_m, b_up | b_low)),
            a_high.eq(Cat(a_up, a_high)), b_exp.eq(Cat(b_low, b_up, b_exp)), sign.eq(Cat(a_sign ^ b_sign, sign))]

    # Their product, and the part of the shift that is odd.
    bits = list(wide)
    rows = chain.add([both(bit, narrow[1]) for bit in bits], [both(bit, narrow[0]) for bit in bits[1:]], 4)
    significand, odd = register(5, "significand"), register(1, "odd")
    with m.If(advance):
        m.d.sync += [significand.eq(Cat(bits[0] & narrow[0], rows)), odd.eq(a_high[0] ^ (b_exp[1] & ~b_exp[0]))]

    # The even part: registers for both amounts, those of the other zero.
    far = Signal(name=f"{name}far")
    m.d.comb += far.eq((b_exp[3] & b_exp[2]) | (a_high[1] & b_exp[3]))
    shifted = Cat(Mux(odd, Cat(0, significand), significand)[:6] ^ sign[1].replicate(6), sign[1])
    stay, move = register(7, "stay"), register(7, "move")
    with m.If(advance):
        with m.If(far):
            m.d.sync += [stay.eq(0), move.eq(shifted)]
        with m.Else():
            m.d.sync += [stay.eq(shifted), move.eq(0)]
    low, high, negative = list(stay), list(move), sign[2]
    pairs = zip([*low, low[6]], [high[6], high[6], *high[:6]], strict=True)
    return Summand([Term(0b1110, pair) for pair in pairs], plain(negative), LARGEST, negative)


class MacE2M1(wiring.Component):
    """Dot products of OCP E2M1 numbers, exact, one product per cycle, without a DSP.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it, as an integer in units of 1/4. Nothing is rounded. No pause between dot products; latency from ``last`` is 4 cycles. The accumulator
    is the output register: a finished sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    The element is OCP Microscaling Formats 1.0's: 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign. The arrangement is ours. One operand goes
    in as three bits and a shift by 0 or 1, the other as two and a shift by 0 to 2, so that together they shift by 0 to 3: by one
    in a multiplexer, and by two in registers, of which those for the other amount are zero, so that the accumulator's cells take
    the or. The sign inverts what is added, and is the carry that completes it.

    Parameters
    ----------
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 4, "b": 4, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, depth: int = 256, cells: bool = True) -> None:
        self.depth = depth
        self.acc_width = sum_width(depth)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": unsigned(4), "b": unsigned(4), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, adds = Signal(), Signal()
        valid, first, last = Signal(3), Signal(3, reset_less=True), Signal(3, reset_less=True)
        acc = Signal(self.acc_width, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[-1]),
                     self.i.ready.eq(advance), self.o.p.sum.eq(acc)]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last)),
                         self.o.valid.eq(valid[-1] & last[-1])]
        chain = Chain(m, "chain", cells=self.cells)
        found = product(m, advance, self.i.p.a, self.i.p.b, chain)
        assert found.carry is not None
        after = chain.add([clear(bit, first[2]) for bit in acc], found.extended(self.acc_width), self.acc_width, carry=found.carry)
        chain.close()
        with m.If(adds):
            m.d.sync += acc.eq(Cat(after))
        return m
