"""Output-stationary array of exact dot products, its operands decoded at the edge."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension, delayed
from .carry import Chain, clear
from .dot_lane import Whole
from .mac_exact import check_mac
from .mac_exact_product import largest_product, magnitude, signed_terms, unpack_stages, unpacked, whole
from .mac_exact_unpack import has_nan, not_a_number, sign_of

__all__ = ["ArrayExact"]


class ArrayExact(wiring.Component):
    """Outer products of numbers of one format, accumulated exactly in place; one column and one row a cycle.

    What :class:`~.array_of.ArrayOf` :class:`~.mac_exact.MacExact` with ``multiplier="dsp"`` computes, bit for bit and in as many cycles,
    but each operand becomes an integer once, in front of its row or column, and not in every element: an element is one DSP and one
    accumulator, whatever the format. Control is one for all. Latency is that of :class:`~.mac_exact.MacExact`; no pause between dot
    products. The accumulators are the output registers: finished sums that are not taken stop the array. The arrangement is ours.

    Parameters
    ----------
    rows, columns : :class:`int`
        Elements.
    fmt : :class:`str`
        Float, powers or posit, by its name in :func:`mantissa.formats.get`, whose values are integers of at most 18 bits, a DSP's operand,
        and whose sums have at most :data:`~.mac_exact.MOST` bits.
    depth : :class:`int`
        Most transactions in a dot product; accumulators have the bits that their sum needs.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": rows * width, "b": columns * width, "first": 1, "last": 1}))`
        Codes.
    o : :py:`Out(stream.Signature({"sum": rows * (columns * signed(acc_width)), "nan": rows * (columns * 1)}))`
        Dot products, as :class:`~.mac_exact.MacExact`'s; ``nan`` only where there are such codes.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, rows: int, columns: int, fmt: str, *, depth: int = 256, cells: bool = True) -> None:
        check_dimension("Rows", rows)
        check_dimension("Columns", columns)
        self.rows = rows
        self.columns = columns
        found, self.acc_width = check_mac(fmt, depth, "dsp")
        if isinstance(found, Whole):
            raise ValueError(f"Format must be one that has to be decoded, a float, powers or posit, not {fmt!r}")
        self.fmt = found
        self.cells = cells
        self.nan = has_nan(self.fmt)

        def places(shape: signed | unsigned) -> data.ArrayLayout:
            return data.ArrayLayout(data.ArrayLayout(shape, columns), rows)
        code = unsigned(self.fmt.width)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(code, rows), "b": data.ArrayLayout(code, columns), "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout(
                {"sum": places(signed(self.acc_width))} | ({"nan": places(unsigned(1))} if self.nan else {})))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o, advance, adds = self.i, self.o, Signal(), Signal()
        stages = sum(unpack_stages(self.fmt)) + 2
        valid, first, last = Signal(stages), Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        m.d.comb += [advance.eq(~o.valid | o.ready), adds.eq(advance & valid[-1]), i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(i.valid, valid)), first.eq(Cat(i.p.first, first)), last.eq(Cat(i.p.last, last)),
                         o.valid.eq(valid[-1] & last[-1])]
        a = [self._decoded(m, advance, i.p.a[r], f"a{r}_") for r in range(self.rows)]
        b = [self._decoded(m, advance, i.p.b[c], f"b{c}_") for c in range(self.columns)]
        for r in range(self.rows):
            for c in range(self.columns):
                self._element(m, advance, adds, first[-1], a[r], b[c], r, c)
        return m

    def _decoded(self, m: Module, advance: Value, code: Value, name: str) -> tuple[Value, Value, Value]:
        """Magnitude as an integer, sign, and whether it is no number, a product's stage before it is added."""
        before, later = unpack_stages(self.fmt)
        bare = magnitude(m, advance, self.fmt, code, cells=self.cells, name=f"{name}code")
        word = whole(m, advance, self.fmt, *unpacked(m, advance, self.fmt, bare, name, "x"), name)
        return (word, delayed(m, advance, sign_of(self.fmt, code), before + later + 1, f"{name}negative"),
                delayed(m, advance, not_a_number(self.fmt, bare), later + 1, f"{name}nan"))

    def _element(self, m: Module, advance: Value, adds: Value, first: Value, a: tuple[Value, Value, Value], b: tuple[Value, Value, Value],
                 r: int, c: int) -> None:
        name, out = f"element_{r}_{c}_", self.o.p.sum[r][c]
        product, negative, bad = (delayed(m, advance, value, 1, f"{name}{what}") for value, what in (
            (a[0] * b[0], "product"), (a[1] ^ b[1], "negative"), (a[2] | b[2], "bad")))
        word = signed_terms(m, list(product), negative, largest_product(self.fmt), name)
        acc = Signal(self.acc_width, name=f"{name}acc", reset_less=True)
        assert word.carry is not None
        chain = Chain(m, f"{name}sum", cells=self.cells)
        after = chain.add([clear(bit, first) for bit in acc], word.extended(self.acc_width), self.acc_width, carry=word.carry)
        chain.close()
        with m.If(adds):
            m.d.sync += acc.eq(Cat(after))
        m.d.comb += out.eq(acc)
        if self.nan:
            with m.If(adds):
                m.d.sync += self.o.p.nan[r][c].eq((self.o.p.nan[r][c] & ~first) | bad)
