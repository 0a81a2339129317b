"""Modes of the reconfigurable multiplier-accumulator: formats that share a 16-bit operand word."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from .array_widths import check_dimension, check_exact, signed_width
from .mac_align import lengths
from .mac_pipe import KINDS

__all__ = ["LEVELS", "MODES", "NARROWEST", "WIDEST", "WORD", "Mode", "Reach", "check_modes", "check_quire", "reach"]

WORD = 16
"""Bits of an operand word."""

NARROWEST, WIDEST = 80, 128
"""Bits of an accumulator, at least and at most."""

LEVELS = 4
"""Of the fine shift; what is left are steps of 16."""


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
    bits
        Of a significand, as it is multiplied.
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
    bits: int
    operands: frozenset[tuple[int, int]] = frozenset()
    nan: bool = False
    window: tuple[int, int] = (0, 0)

    @property
    def kind(self) -> str:
        """How it divides a word."""
        return next(kind for kind, lanes in KINDS.items() if lanes == self.lanes)

    @property
    def steps(self) -> int:
        """Steps of 16 that products are moved up, at most."""
        if self.window != (0, 0):
            return (self.window[1] - self.window[0]) // 16 - 1
        return max((exponent for _, exponent in self.operands), default=0) * 2 // 16

    def width(self, depth: int) -> int:
        """Bits of the signed sum of ``depth`` products."""
        return signed_width(depth * self.largest)

    def quire(self, depth: int) -> int:
        """Bits of the narrowest accumulator with a lane for the sum of ``depth`` products."""
        return -(-self.lanes * self.width(depth) // 4) * 4

    def depth(self, quire: int) -> int:
        """Most products whose sum fits a lane of an accumulator of ``quire`` bits."""
        return ((1 << quire // self.lanes - 1) - 1) // self.largest


def _float(exp: int, man: int) -> frozenset[tuple[int, int]]:
    """Subnormals have the exponent of the least normal numbers, 1."""
    return frozenset((fraction | (stored > 0) << man, max(stored, 1)) for stored in range(1 << exp) for fraction in range(1 << man))


def _posit8() -> frozenset[tuple[int, int]]:
    """As :mod:`.mac_unpack` makes them: integers below one, then a run of up to five ones."""
    above = {(32 >> ones | fraction, 2 * ones + 1) for ones in range(6) for fraction in range(32 >> ones)}
    return frozenset(above | {(body, 0) for body in range(64)} | {(2, 11)})


def _posit16() -> frozenset[tuple[int, int]]:
    """The longest significand at each exponent, leading one and fraction. Exponents are one more than they count."""
    found = {(1, 1), (4, 53), (16, 53)}
    for place in range(1, 14):
        found |= {((1 << place) - 1, by + e) for by in (place + 2, 56 - 3 * place) for e in (0, 1)}
    return frozenset(found)


MODES = {mode.name: mode for mode in (
    Mode(name="int8", lanes=2, unit=0, largest=1 << 14, bits=8),
    Mode(name="int4", lanes=4, unit=0, largest=1 << 6, bits=4),
    Mode(name="posit8_0", lanes=2, unit=-12, largest=1 << 24, bits=6, operands=_posit8(), nan=True),
    Mode(name="e4m3", lanes=2, unit=-20, largest=225 << 30, bits=4, operands=_float(4, 3), nan=True),
    Mode(name="e2m1", lanes=4, unit=-2, largest=144, bits=4),
    Mode(name="e5m2", lanes=2, unit=-18, largest=49 << 44, bits=3, operands=_float(5, 2), nan=True, window=(16, 64)),
    Mode(name="bf16", lanes=1, unit=-76, largest=255 * 255 << 95, bits=8, nan=True, window=(192, 288),
         operands=frozenset((255, stored) for stored in range(1, 17))),
    Mode(name="posit16_1", lanes=1, unit=-58, largest=1 << 114, bits=13, operands=_posit16(), nan=True),
    Mode(name="posit4_1", lanes=4, unit=-8, largest=1 << 16, bits=1, nan=True,
         operands=frozenset((1, by) for by in (0, 2, 3, 4, 5, 6, 8))),
)}
"""Formats there are, by name. ``unit`` is where the shared aligner puts them, at or below the smallest product."""


@dataclass(frozen=True)
class Reach:
    """Bits of products of a kind: before each level of the fine shift, of those it leaves and those it moves; after all; steps of 16."""
    levels: tuple[tuple[int, int], ...]
    after: int
    steps: int


def reach(modes: Sequence[Mode], kind: str) -> Reach:
    """How long the products of any mode of a kind are on their way."""
    levels, after = [(0, 0)] * LEVELS, 0
    mine = [mode for mode in modes if mode.kind == kind]
    for mode in mine:
        found = [(2 * mode.bits, 0)] * LEVELS
        if mode.operands:
            significand, exponent = (np.array(column, dtype=object) for column in zip(*sorted(mode.operands), strict=True))
            products, shifts = np.multiply.outer(significand, significand).ravel(), np.add.outer(exponent, exponent).ravel()
            found = lengths(products, shifts, LEVELS)
        levels = [(max(one[0], other[0]), max(one[1], other[1])) for one, other in zip(levels, found, strict=True)]
        stay, move = found[-1]
        after = max(after, stay, move + (1 << LEVELS - 1) if move else 0)
    return Reach(tuple(levels), after, max((mode.steps for mode in mine), default=0))


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
        If it is not a number of bits that four lanes can share, or too narrow, or ``depth`` too large for the widest.
    """
    check_dimension("Depth", depth)
    check_dimension("Quire width", quire)
    assert isinstance(quire, int)
    if quire % 4 or not NARROWEST <= quire <= WIDEST:
        raise ValueError(f"Quire width must be a multiple of 4 between {NARROWEST} and {WIDEST}, not {quire}")
    widest = max(modes, key=lambda mode: mode.quire(depth))
    if widest.quire(depth) > WIDEST and not wraps:
        most = min(modes, key=lambda mode: mode.depth(WIDEST))
        raise ValueError(f"Depth must be at most {most.depth(WIDEST)} for products of {most.name} in the widest quire, {WIDEST} bits, "
                         f"not {depth}, unless wraps=True")
    check_exact("Quire width", quire, widest.quire(depth), f"{depth} products of {widest.name}", wraps)
