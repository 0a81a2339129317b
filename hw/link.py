"""The device's end of the link: frames in, bus transactions, frames out."""
from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import C, Cat, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from ..frame import CRC_BYTES, HEADER_BYTES, Status, Type, WRITE_OVERHEAD
from ..registers import CAPABILITY_BYTES
from . import link_states
from .cobs import BYTE, CobsDecoder, CobsEncoder

__all__ = ["BUS_REQUEST", "BUS_RESPONSE", "COUNTERS", "Link"]

BUS_REQUEST = data.StructLayout({"address": unsigned(24), "write": 1, "data": unsigned(8)})
BUS_RESPONSE = data.StructLayout({"data": unsigned(8), "status": unsigned(8)})

COUNTERS = ("crc_errors", "framing_errors", "overflows", "duplicates", "gaps")


def _coded(content: int) -> int:
    """Bytes of a frame of ``content`` bytes, checksum included, at most."""
    return content + content // 254 + 2


class Link(wiring.Component):
    """Device side of the protocol of :mod:`mantissa.frame`.

    A request is buffered whole and executed only if its checksum is right; READ and WRITE become one bus request a byte,
    several of them in flight. The reply is built, coded, in a memory, so that it can be sent again. One byte per cycle when
    receiving, on the bus and when sending: a transfer of n bytes takes 2 n + some 70 cycles, plus what the bus takes. While a request is
    executed or answered ``rx`` is not ready.

    A frame that stops for ``idle_cycles`` is dropped. If the bus neither takes a request nor answers one for as long, the
    reply has status TIMEOUT, and so have all others until the bus has answered what it owes.

    After a wait's TIMEOUT the bytes of STATUS may be of different cycles.

    Parameters
    ----------
    capability : :class:`bytes`
        What HELLO returns, 64 bytes.
    payload : :class:`int`
        Bytes of data a frame can carry, a power of two from 16 to 1024.
    idle_cycles : :class:`int`
        Clock cycles after which a partial frame, or a bus that does not answer, is given up; 16 or more.
    counter_bits : :class:`int`
        Width of the counters, which wrap around; 1 to 32.

    Members
    -------
    rx : ``In(stream.Signature({"data": 8}))``
        Bytes from the host.
    tx : ``Out(stream.Signature({"data": 8}))``
        Bytes to the host.
    o_bus : ``Out(stream.Signature({"address": 24, "write": 1, "data": 8}))``
        Requests of one byte.
    i_bus : ``In(stream.Signature({"data": 8, "status": 8}))``
        Exactly one response per request, in order, not before the request is taken; ``status`` is one of
        :class:`~mantissa.frame.Status`. After one that is not OK, no further requests are issued.
    state : ``In(32)``
        The STATUS register, for WAIT.
    phy_framing, phy_overflow : ``In(1)``
        Strobes, counted with the frames dropped for the same reason.
    crc_errors, framing_errors, overflows, duplicates, gaps : ``Out(32)``
        Counters, as :data:`~mantissa.registers.REGISTERS` describes them.
    """

    def __init__(self, *, capability: bytes, payload: int, idle_cycles: int, counter_bits: int = 16) -> None:
        if not isinstance(capability, bytes):
            raise TypeError(f"Capability block must be bytes, not {capability!r}")
        if len(capability) != CAPABILITY_BYTES:
            raise ValueError(f"Capability block must be {CAPABILITY_BYTES} bytes, not {len(capability)}")
        for name, value, ok, rule in (
                ("Payload", payload, lambda n: 16 <= n <= 1024 and n & (n - 1) == 0, "a power of two from 16 to 1024"),
                ("Idle cycles", idle_cycles, lambda n: n >= 16, "an integer of at least 16"),
                ("Counter bits", counter_bits, lambda n: 1 <= n <= 32, "an integer from 1 to 32")):
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be {rule}, not {value!r}")
            if not ok(value):
                raise ValueError(f"{name} must be {rule}, not {value!r}")
        self.capability = capability
        self.payload = payload
        self.idle_cycles = idle_cycles
        self.counter_bits = counter_bits
        super().__init__({
            "rx": In(stream.Signature(BYTE)), "tx": Out(stream.Signature(BYTE)),
            "o_bus": Out(stream.Signature(BUS_REQUEST)), "i_bus": In(stream.Signature(BUS_RESPONSE)),
            "state": In(32), "phy_framing": In(1), "phy_overflow": In(1), **{name: Out(32) for name in COUNTERS},
        })
        self.r = self._registers()

    def elaborate(self, platform: object) -> Module:
        m, r = Module(), self.r
        self._units(m, r)
        self._memories(m, r)
        self._bus(m, r)
        self._address(m, r)
        self._timer(m, r)
        with m.FSM():
            link_states.receive(self, m, r)
            link_states.check(self, m, r)
            link_states.execute(self, m, r)
            link_states.reply(self, m, r)
        self._count(m, r)
        return m

    def _registers(self) -> SimpleNamespace:
        """Registers and wires by name.

        A request's header turns in a ring (type, nonce, sequence number): shifted in when received, once around when sent back.
        """
        kept, passing = _coded(HEADER_BYTES + self.payload + CRC_BYTES), _coded(HEADER_BYTES + CAPABILITY_BYTES + CRC_BYTES)
        request_bits = (self.payload + WRITE_OVERHEAD + CAPABILITY_BYTES - 1).bit_length()
        window = 1 << (passing - 1).bit_length()
        reply_bits = (kept + window - 1).bit_length()
        registers = {
            "ring": 48, "length": 16, "address": 32, "session": 32, "expected": 8, "opened": 1, "stored": 1, "status": 3, "passing": 1,
            "pending": 3, "read": 1, "fetched": 1, "fetched_data": 8,
            "held": 1, "held_write": 1, "held_data": 8, "wedged": 1, "expired": 1, "coded": 1, "last_sent": 1,
            "index": max(request_bits, reply_bits), "timer": self.idle_cycles.bit_length()}
        bits = ("token", "end", "receiving", "keep", "shift", "abort", "checking", "sizing", "fetch", "on_bus", "take", "accepted", "moved",
                "waiting", "heading", "local", "summing", "closing", "push", "pushed", "restart", "sending", "late",
                *(f"add_{name}" for name in COUNTERS))
        wires = {"byte": 8, "reply": 8, **dict.fromkeys(bits, 1)}
        kept_at_reset = ("opened", "stored", "status", "passing", "pending", "read", "fetched", "held", "wedged", "index", "coded")
        r = SimpleNamespace(**{name: Signal(width, name=name, reset_less=name in registers and name not in kept_at_reset)
                               for name, width in {**registers, **wires}.items()})
        r.request_bits, r.reply_bits, r.base = request_bits, reply_bits, (1 << reply_bits) - window
        r.type, r.nonce, r.sequence = r.ring[:8], r.ring[8:40], r.ring[40:]
        # comparisons with the payload's size, a power of two, without adders
        r.power = self.payload.bit_length() - 1
        r.brim, r.over = r.length[r.power], r.length[r.power + 1:].any()
        r.last = r.index == r.length[:len(r.index)]
        r.bus_idle = ~r.held & (r.pending == 0)
        r.decoder, r.encoder, r.crc = CobsDecoder(), CobsEncoder(address_width=reply_bits), CRC32_ISO_HDLC(8).create()
        init = [0] * ((1 << request_bits) - CAPABILITY_BYTES) + list(self.capability)
        r.requests = memory.Memory(shape=8, depth=1 << request_bits, init=init)
        # a byte, and whether it is the delimiter: told when written, since it is late when read
        r.replies = memory.Memory(shape=9, depth=1 << reply_bits, init=[])
        return r

    def _units(self, m: Module, r: SimpleNamespace) -> None:
        decoder, encoder, clear = r.decoder, r.encoder, Signal()
        m.d.comb += r.abort.eq(r.receiving & r.late)
        m.submodules.decoder = ResetInserter(r.abort)(decoder)
        m.submodules.encoder = ResetInserter(r.restart)(encoder)
        m.submodules.crc = ResetInserter(clear)(r.crc)
        wiring.connect(m, wiring.flipped(self.rx), decoder.i)
        m.d.comb += [
            decoder.o.ready.eq(r.receiving), r.token.eq(decoder.o.valid & r.receiving & ~decoder.o.p.end),
            r.end.eq(decoder.o.valid & r.receiving & decoder.o.p.end),
            r.byte.eq(Mux(r.receiving, decoder.o.p.data, r.reply)),
            encoder.i.valid.eq(r.push), encoder.i.p.data.eq(r.reply), encoder.i.p.end.eq(r.closing), encoder.o.ready.eq(1),
            r.pushed.eq(r.push & encoder.i.ready),
            # fed with its own complement the checksum moves on by a byte, so that all four leave by the lowest
            r.crc.data.eq(r.byte ^ r.summing.replicate(8)), r.crc.valid.eq(r.token | r.pushed),
            clear.eq(r.abort | r.restart | r.sending | r.end),
        ]

    def _memories(self, m: Module, r: SimpleNamespace) -> None:
        """Request payload, with the capability block at its end; coded replies, the stored one at 0, all others at ``base``.

        Neither is read where it is written in the same cycle, so collisions need no hardware: the last write of a reply, its delimiter,
        is done when its first byte is read.
        """
        m.submodules.requests, m.submodules.replies = r.requests, r.replies
        put, get, reply_put, reply_get = r.requests.write_port(), r.requests.read_port(), r.replies.write_port(), r.replies.read_port()
        r.read_data, r.sent = get.data, reply_get.data
        second = Mux(r.passing, r.base, 0)
        # a cycle after the encoder, whose answer depends on all of a state
        coded = Cat(reply_put.addr, reply_put.data)
        written = Signal(len(coded), name="coded_write", reset_less=True)
        m.d.sync += [written.eq(Cat(r.encoder.o.p.address | second, r.encoder.o.p.data, r.encoder.closing)), r.coded.eq(r.encoder.o.valid)]
        m.d.comb += [
            put.addr.eq(r.index), put.data.eq(r.decoder.o.p.data), put.en.eq(r.keep),
            get.addr.eq(Mux(r.type == Type.HELLO, Cat(r.index[:6], C(-1, r.request_bits - 6)), r.index)), get.en.eq(r.fetch),
            coded.eq(written), reply_put.en.eq(r.coded),
            reply_get.addr.eq(r.index | second), reply_get.en.eq(r.sending & (~self.tx.valid | self.tx.ready)),
        ]

    def _bus(self, m: Module, r: SimpleNamespace) -> None:
        """Bytes fetched from the request memory become bus requests; ``held`` tells that one is on offer."""
        o, i = self.o_bus, self.i_bus
        accepted, answered = r.accepted, Signal()
        m.d.comb += [
            o.valid.eq(r.held), o.p.address.eq(r.address), o.p.write.eq(r.held_write), o.p.data.eq(r.held_data),
            i.ready.eq((r.pending != 0) & (~r.on_bus | r.encoder.i.ready)),
            accepted.eq(r.held & o.ready), answered.eq(i.valid & i.ready), r.moved.eq(accepted | answered),
            r.take.eq(r.on_bus & r.fetched & (r.status == Status.OK) & ~r.pending[-1] & (~r.held | o.ready)),
        ]
        with m.If(accepted):
            m.d.sync += r.held.eq(0)
        with m.If(r.take):
            m.d.sync += [r.held.eq(1), r.held_write.eq(r.type == Type.WRITE), r.held_data.eq(r.fetched_data)]
        with m.If(accepted ^ answered):
            m.d.sync += r.pending.eq(Mux(accepted, r.pending + 1, r.pending - 1))

    def _address(self, m: Module, r: SimpleNamespace) -> None:
        """Address of the next bus request, or what is left of a wait's limit, complemented so that it too counts up."""
        # one cell a bit on iCE40: the second operand of the adder is the choice, and the sum matters only where it is 0
        grown = Signal(33)
        byte = r.decoder.o.p.data ^ (r.type == Type.WAIT).replicate(8)
        m.d.comb += grown.eq(r.address - (~r.shift).replicate(32))
        m.d.sync += r.expired.eq(~grown[-1])
        with m.If(r.shift | r.accepted | r.waiting):
            m.d.sync += r.address.eq(Mux(r.shift, Cat(r.address[8:], byte), grown))

    def _timer(self, m: Module, r: SimpleNamespace) -> None:
        """Runs while a partial frame, or the bus, makes no progress."""
        waiting = (r.receiving & ~r.decoder.idle & ~self.rx.valid) | (r.on_bus & ~r.moved)
        m.d.comb += r.late.eq(waiting & (r.timer == self.idle_cycles))
        m.d.sync += r.timer.eq(Mux(waiting & ~r.late, r.timer + 1, 0))

    def _count(self, m: Module, r: SimpleNamespace) -> None:
        extra = {"framing_errors": self.phy_framing, "overflows": self.phy_overflow}
        for name in COUNTERS:
            counter = Signal(self.counter_bits, name=name)
            event = Signal(name=f"event_{name}")
            m.d.sync += [event.eq(getattr(r, f"add_{name}") | extra.get(name, 0)), counter.eq(counter + event)]
            m.d.comb += getattr(self, name).eq(counter)
