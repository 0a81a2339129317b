"""L-Mul products of floats, accumulated exactly."""
from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np
import numpy.typing as npt

from ..formats import Float, Top
from .array_widths import check_dimension, delayed, signed_width
from .carry import Chain, Term, plain
from .intake import accumulate, intake
from .lmul import check_float, check_offset, field_sum, normal, offset_of, special
from .mac_align import Bits, choose, lengths, shift

__all__ = ["MacLmul", "sum_width"]

LEAST = 2
"""Exponents of two normal numbers add up to this at least, which is the unit's place."""


@cache
def _products(fmt: Float, offset: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Significand and exponent of every product of codes without sign that have an exponent."""
    added, more = offset_of(fmt, offset)
    codes = np.arange(1 << fmt.man, 1 << fmt.exp + fmt.man)
    fields = (np.add.outer(codes, codes).ravel() << more) + added
    place = fmt.man + more
    return fields & (1 << place) - 1 | 1 << place, fields >> place


def sum_width(fmt: Float, offset: str, depth: int) -> int:
    """Bits of the signed sum of ``depth`` products of numbers, in units of the last bit of the least."""
    check_dimension("Depth", depth)
    added, more = offset_of(fmt, offset)
    most = (1 << fmt.exp + fmt.man) - 1 - (1 << fmt.man if fmt.top is Top.IEEE else fmt.top is Top.NAN)
    place = fmt.man + more
    field = (2 * most << more) + added
    largest = (field & (1 << place) - 1 | 1 << place) << (field >> place) - LEAST
    return signed_width(depth * largest)


class MacLmul(wiring.Component):
    """Dot products of floats, each product L-Mul's, their sum exact, one product per cycle, without a multiplier.

    ``sum`` is that of the products from the latest transaction with ``first`` set through the one with ``last`` set, which emits
    it, as an integer in units of ``2 ** (2 - 2 * bias - fraction)``, ``fraction`` being the product's fraction bits. ``nan``, where the
    format has codes that are not numbers, is whether an operand was one, infinities included; the sum then is not to be used (it
    counts them as the numbers they would be, modulo its width). No pause between dot products. The accumulator is the output
    register: a finished sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    The product is that of Luo and Sun 2024, arXiv 2410.00907, as in :class:`~.multiply_lmul.MultiplyLmul`, but before it is cut to a code:
    it neither overflows nor underflows, and has the fraction bits that the offset needs. Zero and subnormal operands make zero; the
    paper is silent on them, and on accumulation: that, like the arrangement, is our choice.

    Parameters
    ----------
    fmt : :class:`str`
        Signed float of at most 8 bits, by its name in :func:`mantissa.formats.get`.
    offset : :class:`str`
        One of :data:`~.lmul.OFFSETS`. ``"1/16"`` gives fractions of less than four bits as many as that takes.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": width, "b": width, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "nan": 1}))`
        Dot products; ``nan`` only where there are such codes.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, offset: str = "published", depth: int = 256, cells: bool = True) -> None:
        self.fmt = check_float(fmt, 8)
        self.offset = check_offset(offset)
        self.depth = depth
        self.acc_width = sum_width(self.fmt, offset, depth)
        self.cells = cells
        self.nan = self.fmt.top is not Top.NUMBERS
        code = unsigned(self.fmt.width)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": code, "b": code, "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)} | ({"nan": unsigned(1)} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt, n = self.fmt, self.fmt.exp + self.fmt.man
        added, more = offset_of(fmt, self.offset)
        levels = int(_products(fmt, self.offset)[1].max()).bit_length()
        stages = 2 + (levels + 1) // 2
        advance, live = Signal(), Signal(reset_less=True)
        a, b, sign = Signal(n, reset_less=True), Signal(n, reset_less=True), Signal(reset_less=True)
        pair = self.i.p.a, self.i.p.b
        bad, found = Signal(reset_less=True), [special(fmt, code) for code in pair]
        begin = intake(m, advance, self.i, self.o, [(live, normal(fmt, pair[0]) & normal(fmt, pair[1]))]
                       + [(bad, Cat(found).any())] * self.nan, stages=stages)
        with m.If(advance):
            m.d.sync += [a.eq(pair[0]), b.eq(pair[1]), sign.eq(pair[0][n] ^ pair[1][n])]

        chain = Chain(m, "field", cells=self.cells, tied=True)
        total = Cat(field_sum(chain, list(a), list(b), 0 if more else added, fmt.man + levels))
        chain.close()
        fraction, one = Signal(fmt.man, reset_less=True), Signal(reset_less=True)
        exponent = Signal(levels, name="exponent_0", reset_less=True)
        with m.If(advance):
            m.d.sync += [exponent.eq(total[fmt.man:]), one.eq(live), fraction.eq(total[:fmt.man])]
            with m.If(~live):
                m.d.sync += fraction.eq(0)
        bits: Bits = [*[one if added >> k & 1 else None for k in range(more)], *fraction, one]
        bits = self._moved(m, advance, bits, exponent)

        negative = Signal()
        m.d.comb += negative.eq(delayed(m, advance, sign, stages - 1, "sign"))
        if self.nan:
            now = delayed(m, advance, bad, stages - 1, "bad")
            with m.If(advance):
                m.d.sync += self.o.p.nan.eq((self.o.p.nan & ~begin) | now)
        bits = [*bits[LEAST:], *[None] * self.acc_width][:self.acc_width]
        terms = [plain(negative) if bit is None else Term(0b0110, (bit, negative)) for bit in bits]
        accumulate(m, advance, self.o, begin, [Chain(m, "sum", cells=self.cells, tied=True)], terms, carry=negative)
        return m

    def _moved(self, m: Module, advance: Value, bits: Bits, exponent: Value) -> Bits:
        """Significand at its place, two levels of the shift a stage."""
        sizes = lengths(*_products(self.fmt, self.offset), len(exponent))
        for n in range(0, len(exponent), 2):
            last = min(n + 1, len(exponent) - 1)
            if n < last:
                bits = shift(bits, exponent[n], 1 << n, *sizes[n])
            stay, move = sizes[last]
            choices: list[tuple[Value | None, Bits]] = [(exponent[last], [None] * (1 << last) + bits[:move]), (None, bits[:stay])]
            bits = choose(m, advance, choices, f"moved_{n}")
            later = Signal(len(exponent), name=f"exponent_{n + 2}", reset_less=True)
            with m.If(advance):
                m.d.sync += later[n + 2:].eq(exponent[n + 2:])
            exponent = later
        return bits
