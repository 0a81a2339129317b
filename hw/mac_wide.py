"""Exact dot product of numbers whose sums are too wide for one carry chain, one lane."""
from __future__ import annotations

from functools import cache
from itertools import product
from typing import TypeGuard

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..formats import Float
from .array_widths import check_dimension, delayed, signed_width
from .carry import Chain, Term, clear
from .mac_align import Bits, choose, lengths, shift
from .mac_exact_product import added, check_multiplier, factors, significands
from .mac_exact_unpack import Scaled, check_format, has_nan, operands, spare, widest

__all__ = ["MULTIPLIERS", "STEP", "MacWide", "check_wide", "largest_inside"]

MULTIPLIERS = ("lut", "dsp")
"""Where significands are multiplied."""

STEP = 16
"""Distance between places where a product meets the accumulator."""


def largest_inside(fmt: Scaled, window: tuple[int, int]) -> int:
    """Largest product that is added, in units of the sum, codes that are not numbers counting as the number they would be."""
    found, shifts = widest(fmt)
    products, sums = np.multiply.outer(found, found).ravel(), np.add.outer(shifts, shifts).ravel()
    largest = max(int(product) << int(by) - window[0] for product, by in zip(products, sums, strict=True) if window[0] <= by < window[1])
    return largest >> empty(fmt, window)


def empty(fmt: Scaled, window: tuple[int, int]) -> int:
    """Bits of a product above the window's begin that are zero in each."""
    return max(0, 2 * spare(fmt) - window[0])


@cache
def filled(fmt: Scaled, window: tuple[int, int]) -> dict[int, range]:
    """Bits between the lowest and the highest that products have, by the place where they meet the accumulator."""
    most, shifts = widest(fmt)
    largest = dict(zip(shifts.tolist(), most.tolist(), strict=True))
    lowest: dict[int, int] = {}
    for significand, by in operands(fmt):
        if significand:
            lowest[by] = min(lowest.get(by, significand), significand & -significand)
    found: dict[int, range] = {}
    for one, other in product(lowest, repeat=2):
        place, by = divmod(one + other - window[0], STEP)
        low, high = ((values[one] * values[other] << by).bit_length() for values in (lowest, largest))
        known = found.get(place, range(low - 1, high))
        found[place] = range(min(low - 1, known.start), max(high, known.stop))
    return found


def check_wide(name: object, depth: object, window: object) -> tuple[Scaled, tuple[int, int], int]:
    """Format, window and bits of the accumulator, if there is such a multiplier-accumulator.

    Raises
    ------
    TypeError, ValueError
        If not; the sentence says why.
    """
    fmt = check_format(name)
    check_dimension("Depth", depth)
    assert isinstance(depth, int)
    shifts = [by for significand, by in operands(fmt) if significand]
    end = 2 * max(shifts) + 1
    if window is None:
        window = 2 * min(shifts) // STEP * STEP, -(-end // STEP) * STEP
    elif not isinstance(fmt, Float):
        raise ValueError(f"Window must be left out where the format is not a float, not {window!r} of {name}")
    elif not _is_window(window) or window[0] >= end:
        raise ValueError(f"Window of {name} must be two multiples of {STEP} that ascend, the first one below {end}, not {window!r}")
    return fmt, window, signed_width(depth * largest_inside(fmt, window))


def _is_window(window: object) -> TypeGuard[tuple[int, int]]:
    whole = isinstance(window, tuple) and len(window) == 2 and all(isinstance(at, int) and not isinstance(at, bool) for at in window)
    return whole and not any(at % STEP for at in window) and 0 <= window[0] < window[1]


class MacWide(wiring.Component):
    """Dot products of floats, posits or powers, exact, or of floats over a window, one product per cycle, in an accumulator of any width.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it. Each product is taken at the exponents of its factors together, as they are stored, 1 for subnormals and zero: ``s``. Those with
    ``window[0] <= s < window[1]`` are added, exactly; those below count as zero; one above sets ``nan``. So the window decides
    by exponents and not by magnitudes, each product is added whole or not at all, and the sum does not depend on the order:
    :mod:`~.mac_modes`' rule. Without a window everything is added, and the sum is exact.

    The unit of ``sum`` is the smallest product (of powers of the root of two, that over ``2 ** (2 * root_bits)``); over a window that
    begins above 0, a quarter of it times ``2 ** window[0]``. ``nan``, until the next ``first``, is also set by factors that are no
    numbers, infinities included; ``sum`` is then not to be used (NaR counts as zero, other codes as the number they would be).

    The accumulator is cut into segments of ``segment`` bits, each a cycle behind the one below: the carry waits in a register for the
    segment above, which adds the same product a cycle later. So a carry never runs further than a segment, products follow each other
    every cycle, and nothing is left to be resolved at the end. A finished sum moves to the output registers segment by segment. They hold
    one sum: dot products follow each other without a pause, but one that ends before the sum before it was taken waits at its end, and
    that sum is complete as many cycles after its own end as there are segments. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Float, posit or powers, by its name in :func:`mantissa.formats.get`.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    window : (:class:`int`, :class:`int`) or :data:`None`
        Of floats alone: first sum of exponents, and the one after the last, multiples of 16. The reconfigurable unit's mode of BF16 has
        (192, 288).
    segment : :class:`int`
        Bits of a segment, a multiple of 16, 32 at least.
    multiplier : :class:`str`
        One of :data:`MULTIPLIERS`; significands of one bit have no use for a DSP.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": width, "b": width, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "nan": 1}))`
        Dot products; ``nan`` only with a window, or where there are such codes.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, depth: int = 256, window: tuple[int, int] | None = None, segment: int = 64, multiplier: str = "lut",
                 cells: bool = True) -> None:
        self.fmt, self.window, self.acc_width = check_wide(fmt, depth, window)
        if isinstance(segment, bool) or not isinstance(segment, int) or segment % STEP or segment < 2 * STEP:
            raise ValueError(f"Segment must be a multiple of {STEP} bits, {2 * STEP} at least, not {segment!r}")
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"Multiplier must be one of {', '.join(MULTIPLIERS)}, not {multiplier!r}")
        check_multiplier(self.fmt, "lut" if multiplier == "lut" else "dsp_significand")
        self.windowed = window is not None
        self.nan = self.windowed or has_nan(self.fmt)
        self.segment = segment
        self.segments = -(-self.acc_width // segment)
        self.multiplier = multiplier
        self.cells = cells
        self.kept = Signal()
        """Whether the output registers are a finished sum's, from when its lowest segment is written until it is taken."""
        self.finishing = Signal(self.segments)
        """Segments in which a product that is the last of its sum is being added."""
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": unsigned(self.fmt.width), "b": unsigned(self.fmt.width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)} | ({"nan": unsigned(1)} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        word, place, negative, nan, stages = self._product(m, advance)
        valid, first, last = Signal(stages), Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        taken = Signal()
        m.d.comb += [taken.eq(self.o.valid & self.o.ready), advance.eq(~(valid[-1] & last[-1] & self.kept) | taken),
                     self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [flags.eq(Cat(flag, flags)) for flag, flags in (
                (self.i.valid, valid), (self.i.p.first, first), (self.i.p.last, last))]

        # What goes from segment to segment: the word, its place, its sign, and what is to be done.
        adds, ends = Signal(), Signal()
        m.d.comb += [adds.eq(valid[-1] & advance), ends.eq(adds & last[-1])]
        opens, at, carry = first[-1], place, negative
        result = []
        for n in range(self.segments):
            m.d.comb += self.finishing[n].eq(ends)
            width = min(self.segment, self.acc_width - n * self.segment)
            after, over = self._segment(m, n, width, word, at, negative, opens, carry, adds)
            kept = Signal(width, name=f"result_{n}", reset_less=True)
            with m.If(ends):
                m.d.sync += kept.eq(after)
            result.append(kept)
            if n == 0 and self.nan:
                bad = Signal(reset_less=True)
                after_bad = (bad & ~opens) | nan
                with m.If(adds):
                    m.d.sync += bad.eq(after_bad)
                with m.If(ends):
                    m.d.sync += self.o.p.nan.eq(after_bad)
            if n == self.segments - 1:
                break
            word, at, negative, opens, carry = (self._later(m, value, f"{name}_{n}") for value, name in (
                (word, "word"), (at, "place"), (negative, "negative"), (opens, "opens"), (over, "carry")))
            later_adds, later_ends = Signal(name=f"adds_{n}"), Signal(name=f"ends_{n}")
            m.d.sync += [later_adds.eq(adds), later_ends.eq(ends)]
            adds, ends = later_adds, later_ends
        m.d.comb += self.o.p.sum.eq(Cat(result))
        with m.If(taken):
            m.d.sync += [self.o.valid.eq(0), self.kept.eq(0)]
        with m.If(self.finishing[0]):
            m.d.sync += self.kept.eq(1)
        with m.If(self.finishing[-1]):
            m.d.sync += self.o.valid.eq(1)
        return m

    @staticmethod
    def _later(m: Module, value: Value, name: str) -> Value:
        later = Signal(len(value), name=f"{name}_later", reset_less=True)
        m.d.sync += later.eq(value)
        return later

    def _product(self, m: Module, advance: Value) -> tuple[Value, Value, Value, Value, int]:
        """Product moved up to 15 places, its place in steps of 16, its sign, whether it is no number; and how many stages that takes."""
        found = factors(m, advance, self.fmt, self.i.p.a, self.i.p.b, cells=self.cells, name="")
        one, other = found.significands
        rows, more = (one * other, 0) if self.multiplier == "dsp" else significands(
            m, advance, self.fmt, one, other, "product", cells=self.cells)
        bits: Bits = list(delayed(m, advance, rows, 1, "product"))
        by = delayed(m, advance, added(m, *found.shifts, "shift", cells=self.cells), 1 + more, "shift")
        by = Cat(by, Const(0, max(0, 5 - len(by))))
        wide = lengths(np.array([(1 << len(bits)) - 1] * STEP, dtype=object), np.arange(STEP), 4)
        # Outside the window a product is zero from here on, and above it no number.
        place = Signal(len(by) - 4 + 1)
        m.d.comb += place.eq(by[4:] - self.window[0] // STEP)
        steps = (self.window[1] - self.window[0]) // STEP
        below = place[-1] if self.windowed and self.window[0] else Const(0, 1)
        above = ~below & (place[:-1] >= steps) if self.windowed and steps << 4 < 1 << len(by) else Const(0, 1)
        nan = delayed(m, advance, found.nan, 1 + more, "nan") if has_nan(self.fmt) else Const(0, 1)
        held = [delayed(m, advance, value, 2, name) for value, name in (
            ((place | (below | above).replicate(len(place)))[:steps.bit_length()], "place"), (nan | above, "outside"))]
        for n in (0, 2):
            bits = shift(bits, by[n], 1 << n, *wide[n])
            stay, move = wide[n + 1]
            bits = choose(m, advance, [(by[n + 1], [None] * (2 << n) + bits[:move]), (None, bits[:stay])], f"moved_{n}")
            if n == 0:
                by = delayed(m, advance, by, 1, "rest")
        word = Cat(Const(0, 1) if bit is None else bit for bit in bits)
        return word, held[0], delayed(m, advance, found.negative, 3 + more, "negative"), held[1], found.stages + 3 + more

    def _segment(self, m: Module, n: int, width: int, word: Value, place: Value, negative: Value, opens: Value, carry: Value,
                 adds: Value) -> tuple[Value, Value]:
        """The segment after a product, and the carry out of it."""
        there: dict[int, Value] = {}
        begin = n * self.segment + empty(self.fmt, self.window)
        behind = (len(word) - 1) // STEP                    # places that a product reaches beyond its own
        for k in range(begin // STEP - behind, (begin + width - 1) // STEP + 1):
            if 0 <= k < (self.window[1] - self.window[0]) // STEP:
                there[k] = Signal(name=f"there_{n}_{k}")
                m.d.comb += there[k].eq(place == k)
        sign = Signal(name=f"sign_{n}")
        m.d.comb += sign.eq(negative)
        terms, reached = [], filled(self.fmt, self.window)
        for at in range(width):
            k, low = divmod(begin + at, STEP)
            near = [(k - j, low + STEP * j) for j in range(behind + 1) if k - j in there]
            found = [there[step] & word[bit] for step, bit in near if bit in reached.get(step, ())]
            bit = Signal(name=f"bit_{n}_{at}")
            m.d.comb += bit.eq(Cat(found).any() if found else 0)
            terms.append(Term(0b0110, (bit, sign)))
        acc = Signal(width, name=f"acc_{n}", reset_less=True)
        chain = Chain(m, f"sum_{n}", cells=self.cells)
        after = Cat(chain.add([clear(bit, opens) for bit in acc], terms, width + 1, carry=carry))
        chain.close()
        with m.If(adds):
            m.d.sync += acc.eq(after[:width])
        return after[:width], after[width]
