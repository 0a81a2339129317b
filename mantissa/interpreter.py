"""What a program computes, in numpy: the instruction set of :mod:`mantissa.program`, step by step.

It shares nothing with the compiler or the hardware but the instruction table, so both are held against it.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from .fixed import EXPONENT_MOST, as_fixed, quantized
from .golden import requantize
from .instruction import BYTES
from .program import FORMATS, PAIRED, TABLE, Instruction, Op, decode, encode
from .registers import PARAM_STRIDE, WIDE_PARAM_BYTES, Capability, Code

__all__ = ["Memories", "Run", "run", "unpack_params"]

_OP = next(f for f in TABLE if f.name == "op")


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a program ended.

    Parameters
    ----------
    activations
        Activation memory afterwards: int8, (activation_words, array).
    code
        Why it stopped; ``Code.NONE`` if it reached HALT.
    pc
        Instruction it stopped at.
    fault
        Offending operation, address, count or formats (unsigned 32 bits), 0 if none.
    steps
        Steps issued by each instruction executed to its end, HALT not counted.
    """
    activations: np.ndarray
    code: Code
    pc: int
    fault: int
    steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Memories:
    """A device's memories: activations and weights int8 (words, array), one int64 entry of the rest per channel."""
    activations: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray


class _Stop(Exception):
    """The program can not go on."""

    def __init__(self, code: Code, fault: int) -> None:
        super().__init__(code, fault)
        self.code, self.fault = code, fault & 0xffffffff


def unpack_params(image: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias, multiplier and shift of each channel of a parameter image, ``PARAM_STRIDE`` bytes a channel."""
    channels = len(image) // PARAM_STRIDE
    raw = np.frombuffer(image, np.uint8, channels * PARAM_STRIDE).reshape(channels, PARAM_STRIDE)[:, :WIDE_PARAM_BYTES]
    low, high = np.ascontiguousarray(raw[:, 0:4]).view("<u4")[:, 0], np.ascontiguousarray(raw[:, 9:11]).view("<i2")[:, 0]
    bias = low + (high.astype(np.int64) << 32)
    multiplier = np.ascontiguousarray(raw[:, 4:8]).view("<u4")[:, 0].astype(np.int64)
    return bias, multiplier, (raw[:, 8] & 0x3f).astype(np.int64)


def _memory(content: bytes | np.ndarray, words: int, array: int, name: str) -> np.ndarray:
    data = np.frombuffer(content, np.int8) if isinstance(content, (bytes, bytearray)) else np.asarray(content)
    if data.size > words * array:
        raise ValueError(f"Image of {name} must be at most {words * array} bytes, not {data.size}")
    memory = np.zeros(words * array, np.int8)
    memory[:data.size] = data.ravel()
    return memory.reshape(words, array)


def _memories(capability: Capability, activations: bytes | np.ndarray, weights: bytes | np.ndarray,
              params: bytes) -> Memories:
    channels = capability.param_channels
    if len(params) > channels * PARAM_STRIDE:
        raise ValueError(f"Image of parameters must be at most {channels * PARAM_STRIDE} bytes, not {len(params)}")
    bias, multiplier, shift = unpack_params(bytes(params).ljust(channels * PARAM_STRIDE, b"\0"))
    if capability.formats == ("int8",):
        bias = bias.astype(np.int32).astype(np.int64)
    return Memories(activations=_memory(activations, capability.activation_words, capability.array, "activations"),
                    weights=_memory(weights, capability.weight_words, capability.array, "weights"),
                    bias=bias, multiplier=multiplier, shift=shift)


def _walk(instruction: Instruction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Address, y and x of every step, each shaped as the loops, outermost first.

    Step ``s`` is reached by the advance of the outermost loop whose lower loops all start again at ``s``; the
    positions are the running sums of these advances.
    """
    loops = instruction.loops
    counts = [loop.count for loop in loops]
    steps = int(np.prod(counts, dtype=np.int64))
    delta = np.zeros((3, steps), np.int64)
    period = 1
    for loop in loops:
        if loop.count > 1:
            delta[:, period::period] = np.array([[loop.address], [loop.y], [loop.x]])
        period *= loop.count
    delta[:, 0] = instruction.input, instruction.y, instruction.x
    address, y, x = np.cumsum(delta, axis=1).reshape(3, *counts[::-1])
    return address, y, x


def _check(addresses: np.ndarray, size: int) -> None:
    bad = np.flatnonzero((addresses < 0) | (addresses >= size))
    if bad.size:
        raise _Stop(Code.ADDRESS, int(addresses.ravel()[bad[0]]))


def _read(instruction: Instruction, memory: np.ndarray, address: np.ndarray, y: np.ndarray,
          x: np.ndarray) -> np.ndarray:
    """Words of some steps in units, with ``pad`` for those outside the image: int64, (..., array), or (..., 2 * array) of pairs."""
    inside = (y >= 0) & (y < instruction.height) & (x >= 0) & (x < instruction.width)
    _check(address[inside], len(memory))
    words = memory[np.where(inside, address, 0)]
    words[~inside] = instruction.pad
    return as_fixed(FORMATS[instruction.format_a], _halves(words, instruction.half_a))


def _halves(words: np.ndarray, half: int, axis: int = -1) -> np.ndarray:
    """Codes of bytes: whole, the lower or the upper half, or both, one after the other."""
    codes = words.view(np.uint8)
    return (codes, codes & 15, codes >> 4, np.concatenate([codes & 15, codes >> 4], axis=axis))[half]


def _outputs(instruction: Instruction, tiles: int, each: int) -> np.ndarray:
    """Address of every output, (tiles, each)."""
    delta = np.full((tiles, each), instruction.output_step, np.int64)
    delta[:, 0] = instruction.output_wrap
    delta[0, 0] = instruction.output
    return np.cumsum(delta).reshape(tiles, each)


def _emit(instruction: Instruction, memories: Memories, address: np.ndarray, value: np.ndarray, params: int) -> None:
    """Requantize one channel tile's outputs (each, array) and write them."""
    channels = params + np.arange(value.shape[-1])
    _check(channels, len(memories.bias))
    _check(address, len(memories.activations))
    _write(instruction, memories, address, _codes(instruction, value + memories.bias[channels], memories.multiplier[channels],
                                                  memories.shift[channels]))


def _write(instruction: Instruction, memories: Memories, address: np.ndarray, codes: np.ndarray) -> None:
    codes, old = codes.astype(np.int8).view(np.uint8), memories.activations[address].view(np.uint8)
    merged = (codes, old & 0xf0 | codes & 15, old & 15 | codes << 4)[instruction.half_o]
    memories.activations[address] = merged.view(np.int8)


def _codes(instruction: Instruction, value: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray) -> np.ndarray:
    """``value * multiplier / 2**shift`` units as codes."""
    name = FORMATS[instruction.format_o]
    if name == "int8":
        return requantize(value, multiplier, shift, zero_point=instruction.zero_point, low=instruction.low, high=instruction.high)
    return quantized(name, value, multiplier, shift, relu=instruction.low >= 0)


def _tile(instruction: Instruction, memories: Memories, n: int) -> np.ndarray:
    """The n-th weight tile in units, (array, array), or (2 * array, array) of pairs."""
    array, name = memories.weights.shape[1], FORMATS[instruction.format_w]
    size = array + (name == "mxfp4")
    base = instruction.weights + n * size
    _check(base + np.arange(size), len(memories.weights))
    words = memories.weights[base:base + size]
    if name != "mxfp4":
        return as_fixed(name, _halves(words, 3 if instruction.half_a == 3 else 0, axis=0))
    exponents: np.ndarray = np.minimum(words[0].astype(np.int64) & 15, EXPONENT_MOST)
    units: np.ndarray = as_fixed("e2m1", words[1:]) << exponents
    return units


def _matmul(instruction: Instruction, memories: Memories, accumulators: int) -> int:
    columns, rows, inner, kernel_columns, kernel_rows, tiles = (loop.count for loop in instruction.loops)
    array = memories.activations.shape[1]
    if rows * columns > accumulators:
        raise _Stop(Code.SIZE, rows * columns)
    address, y, x = _walk(instruction)
    passes = kernel_rows * kernel_columns * inner
    shape = (tiles, passes, rows * columns)
    address, y, x = address.reshape(shape), y.reshape(shape), x.reshape(shape)
    outputs = _outputs(instruction, tiles, rows * columns)
    for tile in range(tiles):
        accumulator = np.zeros((rows * columns, array), np.int64)
        for n in range(passes):
            weights = _tile(instruction, memories, tile * passes + n)
            words = _read(instruction, memories.activations, address[tile, n], y[tile, n], x[tile, n])
            product = words @ weights
            accumulator = product if n == 0 else accumulator + product
        _emit(instruction, memories, outputs[tile], accumulator, instruction.params + tile * array)
    return tiles * passes * rows * columns


def _reduce(instruction: Instruction, memories: Memories) -> int:
    array = memories.activations.shape[1]
    *outer, _, _, operands = (loop.count for loop in reversed(instruction.loops))
    each = outer[1] * outer[2]
    address, y, x = (part.reshape(outer[0], each, -1) for part in _walk(instruction))
    outputs = _outputs(instruction, outer[0], each)
    for tile in range(outer[0]):
        words = _read(instruction, memories.activations, address[tile], y[tile], x[tile])
        if instruction.op is Op.ADD:
            _emit_add(instruction, memories, outputs[tile], words.reshape(each, -1, operands, array))
        else:
            value = words.max(axis=1) if instruction.op is Op.MAX else words.sum(axis=1)
            _emit(instruction, memories, outputs[tile], value, instruction.params)
    return address.size


def _emit_add(instruction: Instruction, memories: Memories, address: np.ndarray, words: np.ndarray) -> None:
    """Bias and scale each operand, sum exactly, round once; the shift is that of operand 0."""
    array, operands = words.shape[-1], words.shape[-2]
    channels = instruction.params + np.arange(operands * array).reshape(operands, array)
    _check(channels, len(memories.bias))
    _check(address, len(memories.activations))
    biased = words + memories.bias[channels]
    if np.abs(biased).max() < 1 << 62 - 32 - words.shape[1].bit_length() - operands.bit_length():
        value = (biased * memories.multiplier[channels]).sum(axis=(1, 2))
    else:                                                   # 64 bits could overflow
        value = (biased.astype(object) * memories.multiplier[channels].astype(object)).sum(axis=(1, 2))
    _write(instruction, memories, address, _codes(instruction, value, 1, memories.shift[channels[0]]))


def _check_formats(instruction: Instruction, formats: tuple[str, ...]) -> None:
    codes = instruction.format_a, instruction.format_w, instruction.format_o
    known = [FORMATS[code] if code < len(FORMATS) else None for code in codes]
    halves = instruction.half_a, instruction.half_o
    paired = instruction.op is Op.MATMUL and known[0] in PAIRED and known[1] in PAIRED
    if not set(known) <= set(formats) or "mxfp4" in (known[0], known[2]) or halves[0] == 3 and not paired or halves[1] == 3:
        raise _Stop(Code.FORMAT, codes[0] | codes[1] << 4 | codes[2] << 8 | halves[0] << 12 | halves[1] << 14)


def _execute(image: bytes, memories: Memories, capability: Capability) -> int | None:
    """Execute one instruction word: its steps, or None for HALT."""
    op = int.from_bytes(image, "little") >> _OP.low & ((1 << _OP.width) - 1)
    if op not in Op.__members__.values():
        raise _Stop(Code.OPERATION, op)
    instruction = decode(image)[0]
    if instruction.op is Op.HALT:
        return None
    if capability.formats == ("int8",):
        instruction = replace(instruction, format_a=0, format_w=0, format_o=0, half_a=0, half_o=0)
    _check_formats(instruction, capability.formats)
    if instruction.op is Op.MATMUL:
        return _matmul(instruction, memories, capability.accumulators)
    return _reduce(instruction, memories)


def run(capability: Capability, program: bytes | Iterable[Instruction], activations: bytes | np.ndarray,
        weights: bytes | np.ndarray, params: bytes) -> Run:
    """Execute a program from instruction 0.

    An instruction's outputs must not overwrite words it has yet to read; what an instruction in error has written
    is unspecified. Memory beyond the images given is zero (so the program memory ends in HALT).

    Parameters
    ----------
    capability
        The device: array size and depth of its memories.
    program
        Program image, or instructions.
    activations, weights
        Memory images: bytes, or int8 arrays.
    params
        Parameter image, ``PARAM_STRIDE`` bytes a channel.

    Raises
    ------
    ValueError
        If an image is larger than its memory.
    """
    image = bytes(program) if isinstance(program, (bytes, bytearray)) else encode(program)
    size = capability.instructions * BYTES
    if len(image) > size:
        raise ValueError(f"Image of program must be at most {size} bytes, not {len(image)}")
    image = image.ljust(size, b"\0")
    memories = _memories(capability, activations, weights, params)
    steps: list[int] = []
    code, fault, pc = Code.END, capability.instructions, capability.instructions
    for n in range(capability.instructions):
        try:
            done = _execute(image[n * BYTES:(n + 1) * BYTES], memories, capability)
        except _Stop as stop:
            code, fault, pc = stop.code, stop.fault, n
            break
        if done is None:
            code, fault, pc = Code.NONE, 0, n
            break
        steps.append(done)
    return Run(activations=memories.activations, code=code, pc=pc, fault=fault, steps=tuple(steps))
