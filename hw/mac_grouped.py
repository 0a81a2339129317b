"""Dot products of 4-bit weights in groups, each group's sum scaled once."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, ResetSignal, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, delayed, signed_width
from .carry import Chain, Term, both, clear, inverted
from .multiply_rows import group, registered
from .signed_words import added, extended, shifted

__all__ = ["SCALES", "WEIGHTS", "MacGrouped", "sum_widths"]

WEIGHTS = {"int4": 8, "e2m1": 12}
"""Largest magnitude of a weight: of integers, and of FP4 in units of a half."""

SCALES = {"integer": 8, "power": 3}
"""Bits of a group's scale: an unsigned integer, or the exponent of a power of two."""

A_BITS = 8
STEPS = 8


def sum_widths(weight: str, scale: str, size: int, groups: int) -> tuple[int, int]:
    """Bits of the signed sum of a group of ``size`` products, and of that of ``groups`` scaled ones."""
    check_dimension("Group size", size)
    check_dimension("Groups", groups)
    largest = size * WEIGHTS[weight] << A_BITS - 1
    most = 255 if scale == "integer" else 1 << 7
    return signed_width(largest), signed_width(largest * most * groups)


class MacGrouped(wiring.Component):
    """Dot products of 8-bit integers with 4-bit weights that are scaled by the group, exact, without a multiplier.

    A group ends with the transaction that has ``end`` or ``last`` set; its sum of ``a * w`` is multiplied by the ``scale`` of that
    transaction and added to the others of the dot product, which ``last`` ends and emits. The next one begins after, as after reset. One
    product per cycle; a group that ends before the one before has been scaled, which takes 8 cycles at most, waits for that. ``sum`` is
    an integer, for FP4 in units of a half. The accumulator is the output register: scaling waits while a finished sum is not taken.

    Zhang et al. 2024 (MixPE, arXiv 2411.16158) take the scale out of the inner loop and make products by shift and add; their circuit and
    widths are not published. The arrangement is ours: an integer weight's rows on one carry chain; an FP4 weight as two bits and a
    shift by 0 to 2; the sign inside the accumulator's cells; the scale serially, its lowest bit first.

    Parameters
    ----------
    weight : :class:`str`
        ``"int4"``, or ``"e2m1"`` for OCP's FP4.
    scale : :class:`str`
        ``"integer"``, 8 bits unsigned, or ``"power"``, the exponent of a power of two, 3 bits.
    size : :class:`int`
        Most transactions in a group.
    groups : :class:`int`
        Most groups in a dot product.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "w": 4, "scale": 8 or 3, "end": 1, "last": 1}))`
        Integers, weights' codes, scales.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, weight: str, *, scale: str = "integer", size: int = 128, groups: int = 8, cells: bool = True) -> None:
        if weight not in WEIGHTS:
            raise ValueError(f"Weight must be one of {', '.join(WEIGHTS)}, not {weight!r}")
        if scale not in SCALES:
            raise ValueError(f"Scale must be one of {', '.join(SCALES)}, not {scale!r}")
        self.weight = weight
        self.scale = scale
        self.size = size
        self.groups = groups
        self.group_width, self.acc_width = sum_widths(weight, scale, size, groups)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(A_BITS), "w": unsigned(4), "scale": unsigned(SCALES[scale]), "end": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, empty, busy, ended = Signal(), Signal(), Signal(), Signal()
        a, w = Signal(A_BITS, reset_less=True), Signal(4, reset_less=True)
        opens, first = Signal(init=1), Signal(reset_less=True)
        end, last = Signal(reset_less=True), Signal(reset_less=True)
        # Where nothing comes in, a weight of zero does, as in intake.
        m.d.comb += [self.i.ready.eq(advance), advance.eq(~(ended & busy)),
                     empty.eq(ResetSignal(allow_reset_less=True) | (~(ended & busy) & ~self.i.valid))]
        with m.If(empty):
            m.d.sync += [w.eq(0), end.eq(0)]
        with m.Elif(advance):
            m.d.sync += [w.eq(self.i.p.w), end.eq(self.i.p.end | self.i.p.last)]
        with m.If(advance & self.i.valid):
            m.d.sync += opens.eq(self.i.p.end | self.i.p.last)
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), first.eq(opens), last.eq(self.i.p.last)]
        chain = Chain(m, "chain", cells=self.cells, tied=True)
        product, carry, stages = self._integer(m, advance, chain, a, w) if self.weight == "int4" else self._float(m, advance, a, w)
        ends = Signal(stages + 1)
        with m.If(advance):
            m.d.sync += ends.eq(Cat(end, ends))
        m.d.comb += ended.eq(ends[-1])
        total, begin = Signal(self.group_width, reset_less=True), delayed(m, advance, first, stages, "first")
        after = chain.add([clear(bit, begin) for bit in total], extended(product, self.group_width), self.group_width, carry=carry)
        chain.close()
        with m.If(advance):
            m.d.sync += total.eq(Cat(after))
        self._scaled(m, busy, ended, total, delayed(m, advance, self.i.p.scale, stages + 2, "scale"),
                     delayed(m, advance, last, stages + 1, "last"))
        return m

    def _integer(self, m: Module, advance: Value, chain: Chain, a: Value, w: Value) -> tuple[list[Term], Term | int, int]:
        """The product as signed terms, the carry that completes it, and the stages it takes."""
        (*low, top), = registered(m, advance, [group(chain, list(a), list(w), range(4))], "product")
        return [*low, inverted(*top.signals)], 0, 1

    def _float(self, m: Module, advance: Value, a: Value, w: Value) -> tuple[list[Term], Term | int, int]:
        """The weight's significand is twice its high bit and its low one."""
        low, exp_low, exp_high, sign = w
        high = Signal()
        m.d.comb += high.eq(exp_low | exp_high)
        rows = [(place, [both(bit, weight) for bit in a]) for place, weight in enumerate((low, high))]
        _, word = added(m, rows, "rows", cells=self.cells)
        product = delayed(m, advance, Cat(term.value for term in word), 1, "product")
        steps = delayed(m, advance, Cat(exp_high & ~exp_low, exp_high & exp_low, sign), 1, "steps")
        terms, carry = shifted(m, advance, list(product), list(steps[:2]), steps[2], Const(1, 1), "term")
        return terms, carry, 2

    def _scaled(self, m: Module, busy: Signal, ended: Value, group_sum: Value, scale: Value, last: Value) -> None:
        """The accumulator, and what is added to it: the group's sum, doubled in every step."""
        integer = self.scale == "integer"
        word = Signal(self.group_width + STEPS - 1, reset_less=True)
        factor, count, final = Signal(len(scale), reset_less=True), Signal(3, reset_less=True), Signal(reset_less=True)
        fresh, step, done = Signal(init=1), Signal(), Signal()
        acc = Signal(self.acc_width, reset_less=True)
        m.d.comb += [step.eq(busy & (~self.o.valid | self.o.ready)), done.eq(count == (STEPS - 1 if integer else factor)),
                     self.o.p.sum.eq(acc)]
        bit = Signal()
        m.d.comb += bit.eq(factor.bit_select(count, 1) if integer else done)
        chain = Chain(m, "sum", cells=self.cells, tied=True)
        terms = extended([both(part, bit) for part in word], self.acc_width)
        after = chain.add([clear(part, fresh) for part in acc], terms, self.acc_width)
        chain.close()
        with m.If(step):
            m.d.sync += [acc.eq(Cat(after)), word.eq(word << 1), count.eq(count + 1), busy.eq(~done), fresh.eq(done & final)]
        with m.If(~busy):
            m.d.sync += [word.eq(Cat(group_sum, group_sum[-1].replicate(STEPS - 1))), factor.eq(scale), final.eq(last), count.eq(0),
                         busy.eq(ended)]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(busy & done & final)
