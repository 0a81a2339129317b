"""The states of a :class:`~.link.Link`: reception, check, execution, reply. ``r`` has its registers and wires."""
from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value

from ..frame import CRC_BYTES, REPLY, Status, Type, WRITE_OVERHEAD
from ..registers import ABI, CAPABILITY_BYTES, State

if TYPE_CHECKING:
    from .link import Link

__all__ = ["check", "execute", "receive", "reply"]


def receive(link: Link, m: Module, r: SimpleNamespace) -> None:
    """A frame into the registers and the request memory; whatever is wrong with it, back to its end."""
    with m.State("HEADER"):
        with m.If(r.token):
            m.d.sync += r.index.eq(r.index + 1)
            with m.Switch(r.index):
                with m.Case(0):
                    with m.If(r.byte != ABI):
                        m.d.comb += r.add_framing_errors.eq(1)
                        m.next = "SKIP"
                    with m.If(r.bus_idle):
                        m.d.sync += r.wedged.eq(0)
                with m.Case(1, 3, 4, 5, 6, 7):
                    m.d.sync += r.ring.eq(Cat(r.ring[8:], r.decoder.o.p.data))
                with m.Case(8):
                    m.d.sync += r.length.eq(Cat(r.length[8:], r.byte))
                with m.Case(9):
                    m.d.sync += [r.length.eq(Cat(r.length[8:], r.byte)), r.index.eq(0)]
                    m.next = "PAYLOAD"
        _receiving(m, r)
    with m.State("PAYLOAD"):
        with m.If(r.token):
            m.d.sync += r.index.eq(r.index + 1)
            with m.If(r.over | r.brim & (r.length[3:r.power].any() | (r.length[2] & r.length[:2].any()))):
                m.d.comb += r.add_overflows.eq(1)
                m.next = "SKIP"
            with m.Elif(r.last):
                m.d.sync += r.index.eq(1)
                m.next = "TAIL"
            with m.Else():
                m.d.comb += r.keep.eq(1)
                m.d.comb += r.shift.eq((r.index[2:] == 0) & ~r.wedged)
        _receiving(m, r)
    with m.State("TAIL"):
        with m.If(r.token):
            m.d.sync += r.index.eq(r.index + 1)
            with m.If(r.index == CRC_BYTES):
                m.d.comb += r.add_framing_errors.eq(1)
                m.next = "SKIP"
        _receiving(m, r, whole=(r.index == CRC_BYTES) & ~r.decoder.o.p.error)
    with m.State("SKIP"):
        _receiving(m, r, counted=True)


def _receiving(m: Module, r: SimpleNamespace, *, whole: Value | None = None, counted: bool = False) -> None:
    """What all states of reception do with the end of a frame, and with a frame that stops."""
    m.d.comb += r.receiving.eq(1)
    with m.If(r.end | r.abort):
        m.d.sync += r.index.eq(0)
        m.next = "HEADER"
        if not counted:
            m.d.comb += r.add_framing_errors.eq(1)
    if whole is not None:
        with m.If(r.end & whole):
            m.d.comb += [r.add_framing_errors.eq(0), r.add_crc_errors.eq(~r.crc.match_detected)]
            with m.If(r.crc.match_detected):
                m.d.sync += r.index.eq(WRITE_OVERHEAD)
                m.next = "CHECK"


def check(link: Link, m: Module, r: SimpleNamespace) -> None:
    """A sound frame is in; ``index`` is 4."""
    same, reply = Signal(), lambda status, length=0: [r.status.eq(status), r.length.eq(length)]
    m.d.comb += same.eq(r.opened & (r.nonce == r.session))
    with m.State("CHECK"):
        m.d.comb += [r.checking.eq(1), r.fetch.eq(1)]
        m.d.sync += [r.status.eq(Status.OK), r.passing.eq(1), r.index.eq(0)]
        m.next = "HEAD"
        with m.If(r.type == Type.HELLO):
            with m.If(r.length != 0):
                m.d.sync += reply(Status.LENGTH)
            with m.Else():
                m.d.sync += [r.length.eq(CAPABILITY_BYTES), r.session.eq(r.nonce), r.opened.eq(1)]
                with m.If(~same):
                    m.d.sync += [r.expected.eq(1), r.stored.eq(0)]
        with m.Elif(~same):
            m.d.comb += r.add_gaps.eq(1)
            m.d.sync += reply(Status.SESSION)
        with m.Elif(r.sequence == r.expected):
            m.d.sync += [r.expected.eq(r.expected + 1), r.stored.eq(1), r.passing.eq(0)]
            _begin(m, r, reply)
        with m.Elif(r.stored & ((r.sequence + 1)[:8] == r.expected)):
            m.d.comb += r.add_duplicates.eq(1)
            m.d.sync += r.passing.eq(0)
            m.next = "SEND"
        with m.Else():
            m.d.comb += r.add_gaps.eq(1)
            m.d.sync += reply(Status.GAP, 1)
    with m.State("SIZE"):
        # a READ's length comes out of the request memory, byte after byte
        m.d.comb += [r.sizing.eq(1), r.fetch.eq(1)]
        m.d.sync += [r.length.eq(Cat(r.length[8:], r.read_data)), r.index.eq(r.index + 1)]
        with m.If(r.index[1]):
            m.next = "FIT"
    with m.State("FIT"):
        m.d.comb += r.sizing.eq(1)
        m.d.sync += r.index.eq(0)
        with m.If(r.over | r.brim & r.length[:r.power].any()):
            m.d.sync += reply(Status.LENGTH)
        m.next = "HEAD"


def _begin(m: Module, r: SimpleNamespace, reply: Callable[..., list[Any]]) -> None:
    """Execution of the request that is next in its session."""
    beyond = r.address[24:] != 0
    with m.If(r.wedged):
        m.d.sync += reply(Status.TIMEOUT)
    with m.Elif((r.type == Type.READ) & (r.length == 6)):
        with m.If(beyond):
            m.d.sync += reply(Status.ADDRESS)
        with m.Else():
            m.d.sync += r.index.eq(WRITE_OVERHEAD + 1)
            m.next = "SIZE"
    with m.Elif((r.type == Type.WRITE) & r.length[2:].any()):
        with m.If(beyond):
            m.d.sync += reply(Status.ADDRESS)
        with m.Else():
            m.d.sync += r.index.eq(WRITE_OVERHEAD)
            m.next = "BUS"
    with m.Elif((r.type == Type.WAIT) & (r.length == 4)):
        m.next = "WAIT"
    with m.Elif((r.type == Type.READ) | (r.type == Type.WRITE) | (r.type == Type.WAIT)):
        m.d.sync += reply(Status.LENGTH)
    with m.Else():
        m.d.sync += reply(Status.TYPE)


def execute(link: Link, m: Module, r: SimpleNamespace) -> None:
    """WRITE, the data of READ, and WAIT."""
    response, writing = link.i_bus, r.type == Type.WRITE
    good = response.valid & (r.pending != 0) & (response.p.status[:3] == 0) & (r.status == Status.OK)
    failed = r.status != Status.OK
    with m.State("BUS"):
        m.d.comb += [r.on_bus.eq(1), r.reply.eq(response.p.data), r.push.eq(good & ~writing)]
        _fetch(m, r, ~failed, r.take, r.read_data)
        with m.If(response.valid & response.ready & ~failed):
            m.d.sync += r.status.eq(response.p.status)
        with m.If(r.bus_idle & (failed | (~r.read & ~r.fetched & r.last))):
            m.d.sync += r.index.eq(0)
            m.next = "SUM"
            with m.If(failed | writing):
                _answer_empty(m, r)
        with m.If(r.late):
            m.d.sync += [r.wedged.eq(1), r.status.eq(Status.TIMEOUT)]
            _answer_empty(m, r)
    with m.State("WAIT"):
        m.d.comb += r.waiting.eq(1)
        with m.If((link.state[:8] != State.RUNNING) | r.expired | ~r.decoder.idle):
            m.d.sync += r.status.eq(Mux(link.state[:8] != State.RUNNING, Status.OK, Status.TIMEOUT))
            m.next = "HEAD"


def _answer_empty(m: Module, r: SimpleNamespace) -> None:
    """Build the reply from its beginning, with the status there is by now and no payload."""
    m.d.comb += r.restart.eq(1)
    m.d.sync += [r.index.eq(0), r.length.eq(0), r.read.eq(0), r.fetched.eq(0)]
    m.next = "HEAD"


def _fetch(m: Module, r: SimpleNamespace, more: Value, taken: Value, byte: Value) -> None:
    """Read the request memory from ``index`` to ``length``.

    ``read`` tells that byte ``index - 1`` is out of it, ``fetched`` that ``fetched_data`` has one: ``byte``, when it was out.
    """
    free = ~r.fetched | taken
    with m.If(free):
        m.d.sync += [r.fetched.eq(r.read), r.fetched_data.eq(byte)]
    with m.If(more & ~r.last & (~r.read | free)):
        m.d.comb += r.fetch.eq(1)
        m.d.sync += [r.index.eq(r.index + 1), r.read.eq(1)]
    with m.Elif(free):
        m.d.sync += r.read.eq(0)


def reply(link: Link, m: Module, r: SimpleNamespace) -> None:
    """The reply into the reply memory, then out; or the one that is there once more."""
    with m.State("HEAD"):
        m.d.comb += [r.heading.eq(1), r.push.eq(1)]
        with m.If(r.pushed):
            m.d.sync += r.index.eq(r.index + 1)
        with m.Switch(r.index):
            with m.Case(0):
                m.d.comb += r.reply.eq(ABI)
            with m.Case(1, 3, 4, 5, 6, 7):
                m.d.comb += r.reply.eq(r.type | Mux(r.index[1:] == 0, REPLY, 0))
                with m.If(r.pushed):
                    m.d.sync += r.ring.eq(Cat(r.ring[8:], r.ring[:8]))
            with m.Case(2):
                m.d.comb += r.reply.eq(r.status)
            with m.Case(8):
                m.d.comb += r.reply.eq(r.length[:8])
            with m.Default():
                m.d.comb += r.reply.eq(r.length[8:])
                with m.If(r.pushed):
                    m.d.sync += r.index.eq(0)
                    m.next = "DATA"
                    with m.If((r.type == Type.READ) & (r.status == Status.OK)):
                        m.next = "BUS"
    with m.State("DATA"):
        # the byte before index of STATUS
        status = Array(link.state.word_select(n, 8) for n in (3, 0, 1, 2))
        byte = Mux(r.status == Status.GAP, r.expected, Mux(r.type == Type.WAIT, status[r.index[:2]], r.read_data))
        m.d.comb += [r.local.eq(1), r.push.eq(r.fetched), r.reply.eq(r.fetched_data)]
        _fetch(m, r, C(1), r.pushed, byte)
        with m.If(~r.read & ~r.fetched & r.last):
            m.d.sync += r.index.eq(0)
            m.next = "SUM"
    with m.State("SUM"):
        m.d.comb += [r.summing.eq(1), r.push.eq(1), r.reply.eq(r.crc.crc[:8])]
        with m.If(r.pushed):
            m.d.sync += r.index.eq(r.index + 1)
            with m.If(r.index == CRC_BYTES - 1):
                m.d.sync += r.index.eq(0)
                m.next = "CLOSE"
    with m.State("CLOSE"):
        m.d.comb += [r.push.eq(1), r.closing.eq(1)]
        with m.If(r.pushed):
            m.next = "SEND"
    with m.State("SEND"):
        m.d.comb += r.sending.eq(1)
        with m.If(~link.tx.valid | link.tx.ready):
            m.d.sync += [r.index.eq(r.index + 1), r.read.eq(1), link.tx.valid.eq(r.read), Cat(link.tx.p.data, r.last_sent).eq(r.sent)]
            with m.If(link.tx.valid & r.last_sent):
                m.d.sync += [r.index.eq(0), r.read.eq(0), link.tx.valid.eq(0)]
                m.next = "HEADER"
