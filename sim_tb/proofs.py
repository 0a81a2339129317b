"""What the stream plumbing does, proved: each unit beside a model, for any inputs, any stalls and a reset at any time."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream, wiring

from ..hw.merge import Arbiter
from ..hw.stream import Broadcast, Queue, Skid
from ..hw.width import Deserialize, Serialize
from .contract import steady

__all__ = ["PROOFS", "ArbiterProof", "BroadcastProof", "DeserializeProof", "QueueProof", "SerializeProof", "SkidProof"]

SMALL = data.StructLayout({"data": 3})
"""Payload of the proofs: the units look at no payload, so its width does not matter."""


def _any_input(m: Module, i: stream.Interface, name: str = "i") -> None:
    """Offer anything the stream rules allow."""
    m.d.comb += [i.valid.eq(AnySeq(1)), i.payload.as_value().eq(AnySeq(len(i.payload.as_value())))]
    kept, _ = steady(m, i, name=name)
    m.d.comb += Assume(kept)


class _Model:
    """A first-in first-out list of ``depth`` values, as registers: what a buffer is held against."""

    def __init__(self, m: Module, depth: int, *, push: Signal, value: Signal, pop: Signal) -> None:
        self.held = [Signal(len(value), name=f"model_{n}") for n in range(depth)]
        self.level = Signal(range(depth + 1), name="model_level")
        after = self.level - pop
        m.d.sync += self.level.eq(after + push)
        for n, cell in enumerate(self.held):
            moved = Mux(pop, self.held[n + 1] if n + 1 < depth else 0, cell)
            m.d.sync += cell.eq(Mux(push & (after == n), value, moved))


class SkidProof(Elaboratable):
    """A :class:`Skid` is a list of two: nothing lost, doubled, changed or overtaken; full speed, and ready while there is room."""

    def __init__(self, dut: Skid | None = None) -> None:
        self.dut = dut or Skid(SMALL)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        _any_input(m, dut.i)
        push, pop, value = Signal(), Signal(), Signal(3)
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready),
                     value.eq(dut.i.payload.as_value())]
        model = _Model(m, 2, push=push, value=value, pop=pop)
        m.d.comb += [
            Assert(dut.i.ready == (model.level != 2)), Assert(dut.o.valid == (model.level != 0)), Assert(model.level <= 2),
            Assert(~dut.o.valid | (dut.o.payload.as_value() == model.held[0])),
            Assert(~dut.full | (dut.spare.as_value() == model.held[1])),
            Cover(dut.full), Cover(push & pop & dut.o.valid),
        ]
        return m


class QueueProof(Elaboratable):
    """A :class:`Queue` is a list of ``depth``: nothing lost, doubled, changed or overtaken, and ready while there is room."""

    def __init__(self, dut: Queue) -> None:
        self.dut = dut
        self.looks = [dut.store.read_port(domain="comb") for _ in range(dut.depth)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        _any_input(m, dut.i)
        push, pop, value, full = Signal(), Signal(), Signal(3), Signal()
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready),
                     value.eq(dut.i.payload.as_value()), full.eq(dut.level == dut.depth)]
        model = _Model(m, dut.depth, push=push, value=value, pop=pop)
        end = Signal(range(2 * dut.depth + 1))
        m.d.comb += [
            end.eq(dut.first + dut.level), Assert(dut.level == model.level), Assert(dut.level <= dut.depth), Assert(dut.first < dut.depth),
            Assert(dut.next == Mux(end >= dut.depth, end - dut.depth, end)), Assert(dut.i.ready == ~full),
            Assert(~dut.o.valid | (dut.level != 0)), Assert(~dut.o.valid | (dut.o.payload.as_value() == model.held[0])),
            Cover(full), Cover(push & pop if dut.depth > 1 else pop), Cover(pop & (dut.first == dut.depth - 1)),
        ]
        for n, look in enumerate(self.looks):
            place = Signal(range(2 * dut.depth + 1), name=f"place_{n}")
            m.d.comb += [place.eq(dut.first + n), look.addr.eq(Mux(place >= dut.depth, place - dut.depth, place)),
                         Assert((dut.level <= n) | (look.data == model.held[n]))]
        late = Signal()                                        # held for a whole cycle, so it must be on the output
        m.d.sync += late.eq((dut.level - pop) != 0)
        m.d.comb += Assert(dut.o.valid == (late if dut.memory else dut.level != 0))
        return m


class BroadcastProof(Elaboratable):
    """Every output of a :class:`Broadcast` takes every transaction once, before or as ``i`` moves on."""

    def __init__(self, dut: Broadcast | None = None) -> None:
        self.dut = dut or Broadcast(SMALL, n=3)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        _any_input(m, dut.i)
        for n in range(dut.n):
            o, taken = getattr(dut, f"o_{n}"), Signal(name=f"taken_{n}")
            m.d.comb += o.ready.eq(AnySeq(1))
            now = o.valid & o.ready
            m.d.sync += taken.eq(Mux(dut.i.valid & dut.i.ready, 0, taken | now))
            m.d.comb += [
                Assert(~(now & taken)), Assert(~(dut.i.valid & dut.i.ready) | now | taken), Assert(dut.done[n] == taken),
                Assert(~o.valid | (o.payload.as_value() == dut.i.payload.as_value())), Assert(~o.valid | dut.i.valid),
                Cover(now & (dut.done != 0)),
            ]
        return m


class ArbiterProof(Elaboratable):
    """An :class:`Arbiter`, seen from any one input ``k``: what enters leaves next, unchanged and marked ``k``, nothing else is marked
    ``k``, and while ``k`` waits at most ``n - 1`` transfers of others are let in.
    """

    def __init__(self, dut: Arbiter | None = None) -> None:
        self.dut = dut or Arbiter(SMALL, n=3)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        inputs = [getattr(dut, f"i_{n}") for n in range(dut.n)]
        for n, i in enumerate(inputs):
            _any_input(m, i, f"i_{n}")
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        watched = AnyConst(range(dut.n))
        k, entered, left, value, waits = Signal(range(dut.n)), Signal(), Signal(), Signal(3), Signal()
        into = Cat(i.valid & i.ready for i in inputs)
        m.d.comb += [
            k.eq(watched), Assume(k < dut.n), entered.eq(into.bit_select(k, 1)),
            left.eq(dut.o.valid & dut.o.ready & (dut.o.payload.source == k)),
            value.eq(Array(i.payload.as_value() for i in inputs)[k]), waits.eq(Array(i.valid for i in inputs)[k] & ~entered),
        ]
        held, last, others = Signal(), Signal(3), Signal(range(dut.n + 1))
        m.d.sync += [held.eq(Mux(entered, 1, held & ~left)), others.eq(Mux(waits, others + (into != 0), 0))]
        with m.If(entered):
            m.d.sync += last.eq(value)
        # `last` served input is how far round robin has come: the distance still to go bounds what others may yet take.
        distance = Signal(range(dut.n + 1))
        m.d.comb += distance.eq(Mux(k > dut.last, k - dut.last, k + dut.n - dut.last))
        m.d.comb += [
            Assert(held == (dut.o.valid & (dut.o.payload.source == k))), Assert(~held | (dut.o.payload.data == last)),
            Assert(~(entered & held & ~left)), Assert(dut.last < dut.n), Assert(others + distance <= dut.n), Assert(others <= dut.n - 1),
            Assert((into & (into - 1)[:dut.n]) == 0),
            Cover(left & entered), Cover((others == dut.n - 1) & entered),
        ]
        return m


class SerializeProof(Elaboratable):
    """A :class:`Serialize` gives element ``index`` of its input, index by index from 0, and takes the input with its last element."""

    def __init__(self, dut: Serialize | None = None) -> None:
        self.dut = dut or Serialize(3, n=3)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        _any_input(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        given, sent = Signal(range(dut.n + 1)), Signal()
        m.d.comb += sent.eq(dut.o.valid & dut.o.ready)
        with m.If(sent):
            m.d.sync += given.eq(Mux(dut.i.ready, 0, given + 1))
        m.d.comb += [
            Assert(given < dut.n), Assert(dut.index == given), Assert((dut.i.valid & dut.i.ready) == (sent & (given == dut.n - 1))),
            Assert(dut.o.valid == dut.i.valid), Cover(sent & (given == dut.n - 1)),
        ]
        for n in range(dut.n):
            m.d.comb += Assert(~dut.o.valid | (given != n) | (dut.o.payload.data == dut.i.payload.data[n]))
        return m


class DeserializeProof(Elaboratable):
    """A :class:`Deserialize` gives the last ``n`` values it took, oldest first, each once."""

    def __init__(self, dut: Deserialize | None = None) -> None:
        self.dut = dut or Deserialize(3, n=3)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut
        _any_input(m, dut.i)
        push, pop, value = Signal(), Signal(), Signal(3)
        m.d.comb += [dut.o.ready.eq(AnySeq(1)), push.eq(dut.i.valid & dut.i.ready), pop.eq(dut.o.valid & dut.o.ready),
                     value.eq(dut.i.payload.data)]
        past, taken, whole = [Signal(3, name=f"past_{n}") for n in range(dut.n)], Signal(range(dut.n + 1)), Signal()
        m.d.comb += whole.eq(push & (taken == dut.n - 1))
        with m.If(push):
            m.d.sync += [cell.eq(earlier) for cell, earlier in zip(past, [value, *past], strict=False)]
            m.d.sync += taken.eq(Mux(whole, 0, taken + 1))
        owed = Signal()
        m.d.sync += owed.eq(whole | (owed & ~pop))
        m.d.comb += [Assert(taken < dut.n), Assert(dut.index == taken), Assert(dut.o.valid == owed), Assert(~owed | (taken == 0)),
                     Assert(~(whole & owed & ~pop)), Cover(pop & push), Cover(whole)]
        for n in range(dut.n):
            m.d.comb += Assert(~owed | (dut.o.payload.data[n] == past[dut.n - 1 - n]))
            for level in range(n + 1, dut.n):
                m.d.comb += Assert(owed | (taken != level) | (dut.o.payload.data[n] == past[level - 1 - n]))
        return m


def _queue(depth: int, memory: bool) -> Callable[[], wiring.Component | Elaboratable]:
    return lambda: QueueProof(Queue(SMALL, depth=depth, memory=memory))


PROOFS: Mapping[str, Callable[[], wiring.Component | Elaboratable]] = {
    "skid_order": SkidProof, "broadcast_order": BroadcastProof, "arbiter_order": ArbiterProof, "serialize_order": SerializeProof,
    "deserialize_order": DeserializeProof,
    **{f"queue_order_d{depth}{'_memory' * memory}": _queue(depth, memory) for depth, memory in
       ((1, False), (2, False), (3, False), (4, True), (5, True), (1, True))},
}
"""Every proof, by name; for :func:`.formal.prove`."""
