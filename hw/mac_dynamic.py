"""Dot product of dynamic fixed-point numbers: pairs of INT16 products, chains of pairs in INT32, chains in a wider sum."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..formats import INT16
from .array_widths import check_dimension
from .carry import Chain, clear, plain
from .dot_lane import check_element, lane
from .dot_sum import Summand, tree

__all__ = ["ACC", "MacDynamic", "check_chain", "longest_chain", "total_width"]

ACC = 32
"""Bits of a chain's accumulator."""


def longest_chain(shift: int, symmetric: bool) -> int:
    """Most pairs whose sum fits the chain's accumulator whatever the operands.

    The largest pair is twice ``(-2 ** 15) ** 2``, or twice ``(2 ** 15 - 1) ** 2`` if the most negative operand does not occur; the most
    negative pair is twice ``-2 ** 15 * (2 ** 15 - 1)``, or the same as the largest. Both are cut, downwards, by ``shift`` bits.
    """
    most = (1 << INT16.width - 1) - symmetric
    high, low = 2 * most * most >> shift, -(-2 * most * ((1 << INT16.width - 1) - 1) >> shift)
    return min(((1 << ACC - 1) - 1) // high, (1 << ACC - 1) // low)


def check_chain(chain: object, shift: object, symmetric: bool) -> int:
    """Pairs in a chain, if they can not overflow; the most there may be for :data:`None`.

    Raises
    ------
    TypeError, ValueError
        If not; the sentence says why.
    """
    if isinstance(shift, bool) or not isinstance(shift, int) or not 0 <= shift <= 15:
        raise ValueError(f"Shift must be an integer between 0 and 15, not {shift!r}")
    most = longest_chain(shift, symmetric)
    if most < 1:
        raise ValueError(f"Shift must be at least 1 where operands may be -32768, as a pair of products is 2**31 then, not {shift}")
    if chain is None:
        return most
    check_dimension("Chain", chain)
    assert isinstance(chain, int)
    if chain > most:
        raise ValueError(f"Chain must have at most {most} pairs, whose sum fits {ACC} bits when cut by {shift}, not {chain}")
    return chain


def total_width(chains: int) -> int:
    """Bits of the sum of ``chains`` chains."""
    check_dimension("Chains", chains)
    return ACC + (chains - 1).bit_length()


class MacDynamic(wiring.Component):
    """Dot products of INT16 mantissas of dynamic fixed-point tensors, two products per cycle.

    ``sum`` is that of ``floor((a[0] * b[0] + a[1] * b[1]) / 2 ** shift)`` over the transactions from the latest with ``first`` set through
    the one with ``last`` set, which emits it. The exponent that goes with it is that of both tensors together, and ``shift``. No pause
    between dot products; the accumulator is the output register: a finished sum that is not taken stops the unit. Before the first
    ``first`` the sum is unspecified.

    Das et al. (2018) add pairs of INT16 products in INT32, and short chains of such sums in FP32. A pair alone can reach 2 ** 31, so
    either the most negative operand does not occur (``symmetric``, as symmetric quantisation has it), and one pair is a chain; or sums are
    cut by ``shift`` bits, once a pair, and 2 ** ``shift`` - 1 pairs are a chain, 2 ** ``shift`` if symmetric. A chain that could
    overflow is refused, so its length shows in no result. Chains are added in a wider integer and not in FP32: that costs less and does
    not round. The cut, its rule and the widths are our choice; we have found none published. Should -32768 occur in spite of
    ``symmetric``, a chain is modulo 2 ** 32.

    Parameters
    ----------
    chain : :class:`int` or :data:`None`
        Pairs in a chain; as many as can not overflow by default.
    shift : :class:`int`
        Bits that a pair is cut by, 0 to 15.
    symmetric : :class:`bool`
        Whether no operand is -32768.
    chains : :class:`int`
        Most chains in a dot product; the last of which may be short.
    multiplier : :class:`str`
        ``lut`` or ``dsp``.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 2 * signed(16), "b": 2 * signed(16), "first": 1, "last": 1}))`
        Factors.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, chain: int | None = None, shift: int = 0, symmetric: bool = True, chains: int = 1 << 16, multiplier: str = "dsp",
                 cells: bool = True) -> None:
        self.chain = check_chain(chain, shift, symmetric)
        self.shift = shift
        self.acc_width = total_width(chains)
        check_element(INT16.name, multiplier)
        self.multiplier = multiplier
        self.cells = cells
        pair = data.ArrayLayout(signed(INT16.width), 2)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": pair, "b": pair, "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        lanes = [lane(m, advance, INT16, self.i.p.a[n].as_unsigned(), self.i.p.b[n].as_unsigned(), multiplier=self.multiplier,
                      cells=self.cells, name=f"lane_{n}_") for n in range(2)]
        pair, levels = tree(m, advance, [word for word, _, _ in lanes], "pair", cells=self.cells)
        stages = lanes[0][2] + levels
        valid, first, last = Signal(stages), Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # A chain's sum, and what is known of it: whether it is of its dot product's first chain, whether it is complete, and the last.
        part = Signal(ACC, reset_less=True)
        opening, whole, finishes = Signal(reset_less=True), Signal(), Signal(reset_less=True)
        ends = Signal()
        enters = advance & valid[-1]
        word = Summand(pair.terms[self.shift:], pair.sign, pair.largest)
        if self.chain > 1:
            count, fresh = Signal(range(self.chain), reset_less=True), Signal(reset_less=True)
            starts, place = Signal(), Signal.like(count)
            m.d.comb += [starts.eq(first[-1] | fresh), place.eq(count & (~starts).replicate(len(count))),
                         ends.eq(last[-1] | (place == self.chain - 1))]
            with m.If(enters):
                m.d.sync += [count.eq(place + 1), fresh.eq(ends), opening.eq(first[-1] | (opening & ~fresh))]
            self._add(m, enters, part, word, starts, "part")
        else:
            m.d.comb += ends.eq(1)
            with m.If(enters):
                m.d.sync += [part.eq(Cat(term.value for term in word.extended(ACC))), opening.eq(first[-1])]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last)),
                         whole.eq(valid[-1] & ends), finishes.eq(last[-1]), self.o.valid.eq(whole & finishes)]

        total = Signal(self.acc_width, reset_less=True)
        self._add(m, advance & whole, total, Summand([plain(bit) for bit in part[:-1]], plain(part[-1]), 0), opening, "total")
        m.d.comb += self.o.p.sum.eq(total)
        return m

    def _add(self, m: Module, when: object, register: Signal, word: Summand, clears: Signal, name: str) -> None:
        chain = Chain(m, name, cells=self.cells)
        after = chain.add([clear(bit, clears) for bit in register], word.extended(len(register)), len(register))
        chain.close()
        with m.If(when):
            m.d.sync += register.eq(Cat(after))
