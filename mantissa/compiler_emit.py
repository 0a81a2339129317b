"""Tile a task into instructions, and lay out its weights and parameters."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from .compiler_place import Place, halved, tiles
from .compiler_tasks import Task
from .fixed import BLOCK
from .program import FORMATS, LOOPS, TABLE, Instruction, Loop, Op
from .registers import PARAM_STRIDE, pack_param

__all__ = ["Block", "blocks", "halves", "instruction", "params_image", "weights_image"]

_COUNT = next(f for f in TABLE if f.name == "loop0.count").range[1]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Output positions one instruction computes: whole rows, or part of one row."""
    row: int
    column: int
    rows: int
    columns: int


def blocks(rows: int, columns: int, most: int) -> list[Block]:
    """Cover ``rows`` x ``columns`` positions with blocks of at most ``most`` positions."""
    wide = min(columns, most, _COUNT)
    tall = min(rows, most // wide, _COUNT) if wide == columns else 1
    return [Block(row=y, column=x, rows=min(tall, rows - y), columns=min(wide, columns - x))
            for y in range(0, rows, tall) for x in range(0, columns, wide)]


def halves(task: Task, source: Place, out: Place) -> tuple[int, ...]:
    """What a task's channels are split into: 0 is all of them, 1 and 2 are every other vector, as they lie in the halves of bytes."""
    if not out.packed and (task.op is Op.MATMUL or not source.packed):
        return (0,)
    return (1, 2) if out.vectors > 1 else (1,)


def _order(out: Place) -> list[int]:
    """Vectors of output channels, in the order in which a MATMUL's halves compute them."""
    return [*range(0, out.vectors, 2), *range(1, out.vectors, 2)] if out.packed else [*range(out.vectors)]


@dataclass(frozen=True, kw_only=True)
class _View:
    """Memory as an instruction walks it: rows and columns of positions, ``tiles`` words each."""
    base: int
    rows: int
    columns: int
    tiles: int


def _view(task: Task, place: Place) -> _View:
    if task.op is Op.MATMUL and place.source is not None:      # a flattened image is one position of many channels
        return _View(base=place.base_word, rows=1, columns=1, tiles=place.words)
    rows, columns = place.positions
    return _View(base=place.base_word, rows=rows, columns=columns, tiles=place.tiles)


def _loops(counts: Sequence[int], strides: Sequence[tuple[int, int, int]], padded: bool) -> tuple[Loop, ...]:
    """Loops whose advances lead from the last step of the loops below to the next start, ``stride`` from the last one."""
    loops = []
    for j in range(LOOPS):
        back = [sum((counts[k] - 1) * strides[k][part] for k in range(j)) for part in range(3)]
        address, y, x = (strides[j][part] - back[part] for part in range(3))
        loops.append(Loop(count=counts[j], address=address, y=y * padded, x=x * padded) if counts[j] > 1 else Loop())
    return tuple(loops)


def _nest(task: Task, block: Block, view: _View, outs: int, apart: int, operand: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Count and stride (address, y, x) of each loop, innermost first."""
    (down, across), (tall, wide) = task.stride, task.dilation
    row, column = view.columns * view.tiles, view.tiles
    output = [(block.columns, (across * column, 0, across)), (block.rows, (down * row, down, 0))]
    kernel = [(task.kernel[1], (wide * column, 0, wide)), (task.kernel[0], (tall * row, tall, 0))]
    if task.op is Op.MATMUL:
        yield from [*output, (view.tiles, (1, 0, 0)), *kernel, (outs, (0, 0, 0))]
    elif task.op is Op.ADD:
        yield from [(2, (operand, 0, 0)), (1, (0, 0, 0)), (1, (0, 0, 0)), *output, (outs, (apart, 0, 0))]
    else:
        yield from [*kernel, (1, (0, 0, 0)), *output, (outs, (apart, 0, 0))]


def instruction(task: Task, block: Block, half: int, sources: Sequence[Place], out: Place, weights: int, params: int) -> Instruction:
    """Instruction that computes one block of a task.

    Parameters
    ----------
    half
        One of :func:`halves`.
    sources, out
        Places of the inputs and the output.
    weights, params
        Where the task's weights (words) and parameters (channels) start.
    """
    view = _view(task, sources[0])
    _, width = out.positions
    y, x = block.row * task.stride[0] - task.padding[0], block.column * task.stride[1] - task.padding[1]
    padded = any(task.padding)
    operand = sources[1].base_word - sources[0].base_word if task.op is Op.ADD else 0
    # Where bytes are whole, every other vector is in every other word.
    first, apart = (0, 1) if sources[0].packed or not half else (half - 1, 2)
    first_out, apart_out = (0, 1) if out.packed or not half else (half - 1, 2)
    before = (out.vectors + 1) // 2 if half == 2 else 0
    matmul = task.op is Op.MATMUL
    counts, strides = zip(*_nest(task, block, view, (out.vectors + (half == 1)) // (2 if half else 1), apart, operand), strict=True)
    tile = out.array + (task.weight_exponents is not None)
    # Rows above a block that starts inside the image are never visited: count from its first row, so that y stays small.
    above, left = min(max(y, 0), view.rows - 1), min(max(x, 0), view.columns - 1)
    return Instruction(
        op=task.op, pad=_pad(task.pad, sources[0]), zero_point=task.zero_point, low=task.low, high=task.high,
        format_a=FORMATS.index(task.format_a), format_w=FORMATS.index(task.format_w), format_o=FORMATS.index(task.format_o),
        half_a=0 if not sources[0].packed else 3 if matmul else half, half_o=half if out.packed else 0,
        height=view.rows - above if padded else 1, width=view.columns - left if padded else 1,
        y=y - above if padded else 0, x=x - left if padded else 0,
        input=view.base + (y * view.columns + x) * view.tiles + (0 if matmul else first),
        output=out.base_word + (block.row * width + block.column) * out.tiles + first_out,
        output_step=out.tiles, output_wrap=apart_out - (block.rows * block.columns - 1) * out.tiles,
        weights=weights + before * tile * prod(counts[2:5]) * matmul, params=params + before * out.array * matmul,
        loops=_loops(counts, strides, padded))


def _pad(code: int, source: Place) -> int:
    """``code`` in every half of a byte."""
    both = (code & 15) * 0x11
    return both - 256 * (both > 127) if source.packed else code


def weights_image(task: Task, source: Place, out: Place) -> bytes:
    """Weight tiles in the order MATMUL takes them: C out tile, kernel row, kernel column, C in tile, C in, C out.

    Exponents, the same in all channels of a tile, come before its weights.
    """
    if task.weight is None:
        return b""
    array, deep = source.array, task.weight.shape[2]
    if source.source is not None:
        lanes = source.lanes()
    else:
        word = (2, array) if source.packed else (array,)
        lanes = np.arange(tiles(deep, prod(word)) * prod(word)).reshape(-1, *word)
        lanes = np.where(lanes < deep, lanes, -1)
    tiled = _tiled(task.weight, lanes)
    if task.weight_exponents is not None:
        exponents = _tiled(np.repeat(task.weight_exponents, BLOCK, axis=2)[:, :, :deep], lanes)
        tiled = np.concatenate([exponents.max(axis=4, keepdims=True), tiled], axis=4)
    return halved(tiled, source.packed, axis=4)[_order(out)].tobytes()


def _tiled(values: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """Values (kernel rows, kernel columns, C in, C out) as (C out tile, kernel row, kernel column, C in as in ``lanes``, C out), int8."""
    rows, columns, deep, outs = values.shape
    array = lanes.shape[-1]
    padded = np.zeros((rows, columns, deep + 1, tiles(outs, array) * array), np.int8)    # row deep stands for padding
    padded[:, :, :deep, :outs] = values
    tiled = padded[:, :, lanes].reshape(rows, columns, *lanes.shape, -1, array)
    return np.moveaxis(tiled, -2, 0)


def params_image(task: Task, out: Place) -> bytes:
    """Parameters of a task, ``PARAM_STRIDE`` bytes a channel: per output channel (MATMUL), else one word per operand."""
    channels = list(zip(*(part.tolist() for part in (task.bias, task.multiplier, task.shift)), strict=True))
    if task.op is Op.MATMUL:
        channels += [(0, 0, 0)] * (-len(channels) % out.array)
        channels = [channels[vector * out.array + n] for vector in _order(out) for n in range(out.array)]
    else:
        channels = [channel for channel in channels for _ in range(out.array)]
    return b"".join(pack_param(*channel).ljust(PARAM_STRIDE, b"\0") for channel in channels)
