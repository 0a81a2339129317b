"""Exact dot product of narrow numbers, one lane, one format."""
from __future__ import annotations

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..formats import Format
from .array_widths import check_dimension, signed_width
from .dot_lane import Element, all_numbers, check_element, lane
from .dot_sum import accumulated
from .mac_exact_unpack import integers

__all__ = ["MOST", "MacExact", "check_mac", "sum_width"]

MOST = 160
"""Bits of an accumulator on one carry chain, at most."""


def sum_width(fmt: Format, depth: int) -> int:
    """Bits of the signed sum of ``depth`` products, in units of the least."""
    check_dimension("Depth", depth)
    return signed_width(depth * int(max(abs(integers(fmt)))) ** 2)


def check_mac(name: object, depth: int, multiplier: object) -> tuple[Element, int]:
    """Format and bits of the accumulator, if there is such a multiplier-accumulator.

    Raises
    ------
    TypeError, ValueError
        If not; the sentence says why.
    """
    fmt = check_element(name, multiplier)
    width = sum_width(fmt, depth)
    if width > MOST:
        raise ValueError(f"Accumulator must have at most {MOST} bits, not the {width} of {depth} products of {name}")
    return fmt, width


class MacExact(wiring.Component):
    """Dot products of numbers of one format, exact, one product per cycle.

    ``sum`` is that of ``a * b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits
    it, as an integer in units of the smallest product (of powers of the root of two, that over ``2 ** (2 * root_bits)``). Nothing is
    rounded; subnormals are numbers like any other. ``nan``, where the format has codes that are not numbers, is whether a factor was one,
    infinities included; the sum then is not to be used (NaR counts as zero, other codes as the number they would be, modulo the sum's
    width). No pause between dot products. The accumulator is the output register: a finished sum that is not taken stops the unit. Before
    the first ``first`` the sum is unspecified.

    Floats, posits and powers are multiplied as in :func:`~.mac_exact_product.product`, E2M1 as in :class:`~.mac_e2m1.MacE2M1`, integers
    as in :class:`~.multiply_lut.MultiplyLut`, those whose sign is apart by their magnitudes. A product's sign inverts what is added inside
    the accumulator's cells, and is the carry that completes it. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Format of single numbers, by its name in :func:`mantissa.formats.get`, whose sums have at most :data:`MOST` bits; wider ones are
        :class:`~.mac_wide.MacWide`'s.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    multiplier : :class:`str`
        One of :data:`~.mac_exact_product.MULTIPLIERS`, of integers ``"lut"`` or ``"dsp"``. ``"dsp"`` needs a format whose values are
        integers of at most 18 bits, ``"dsp_significand"`` one that has fractions.
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
        self.fmt, self.acc_width = check_mac(fmt, depth, multiplier)
        self.multiplier = multiplier
        self.cells = cells
        self.nan = not all_numbers(self.fmt)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": unsigned(self.fmt.width), "b": unsigned(self.fmt.width), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)} | ({"nan": unsigned(1)} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        word, nan, stages = lane(m, advance, self.fmt, self.i.p.a, self.i.p.b, multiplier=self.multiplier, cells=self.cells, name="")
        accumulated(m, advance, self.i, self.o, word, nan if self.nan else None, stages, cells=self.cells)
        return m
