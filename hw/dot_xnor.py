"""Dot products of signs: exclusive-nor and count."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, delayed, signed_width
from .carry import Chain, Term, inverted, plain
from .intake import accumulate, intake

__all__ = ["DotXnor", "check_lanes", "sum_width"]

PER_STAGE = 2
"""Levels of adders between registers."""

Lane = tuple[Value, Value]


def check_lanes(lanes: object) -> int:
    """Refuse what is not a number of lanes."""
    if not isinstance(lanes, int) or isinstance(lanes, bool):
        raise TypeError(f"Lanes must be a power of two from 4 to 128, not {lanes!r}")
    if lanes not in (4, 8, 16, 32, 64, 128):
        raise ValueError(f"Lanes must be a power of two from 4 to 128, not {lanes!r}")
    return lanes


def sum_width(lanes: int, depth: int) -> int:
    """Bits of a signed number that holds any count, and its negative."""
    check_dimension("Depth", depth)
    return signed_width(lanes * depth)


class DotXnor(wiring.Component):
    """Counts of equal bits, with the threshold of a batch normalisation and sign folded in, ``lanes`` a cycle.

    ``sum`` is the bias of the latest transaction with ``first`` set plus how many lanes had ``a`` equal to ``w`` since, through the
    transaction with ``last`` set, which emits it. ``bit`` is whether that is not negative, inverted where ``flip`` of that last
    transaction is set. With signs as bits, 1 for plus, the dot product is twice the count less the lanes; a channel's normalisation
    and sign are a threshold of the count, whose negative is the bias, and a flip where the normalisation's factor is negative (FINN,
    Umuroglu et al. 2017). Sums are exact for negative biases no larger than ``depth`` transactions' lanes, modulo the width for others.
    No pause between dot products. The accumulator is the output register: a finished sum that is not taken stops the unit.
    Before the first ``first`` the sum is unspecified.

    The arrangement is ours: unequal lanes are counted by adders that take two numbers and, as their carry, one lane more, so that
    three lanes make two bits, seven three, and all but one a number whose inverse is the count of equal ones; that one is the
    accumulator's carry. The exclusive-ors are inside the first adders' cells and the carries'.

    Parameters
    ----------
    lanes : :class:`int`
        Bits of an operand, a power of two from 4 to 128.
    depth : :class:`int`
        Most transactions in a dot product; decides the accumulator's width.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes, "w": lanes, "bias": signed(acc_width), "flip": 1, "first": 1, "last": 1}))`
        Signs, and what a channel has.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "bit": 1}))`
        Counts and signs.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, lanes: int, *, depth: int = 128, cells: bool = True) -> None:
        self.lanes = check_lanes(lanes)
        self.depth = depth
        self.acc_width = sum_width(lanes, depth)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": unsigned(lanes), "w": unsigned(lanes), "bias": signed(self.acc_width), "flip": unsigned(1),
                "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width), "bit": unsigned(1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        levels = self.lanes.bit_length() - 2
        stages = 1 + -(-levels // PER_STAGE)
        advance = Signal()
        a, w = Signal(self.lanes, reset_less=True), Signal(self.lanes, init=(1 << self.lanes) - 1, reset_less=True)
        begin = intake(m, advance, self.i, self.o, [(a, self.i.p.a), (w, self.i.p.w)], stages=stages)
        flip = delayed(m, advance, self.i.p.flip, stages + 1, "flip")
        m.d.comb += self.o.p.bit.eq(~(self.o.p.sum[-1] ^ flip))
        numbers, last = self._counted(m, advance, list(zip(a, w, strict=True)), levels)
        added = [inverted(bit) for bit in numbers]
        bias = delayed(m, advance, self.i.p.bias.as_unsigned(), stages, "bias")
        accumulate(m, advance, self.o, begin, [Chain(m, "sum", cells=self.cells, tied=True)], added, carry=Term(0b1001, last), start=bias)
        return m

    def _counted(self, m: Module, advance: Value, lanes: list[Lane], levels: int) -> tuple[list[Value], Lane]:
        """How many of all lanes but one are unequal; and that one."""
        words = [[Term(0b0110, lane)] for lane in lanes[:1 << levels]]
        rest = lanes[1 << levels:]
        for level in range(levels):
            chain = Chain(m, f"level_{level}", cells=self.cells, tied=True)
            pairs = list(zip(words[::2], words[1::2], strict=True))
            words = [list(map(plain, chain.add(x, y, level + 2, carry=Term(0b0110, lane))))
                     for (x, y), lane in zip(pairs, rest, strict=False)]
            rest = rest[len(pairs):]
            chain.close()
            if level % PER_STAGE == PER_STAGE - 1 or level == levels - 1:
                words = [list(map(plain, delayed(m, advance, Cat(term.value for term in word), 1, f"count_{level}_{n}")))
                         for n, word in enumerate(words)]
                bits = delayed(m, advance, Cat(*(Cat(lane) for lane in rest)), 1, f"rest_{level}")
                rest = [(bits[2 * n], bits[2 * n + 1]) for n in range(len(rest))]
        (word,), (last,) = words, rest
        return [term.value for term in word], last
