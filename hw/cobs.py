"""Consistent overhead byte stuffing, decoder and encoder, one byte per cycle."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BYTE", "TOKEN", "CobsDecoder", "CobsEncoder"]

BYTE = data.StructLayout({"data": unsigned(8)})
"""A byte on the wire."""

TOKEN = data.StructLayout({"data": unsigned(8), "end": 1, "error": 1})
"""A byte of a frame's content or, with ``end``, the end of the frame; then ``error`` tells that its coding was wrong."""


class CobsDecoder(wiring.Component):
    """Content of the frames between zero bytes.

    Each content byte is a transaction, and each delimiter that ends a frame of at least one byte another, with ``end``;
    its ``error`` is set if the last block was cut short. Coding bytes and empty frames produce nothing. One input per
    cycle; an output is on ``o`` while its input is on ``i``, combinationally.

    Members
    -------
    i : ``In(stream.Signature(BYTE))``
    o : ``Out(stream.Signature(TOKEN))``
        ``data`` is 0 with ``end``, ``error`` is 0 without.
    idle : ``Out(1)``
        Between frames.
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(TOKEN)), "idle": Out(1, init=1)})
        self.left = Signal(8, init=1)  # bytes of the block still to come, and one
        self.full = Signal()           # the block began with 0xff: no zero follows it

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left, full = self.left, self.full
        byte, zero, code = self.i.p.data, Signal(), Signal()
        m.d.comb += [
            zero.eq(byte == 0), code.eq(left == 1),
            self.o.p.data.eq(Mux(code, 0, byte)), self.o.p.end.eq(zero), self.o.p.error.eq(zero & ~code),
            self.o.valid.eq(self.i.valid & ~self.idle & (zero | ~code | ~full)),
            self.i.ready.eq(self.o.ready | ~self.o.valid),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.idle.eq(zero)
            m.d.sync += left.eq(Mux(code, byte, left + (~code).replicate(8)))
            with m.If(code):
                m.d.sync += full.eq(byte == 0xff)
            with m.If(zero):
                m.d.sync += left.eq(1)
        return m


class CobsEncoder(wiring.Component):
    """Memory writes that leave the coded frame, delimiter included, from address 0 up.

    A block's coding byte is known, and written, only after the block: so the frame is built in a memory rather than streamed. One
    content byte per cycle, but for one cycle more after 254 bytes without a zero and two for the end of the frame. The next frame begins
    at 0 again. An output is on ``o`` while its input is on ``i``, combinationally; there is a combinational
    path from ``o.ready`` to ``i.ready``.

    Parameters
    ----------
    address_width
        Bits of an address; the coded frame must fit.

    Members
    -------
    i : ``In(stream.Signature({"data": 8, "end": 1}))``
        Content bytes, and an ``end`` (whose ``data`` is not looked at) after the last.
    o : ``Out(stream.Signature({"address": address_width, "data": 8}))``
        Writes. Only the last of a frame, the delimiter, has 0 as data.
    """

    def __init__(self, *, address_width: int) -> None:
        if not isinstance(address_width, int) or isinstance(address_width, bool):
            raise TypeError(f"Address width must be a positive integer, not {address_width!r}")
        if address_width < 1:
            raise ValueError(f"Address width must be a positive integer, not {address_width}")
        self.address_width = address_width
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"data": unsigned(8), "end": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"address": unsigned(address_width), "data": unsigned(8)}))),
        })
        self.here = Signal(address_width, init=1)     # where the next content byte goes
        self.start = Signal(address_width)            # of the block
        self.code = Signal(8, init=1)                 # bytes of the block so far, itself included
        self.closing = Signal()                       # the last block is written, the delimiter is not

    def elaborate(self, platform: object) -> Module:
        m = Module()
        here, start, code, closing = self.here, self.start, self.code, self.closing
        full, close, byte = Signal(), Signal(), self.i.p.data
        m.d.comb += [
            full.eq(code == 0xff),
            close.eq(full | self.i.p.end | (byte == 0)),
            self.o.valid.eq(self.i.valid),
            self.o.p.address.eq(Mux(close & ~closing, start, here)),
            self.o.p.data.eq(Mux(closing, 0, Mux(close, code, byte))),
            self.i.ready.eq(self.o.ready & Mux(self.i.p.end, closing, ~full)),
        ]
        with m.If(self.o.valid & self.o.ready):
            with m.If(closing):
                m.d.sync += [closing.eq(0), here.eq(1), start.eq(0), code.eq(1)]
            with m.Elif(self.i.p.end):
                m.d.sync += closing.eq(1)
            with m.Else():
                m.d.sync += [here.eq(here + 1), code.eq(code + 1)]
                with m.If(close):
                    m.d.sync += [start.eq(here), code.eq(1)]
        return m
