"""Fetches the instructions of a ternary accelerator, runs them one after the other, and stops for a reason."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..instruction import BYTES
from ..registers import Code, State
from ..ternary_program import LOG_FIELDS, LOG_WORDS, TABLE, Op
from .loops import layout_of
from .sequencer import Phase, begin_or_end, log_events
from .stream import check_positive

__all__ = ["FIELDS", "PATIENCE", "TernarySequencer"]

FIELDS = layout_of(TABLE)
"""The instruction word: fields in the order of the table. Counts are stored less one."""

WORDS = BYTES // 4

PATIENCE = 17
"""Bits of the watchdog: a program stops after 2 ** PATIENCE cycles in which nothing moved. Longer than a memory's own."""


class TernarySequencer(wiring.Component):
    """Runs a program.

    An instruction takes 19 cycles to fetch and decode, then its work, then nine cycles to log its counters. Instructions do not overlap.

    Parameters
    ----------
    instructions : :class:`int`
        Depth of the program memory, a power of two.

    Members
    -------
    control, control_write : ``In(8)``, ``In(1)``
        A :class:`~mantissa.registers.Control`, and its strobe.
    status, fault, cycles : ``Out(32)``
        Registers of these names.
    running : ``Out(1)``
        The memories belong to the program.
    fetch_address, fetch_enable, fetch_data
        Program memory, 32-bit words; data one cycle after the address.
    log_address, log_enable, log_data
        Log memory, 32-bit words.
    instruction : ``Out(FIELDS)``
        The instruction that runs.
    flush : ``Out(1)``
        Nothing runs: what is in flight is to be dropped.
    start : ``Out(1)``
        The instruction begins.
    quiet : ``In(1)``
        Nothing is left in flight; an instruction begins only then.
    done : ``In(1)``
        It has ended.
    moved : ``In(1)``
        Something went on in this cycle.
    events : ``In({"quantising": 1, ...})``
        What the counters count in this cycle.
    error : ``In({"code": 8, "word": 32})``
        A code other than 0 stops the program.
    """

    def __init__(self, *, instructions: int) -> None:
        self.instructions = check_positive("Instructions", instructions, 2)
        if instructions & (instructions - 1):
            raise ValueError(f"Instructions must be a power of two, not {instructions}")
        super().__init__({
            "control": In(8), "control_write": In(1),
            "status": Out(32), "fault": Out(32), "cycles": Out(32), "running": Out(1),
            "fetch_address": Out(ceil_log2(instructions) + 4), "fetch_enable": Out(1), "fetch_data": In(32),
            "log_address": Out(ceil_log2(instructions) + ceil_log2(LOG_WORDS)), "log_enable": Out(1), "log_data": Out(32),
            "instruction": Out(FIELDS), "flush": Out(1), "start": Out(1), "quiet": In(1), "done": In(1), "moved": In(1),
            "events": In(data.StructLayout(dict.fromkeys(LOG_FIELDS[1:], 1))),
            "error": In(data.StructLayout({"code": 8, "word": 32})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = Signal(FIELDS, reset_less=True)
        pc = Signal(ceil_log2(self.instructions) + 1)
        phase, state, code = Signal(Phase), Signal(8), Signal(8)
        fetched, arriving, slot, idle = Signal(range(WORDS + 1)), Signal(), Signal(range(LOG_WORDS)), Signal(PATIENCE + 1)
        m.d.comb += [
            self.instruction.eq(word), self.status.eq(Cat(state, code, pc)), self.running.eq(state == State.RUNNING),
            self.fetch_address.eq(Cat(fetched[:4], pc[:-1])), self.fetch_enable.eq((phase == Phase.FETCH) & (fetched != WORDS)),
            self.start.eq(phase == Phase.BEGIN), self.log_address.eq(Cat(slot, pc[:-1])), self.log_enable.eq(phase == Phase.LOG),
        ]
        m.d.sync += [arriving.eq(self.fetch_enable), self.flush.eq((phase == Phase.FETCH) | (phase == Phase.REST))]
        with m.If(arriving):
            m.d.sync += word.eq(Cat(word.as_value()[32:], self.fetch_data))
        with m.If((phase != Phase.RUN) | self.moved):
            m.d.sync += idle.eq(0)
        with m.Else():
            m.d.sync += idle.eq(idle + 1)

        problem = Signal(data.StructLayout({"code": 8, "word": 32}))
        with m.Switch(phase):
            with m.Case(Phase.CLAIM):                           # the memories change hands
                m.d.sync += phase.eq(Phase.FETCH)
            with m.Case(Phase.FETCH):
                m.d.sync += fetched.eq(fetched + 1)
                with m.If(pc[-1]):
                    m.d.comb += [problem.code.eq(Code.END), problem.word.eq(pc)]
                with m.Elif(fetched == WORDS):
                    m.d.sync += [phase.eq(Phase.FLUSH), fetched.eq(0)]
            with m.Case(Phase.FLUSH):
                with m.If(self.quiet):
                    m.d.sync += phase.eq(Phase.BEGIN)
                with m.If(word.op == Op.HALT):
                    m.d.sync += [state.eq(State.DONE), phase.eq(Phase.REST)]
                with m.Elif(word.op > max(Op)):
                    m.d.comb += [problem.code.eq(Code.OPERATION), problem.word.eq(word.op)]
            with m.Case(Phase.BEGIN):
                m.d.sync += phase.eq(Phase.RUN)
            with m.Case(Phase.RUN):
                with m.If(self.error.code != 0):
                    m.d.comb += problem.eq(self.error)
                with m.Elif(idle[-1]):
                    m.d.comb += [problem.code.eq(Code.WATCHDOG), problem.word.eq(1 << PATIENCE)]
                with m.Elif(self.done):
                    m.d.sync += phase.eq(Phase.LOG)
            with m.Case(Phase.LOG):
                m.d.sync += slot.eq(slot + 1)
                with m.If(slot == LOG_WORDS - 1):
                    m.d.sync += [pc.eq(pc + 1), phase.eq(Phase.FETCH)]
        begin_or_end(m, self, problem, phase=phase, state=state, code=code, clear=(pc, fetched, slot))
        events = {"cycles": Const(1), **{name: self.events[name] for name in LOG_FIELDS[1:]}}
        log_events(m, self, events, LOG_FIELDS, phase=phase, slot=slot)
        return m
