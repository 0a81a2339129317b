"""Stream plumbing: buffers, forks, joins. Arbitration is in :mod:`.merge`, width conversion in :mod:`.width`.

All ports are Amaranth streams with a :class:`StructLayout` payload. On every output, valid and payload do not depend on
that output's ready, and hold until the transfer; a dependency of an input's ready on an output's ready is stated.
"""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Broadcast", "Join", "Queue", "Skid", "check_payload", "check_positive", "room_for"]


def check_payload(value: object) -> data.StructLayout:
    """Refuse what is not a payload's layout."""
    if not isinstance(value, data.StructLayout):
        raise TypeError(f"Payload must be a StructLayout, not {value!r}")
    return value


def check_positive(name: str, value: object, least: int = 1) -> int:
    """Refuse what is not an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer of at least {least}, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return value


def room_for(m: Module, room: int, left: ValueLike, entered: ValueLike) -> Value:
    """Whether one more transaction may enter what holds ``room``; ``left`` and ``entered`` tell of each that leaves and enters.

    Counts less one, so that it is the sign: nothing has to be compared in the cycle in which it decides.
    """
    more = Signal(signed((room - 1).bit_length() + 1), init=room - 1)
    m.d.sync += more.eq(more + left - entered)
    return ~more[-1]


class Skid(wiring.Component):
    """Register slice: one transfer per cycle, one cycle of latency, no combinational path in either direction.

    Holds two transactions, so that ``i.ready`` can be a register: it is low only while both are held.

    Parameters
    ----------
    payload
        Layout of both streams.

    Members
    -------
    i : ``In(stream.Signature(payload))``
    o : ``Out(stream.Signature(payload))``
        The transactions of ``i``, in order.
    """

    def __init__(self, payload: data.StructLayout) -> None:
        self.payload = check_payload(payload)
        super().__init__({"i": In(stream.Signature(payload)), "o": Out(stream.Signature(payload))})
        self.spare = Signal(payload, reset_less=True)
        self.full = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        output = Signal(self.payload, reset_less=True)
        m.d.comb += [self.i.ready.eq(~self.full), self.o.payload.eq(output)]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [output.eq(Mux(self.full, self.spare.as_value(), self.i.payload.as_value())),
                         self.o.valid.eq(self.full | self.i.valid), self.full.eq(0)]
        with m.Elif(self.i.valid & ~self.full):
            m.d.sync += [self.spare.eq(self.i.payload), self.full.eq(1)]
        return m


class Queue(wiring.Component):
    """First-in first-out buffer of ``depth`` transactions, one transfer per cycle each way.

    ``i.ready`` is low only when ``depth`` transactions are held. Without ``memory`` the store is read without a clock
    (registers or LUT memory) and a transaction is on ``o`` one cycle after its transfer on ``i``. With ``memory`` the read
    is registered, as block memory wants, and it takes two cycles; a word is never read in the cycle in which it is
    written, so the memory's collision behaviour does not matter. No combinational path in either direction.

    Parameters
    ----------
    payload
        Layout of both streams.
    depth
        Transactions held, 1 or more; 2 or more for a throughput of one per cycle (3 with ``memory``).
    memory
        Whether the read is registered.

    Members
    -------
    i : ``In(stream.Signature(payload))``
    o : ``Out(stream.Signature(payload))``
        The transactions of ``i``, in order.
    level : ``Out(range(depth + 1))``
        Transactions held.
    """

    def __init__(self, payload: data.StructLayout, *, depth: int, memory: bool = False) -> None:
        self.payload = check_payload(payload)
        self.depth = check_positive("Queue depth", depth)
        if not isinstance(memory, bool):
            raise TypeError(f"Queue memory must be True or False, not {memory!r}")
        self.memory = memory
        super().__init__({"i": In(stream.Signature(payload)), "o": Out(stream.Signature(payload)), "level": Out(range(depth + 1))})
        self.store = _memory(payload.as_shape().width, depth)
        self.first = Signal(range(depth))
        self.next = Signal(range(depth))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.store = self.store
        write = self.store.write_port()
        read = self.store.read_port(domain="sync" if self.memory else "comb")
        push, pop = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        first = Signal(range(self.depth))
        m.d.comb += [
            self.i.ready.eq(self.level != self.depth), self.o.payload.eq(read.data),
            write.addr.eq(self.next), write.data.eq(self.i.payload), write.en.eq(push),
            first.eq(Mux(pop, _after(self.first, self.depth), self.first)), read.addr.eq(first if self.memory else self.first),
        ]
        m.d.sync += [self.first.eq(first), self.level.eq(self.level + push - pop)]
        with m.If(push):
            m.d.sync += self.next.eq(_after(self.next, self.depth))
        if self.memory:
            m.d.sync += self.o.valid.eq((self.level - pop) != 0)        # what is written now can be read from the next cycle
        else:
            m.d.comb += self.o.valid.eq(self.level != 0)
        return m


def _memory(width: int, depth: int) -> memory.Memory:
    return memory.Memory(shape=unsigned(width), depth=depth, init=[])


def _after(pointer: Signal, depth: int):
    return Mux(pointer == depth - 1, 0, pointer + 1)


class Broadcast(wiring.Component):
    """Copy of every transaction to each of ``n`` outputs, each of which may take it when it likes.

    No latency: payload and valid pass through. ``i.ready`` depends on the outputs' ready; a transaction leaves ``i`` in the
    cycle in which the last output takes it.

    Parameters
    ----------
    payload
        Layout of all streams.
    n
        Outputs, 1 or more.

    Members
    -------
    i : ``In(stream.Signature(payload))``
    o_0 ... : ``Out(stream.Signature(payload))``
        The transactions of ``i``, in order.
    """

    def __init__(self, payload: data.StructLayout, *, n: int) -> None:
        self.payload = check_payload(payload)
        self.n = check_positive("Broadcast n", n)
        super().__init__({"i": In(stream.Signature(payload)), **{f"o_{k}": Out(stream.Signature(payload)) for k in range(n)}})
        self.done = Signal(n)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outputs = [getattr(self, f"o_{k}") for k in range(self.n)]
        taken = self.done | Cat(o.ready for o in outputs)
        m.d.comb += self.i.ready.eq(taken.all())
        for k, o in enumerate(outputs):
            m.d.comb += [o.payload.eq(self.i.payload), o.valid.eq(self.i.valid & ~self.done[k])]
        with m.If(self.i.valid):
            m.d.sync += self.done.eq(Mux(self.i.ready, 0, taken))
        return m


class Join(wiring.Component):
    """One transaction of every input, side by side, on the output.

    No latency: ``o.valid`` is every input's valid. An input's ready depends on ``o.ready`` and on all inputs' valid.

    Parameters
    ----------
    payloads
        Port suffix -> layout of that input; field names must differ between inputs.

    Members
    -------
    i_<name> : ``In(stream.Signature(payloads[name]))``
    o : ``Out(stream.Signature(...))``
        The fields of all inputs.
    """

    def __init__(self, payloads: dict[str, data.StructLayout]) -> None:
        if not isinstance(payloads, dict) or not payloads:
            raise TypeError(f"Join payloads must be a dict of at least one StructLayout, not {payloads!r}")
        self.payloads = payloads
        fields: dict[str, object] = {}
        for layout in payloads.values():
            for name, shape in check_payload(layout).members.items():
                if name in fields:
                    raise ValueError(f"Join fields must differ between inputs, not {name!r} twice")
                fields[str(name)] = shape
        super().__init__({**{f"i_{name}": In(stream.Signature(layout)) for name, layout in payloads.items()},
                          "o": Out(stream.Signature(data.StructLayout(fields)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inputs = [getattr(self, f"i_{name}") for name in self.payloads]
        m.d.comb += self.o.valid.eq(Cat(i.valid for i in inputs).all())
        for i, layout in zip(inputs, self.payloads.values(), strict=True):
            m.d.comb += i.ready.eq(self.o.valid & self.o.ready)
            m.d.comb += [self.o.payload[name].eq(i.payload[name]) for name in layout.members]
        return m
