"""Ternary weights as bytes: every packing the engines and the file formats use, and the tables they are looked up in.

A trit is -1, 0 or 1, in int8; functions work on the last axis and keep the others. Sources: radix-3 index and full table, TeLLMe
(arXiv 2510.15926), which does not say which trit is least significant: we chose the first; TL1, TL2 and the three I2_S layouts,
bitnet.cpp; TQ1_0 and TQ2_0, llama.cpp; packed rows, Hugging Face transformers.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import MantissaError

__all__ = ["GROUP", "I2_S", "Bytes", "Step", "Trits", "ZERO", "check_trits", "gray_walk", "pack_i2_s", "pack_radix3", "pack_rows",
           "pack_tq1_0", "pack_tq2_0", "radix3_index", "table", "tl1_index", "tl1_trits", "tl2_index", "tl2_table", "tl2_trits",
           "unpack_i2_s", "unpack_radix3", "unpack_rows", "unpack_tq1_0", "unpack_tq2_0"]

Trits = npt.NDArray[np.int8]
Bytes = npt.NDArray[np.uint8]

GROUP = 5
"""Trits of a radix-3 byte."""
ZERO = 121
"""Radix-3 byte of five zeros."""
_BLOCK = 256                                                # trits of a block of TQ1_0 or TQ2_0
_BAD = 3                                                    # stands for no trit in the tables of bytes


def check_trits(values: npt.ArrayLike, what: str = "Weights") -> Trits:
    """The values as int8, if all are trits."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise MantissaError(f"{what} must be integers, not {array.dtype}")
    wrong = array[(array < -1) | (array > 1)]
    if wrong.size:
        raise MantissaError(f"{what} must be -1, 0 or 1, not {int(wrong.flat[0])}")
    return array.astype(np.int8, copy=False)


def _grouped(trits: npt.ArrayLike, group: int, what: str) -> Trits:
    array = check_trits(trits)
    if not array.ndim or array.shape[-1] % group:
        raise MantissaError(f"{what} needs a multiple of {group} weights in a row, not {array.shape[-1] if array.ndim else 'one number'}")
    return array.reshape(*array.shape[:-1], array.shape[-1] // group, group)


def _bytes(values: npt.ArrayLike, what: str) -> Bytes:
    array = np.asarray(values)
    if array.dtype != np.uint8:
        raise MantissaError(f"{what} must be bytes, not {array.dtype}")
    return array


def radix3_index(trits: npt.ArrayLike, group: int = GROUP) -> npt.NDArray[np.int64]:
    """Index of every ``group`` trits: the sum of ``(trit + 1) * 3**i``, the first trit least significant."""
    if not 1 <= group <= 39:
        raise MantissaError(f"Group must be of 1 to 39 trits, not {group}")
    grouped = _grouped(trits, group, "Radix-3 index").astype(np.int64) + 1
    return np.asarray(grouped @ 3 ** np.arange(group, dtype=np.int64))


def _patterns(group: int) -> Trits:
    """Trits of every index, (3**group, group)."""
    return ((np.arange(3 ** group)[:, None] // 3 ** np.arange(group) % 3) - 1).astype(np.int8)


_RADIX3 = np.full((256, GROUP), _BAD, np.int8)
_RADIX3[:3 ** GROUP] = _patterns(GROUP)


def pack_radix3(trits: npt.ArrayLike) -> Bytes:
    """Bytes of five trits, each at once the address of its sum in a :func:`table`."""
    digits = _grouped(trits, GROUP, "Radix-3 byte").view(np.uint8) + np.uint8(1)            # 255 + 1 is 0
    packed = digits[..., GROUP - 1]
    for i in range(GROUP - 2, -1, -1):
        packed = packed * np.uint8(3) + digits[..., i]
    return packed


def _looked_up(packed: Bytes, codes: Trits, what: str) -> Trits:
    trits: Trits = codes[packed]
    wrong = packed[trits[..., 0] == _BAD]
    if wrong.size:
        raise MantissaError(f"{what} must be bytes of trits, which {int(wrong.flat[0])} is not")
    return trits


def unpack_radix3(packed: npt.ArrayLike) -> Trits:
    """Trits of radix-3 bytes; 243 to 255 are refused."""
    array = _bytes(packed, "Radix-3 weights")
    return _looked_up(array, _RADIX3, "Radix-3 weights").reshape(*array.shape[:-1], -1)


def table(values: npt.ArrayLike, group: int = GROUP) -> npt.NDArray[np.int64]:
    """Sums of every ``group`` activations under every pattern of trits, (..., groups, 3**group) by :func:`radix3_index`."""
    if not 1 <= group <= 8:
        raise MantissaError(f"Group of a table must be of 1 to 8 trits, not {group}")
    array = np.asarray(values)
    if not array.ndim or array.shape[-1] % group:
        raise MantissaError(f"Table needs a multiple of {group} activations, not {array.shape[-1] if array.ndim else 'one number'}")
    grouped = array.astype(np.int64).reshape(*array.shape[:-1], -1, group)
    return np.asarray(grouped @ _patterns(group).T.astype(np.int64))


class Step(NamedTuple):
    """One step of the walk that builds a table with one adder: add ``sign`` times activation ``element``, write at ``entry``."""
    entry: int
    element: int
    sign: int


def gray_walk(group: int = GROUP) -> Iterator[Step]:
    """Reflected ternary Gray order from the pattern of all -1: each step changes one trit by one, and every index comes once.

    The first step's ``sign`` is 0: there is the sum of all activations, negated, to start from. Trit ``i`` is the fastest for ``i = 0``.
    """
    if not 1 <= group <= 8:
        raise MantissaError(f"Group of a table must be of 1 to 8 trits, not {group}")
    trits, way = [-1] * group, [1] * group
    index = 0
    yield Step(0, 0, 0)
    while True:
        element = next((i for i in range(group) if -1 <= trits[i] + way[i] <= 1), group)
        if element == group:
            return
        for i in range(element):
            way[i] = -way[i]
        trits[element] += way[element]
        index += way[element] * 3 ** element
        yield Step(index, element, way[element])


def tl1_index(trits: npt.ArrayLike) -> Bytes:
    """TL1's four bits of every two trits: ``3 * w0 + w1 + 4``, 0 to 8."""
    pairs = _grouped(trits, 2, "TL1")
    return (3 * pairs[..., 0] + pairs[..., 1] + 4).astype(np.uint8)


def tl1_trits(index: npt.ArrayLike) -> Trits:
    """Trits of TL1's indices; more than 8 is refused."""
    array = _bytes(index, "TL1 indices")
    if array.size and array.max() > 8:
        raise MantissaError(f"TL1 index must be at most 8, not {int(array.max())}")
    high, low = np.divmod(array.astype(np.int8), np.int8(3))
    return np.stack([high - 1, low - 1], axis=-1).astype(np.int8).reshape(*array.shape[:-1], -1)


def tl2_index(trits: npt.ArrayLike) -> tuple[Bytes, Bytes]:
    """TL2's index (0 to 13) and sign bit of every three trits: magnitude and sign of ``9 * w0 + 3 * w1 + w2``."""
    triples = _grouped(trits, 3, "TL2")
    value = 9 * triples[..., 0] + 3 * triples[..., 1] + triples[..., 2]
    return np.abs(value).astype(np.uint8), (value < 0).astype(np.uint8)


def tl2_trits(index: npt.ArrayLike, sign: npt.ArrayLike) -> Trits:
    """Trits of TL2's indices and sign bits. Zero has no sign: a sign bit with index 0 is refused, for it would not come back."""
    magnitude, negative = np.broadcast_arrays(_bytes(index, "TL2 indices"), _bytes(sign, "TL2 signs"))
    if magnitude.size and magnitude.max() > 13:
        raise MantissaError(f"TL2 index must be at most 13, not {int(magnitude.max())}")
    if negative.size and negative.max() > 1:
        raise MantissaError(f"TL2 sign must be 0 or 1, not {int(negative.max())}")
    if np.any((magnitude == 0) & (negative == 1)):
        raise MantissaError("TL2 sign must be 0 where the index is 0, not 1")
    code = np.where(negative == 1, -magnitude.astype(np.int16), magnitude) + 13
    return np.stack([code // 9 - 1, code // 3 % 3 - 1, code % 3 - 1], axis=-1).astype(np.int8).reshape(*magnitude.shape[:-1], -1)


def tl2_table(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """TL2's half table of every three activations, (..., groups, 14): the sum at a pattern's index; its sign bit negates."""
    array = np.asarray(values)
    if not array.ndim or array.shape[-1] % 3:
        raise MantissaError(f"Table needs a multiple of 3 activations, not {array.shape[-1] if array.ndim else 'one number'}")
    triples = array.astype(np.int64).reshape(*array.shape[:-1], -1, 3)
    half = tl2_trits(np.arange(14, dtype=np.uint8), np.zeros(14, np.uint8)).reshape(14, 3)
    return np.asarray(triples @ half.T.astype(np.int64))


def _two_bits(array: Bytes, what: str) -> Trits:
    """Four codes of each byte, on a new last axis, bits 1:0 first, as trits; code 3 is refused."""
    codes = (array[..., None] >> np.arange(0, 8, 2, dtype=np.uint8)) & 3
    if codes.size and codes.max() > 2:
        raise MantissaError(f"{what} must have codes 0, 1 and 2, not 3")
    return codes.astype(np.int8) - np.int8(1)


def _four(codes: npt.NDArray[Any]) -> Bytes:
    """Bytes of four trits on the last axis, the first in bits 1:0."""
    return np.asarray(((codes + 1).astype(np.uint8) << np.arange(0, 8, 2, dtype=np.uint8)).sum(axis=-1, dtype=np.uint8))


def pack_rows(trits: npt.ArrayLike) -> Bytes:
    """Hugging Face's packed rows: byte (r, c) of (N / 4, K) has rows r, r + N/4, r + N/2 and r + 3N/4, the first in bits 1:0."""
    array = check_trits(trits)
    if array.ndim != 2 or array.shape[0] % 4:
        raise MantissaError(f"Packed rows need a multiple of 4 rows, not {array.shape}")
    return _four(np.moveaxis(array.reshape(4, -1, array.shape[1]), 0, -1))


def unpack_rows(packed: npt.ArrayLike) -> Trits:
    """Trits (N, K) of Hugging Face's packed rows; code 3 is refused."""
    array = _bytes(packed, "Packed rows")
    if array.ndim != 2:
        raise MantissaError(f"Packed rows must be (N / 4, K), not {array.shape}")
    return np.moveaxis(_two_bits(array, "Packed rows"), -1, 0).reshape(-1, array.shape[1])


def _pack_i2_s_block(trits: npt.ArrayLike, block: int) -> Bytes:
    array = _grouped(trits, block, "I2_S")
    codes = np.moveaxis(array.reshape(*array.shape[:-1], 4, block // 4), -2, -1)
    return _four(codes[..., ::-1]).reshape(*array.shape[:-2], -1)


def _unpack_i2_s_block(packed: Bytes, block: int) -> Trits:
    if not packed.ndim or packed.shape[-1] % (block // 4):
        raise MantissaError(f"I2_S needs a multiple of {block // 4} bytes, not {packed.shape}")
    lanes = packed.reshape(*packed.shape[:-1], -1, block // 4)
    return np.moveaxis(_two_bits(lanes, "I2_S weights")[..., ::-1], -1, -2).reshape(*packed.shape[:-1], -1)


def _pack_i2_s_rows(trits: npt.ArrayLike) -> Bytes:
    array = check_trits(trits)
    if array.ndim != 2 or array.shape[0] % 4:
        raise MantissaError(f"I2_S of interleaved rows needs a multiple of 4 rows, not {array.shape}")
    return _four(np.moveaxis(array.reshape(-1, 4, array.shape[1]), 1, -1)[..., ::-1])


def _unpack_i2_s_rows(packed: Bytes) -> Trits:
    if packed.ndim != 2:
        raise MantissaError(f"I2_S of interleaved rows must be (N / 4, K), not {packed.shape}")
    return np.moveaxis(_two_bits(packed, "I2_S weights")[..., ::-1], -1, 1).reshape(-1, packed.shape[1])


class _I2S(NamedTuple):
    pack: Callable[[npt.ArrayLike], Bytes]
    unpack: Callable[[Bytes], Trits]
    block: int                                              # weights of one row that share bytes; 1: rows do
    rows: int                                               # rows that share bytes


I2_S = {
    "i2_s_x86": _I2S(lambda trits: _pack_i2_s_block(trits, 128), lambda packed: _unpack_i2_s_block(packed, 128), 128, 1),
    "i2_s_arm": _I2S(lambda trits: _pack_i2_s_block(trits, 64), lambda packed: _unpack_i2_s_block(packed, 64), 64, 1),
    "i2_s_rows": _I2S(_pack_i2_s_rows, _unpack_i2_s_rows, 1, 4),
}
"""The three layouts of I2_S: x86 with 128 weights in 32 bytes, ARM with 64 in 16, and x86 with four rows in each byte."""


def _i2_s(layout: str) -> _I2S:
    if layout not in I2_S:
        raise MantissaError(f"Layout of I2_S must be one of {', '.join(I2_S)}, not {layout!r}")
    return I2_S[layout]


def pack_i2_s(trits: npt.ArrayLike, layout: str) -> Bytes:
    """I2_S bytes: (..., K / 4) in the layouts of blocks, (N / 4, K) in that of rows."""
    return _i2_s(layout).pack(trits)


def unpack_i2_s(packed: npt.ArrayLike, layout: str) -> Trits:
    """Trits of I2_S bytes, shaped as :func:`pack_i2_s` returns them; code 3 is refused."""
    return _i2_s(layout).unpack(_bytes(packed, "I2_S weights"))


_POWERS = np.array([81, 27, 9, 3, 1], np.int32)
_TQ1 = np.full((256, GROUP), _BAD, np.int8)                 # trits of a byte of TQ1_0, the most significant first
_TQ1[(np.arange(243) * 256 + 242) // 243] = _patterns(GROUP)[:, ::-1]
_TQ1_LAST = np.where(_TQ1[:, 4:] == -1, _TQ1, np.int8(_BAD))   # of its last four, whose fifth digit is 0
_TQ1_PARTS = ((0, 32, 5), (160, 16, 5), (240, 4, 4))        # first weight, bytes, weights of a byte


def _tq1_bytes(codes: npt.NDArray[np.int32]) -> Bytes:
    """``ceil(q * 256 / 243)`` for digits on axis -2, most significant first."""
    q = np.einsum("...nm,n->...m", codes, _POWERS[:codes.shape[-2]])
    return np.asarray((q * 256 + 242) // 243).astype(np.uint8)


def pack_tq1_0(trits: npt.ArrayLike) -> Bytes:
    """The 52 bytes of trits of each block of TQ1_0, (..., blocks, 52); the block's scale is not among them."""
    blocks = _grouped(trits, _BLOCK, "TQ1_0")
    codes = blocks.astype(np.int32) + 1
    parts = [_tq1_bytes(codes[..., first:first + size * each].reshape(*codes.shape[:-1], each, size)) for first, size, each in _TQ1_PARTS]
    return np.concatenate(parts, axis=-1)


def unpack_tq1_0(packed: npt.ArrayLike) -> Trits:
    """Trits of blocks of TQ1_0, (..., blocks, 52). Bytes no trits make are refused, and so is a fifth digit where there are four."""
    array = _bytes(packed, "TQ1_0 weights")
    if array.ndim < 2 or array.shape[-1] != 52:
        raise MantissaError(f"TQ1_0 weights must be blocks of 52 bytes, not {array.shape}")
    parts, at = [], 0
    for _, size, each in _TQ1_PARTS:
        trits = _looked_up(array[..., at:at + size], _TQ1 if each == GROUP else _TQ1_LAST, "TQ1_0 weights")
        parts.append(np.moveaxis(trits[..., :each], -1, -2).reshape(*array.shape[:-1], -1))
        at += size
    return np.concatenate(parts, axis=-1).reshape(*array.shape[:-2], -1)


def pack_tq2_0(trits: npt.ArrayLike) -> Bytes:
    """The 64 bytes of trits of each block of TQ2_0, (..., blocks, 64)."""
    blocks = _grouped(trits, _BLOCK, "TQ2_0")
    return _four(np.moveaxis(blocks.reshape(*blocks.shape[:-1], 2, 4, 32), -2, -1)).reshape(*blocks.shape[:-1], 64)


def unpack_tq2_0(packed: npt.ArrayLike) -> Trits:
    """Trits of blocks of TQ2_0, (..., blocks, 64); code 3 is refused."""
    array = _bytes(packed, "TQ2_0 weights")
    if array.ndim < 2 or array.shape[-1] != 64:
        raise MantissaError(f"TQ2_0 weights must be blocks of 64 bytes, not {array.shape}")
    codes: Trits = np.moveaxis(_two_bits(array.reshape(*array.shape[:-1], 2, 32), "TQ2_0 weights"), -1, -2)
    return codes.reshape(*array.shape[:-2], -1)
