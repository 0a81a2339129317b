"""Modes of the reconfigurable multiplier-accumulator: formats that share a 16-bit operand word."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from .array_widths import check_dimension
from .mac_align import lengths

__all__ = ["MODES", "WORD", "Mode", "check_modes", "check_quire", "reach"]

WORD = 16
"""Bits of an operand word."""


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One format as it is multiplied and accumulated.

    Parameters
    ----------
    name
        The format's.
    lanes
        Numbers in an operand word, the first in its lowest bits.
    unit
        Exponent of two of the sum's lowest bit.
    largest
        Largest product in that unit, in which NaN counts as what its code would be.
    operands
        Significands and exponents there are, where products are shifted; of many, enough to find how long products get.
    nan
        Whether there are codes that are not numbers.
    window
        Sums of two exponents of which products are added, as a multiple of 16 and up to which, for a format whose exact sum is wider than
        any lane. Products below count as zero; those above set the lane's ``nan``. ``(0, 0)`` where there is no such limit.
    """
    name: str
    lanes: int
    unit: int
    largest: int
    operands: frozenset[tuple[int, int]] = frozenset()
    nan: bool = False
    window: tuple[int, int] = (0, 0)

    def width(self, depth: int) -> int:
        """Bits of the signed sum of ``depth`` products."""
        return (depth * self.largest).bit_length() + 1


def _float(exp: int, man: int) -> frozenset[tuple[int, int]]:
    """Subnormals have the exponent of the least normal numbers, 1."""
    return frozenset((fraction | (stored > 0) << man, max(stored, 1)) for stored in range(1 << exp) for fraction in range(1 << man))


def _posit8() -> frozenset[tuple[int, int]]:
    """As :mod:`.mac_unpack` makes them: integers below one, then a run of up to five ones."""
    above = {(32 >> ones | fraction, 2 * ones + 1) for ones in range(6) for fraction in range(32 >> ones)}
    return frozenset(above | {(body, 0) for body in range(64)} | {(2, 11)})


MODES = {mode.name: mode for mode in (
    Mode(name="int8", lanes=2, unit=0, largest=1 << 14),
    Mode(name="int4", lanes=4, unit=0, largest=1 << 6),
    Mode(name="posit8_0", lanes=2, unit=-12, largest=1 << 24, operands=_posit8(), nan=True),
    Mode(name="e4m3", lanes=2, unit=-20, largest=225 << 30, operands=_float(4, 3), nan=True),
    Mode(name="e2m1", lanes=4, unit=-2, largest=144),
    Mode(name="e5m2", lanes=2, unit=-18, largest=49 << 44, operands=_float(5, 2), nan=True, window=(16, 64)),
    Mode(name="bf16", lanes=1, unit=-76, largest=255 * 255 << 95, nan=True, window=(192, 288),
         operands=frozenset((255, stored) for stored in range(1, 17))),
)}
"""Formats there are, by name. ``unit`` is where the shared aligner puts them, at or below the smallest product."""


def reach(modes: Sequence[Mode], levels: int) -> list[tuple[int, int]]:
    """Bits that products of any mode have before each level of the shift: those it leaves, those it moves."""
    found = [(WORD * any(not mode.operands for mode in modes), 0)] * levels
    for mode in modes:
        if mode.operands:
            significand, exponent = np.array(sorted(mode.operands)).T
            products, shifts = np.multiply.outer(significand, significand), np.add.outer(exponent, exponent)
            pairs = zip(found, lengths(products.ravel(), shifts.ravel(), levels), strict=True)
            found = [(max(one[0], other[0]), max(one[1], other[1])) for one, other in pairs]
    return found


def check_modes(modes: Sequence[str]) -> tuple[Mode, ...]:
    """Modes by their names.

    Raises
    ------
    ValueError
        If there is none, one is unknown or there twice.
    """
    if isinstance(modes, str) or not modes:
        raise ValueError(f"Modes must be names of formats, one at least, not {modes!r}")
    for name in modes:
        if name not in MODES:
            near = get_close_matches(str(name).lower(), MODES, n=3, cutoff=0.4)
            hint = f" (near it: {', '.join(near)})" if near else ""
            raise ValueError(f"Mode must be one of {', '.join(MODES)}, which share a word of {WORD} bits, not {name!r}{hint}")
    if len(set(modes)) != len(modes):
        raise ValueError(f"Modes must be distinct, not {', '.join(modes)}")
    return tuple(MODES[name] for name in modes)


def check_quire(quire: object, modes: Sequence[Mode], depth: int, wraps: bool) -> None:
    """Refuse an accumulator in which a sum does not fit its lane, unless it may wrap.

    Raises
    ------
    TypeError, ValueError
        If it is not a number of bits that four lanes can share, or too narrow.
    """
    check_dimension("Depth", depth)
    check_dimension("Quire width", quire)
    assert isinstance(quire, int)
    if quire % 4 or not 80 <= quire <= 128:
        raise ValueError(f"Quire width must be a multiple of 4 between 80 and 128, not {quire}")
    for mode in modes:
        if mode.width(depth) > quire // mode.lanes and not wraps:
            raise ValueError(f"Quire width must be at least {mode.lanes * mode.width(depth)} for {depth} products of {mode.name}, "
                             f"not {quire}, unless wraps=True")
