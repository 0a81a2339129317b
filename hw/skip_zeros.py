"""The activations of a token that are not zero, with their places."""
from __future__ import annotations

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_positive

__all__ = ["SkipZeros"]


class SkipZeros(wiring.Component):
    """The non-zero values of tokens with their indices: for weights that lie column by column, the columns to be read.

    One value per cycle in; a non-zero one comes out once the next is met or the token ends, so that the last can be marked. A token of
    zeros gives one record, index 0 and value 0, which adds nothing: so every token ends with a ``last``, and takes a cycle more than its
    values. ``i.ready`` depends on the outputs' ready.

    Parameters
    ----------
    width : :class:`int`
        Bits of a signed value, 2 or more.
    depth : :class:`int`
        Values of a token, at most; indices of more begin again at 0.

    Members
    -------
    i : ``In(stream.Signature({"code": signed(width), "last": 1}))``
    o : ``Out(stream.Signature({"index": ..., "value": signed(width), "last": 1}))``
    o_count : ``Out(stream.Signature({"kept": ..., "skipped": ...}))``
        Of every token, how many values were not zero, and how many were.
    """

    def __init__(self, *, width: int = 8, depth: int = 8192) -> None:
        self.width = check_positive("Width", width, 2)
        self.depth = check_positive("Depth", depth, 2)
        self.index_width = (depth - 1).bit_length()
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"code": signed(width), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout(
                {"index": unsigned(self.index_width), "value": signed(width), "last": unsigned(1)}))),
            "o_count": Out(stream.Signature(data.StructLayout(
                {"kept": unsigned(self.index_width + 1), "skipped": unsigned(self.index_width + 1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held, index, value = Signal(), Signal(self.index_width), Signal(signed(self.width))
        ended = Signal()                                   # the held record is a token's last
        place = Signal(self.index_width)
        kept, skipped = Signal(self.index_width + 1), Signal(self.index_width + 1)
        there = self.i.p.code.any()
        # Out goes what is held, when its successor is known.
        leaves, free = Signal(), Signal()
        count_free = ~self.o_count.valid | self.o_count.ready
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready), self.i.ready.eq(free & count_free & ~ended),
            leaves.eq(free & (ended | self.i.valid & self.i.ready & there & held)),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(leaves)
        with m.If(leaves):
            m.d.sync += [self.o.p.index.eq(index), self.o.p.value.eq(value), self.o.p.last.eq(ended), ended.eq(0), held.eq(0)]
        with m.If(self.o_count.ready):
            m.d.sync += self.o_count.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [place.eq(place + 1), ended.eq(self.i.p.last)]
            with m.If(there):
                m.d.sync += [index.eq(place), value.eq(self.i.p.code), held.eq(1), kept.eq(kept + 1)]
            with m.Else():
                m.d.sync += skipped.eq(skipped + 1)
                with m.If(~held):
                    m.d.sync += [index.eq(0), value.eq(0)]
            with m.If(self.i.p.last):
                m.d.sync += [place.eq(0), kept.eq(0), skipped.eq(0), self.o_count.valid.eq(1),
                             self.o_count.p.kept.eq(kept + there), self.o_count.p.skipped.eq(skipped + ~there)]
        return m
