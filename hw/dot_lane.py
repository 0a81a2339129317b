"""One lane of an exact dot product: a product that is still to be added."""
from __future__ import annotations

from amaranth.hdl import Const, Module, Value

from ..formats import Float, Int, Posit, Top
from .array_widths import delayed
from .carry import Chain, inverted, plain
from .dot_sum import Summand
from .mac_e2m1 import STAGES as STAGES_E2M1
from .mac_e2m1 import product as product_e2m1
from .mac_exact_product import DSP, check_multiplier, largest_product, product
from .mac_exact_unpack import check_format, has_nan
from .multiply_lut import default_groups
from .multiply_rows import group, registered, split, total
from .number import named

__all__ = ["all_numbers", "check_element", "check_lanes", "lane", "largest_of"]


def check_element(name: object, multiplier: object) -> Float | Int | Posit:
    """Signed integer, float or posit called ``name``, if ``multiplier`` can multiply it.

    Raises
    ------
    ValueError
        If not; the sentence says why.
    """
    fmt = named(name)
    if not isinstance(fmt, Int):
        found = check_format(name)
        check_multiplier(found, multiplier)
        return found
    if not fmt.signed or fmt.width < 2:
        raise ValueError(f"Format of integers must be signed and of at least 2 bits, not {name!r}")
    if multiplier not in ("lut", "dsp"):
        raise ValueError(f"Multiplier of integers must be one of lut, dsp, not {multiplier!r}")
    assert fmt.width <= DSP
    return fmt


def check_lanes(lanes: object) -> None:
    """Refuse what is not a number of lanes."""
    if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= 64:
        raise ValueError(f"Lanes must be an integer between 1 and 64, not {lanes!r}")


def all_numbers(fmt: Float | Int | Posit) -> bool:
    """Whether every code is a number."""
    return isinstance(fmt, Int) or not has_nan(fmt)


def largest_of(fmt: Float | Int | Posit) -> int:
    """Largest magnitude of a product, in units of the smallest."""
    return 1 << 2 * fmt.width - 2 if isinstance(fmt, Int) else largest_product(fmt)


def lane(m: Module, advance: Value, fmt: Float | Int | Posit, a: Value, b: Value, *, multiplier: str, cells: bool,
         name: str) -> tuple[Summand, Value, int]:
    """Product of two codes to be added, whether one of them is no number, and how many advances later that is."""
    if isinstance(fmt, Int):
        return _integers(m, advance, a, b, multiplier, cells, name)
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
    groups = default_groups(width)
    rows = split(width, groups)
    chains = [Chain(m, f"{name}rows_{n}", cells=cells) for n in range(groups)]
    sums = [group(chain, list(a), list(b), part) for chain, part in zip(chains, rows, strict=True)]
    if groups > 1:
        sums = registered(m, advance, sums, f"{name}sums")
        chains.append(Chain(m, f"{name}product", cells=cells))
    # What the rows' constants add is half of all there is: the top bit inverted is the sign.
    *low, top = registered(m, advance, [total(chains[-1], [(part[0], found) for part, found in zip(rows, sums, strict=True)])],
                           f"{name}whole")[0]
    for chain in chains:
        chain.close()
    return Summand(low, inverted(*top.signals), 1 << 2 * width - 2), Const(0, 1), 2 + (groups > 1)
