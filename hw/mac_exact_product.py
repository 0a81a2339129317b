"""Exact product of two narrow floats, posits or powers, as a shifted significand and a sign."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Signal, Value
import numpy as np

from ..formats import Posit, PowerOfRootTwo
from .array_widths import delayed
from .carry import ZERO, Chain, Term, plain
from .dot_sum import Summand
from .mac_align import Bits, choose, lengths, shift
from .mac_exact_unpack import Scaled, has_nan, has_sign, not_a_number, operands, parts, sign_of, spare, widest
from .multiply_rows import group, grouped

__all__ = ["DSP", "MULTIPLIERS", "Factors", "Product", "added", "check_multiplier", "factors", "largest_product", "magnitude", "moved",
           "multiplied", "product", "signed_terms", "significands", "unpack_stages", "unpacked", "whole"]

MULTIPLIERS = ("lut", "dsp", "dsp_significand")
"""Where operands are multiplied: significands in rows of carry cells; whole values, as integers, in a DSP; or significands in a DSP."""

DSP = 18
"""Bits of a DSP's operand."""

ROWS = 6
"""Rows of a product between two registers."""


@dataclass(frozen=True, eq=False)
class Product:
    """A product, ``stages`` advances after its factors.

    Parameters
    ----------
    word
        In units of the smallest product; NaN counts as what its code would be.
    nan
        Whether a factor is no number; constant in formats without such.
    stages
        Registers between.
    """
    word: Summand
    nan: Value
    stages: int


@dataclass(frozen=True, eq=False)
class Factors:
    """Both factors as significand and shift, the product's sign, and whether one is no number, ``stages`` advances after the codes."""
    significands: tuple[Value, Value]
    shifts: tuple[Value, Value]
    negative: Value
    nan: Value
    stages: int


def check_multiplier(fmt: Scaled, multiplier: object) -> None:
    """Refuse what is not a multiplier, or not one for the format."""
    if multiplier not in MULTIPLIERS:
        raise ValueError(f"Multiplier must be one of {', '.join(MULTIPLIERS)}, not {multiplier!r}")
    bits = max(significand << by for significand, by in operands(fmt)).bit_length() - spare(fmt)
    if multiplier == "dsp" and bits > DSP:
        raise ValueError(f"Format must have values of at most {DSP} bits for a DSP, not {bits} as {fmt.name!r}")
    if multiplier == "dsp_significand" and max(significand for significand, _ in operands(fmt)) < 2:
        raise ValueError(f"Format must have significands of at least 2 bits for a DSP, not 1 as {fmt.name!r}")


def factors(m: Module, advance: Value, fmt: Scaled, a: Value, b: Value, *, cells: bool, name: str) -> Factors:
    """Factors of a product, as :class:`Factors`."""
    negative = sign_of(fmt, a) ^ sign_of(fmt, b)
    codes = [magnitude(m, advance, fmt, code, cells=cells, name=f"{name}{which}") for code, which in zip((a, b), "ab", strict=True)]
    bad = not_a_number(fmt, codes[0]) | not_a_number(fmt, codes[1])
    (a_part, a_by), (b_part, b_by) = (unpacked(m, advance, fmt, code, name, which) for code, which in zip(codes, "ab", strict=True))
    before, later = unpack_stages(fmt)
    nan = delayed(m, advance, bad, later, f"{name}nan_at") if has_nan(fmt) else Const(0, 1)
    return Factors((a_part, b_part), (a_by, b_by), delayed(m, advance, negative, before + later, f"{name}negative_at"), nan, before + later)


def unpack_stages(fmt: Scaled) -> tuple[int, int]:
    """Stages of :func:`magnitude`, and of :func:`unpacked`."""
    return int(isinstance(fmt, Posit)), 1 + (isinstance(fmt, Posit) and fmt.width > 8)


def magnitude(m: Module, advance: Value, fmt: Scaled, code: Value, *, cells: bool, name: str) -> Value:
    """A code without what its sign does to it: a posit's is negated and registered, a float's is as it is."""
    return delayed(m, advance, _magnitude(m, code, name, cells), 1, f"{name}_magnitude") if isinstance(fmt, Posit) else code


def unpacked(m: Module, advance: Value, fmt: Scaled, code: Value, name: str, which: str) -> tuple[Value, Value]:
    """Registers of significand and shift of a :func:`magnitude`, that of operand ``which``."""
    def register(value: Value, what: str) -> Value:
        return delayed(m, advance, value, 1, f"{name}{what}")
    body = fmt.width - has_sign(fmt)
    part, by = (register(part, f"{which}_{n}") for n, part in enumerate(parts(m, fmt, code[:body], f"{name}{which}", register)))
    return part, by


def whole(m: Module, advance: Value, fmt: Scaled, part: Value, by: Value, name: str) -> Value:
    """Register of a significand moved by its shift: the value as an integer, in units of the least."""
    bits: Bits = list(part)
    for n, step in enumerate(lengths(*widest(fmt), len(by))):
        bits = shift(bits, by[n], 1 << n, *step)
    return delayed(m, advance, Cat(Const(0, 1) if bit is None else bit for bit in bits[spare(fmt):]), 1, f"{name}_whole")


def product(m: Module, advance: Value, fmt: Scaled, a: Value, b: Value, *, multiplier: str, cells: bool, name: str = "") -> Product:
    """Product of the codes ``a`` and ``b``; all registers move with ``advance``, and ``name`` begins their names.

    Operands become a sign, a significand and a shift: floats by their fields, posits without exponent bits by the run of ones they
    begin with, short ones by a table, others by bringing up what follows the regime. Significands are multiplied, shifts added, and
    the product moved by the sum, in levels no wider than any product at that level. With whole values in a DSP, operands are moved
    instead and multiplied as the integers they then are, so that nothing has to be moved after.
    """
    found = factors(m, advance, fmt, a, b, cells=cells, name=name)
    (a_part, b_part), (a_by, b_by), stages = found.significands, found.shifts, found.stages
    significand, by = widest(fmt)

    def register(value: Value, what: str, count: int = 1) -> Value:
        return delayed(m, advance, value, count, f"{name}{what}")

    largest = largest_product(fmt)
    if multiplier == "dsp":
        one, other = (whole(m, advance, fmt, *parts_of, f"{name}{which}")
                      for *parts_of, which in ((a_part, a_by, "a"), (b_part, b_by, "b")))
        word = signed_terms(m, list(register(one * other, "product")), register(found.negative, "negative", 2), largest, name)
        later = 2
    else:
        rows, more = (a_part * b_part, 0) if multiplier == "dsp_significand" else significands(
            m, advance, fmt, a_part, b_part, f"{name}product", cells=cells)
        made, total = register(rows, "product"), register(added(m, a_by, b_by, f"{name}shift", cells=cells), "shift", 1 + more)
        products, sums = np.multiply.outer(significand, significand).ravel(), np.add.outer(by, by).ravel()
        word, later = moved(m, advance, list(made), total, register(found.negative, "negative_first", 1 + more),
                            lengths(products, sums, len(total)), largest, name)
        word, later = replace(word, terms=word.terms[2 * spare(fmt):]), later + 1 + more
    nan = register(found.nan, "nan", later) if has_nan(fmt) else found.nan
    return Product(word, nan, stages + later)


def _magnitude(m: Module, code: Value, name: str, cells: bool) -> Value:
    sign = Signal(name=f"{name}_sign")
    m.d.comb += sign.eq(code[-1])
    chain = Chain(m, f"{name}_negated", cells=cells)
    terms = [Term(0b0110, (bit, sign)) for bit in code[:-1]]
    total = chain.add(terms, [ZERO] * len(terms), len(code), carry=sign)
    chain.close()
    return Cat(total)


def significands(m: Module, advance: Value, fmt: Scaled, a: Value, b: Value, name: str, *, cells: bool) -> tuple[Value, int]:
    """Product of two significands, and how many stages it takes: in rows of carry cells, more than :data:`ROWS` of them in groups with a
    register after; or one of three constants where each is one or the root of two."""
    if isinstance(fmt, PowerOfRootTwo):
        one, root = fmt.root_bits + 1, fmt.root_bits                        # bits that say which
        choices = ((a[one] & b[one], 4 << 2 * fmt.root_bits), ((a[one] & b[root]) | (a[root] & b[one]), 2 * fmt.root << fmt.root_bits),
                   (a[root] & b[root], fmt.root * fmt.root))
        return Cat(Cat(when for when, number in choices if number >> k & 1).any() for k in range(2 * fmt.root_bits + 3)), 0
    if len(b) > ROWS:
        bits, stages = grouped(m, advance, a, b, f"{name}_", signs=False, cells=cells)
        return Cat(term.value for term in bits), stages
    return multiplied(m, a, b, name, cells=cells), 0


def multiplied(m: Module, a: Value, b: Value, name: str, *, cells: bool) -> Value:
    """Unsigned product, in rows of carry cells."""
    chain = Chain(m, name, cells=cells)
    found = group(chain, list(a), list(b), range(len(b)), signs=False)
    chain.close()
    return Cat(term.value for term in found)


def added(m: Module, a: Value, b: Value, name: str, *, cells: bool) -> Value:
    """Unsigned sum."""
    chain = Chain(m, name, cells=cells)
    width = max(len(a), len(b)) + 1
    total = chain.add([plain(bit) for bit in a], [plain(bit) for bit in b], width)
    chain.close()
    return Cat(total)


def moved(m: Module, advance: Value, bits: Bits, by: Value, negative: Value, levels: Sequence[tuple[int, int]], largest: int,
          name: str) -> tuple[Summand, int]:
    """``bits`` moved up by ``by`` as long as :func:`~.mac_align.lengths` says, two levels between registers, and negated, but for a one,
    where ``negative``; and how many stages that takes."""
    stages = 0
    for n in range(0, len(by), 2):
        if n + 1 < len(by):
            bits = shift(bits, by[n], 1 << n, *levels[n])
        last = min(n + 1, len(by) - 1)
        stay, move = levels[last]
        choices: list[tuple[Value | None, Bits]] = [(by[last], [None] * (1 << last) + bits[:move]), (None, bits[:stay])]
        bits = choose(m, advance, choices[not move:], f"{name}moved_{n}")
        if n + 2 < len(by):
            upper = Signal(len(by), name=f"{name}shift_{n}", reset_less=True)
            with m.If(advance):
                m.d.sync += upper[n + 2:].eq(by[n + 2:])
            by = upper
        stages += 1
    return signed_terms(m, bits, delayed(m, advance, negative, stages, f"{name}negative"), largest, name), stages


def signed_terms(m: Module, bits: Bits, negative: Value, largest: int, name: str) -> Summand:
    """``bits`` negated, but for a one, where ``negative``."""
    sign = Signal(name=f"{name}sign")
    m.d.comb += sign.eq(negative)
    return Summand([plain(sign) if bit is None else Term(0b0110, (bit, sign)) for bit in bits], plain(sign), largest, sign)


def largest_product(fmt: Scaled) -> int:
    """Largest magnitude of a product in units of the smallest, codes that are not numbers counting as the number they would be."""
    return (max(significand << by for significand, by in operands(fmt)) >> spare(fmt)) ** 2
