"""One lane of an exact dot product: a product that is still to be added."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Value

from ..formats import Binary, Float, Int, SignMagnitude, Ternary, Top
from .array_widths import delayed
from .carry import ONE, ZERO, Chain, inverted, plain
from .dot_sum import Summand
from .mac_e2m1 import STAGES as STAGES_E2M1
from .mac_e2m1 import product as product_e2m1
from .mac_exact_product import DSP, check_multiplier, largest_product, product, signed_terms
from .mac_exact_unpack import Scaled, check_format, has_nan
from .multiply_rows import grouped, registered
from .number import named

__all__ = ["Element", "Whole", "all_numbers", "check_element", "check_lanes", "lane", "largest_of"]

Whole = Binary | Int | SignMagnitude | Ternary
"""Formats of integers."""

Element = Scaled | Whole


def check_element(name: object, multiplier: object) -> Element:
    """Format called ``name``, if ``multiplier`` can multiply it.

    Raises
    ------
    ValueError
        If not; the sentence says why.
    """
    fmt = named(name)
    if not isinstance(fmt, Whole):
        found = check_format(name)
        check_multiplier(found, multiplier)
        return found
    if multiplier not in ("lut", "dsp"):
        raise ValueError(f"Multiplier of integers must be one of lut, dsp, not {multiplier!r}")
    if multiplier == "dsp" and _bits(fmt) < 2:
        raise ValueError(f"Format must have magnitudes of at least 2 bits for a DSP, not 1 as {name!r}")
    assert _bits(fmt) <= DSP
    return fmt


def _bits(fmt: Whole) -> int:
    """Of a factor: the code, or what is below its sign."""
    return fmt.width - 1 if isinstance(fmt, SignMagnitude) else fmt.width if isinstance(fmt, Int) else 1


def _twos(fmt: Element) -> bool:
    """Whether codes are multiplied as two's complement. Of one bit, 0 and -1 have the products of 0 and 1."""
    return isinstance(fmt, Int) and fmt.signed and fmt.width > 1


def check_lanes(lanes: object) -> None:
    """Refuse what is not a number of lanes."""
    if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= 64:
        raise ValueError(f"Lanes must be an integer between 1 and 64, not {lanes!r}")


def all_numbers(fmt: Element) -> bool:
    """Whether every code is a number."""
    return isinstance(fmt, Whole) or not has_nan(fmt)


def largest_of(fmt: Element) -> int:
    """Largest magnitude of a product, in units of the smallest."""
    if not isinstance(fmt, Whole):
        return largest_product(fmt)
    return 1 << 2 * fmt.width - 2 if _twos(fmt) else ((1 << _bits(fmt)) - 1) ** 2


def lane(m: Module, advance: Value, fmt: Element, a: Value, b: Value, *, multiplier: str, cells: bool,
         name: str) -> tuple[Summand, Value, int]:
    """Product of two codes to be added, whether one of them is no number, and how many advances later that is."""
    if _twos(fmt):
        return _integers(m, advance, a, b, multiplier, cells, name)
    if isinstance(fmt, Whole):
        return _magnitudes(m, advance, fmt, a, b, multiplier, cells, name)
    if multiplier == "lut" and isinstance(fmt, Float) and (fmt.exp, fmt.man, fmt.top, fmt.bias) == (2, 1, Top.NUMBERS, 1) and fmt.signed:
        chain = Chain(m, f"{name}product", cells=cells)
        found = product_e2m1(m, advance, a, b, chain, name)
        chain.close()
        return found, Const(0, 1), STAGES_E2M1
    made = product(m, advance, fmt, a, b, multiplier=multiplier, cells=cells, name=name)
    return made.word, made.nan, made.stages


def _integers(m: Module, advance: Value, a: Value, b: Value, multiplier: str, cells: bool, name: str) -> tuple[Summand, Value, int]:
    width = len(a)
    a, b = delayed(m, advance, a, 1, f"{name}a"), delayed(m, advance, b, 1, f"{name}b")
    if multiplier == "dsp":
        found = list(delayed(m, advance, (a.as_signed() * b.as_signed()).as_unsigned(), 1, f"{name}product"))
        return Summand([plain(bit) for bit in found[:-1]], plain(found[-1]), 1 << 2 * width - 2), Const(0, 1), 2
    rows, more = grouped(m, advance, a, b, name, signs=True, cells=cells)
    # What the rows' constants add is half of all there is: the top bit inverted is the sign.
    *low, top = registered(m, advance, [rows], f"{name}whole")[0]
    return Summand(low, inverted(*top.signals), 1 << 2 * width - 2), Const(0, 1), 2 + more


def _magnitudes(m: Module, advance: Value, fmt: Whole, a: Value, b: Value, multiplier: str, cells: bool,
                name: str) -> tuple[Summand, Value, int]:
    """Of integers whose sign, if they have one, is apart."""
    width, negative = _bits(fmt), a[-1] ^ b[-1]
    if width == 1:
        return _bit(m, advance, fmt, a, b, negative, name), Const(0, 1), 1
    one, other = (delayed(m, advance, code[:width], 1, f"{name}{which}") for code, which in ((a, "a"), (b, "b")))
    largest = largest_of(fmt)
    if multiplier == "dsp":
        bits, stages = delayed(m, advance, one * other, 1, f"{name}product"), 2
    else:
        found, more = grouped(m, advance, one, other, f"{name}product_", signs=False, cells=cells)
        bits, stages = delayed(m, advance, Cat(term.value for term in found), 1, f"{name}whole"), 2 + more
    if isinstance(fmt, Int):
        return Summand([plain(bit) for bit in bits], ZERO, largest), Const(0, 1), stages
    return signed_terms(m, list(bits), delayed(m, advance, negative, stages, f"{name}negative"), largest, name), Const(0, 1), stages


def _bit(m: Module, advance: Value, fmt: Whole, a: Value, b: Value, negative: Value, name: str) -> Summand:
    """Product of two numbers of one bit and a sign: 0, 1 or, in two's complement, -1."""
    if isinstance(fmt, Binary):
        return Summand([ONE], plain(delayed(m, advance, negative, 1, f"{name}negative")), 1)
    live = a[0] & b[0]
    sign = ZERO if isinstance(fmt, Int) else plain(delayed(m, advance, live & negative, 1, f"{name}negative"))
    return Summand([plain(delayed(m, advance, live, 1, f"{name}live"))], sign, 1)
