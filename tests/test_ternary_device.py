"""The ternary accelerator: its programs, its golden machine, and the simulated device with weights in SDRAM."""
from __future__ import annotations

from collections import deque
from dataclasses import replace
import importlib.util
from pathlib import Path
import re
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from mantissa import ternary_program
from mantissa.bitlinear import BitLinear
from mantissa.config import load as load_config
from mantissa.errors import DeviceError, MantissaError
from mantissa.hw import accelerator
from mantissa.hw.accelerator import narrowed
from mantissa.hw.memory_onchip import OnChip
from mantissa.hw.memory_port import MemoryPort
from mantissa.hw.ternary_core import TernaryCore
from mantissa.registers import Code, Control, Region, State
from mantissa.sw_driver.client import Client, register
from mantissa.sw_driver.device import Device
from mantissa.sw_driver.ternary import TernaryDevice, _Linked
from mantissa.ternary import ZERO
from mantissa.ternary_interpreter import Machine
from mantissa.ternary_network import Image, Network
from mantissa.ternary_program import Instruction, Op, decode, encode
from mantissa.ternary_tiles import tile, tiles

EXAMPLE = Path(__file__).parent.parent / "examples" / "ternary"


def example(name):
    """A module of the example."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        spec = importlib.util.spec_from_file_location(f"ternary_{name}", EXAMPLE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(EXAMPLE))


# --- programs

def test_instructions_come_back():
    rng = np.random.default_rng(0)
    program = []
    for op in Op:
        fields = {f.name: int(rng.integers(f.range[0], f.range[1] + 1)) for f in ternary_program.TABLE if f.name != "op"}
        program.append(Instruction(op=op, **fields))
    assert decode(encode(program)) == program


@pytest.mark.parametrize("field, value, message", [
    ("x", 1 << 18, "Field x of instruction 0 must be between 0 and 262143, not 262144"),
    ("rows", 0, "Field rows of instruction 0 must be between 1 and 65536, not 0"),
    ("shift", -129, "Field shift of instruction 0 must be between -128 and 127, not -129"),
])
def test_field_that_does_not_fit(field, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        encode([Instruction(op=Op.LINEAR, **{field: value})])


# --- the machine, against sums made here

@pytest.fixture(scope="module")
def simulated():
    with TernaryDevice.open("sim", config="ternary-sdram") as device:
        yield device


@pytest.fixture(params=["golden", "sim"])
def device(request):
    if request.param == "sim":
        yield request.getfixturevalue("simulated")
        return
    with TernaryDevice.open("golden", config="ternary-sdram") as golden:
        yield golden


def test_every_operation(device):
    rng = np.random.default_rng(1)
    columns, rows = 97, 37
    trits = rng.integers(-1, 2, (rows, columns)).astype(np.int8)
    image = tile(trits, device.tables).reshape(-1)
    x, gain = rng.integers(-3000, 3000, columns), rng.integers(100, 3000, columns)
    residual, codes = rng.integers(-2000, 2000, rows), rng.integers(-128, 128, columns)
    device.store(70_000, image)                             # another bank of the SDRAM than the first
    assert (device.load(70_000, image.size // device.tables) == image).all()
    for at, values in ((0, codes), (200, x), (400, gain), (600, residual)):
        device.write(at, values)
    matrix = {"memory": 70_000, "rows": rows, "columns": columns, "tiles": tiles(columns, device.tables)}
    scale = {"multiplier": 40_000, "shift": 9, "eps": 77}
    counted = device.run([
        Instruction(op=Op.PRODUCT, x=0, y=1000, **matrix),
        Instruction(op=Op.LINEAR, x=200, other=400, y=1100, residual=600, adds=1, **matrix, **scale),
        Instruction(op=Op.QUANTISE, x=200, other=400, y=1200, columns=columns, out_run=10, out_skip=3, **scale),
        Instruction(op=Op.PRODUCT, x=1200, y=1400, scales=1, relu=1, run=10, skip=3, **matrix),
        Instruction(op=Op.MAX, x=200, other=400, y=1500, columns=columns),
        Instruction(op=Op.GATE, x=200, other=400, y=1700, columns=columns)])
    assert (device.read(1000, rows) == trits.astype(int) @ codes).all()
    layer = BitLinear(trits, gain, type(BitLinear.of(trits, 1.0, gain, 1.0, 1.0, 1.0).constant)(np.asarray(40_000), np.asarray(9)), 77)
    assert (device.read(1100, rows) == layer(x, residual)).all()
    assert (device.read(1400, rows) == np.maximum(layer(x), 0)).all()
    assert (device.read(1500, columns) == np.maximum(x, gain)).all()
    product = np.maximum(x, 0).astype(object) ** 2 * gain
    exponent = max(0, int(max(product)).bit_length() - 15)
    assert np.abs(device.read(1700, columns) - product / 2.0 ** exponent).max() <= 1
    places = 1200 + np.arange(columns) + np.arange(columns) // 10 * 3
    assert np.abs(device.read(1200, 200)[places - 1200] - 127 * x * gain / np.abs(x * gain).max()).max() <= 0.5
    if device.name != "golden":
        assert len(counted) == 6
        assert counted[0]["looking"] == rows * matrix["tiles"] and counted[4]["looking"] <= 1
        assert 0 < counted[1]["quantising"] < counted[1]["cycles"]


@pytest.mark.parametrize("name, kind", [("mlp", "Mlp"), ("cnn", "Cnn"), ("transformer", "Transformer")])
def test_networks_layer_by_layer(device, name, kind):
    networks, on_device = example("networks"), example("device")
    layers, _ = networks.load(EXAMPLE / f"{name}.npz")
    rng = np.random.default_rng(2)
    inputs = rng.integers(-2000, 2000, (2, 128)) if name == "transformer" else rng.integers(0, 17, (2, 8, 8))
    expected = getattr(networks, kind)(layers)(inputs)
    network, at = on_device.load(device, name, layers)
    assert len(network.outputs) >= 3
    for n, one in enumerate(inputs):
        found, _ = on_device.run(device, network, at, one.reshape(-1))
        for output, values in found.items():
            assert (values == expected[output][n].reshape(-1)).all(), output


@pytest.mark.parametrize("kind", ["tq1_0", "hf"])
def test_converted_file_to_the_device(device, tmp_path, kind):
    """From a file that the format's own library wrote to exact products, sums and outputs with the file's scale."""
    pytest.importorskip("gguf")
    pytest.importorskip("safetensors")
    sys.path.insert(0, str(Path(__file__).parent))
    from llm_files import OFFLINE, random_trits, write_hf, write_tq

    from mantissa.llm import convert
    matrices = {"a.weight": (random_trits(48, 256, 11), 0.5), "b.weight": (random_trits(20, 512, 12), 0.03125)}
    path = write_tq(tmp_path / "a.gguf", matrices, kind) if kind == "tq1_0" else write_hf(tmp_path / "a.safetensors", matrices, "BF16",
                                                                                          OFFLINE)
    model = convert(path, tmp_path / "out", tables=device.tables)
    at, rng = 500, np.random.default_rng(13)
    for name, (trits, scale) in matrices.items():
        packed, (rows, columns) = model.tiles(name), trits.shape
        device.store(at, packed)
        x = rng.integers(-128, 128, columns)
        device.write(0, x)
        device.run([Instruction(op=Op.PRODUCT, y=1000, memory=at, rows=rows, columns=columns, tiles=len(packed))])
        assert (device.read(1000, rows) == trits.astype(int) @ x).all()
        assert model.scale(name) == scale
        layer = BitLinear.of(model.trits(name), model.scale(name), rng.integers(100, 3000, columns), 2.0 ** -10, 2.0 ** -8, 2.0 ** -12)
        values = rng.integers(-3000, 3000, columns)
        device.write(0, values)
        device.write(2000, layer.gain)
        device.run([Instruction(op=Op.LINEAR, other=2000, y=1000, memory=at, rows=rows, columns=columns, tiles=len(packed), eps=layer.eps,
                                multiplier=int(layer.constant.multiplier), shift=int(layer.constant.shift))])
        assert (device.read(1000, rows) == layer(values)).all()
        at += packed.shape[0] * rows


def test_page_is_true(tmp_path):
    """What docs/ternary.md shows of a converted file on a device."""
    pytest.importorskip("gguf")
    sys.path.insert(0, str(Path(__file__).parent))
    from llm_files import random_trits, write_tq

    from mantissa.llm import convert
    page = (EXAMPLE.parent.parent / "docs" / "ternary.md").read_text(encoding="utf-8").partition("## To a device")[2]
    code = re.search(r"^(    .*\n|\n)+", page[page.index("    import"):])[0]
    trits = random_trits(12, 256, 14)
    out = tmp_path / "out"
    convert(write_tq(tmp_path / "a.gguf", {"blk.0.attn_q.weight": (trits, 0.5)}, "tq2_0"), out)
    found = {}
    exec(textwrap.dedent(code).replace("build/model", str(out)), found)
    assert (found["outputs"] == 0.5 * (trits.astype(int) @ found["x"])).all()


def test_device_stops_and_goes_on(simulated):
    end = simulated.memory_words
    for instruction, reason in [
        (Instruction(op=Op.PRODUCT, memory=end - 3, rows=64, columns=40), f"MEMORY, PRODUCT, instruction 0, word {end - 3:#x}"),
        (Instruction(op=Op.PRODUCT, rows=64, columns=41), "SIZE, PRODUCT, instruction 0"),
        (Instruction(op=Op.PRODUCT, rows=8193, columns=40), "SIZE, PRODUCT, instruction 0"),
        (Instruction(op=Op.MAX, x=simulated.vector_words - 2, columns=5), "ADDRESS, MAX, instruction 0, word 0x0"),
        (Instruction(op=Op.LOAD, memory=end - 1, columns=4), "MEMORY, LOAD, instruction 0"),
    ]:
        with pytest.raises(DeviceError, match=re.escape(f"Program must run to its end, and simulated device stopped it: {reason}")):
            simulated.run([instruction])
    codes = np.arange(-20, 20)
    trits = np.random.default_rng(3).integers(-1, 2, (64, 40)).astype(np.int8)
    simulated.store(0, tile(trits, simulated.tables))
    simulated.write(0, codes)
    simulated.run([Instruction(op=Op.PRODUCT, y=100, rows=64, columns=40)])
    assert (simulated.read(100, 64) == trits.astype(int) @ codes).all()


class Mute(wiring.Component):
    """A memory that takes requests and words, and after its first ``words`` read says nothing more."""
    words = 0

    def __init__(self, **port):
        super().__init__({"port": In(MemoryPort(**port))})

    def elaborate(self, platform):
        m = Module()
        given, asked, o = Signal(range(self.words + 1)), Signal(), self.port.read_data
        m.d.comb += [getattr(self.port, name).ready.eq(1) for name in ("read_requests", "write_requests", "write_data")]
        m.d.comb += [o.valid.eq(asked & (given != self.words)), o.p.data.eq(int.from_bytes(bytes([ZERO] * 8)))]
        m.d.sync += [asked.eq(asked | self.port.read_requests.valid), given.eq(given + (o.valid & o.ready))]
        return m


class Wire:
    """What the driver takes for a transport: an accelerator in Amaranth's simulator."""
    def __init__(self, accelerator):
        self.name, self.patience, self.cycles = "simulated core", 100.0, None
        self.accelerator, self.sent, self.received, self.now = accelerator, deque(), bytearray(), 0
        self.simulator = Simulator(accelerator)
        self.simulator.add_clock(1e-6)
        self.simulator.add_testbench(self.host, background=True)

    async def host(self, ctx):
        rx, tx = self.accelerator.rx, self.accelerator.tx
        ctx.set(tx.ready, 1)
        while True:
            offered = bool(self.sent)                       # more may be sent before the tick
            ctx.set(rx.valid, offered)
            ctx.set(rx.p.data, self.sent[0] if offered else 0)
            _, _, taken, came, byte = await ctx.tick().sample(rx.ready, tx.valid, tx.p.data)
            if taken and offered:
                self.sent.popleft()
            if came:
                self.received.append(byte)
            self.now += 1

    def write(self, data):
        self.sent += data

    def read(self, timeout):
        end = self.now + 20_000
        while not self.received and self.now < end:
            self.simulator.advance()
        data = bytes(self.received)
        self.received.clear()
        return data

    def drain(self):
        self.received.clear()

    def close(self):
        pass


@pytest.fixture
def mute(request, monkeypatch):
    """The driver's client of an accelerator whose memory gives so many words, and then never answers."""
    monkeypatch.setattr(Mute, "words", request.param)
    monkeypatch.setattr(accelerator, "OnChip", Mute)
    monkeypatch.setattr(accelerator, "PATIENCE", 200)
    config = replace(load_config("ternary"), weight_words=256, activation_words=256, param_channels=16, accumulators=32, instructions=16)
    client = Client(Wire(accelerator.Accelerator(config, b"01234567")))
    client.connect()
    return client


@pytest.mark.parametrize("mute", [0], indirect=True)
def test_memory_that_does_not_answer(mute):
    """The program stops, FAULT being where the burst began; and so does the next, as nothing is heard of the memory until reset."""
    for memory in (0x55, 0x99):
        mute.write(Region.PROGRAM << 20, encode([Instruction(op=Op.PRODUCT, memory=memory, rows=20, columns=40)]))
        mute.write(register("CONTROL"), bytes([Control.START]))
        assert mute.wait(10_000) == State.FAILED | Code.MEMORY << 8
        assert mute.register("FAULT") == 0x55


@pytest.mark.parametrize("mute, call, reason", [
    (0, lambda device: device.run([Instruction(op=Op.MAX), Instruction(op=Op.PRODUCT, memory=0x55, rows=20, columns=40)]),
     "PRODUCT, instruction 1, word 0x55"),
    (16, lambda device: device.run([Instruction(op=Op.PRODUCT, memory=0x55, rows=20, columns=40)]), "PRODUCT, instruction 0, word 0x65"),
    (0, lambda device: device.load(0x77, 1), "LOAD, instruction 0, word 0x77"),
    (0, lambda device: device.store(0x66, np.full(16, ZERO)), "STORE, instruction 0, word 0x66"),
], indirect=["mute"])
def test_memory_that_does_not_answer_by_address(mute, call, reason):
    """The driver's sentence names it: of the second burst, where the first came."""
    with pytest.raises(DeviceError) as caught:
        call(TernaryDevice(_Linked(mute)))
    assert str(caught.value) == f"Program must run to its end, and simulated core stopped it: MEMORY, {reason}"


def test_scale_of_a_bfloat16():
    """The core alone, its memory on the chip, with eight bits of scale: the same layer as the golden model's, and other than with 16."""
    rng = np.random.default_rng(5)
    columns, rows = 20, 6
    config = replace(load_config("ternary"), array=4, weight_words=64, activation_words=256, param_channels=16, accumulators=32,
                     instructions=16, scale_bits=8)
    trits = rng.integers(-1, 2, (rows, columns)).astype(np.int8)
    wide = BitLinear.of(trits, 0.3, rng.integers(800, 1300, columns), 2.0 ** -10, 2.0 ** -8, 2.0 ** -12)
    layer = wide.with_bits(8)
    x = rng.integers(-900, 900, columns)
    assert (layer(x) != wide(x)).any()
    core = TernaryCore(config, b"01234567")
    top = Module()
    top.submodules.core = core
    top.submodules.weights = weights = OnChip(**{**core.port, "address_bits": core.port["address_bits"] - 1})
    narrowed(top, core.memory, weights.port)
    packed = tile(trits, 4).reshape(-1).view("<i4")
    vectors = {0: x, 32: layer.gain, 64: packed}
    program = encode([
        Instruction(op=Op.STORE, x=64, columns=len(packed)),
        Instruction(op=Op.LINEAR, x=0, other=32, y=128, rows=rows, columns=columns, tiles=1, multiplier=int(layer.constant.multiplier),
                    shift=int(layer.constant.shift), eps=layer.eps),
        Instruction(op=Op.HALT)])
    writes = [((Region.PROGRAM << 20) + n, byte) for n, byte in enumerate(program)]
    writes += [((Region.ACTIVATIONS << 20) + 4 * at + n, byte) for at, values in vectors.items()
               for n, byte in enumerate(np.asarray(values).astype("<i4").tobytes())]
    found = []

    async def bench(ctx):
        async def ask(address, write, byte):
            ctx.set(core.i.p, {"address": address, "write": write, "data": byte})
            ctx.set(core.i.valid, 1)
            await ctx.tick().until(core.i.ready)
            ctx.set(core.i.valid, 0)
        ctx.set(core.o.ready, 1)
        for address, byte in [*writes, (register("CONTROL"), Control.START)]:
            await ask(address, 1, byte)
        await ctx.tick().repeat(1500)
        assert ctx.get(core.status) & 0xffff == State.DONE
        for n in range(4 * rows):
            await ask((Region.ACTIVATIONS << 20) + 4 * 128 + n, 0, 0)
            reply, = await ctx.tick().sample(core.o.p).until(core.o.valid)
            found.append(reply.data)

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert (np.frombuffer(bytes(found), "<i4") == layer(x)).all()


# --- refusals

def test_refusals():
    with TernaryDevice.open("golden", config="ternary") as device:
        for call, message in [
            (lambda: device.write(0, np.zeros(3)), "Vectors must be integers, not float64"),
            (lambda: device.write(16_383, [1, 2]), "Vectors must lie within 16384 words, not in 16383 to 16385"),
            (lambda: device.write(0, [3, (1 << 40) + 5]),
             "Vectors must be integers of 32 bits, -2147483648 to 2147483647, not 1099511627781 at index 1"),
            (lambda: device.write(0, np.array([1 << 63], np.uint64)),
             "Vectors must be integers of 32 bits, -2147483648 to 2147483647, not 9223372036854775808 at index 0"),
            (lambda: device.write(0, [[1], [2, 3]]), "Vectors must be an array of integers, not list"),
            (lambda: device.write(0, [[1]]), "Vectors must be integers of one dimension, not int64 (1, 1)"),
            (lambda: device.write(0.5, [1]), "Address of a vector must be an integer, not 0.5"),
            (lambda: device.write(-1, [1]), "Vectors must lie within 16384 words, not in -1 to 0"),
            (lambda: device.read(0, -3), "Vectors must lie within 16384 words, not in 0 to -3"),
            (lambda: device.read(5, "7"), "Number of words must be an integer, not '7'"),
            (lambda: device.load(-1, 2), "Data must lie within the external memory's 65,536 words, not in -1 to 1"),
            (lambda: device.load(65_535, 2), "Data must lie within the external memory's 65,536 words, not in 65,535 to 65,537"),
            (lambda: device.load(9, -1), "Data must lie within the external memory's 65,536 words, not in 9 to 8"),
            (lambda: device.load(True, 2), "Address of data must be an integer, not True"),
            (lambda: device.store(0, [0.5] * 8), "Data for the external memory must be integers, not float64"),
            (lambda: device.store(0, [-1] * 8), "Data for the external memory must be bytes of trits, 0 to 242, not -1 at index 0"),
            *[(lambda byte=byte: device.store(0, [0] * 9 + [byte] * 7),
               f"Data for the external memory must be bytes of trits, 0 to 242, not {byte} at index 9") for byte in range(243, 257)],
            (lambda: device.store(-1, np.zeros(8, np.uint8)),
             "Data must lie within the external memory's 65,536 words, not in -1 to 0"),
            (lambda: device.store(0, np.zeros((4, 4), np.uint8)), "Tiles for the external memory must have words of 8 bytes, not 4"),
            (lambda: device.store(0, np.zeros(9, np.uint8)), "Data for the external memory must be words of 8 bytes, not 9 bytes"),
            (lambda: device.store(65_535, np.zeros(16, np.uint8)),
             "Data must lie within the external memory's 65,536 words, not in 65,535 to 65,537"),
            (lambda: device.run([Instruction(op=Op.PRODUCT, scales=1, rows=2, columns=40, memory=1)]),
             "A product can be scaled only when something was quantised"),
            (lambda: device.run([Instruction(op=Op.MAX, x=16_380, columns=5)]),
             "Vectors must end before word 16384, not at 16384"),
            (lambda: device.run([Instruction(op=Op.MAX), Instruction(op=Op.MAX, x=-1)]),
             "Field x of instruction 1 must be between 0 and 262143, not -1"),
        ]:
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                call()
        assert not len(device.read(16_384, 0)) and not len(device.load(65_536, 0))
    with pytest.raises(MantissaError, match="^Configuration sim must have engine 'ternary', not 'array'$"):
        TernaryDevice.open("golden", config="sim")
    with pytest.raises(DeviceError, match="must have an array, and has a ternary engine: open it as a TernaryDevice$"):
        Device.open("sim", config="ternary-sdram")


def test_machine_refuses_what_lies_outside():
    machine = Machine(tables=8, vector_words=64, memory_words=16)
    with pytest.raises(MantissaError, match="^Memory must end at byte 128, not at 136$"):
        machine.run([Instruction(op=Op.LOAD, memory=16, columns=2)])
    with pytest.raises(MantissaError, match="^Multiplier of a scale must have 8 bits, not the value 256$"):
        Machine(tables=8, vector_words=64, memory_words=16, scale_bits=8).run([Instruction(op=Op.QUANTISE, columns=2, multiplier=256)])


@pytest.mark.parametrize("fields, bits", [
    ({"op": Op.QUANTISE}, 16), ({"op": Op.QUANTISE, "x": 1, "other": 0}, 16), ({"op": Op.LINEAR}, 16), ({"op": Op.GATE}, 16),
    ({"op": Op.GATE, "x": 1, "other": 0}, 16), ({"op": Op.PRODUCT}, 8), ({"op": Op.PRODUCT, "x": 1, "scales": 1, "adds": 1}, 16)])
def test_machine_refuses_values_that_the_hardware_would_cut(fields, bits):
    """Where the hardware takes the lowest bits; the others are given, and so are the largest."""
    scale = {"multiplier": 40_000, "shift": 9}
    instruction = Instruction(**{"x": 0, "other": 1, "y": 2, "rows": 1, **scale, **fields})
    for value, fits in [((1 << bits - 1) - 1, True), (-1 << bits - 1, True), (1 << bits - 1, False), ((-1 << bits - 1) - 1, False)]:
        machine = Machine(tables=8, vector_words=64, memory_words=16)
        machine.vectors[8] = machine.vectors[9] = 1
        machine.run([Instruction(op=Op.QUANTISE, x=8, other=9, y=10, **scale)])
        machine.memory[:] = ZERO
        machine.vectors[:2] = value, 1
        if fits:
            machine.run([instruction])
            continue
        rule = f"Values that {fields['op'].name} reads must be within {-1 << bits - 1} and {(1 << bits - 1) - 1}, not {value}"
        with pytest.raises(MantissaError, match=f"^{re.escape(rule)}$"):
            machine.run([instruction])


def test_networks_that_do_not_fit():
    layer = BitLinear.of(np.ones((40, 100), np.int8), 1.0, np.ones(100, int), 1.0, 1.0, 1.0)
    with pytest.raises(MantissaError, match=r"^Matrices must fit 100 words of 8 bytes, and that of wide would end at 120$"):
        Network(tables=8, vector_words=1000, memory_words=100).place("wide", layer)
    with pytest.raises(MantissaError, match=r"^Gains of wide must be within -32768 and 32767, not 32768$"):
        Network(tables=8, vector_words=1000, memory_words=1000).place("wide", replace(layer, gain=layer.gain << 15))
    with pytest.raises(MantissaError, match=r"^Scale of wide must have the device's 8 bits, not 16$"):
        Network(tables=8, vector_words=1000, memory_words=1000, scale_bits=8).place("wide", layer)
    with pytest.raises(MantissaError, match=r"^Vectors must fit 120 words, and out would end at 140$"):
        network = Network(tables=8, vector_words=120, memory_words=1000)
        network.linear("out", network.place("wide", layer), 0)
    with pytest.raises(MantissaError, match=r"^Image of p must have an even height and width, not 3 and 4$"):
        Network(tables=8, vector_words=120, memory_words=1000).max_pool("p", Image(0, 3, 4, 2))


@pytest.mark.parametrize("key, value, rule", [
    ("engine", "systolic", "'array' or 'ternary'"), ("memory", "ddr3", "'onchip' or 'sdram'"),
    ("array", 2, "4, 8 or 16 with a ternary engine"),
    ("packed", True, "false with a ternary engine"), ("requant_lanes", 2, "1 with a ternary engine"),
    ("weight_words", 1 << 20, "4194304, the SDRAM's 32 MiB"), ("accumulators", 16, "at least 32 with a ternary engine"),
    ("param_channels", 2048, "at most 1024 with a ternary engine of 8 tables"),
    ("scale_bits", 19, "from 2 to 18"), ("scale_bits", "8", "an integer"),
])
def test_configurations_refused(key, value, rule):
    config = load_config("ternary-sdram")
    with pytest.raises(MantissaError, match=f"^{re.escape(f'Configuration key {key} must be {rule}, not {value!r}')}$"):
        replace(config, **{key: value})
