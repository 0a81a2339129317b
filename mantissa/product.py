"""Exact integer matrix product at the speed of floating point.

An integer up to 2**24 is exact in float32, and so is any sum of such integers that stays within, in any order and with fused
multiply-add: BLAS then has nothing to round. What the operands' largest magnitudes and the number of terms prove to stay
within is done as float32; then in pieces of K that do, added as int64; then likewise as float64 with 2**53; else in integers.
"""
from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from .rounding import Ints, extent

__all__ = ["buffer", "exact_product"]

_EXACT: tuple[tuple[type, int], ...] = ((np.float32, 1 << 24), (np.float64, 1 << 53))
_TERMS = 64                       # in a shorter piece the wider kind is faster
_KEPT = 1 << 21                   # elements of the largest buffer kept between calls


class _Kept(threading.local):
    """Memory kept between calls."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, type], npt.NDArray[Any]] = {}


_kept = _Kept()


def buffer(use: str, kind: type, rows: int, columns: int) -> npt.NDArray[Any]:
    """Matrix of ``kind``, with anything in it; the next one of the same ``use`` may be the same memory.

    For matrices of a few hundred rows, fresh pages cost more than the product.
    """
    size = rows * columns
    if size > _KEPT:
        return np.empty((rows, columns), kind)
    found = _kept.buffers.get((use, kind))
    if found is None or found.size < size:
        found = _kept.buffers[use, kind] = np.empty(size, kind)
    return found[:size].reshape(rows, columns)


def exact_product(x: Ints, y: Ints) -> Ints:
    """Exact product of integer matrices (M, K) and (K, N): int64, or object where 64 bits could overflow."""
    depth, most = x.shape[1], extent(x) * extent(y)
    if x.dtype == object or y.dtype == object or depth * most >= 1 << 63:
        return np.asarray(np.matmul(x.astype(object), y.astype(object)))
    if not x.size or not y.size:
        return np.zeros((x.shape[0], y.shape[1]), np.int64)
    for kind, exact in _EXACT:
        piece = min(depth, exact // max(most, 1))
        if piece >= min(depth, _TERMS):
            return _floating(x, y, kind, piece)
    return np.asarray(np.matmul(x.astype(np.int64), y.astype(np.int64)))


def _floating(x: Ints, y: Ints, kind: type, piece: int) -> Ints:
    """Product by way of floats of ``kind``, ``piece`` terms of which are exact."""
    (m, depth), n = x.shape, y.shape[1]
    out = np.empty((m, n), np.int64)
    right = buffer("right", kind, depth, n)
    np.copyto(right, y)
    rows = min(m, max(1, _KEPT // max(depth, n)))
    for top in range(0, m, rows):
        block = out[top:top + rows]
        left = buffer("left", kind, len(block), depth)
        np.copyto(left, x[top:top + rows])
        part = buffer("part", kind, len(block), n)
        for first in range(0, depth, piece):
            np.matmul(left[:, first:first + piece], right[first:first + piece], out=part)
            if first == 0:
                np.copyto(block, part, casting="unsafe")
            else:
                wide = buffer("wide", np.int64, len(block), n)
                np.copyto(wide, part, casting="unsafe")
                np.add(block, wide, out=block)
    return out
