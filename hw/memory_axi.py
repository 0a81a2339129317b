"""An AXI4 bus behind the contract of a memory."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory_pieces import Pieces, piece_layout
from .memory_port import MemoryPort
from .stream import Queue, check_positive

__all__ = ["AxiMaster"]

WORDS = 256
"""Most beats of a burst; also at most the 4096 bytes that a burst must not cross, for words of up to 128 bits."""


class AxiMaster(wiring.Component):
    """Bursts as AXI4 reads and writes (Arm IHI 0022, AXI4): incrementing, of whole words, one ID, in order.

    A burst is cut at multiples of 256 words, so that none has more beats nor crosses 4096 bytes. A word a cycle each way. A word's
    ``error`` is set from the first SLVERR or DECERR of its burst on, ``write_done``'s if one of the burst's pieces had one. ``last`` of
    words to be written is not looked at. Addresses and words to be written are offered as they come, neither waiting for the other.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them; AXI addresses have those of the bytes of a word besides, or 9.
    waiting
        AXI bursts of a kind under way at most, 2 or more.

    Members
    -------
    port : ``In(MemoryPort(address_bits, length_bits, data_bits))``
    axi_aw..., axi_w..., axi_b..., axi_ar..., axi_r...
        The bus. Protection, cache, lock, QoS and region signals are left to who connects it.
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int, waiting: int = 8) -> None:
        signature = MemoryPort(address_bits, length_bits, data_bits)
        self.address_bits = address_bits
        self.length_bits = length_bits
        self.data_bits = data_bits
        self.waiting = check_positive("Waiting bursts", waiting, 2)
        self.byte_bits = ceil_log2(data_bits // 8)
        request = {"id": Out(1), "addr": Out(address_bits + self.byte_bits), "len": Out(8), "size": Out(3), "burst": Out(2)}
        channels = {"aw": request, "ar": request, "w": {"data": Out(data_bits), "strb": Out(data_bits // 8), "last": Out(1)}}
        back = {"b": {"id": In(1), "resp": In(2)}, "r": {"id": In(1), "data": In(data_bits), "resp": In(2), "last": In(1)}}
        members = {f"axi_{channel}{name}": member for channel, group in (channels | back).items() for name, member in group.items()}
        handshakes = {f"axi_{channel}{name}": Out(1) if (name == "valid") == (channel in channels) else In(1)
                      for channel in channels | back for name in ("valid", "ready")}
        super().__init__({"port": In(signature), **members, **handshakes})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._reads(m)
        self._writes(m)
        return m

    def _request(self, m: Module, kind: str, channel: str, lists: dict[str, data.StructLayout]) -> list[Queue]:
        """Pieces of a kind of bursts to an address channel, and noted in lists of those under way."""
        asked = getattr(self.port, f"{kind}_requests")
        words = min(WORDS, 1 << (self.address_bits - 1))
        m.submodules[f"{kind}_pieces"] = pieces = Pieces(address_bits=self.address_bits, length_bits=self.length_bits, words=words)
        m.submodules[f"{kind}_offered"] = offered = Queue(piece_layout(self.address_bits, words), depth=2)
        wiring.connect(m, wiring.flipped(asked), pieces.i)
        notes = []
        room = offered.i.ready
        for name, layout in lists.items():
            m.submodules[name] = note = Queue(layout, depth=self.waiting)
            notes.append(note)
            room = room & note.i.ready
        m.d.comb += [pieces.o.ready.eq(room), offered.i.valid.eq(pieces.o.valid & room), offered.i.payload.eq(pieces.o.payload)]
        for note in notes:
            m.d.comb += note.i.valid.eq(pieces.o.valid & room)
            m.d.comb += [note.i.payload[name].eq(pieces.o.payload[name]) for name in note.payload.members]
        values = {"valid": offered.o.valid, "addr": offered.o.payload.address << self.byte_bits, "len": offered.o.payload.length,
                  "size": self.byte_bits, "burst": 1}
        m.d.comb += [getattr(self, f"axi_{channel}{name}").eq(value) for name, value in values.items()]
        m.d.comb += offered.o.ready.eq(getattr(self, f"axi_{channel}ready"))
        return notes

    def _reads(self, m: Module) -> None:
        note, = self._request(m, "read", "ar", {"reads": data.StructLayout({"last": 1})})
        o, failed = self.port.read_data, Signal()
        error = self.axi_rresp[1] | failed
        last = self.axi_rlast & note.o.payload.last
        m.d.comb += [o.valid.eq(self.axi_rvalid), o.payload.data.eq(self.axi_rdata), o.payload.error.eq(error), o.payload.last.eq(last),
                     self.axi_rready.eq(o.ready), note.o.ready.eq(o.valid & o.ready & self.axi_rlast)]
        with m.If(o.valid & o.ready):
            m.d.sync += failed.eq(error & ~last)

    def _writes(self, m: Module) -> None:
        words = min(WORDS, 1 << (self.address_bits - 1))
        lists = {"writes": data.StructLayout({"length": ceil_log2(words)}), "ends": data.StructLayout({"last": 1})}
        burst, end = self._request(m, "write", "aw", lists)
        i, done = self.port.write_data, self.port.write_done
        at, failed = Signal(ceil_log2(words)), Signal()
        last = at == burst.o.payload.length
        moved = self.axi_wvalid & self.axi_wready
        m.d.comb += [
            self.axi_wvalid.eq(i.valid & burst.o.valid), self.axi_wdata.eq(i.payload.data), self.axi_wstrb.eq(~0), self.axi_wlast.eq(last),
            i.ready.eq(burst.o.valid & self.axi_wready), burst.o.ready.eq(moved & last),
        ]
        with m.If(moved):
            m.d.sync += at.eq(Mux(last, 0, at + 1))
        error = self.axi_bresp[1] | failed
        whole = end.o.payload.last
        m.d.comb += [done.valid.eq(self.axi_bvalid & whole), done.payload.error.eq(error), self.axi_bready.eq(~whole | done.ready),
                     end.o.ready.eq(self.axi_bvalid & self.axi_bready)]
        with m.If(self.axi_bvalid & self.axi_bready):
            m.d.sync += failed.eq(error & ~whole)
