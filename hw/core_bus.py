"""How a core answers its byte bus."""
from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring

from ..frame import Status
from ..registers import REGISTERS, Region
from .array_widths import delayed
from .bank import Bank
from .stream import Queue, room_for

__all__ = ["BUS_REPLY", "BUS_REQUEST", "COUNTERS", "answer"]

BUS_REQUEST = data.StructLayout({"address": 24, "write": 1, "data": 8})
BUS_REPLY = data.StructLayout({"data": 8, "status": 8})
COUNTERS = {"LINK_CRC": "crc_errors", "LINK_FRAMING": "framing_errors", "LINK_OVERFLOW": "overflows", "LINK_DUPLICATE": "duplicates",
            "LINK_GAP": "gaps"}
"""The link's counters, by register."""


def answer(m: Module, core: wiring.Component, banks: Mapping[Region, Bank], sequencer: wiring.Component, capability: bytes, *,
           room: int, far: bool) -> None:
    """Answers the requests of a core, one per cycle, whatever they are for: a byte of every memory is registered, then one of them.

    Nothing stalls on the way; a request is taken when there is room for its reply.

    Parameters
    ----------
    m
        Module of the core, to be added to.
    core
        Has the bus, ``i`` and ``o``, and the link's counters.
    banks
        Memories by region.
    sequencer
        Has ``control``, ``control_write``, ``status``, ``fault`` and ``cycles``.
    capability
        What the first registers say: as many bytes as a power of two.
    room
        Replies that may wait.
    far
        Whether much lies between the memories and the link: two cycles more.
    """
    i = core.i
    m.submodules.replies = replies = Queue(core.o.p.shape(), depth=room)
    wiring.connect(m, replies.o, wiring.flipped(core.o))
    # CONTROL is written a stage before the rest is looked at, as memories change hands a cycle after a program begins or ends.
    first, asked = Signal(BUS_REQUEST, reset_less=True), Signal(BUS_REQUEST, reset_less=True)
    taken, commanded = Signal(2), Signal()
    m.d.comb += i.ready.eq(room_for(m, room, core.o.valid & core.o.ready, i.valid & i.ready))
    m.d.sync += [taken.eq(Cat(i.valid & i.ready, taken)), first.eq(i.p), asked.eq(first)]
    take, region, offset, o = taken[1], asked.address[20:], asked.address[:20], replies.i.p
    held_region, held_offset, held_status, register, found = Signal(4), Signal(8), Signal(8), Signal(8), Signal(8)
    valid, bytes_ = Signal(3 + 2 * far), {name: Signal(8, name=f"byte_{name.name.lower()}") for name in banks}
    reply = Signal(BUS_REPLY, reset_less=True)
    chosen = Signal(data.StructLayout({"region": 4, "status": 8, "known": 8}), reset_less=True)
    m.d.comb += [replies.i.valid.eq(valid[-1]), o.eq(reply)]
    m.d.sync += [valid.eq(Cat(take, valid)), held_region.eq(region), held_offset.eq(offset), held_status.eq(Status.ADDRESS),
                 chosen.region.eq(held_region), chosen.status.eq(held_status), chosen.known.eq(register)]
    for _ in range(2 * far):
        late = Signal(chosen.shape(), reset_less=True)
        m.d.sync += late.eq(chosen)
        chosen = late
    m.d.sync += [reply.status.eq(chosen.status), reply.data.eq(found)]
    for name, byte in bytes_.items():
        early = int(far and not banks[name].near)
        m.d.sync += byte.eq(delayed(m, Const(1), banks[name].bus_value, early, f"early_{name.name.lower()}"))

    dynamic = {"STATUS": sequencer.status, "FAULT": sequencer.fault, "CYCLES": sequencer.cycles}
    dynamic |= {register: getattr(core, name) for register, name in COUNTERS.items()}
    size = 4 * len(REGISTERS)
    # in block memory, so that another identity is placed as this one is
    m.submodules.capability = fixed = memory.Memory(shape=8, depth=len(capability), init=capability, attrs={"ram_style": "block"})
    known = fixed.read_port()
    value: list[Value] = []
    for entry in REGISTERS[len(capability) // 4:]:
        source = Signal(32, name=entry.name.lower())
        m.d.comb += source.eq(dynamic.get(entry.name, 0))
        value += [source[8 * n:8 * n + 8] for n in range(4)]
    control = next(r.address for r in REGISTERS if r.name == "CONTROL")
    with m.If(take & (region == Region.REGISTERS) & (offset < size)):
        m.d.sync += held_status.eq(Status.OK)
    m.d.sync += commanded.eq(i.valid & i.ready & i.p.write & (i.p.address == (Region.REGISTERS << 20) + control))
    m.d.comb += [sequencer.control.eq(first.data), sequencer.control_write.eq(commanded)]
    within = len(known.addr)
    m.d.comb += [known.addr.eq(offset), register.eq(Mux(held_offset[within:] == 0, known.data, Array(value)[held_offset[:within]]))]
    with m.Switch(chosen.region):
        with m.Case(Region.REGISTERS):
            m.d.comb += found.eq(chosen.known)
        for name, byte in bytes_.items():
            with m.Case(name):
                m.d.comb += found.eq(byte)
    for name, bank in banks.items():
        ask, here = Signal(name=f"ask_{name.name.lower()}"), Signal(name=f"here_{name.name.lower()}")
        m.d.comb += ask.eq(taken[0] & (first.address[20:] == name) & (first.address[:20] < bank.bus_bytes))
        m.d.sync += here.eq(ask)
        with m.If(here):
            m.d.sync += held_status.eq(Mux(bank.busy, Status.BUSY, Status.OK))
        m.d.comb += [bank.bus_address.eq(first.address[:20]), bank.bus_enable.eq(ask), bank.bus_write.eq(first.write),
                     bank.bus_data.eq(first.data)]
        if not bank.bus_writes:
            with m.If(here & asked.write):
                m.d.sync += held_status.eq(Status.ADDRESS)
