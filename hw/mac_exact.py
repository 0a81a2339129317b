"""Exact dot product of narrow floats and posits, one lane, one format."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..formats import Float, Posit, Top
from .array_widths import check_dimension
from .carry import ZERO, Chain, Term, both, clear, plain
from .mac_align import Bits, choose, lengths, shift
from .mac_exact_unpack import check_format, has_nan, integers, operands, parts

__all__ = ["MULTIPLIERS", "MacExact", "sum_width"]

MULTIPLIERS = ("lut", "dsp")
"""Where operands are multiplied: significands in rows of carry cells, or whole values, as integers, in a DSP."""

DSP = 18
"""Bits of a DSP's operand."""


def sum_width(fmt: Float | Posit, depth: int) -> int:
    """Bits of the signed sum of ``depth`` products, in units of the least."""
    check_dimension("Depth", depth)
    return (depth * int(max(integers(fmt))) ** 2).bit_length() + 1


class MacExact(wiring.Component):
    """Dot products of numbers of one format, exact, one product per cycle.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it, as an integer in units of the smallest product. Nothing is rounded; subnormals are numbers like any other. ``nan``, where the
    format has codes that are not numbers, is whether a factor was one, infinities included; the sum then is not to be used (NaR
    counts as zero, other codes as the number they would be, modulo the sum's width). No pause between dot products. The
    accumulator is the output register: a finished sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    Operands become a sign, a significand and a shift: floats by their fields, posits without exponent bits by the run of ones they
    begin with, other posits by a table. Significands are multiplied, shifts added, and the product moved by the sum, in levels
    no wider than any product at that level. With a DSP, operands are moved instead and multiplied as the integers they then are, so
    that nothing has to be moved after. The sign inverts what is added inside the accumulator's cells, and is the carry that
    completes it. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Float or posit of at most 8 bits, with a sign, by its name in :func:`mantissa.formats.get`.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    multiplier : :class:`str`
        One of :data:`MULTIPLIERS`. ``"dsp"`` needs a format whose values are integers of at most 18 bits.
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

    def __init__(self, fmt: str, *, depth: int = 256, multiplier: str = "lut", cells: bool = True) -> None:
        self.fmt = check_format(fmt)
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"Multiplier must be one of {', '.join(MULTIPLIERS)}, not {multiplier!r}")
        self.acc_width = sum_width(self.fmt, depth)
        bits = max(significand << by for significand, by in operands(self.fmt)).bit_length() - isinstance(self.fmt, Float)
        if multiplier == "dsp" and bits > DSP:
            raise ValueError(f"Format must have values of at most {DSP} bits for a DSP, not {bits} as {fmt!r}")
        self.multiplier = multiplier
        self.cells = cells
        self.nan = has_nan(self.fmt)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": unsigned(self.fmt.width), "b": unsigned(self.fmt.width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)} | ({"nan": unsigned(1)} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        top = self.fmt.width - 1
        posit = isinstance(self.fmt, Posit)
        significand, by = (np.array(column) for column in zip(*operands(self.fmt), strict=True))

        def register(value: Value, name: str) -> Value:
            later = Signal(len(value), name=name, reset_less=True)
            with m.If(advance):
                m.d.sync += later.eq(value)
            return later

        codes: list[Value] = [self.i.p.a, self.i.p.b]
        stages = 0
        if posit:
            codes = [register(self._magnitude(m, code, name), f"{name}_magnitude") for code, name in zip(codes, "ab", strict=True)]
            stages += 1
        bad = Const(0, 1)
        found = []
        for code, name in zip(codes, "ab", strict=True):
            bad = bad | self._not_a_number(code)
            found.append([register(part, f"{name}_{n}") for n, part in enumerate(parts(m, self.fmt, code[:top], name))])
        stages += 1
        nan_at = stages
        (a, a_by), (b, b_by) = found
        bits: Bits
        if self.multiplier == "dsp":
            levels = lengths(significand, by, len(a_by))
            whole = []
            for part, rest, name in ((a, a_by, "a"), (b, b_by, "b")):
                bits = list(part)
                for n, level in enumerate(levels):
                    bits = shift(bits, rest[n], 1 << n, *level)
                bits = bits[isinstance(self.fmt, Float):]            # exponents are one at least
                whole.append(register(Cat(Const(0, 1) if bit is None else bit for bit in bits), f"{name}_whole"))
            bits = list(register(whole[0] * whole[1], "product"))
            stages += 2
        else:
            product, total = register(self._product(m, list(a), list(b)), "product"), register(self._total(m, a_by, b_by), "shift")
            stages += 1
            products, sums = np.multiply.outer(significand, significand).ravel(), np.add.outer(by, by).ravel()
            levels = lengths(products, sums, len(total))
            bits = list(product)
            for n in range(0, len(total), 2):
                if n + 1 < len(total):
                    bits = shift(bits, total[n], 1 << n, *levels[n])
                last = min(n + 1, len(total) - 1)
                stay, move = levels[last]
                choices: list[tuple[Value | None, Bits]] = [(total[last], [None] * (1 << last) + bits[:move]), (None, bits[:stay])]
                bits = choose(m, advance, choices[not move:], f"moved_{n}")
                if n + 2 < len(total):
                    upper = total
                    total = Signal(len(upper), name=f"shift_{n}", reset_less=True)
                    with m.If(advance):
                        m.d.sync += total[n + 2:].eq(upper[n + 2:])
                stages += 1
            bits = bits[2 * isinstance(self.fmt, Float):]            # exponents are one at least
        self._accumulate(m, advance, bits, bad, stages, nan_at)
        return m

    def _magnitude(self, m: Module, code: Value, name: str) -> Value:
        sign = Signal(name=f"{name}_sign")
        m.d.comb += sign.eq(code[-1])
        chain = Chain(m, f"{name}_negated", cells=self.cells)
        terms = [Term(0b0110, (bit, sign)) for bit in code[:-1]]
        total = chain.add(terms, [ZERO] * len(terms), len(code), carry=sign)
        chain.close()
        return Cat(total)

    def _not_a_number(self, code: Value) -> Value:
        if isinstance(self.fmt, Posit):
            return code[-1]
        match self.fmt.top:
            case Top.IEEE:
                return code[self.fmt.man:-1].all()
            case Top.NAN:
                return code[:-1].all()
            case _:
                return Const(0, 1)

    def _product(self, m: Module, a: list[Value], b: list[Value]) -> Value:
        chain = Chain(m, "product", cells=self.cells)
        found = [both(bit, b[0]) for bit in a]
        for j in range(1, len(b)):
            found[j:] = map(plain, chain.add([both(bit, b[j]) for bit in a], found[j:], len(a) + 1))
        chain.close()
        return Cat(term.value for term in found)

    def _total(self, m: Module, a: Value, b: Value) -> Value:
        chain = Chain(m, "shift", cells=self.cells)
        total = chain.add([plain(bit) for bit in a], [plain(bit) for bit in b], len(a) + 1)
        chain.close()
        return Cat(total)

    def _accumulate(self, m: Module, advance: Value, bits: Bits, bad: Value, stages: int, nan_at: int) -> None:
        adds = Signal()
        valid, first, last = Signal(stages), Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        sign = Signal(stages, reset_less=True)
        acc = Signal(self.acc_width, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[-1]),
                     self.i.ready.eq(advance), self.o.p.sum.eq(acc)]
        with m.If(advance):
            m.d.sync += [
                valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)), last.eq(Cat(self.i.p.last, last)),
                sign.eq(Cat(self.i.p.a[-1] ^ self.i.p.b[-1], sign)), self.o.valid.eq(valid[-1] & last[-1])]
        if self.nan:
            nan = Signal(stages - nan_at + 1, reset_less=True)
            with m.If(advance):
                m.d.sync += nan.eq(Cat(bad, nan))
            with m.If(adds):
                m.d.sync += self.o.p.nan.eq((self.o.p.nan & ~first[-1]) | nan[-1])
        negative = Signal()
        m.d.comb += negative.eq(sign[-1])
        bits = [*bits, *[None] * self.acc_width][:self.acc_width]
        added = [plain(negative) if bit is None else Term(0b0110, (bit, negative)) for bit in bits]
        chain = Chain(m, "sum", cells=self.cells)
        after = chain.add([clear(bit, first[-1]) for bit in acc], added, self.acc_width, carry=negative)
        chain.close()
        with m.If(adds):
            m.d.sync += acc.eq(Cat(after))
