"""Exact dot product of FP8 numbers, one lane."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, signed_width
from .carry import Chain, Term, both, clear, plain

__all__ = ["MacE4M3", "sum_width"]

LARGEST = 448 ** 2 << 18
"""Largest product in units of the smallest, 2 ** -18."""


def sum_width(depth: int) -> int:
    """Bits of the signed sum of ``depth`` products."""
    check_dimension("Depth", depth)
    return signed_width(depth * LARGEST)


class MacE4M3(wiring.Component):
    """Dot products of OCP E4M3 numbers, exact, one product per cycle, without a DSP.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it, as an integer in units of 2 ** -18, the smallest product. Nothing is rounded, subnormals are numbers like any other.
    ``nan`` is whether a factor among them was NaN; the sum then is not to be used, and counts NaN as 480. No pause between dot
    products; latency from ``last`` is 5 cycles. The accumulator is the output register: a finished sum that is not taken stops the
    unit. Before the first ``first`` the sum is unspecified.

    The element is OCP 8-bit Floating Point 1.0's, with one NaN and no infinities. The arrangement is ours: significands multiplied
    and exponents added in carry chains; a shift by up to 7 in multiplexers; the shift by multiples of 8 in registers, one set for
    each multiple, of which all but one are zero, so that a bit of the sum has at most two of them to take the or of. The sign
    inverts what is added inside the accumulator's cells, and is the carry that completes it.

    Parameters
    ----------
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 8, "b": 8, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "nan": 1}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, depth: int = 256, cells: bool = True) -> None:
        self.depth = depth
        self.acc_width = sum_width(depth)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": unsigned(8), "b": unsigned(8), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width), "nan": unsigned(1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, adds = Signal(), Signal()
        valid, first, last = Signal(4), Signal(4, reset_less=True), Signal(4, reset_less=True)
        sign, nan = Signal(4, reset_less=True), Signal(3, reset_less=True)
        acc = Signal(self.acc_width, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[-1]),
                     self.i.ready.eq(advance), self.o.p.sum.eq(acc)]
        a, a_exp, a_top = self._unpacked(m, advance, self.i.p.a, "a")
        b, b_exp, b_top = self._unpacked(m, advance, self.i.p.b, "b")
        with m.If(advance):
            m.d.sync += [
                valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last)),
                sign.eq(Cat(self.i.p.a[7] ^ self.i.p.b[7], sign)),
                nan.eq(Cat((a_top & a[:3].all()) | (b_top & b[:3].all()), nan)), self.o.valid.eq(valid[-1] & last[-1])]

        significand, exponent = Signal(8, reset_less=True), Signal(5, reset_less=True)
        with m.If(advance):
            m.d.sync += [significand.eq(self._product(m, list(a), list(b))), exponent.eq(self._exponent(m, list(a_exp), list(b_exp)))]

        near, far = Signal(11, reset_less=True), Signal(3, reset_less=True)
        by_one = Mux(exponent[0], Cat(Const(0, 1), significand), significand)
        with m.If(advance):
            m.d.sync += [near.eq(Mux(exponent[1], Cat(Const(0, 2), by_one), by_one)), far.eq(exponent[2:])]
        moved = Mux(far[0], Cat(Const(0, 4), near), near)
        parts = [Signal(15, name=f"part_{n}", reset_less=True) for n in range(4)]
        for n, part in enumerate(parts):
            with m.If(advance):
                with m.If(far[1:] == n):
                    m.d.sync += part.eq(moved)
                with m.Else():
                    m.d.sync += part.eq(0)

        # Exponents add up to two at least: the two lowest positions are empty.
        negative = sign[3]
        added = [self._position(m, parts, place, negative) for place in range(2, 38)]
        added += [plain(negative)] * (self.acc_width - len(added))
        chain = Chain(m, "sum", cells=self.cells)
        after = chain.add([clear(bit, first[3]) for bit in acc], added, self.acc_width, carry=negative)
        chain.close()
        with m.If(adds):
            m.d.sync += [acc.eq(Cat(after)), self.o.p.nan.eq((self.o.p.nan & ~first[3]) | nan[2])]
        return m

    @staticmethod
    def _unpacked(m: Module, advance: Value, code: Value, name: str) -> tuple[Value, Value, Value]:
        """Significand, exponent of at least one, and whether the exponent is the highest."""
        significand, exponent = Signal(4, name=f"{name}_significand", reset_less=True), Signal(4, name=f"{name}_exponent", reset_less=True)
        top = Signal(name=f"{name}_top", reset_less=True)
        normal = code[3:7].any()
        with m.If(advance):
            m.d.sync += [significand.eq(Cat(code[:3], normal)), exponent.eq(Cat(code[3] | ~normal, code[4:7])), top.eq(code[3:7].all())]
        return significand, exponent, top

    def _product(self, m: Module, a: list[Value], b: list[Value]) -> Value:
        chain = Chain(m, "product", cells=self.cells)
        found = [both(bit, b[0]) for bit in a]
        for j in range(1, 4):
            found[j:] = map(plain, chain.add([both(bit, b[j]) for bit in a], found[j:], 5))
        chain.close()
        return Cat(term.value for term in found)

    def _exponent(self, m: Module, a: list[Value], b: list[Value]) -> Value:
        chain = Chain(m, "exponent", cells=self.cells)
        total = chain.add([plain(bit) for bit in a], [plain(bit) for bit in b], 5)
        chain.close()
        return Cat(total)

    @staticmethod
    def _position(m: Module, parts: list[Signal], place: int, negative: Value) -> Term:
        """What is added at a position, from the one or two sets of registers that reach it."""
        bits = [part[place - 8 * n] for n, part in enumerate(parts) if 0 <= place - 8 * n < len(part)]
        if len(bits) == 1:
            return Term(0b0110, (bits[0], negative))
        either = Signal(name=f"either_{place}")
        m.d.comb += either.eq(bits[0] | bits[1])
        return Term(0b0110, (either, negative))
