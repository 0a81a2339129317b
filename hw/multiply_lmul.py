"""L-Mul multiplier of floats."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..formats import Float, Top
from .carry import Chain
from .lmul import check_float, check_offset, field_sum, normal, offset_of, special

__all__ = ["MultiplyLmul", "largest_field"]


def largest_field(fmt: Float) -> int:
    """Exponent and fraction of the largest number."""
    ones = (1 << fmt.exp + fmt.man) - 1
    return ones - (1 << fmt.man if fmt.top is Top.IEEE else int(fmt.top is Top.NAN))


class MultiplyLmul(wiring.Component):
    """Approximate product of floats, code for code, without a multiplier.

    Luo and Sun 2024 (arXiv 2410.00907): exponent and fraction of both operands, side by side, are added as integers, with a constant that
    takes the bias off and puts the offset on; the fractions' carry runs into the exponent, the signs' exclusive-or is the product's.
    The paper is silent on the rest. We chose: an operand without an exponent, zero or subnormal, makes zero, and a product below the least
    normal number is zero, with the product's sign; one beyond the largest is the largest number; an operand that is not a number,
    infinities included, makes the code of all ones, a NaN, with the product's sign.

    One product per cycle, four cycles of latency, one global stall.

    Parameters
    ----------
    fmt : :class:`str`
        Signed float of at most 16 bits, by its name in :func:`mantissa.formats.get`.
    offset : :class:`str`
        One of :data:`~.lmul.OFFSETS`. ``"1/16"`` needs a fraction of four bits.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": width, "b": width}))`
        Codes.
    o : :py:`Out(stream.Signature({"p": width}))`
        Codes of the products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, offset: str = "published", cells: bool = True) -> None:
        self.fmt = check_float(fmt, 16)
        self.offset = check_offset(offset)
        if offset_of(self.fmt, offset)[1]:
            raise ValueError(f"Offset 1/16 must have a fraction of 4 bits at least, not {self.fmt.man} as {fmt!r}")
        self.cells = cells
        code = unsigned(self.fmt.width)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": code, "b": code}))),
            "o": Out(stream.Signature(data.StructLayout({"p": code}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt, n = self.fmt, self.fmt.exp + self.fmt.man
        advance, valid = Signal(), Signal(3)
        a, b = Signal(n, reset_less=True), Signal(n, reset_less=True)
        sign, nan, zero = Signal(3, reset_less=True), Signal(2, reset_less=True), Signal(reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [a.eq(self.i.p.a), b.eq(self.i.p.b), Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)),
                         sign.eq(Cat(self.i.p.a[n] ^ self.i.p.b[n], sign))]

        # Two bits above the field: zero in range, the upper one the sign, the lower one alone too large.
        chain = Chain(m, "sum", cells=self.cells, tied=True)
        constant = offset_of(fmt, self.offset)[0] - (fmt.bias << fmt.man)
        total = Cat(field_sum(chain, list(a), list(b), constant, n + 2))
        chain.close()
        field = Signal(n + 2, reset_less=True)
        with m.If(advance):
            m.d.sync += [field.eq(total), zero.eq(~normal(fmt, a) | ~normal(fmt, b)), nan[0].eq(special(fmt, a) | special(fmt, b))]

        most = largest_field(fmt)
        beyond = field[:n] == most + 1 if fmt.top is Top.NAN else field[fmt.man:n].all() if fmt.top is Top.IEEE else Const(0, 1)
        small, large = Signal(reset_less=True), Signal(reset_less=True)
        kept = Signal(n, reset_less=True)
        with m.If(advance):
            m.d.sync += [kept.eq(field), nan[1].eq(nan[0]),
                         small.eq(zero | field[n + 1] | ~field[fmt.man:n].any()),
                         large.eq(nan[0] | (~zero & ~field[n + 1] & (field[n] | beyond)))]
        # Large wins where it is small as well.
        bits = [(bit & ~small) | large if most >> k & 1 else (bit & ~small & ~large) | nan[1] for k, bit in enumerate(kept)]
        with m.If(advance):
            m.d.sync += self.o.p.p.eq(Cat(*bits, sign[2]))
        return m
