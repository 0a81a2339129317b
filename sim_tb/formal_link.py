"""What is proved of the framer and of the link, for any input, for ever."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Cover, Elaboratable, Fragment, Module, Signal

from ..frame import Status, Type
from ..hw.cobs import CobsDecoder, CobsEncoder
from ..hw.link import Link
from .contract import steady
from .formal import Proof, prove

__all__ = ["DecoderRules", "EncoderRules", "LinkRules", "PROOFS"]

PAYLOAD, IDLE = 16, 16


def _drive(m: Module, port, name: str) -> None:
    m.d.comb += [port.valid.eq(AnySeq(1)), port.payload.as_value().eq(AnySeq(len(port.payload.as_value())))]
    m.d.comb += Assume(steady(m, port, name=name)[0])


class EncoderRules(Elaboratable):
    """The coded frame: no zero but the delimiter, no gaps and no overlap in memory, coding bytes that match the blocks."""

    WIDTH = 9

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = CobsEncoder(address_width=self.WIDTH)
        _drive(m, dut.i, "i")
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        kept, waited = steady(m, dut.o, name="o")
        here, start, ended = Signal(self.WIDTH, init=1), Signal(self.WIDTH), Signal()
        step, zero = dut.o.valid & dut.o.ready, dut.o.p.data == 0
        block = Signal(self.WIDTH)
        m.d.comb += block.eq(here - start)
        with m.If(step & zero):
            m.d.sync += [here.eq(1), start.eq(0), ended.eq(0)]
        with m.Elif(step & (dut.o.p.address == here)):
            m.d.sync += here.eq(here + 1)
        with m.Elif(step):
            m.d.sync += ended.eq(dut.i.p.end)
            with m.If(~dut.i.p.end):
                m.d.sync += [start.eq(here), here.eq(here + 1)]
        m.d.comb += [
            Assume(here < (1 << self.WIDTH) - 2),                          # the frame fits
            Assert(kept), Assert(here > start), Assert(ended | (block <= 0xff)),
            Assert(~dut.o.valid | ~zero | (ended & dut.i.p.end & (dut.o.p.address == here))),
            Assert(~dut.o.valid | zero | (dut.o.p.address == here) | (dut.o.p.address == start)),
            Assert(~dut.o.valid | zero | (dut.o.p.address != start) | (dut.o.p.data == block)),
            Assert((dut.here == here) & (dut.closing == ended)), Assert(~ended | (dut.i.valid & dut.i.p.end)),
            Assert(ended | ((dut.start == start) & (dut.code == block))),
            Cover(step & zero & (here > 5)), Cover(step & waited),
        ]
        return m


class DecoderRules(Elaboratable):
    """The content: an end for every delimiter after at least one byte, an error exactly if the block was not over, bytes unchanged.

    Parameters
    ----------
    longest
        Bytes a block may still have; anything below 254 is wrong.
    """

    def __init__(self, longest: int = 254) -> None:
        self.longest = longest

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = CobsDecoder()
        _drive(m, dut.i, "i")
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        kept, waited = steady(m, dut.o, name="o")
        due, inside, whole = Signal(9), Signal(), Signal()          # bytes the block still has, in a frame, no zero follows
        byte, step = dut.i.p.data, dut.i.valid & dut.i.ready
        with m.If(step):
            m.d.sync += inside.eq(byte != 0)
            with m.If(byte == 0):
                m.d.sync += due.eq(0)
            with m.Elif(due != 0):
                m.d.sync += due.eq(due - 1)
            with m.Else():
                m.d.sync += [due.eq(byte - 1), whole.eq(byte == 255)]
        o, valid = dut.o.p, dut.o.valid
        m.d.comb += [
            Assert(kept), Assert(dut.left == due + 1), Assert(~inside | (dut.full == whole)),
            Assert(dut.idle == ~inside), Assert(due <= self.longest), Assert(inside | (due == 0)),
            Assert(~valid | (o.end == (byte == 0))), Assert(~valid | (o.error == (o.end & (due != 0)))),
            Assert(~valid | o.end | (due == 0) | (o.data == byte)), Assert(~valid | o.end | (due != 0) | (o.data == 0)),
            Assert(~dut.i.valid | (valid == (inside & ((byte == 0) | (due != 0) | ~whole)))),
            Cover(valid & o.end & o.error & waited), Cover(valid & ~o.end & (o.data == 0)), Cover(step & (due == 3)),
        ]
        return m


class FreeChecksum(Elaboratable):
    """A checksum that may be anything, and right or wrong: what holds with it holds with the real one."""

    def __init__(self) -> None:
        self.data, self.valid, self.crc, self.match_detected = Signal(8), Signal(), Signal(32), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [self.crc.eq(AnySeq(32)), self.match_detected.eq(AnySeq(1))]
        return m


class FreeMemory(Elaboratable):
    """A memory that may hold anything: what holds with it holds with the real one."""

    def __init__(self, width: int) -> None:
        self.addr, self.data, self.en = Signal(16), Signal(width), Signal()
        self.write = SimpleNamespace(addr=Signal(16), data=Signal(width), en=Signal())

    def write_port(self) -> SimpleNamespace:
        """Port whose writes are forgotten."""
        return self.write

    def read_port(self) -> FreeMemory:
        """Port whose data hold while it is not enabled."""
        return self

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.en):
            m.d.sync += self.data.eq(AnySeq(len(self.data)))
        return m


class LinkRules(Elaboratable):
    """The link's handshakes and its rule that only the next request of the session is executed.

    Parameters
    ----------
    warm
        Begin within session 0, after its first request, so that what happens there can be covered.
    """

    def __init__(self, *, warm: bool) -> None:
        self.warm = warm

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = Link(capability=bytes(64), payload=PAYLOAD, idle_cycles=IDLE, counter_bits=1)
        for replaced in (dut.r.crc, dut.r.requests, dut.r.replies):
            Fragment.get(replaced, None)               # or Amaranth would warn that it is not used
        dut.r.crc, dut.r.requests, dut.r.replies = FreeChecksum(), FreeMemory(8), FreeMemory(9)
        if self.warm:
            dut.r.opened, dut.r.stored, dut.r.expected = Signal(init=1), Signal(init=1), Signal(8, init=1, reset_less=True)
        m.submodules.dut = dut
        _drive(m, dut.rx, "rx")
        _drive(m, dut.i_bus, "i_bus")
        m.d.comb += [dut.tx.ready.eq(AnySeq(1)), dut.o_bus.ready.eq(AnySeq(1)), dut.state.eq(AnySeq(32))]
        kept_tx, waited_tx = steady(m, dut.tx, name="tx")
        kept_bus, _ = steady(m, dut.o_bus, name="o_bus")
        m.d.comb += [Assert(kept_tx), Assert(kept_bus), Assert(~dut.tx.valid | dut.r.sending)]
        self._bus(m, dut)
        self._session(m, dut)
        if self.warm:
            m.d.comb += [Cover(dut.r.add_duplicates), Cover(dut.tx.valid & dut.tx.ready & waited_tx)]
        else:
            m.d.comb += [Cover(dut.r.heading & dut.r.passing & (dut.r.status == Status.SESSION)),
                         Cover(dut.r.heading & (dut.r.type == Type.HELLO) & (dut.r.status == Status.OK)),
                         Cover(dut.r.abort), Cover(dut.r.add_crc_errors), Cover(dut.r.add_overflows)]
        return m

    def _bus(self, m: Module, dut: Link) -> None:
        """Responses are taken only for requests made, of which at most five are unanswered, and never into another's request."""
        r, owed = dut.r, Signal(4)
        m.d.sync += owed.eq(owed + (dut.o_bus.valid & dut.o_bus.ready) - (dut.i_bus.valid & dut.i_bus.ready))
        m.d.comb += [
            Assert(owed == r.pending), Assert(owed + r.held <= 5), Assert(~dut.i_bus.ready | (owed != 0)),
            Assert(~r.held | r.on_bus | r.wedged), Assert(r.on_bus | r.wedged | (owed == 0)),
            Assert(~r.waiting | ~r.wedged),
        ]

    def _session(self, m: Module, dut: Link) -> None:
        """The protocol's rules once more."""
        r = dut.r
        opened, session, expected = Signal(init=self.warm), Signal(32, reset_less=True), Signal(8, init=self.warm, reset_less=True)
        allowed, turn = Signal(), Signal(48)
        with m.If(r.checking):
            m.d.sync += [turn.eq(r.ring), allowed.eq(0)]
            with m.If(r.ring[:8] == Type.HELLO):
                with m.If(r.length == 0):
                    m.d.sync += [opened.eq(1), session.eq(r.ring[8:40])]
                    with m.If(~opened | (session != r.ring[8:40])):
                        m.d.sync += expected.eq(1)
            with m.Elif(opened & (session == r.ring[8:40]) & (expected == r.ring[40:])):
                m.d.sync += [allowed.eq(1), expected.eq(expected + 1)]
        ours = opened & (session == r.ring[8:40]) & (r.ring[:8] != Type.HELLO)
        m.d.comb += Assert(~r.checking | (r.add_duplicates == (ours & r.stored & (r.ring[40:] == (expected - 1)[:8]))))
        m.d.comb += [
            Assert(~r.take | allowed),                                       # a request is executed once, in its turn
            Assert(~r.push | r.passing | allowed),                           # and only then the stored reply is replaced
            Assert(opened == r.opened), Assert((session == r.session) & (expected == r.expected)),
            Assert(~(r.keep & r.fetch)), Assert(~(r.push & r.sending)),      # no memory is read while it is written
        ]
        answering = r.heading | r.on_bus | r.local | r.summing | r.closing | r.sizing | r.waiting
        reading = (turn[:8] == Type.READ) & (r.status == Status.OK)
        m.d.comb += [
            Assert(~answering | r.passing | allowed), Assert(~(r.on_bus | r.sizing) | allowed), Assert(~(r.heading & reading) | allowed),
            Assert(~(r.on_bus | r.sizing | r.waiting | r.local) | (r.ring == turn)),
            Assert(~r.waiting | ((turn[:8] == Type.WAIT) & (r.index == 0))),
        ]
        with m.If(r.heading):
            m.d.comb += Assert(r.index < 10)
            with m.Switch(r.index):
                for index, turned in enumerate((0, 0, 1, 1, 2, 3, 4, 5, 6, 6)):
                    with m.Case(index):
                        m.d.comb += Assert(r.ring == Cat(turn[8 * turned:], turn[:8 * turned]))


PROOFS: dict[str, Callable[[Path | None], Proof]] = {
    "cobs_encoder": lambda folder: prove(EncoderRules(), name="cobs_encoder", depth=2, cover_depth=12, folder=folder),
    "cobs_decoder": lambda folder: prove(DecoderRules(), name="cobs_decoder", depth=2, cover_depth=12, folder=folder),
    "link": lambda folder: prove(LinkRules(warm=False), name="link", depth=2, cover_depth=19, folder=folder),
    "link_session": lambda folder: prove(LinkRules(warm=True), name="link_session", depth=2, cover_depth=22, folder=folder),
}
"""The proofs by name; each takes the folder that keeps results, or none."""
