"""Programs on the accelerator's core, in Amaranth's simulator, against the interpreter."""
from __future__ import annotations

import struct

from amaranth.sim import Simulator
import numpy as np
import pytest

from mantissa import interpreter
from mantissa.config import Config
from mantissa.frame import Status
from mantissa.hw.core import Core
from mantissa.program import Instruction, Loop, Op, encode
from mantissa.registers import (LOG_BYTES, PARAM_STRIDE, REGISTERS, Capability, Code, Control, Region, State, pack_param)

IDENTITY = b"mantissa"
ADDRESS = {register.name: register.address for register in REGISTERS}


def small(array: int = 4, lanes: int = 2, requant: str = "parallel", packed: bool = False) -> Config:
    return Config(name="small", board="sim", clock_hz=1_000_000, baud=100_000, array=array, packed=packed, requant=requant,
                  requant_lanes=lanes, activation_words=256, weight_words=256, param_channels=64, accumulators=16,
                  instructions=16, payload=64)


class Bus:
    """The core's bus, driven from a testbench."""

    def __init__(self, ctx, dut) -> None:
        self.ctx, self.dut = ctx, dut
        ctx.set(dut.o.ready, 1)

    async def access(self, address: int, value: int | None = None) -> tuple[int, int]:
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, {"address": address, "write": value is not None, "data": value or 0})
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        data, status = await ctx.tick().sample(dut.o.p.data, dut.o.p.status).until(dut.o.valid)
        return data, status

    async def write(self, region: Region, content: bytes) -> None:
        for n, byte in enumerate(content):
            _, status = await self.access(region << 20 | n, byte)
            assert status == Status.OK

    async def read(self, region: Region, count: int, offset: int = 0) -> bytes:
        out = bytearray()
        for n in range(offset, offset + count):
            data, status = await self.access(region << 20 | n)
            assert status == Status.OK
            out.append(data)
        return bytes(out)

    async def register(self, name: str) -> int:
        return int.from_bytes(await self.read(Region.REGISTERS, 4, ADDRESS[name]), "little")

    async def run(self) -> int:
        """Run the program; the STATUS register afterwards."""
        await self.access(ADDRESS["CONTROL"], Control.START)
        for _ in range(2000):
            await self.ctx.tick().repeat(50)
            status = await self.register("STATUS")
            if status & 0xff != State.RUNNING:
                return status
        raise AssertionError("the program does not end")


def simulate(config: Config, body) -> None:
    dut = Core(config, IDENTITY)

    async def bench(ctx) -> None:
        await body(Bus(ctx, dut))
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def conv(config: Config, *, height: int, width: int, inner: int, outer: int, kernel: int, stride: int, pad: int,
         source: int, target: int, weights: int = 0, params: int = 0) -> Instruction:
    """A convolution over ``inner`` tiles of channels to ``outer`` tiles."""
    rows, columns = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
    strides = [(stride * inner, 0, stride), (stride * width * inner, stride, 0), (1, 0, 0), (inner, 0, 1),
               (width * inner, 1, 0), (0, 0, 0)]
    counts = [columns, rows, inner, kernel, kernel, outer]
    loops, walked = [], np.zeros(3, int)
    for count, step in zip(counts, strides, strict=True):
        delta = np.array(step) - walked
        loops.append(Loop(count=count, address=int(delta[0]), y=int(delta[1]), x=int(delta[2])))
        walked = walked + (count - 1) * np.array(step)
    return Instruction(op=Op.MATMUL, pad=-5, zero_point=3, height=height, width=width, y=-pad, x=-pad,
                       input=source - pad * (width + 1) * inner, output=target, output_step=outer,
                       output_wrap=1 - (rows * columns - 1) * outer, weights=weights, params=params, loops=tuple(loops))


def window(op: Op, *, count: int, size: int, source: int, target: int, tiles: int = 1, gap: int = 0, params: int = 0,
           low: int = -128) -> Instruction:
    """``count`` outputs, each from ``size`` words ``gap`` apart (or following each other), for ``tiles`` tiles."""
    between = gap or tiles
    step = tiles if gap else tiles * size
    column = step - (size - 1) * between
    tile = 1 - (count - 1) * step - (size - 1) * between
    loops = (Loop(count=size, address=between), Loop(), Loop(), Loop(count=count, address=column), Loop(),
             Loop(count=tiles, address=tile))
    return Instruction(op=op, input=source, output=target, output_step=tiles, output_wrap=1 - (count - 1) * tiles,
                       params=params, loops=loops, zero_point=-7, low=low, high=100)


def images(config: Config, rng: np.random.Generator) -> tuple[bytes, bytes, bytes]:
    activations = rng.integers(-128, 128, config.activation_words * config.array, np.int8).tobytes()
    weights = rng.integers(-128, 128, config.weight_words * config.array, np.int8).tobytes()
    params = b"".join(pack_param(int(rng.integers(-4000, 4000)), int(rng.integers(1 << 30, 1 << 31)), int(rng.integers(36, 44)))
                      .ljust(PARAM_STRIDE, b"\0") for _ in range(config.param_channels))
    return activations, weights, params


def programs(config: Config) -> dict[str, list[Instruction]]:
    array = config.array
    same = [pack_param(0, 1 << 30, 31)]
    assert same
    return {
        "conv": [conv(config, height=4, width=4, inner=2, outer=2, kernel=3, stride=1, pad=1, source=0, target=100)],
        "strided": [conv(config, height=5, width=4, inner=1, outer=3, kernel=2, stride=2, pad=1, source=3, target=60, params=array),
                    conv(config, height=3, width=3, inner=3, outer=1, kernel=3, stride=1, pad=0, source=60, target=200, weights=64)],
        "dense": [conv(config, height=1, width=1, inner=5, outer=4, kernel=1, stride=1, pad=0, source=7, target=90),
                  conv(config, height=1, width=1, inner=4, outer=1, kernel=1, stride=1, pad=0, source=90, target=0)],
        "pool": [window(Op.MAX, count=6, size=4, source=0, target=120, tiles=2, params=array),
                 window(Op.SUM, count=5, size=3, source=120, target=150, params=2 * array)],
        "add": [window(Op.ADD, count=9, size=2, source=10, target=130, tiles=2, gap=70, params=2 * array, low=-20)],
    }


SHAPES = {"4x4": small(), "2x2 serial": small(array=2, lanes=1, requant="serial"), "4x4 packed": small(lanes=4, packed=True),
          "8x8": small(array=8, lanes=8)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["conv", "strided", "dense", "pool", "add"])
def test_program(shape: str, name: str) -> None:
    config = SHAPES[shape]
    program = [*programs(config)[name], Instruction()]
    capability = Capability.of(config, IDENTITY)
    activations, weights, params = images(config, np.random.default_rng(1))
    if name == "add":          # both operands share their shift
        channels = [params[n:n + PARAM_STRIDE] for n in range(0, len(params), PARAM_STRIDE)]
        params = b"".join(c[:8] + bytes([37]) + c[9:] for c in channels)
        params = b"".join(struct.pack("<i", struct.unpack("<i", params[n:n + 4])[0] % 256 - 128) + params[n + 4:n + PARAM_STRIDE]
                          for n in range(0, len(params), PARAM_STRIDE))
    want = interpreter.run(capability, program, activations, weights, params)
    assert want.code == Code.NONE

    async def body(bus: Bus) -> None:
        await bus.write(Region.PROGRAM, encode(program))
        await bus.write(Region.ACTIVATIONS, activations)
        await bus.write(Region.WEIGHTS, weights)
        await bus.write(Region.PARAMS, params)
        status = await bus.run()
        assert status == State.DONE | want.pc << 16
        got = np.frombuffer(await bus.read(Region.ACTIVATIONS, len(activations)), np.int8)
        np.testing.assert_array_equal(got.reshape(want.activations.shape), want.activations)
        log = np.frombuffer(await bus.read(Region.LOG, LOG_BYTES * want.pc), "<u4").reshape(-1, 4)
        assert tuple(log[:, 1]) == want.steps
        assert (log[:, 0] > log[:, 1]).all()
    simulate(config, body)
