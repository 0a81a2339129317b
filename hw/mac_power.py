"""Weights that are powers of two, or sums of them, times integers: shift and accumulate."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..errors import MantissaError
from ..formats import PowerOfRootTwo, PowerOfTwo, get_scalar
from .array_widths import check_dimension, delayed, levels, signed_width
from .carry import Chain, Term, both, plain
from .dot_sum import Summand, tree
from .intake import accumulate, intake
from .signed_words import added, shifted

__all__ = ["MacPower", "check_power", "largest_weight", "sum_width"]

A_BITS = 8
WIDEST = 5
TERMS = 4


def check_power(name: object) -> PowerOfTwo | PowerOfRootTwo:
    """Format of powers of two or of its root, of at most :data:`WIDEST` bits, called ``name``."""
    try:
        fmt = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fmt, PowerOfTwo | PowerOfRootTwo) or fmt.width > WIDEST:
        raise ValueError(f"Format must be one of powers of two or of its root, of at most {WIDEST} bits, not {name!r}")
    return fmt


def largest_weight(fmt: PowerOfTwo | PowerOfRootTwo) -> int:
    """Largest weight of one term, in the unit of the sums."""
    steps = (1 << fmt.width - 1) - 2                     # from the smallest one
    return 1 << (steps // 2 + fmt.root_bits if isinstance(fmt, PowerOfRootTwo) else steps)


def sum_width(fmt: PowerOfTwo | PowerOfRootTwo, terms: int, depth: int) -> int:
    """Bits of the signed sum of ``depth`` products."""
    check_dimension("Depth", depth)
    return signed_width(depth * terms * largest_weight(fmt) << A_BITS - 1)


class MacPower(wiring.Component):
    """Dot products of 8-bit integers with powers of two, exact, one product per cycle, without a multiplier.

    ``sum`` is that of ``a * w`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it, as an integer; a weight's unit is the smallest power, for roots that over ``2 ** root_bits``. A weight is the sum of its terms, each
    a code with its own sign, the first in the low bits. No pause between dot products. The accumulator is the output register: a finished
    sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    One term is POT's weight (DeepShift, Elhoushi et al. 2021) or POST's; more are those of additive powers of two (APoT, Li et al. 2020)
    and of residual quantisers, which put restrictions on the other terms that we do not need. Several are added in a tree. Where POST
    rounds its root's multiple is not published: ours is exact, the root being the format's, 181/128. The arrangement is ours: a shift by
    less than the highest amount in multiplexers that also invert what is negative, the highest in registers, one set for each choice, of
    which one is zero, so that the accumulator's cells take the or; the carry that completes the inversion is the accumulator's.

    Parameters
    ----------
    fmt : :class:`str`
        Format of a term, ``"pot2"`` to ``"pot5"`` or ``"post2"`` to ``"post5"``.
    terms : :class:`int`
        Terms of a weight, 1 to 4.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": signed(8), "w": terms * width, "first": 1, "last": 1}))`
        Integers and codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width)}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, terms: int = 1, depth: int = 256, cells: bool = True) -> None:
        self.fmt = check_power(fmt)
        if not isinstance(terms, int) or isinstance(terms, bool) or not 1 <= terms <= TERMS:
            raise ValueError(f"Terms must be an integer between 1 and {TERMS}, not {terms!r}")
        self.terms = terms
        self.depth = depth
        self.acc_width = sum_width(self.fmt, terms, depth)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": signed(A_BITS), "w": unsigned(terms * self.fmt.width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        root = isinstance(self.fmt, PowerOfRootTwo)
        stages = 2 + 2 * root + levels(self.terms)
        advance = Signal()
        a = Signal(A_BITS, reset_less=True)
        codes = [self.i.p.w[n * self.fmt.width:(n + 1) * self.fmt.width] for n in range(self.terms)]
        live = [Signal(name=f"live_{n}", reset_less=True) for n in range(self.terms)]
        begin = intake(m, advance, self.i, self.o, [(on, code[:-1].any()) for on, code in zip(live, codes, strict=True)], stages=stages)
        with m.If(advance):
            m.d.sync += a.eq(self.i.p.a)
        products, negatives = [], []
        for n, (on, code) in enumerate(zip(live, codes, strict=True)):
            field, negative = Signal(self.fmt.width - 1, name=f"field_{n}", reset_less=True), Signal(name=f"negative_{n}", reset_less=True)
            with m.If(advance):
                m.d.sync += [field.eq(code[:-1]), negative.eq(code[-1])]
            # Steps above the smallest: the field less one.
            steps = Cat(~field[0], *(field[k] ^ ~field[:k].any() for k in range(1, len(field))))
            bits: list[Value] = list(a)
            if root:
                bits = self._rooted(m, advance, a, steps[0], f"root_{n}")
                steps, negative, on = (delayed(m, advance, value, 2, f"{name}_{n}") for name, value in
                                       (("steps", steps[1:]), ("minus", negative), ("on", on)))
            amount = largest_weight(self.fmt).bit_length() - 1 - (self.fmt.root_bits if isinstance(self.fmt, PowerOfRootTwo) else 0)
            terms, minus = shifted(m, advance, bits, list(steps)[:amount.bit_length()], negative, on, f"term_{n}")
            products.append(terms)
            negatives.append(minus)
        # Magnitudes before the ones that complete them.
        summands = [Summand(product[:-1], product[-1], (1 << len(product) - 1) - 1, carry)
                    for product, carry in zip(products, negatives, strict=True)]
        total, _ = tree(m, advance, summands, "terms", cells=self.cells)
        assert total.carry is not None
        accumulate(m, advance, self.o, begin, [Chain(m, "sum", cells=self.cells, tied=True)], total.extended(self.acc_width),
                   carry=total.carry)
        return m

    def _rooted(self, m: Module, advance: Value, a: Value, odd: Value, name: str) -> list[Value]:
        """``a`` times the root, or where not ``odd`` times one, both of ``root_bits`` bits after the point: two stages."""
        assert isinstance(self.fmt, PowerOfRootTwo)
        places = [k for k in range(self.fmt.root_bits) if self.fmt.root >> k & 1]
        rows: list[tuple[int, list[Term]]] = [(k, [both(bit, odd) for bit in a]) for k in places]
        pairs = [added(m, rows[k:k + 2], f"{name}_pair_{k}", cells=self.cells) for k in range(0, len(rows), 2)]
        kept = [(place, [plain(bit) for bit in delayed(m, advance, Cat(term.value for term in word), 1, f"{name}_kept_{place}")])
                for place, word in pairs]
        later = delayed(m, advance, a, 1, f"{name}_a")
        total = kept[0]
        for n, other in enumerate([*kept[1:], (self.fmt.root_bits, [plain(bit) for bit in later])]):
            total = added(m, [total, other], f"{name}_sum_{n}", cells=self.cells)
        word = Cat(*[Const(0, 1)] * total[0], *(term.value for term in total[1]))
        return list(delayed(m, advance, word, 1, f"{name}_product"))
