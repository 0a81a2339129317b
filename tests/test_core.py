"""Programs on the compiled accelerator core against the interpreter, byte for byte."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mantissa import interpreter
from mantissa.config import Config
from mantissa.hw.core import Core
from mantissa.fixed import NAMES, limits
from mantissa.program import FORMATS, PAIRED, Instruction, Loop, Op
from mantissa.registers import PARAM_STRIDE, Capability, Code, State, pack_param
from mantissa.sim_tb import system
from mantissa.sim_tb.verilator import Harness

FOLDER = Path(__file__).parent.parent / "build" / "verify"
PATIENCE = 30_000


def small(array: int = 4, lanes: int = 2, requant: str = "parallel", packed: bool = False,
          formats: tuple[str, ...] = ("int8",)) -> Config:
    return Config(name="small", board="sim", clock_hz=1_000_000, baud=100_000, array=array, packed=packed, requant=requant,
                  requant_lanes=lanes, activation_words=256, weight_words=128 * array, param_channels=64, accumulators=16,
                  instructions=16, payload=64, formats=formats)


SHAPES = {"4x4": small(), "2x2 serial": small(array=2, lanes=1, requant="serial"), "4x4 packed": small(lanes=4, packed=True),
          "8x8": small(array=8, lanes=8), "4x4 formats": small(formats=FORMATS)}


@pytest.fixture(scope="module", params=SHAPES)
def device(request: pytest.FixtureRequest) -> tuple[Config, Harness]:
    config = SHAPES[request.param]
    return config, system.compiled(config, FOLDER)


def nest(counts: list[int], strides: list[tuple[int, int, int]]) -> tuple[Loop, ...]:
    """Loops from the innermost, with strides turned into deltas."""
    loops, walked = [], np.zeros(3, int)
    for count, stride in zip(counts, strides, strict=True):
        address, y, x = (np.array(stride) - walked).tolist()
        loops.append(Loop(count=count, address=address, y=y, x=x))
        walked = walked + (count - 1) * np.array(stride)
    return tuple(loops)


def conv(*, height: int, width: int, inner: int, outer: int, kernel: int = 1, stride: int = 1, pad: int = 0,
         source: int = 0, target: int, weights: int = 0, params: int = 0) -> Instruction:
    """A convolution from ``inner`` tiles of channels to ``outer`` tiles."""
    rows, columns = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
    strides = [(stride * inner, 0, stride), (stride * width * inner, stride, 0), (1, 0, 0), (inner, 0, 1),
               (width * inner, 1, 0), (0, 0, 0)]
    return Instruction(op=Op.MATMUL, pad=-5, zero_point=3, height=height, width=width, y=-pad, x=-pad,
                       input=source - pad * (width + 1) * inner, output=target, output_step=outer,
                       output_wrap=1 - (rows * columns - 1) * outer, weights=weights, params=params,
                       loops=nest([columns, rows, inner, kernel, kernel, outer], strides))


def window(op: Op, *, count: int, size: int, source: int = 0, target: int, tiles: int = 1, gap: int = 0, params: int = 0,
           low: int = -128) -> Instruction:
    """``count`` outputs, each from ``size`` words that follow each other, or are ``gap`` apart, for ``tiles`` tiles."""
    between, step = (gap, tiles) if gap else (tiles, tiles * size)
    strides = [(between, 0, 0), (0, 0, 0), (0, 0, 0), (step, 0, 0), (0, 0, 0), (1, 0, 0)]
    return Instruction(op=op, input=source, output=target, output_step=tiles, output_wrap=1 - (count - 1) * tiles,
                       params=params, loops=nest([size, 1, 1, count, 1, tiles], strides), zero_point=-7, low=low, high=100)


def images(config: Config, rng: np.random.Generator, *, bias: int = 4000, shifts: tuple[int, int] = (36, 48)) -> system.Images:
    return system.Images(
        activations=rng.integers(-128, 128, config.activation_words * config.array, np.int8).tobytes(),
        weights=rng.integers(-128, 128, config.weight_words * config.array, np.int8).tobytes(),
        params=b"".join(pack_param(int(rng.integers(-bias, bias)), int(rng.integers(1 << 30, 1 << 32)), int(rng.integers(*shifts)))
                        .ljust(PARAM_STRIDE, b"\0") for _ in range(config.param_channels)))


def programs(array: int) -> dict[str, list[Instruction]]:
    return {
        "conv": [conv(height=4, width=4, inner=2, outer=2, kernel=3, pad=1, target=100)],
        "strided": [conv(height=5, width=4, inner=1, outer=3, kernel=2, stride=2, pad=1, source=3, target=60, params=array),
                    conv(height=3, width=3, inner=3, outer=1, kernel=3, source=60, target=200, weights=16)],
        "dense": [conv(height=1, width=1, inner=5, outer=4, source=7, target=90),
                  conv(height=1, width=1, inner=4, outer=1, source=90, target=0)],
        "pool": [window(Op.MAX, count=6, size=4, target=120, tiles=2, params=array),
                 window(Op.SUM, count=5, size=3, source=120, target=150, params=2 * array)],
        "add": [window(Op.ADD, count=9, size=2, source=10, target=130, tiles=2, gap=70, params=2 * array, low=-20)],
    }


@pytest.mark.parametrize("stall", ["none", "random"])
@pytest.mark.parametrize("name", programs(4))
def test_program(device: tuple[Config, Harness], name: str, stall: str) -> None:
    config, model = device
    rng = np.random.default_rng(1)
    data = images(config, rng, bias=128, shifts=(37, 38)) if name == "add" else images(config, rng)
    got = system.check(model, config, [*programs(config.array)[name], Instruction()], data, patience=PATIENCE, stall=stall)
    assert got.status & 0xff == State.DONE
    assert len(set(np.frombuffer(got.activations, np.int8).tolist())) > 100
    # the log's cycles, four to write each, one for the memories to change hands, and the HALT
    assert got.cycles == got.log[:, 0].sum() + 4 * (len(got.log) - 1) + 19


@pytest.mark.parametrize("seed", range(12))
def test_random_program(device: tuple[Config, Harness], seed: int) -> None:
    """Convolutions of random shape, each reading what the previous one wrote."""
    config, model = device
    rng = np.random.default_rng(seed)
    program, source = [], 0
    for n in range(4):
        height, width, kernel = (int(rng.integers(1, 5)) for _ in range(3))
        inner, outer = (int(rng.integers(1, 4)) for _ in range(2))
        pad = int(rng.integers(kernel)) if kernel > 1 else 0
        stride = int(rng.integers(1, 3))
        if min(height, width) + 2 * pad < kernel or any((size + 2 * pad - kernel) // stride + 1 > 4 for size in (height, width)):
            continue
        if kernel ** 2 * inner * outer > 100:
            continue
        target = 128 if source < 128 else 0
        program.append(conv(height=height, width=width, inner=inner, outer=outer, kernel=kernel, stride=stride, pad=pad,
                            source=source, target=target, weights=int(rng.integers(16)), params=config.array * int(rng.integers(3))))
        source = target
    assert program
    system.check(model, config, [*program, Instruction()], images(config, rng, shifts=(38, 50)), patience=PATIENCE)


def faulty(config: Config) -> dict[str, tuple[list[Instruction], Code]]:
    good = conv(height=2, width=2, inner=1, outer=1, target=100)
    return {
        "read": ([good, conv(height=4, width=4, inner=1, outer=1, source=config.activation_words - 8, target=0)], Code.ADDRESS),
        "write": ([conv(height=4, width=4, inner=1, outer=1, target=config.activation_words - 8)], Code.ADDRESS),
        "weights": ([conv(height=1, width=1, inner=1, outer=3, target=0, weights=config.weight_words - 2 * config.array)], Code.ADDRESS),
        "params": ([conv(height=1, width=1, inner=1, outer=2, target=0, params=config.param_channels - config.array)], Code.ADDRESS),
        "size": ([good, conv(height=5, width=5, inner=1, outer=1, target=60)], Code.SIZE),
        "end": ([good] * config.instructions, Code.END),
    }


@pytest.mark.parametrize("name", faulty(SHAPES["4x4"]))
def test_fault(device: tuple[Config, Harness], name: str) -> None:
    """A wrong program stops with its reason, and the device runs the next one."""
    config, model = device
    program, code = faulty(config)[name]
    data = images(config, np.random.default_rng(2))
    want = interpreter.run(Capability.of(config, system.IDENTITY), program, data.activations, data.weights, data.params)
    assert want.code == code
    got = system.check(model, config, program, data, patience=PATIENCE)
    assert got.status & 0xff == State.FAILED
    system.check(model, config, [*programs(config.array)["conv"], Instruction()], data, patience=PATIENCE)


@pytest.mark.parametrize("after", [0, 3, 18, 19, 20, 24, 40, 90, 150])
def test_stop(device: tuple[Config, Harness], after: int) -> None:
    """A program stopped anywhere leaves nothing behind: the next one starts clean."""
    config, model = device
    program = [*programs(config.array)["conv"], Instruction()]
    data = images(config, np.random.default_rng(3))
    got = system.check(model, config, program, data, patience=PATIENCE, stopped=after)
    assert got.status & 0xff == State.DONE


@pytest.fixture(scope="module")
def universal() -> tuple[Config, Harness]:
    config = SHAPES["4x4 formats"]
    return config, system.compiled(config, FOLDER)


def bits(name: str) -> int:
    """Bits of a format's largest number, in units."""
    return 18 if name == "mxfp4" else limits(name)[1].bit_length()


def with_formats(one: Instruction, a: str, w: str, o: str, low: int) -> Instruction:
    return replace(one, format_a=FORMATS.index(a), format_w=FORMATS.index(w), format_o=FORMATS.index(o), low=low)


@pytest.mark.parametrize("stall", ["none", "random"])
@pytest.mark.parametrize("w", FORMATS)
@pytest.mark.parametrize("a", NAMES)
def test_formats(universal: tuple[Config, Harness], a: str, w: str, stall: str) -> None:
    """Convolutions, maximum, sum and addition between formats of every kind, each reading what the one before has written."""
    config, model = universal
    rng = np.random.default_rng([NAMES.index(a), FORMATS.index(w)])
    o = NAMES[(NAMES.index(a) + FORMATS.index(w)) % len(NAMES)]
    low = 0 if rng.random() < 0.4 else -128
    program = [
        with_formats(conv(height=4, width=4, inner=2, outer=2, kernel=3, pad=1, target=100), a, w, o, low),
        with_formats(window(Op.MAX, count=6, size=4, source=100, target=140, tiles=2, params=16), o, "int8", a, -128),
        with_formats(window(Op.SUM, count=5, size=3, source=100, target=180, params=16), o, "int8", a, low),
        with_formats(window(Op.ADD, count=9, size=2, source=10, target=200, tiles=2, gap=70, params=32), a, w, o, -128),
        Instruction(),
    ]
    shifts = [31 + bits(a) + bits(w) + 2 - bits(o), 31 + bits(o) - bits(a), 31 + bits(a) - bits(o), 31 + bits(a) - bits(o)]
    params = []
    for channel in range(config.param_channels):
        shift = shifts[channel // 16] + (int(rng.integers(-2, 3)) if channel < 32 else 0)    # those of Add's operands must be alike
        bias = int(rng.integers(-1 << bits(a), 1 << bits(a))) << (bits(w) if channel < 16 else 0)
        params.append(pack_param(bias, int(rng.integers(1 << 30, 1 << 32)), min(shift, 63)).ljust(PARAM_STRIDE, b"\0"))
    data = replace(images(config, rng), params=b"".join(params))
    got = system.check(model, config, program, data, patience=PATIENCE, stall=stall)
    assert got.status & 0xff == State.DONE


@pytest.mark.parametrize("stall", ["none", "random"])
@pytest.mark.parametrize("o", NAMES)
@pytest.mark.parametrize("w", PAIRED)
@pytest.mark.parametrize("a", PAIRED)
def test_halves(universal: tuple[Config, Harness], a: str, w: str, o: str, stall: str) -> None:
    """Two codes to a byte, multiplied in pairs, and halves of bytes read and written by every operation."""
    config, model = universal
    rng = np.random.default_rng([PAIRED.index(a), PAIRED.index(w), NAMES.index(o)])
    program = [
        *(replace(with_formats(conv(height=4, width=4, inner=2, outer=2, kernel=3, pad=1, target=100), a, w, o, -128), half_a=3,
                  half_o=half) for half in (1, 2)),
        *(replace(with_formats(window(op, count=6, size=4 if op is Op.MAX else 2, source=100, target=target, tiles=2, gap=gap, params=16),
                               o, "int8", a, 0), half_a=int(rng.integers(3)), half_o=int(rng.integers(3)))
          for op, target, gap in ((Op.MAX, 140, 0), (Op.SUM, 145, 0), (Op.ADD, 160, 4))),
        replace(with_formats(conv(height=3, width=3, inner=2, outer=1, kernel=2, source=140, target=200), a, w, o, 0),
                half_a=int(rng.integers(4))),
        Instruction(),
    ]
    shifts = [31 + bits(a) + bits(w) + 2 - bits(o), 31 + bits(o) - bits(a)]
    params = [pack_param(int(rng.integers(-40, 40)), int(rng.integers(1 << 30, 1 << 32)), int(np.clip(shifts[n >= 16], 0, 63)))
              .ljust(PARAM_STRIDE, b"\0") for n in range(config.param_channels)]
    got = system.check(model, config, program, replace(images(config, rng), params=b"".join(params)), patience=PATIENCE, stall=stall)
    assert got.status & 0xff == State.DONE


@pytest.mark.parametrize("fields", [{"format_a": 6}, {"format_a": 15}, {"format_o": 6}, {"format_w": 7, "format_a": 2}, {"format_w": 15},
                                    {"half_a": 3}, {"half_o": 3}, {"half_a": 3, "format_a": 3, "format_w": 6}])
def test_unknown_format(universal: tuple[Config, Harness], fields: dict[str, int]) -> None:
    config, model = universal
    program = [replace(conv(height=2, width=2, inner=1, outer=1, target=100), **fields)]  # pyright: ignore[reportArgumentType]
    got = system.check(model, config, program, images(config, np.random.default_rng(4)), patience=PATIENCE)
    assert got.status >> 8 & 0xff == Code.FORMAT
    places = {"format_a": 0, "format_w": 4, "format_o": 8, "half_a": 12, "half_o": 14}
    assert got.fault == sum(value << places[name] for name, value in fields.items())


def test_weights_end_with_blocks(universal: tuple[Config, Harness]) -> None:
    """A tile of MXFP4 that ends with the memory is whole; one that goes beyond it is an error, and nothing hangs."""
    config, model = universal
    tile = config.array + 1
    for weights, code in ((config.weight_words - tile, Code.NONE), (config.weight_words - tile + 1, Code.ADDRESS)):
        one = with_formats(conv(height=2, width=2, inner=1, outer=1, target=100, weights=weights), "e4m3", "mxfp4", "e2m1", -128)
        got = system.check(model, config, [one, Instruction()], images(config, np.random.default_rng(5)), patience=PATIENCE)
        assert got.status >> 8 & 0xff == code


def test_wrong_identity() -> None:
    with pytest.raises(ValueError, match=r"^Identity must be 8 bytes, not 3$"):
        Core(small(), b"abc")
