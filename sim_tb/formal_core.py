"""Properties of the accelerator's control, to be proved by k-induction."""
from __future__ import annotations

from pathlib import Path

from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Cover, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring

from ..hw.loops import LoopNest
from ..hw.sequencer import PATIENCE, Phase, Sequencer
from ..program import LOOPS
from ..registers import Control, State
from .contract import steady
from .formal import Proof, prove

__all__ = ["PROOFS", "Odometer", "Watched", "prove_core"]


def _free(m: Module, dut: wiring.Component, *but: str) -> None:
    """Any value, in any cycle, on every plain input."""
    for name, member in dut.signature.members.items():
        if member.is_port and member.flow is wiring.In and name not in but:
            value = Value.cast(getattr(dut, name))
            m.d.comb += value.eq(AnySeq(len(value)))


class Odometer(Elaboratable):
    """The loop nest counts like six wheels, whatever the counts, the stalls and the restarts.

    Steps keep until taken; each wheel's ``start`` and ``last`` say where an independent count is; a wheel turns when all below it are
    at their end; and nothing is offered after the last step.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = LoopNest()
        word = Value.cast(dut.instruction)
        m.d.comb += word.eq(AnyConst(len(word)))
        _free(m, dut, "instruction")
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        kept, waited = steady(m, dut.o, name="step")
        dropped = Signal()
        m.d.sync += dropped.eq(dut.start | dut.stop)
        m.d.comb += Assert(kept | dropped)

        below: Value = dut.o.valid & dut.o.ready
        ended = Signal()
        for n in range(LOOPS):
            at = Signal(12, name=f"at{n}")
            count = dut.instruction[f"loop{n}_count"]
            with m.If(dut.start):
                m.d.sync += at.eq(0)
            with m.Elif(below):
                turn = at == count
                m.d.sync += at.eq(at + 1)
                with m.If(turn):
                    m.d.sync += at.eq(0)
            m.d.comb += [
                Assert(~dut.o.valid | (dut.left[n] + at == count)),
                Assert(~dut.o.valid | (dut.o.p.start[n] == (at == 0))),
                Assert(~dut.o.valid | (dut.o.p.last[n] == (at == count))),
            ]
            below = below & (at == count)
        with m.If(dut.start):
            m.d.sync += ended.eq(0)
        with m.Elif(below):
            m.d.sync += ended.eq(1)
        m.d.comb += [
            Assert(~(ended & dut.o.valid)), Assert(dut.done == ~dut.o.valid),
            Cover(dut.done & ended), Cover(dut.o.valid & dut.o.ready & waited & dut.o.p.last.all() & ~dut.o.p.start.all()),
        ]
        return m


class Watched(Elaboratable):
    """The sequencer never hangs, and lets go of the memories when it stops.

    Whatever its environment does: it runs in exactly the phases other than REST; without a step or a write for 2 ** PATIENCE cycles in
    RUN, or with a fault, it is at rest in the next; STOP ends it at once; steps keep until taken unless it stops or begins anew.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = Sequencer(instructions=2)
        _free(m, dut)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        kept, _ = steady(m, dut.o, name="step")
        running, failed = dut.status[:8] == State.RUNNING, dut.status[:8] == State.FAILED
        expired, faulted, stopped, ended = (Signal(name=name) for name in ("expired", "faulted", "stopped", "ended"))
        in_run = dut.phase == Phase.RUN
        m.d.sync += [
            expired.eq(in_run & dut.idle[-1]), faulted.eq(in_run & (dut.error.code != 0)),
            stopped.eq(dut.control_write & (dut.control == Control.STOP)), ended.eq(dut.start | dut.nest_stop),
        ]
        m.d.comb += [
            Assert(dut.running == (dut.phase != Phase.REST)), Assert(dut.running == running),
            Assert(dut.status[:8] <= max(State)), Assert(Value.cast(dut.phase) <= max(p.value for p in Phase)),
            Assert(~expired | ~dut.running), Assert(~faulted | (failed | stopped)), Assert(~stopped | ~dut.running),
            Assert((dut.idle <= 1 << PATIENCE) | ~in_run), Assert(~dut.o.valid | in_run),
            Assert(kept | ended | ~dut.running),
            Assert(~dut.log_enable | dut.running), Assert(~dut.fetch_enable | dut.running),
            Cover(dut.phase == Phase.LOG), Cover(dut.status[:8] == State.DONE), Cover(failed), Cover(faulted & failed),
        ]
        return m


PROOFS = {"loop_nest": (Odometer, 2, 12), "sequencer": (Watched, 2, 32)}
"""Modules, depth of induction, and depth within which their covers are reached."""


def prove_core(name: str, *, folder: Path | None = None) -> Proof:
    """Prove one of :data:`PROOFS`."""
    module, depth, cover_depth = PROOFS[name]
    return prove(module(), name=name, depth=depth, cover_depth=cover_depth, folder=folder)
