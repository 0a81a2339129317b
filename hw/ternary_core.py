"""The ternary accelerator behind its bus: memories, sequencer, norm, engine and scale wired together."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..instruction import BYTES
from ..registers import Capability, Code, Region
from ..ternary_program import Op
from .bank import Bank
from .core_bus import BUS_REPLY, BUS_REQUEST, COUNTERS, answer
from .memory_port import MemoryPort
from .output_scale import OutputScale
from .rms_quantize import RmsQuantize
from .scale_add import ScaleAdd
from .ternary_engine import PHASES, TernaryEngine
from .ternary_memory import Drain, LoadWords, StoreWords
from .ternary_sequencer import LOG_WORDS, TernarySequencer
from .ternary_vectors import Pad, VectorRead, VectorWrite

__all__ = ["LENGTH_BITS", "MULTIPLIER_BITS", "SUM_BITS", "TernaryCore", "VECTOR_BITS"]

LENGTH_BITS = 4
"""Of the memory's bursts: 16 words at most."""

VECTOR_BITS = 16
"""Of values that are normalised, of gains, and of outputs."""

SUM_BITS = 24
MULTIPLIER_BITS = 16

ROOM = 16
"""Replies that may wait on the bus."""


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
        self.address_bits = (config.weight_words - 1).bit_length()
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
        c, word, start = self.config, sequencer.instruction, sequencer.start
        flush = sequencer.flush

        def unit(name: str, component: wiring.Component) -> wiring.Component:
            m.submodules[name] = ResetInserter(flush)(component)
            return component
        reader, writer, pad = unit("reader", VectorRead(c.activation_words)), unit("writer", VectorWrite(c.activation_words)), unit("pad", Pad())
        norm = unit("norm", RmsQuantize(width=VECTOR_BITS, gain_width=VECTOR_BITS, depth=5 * c.array * c.param_channels))
        scale = unit("scale", OutputScale(squares_width=norm.squares_width, largest_width=norm.product_width, bits=MULTIPLIER_BITS))
        add = unit("add", ScaleAdd(acc_width=SUM_BITS, bits=MULTIPLIER_BITS, width=VECTOR_BITS))
        engine = unit("engine", TernaryEngine(
            tables=c.array, rows=c.accumulators, tiles=c.param_channels, acc_bits=SUM_BITS, address_bits=self.address_bits,
            length_bits=LENGTH_BITS, counters=32))
        load = unit("load", LoadWords(**self.port))
        m.submodules.store = store = StoreWords(**self.port)
        m.submodules.drain = drain = Drain(**self.port)
        is_store, is_load, is_linear = (word.op == op for op in (Op.STORE, Op.LOAD, Op.LINEAR))
        multiplies = (word.op == Op.PRODUCT) | is_linear

        # The vector memory.
        m.d.comb += [
            vectors.read_address.eq(reader.address), vectors.read_enable.eq(reader.enable), reader.data.eq(vectors.read_data),
            vectors.write_address.eq(writer.address), vectors.write_enable.eq(writer.enable), vectors.write_data.eq(writer.data),
            writer.start.eq(start), writer.base.eq(word.y),
        ]
        # What is read: x, with the gain; then what is added to the outputs.
        later, again = Signal(), Signal()
        m.d.comb += again.eq(is_linear & word.adds & reader.idle & ~reader.o.valid & ~later & self._began(m, start, flush))
        with m.If(again):
            m.d.sync += later.eq(1)
        with m.If(flush):
            m.d.sync += later.eq(0)
        m.d.comb += [
            reader.start.eq((start & ~is_load) | again), reader.base.eq(Mux(again | later, word.residual, word.x)),
            reader.other.eq(word.gain), reader.paired.eq(is_linear & ~later),
            reader.last.eq(Mux(again | later, word.rows, Mux(is_store, word.count, word.columns))),
        ]
        self._operands(m, word, reader, later, store, norm, pad)
        total = ((word.tiles + 1) * 5) << (c.array.bit_length() - 1)
        m.d.comb += [
            pad.start.eq(start & multiplies), pad.count.eq(total),
            engine.i_x.valid.eq(pad.o.valid), engine.i_x.p.x[0].eq(pad.o.p.code), pad.o.ready.eq(engine.i_x.ready),
        ]
        asked = Signal()
        with m.If(start & multiplies):
            m.d.sync += asked.eq(1)
        with m.Elif(flush | engine.i_command.ready):
            m.d.sync += asked.eq(0)
        m.d.comb += [
            engine.i_command.valid.eq(asked), engine.i_command.p.address.eq(word.memory), engine.i_command.p.last_row.eq(word.rows),
            engine.i_command.p.last_tile.eq(word.tiles),
        ]
        known, written_last = self._results(m, word, is_linear, start, flush, reader, later, norm, scale, add, engine, load, writer, is_load)
        self._memory(m, word, is_load, start, flush, engine, load, store, drain)
        m.d.comb += [
            load.start.eq(start & is_load), load.base.eq(word.memory), load.last.eq(word.count),
            store.start.eq(start & is_store), store.base.eq(word.memory), store.flush.eq(flush),
            sequencer.quiet.eq(drain.quiet & store.quiet),
            sequencer.done.eq(Mux(multiplies, written_last, Mux(is_load, load.idle, reader.idle & ~reader.o.valid & store.quiet))),
        ]
        stored, read = store.done.valid & store.done.ready, drain.i_data.valid & drain.i_data.ready
        m.d.sync += sequencer.moved.eq(stored | read | vectors.read_enable | vectors.write_enable)
        before = Signal(data.StructLayout(dict.fromkeys(PHASES, 32)))
        m.d.sync += before.eq(engine.phases)
        m.d.comb += sequencer.events.quantising.eq(is_linear & ~known)
        m.d.comb += [sequencer.events[name].eq(engine.phases[name] != before[name]) for name in PHASES]
        self._errors(m, word, sequencer, reader, writer, engine, load, store, multiplies)

    def _began(self, m: Module, start: Signal, flush: Signal) -> Signal:
        """Whether the instruction has begun, in an earlier cycle."""
        began = Signal()
        with m.If(start):
            m.d.sync += began.eq(1)
        with m.Elif(flush):
            m.d.sync += began.eq(0)
        return began

    def _operands(self, m: Module, word: data.View, reader: VectorRead, later: Signal, store: StoreWords, norm: RmsQuantize, pad: Pad) -> None:
        """Words that were read, to who wants them first."""
        is_store, is_linear = word.op == Op.STORE, word.op == Op.LINEAR
        o = reader.o
        m.d.comb += [
            store.i.valid.eq(o.valid & is_store), store.i.p.word.eq(o.p.a),
            norm.i.valid.eq(o.valid & is_linear & ~later), norm.i.p.x.eq(o.p.a), norm.i.p.gain.eq(o.p.b), norm.i.p.last.eq(o.p.last),
            pad.i.valid.eq(Mux(is_linear, norm.o.valid, o.valid)), norm.o.ready.eq(pad.i.ready & is_linear),
            pad.i.p.code.eq(Mux(is_linear, norm.o.p.code, o.p.a[:8].as_signed())), pad.i.p.last.eq(Mux(is_linear, norm.o.p.last, o.p.last)),
        ]
        with m.If(is_store):
            m.d.comb += [o.ready.eq(store.i.ready), pad.i.valid.eq(0)]
        with m.Elif(is_linear & ~later):
            m.d.comb += o.ready.eq(norm.i.ready)
        with m.Elif(~is_linear):
            m.d.comb += o.ready.eq(pad.i.ready)

    def _results(self, m: Module, word: data.View, is_linear: Signal, start: Signal, flush: Signal, reader: VectorRead, later: Signal,
                 norm: RmsQuantize, scale: OutputScale, add: ScaleAdd, engine: TernaryEngine, load: LoadWords, writer: VectorWrite,
                 is_load: Signal) -> tuple[Signal, Signal]:
        """Sums, scaled or not, to the vector memory; whether the codes' scale is known, and whether the last word was written."""
        i = scale.i
        m.d.comb += [
            i.valid.eq(norm.o_scale.valid), norm.o_scale.ready.eq(i.ready), i.p.squares.eq(norm.o_scale.p.squares),
            i.p.largest.eq(norm.o_scale.p.largest), i.p.eps.eq(word.eps), i.p.multiplier.eq(word.multiplier), i.p.shift.eq(word.shift),
        ]
        known, b, c = Signal(), Signal.like(scale.o.p.b), Signal.like(scale.o.p.c)
        m.d.comb += scale.o.ready.eq(~known)
        with m.If(scale.o.valid & ~known):
            m.d.sync += [known.eq(1), b.eq(scale.o.p.b), c.eq(scale.o.p.c)]
        with m.If(flush):
            m.d.sync += known.eq(0)
        sums = engine.o
        complete = ~word.adds | (later & reader.o.valid)
        m.d.comb += [
            add.i.valid.eq(sums.valid & is_linear & known & complete), add.i.p.acc.eq(sums.p.sums[0]), add.i.p.b.eq(b), add.i.p.c.eq(c),
            add.i.p.residual.eq(Mux(word.adds, reader.o.p.a, 0)), add.o.ready.eq(1),
            sums.ready.eq(Mux(is_linear, add.i.ready & known & complete, 1)),
        ]
        with m.If(is_linear & later):
            m.d.comb += reader.o.ready.eq(add.i.ready & sums.valid & known)
        value = Mux(word.relu & add.o.p.y[-1], 0, add.o.p.y)
        m.d.comb += [
            writer.i.valid.eq(Mux(is_load, load.o.valid, Mux(is_linear, add.o.valid, sums.valid))),
            writer.i.p.word.eq(Mux(is_load, load.o.p.word, Mux(is_linear, value.as_signed(), sums.p.sums[0]))),
            load.o.ready.eq(is_load),
        ]
        left, ended = Signal(len(word.rows) + 1), Signal()
        with m.If(writer.i.valid):
            m.d.sync += [left.eq(left - 1), ended.eq(left == 0)]
        with m.If(start):
            m.d.sync += [left.eq(word.rows), ended.eq(0)]
        return known, ended

    def _memory(self, m: Module, word: data.View, is_load: Signal, start: Signal, flush: Signal, engine: TernaryEngine, load: LoadWords,
                store: StoreWords, drain: Drain) -> None:
        """Who reads is the engine, or what loads."""
        asks = drain.i_requests
        m.d.comb += [
            drain.flush.eq(flush),
            asks.valid.eq(Mux(is_load, load.requests.valid, engine.o_read.valid)), asks.p.eq(Mux(is_load, load.requests.p, engine.o_read.p)),
            load.requests.ready.eq(is_load & asks.ready), engine.o_read.ready.eq(~is_load & asks.ready),
            load.words.valid.eq(is_load & drain.o_data.valid), load.words.p.eq(drain.o_data.p),
            engine.i.valid.eq(~is_load & drain.o_data.valid), engine.i.p.eq(drain.o_data.p),
            drain.o_data.ready.eq(Mux(is_load, load.words.ready, engine.i.ready)),
        ]
        wiring.connect(m, drain.o_requests, wiring.flipped(self.memory.read_requests))
        wiring.connect(m, wiring.flipped(self.memory.read_data), drain.i_data)
        wiring.connect(m, store.requests, wiring.flipped(self.memory.write_requests))
        wiring.connect(m, store.words, wiring.flipped(self.memory.write_data))
        wiring.connect(m, wiring.flipped(self.memory.write_done), store.done)

    def _errors(self, m: Module, word: data.View, sequencer: TernarySequencer, reader: VectorRead, writer: VectorWrite,
                engine: TernaryEngine, load: LoadWords, store: StoreWords, multiplies: Signal) -> None:
        """What stops a program; a cycle late, as nothing it did is taken back."""
        c, error = self.config, sequencer.error
        m.d.sync += error.eq(0)
        many = (word.rows >= c.accumulators) | (word.rows == 0) | (word.tiles >= c.param_channels)
        short = word.columns >= ((word.tiles + 1) * 5) << (c.array.bit_length() - 1)
        with m.If(multiplies & (many | short)):
            m.d.sync += [error.code.eq(Code.SIZE), error.word.eq(Cat(word.rows, word.columns))]
        with m.Elif(reader.fault):
            m.d.sync += [error.code.eq(Code.ADDRESS), error.word.eq(reader.address)]
        with m.Elif(writer.fault):
            m.d.sync += [error.code.eq(Code.ADDRESS), error.word.eq(writer.address)]
        with m.Elif(self.memory_failed):
            m.d.sync += [error.code.eq(Code.MEMORY), error.word.eq(self.memory_address)]
        with m.Elif((engine.o.valid & engine.o.p.error) | load.failed | store.failed):
            m.d.sync += [error.code.eq(Code.MEMORY), error.word.eq(word.memory)]
