"""Fetches instructions, runs them one after the other, and stops for a reason."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..instruction import BYTES
from ..program import FORMATS, PAIRED, Op
from ..registers import LOG_FIELDS, Code, Control, State
from .feed import FLAGS
from .loops import ADDRESS_BITS, FIELDS, LoopNest

__all__ = ["PATIENCE", "Phase", "Sequencer", "begin_or_end", "log_events"]

WORDS = BYTES // 4

PATIENCE = 15
"""Bits of the watchdog: a program stops after 2 ** PATIENCE cycles without a step or a write."""


class Phase(enum.Enum, shape=3):
    """What the sequencer does."""
    REST = 0
    FETCH = 1
    FLUSH = 2
    BEGIN = 3
    RUN = 4
    LOG = 5
    CLAIM = 6


class Sequencer(wiring.Component):
    """Runs a program.

    An instruction takes 19 cycles to fetch and decode, then its steps, then the time of the last word through the
    engine, then four cycles to log its counters. Instructions do not overlap.

    Parameters
    ----------
    instructions : :class:`int`
        Depth of the program memory.
    formats : sequence of :class:`str`
        Formats that an instruction can have; if only int8, its fields are not looked at.

    Members
    -------
    control, control_write : :py:`In(8)`, :py:`In(1)`
        A :class:`~mantissa.registers.Control`, and its strobe.
    status, fault, cycles : :py:`Out(32)`
        Registers of these names.
    running : :py:`Out(1)`
        The memories belong to the program.
    fetch_address, fetch_enable, fetch_data
        Program memory, 32-bit words; data one cycle after the address.
    log_address, log_enable, log_data
        Log memory, 32-bit words.
    instruction : :py:`Out(FIELDS)`
        The instruction that runs.
    flush : :py:`Out(1)`
        Whatever is in flight is to be dropped.
    start : :py:`Out(1)`
        The instruction begins: take the addresses.
    o : :py:`Out(stream.Signature({"address": signed(20), "inside": 1, "swap": 1, "first": 1, "last": 1, "hold": 1, "end": 1}))`
        Steps for the feeder.
    written : :py:`In(1)`
        One output word was written.
    wait_weights, wait_output : :py:`In(1)`
        Why a vector waits in this cycle, for the counters.
    error : :py:`In({"code": 8, "word": 32})`
        Fault of another unit; a code other than 0 stops the program.
    """

    def __init__(self, *, instructions: int, formats: Sequence[str] = ("int8",)) -> None:
        if not isinstance(instructions, int) or instructions < 2 or instructions & (instructions - 1):
            raise ValueError(f"Instructions must be a power of two from 2, not {instructions!r}")
        self.instructions = instructions
        self.formats = tuple(formats)
        super().__init__({
            "control": In(8), "control_write": In(1),
            "status": Out(32), "fault": Out(32), "cycles": Out(32), "running": Out(1),
            "fetch_address": Out(ceil_log2(instructions) + 4), "fetch_enable": Out(1), "fetch_data": In(32),
            "log_address": Out(ceil_log2(instructions) + 2), "log_enable": Out(1), "log_data": Out(32),
            "instruction": Out(FIELDS), "flush": Out(1), "start": Out(1),
            "o": Out(stream.Signature(data.StructLayout({"address": signed(ADDRESS_BITS), "inside": 1} | FLAGS))),
            "written": In(1), "wait_weights": In(1), "wait_output": In(1),
            "error": In(data.StructLayout({"code": 8, "word": 32})),
        })
        self.phase = Signal(Phase)
        self.idle = Signal(PATIENCE + 1)
        self.nest_stop = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.nest = nest = LoopNest()
        word = Signal(FIELDS, reset_less=True)
        pc = Signal(ceil_log2(self.instructions) + 1)
        phase, state, code = self.phase, Signal(8), Signal(8)
        fetched, arriving, slot = Signal(range(WORDS + 1)), Signal(), Signal(2)
        m.d.comb += [
            self.instruction.eq(word), nest.instruction.eq(word),
            self.status.eq(Cat(state, code, pc)), self.running.eq(state == State.RUNNING),
            self.fetch_address.eq(Cat(fetched[:4], pc[:-1])), self.fetch_enable.eq((phase == Phase.FETCH) & (fetched != WORDS)),
            self.start.eq(phase == Phase.BEGIN), nest.start.eq(self.start),
            self.log_address.eq(Cat(slot, pc[:-1])), self.log_enable.eq(phase == Phase.LOG),
        ]
        # A register, as it goes far: high until the cycle before BEGIN.
        m.d.sync += [arriving.eq(self.fetch_enable), self.flush.eq((phase == Phase.FETCH) | (phase == Phase.REST))]
        with m.If(arriving):
            m.d.sync += word.eq(Cat(word.as_value()[32:], self.fetch_data))
        self._steps(m, nest, word)
        finished, stuck = self._progress(m, nest, phase)
        self._log(m, nest, phase, slot)

        fail = data.StructLayout({"code": 8, "word": 32})
        problem = Signal(fail)
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
                m.d.sync += phase.eq(Phase.BEGIN)
                with m.If(word.op == Op.HALT):
                    m.d.sync += [state.eq(State.DONE), phase.eq(Phase.REST)]
                with m.Elif(word.op > max(Op)):
                    m.d.comb += [problem.code.eq(Code.OPERATION), problem.word.eq(word.op)]
                if len(self.formats) > 1:
                    known = [FORMATS.index(name) for name in self.formats]
                    numbers = [code for code in known if FORMATS[code] != "mxfp4"]
                    pairs = [code for code in known if FORMATS[code] in PAIRED]
                    paired = (word.op == Op.MATMUL) & word.format_a.matches(*pairs) & word.format_w.matches(*pairs)
                    right = word.format_a.matches(*numbers) & word.format_w.matches(*known) & word.format_o.matches(*numbers)
                    with m.Elif(~right | (word.half_a == 3) & ~paired | (word.half_o == 3)):
                        m.d.comb += [problem.code.eq(Code.FORMAT), problem.word.eq(Cat(
                            word.format_a, word.format_w, word.format_o, word.half_a, word.half_o))]
            with m.Case(Phase.BEGIN):
                m.d.sync += phase.eq(Phase.RUN)
            with m.Case(Phase.RUN):
                with m.If(self.error.code != 0):
                    m.d.comb += problem.eq(self.error)
                with m.Elif(stuck):
                    m.d.comb += [problem.code.eq(Code.WATCHDOG), problem.word.eq(1 << PATIENCE)]
                with m.Elif(finished):
                    m.d.sync += phase.eq(Phase.LOG)
            with m.Case(Phase.LOG):
                m.d.sync += slot.eq(slot + 1)
                with m.If(slot == len(LOG_FIELDS) - 1):
                    m.d.sync += [pc.eq(pc + 1), phase.eq(Phase.FETCH)]

        stop = begin_or_end(m, self, problem, phase=phase, state=state, code=code, clear=(pc, fetched, slot))
        m.d.comb += [self.nest_stop.eq(stop | (problem.code != 0)), nest.stop.eq(self.nest_stop)]
        return m

    def _steps(self, m: Module, nest: LoopNest, word: data.View) -> None:
        """Steps of the nest as the feeder wants them: what a loop's start and end mean depends on the operation."""
        p, start, last = self.o.p, nest.o.p.start, nest.o.p.last
        matmul, add = word.op == Op.MATMUL, word.op == Op.ADD
        m.d.comb += [
            self.o.valid.eq(nest.o.valid), nest.o.ready.eq(self.o.ready),
            p.address.eq(nest.o.p.address), p.inside.eq(nest.o.p.inside),
            p.swap.eq(start[0] & start[1]),
            p.first.eq(Mux(matmul, start[2:5].all(), add | start[0:3].all())),
            p.last.eq(Mux(matmul, last[2:5].all(), add | last[0:3].all())),
            p.hold.eq(add & ~last[0]),
            p.end.eq(Mux(matmul, last[0:2].all(), last[3:5].all())),
        ]

    def _progress(self, m: Module, nest: LoopNest, phase: Signal) -> tuple[Value, Value]:
        """Whether every output was written, and whether nothing has moved for too long."""
        step = self.o.valid & self.o.ready
        pending, idle = Signal(8), self.idle
        promised = step & self.o.p.last & ~self.o.p.hold
        m.d.sync += pending.eq(pending + promised - self.written)
        with m.If(self.start):
            m.d.sync += pending.eq(0)
        with m.If((phase != Phase.RUN) | step | self.written):
            m.d.sync += idle.eq(0)
        with m.Else():
            m.d.sync += idle.eq(idle + 1)
        return nest.done & (pending == 0), idle[-1]

    def _log(self, m: Module, nest: LoopNest, phase: Signal, slot: Signal) -> None:
        """Counters of the instruction, in the order of the log."""
        step = self.o.valid & self.o.ready
        events = {"cycles": Const(1), "steps": step, "wait_weights": self.wait_weights, "wait_output": self.wait_output}
        log_events(m, self, events, LOG_FIELDS, phase=phase, slot=slot)


def begin_or_end(m: Module, unit: wiring.Component, problem: data.View, *, phase: Signal, state: Signal, code: Signal,
                 clear: Sequence[Signal]) -> Value:
    """What problems and the host's commands do to a sequencer, and its count of cycles; whether the host stops it.

    Parameters
    ----------
    m
        Module of the sequencer, to be added to.
    unit
        Has ``control``, ``control_write``, ``running``, ``cycles`` and ``fault``.
    problem
        A ``code`` other than 0 ends the program, and ``word`` is the fault.
    phase, state, code
        Registers of these names.
    clear
        Registers that are 0 when a program begins.
    """
    with m.If(unit.running):
        m.d.sync += unit.cycles.eq(unit.cycles + 1)
    stop = unit.control_write & (unit.control == Control.STOP)
    with m.If(problem.code != 0):
        m.d.sync += [state.eq(State.FAILED), code.eq(problem.code), unit.fault.eq(problem.word), phase.eq(Phase.REST)]
    with m.If(stop):
        m.d.sync += [state.eq(State.IDLE), phase.eq(Phase.REST)]
    with m.Elif(unit.control_write & (unit.control == Control.START) & ~unit.running):
        m.d.sync += [state.eq(State.RUNNING), code.eq(Code.NONE), phase.eq(Phase.CLAIM),
                     *(register.eq(0) for register in (unit.cycles, unit.fault, *clear))]
    return stop


def log_events(m: Module, unit: wiring.Component, events: Mapping[str, Value], names: Sequence[str], *, phase: Signal,
               slot: Signal) -> None:
    """Counters of an instruction, from its fetch until they are logged, in the order of ``names``; ``slot`` is the one on ``log_data``."""
    counters = []
    for name in names:
        counter = Signal(32, name=name)
        with m.If((phase == Phase.FETCH) & unit.fetch_enable & (unit.fetch_address[:4] == 0)):
            m.d.sync += counter.eq(1 if name == "cycles" else 0)
        with m.Elif(phase != Phase.LOG):
            m.d.sync += counter.eq(counter + events[name])
        counters.append(counter)
    counters += [Const(0, 32)] * ((1 << len(slot)) - len(counters))
    m.d.comb += unit.log_data.eq(Array(counters)[slot])
