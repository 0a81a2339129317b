"""The accelerator behind its bus: memories, sequencer and datapath wired together, nothing computed."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..fixed import BITS, NAMES
from ..instruction import BYTES
from ..program import Op
from ..registers import (
    ACC_BITS,
    LOG_BYTES,
    PARAM_BYTES,
    PARAM_STRIDE,
    WIDE_ACC_BITS,
    WIDE_PARAM_BYTES,
    Capability,
    Code,
    Region,
)
from .array_weight import WeightStationary
from .bank import Bank
from .core_bus import BUS_REPLY, BUS_REQUEST, COUNTERS, answer
from .decode import VectorDecode, WeightDecode
from .engine import Accumulate
from .feed import FLAGS, Feeder, WeightLoader
from .post import Post
from .reduce import Reduce
from .sequencer import Sequencer
from .stream import Skid

__all__ = ["Core"]

TAG = ("swap", "first", "last", "end")


class Core(wiring.Component):
    """Registers, memories and compute of an accelerator, behind a byte bus.

    Parameters
    ----------
    config : :class:`~mantissa.config.Config`
        Sizes.
    identity : :class:`bytes`
        Eight bytes the device reports as its identity.

    Members
    -------
    i : :py:`In(stream.Signature({"address": 24, "write": 1, "data": 8}))`
        Requests; addresses as in :mod:`mantissa.registers`.
    o : :py:`Out(stream.Signature({"data": 8, "status": 8}))`
        One reply per request, six cycles later or more, in order. Memories answer BUSY while a program runs.
    crc_errors, framing_errors, overflows, duplicates, gaps : :py:`In(32)`
        The link's counters, for the registers.
    status : :py:`Out(32)`
        The STATUS register.
    """

    def __init__(self, config: Config, identity: bytes) -> None:
        if len(identity) != 8:
            raise ValueError(f"Identity must be 8 bytes, not {len(identity)}")
        self.config = config
        self.identity = identity
        # Small devices have serial requantizers and no memory of LUTs; large ones lay far apart what is fed by one memory.
        self.room = 3 if config.requant == "serial" else 16
        self.far = config.packed
        self.wide = config.formats != ("int8",)
        super().__init__({
            "i": In(stream.Signature(BUS_REQUEST)), "o": Out(stream.Signature(BUS_REPLY)),
            "status": Out(32),
        } | {name: In(32) for name in COUNTERS.values()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self.config
        m.submodules.sequencer = sequencer = Sequencer(instructions=c.instructions, formats=c.formats)
        banks = {
            Region.PROGRAM: Bank(depth=c.instructions * BYTES // 4, lanes=4, far=self.far),
            Region.ACTIVATIONS: Bank(depth=c.activation_words, lanes=c.array, dual=True, near=self.far, far=self.far,
                                     halves=self.wide),
            Region.WEIGHTS: Bank(depth=c.weight_words, lanes=c.array, dual=self.far, near=self.far, far=self.far),
            Region.PARAMS: Bank(depth=c.param_channels // c.requant_lanes, lanes=c.requant_lanes,
                                item=WIDE_PARAM_BYTES if self.wide else PARAM_BYTES, stride=PARAM_STRIDE, far=self.far),
            Region.LOG: Bank(depth=c.instructions * LOG_BYTES // 4, lanes=4, bus_writes=False, far=self.far),
        }
        for region, bank in banks.items():
            m.submodules[region.name.lower()] = bank
            m.d.comb += bank.running.eq(sequencer.running)
        program, log = banks[Region.PROGRAM], banks[Region.LOG]
        m.d.comb += [
            program.read_address.eq(sequencer.fetch_address), program.read_enable.eq(sequencer.fetch_enable),
            sequencer.fetch_data.eq(program.read_data),
            log.read_address.eq(sequencer.log_address), log.write_enable.eq(sequencer.log_enable),
            log.write_data.eq(sequencer.log_data),
            self.status.eq(sequencer.status),
        ]
        answer(m, self, banks, sequencer, Capability.of(c, self.identity).pack(), room=self.room, far=self.far)
        self._datapath(m, sequencer, banks)
        return m

    def _sliced(self, m: Module, name: str, output: stream.Interface, flush: Signal) -> stream.Interface:
        """``output``, behind a register slice where much lies far apart."""
        if not self.far:
            return output
        m.submodules[name] = ResetInserter(flush)(unit := Skid(output.p.shape()))
        wiring.connect(m, output, unit.i)
        return unit.o

    def _datapath(self, m: Module, sequencer: Sequencer, banks: dict[Region, Bank]) -> None:
        """Feeder, then array and accumulators or reduction, then requantizers."""
        c, word = self.config, sequencer.instruction
        acc_width = WIDE_ACC_BITS if self.wide else ACC_BITS
        feeder = Feeder(lanes=c.array, depth=c.activation_words, latency=1 + 2 * self.far, room=self.room)
        loader = WeightLoader(lanes=c.array, depth=c.weight_words, latency=1 + 2 * self.far, room=self.room)
        array = WeightStationary(c.array, c.array, c.packed, tag=len(TAG), elastic=c.packed, sign_magnitude=self.wide)
        # A serial lane takes its time: two waiting vectors are enough.
        accumulate = Accumulate(lanes=c.array, width=array.sum_width, slots=c.accumulators, room=2 if c.requant == "serial" else self.room,
                                acc_width=acc_width)
        reduce = Reduce(lanes=c.array, width=BITS + 1 if self.wide else 8, acc_width=acc_width)
        post = Post(lanes=c.array, requantizers=c.requant_lanes, serial=c.requant == "serial", channels=c.param_channels,
                    depth=c.activation_words, formats=c.formats)
        for name, unit in (("feeder", feeder), ("loader", loader), ("array", array), ("accumulate", accumulate), ("reduce", reduce),
                           ("post", post)):
            m.submodules[name] = ResetInserter(sequencer.flush)(unit)
        wiring.connect(m, self._sliced(m, "steps", sequencer.o, sequencer.flush), feeder.i)
        vector = self._sliced(m, "vectors", feeder.o, sequencer.flush)
        tile, exhausted, numbers = loader.o, loader.exhausted, vector.p.a
        if self.wide:
            vector, numbers, tile, loading = self._decoded(m, sequencer, vector, tile)
            exhausted = exhausted & ~loading
            m.d.comb += [post.format.eq(word.format_o), post.half.eq(word.half_o), array.i.p.pair.eq(word.half_a == 3),
                         banks[Region.ACTIVATIONS].write_halves.eq(post.write_halves)]
        tag, matmul, maximum = Signal(len(TAG)), Signal(), Signal()
        m.d.sync += [matmul.eq(word.op == Op.MATMUL), maximum.eq(word.op == Op.MAX)]
        m.d.comb += [
            feeder.pad.eq(word.pad),
            array.i.valid.eq(vector.valid & matmul), array.i.p.a.eq(vector.p.a), array.i.p.swap.eq(vector.p.swap),
            array.i.p.tag.eq(Cat(vector.p[name] for name in TAG)),
            array.i_w.valid.eq(tile.valid & matmul), tile.ready.eq(array.i_w.ready & matmul),
            array.i_w.p.w.eq(tile.p.w if self.wide else tile.p.b), loader.start.eq(sequencer.start), loader.base.eq(word.weights),
            accumulate.i.valid.eq(array.o.valid), array.o.ready.eq(accumulate.i.ready), accumulate.i.p.sum.eq(array.o.p.sum),
            tag.eq(array.o.p.tag),
            reduce.i.valid.eq(vector.valid & ~matmul), reduce.i.p.a.eq(numbers), reduce.i.p.maximum.eq(maximum),
            vector.ready.eq(Mux(matmul, array.i.ready, reduce.i.ready)),
        ]
        m.d.comb += [accumulate.i.p[name].eq(tag[n]) for n, name in enumerate(TAG)]
        m.d.comb += [reduce.i.p[name].eq(vector.p[name]) for name in ("first", "last", "hold", "end")]
        m.d.comb += [
            post.i.valid.eq(Mux(matmul, accumulate.o.valid, reduce.o.valid)),
            accumulate.o.ready.eq(matmul & post.i.ready), reduce.o.ready.eq(~matmul & post.i.ready),
            post.i.p.acc.eq(Mux(matmul, accumulate.o.p.acc, reduce.o.p.acc)),
            post.i.p.hold.eq(~matmul & reduce.o.p.hold), post.i.p.end.eq(Mux(matmul, accumulate.o.p.end, reduce.o.p.end)),
            post.start.eq(sequencer.start), post.advance.eq(matmul), sequencer.written.eq(post.written),
        ]
        m.d.comb += [getattr(post, name).eq(word[name])
                     for name in ("params", "output", "output_step", "output_wrap", "zero_point", "low", "high")]
        self._memories(m, banks, feeder, loader, post)
        # What only stops or counts may come a cycle late.
        starved = array.starved & matmul
        m.d.sync += [
            sequencer.wait_weights.eq(starved),
            sequencer.wait_output.eq(vector.valid & ~vector.ready & ~starved),
            sequencer.error.eq(0),
        ]
        with m.If(feeder.fault):
            m.d.sync += [sequencer.error.code.eq(Code.ADDRESS), sequencer.error.word.eq(feeder.fault_address)]
        with m.Elif(post.fault):
            m.d.sync += [sequencer.error.code.eq(Code.ADDRESS), sequencer.error.word.eq(post.fault_address)]
        with m.Elif(starved & exhausted):
            m.d.sync += [sequencer.error.code.eq(Code.ADDRESS), sequencer.error.word.eq(c.weight_words)]
        with m.Elif(accumulate.overflow):
            m.d.sync += [sequencer.error.code.eq(Code.SIZE), sequencer.error.word.eq(c.accumulators)]

    def _decoded(self, m: Module, sequencer: Sequencer, vector: stream.Interface, tile: stream.Interface) -> tuple[
            stream.Interface, Value, stream.Interface, Value]:
        """Vectors and weight tiles as operands of the array; the vectors' signed numbers; whether a row of weights is on its way."""
        c, word = self.config, sequencer.instruction
        names = [name for name in c.formats if name in NAMES]
        vectors = VectorDecode(lanes=c.array, formats=names, tag=len(FLAGS))
        weights = WeightDecode(rows=c.array, columns=c.array, formats=c.formats)
        for name, unit in (("decode_vectors", vectors), ("decode_weights", weights)):
            m.submodules[name] = ResetInserter(sequencer.flush)(unit)
        i, o = vectors.i, stream.Signature(data.StructLayout({"a": vectors.o.p.shape().members["a"]} | FLAGS)).create()
        m.d.comb += [
            i.valid.eq(vector.valid), vector.ready.eq(i.ready), i.p.a.eq(vector.p.a), i.p.format.eq(word.format_a),
            i.p.half.eq(word.half_a), weights.i.p.pair.eq(word.half_a == 3),
            i.p.tag.eq(Cat(vector.p[name] for name in FLAGS)),
            weights.i.valid.eq(tile.valid), tile.ready.eq(weights.i.ready), weights.i.p.b.eq(tile.p.b),
            weights.i.p.format.eq(word.format_w),
            o.valid.eq(vectors.o.valid), vectors.o.ready.eq(o.ready), o.p.a.eq(vectors.o.p.a),
        ]
        m.d.comb += [o.p[name].eq(vectors.o.p.tag[n]) for n, name in enumerate(FLAGS)]
        return o, vectors.o.p.value, weights.o, weights.busy

    def _memories(self, m: Module, banks: dict[Region, Bank], feeder: Feeder, loader: WeightLoader, post: Post) -> None:
        activations, weights, params = banks[Region.ACTIVATIONS], banks[Region.WEIGHTS], banks[Region.PARAMS]
        m.d.comb += [
            activations.read_address.eq(feeder.read_address), activations.read_enable.eq(1),
            feeder.read_data.eq(activations.late_data),
            activations.write_address.eq(post.write_address), activations.write_enable.eq(post.write_enable),
            activations.write_data.eq(post.write_data),
            weights.read_address.eq(loader.read_address), weights.read_enable.eq(1),
            loader.read_data.eq(weights.late_data),
            params.read_address.eq(post.param_address), params.read_enable.eq(post.param_enable),
            post.param_data.eq(params.read_data),
        ]
