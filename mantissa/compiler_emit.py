"""Tile a task into instructions, and lay out its weights and parameters."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .compiler_place import Place, tiles
from .compiler_tasks import Task
from .fixed import BLOCK
from .program import FORMATS, LOOPS, TABLE, Instruction, Loop, Op
from .registers import PARAM_STRIDE, pack_param

__all__ = ["Block", "blocks", "instruction", "params_image", "weights_image"]

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


def _nest(task: Task, block: Block, view: _View, outs: int, operand: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Count and stride (address, y, x) of each loop, innermost first."""
    (down, across), (tall, wide) = task.stride, task.dilation
    row, column = view.columns * view.tiles, view.tiles
    output = [(block.columns, (across * column, 0, across)), (block.rows, (down * row, down, 0))]
    kernel = [(task.kernel[1], (wide * column, 0, wide)), (task.kernel[0], (tall * row, tall, 0))]
    if task.op is Op.MATMUL:
        yield from [*output, (view.tiles, (1, 0, 0)), *kernel, (outs, (0, 0, 0))]
    elif task.op is Op.ADD:
        yield from [(2, (operand, 0, 0)), (1, (0, 0, 0)), (1, (0, 0, 0)), *output, (outs, (1, 0, 0))]
    else:
        yield from [*kernel, (1, (0, 0, 0)), *output, (outs, (1, 0, 0))]


def instruction(task: Task, block: Block, sources: Sequence[Place], out: Place, weights: int, params: int) -> Instruction:
    """Instruction that computes one block of a task.

    Parameters
    ----------
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
    counts, strides = zip(*_nest(task, block, view, out.tiles, operand), strict=True)
    # Rows above a block that starts inside the image are never visited: count from its first row, so that y stays small.
    above, left = min(max(y, 0), view.rows - 1), min(max(x, 0), view.columns - 1)
    return Instruction(
        op=task.op, pad=task.pad, zero_point=task.zero_point, low=task.low, high=task.high,
        format_a=FORMATS.index(task.format_a), format_w=FORMATS.index(task.format_w), format_o=FORMATS.index(task.format_o),
        height=view.rows - above if padded else 1, width=view.columns - left if padded else 1,
        y=y - above if padded else 0, x=x - left if padded else 0,
        input=view.base + (y * view.columns + x) * view.tiles,
        output=out.base_word + (block.row * width + block.column) * out.tiles,
        output_step=out.tiles, output_wrap=1 - (block.rows * block.columns - 1) * out.tiles,
        weights=weights, params=params, loops=_loops(counts, strides, padded))


def weights_image(task: Task, source: Place) -> bytes:
    """Weight tiles in the order MATMUL takes them: C out tile, kernel row, kernel column, C in tile, C in, C out.

    Exponents, the same in all channels of a tile, come before its weights.
    """
    if task.weight is None:
        return b""
    array, deep = source.array, task.weight.shape[2]
    if source.source is not None:
        lanes = source.lanes()
    else:
        lanes = np.arange(tiles(deep, array) * array).reshape(-1, array)
        lanes = np.where(lanes < deep, lanes, -1)
    tiled = _tiled(task.weight, lanes)
    if task.weight_exponents is not None:
        exponents = _tiled(np.repeat(task.weight_exponents, BLOCK, axis=2)[:, :, :deep], lanes)
        tiled = np.concatenate([exponents.max(axis=4, keepdims=True), tiled], axis=4)
    return tiled.tobytes()


def _tiled(values: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """Values (kernel rows, kernel columns, C in, C out) as (C out tile, kernel row, kernel column, C in tile, C in, C out), int8."""
    rows, columns, deep, outs = values.shape
    array = lanes.shape[1]
    padded = np.zeros((rows, columns, deep + 1, tiles(outs, array) * array), np.int8)    # row deep stands for padding
    padded[:, :, :deep, :outs] = values
    tiled = padded[:, :, lanes].reshape(rows, columns, len(lanes), array, -1, array)
    return np.ascontiguousarray(tiled.transpose(4, 0, 1, 2, 3, 5))


def params_image(task: Task, array: int) -> bytes:
    """Parameters of a task, ``PARAM_STRIDE`` bytes a channel: per output channel (MATMUL), else one word per operand."""
    channels = list(zip(*(part.tolist() for part in (task.bias, task.multiplier, task.shift)), strict=True))
    if task.op is Op.MATMUL:
        channels += [(0, 0, 0)] * (-len(channels) % array)
    else:
        channels = [channel for channel in channels for _ in range(array)]
    return b"".join(pack_param(*channel).ljust(PARAM_STRIDE, b"\0") for channel in channels)
