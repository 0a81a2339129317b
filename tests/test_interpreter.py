"""Functional model of the instruction set against a walk of one step and one lane at a time."""
from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from mantissa.fixed import NAMES, as_codes, unit
from mantissa.formats import get_scalar
from mantissa.interpreter import Run, run, unpack_params
from mantissa.instruction import BYTES
from mantissa.program import FORMATS, Instruction, Loop, Op, encode
from mantissa.registers import PARAM_STRIDE, Capability, Code, pack_param

CAPABILITY = Capability(identity=bytes(8), clock_hz=1_000_000, baud=9600, array=2, requant_lanes=2, packed=False, serial=False,
                        activation_words=64, weight_words=64, param_channels=16, accumulators=16, instructions=16, payload=64)
LANES = CAPABILITY.array
UNIVERSAL = replace(CAPABILITY, formats=FORMATS)


def memories(seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    rng = np.random.default_rng(seed)
    params = [(int(rng.integers(-400, 400)), int(rng.integers(0, 1 << 32)), int(rng.integers(28, 40))) for _ in range(16)]
    return (rng.integers(-128, 128, (CAPABILITY.activation_words, LANES), np.int8),
            rng.integers(-128, 128, (CAPABILITY.weight_words, LANES), np.int8), params)


def image(params: list[tuple[int, int, int]]) -> bytes:
    return b"".join(pack_param(*channel).ljust(PARAM_STRIDE, b"\0") for channel in params)


@cache
def units(which: int, code: int) -> int:
    """A code's number in units, from the format's table; E4M3's two NaN are 480."""
    name = FORMATS[which]
    table = get_scalar(name).table
    number = table[code & len(table) - 1]
    if np.isnan(number):
        number = 480 - 960 * (code >> 7 & 1) if name == "e4m3" else 0
    return int(Fraction(float(number)) / Fraction(2) ** unit(name))


def requantize(value: Fraction, shift: int, one: Instruction) -> int:
    if one.format_o:
        return int(as_codes(FORMATS[one.format_o], np.array([max(int(value), 0) if one.low >= 0 else int(value)], object), shift)[0])
    return min(max(round(value / 2 ** shift) + one.zero_point, one.low), one.high)


class Walk:
    """The nest of loops, one advance at a time, as the docstring of program.py says it."""

    def __init__(self, one: Instruction) -> None:
        self.loops, self.index = one.loops, [0] * 6
        self.address, self.y, self.x = one.input, one.y, one.x

    def advance(self) -> bool:
        for j, loop in enumerate(self.loops):
            if self.index[j] + 1 < loop.count:
                self.index[j] += 1
                self.index[:j] = [0] * j
                self.address, self.y, self.x = self.address + loop.address, self.y + loop.y, self.x + loop.x
                return True
        return False


def slow(one: Instruction, activations: np.ndarray, weights: np.ndarray, params: list[tuple[int, int, int]]) -> np.ndarray:
    """Activations after one instruction whose output is apart from its input."""
    before, after = [[units(one.format_a, code) for code in word] for word in activations.astype(int).tolist()], activations.copy()
    blocks = FORMATS[one.format_w] == "mxfp4"
    walk, out, tile, more = Walk(one), one.output, one.weights - LANES, True
    accumulators: dict[tuple[int, int], list[int]] = {}
    reduced: list[list[int]] = []
    counts = [loop.count for loop in one.loops]
    emitted, each = 0, counts[0] * counts[1] if one.op is Op.MATMUL else counts[3] * counts[4]
    while more:
        i0, i1, i2, i3, i4, t = walk.index
        inside = 0 <= walk.y < one.height and 0 <= walk.x < one.width
        word = before[walk.address] if inside else [units(one.format_a, one.pad)] * LANES
        result: list[Fraction] | None = None
        if one.op is Op.MATMUL:
            if i0 == i1 == 0:
                tile += LANES + blocks
            scale = [1 << min(int(e) & 15, 14) if blocks else 1 for e in weights[tile - 1]]
            product = [sum(word[r] * scale[c] * units(FORMATS.index("e2m1") if blocks else one.format_w, int(weights[tile + r][c]))
                           for r in range(LANES)) for c in range(LANES)]
            first, last = not (i2 or i3 or i4), (i2, i3, i4) == tuple(n - 1 for n in counts[2:5])
            held = [0] * LANES if first else accumulators[i1, i0]
            accumulators[i1, i0] = [a + b for a, b in zip(held, product, strict=True)]
            if last:
                chosen = [params[one.params + t * LANES + k] for k in range(LANES)]
                result = [Fraction((v + p[0]) * p[1]) for v, p in zip(accumulators[i1, i0], chosen, strict=True)]
        else:
            operand = i0 if one.op is Op.ADD else 0
            chosen = [params[one.params + operand * LANES + k] for k in range(LANES)]
            reduced.append([(v + p[0]) * p[1] for v, p in zip(word, chosen, strict=True)] if one.op is Op.ADD else word)
            if (i0, i1, i2) == tuple(n - 1 for n in counts[:3]):
                lanes = list(zip(*reduced, strict=True))
                chosen = [params[one.params + k] for k in range(LANES)]
                if one.op is Op.ADD:
                    result = [Fraction(sum(lane)) for lane in lanes]
                else:
                    values = [max(lane) if one.op is Op.MAX else sum(lane) for lane in lanes]
                    result = [Fraction((v + p[0]) * p[1]) for v, p in zip(values, chosen, strict=True)]
                reduced = []
        if result is not None:
            after[out] = [requantize(v, p[2], one) for v, p in zip(result, chosen, strict=True)]
            emitted += 1
            out += one.output_wrap if emitted % each == 0 else one.output_step
        more = walk.advance()
    return after


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """Any operation over input words 0 to 31, output from word 32 on."""
    op = draw(st.sampled_from([Op.MATMUL, Op.MAX, Op.SUM, Op.ADD]))
    counts = [draw(st.integers(1, 3)) for _ in range(6)]
    counts[5] = min(counts[5], 2)
    if op is Op.MATMUL:
        while np.prod(counts[2:]) > 16:
            counts[2 + int(np.argmax(counts[2:]))] -= 1
    elif op is Op.ADD:
        counts[0:3] = 2, 1, 1
    loops = [Loop(count=n, address=draw(st.integers(-4, 4)), y=draw(st.integers(-2, 2)), x=draw(st.integers(-2, 2))) for n in counts]
    return Instruction(
        op=op, pad=draw(st.integers(-128, 127)), zero_point=draw(st.integers(-128, 127)), low=draw(st.integers(-128, 0)),
        high=draw(st.integers(0, 127)), height=draw(st.integers(1, 4)), width=draw(st.integers(1, 4)), y=draw(st.integers(-2, 2)),
        x=draw(st.integers(-2, 2)), input=draw(st.integers(-8, 31)), output=32, output_step=draw(st.integers(0, 1)),
        output_wrap=draw(st.integers(0, 2)), weights=draw(st.integers(0, 8)), params=draw(st.integers(0, 8)), loops=tuple(loops))


@settings(max_examples=300, deadline=None)
@given(instructions(), st.integers(0, 1 << 30))
def test_any_instruction_is_what_the_steps_do(one: Instruction, seed: int) -> None:
    compare(CAPABILITY, one, seed)


@settings(max_examples=300, deadline=None)
@given(instructions(), st.tuples(*[st.integers(0, len(NAMES) - 1)] * 3), st.booleans(), st.integers(0, 1 << 30))
def test_any_formats(one: Instruction, formats: tuple[int, int, int], blocks: bool, seed: int) -> None:
    a, w, o = formats
    compare(UNIVERSAL, replace(one, format_a=a, format_w=FORMATS.index("mxfp4") if blocks else w, format_o=o), seed)


def compare(capability: Capability, one: Instruction, seed: int) -> None:
    """The interpreter's outcome is that of the walk."""
    activations, weights, params = memories(seed)
    ended = run(capability, [one, Instruction()], activations, weights, image(params))
    walk = Walk(one)
    visited = [(walk.address, walk.y, walk.x)]
    while walk.advance():
        visited.append((walk.address, walk.y, walk.x))
    read = [address for address, y, x in visited if 0 <= y < one.height and 0 <= x < one.width]
    if any(not 0 <= address < 64 for address in read):
        assert (ended.code, ended.pc, ended.steps) == (Code.ADDRESS, 0, ())
        assert (ended.fault + (1 << 31)) % (1 << 32) - (1 << 31) in read
    elif all(address < 32 for address in read):              # else it may read what it wrote
        assert (ended.code, ended.pc, ended.fault, ended.steps) == (Code.NONE, 1, 0, (len(visited),))
        assert np.array_equal(ended.activations, slow(one, activations, weights, params))


def outcome(*program: Instruction, capability: Capability = CAPABILITY) -> Run:
    return run(capability, list(program), bytes(8), bytes(8), bytes(16))


def test_end_of_memory_without_halt() -> None:
    ended = outcome(*[Instruction(op=Op.MAX)] * 16)
    assert (ended.code, ended.pc, ended.fault, ended.steps) == (Code.END, 16, 16, (1,) * 16)


def test_unknown_operation() -> None:
    ended = run(CAPABILITY, encode([Instruction(op=Op.MAX)]) + b"\x09" + bytes(BYTES - 1), b"", b"", b"")
    assert (ended.code, ended.pc, ended.fault, ended.steps) == (Code.OPERATION, 1, 9, (1,))


@pytest.mark.parametrize(("fields", "fault"), [
    ({"format_a": 6}, 0x006), ({"format_w": 7, "format_a": 2}, 0x072), ({"format_o": 6}, 0x600), ({"format_o": 15, "format_w": 6}, 0xf60)])
def test_unknown_format(fields: dict[str, int], fault: int) -> None:
    one = replace(Instruction(op=Op.MAX), **fields)  # pyright: ignore[reportArgumentType]
    assert (outcome(one, capability=UNIVERSAL).code, outcome(one, capability=UNIVERSAL).fault) == (Code.FORMAT, fault)
    few = replace(CAPABILITY, formats=("int8", "e2m1"))
    assert outcome(Instruction(op=Op.MAX, format_o=3), Instruction(), capability=few).code is Code.NONE
    assert outcome(Instruction(op=Op.MAX, format_o=2), Instruction(), capability=few).code is Code.FORMAT


def test_hardware_for_int8_alone_looks_at_no_format() -> None:
    assert outcome(Instruction(op=Op.MAX, format_a=15, format_w=6, format_o=3), Instruction()).code is Code.NONE


def test_bias_of_48_bits() -> None:
    """Where there are formats; other devices take the low 32 bits of it."""
    params = [(-(1 << 47), 1 << 31, 62), ((1 << 47) - 1, 1 << 31, 62)]
    assert list(zip(*(part.tolist() for part in unpack_params(image(params))), strict=True)) == params
    one = Instruction(op=Op.MAX, input=1)
    for capability, codes in ((UNIVERSAL, [-128, 127]), (CAPABILITY, [0, 0])):
        assert run(capability, [one, Instruction()], bytes(8), b"", image(params)).activations[0].tolist() == codes


def test_too_many_positions() -> None:
    nest = (Loop(count=6), Loop(count=3), *[Loop()] * 4)
    ended = outcome(Instruction(op=Op.MATMUL, loops=nest))
    assert (ended.code, ended.pc, ended.fault) == (Code.SIZE, 0, 18)


@pytest.mark.parametrize(("field", "value", "fault"), [
    ("input", 64, 64), ("input", -1, 0xffffffff), ("output", 64, 64), ("weights", 63, 64), ("params", 15, 16)])
def test_address_outside_its_memory(field: str, value: int, fault: int) -> None:
    ended = outcome(replace(Instruction(op=Op.MATMUL), **{field: value}))  # pyright: ignore[reportArgumentType]
    assert (ended.code, ended.pc, ended.fault) == (Code.ADDRESS, 0, fault)


def test_address_of_padding_is_not_read() -> None:
    assert outcome(Instruction(op=Op.MAX, input=-1, y=-1), Instruction()).code is Code.NONE


def test_halt_first() -> None:
    ended = outcome(Instruction())
    assert (ended.code, ended.pc, ended.steps) == (Code.NONE, 0, ())


def test_largest_parameters_are_exact() -> None:
    """65-bit products: two operands of the largest magnitude that cancel but for one."""
    params = [(-(1 << 31), (1 << 32) - 1, 63)] * 2 + [((1 << 31) - 1, (1 << 32) - 1, 63)] * 2
    nest = (Loop(count=2, address=1), *[Loop()] * 5)
    memory = np.array([[-128, 127], [127, 127]], np.int8)
    for low in (-128, 0):
        ended = run(CAPABILITY, [Instruction(op=Op.ADD, output=2, low=low, loops=nest), Instruction()], memory, b"", image(params))
        exact = [round(Fraction((int(memory[0, k]) + int(memory[1, k]) - 1) * ((1 << 32) - 1), 1 << 63)) for k in range(2)]
        assert ended.activations[2].tolist() == [max(v, low) for v in exact]


def test_params_come_back() -> None:
    channels = [(-(1 << 31), 0, 0), ((1 << 31) - 1, (1 << 32) - 1, 63), (-5, 1 << 31, 31)]
    assert list(zip(*(part.tolist() for part in unpack_params(image(channels))), strict=True)) == channels


@pytest.mark.parametrize(("which", "message"), [
    (1, "Image of program must be at most 1024 bytes, not 1088"), (2, "Image of activations must be at most 128 bytes, not 130"),
    (3, "Image of weights must be at most 128 bytes, not 130"), (4, "Image of parameters must be at most 256 bytes, not 272")])
def test_images_must_fit(which: int, message: str) -> None:
    images = [bytes(64), bytes(128), bytes(128), bytes(256)]
    images[which - 1] += bytes({1: 1024, 2: 2, 3: 2, 4: 16}[which])
    with pytest.raises(ValueError, match=f"^{message}$"):
        run(CAPABILITY, *images)
