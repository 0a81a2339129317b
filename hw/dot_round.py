"""Exact dot products of several lanes, rounded once."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..formats import Float, Posit, get_scalar
from .carry import ZERO, Chain, Term
from .dot import Dot, check_dot
from .mac_exact_unpack import has_nan
from .round import Round, check_rounded

__all__ = ["DotRound", "exponent_of"]


def exponent_of(name: str) -> int:
    """Exponent of two of the smallest product of a float, posit or powers of two."""
    table = get_scalar(name).table
    return 2 * round(np.log2(np.abs(table[np.isfinite(table) & (table != 0)]).min()))


class DotRound(wiring.Component):
    """Dot products of numbers of one format, rounded once to a float or posit.

    ``code`` is the exact dot product of :class:`~.dot.Dot`, which has all its rules, as :class:`~.round.Round` rounds it: half to even,
    saturating, zero positive. A factor that is no number makes it NaN, or NaR. Between the two the sum loses its sign, one stage.

    Parameters
    ----------
    fmt, lanes, depth, multiplier, cells
        As in :class:`~.dot.Dot`; the format is a float, a posit or one of powers of two.
    to : :class:`str`
        Format of the result.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes * width, "b": lanes * width, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"code": width}))`
        Rounded dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, to: str, *, lanes: int = 4, depth: int = 256, multiplier: str = "lut", cells: bool = True) -> None:
        element, self.acc_width = check_dot(fmt, lanes, depth, multiplier)
        if not isinstance(element, Float | Posit):
            raise ValueError(f"Format of a rounded dot product must be a float, a posit or one of powers of two, not {fmt!r}")
        result = check_rounded(to)
        self.nan = has_nan(element)
        if self.nan and np.isfinite(result.table).all():
            raise ValueError(f"Format must have a code for what is no number, as {fmt} has such, not be {to!r}")
        self.fmt = fmt
        self.to = to
        self.lanes = lanes
        self.depth = depth
        self.multiplier = multiplier
        self.cells = cells
        codes = data.ArrayLayout(unsigned(element.width), lanes)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": codes, "b": codes, "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"code": unsigned(result.width)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frac_bits = -exponent_of(self.fmt)
        m.submodules.dot = dot = Dot(self.fmt, lanes=self.lanes, depth=self.depth, multiplier=self.multiplier, cells=self.cells)
        m.submodules.round = rounds = Round(self.to, int_bits=self.acc_width - 1 - frac_bits, frac_bits=frac_bits, nan=self.nan)
        given, taken = dot.o, rounds.i
        wiring.connect(m, wiring.flipped(self.i), dot.i)
        wiring.connect(m, rounds.o, wiring.flipped(self.o))
        total, negative = given.p["sum"].as_unsigned(), Signal()
        m.d.comb += [negative.eq(total[-1]), given.ready.eq(~taken.valid | taken.ready)]
        chain = Chain(m, "magnitude", cells=self.cells)
        terms = [Term(0b0110, (bit, negative)) for bit in total[:-1]]
        magnitude = Cat(chain.add(terms, [ZERO] * len(terms), len(terms), carry=negative))
        chain.close()
        held = Signal(taken.payload.shape(), reset_less=True)
        m.d.comb += taken.payload.eq(held)
        with m.If(given.ready):
            m.d.sync += [taken.valid.eq(given.valid), held.sign.eq(negative), held.magnitude.eq(magnitude), held.sticky.eq(0)]
            if self.nan:
                m.d.sync += held.nan.eq(given.p.nan)
        return m
