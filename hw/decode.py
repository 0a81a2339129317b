"""Codes of the accelerator's formats as sign and magnitude in units."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..fixed import BITS, EXPONENT_MOST, NAMES, WEIGHTS
from .stream import check_positive

__all__ = ["FORMAT", "OPERAND", "VectorDecode", "WeightDecode", "check_formats", "operands"]

FORMAT = unsigned(ceil_log2(len(WEIGHTS)))
"""A format, as its index in :data:`~mantissa.fixed.WEIGHTS`."""

OPERAND = unsigned(BITS + 1)
"""A magnitude, and above it the sign."""


def check_formats(formats: Sequence[str], known: Sequence[str] = NAMES) -> tuple[str, ...]:
    """``formats`` as a tuple, if they are some of ``known``."""
    if not formats or not set(formats) <= set(known):
        raise ValueError(f"Formats must be some of {', '.join(known)}, not {formats!r}")
    return tuple(formats)


def operands(lanes: int) -> data.ArrayLayout:
    """``lanes`` operands."""
    return data.ArrayLayout(OPERAND, lanes)


def _negated(code: Value, sign: Value) -> Value:
    return (code ^ sign.replicate(len(code))) + sign


def _float(code: Value, mantissa: int) -> Value:
    """Magnitude of a float without sign, in units of its least subnormal: the significand, shifted by the exponent less one."""
    exponent, normal = code[mantissa:], code[mantissa:].any()
    return Cat(code[:mantissa], normal) << Mux(normal, exponent - 1, 0)[:len(exponent)]


def _posit(m: Module, code: Value) -> Value:
    """Magnitude of a positive 8-bit posit without exponent bits, in units of the least: below one the code itself; from one up ``r`` ones,
    a zero and a fraction stand for ``2**(5 + r)`` and the fraction above bit ``2 * r - 1``."""
    magnitude = Signal(13)
    m.d.comb += magnitude.eq(code)
    for r in range(1, 8):
        with m.If(code[7 - r:7].all()):
            fraction = code[:max(6 - r, 0)]
            m.d.comb += magnitude.eq(Cat(Const(0, 5 + r - len(fraction)), fraction, Const(1, 1)))
    return magnitude


def _magnitude(m: Module, name: str, code: Value) -> tuple[Value, Value]:
    """Sign and magnitude of one format's code; of a posit's NaR the magnitude is 0."""
    sign = code[7] if name in ("int8", "e4m3", "posit8_0") else code[3]
    if name == "int8":
        return sign, _negated(code, sign)[:8]
    if name == "int4":
        return sign, _negated(code[:4], sign)[:4]
    if name == "e4m3":
        return sign, _float(code[:7], 3)
    if name == "e2m1":
        return sign, _float(code[:3], 1)
    if name == "posit8_0":
        return sign, _posit(m, _negated(code[:7], sign)[:7])
    table, magnitude = (0, 1, 4, 8, 16, 32, 64, 256), Signal(9)
    with m.Switch(_negated(code[:3], sign)[:3]):
        for n, value in enumerate(table):
            with m.Case(n):
                m.d.comb += magnitude.eq(value)
    return sign, magnitude


def _decoded(m: Module, formats: Sequence[str], code: Value, which: Value) -> Value:
    """Operand of a code, 0 for a format that is not one of ``formats``. An MXFP4 code is an E2M1 code."""
    found = Signal(OPERAND)
    with m.Switch(which):
        for name in formats:
            with m.Case(WEIGHTS.index(name)):
                sign, magnitude = _magnitude(m, "e2m1" if name == "mxfp4" else name, code)
                m.d.comb += found.eq(Cat(magnitude[:BITS], Const(0, max(BITS - len(magnitude), 0)), sign))
    return found


class VectorDecode(wiring.Component):
    """Codes of a vector as operands of the array, and as signed numbers.

    One vector per cycle, two cycles of latency. Numbers are in units of the format's smallest step, as of :func:`~mantissa.fixed.as_fixed`.

    Parameters
    ----------
    lanes : :class:`int`
        Codes per vector.
    formats : sequence of :class:`str`
        Those to choose from; of any other the numbers are 0.
    tag : :class:`int`
        Bits that accompany each vector.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes * unsigned(8), "format": 3, "tag": tag}))`
        Codes, and their format as its index in :data:`~mantissa.fixed.NAMES`.
    o : :py:`Out(stream.Signature({"a": lanes * unsigned(19), "value": lanes * signed(19), "tag": tag}))`
        Magnitudes with the sign above, and the same numbers signed.
    """

    def __init__(self, *, lanes: int, formats: Sequence[str], tag: int) -> None:
        self.lanes = check_positive("Lanes", lanes)
        self.formats = check_formats(formats)
        self.tag = check_positive("Tag", tag)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"a": data.ArrayLayout(unsigned(8), lanes), "format": FORMAT, "tag": tag}))),
            "o": Out(stream.Signature(data.StructLayout({
                "a": operands(lanes), "value": data.ArrayLayout(signed(BITS + 1), lanes), "tag": tag}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, advance, valid = self.i, self.o, Signal(), Signal()
        decoded, tag = Signal(operands(self.lanes), reset_less=True), Signal(self.tag, reset_less=True)
        output = Signal(o.p.shape(), reset_less=True)
        m.d.comb += [advance.eq(~o.valid | o.ready), i.ready.eq(advance), o.p.eq(output)]
        with m.If(advance):
            m.d.sync += [valid.eq(i.valid), o.valid.eq(valid), tag.eq(i.p.tag), output.tag.eq(tag)]
            for n in range(self.lanes):
                sign, magnitude = decoded[n][BITS], decoded[n][:BITS]
                m.d.sync += [decoded[n].eq(_decoded(m, self.formats, i.p.a[n], i.p.format)), output.a[n].eq(decoded[n]),
                             output.value[n].eq((Cat(magnitude, Const(0, 1)) ^ sign.replicate(BITS + 1)) + sign)]
        return m


class WeightDecode(wiring.Component):
    """Codes of weight tiles as operands of the array.

    One row per cycle, two cycles of latency. In MXFP4 a row of exponents, one per column, comes before the ``rows`` rows of a tile,
    which are E2M1 codes; it takes a cycle and makes no row.

    Parameters
    ----------
    rows, columns : :class:`int`
        Of a tile.
    formats : sequence of :class:`str`
        Those to choose from, of :data:`~mantissa.fixed.WEIGHTS`; of any other the numbers are 0.

    Members
    -------
    i : :py:`In(stream.Signature({"b": columns * unsigned(8), "format": 3}))`
        Codes, and their format, which changes only between tiles; of exponents four bits count, and 15 is 14.
    o : :py:`Out(stream.Signature({"w": columns * unsigned(19)}))`
        Magnitudes with the sign above.

    Attributes
    ----------
    busy : :class:`~amaranth.hdl.Signal`
        A row is on its way.
    """

    def __init__(self, *, rows: int, columns: int, formats: Sequence[str]) -> None:
        self.rows = check_positive("Rows", rows)
        self.columns = check_positive("Columns", columns)
        self.formats = check_formats(formats, WEIGHTS)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"b": data.ArrayLayout(unsigned(8), columns), "format": FORMAT}))),
            "o": Out(stream.Signature(data.StructLayout({"w": operands(columns)}))),
        })
        self.busy = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, advance, valid = self.i, self.o, Signal(), Signal()
        decoded, output = Signal(operands(self.columns), reset_less=True), Signal(o.p.shape(), reset_less=True)
        m.d.comb += [advance.eq(~o.valid | o.ready), i.ready.eq(advance), o.p.eq(output), self.busy.eq(valid | o.valid)]
        blocks, head = Const(0, 1), Const(0, 1)
        exponents = Signal(data.ArrayLayout(unsigned(4), self.columns), reset_less=True)
        if "mxfp4" in self.formats:
            blocks, head, left = i.p.format == WEIGHTS.index("mxfp4"), Signal(init=1), Signal(range(self.rows), init=self.rows - 1)
            with m.If(i.valid & advance & blocks):
                m.d.sync += head.eq(~head & (left == 0))
                with m.If(head):
                    # Loaded while the tile before leaves the first stage, for which they are still what they were.
                    m.d.sync += [left.eq(self.rows - 1)] + [exponents[n].eq(i.p.b[n][:4]) for n in range(self.columns)]
                with m.Else():
                    m.d.sync += left.eq(left - 1)
        shifts = Signal()
        with m.If(advance):
            m.d.sync += [valid.eq(i.valid & ~(blocks & head)), shifts.eq(blocks), o.valid.eq(valid)]
            for n in range(self.columns):
                m.d.sync += [decoded[n].eq(_decoded(m, self.formats, i.p.b[n], i.p.format)), output.w[n].eq(decoded[n])]
                if "mxfp4" in self.formats:
                    exponent = Cat(exponents[n][0] & ~exponents[n][1:].all(), exponents[n][1:])
                    with m.If(shifts):
                        m.d.sync += output.w[n].eq(Cat((decoded[n][:4] << exponent)[:BITS], decoded[n][BITS]))
        assert EXPONENT_MOST == 14
        return m
