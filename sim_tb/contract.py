"""The stream contract of any component, to be proved."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
import numpy as np

from ..design import Design
from ..hw.array_weight import WeightStationary
from ..hw.designs_between import Guarded
from ..hw.designs_memory import Ordered, Strict
from ..hw.engine import Accumulate
from ..hw.mac_wide import MacWide
from ..hw.memory_guard import Guard
from ..hw.payload import ports
from ..hw.stream import Queue
from ..hw.ternary_engine import TernaryEngine
from .formal import Proof, ProofError, prove
from .paths import paths
from .simulate import raw_streams, simulate

__all__ = ["INVARIANTS", "Contract", "prove_contract", "steady"]


def steady(m: Module, port: stream.Interface, *, name: str) -> tuple[Signal, Signal]:
    """(kept, waited): whether ``port`` now keeps what it offered and nobody took in the last cycle; whether there was such.

    To be asserted of outputs and assumed of inputs. A reset makes the port forget.
    """
    waited, kept = Signal(name=f"{name}_waited"), Signal(name=f"{name}_kept")
    last = Signal(len(port.payload.as_value()), name=f"{name}_last")
    m.d.sync += [waited.eq(port.valid & ~port.ready), last.eq(port.payload.as_value())]
    m.d.comb += kept.eq(~waited | (port.valid & (port.payload.as_value() == last)))
    return kept, waited


def _queue(dut: Queue) -> list[Value]:
    held = dut.first + dut.level
    return [dut.level <= dut.depth, dut.first < dut.depth, dut.next == Mux(held >= dut.depth, held - dut.depth, held),
            ~dut.o.valid | (dut.level != 0)]


def _array(dut: WeightStationary) -> list[Value]:
    return _queue(dut.queue) if dut.queue else []


def _wide(dut: MacWide) -> list[Value]:
    """One sum at most is between the lowest segment and the output, and the registers are its own."""
    busy = Cat(dut.finishing[1:], dut.o.valid)
    return [dut.kept == busy.any(), (busy & (busy - 1)) == 0]


def _guard(dut: Guard) -> list[Value]:
    """Bursts written are in one list until their words have come, and in the other until they are done."""
    queues = (dut.reading, dut.coming, dut.ending, *dut.passed.values(), dut.words_passed)
    return [*(rule for queue in queues for rule in _queue(queue)), dut.ending.level == dut.coming.level + dut.whole]


def _guarded(dut: Guarded) -> list[Value]:
    return _guard(dut.guard)


def _sdram(dut: Strict) -> list[Value]:
    return [*_queue(dut.controller.words_in), *_queue(dut.controller.words_out)]


def _ordered(dut: Ordered) -> list[Value]:
    return _invariants(dut.memory)


def _ternary(dut: TernaryEngine) -> list[Value]:
    """A command begins where none is under way."""
    return [~dut.begin | (dut.looking & ~dut.issuing)]


INVARIANTS: dict[type, Callable[[Any], Iterable[Value]]] = {
    Queue: _queue, WeightStationary: _array, Accumulate: lambda dut: _queue(dut.queue), MacWide: _wide,
    Guard: _guard, Guarded: _guarded, Ordered: _ordered, Strict: _sdram,
    TernaryEngine: _ternary}
"""What makes a component's contract inductive: proved along with it."""


def _invariants(dut: wiring.Component) -> list[Value]:
    return list(INVARIANTS[type(dut)](dut)) if type(dut) in INVARIANTS else []


STIMULI = 16
"""Simulated until there was a transfer on each output that had to wait: on some there is one transfer at most in each."""


class Contract(Elaboratable):
    """A component whose inputs do anything the stream rules allow, and whose outputs must follow them.

    Asserts that on every output valid does not fall, nor the payload change, before the transfer. Inputs that are not streams
    are arbitrary. With ``covers``: for every output, a transfer, and one that had to wait.
    """

    def __init__(self, component: wiring.Component, *, covers: bool = True) -> None:
        self.component = component
        self.covers = covers

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.component
        inputs, outputs = ports(dut)
        for name in inputs:
            i = getattr(dut, name)
            m.d.comb += [i.valid.eq(AnySeq(1)), i.payload.as_value().eq(AnySeq(len(i.payload.as_value())))]
            kept, _ = steady(m, i, name=name)
            m.d.comb += Assume(kept)
        for name in outputs:
            o = getattr(dut, name)
            m.d.comb += o.ready.eq(AnySeq(1))
            kept, waited = steady(m, o, name=name)
            m.d.comb += Assert(kept)
            if self.covers:
                m.d.comb += [Cover(o.valid & o.ready), Cover(o.valid & o.ready & waited)]
        for rule in _invariants(dut):
            m.d.comb += Assert(rule)
        for name, member in dut.signature.members.items():
            if member.is_port and member.flow is wiring.In:
                signal = getattr(dut, name)
                m.d.comb += Value.cast(signal).eq(AnySeq(len(Value.cast(signal))))
        return m


def prove_contract(design: Design, *, depth: int = 2, library: Sequence[Path] = (), folder: Path | None = None) -> Proof:
    """Prove the stream contract of ``design``, multipliers cut, and that no output's valid or payload looks at any ready.

    The covers, a transfer and a transfer that had to wait on every output, are reached by simulation of its stimulus.

    Raises
    ------
    ProofError
        If it does not hold.
    """
    for start, ends in paths(design.component(), library=library).items():
        wrong = [end for end in ends if start.endswith(".ready") and not end.endswith(".ready")]
        if wrong:
            raise ProofError(f"Proof {design.name} has a combinational path from {start} to {wrong[0]}")
    witnessed = _witness(design)

    def attempt(cut: bool) -> Proof:
        return prove(Contract(design.component(), covers=False), name=design.name, depth=depth, cover_depth=None, witnessed=witnessed,
                     cut=cut, library=library, folder=folder)
    try:
        return attempt(True)
    except ProofError:
        return attempt(False)                       # a product that goes straight to an output needs its multiplier


def _witness(design: Design) -> int:
    """Covers that simulations with stalls reach: two an output."""
    waited: dict[str, int] = {}
    for seed in range(2, 2 + STIMULI):
        sent, want = raw_streams(design, design.stimulus(np.random.default_rng(seed)), 100)
        simulate(design.described(), sent, {port: len(rows) for port, rows in want.items()}, stall="random", seed=seed, waited=waited)
        never = [port for port in want if not waited.get(port)]
        if not never:
            return 2 * len(want)
    raise ProofError(f"Proof {design.name} has no transfer on {never[0]} that had to wait")
