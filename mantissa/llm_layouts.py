"""The file layouts of ternary weights that have a way back: what bytes a matrix and its scales are."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from .errors import MantissaError
from .llm_weights import BLOCK, Floats, Shape
from .ternary import I2_S, Bytes, Trits, pack_i2_s, pack_rows, pack_tq1_0, pack_tq2_0, unpack_tq1_0, unpack_tq2_0

__all__ = ["BLOCK_BYTES", "I2_S_TAIL", "Payload", "block_scales", "check_i2_s", "encode", "one_scale"]

I2_S_TAIL = 32
"""Bytes after the weights of I2_S: a float32 scale and padding."""
BLOCK_BYTES: Mapping[str, tuple[int, Callable[[Bytes], Trits]]] = {"tq1_0": (54, unpack_tq1_0), "tq2_0": (66, unpack_tq2_0)}
"""Bytes of a block of 256 weights, its float16 scale last, and what reads the others."""

_PACK: Mapping[str, Callable[[Trits], Bytes]] = {"tq1_0": pack_tq1_0, "tq2_0": pack_tq2_0}
_ZEROS = {kind: pack(np.zeros(BLOCK, np.int8))[0] for kind, pack in _PACK.items()}


class Payload(NamedTuple):
    """A tensor as bytes of a file; ``scale`` and its ``dtype`` are apart where the layout has them in a tensor of their own."""
    weights: Bytes
    scale: bytes = b""
    dtype: str = ""


def check_i2_s(shape: Shape, layout: str) -> None:
    """Refuse what a layout of I2_S can not hold."""
    block, rows = I2_S[layout].block, I2_S[layout].rows
    if shape.columns % block or shape.rows % rows:
        raise MantissaError(f"Tensor {shape.name!r} in layout {layout} must have a multiple of {block} columns and of {rows} rows, "
                            f"not {shape.columns} and {shape.rows}")


def block_scales(blocks: Bytes) -> Floats:
    """float16 scales at the end of blocks (n, blocks, bytes), as float32."""
    return np.ascontiguousarray(blocks[..., -2:]).view("<f2")[..., 0].astype(np.float32)


def one_scale(name: str, kind: str, parts: Iterator[Bytes]) -> float | None:
    """The scale of all blocks but those of zeros, whose scale is 0; None if they have different ones.

    A scale must be finite, and positive or, for zeros, 0.
    """
    found: set[float] = set()
    regular = True
    for blocks in parts:
        scales = block_scales(blocks)
        if not np.isfinite(scales).all() or np.signbit(scales).any():
            wrong = scales[~np.isfinite(scales) | np.signbit(scales)].flat[0]
            raise MantissaError(f"Scale of {name!r} must be positive and finite, not {wrong:g}")
        zeros = (blocks[..., :-2] == _ZEROS[kind]).all(axis=-1)
        if np.any((scales == 0) & ~zeros):
            raise MantissaError(f"Scale of {name!r} must be positive and finite, not 0, where weights are not 0")
        regular = regular and not np.any(zeros & (scales != 0))
        if len(found) < 2:
            found.update(np.unique(scales[scales != 0]).tolist())
    return found.pop() if regular and len(found) == 1 else None


def _hf(shape: Shape, trits: Trits, scale: float, stored: Mapping[str, str]) -> Payload:
    if "scale" in stored:
        return Payload(pack_rows(trits), bytes.fromhex(stored["scale"]), stored["dtype"])
    return Payload(pack_rows(trits), np.float32(scale).astype("<f4").tobytes(), "F32")


def _blocks(shape: Shape, layout: str, trits: Trits, scales: Floats) -> Bytes:
    if shape.columns % BLOCK:
        raise MantissaError(f"Tensor {shape.name!r} in layout {layout} must have a multiple of {BLOCK} columns, not {shape.columns}")
    if scales.size == 1:
        used = trits.reshape(shape.rows, -1, BLOCK).any(axis=-1)
        scales = np.where(used, scales.reshape(()), np.float32(0))
    with np.errstate(over="ignore"):
        halves = scales.astype("<f2")
    if np.any(halves.astype(np.float32) != scales):
        wrong = scales[halves.astype(np.float32) != scales].flat[0]
        raise MantissaError(f"Scale of {shape.name!r} in layout {layout} must be a float16, not {wrong!r}")
    return np.concatenate([_PACK[layout](trits), halves[..., None].view(np.uint8)], axis=-1).reshape(shape.rows, -1)


def encode(shape: Shape, layout: str, trits: Trits, scales: Floats, stored: Mapping[str, str]) -> Payload:
    """A matrix in a layout: bytes for bytes those it was read from, if it was in that layout. Refuses what would not be exact.

    ``scales`` is (1,), or (N, K / 256); ``stored`` is what the reader said besides.
    """
    if layout not in ("hf", *I2_S, *BLOCK_BYTES):
        raise MantissaError(f"Layout to write must be one of {', '.join(('hf', *I2_S, *BLOCK_BYTES))}, not {layout!r}")
    if layout in BLOCK_BYTES:
        return Payload(_blocks(shape, layout, trits, scales))
    if scales.size != 1:
        raise MantissaError(f"Tensor {shape.name!r} must have one scale for layout {layout}, not one of every {BLOCK} weights")
    scale = float(scales.reshape(-1)[0])
    if layout == "hf":
        if shape.rows % 4:
            raise MantissaError(f"Tensor {shape.name!r} in layout hf must have a multiple of 4 rows, not {shape.rows}")
        return _hf(shape, trits, scale, stored)
    check_i2_s(shape, layout)
    tail = np.zeros(I2_S_TAIL, np.uint8)
    tail[:4] = np.frombuffer(np.float32(scale).astype("<f4").tobytes(), np.uint8)
    return Payload(np.concatenate([pack_i2_s(trits, layout).reshape(-1), tail]))
