"""Bursts cut where a memory wants them cut."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory_port import request_layout
from .stream import check_positive

__all__ = ["Pieces", "piece_layout"]


def piece_layout(address_bits: int, words: int) -> data.StructLayout:
    """A piece: address of its first word, its words less one, and whether it is its burst's last."""
    return data.StructLayout({"address": address_bits, "length": ceil_log2(words), "last": 1})


class Pieces(wiring.Component):
    """Bursts as pieces of which none crosses a multiple of ``words``.

    A piece a cycle, also from one burst to the next; the first is on ``o`` a cycle after its burst's transfer on ``i``. ``i.ready``
    depends on ``o.ready``. Addresses wrap. AXI's two rules are one of this kind: 256 words are at most 4096 bytes.

    Parameters
    ----------
    address_bits, length_bits
        Of the bursts, as :class:`~mantissa.hw.memory_port.MemoryPort` has them.
    words
        A power of two, 2 or more, and of fewer bits than an address.

    Members
    -------
    i : ``In(stream.Signature(request_layout(address_bits, length_bits)))``
    o : ``Out(stream.Signature(piece_layout(address_bits, words)))``
        The pieces of each burst, in order.
    """

    def __init__(self, *, address_bits: int, length_bits: int, words: int) -> None:
        self.address_bits = check_positive("Address bits of pieces", address_bits)
        self.length_bits = check_positive("Length bits of pieces", length_bits)
        self.words = check_positive("Words of a piece", words, 2)
        if words & (words - 1) or words >= 1 << address_bits:
            raise ValueError(f"Words of a piece must be a power of two below {1 << address_bits}, not {words}")
        super().__init__({"i": In(stream.Signature(request_layout(address_bits, length_bits))),
                          "o": Out(stream.Signature(piece_layout(address_bits, words)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        low = ceil_log2(self.words)
        address = Signal(self.address_bits, reset_less=True)
        left = Signal(max(self.length_bits, low), reset_less=True)
        room = ~address[:low]                                           # words less one up to the multiple
        last = left <= room
        o = self.o.payload
        m.d.comb += [o.address.eq(address), o.length.eq(Mux(last, left[:low], room)), o.last.eq(last),
                     self.i.ready.eq(~self.o.valid | (self.o.ready & last))]
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), address.eq(self.i.payload.address), left.eq(self.i.payload.length)]
        with m.Elif(self.o.ready):
            m.d.sync += [address[:low].eq(0), address[low:].eq(address[low:] + 1), left.eq(left - room - 1)]
        return m
