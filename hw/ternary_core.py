"""The ternary accelerator behind its bus: memories, sequencer, norm, engine and scale wired together."""
from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..instruction import BYTES
from ..registers import Capability, Code, Region
from ..ternary_program import LOG_WORDS, Op
from .bank import Bank
from .core_bus import BUS_REPLY, BUS_REQUEST, COUNTERS, answer
from .gated_square import GatedSquare
from .memory_port import MemoryPort, answer_layout
from .output_scale import OutputScale
from .rms_quantize import RmsQuantize
from .scale_add import ScaleAdd
from .stream import Skid
from .ternary_engine import PHASES, TernaryEngine
from .ternary_memory import Drain, LoadWords, StoreWords
from .ternary_sequencer import TernarySequencer
from .ternary_vectors import ADDRESS_BITS, PAIR, Pad, VectorRead, VectorWrite

__all__ = ["LENGTH_BITS", "SUM_BITS", "TernaryCore", "VECTOR_BITS"]

LENGTH_BITS = 4
"""Of the memory's bursts: 16 words at most."""

VECTOR_BITS = 16
"""Of values that are normalised, of gains, and of outputs."""

SUM_BITS = 24

LANES = 2
"""Tables built at a time, in 256 cycles: 128 for each table of a tile, which a tile of 128 rows a table hides."""

ECP5 = ("ulx3s-85f",)
"""Boards whose carry cells are instantiated."""

ROOM = 16
"""Replies that may wait on the bus."""


class Units(NamedTuple):
    """What an instruction begins with reset."""
    reader: VectorRead
    writer: VectorWrite
    pad: Pad
    norm: RmsQuantize
    scale: OutputScale
    gate: GatedSquare
    add: ScaleAdd
    engine: TernaryEngine
    load: LoadWords
    # Slices, as what is ready or not must not reach across the chip.
    operands: Skid
    sums: Skid
    codes: Skid
    words: Skid


class TernaryCore(wiring.Component):
    """Registers, memories and compute of a ternary accelerator, behind a byte bus.

    Parameters
    ----------
    config : :class:`~mantissa.config.Config`
        With a ternary engine.
    identity : :class:`bytes`
        Eight bytes the device reports as its identity.

    Members
    -------
    i : ``In(stream.Signature({"address": 24, "write": 1, "data": 8}))``
        Requests; addresses as in :mod:`mantissa.registers`.
    o : ``Out(stream.Signature({"data": 8, "status": 8}))``
        One reply per request, in order. Memories answer BUSY while a program runs.
    memory : ``Out(MemoryPort(...))``
        The external memory, words of ``config.array`` bytes.
    memory_failed, memory_address
        The memory did not answer, for the burst at this address: ends a program.
    crc_errors, framing_errors, overflows, duplicates, gaps : ``In(32)``
        The link's counters, for the registers.
    status : ``Out(32)``
        The STATUS register.
    """

    def __init__(self, config: Config, identity: bytes) -> None:
        if len(identity) != 8:
            raise ValueError(f"Identity must be 8 bytes, not {len(identity)}")
        self.config = config
        self.identity = identity
        self.address_bits = config.weight_words.bit_length()    # one more than a memory of 2 ** n words needs: nothing wraps
        self.port = {"address_bits": self.address_bits, "length_bits": LENGTH_BITS, "data_bits": 8 * config.array}
        super().__init__({
            "i": In(stream.Signature(BUS_REQUEST)), "o": Out(stream.Signature(BUS_REPLY)), "status": Out(32),
            "memory": Out(MemoryPort(**self.port)), "memory_failed": In(1), "memory_address": In(self.address_bits),
        } | {name: In(32) for name in COUNTERS.values()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self.config
        m.submodules.sequencer = sequencer = TernarySequencer(instructions=c.instructions)
        banks = {
            Region.PROGRAM: Bank(depth=c.instructions * BYTES // 4, lanes=4),
            Region.ACTIVATIONS: Bank(depth=c.activation_words, lanes=4, dual=True),
            Region.LOG: Bank(depth=c.instructions * LOG_WORDS, lanes=4, bus_writes=False),
        }
        for region, bank in banks.items():
            m.submodules[region.name.lower()] = bank
            m.d.comb += bank.running.eq(sequencer.running)
        program, log = banks[Region.PROGRAM], banks[Region.LOG]
        m.d.comb += [
            program.read_address.eq(sequencer.fetch_address), program.read_enable.eq(sequencer.fetch_enable),
            sequencer.fetch_data.eq(program.read_data),
            log.read_address.eq(sequencer.log_address), log.write_enable.eq(sequencer.log_enable),
            log.write_data.eq(sequencer.log_data), self.status.eq(sequencer.status),
        ]
        answer(m, self, banks, sequencer, Capability.of(c, self.identity).pack(), room=ROOM, far=False)
        self._datapath(m, sequencer, banks[Region.ACTIVATIONS])
        return m

    def _datapath(self, m: Module, sequencer: TernarySequencer, vectors: Bank) -> None:
        c, word, start, flush = self.config, sequencer.instruction, sequencer.start, sequencer.flush
        columns = 5 * c.array * c.param_channels
        units = Units(
            reader=VectorRead(c.activation_words), writer=VectorWrite(c.activation_words), pad=Pad(),
            norm=(norm := RmsQuantize(width=VECTOR_BITS, gain_width=VECTOR_BITS, depth=columns)),
            scale=OutputScale(squares_width=norm.squares_width, largest_width=norm.product_width, bits=c.scale_bits),
            gate=GatedSquare(width=VECTOR_BITS, out_width=VECTOR_BITS, depth=columns),
            add=ScaleAdd(acc_width=SUM_BITS, bits=c.scale_bits, width=VECTOR_BITS),
            engine=TernaryEngine(tables=c.array, lanes=LANES, rows=c.accumulators, tiles=c.param_channels, acc_bits=SUM_BITS,
                                 address_bits=self.address_bits, length_bits=LENGTH_BITS, counters=32,
                                 cells=c.board in ECP5),
            load=LoadWords(**self.port),
            operands=Skid(PAIR), sums=Skid(data.StructLayout({"sum": signed(SUM_BITS), "error": 1})),
            codes=Skid(data.StructLayout({"code": signed(8)})), words=Skid(answer_layout(8 * c.array)))
        for name, unit in units._asdict().items():
            m.submodules[name] = ResetInserter(flush)(unit)
        sums, engine = units.sums, units.engine
        wiring.connect(m, units.reader.o, units.operands.i)
        wiring.connect(m, units.pad.o, units.codes.i)
        m.d.comb += [
            sums.i.valid.eq(engine.o.valid), engine.o.ready.eq(sums.i.ready), sums.i.p.sum.eq(engine.o.p.sums[0]),
            sums.i.p.error.eq(engine.o.p.error), engine.i_x.valid.eq(units.codes.o.valid), units.codes.o.ready.eq(engine.i_x.ready),
            engine.i_x.p.x[0].eq(units.codes.o.p.code),
        ]
        wiring.connect(m, units.words.o, engine.i)
        m.submodules.store = store = StoreWords(**self.port)
        m.submodules.drain = drain = Drain(**self.port)
        op = {kind: Signal(name=f"is_{kind.name.lower()}") for kind in Op}
        m.d.comb += [signal.eq(word.op == kind) for kind, signal in op.items()]
        norms, multiplies = op[Op.QUANTISE] | op[Op.LINEAR], op[Op.PRODUCT] | op[Op.LINEAR]
        scaled = op[Op.LINEAR] | op[Op.PRODUCT] & word.scales

        later = self._read(m, word, op, units, vectors, start=start, flush=flush, scaled=scaled,
                           paired=norms | op[Op.MAX] | op[Op.GATE])
        self._operands(m, word, op, units, store, later)
        # Columns of the matrix, the zeros at its end included.
        padded, tiles = Signal(ADDRESS_BITS), word.tiles + 1
        m.d.sync += padded.eq((tiles + (tiles << 2)) << (c.array.bit_length() - 1))
        self._command(m, word, units, padded, start=start & multiplies, flush=flush)
        known = self._scale(m, word, units, start=start & norms)
        self._scaled(m, word, units, known=known, scaled=scaled, later=later)
        ended = self._written(m, word, op, units, vectors, start=start, scaled=scaled, multiplies=multiplies)
        self._memory(m, word, op, units, store, drain, start=start, flush=flush)
        emptied = self._emptied(units) & store.quiet
        m.d.comb += [sequencer.quiet.eq(drain.quiet & store.quiet), sequencer.done.eq(Mux(op[Op.STORE], emptied, ended & (~norms | known)))]
        self._count(m, sequencer, units.engine, store, drain, vectors, quantising=op[Op.LINEAR] & ~known)
        self._errors(m, word, sequencer, units, store, multiplies, padded)

    def _emptied(self, units: Units) -> Value:
        """Whether everything was read, and taken."""
        return units.reader.idle & ~units.reader.o.valid & ~units.operands.o.valid

    def _read(self, m: Module, word: data.View, op: Mapping[Op, Signal], units: Units, vectors: Bank, *, start: Value, flush: Value,
              scaled: Value, paired: Value) -> Signal:
        """What is read: operands; then, where ``later``, what is added to the outputs."""
        reader = units.reader
        later, began = Signal(), Signal()
        again = began & scaled & word.adds & self._emptied(units) & ~later
        with m.If(start):
            m.d.sync += began.eq(1)
        with m.If(again):
            m.d.sync += later.eq(1)
        with m.If(flush):
            m.d.sync += [began.eq(0), later.eq(0)]
        second = again | later
        m.d.comb += [
            vectors.read_address.eq(reader.address), vectors.read_enable.eq(reader.enable), reader.data.eq(vectors.read_data),
            reader.start.eq(start & ~op[Op.LOAD] | again), reader.base.eq(Mux(second, word.residual, word.x)), reader.other.eq(word.other),
            reader.paired.eq(paired & ~later), reader.last.eq(Mux(second, word.rows, word.columns)), reader.run.eq(word.run),
            reader.skip.eq(Mux(second, 0, word.skip)),
        ]
        return later

    def _operands(self, m: Module, word: data.View, op: Mapping[Op, Signal], units: Units, store: StoreWords, later: Signal) -> None:
        """Words that were read, to who wants them first; codes to the tables."""
        o, norm, pad, gate = units.operands.o, units.norm, units.pad, units.gate
        norms = (op[Op.QUANTISE] | op[Op.LINEAR]) & ~later
        m.d.comb += [
            store.i.valid.eq(o.valid & op[Op.STORE]), store.i.p.word.eq(o.p.a),
            norm.i.valid.eq(o.valid & norms), norm.i.p.x.eq(o.p.a), norm.i.p.gain.eq(o.p.b), norm.i.p.last.eq(o.p.last),
            gate.i.valid.eq(o.valid & op[Op.GATE]), gate.i.p.gate.eq(o.p.a), gate.i.p.up.eq(o.p.b), gate.i.p.last.eq(o.p.last),
            norm.o.ready.eq(Mux(op[Op.LINEAR], pad.i.ready, 1)),
        ]
        with m.If(op[Op.LINEAR]):
            m.d.comb += [pad.i.valid.eq(norm.o.valid), pad.i.p.eq(norm.o.p)]
        with m.Else():
            m.d.comb += [pad.i.valid.eq(o.valid & op[Op.PRODUCT] & ~later), pad.i.p.code.eq(o.p.a[:8].as_signed()),
                         pad.i.p.last.eq(o.p.last)]
        with m.If(later):
            m.d.comb += o.ready.eq(units.add.i.valid & units.add.i.ready)
        with m.Elif(norms):
            m.d.comb += o.ready.eq(norm.i.ready)
        with m.Elif(op[Op.PRODUCT]):
            m.d.comb += o.ready.eq(pad.i.ready)
        with m.Elif(op[Op.STORE]):
            m.d.comb += o.ready.eq(store.i.ready)
        with m.Else():
            m.d.comb += o.ready.eq(gate.i.ready | op[Op.MAX])

    def _command(self, m: Module, word: data.View, units: Units, padded: Signal, *, start: Value, flush: Value) -> None:
        """The matrix, to the engine."""
        command, asked = units.engine.i_command, Signal()
        with m.If(start):
            m.d.sync += asked.eq(1)
        with m.Elif(flush | command.ready):
            m.d.sync += asked.eq(0)
        m.d.comb += [
            command.valid.eq(asked), command.p.address.eq(word.memory), command.p.last_row.eq(word.rows),
            command.p.last_tile.eq(word.tiles),
            units.pad.start.eq(start), units.pad.count.eq(padded),
        ]

    def _scale(self, m: Module, word: data.View, units: Units, *, start: Value) -> Signal:
        """Scale of the latest codes, to the addition; whether it is known."""
        i, told, add, known = units.scale.i, units.norm.o_scale, units.add.i.p, Signal()
        b, c = Signal.like(add.b), Signal.like(add.c)
        m.d.comb += [
            i.valid.eq(told.valid), told.ready.eq(i.ready), i.p.squares.eq(told.p.squares), i.p.largest.eq(told.p.largest),
            i.p.eps.eq(word.eps), i.p.multiplier.eq(word.multiplier), i.p.shift.eq(word.shift), units.scale.o.ready.eq(1),
            add.b.eq(b), add.c.eq(c),
        ]
        with m.If(units.scale.o.valid):
            m.d.sync += [known.eq(1), b.eq(units.scale.o.p.b), c.eq(units.scale.o.p.c)]
        with m.If(start):
            m.d.sync += known.eq(0)
        return known

    def _scaled(self, m: Module, word: data.View, units: Units, *, known: Value, scaled: Value, later: Value) -> None:
        """Sums times the scale, and what is added."""
        sums, i, beside = units.sums.o, units.add.i, units.operands.o
        complete = known & (~word.adds | later & beside.valid)
        m.d.comb += [
            i.valid.eq(sums.valid & scaled & complete), i.p.acc.eq(sums.p.sum), i.p.residual.eq(Mux(word.adds, beside.p.a, 0)),
            sums.ready.eq(Mux(scaled, i.ready & complete, 1)), units.add.o.ready.eq(1),
        ]

    def _written(self, m: Module, word: data.View, op: Mapping[Op, Signal], units: Units, vectors: Bank, *, start: Value, scaled: Value,
                 multiplies: Value) -> Signal:
        """Results to the vector memory; whether the last one is there."""
        writer, o, y = units.writer, units.operands.o, units.add.o
        m.d.comb += [
            vectors.write_address.eq(writer.address), vectors.write_enable.eq(writer.enable), vectors.write_data.eq(writer.data),
            writer.start.eq(start), writer.base.eq(word.y), writer.run.eq(word.out_run), writer.skip.eq(word.out_skip),
            units.load.o.ready.eq(1), units.gate.o.ready.eq(1),
        ]
        results = [
            (scaled, y.valid, Mux(word.relu & y.p.y[-1], 0, y.p.y)), (multiplies, units.sums.o.valid, units.sums.o.p.sum),
            (op[Op.QUANTISE], units.norm.o.valid, units.norm.o.p.code), (op[Op.LOAD], units.load.o.valid, units.load.o.p.word),
            (op[Op.GATE], units.gate.o.valid, units.gate.o.p.y), (op[Op.MAX], o.valid, Mux(o.p.a > o.p.b, o.p.a, o.p.b)),
        ]
        for n, (when, valid, value) in enumerate(results):
            with (m.If if n == 0 else m.Elif)(when):
                m.d.comb += [writer.i.valid.eq(valid), writer.i.p.word.eq(value)]
        left, ended = Signal(len(word.columns)), Signal()
        with m.If(writer.i.valid):
            m.d.sync += [left.eq(left - 1), ended.eq(left == 0)]
        with m.If(start):
            m.d.sync += [left.eq(Mux(multiplies, word.rows, word.columns)), ended.eq(0)]
        return ended

    def _memory(self, m: Module, word: data.View, op: Mapping[Op, Signal], units: Units, store: StoreWords, drain: Drain, *,
                start: Value, flush: Value) -> None:
        """Who reads is the engine, or what loads."""
        asks, engine, load, words, loads = drain.i_requests, units.engine, units.load, units.words.i, op[Op.LOAD]
        m.d.comb += [
            drain.flush.eq(flush),
            asks.valid.eq(Mux(loads, load.requests.valid, engine.o_read.valid)), asks.p.eq(Mux(loads, load.requests.p, engine.o_read.p)),
            load.requests.ready.eq(loads & asks.ready), engine.o_read.ready.eq(~loads & asks.ready),
            load.words.valid.eq(loads & drain.o_data.valid), load.words.p.eq(drain.o_data.p),
            words.valid.eq(~loads & drain.o_data.valid), words.p.eq(drain.o_data.p),
            drain.o_data.ready.eq(Mux(loads, load.words.ready, words.ready)),
            load.start.eq(start & loads), load.base.eq(word.memory), load.last.eq(word.columns),
            store.start.eq(start & op[Op.STORE]), store.base.eq(word.memory), store.flush.eq(flush),
        ]
        wiring.connect(m, drain.o_requests, wiring.flipped(self.memory.read_requests))
        wiring.connect(m, wiring.flipped(self.memory.read_data), drain.i_data)
        wiring.connect(m, store.requests, wiring.flipped(self.memory.write_requests))
        wiring.connect(m, store.words, wiring.flipped(self.memory.write_data))
        wiring.connect(m, wiring.flipped(self.memory.write_done), store.done)

    def _count(self, m: Module, sequencer: TernarySequencer, engine: TernaryEngine, store: StoreWords, drain: Drain, vectors: Bank, *,
               quantising: Value) -> None:
        """What went on in the cycle before: for the counters, and the watchdog."""
        stored, read = store.done.valid & store.done.ready, drain.i_data.valid & drain.i_data.ready
        m.d.sync += sequencer.moved.eq(stored | read | vectors.read_enable | vectors.write_enable)
        before = Signal(engine.phases.shape())
        m.d.sync += before.eq(engine.phases)
        m.d.comb += sequencer.events.quantising.eq(quantising)
        m.d.comb += [sequencer.events[name].eq(engine.phases[name] != before[name]) for name in PHASES]

    def _errors(self, m: Module, word: data.View, sequencer: TernarySequencer, units: Units, store: StoreWords,
                multiplies: Value, padded: Signal) -> None:
        """What stops a program; a cycle late, as nothing it did is taken back."""
        c, error = self.config, sequencer.error
        reader, writer, sums = units.reader, units.writer, units.sums.o
        many, short = Signal(), Signal()
        m.d.sync += [error.eq(0), short.eq(word.columns >= padded),
                     many.eq((word.rows >= c.accumulators) | (word.rows == 0) | (word.tiles >= c.param_channels))]
        with m.If(multiplies & (many | short)):
            m.d.sync += [error.code.eq(Code.SIZE), error.word.eq(Cat(word.rows, word.columns[:16]))]
        with m.Elif(reader.fault):
            m.d.sync += [error.code.eq(Code.ADDRESS), error.word.eq(reader.address)]
        with m.Elif(writer.fault):
            m.d.sync += [error.code.eq(Code.ADDRESS), error.word.eq(writer.address)]
        with m.Elif(self.memory_failed):
            m.d.sync += [error.code.eq(Code.MEMORY), error.word.eq(self.memory_address)]
        with m.Elif((sums.valid & sums.p.error) | units.load.failed | store.failed):
            m.d.sync += [error.code.eq(Code.MEMORY), error.word.eq(word.memory)]
