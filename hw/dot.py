"""Exact dot products of several lanes."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, delayed, signed_width
from .dot_lane import Element, all_numbers, check_element, check_lanes, lane, largest_of
from .dot_sum import accumulated, tree
from .mac_exact import MOST

__all__ = ["Dot", "check_dot"]


def check_dot(fmt: object, lanes: object, depth: object, multiplier: object) -> tuple[Element, int]:
    """Format called ``fmt``, and bits of the accumulator, if there is such a dot product.

    Raises
    ------
    TypeError, ValueError
        If not; the sentence says why.
    """
    found = check_element(fmt, multiplier)
    check_lanes(lanes)
    check_dimension("Depth", depth)
    assert isinstance(lanes, int) and isinstance(depth, int)
    width = signed_width(depth * lanes * largest_of(found))
    if width > MOST:
        raise ValueError(f"Accumulator must have at most {MOST} bits, not the {width} of {depth * lanes} products of {fmt}")
    return found, width


class Dot(wiring.Component):
    """Dot products of numbers of one format, exact, several products per cycle.

    ``sum`` is that of all ``a[n] * b[n]`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which
    emits it, as an integer in the units of :class:`~.mac_exact.MacExact`. Nothing is rounded; subnormals are numbers like any other.
    ``nan``, where the format has codes that are not numbers, is whether a factor was one, infinities included; the sum then is not to be
    used (NaR counts as zero, other codes as the number they would be). No pause between dot products. The accumulator is the output
    register: a finished sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    Products are made as in :class:`~.mac_exact.MacExact`, and added in a binary tree, a register after each adder. What a product leaves to
    be done, the last shift of E2M1 and the inversion of a negative one, is inside the cells of the first adders; the ones that complete
    negative products are the carries of the adders, of which there are as many. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Format of single numbers, by its name in :func:`mantissa.formats.get`.
    lanes : :class:`int`
        Products per transaction, 1 to 64.
    depth : :class:`int`
        Most transactions in a dot product; the accumulator has the bits that their sum needs.
    multiplier : :class:`str`
        One of :data:`~.mac_exact_product.MULTIPLIERS`; ``lut`` or ``dsp`` for integers.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes * width, "b": lanes * width, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "nan": 1}))`
        Dot products; ``nan`` only where there are such codes.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, lanes: int = 4, depth: int = 256, multiplier: str = "lut", cells: bool = True) -> None:
        self.fmt, self.acc_width = check_dot(fmt, lanes, depth, multiplier)
        self.lanes = lanes
        self.multiplier = multiplier
        self.cells = cells
        self.nan = not all_numbers(self.fmt)
        codes = data.ArrayLayout(unsigned(self.fmt.width), lanes)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": codes, "b": codes, "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width)} | ({"nan": unsigned(1)} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        found = [lane(m, advance, self.fmt, self.i.p.a[n], self.i.p.b[n], multiplier=self.multiplier, cells=self.cells, name=f"lane_{n}_")
                 for n in range(self.lanes)]
        total, levels = tree(m, advance, [summand for summand, _, _ in found], "tree", cells=self.cells)
        nan = delayed(m, advance, Cat(bad for _, bad, _ in found).any(), levels, "nan") if self.nan else None
        accumulated(m, advance, self.i, self.o, total, nan, found[0][2] + levels, cells=self.cells)
        return m
