"""Signed multiplier-accumulators for any family."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_accumulator, check_operand

__all__ = ["STRUCTURES", "Mac"]

STRUCTURES = ("booth", "plain", "dsp")
"""How the product is made: radix-4 Booth rows, or ``*``, which synthesis is told to keep out of DSPs or to put into one."""


class Mac(wiring.Component):
    """Dot products of signed numbers, one product per cycle, of nothing that a family has for itself.

    Same streams and sums as :class:`~.mac_lut.MacLut`. Latency from ``last`` is 3 cycles, 4 with Booth rows. A finished sum waits
    in registers of its own, and the accumulator is cleared in the cycle before a dot product's first addition by the flip-flops'
    synchronous reset: without carry cells a gate in front of the adder would be a look-up table a bit.

    The Booth rows are registers, so that a digit of zero is their reset, and a row one look-up table a bit. The one that completes
    a negative row enters as the carry of the adder it meets; the lowest row's goes to the accumulator. That arrangement is ours.

    Parameters
    ----------
    a_width, b_width : :class:`int`
        Operand bits, 2 to 16.
    structure : :class:`str`
        One of :data:`STRUCTURES`.
    depth, acc_width, wraps
        As there.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(a_width), "b": signed(b_width), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, a_width: int, b_width: int, structure: str, *, depth: int = 256, acc_width: int | None = None,
                 wraps: bool = False) -> None:
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if structure not in STRUCTURES:
            raise ValueError(f"Structure must be one of {', '.join(STRUCTURES)}, not {structure!r}")
        self.a_width = a_width
        self.b_width = b_width
        self.structure = structure
        self.depth = depth
        self.acc_width = check_accumulator(acc_width, a_width, b_width, depth, wraps)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(a_width), "b": signed(b_width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, starts, adds, ends = Signal(), Signal(), Signal(), Signal()
        stages = 3 if self.structure == "booth" else 2
        valid = Signal(stages)
        first, last = Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        a, b = Signal(signed(self.a_width), reset_less=True), Signal(signed(self.b_width), reset_less=True)
        acc = Signal(signed(self.acc_width), reset_less=True)
        after = Signal(signed(self.acc_width))
        m.d.comb += [
            adds.eq(valid[-1]), ends.eq(valid[-1] & last[-1]), starts.eq(valid[-2] & first[-2]),
            # Not the complement of a product, whose inverter would go into the flip-flops' enables, and a DSP's have none.
            advance.eq(~ends | ~self.o.valid | self.o.ready), self.i.ready.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), b.eq(self.i.p.b), valid.eq(Cat(self.i.valid, valid)),
                         first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last))]
        product = Signal(signed(self.a_width + self.b_width), reset_less=True)
        one = Signal(reset_less=True)
        total, pending = _booth(m, advance, a, b) if self.structure == "booth" else (a * b, Const(0, 1))
        with m.If(advance):
            m.d.sync += [product.eq(total), one.eq(pending)]
        if self.structure == "booth":
            m.d.comb += after.eq((Cat(Const(1, 1), acc).as_signed() + Cat(one, product).as_signed()) >> 1)
        else:
            m.d.comb += after.eq(acc + product)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(advance & starts):
            m.d.sync += acc.eq(0)
        with m.Elif(advance & adds):
            m.d.sync += acc.eq(after)
        with m.If(advance & ends):
            m.d.sync += [self.o.valid.eq(1), self.o.p.sum.eq(after)]
        return m


def _booth(m: Module, advance: Value, a: Value, b: Value) -> tuple[Value, Value]:
    """``a * b`` but for a one, one stage later, and the one."""
    digits = Cat(Const(0, 1), b, b[-1])
    nodes = []
    for n in range((len(b) + 1) // 2):
        low, middle, high = digits[2 * n:2 * n + 3]
        row, one = Signal(signed(len(a) + 1), name=f"row_{n}", reset_less=True), Signal(name=f"one_{n}", reset_less=True)
        # Zero in an arm of its own becomes the registers' synchronous reset.
        with m.If(advance):
            with m.If((low == middle) & (middle == high)):
                m.d.sync += [row.eq(0), one.eq(0)]
            with m.Else():
                m.d.sync += [row.eq(Mux(middle ^ low, Cat(a, a[-1]), Cat(Const(0, 1), a)) ^ high.replicate(len(row))), one.eq(high)]
        nodes.append((row, 2 * n, one))
    while len(nodes) > 1:
        joined = [_join(m, *pair) for pair in zip(nodes[::2], nodes[1::2], strict=False)]
        nodes = joined + nodes[len(joined) * 2:]
    (value, _, one), = nodes
    return value, one


def _join(m: Module, lower: tuple[Value, int, Value], upper: tuple[Value, int, Value]) -> tuple[Value, int, Value]:
    """Sum of two signed values of different weight, each with a one still to be added: the lower one's is left."""
    (low, place, pending), (high, above, one) = lower, upper
    gap = above - place
    rest = Signal(signed(max(len(low) - gap, len(high)) + 1))
    m.d.comb += rest.eq((Cat(Const(1, 1), low[gap:]).as_signed() + Cat(one, high).as_signed()) >> 1)
    return Cat(low[:gap], rest).as_signed(), place, pending
