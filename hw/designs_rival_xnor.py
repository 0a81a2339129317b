"""Catalogue entries of dot products of signs, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from .designs_mac import _dots
from .dot_xnor import DotXnor, sum_width

__all__ = ["XNOR", "dot_xnor"]

DEPTH = 128
"""Transactions in a dot product, at most, unless said otherwise."""


def _golden(lanes: int, acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    mask = (1 << lanes) - 1
    count = np.array([(~(int(a) ^ int(w)) & mask).bit_count() for a, w in zip(i["a"], i["w"], strict=True)], np.int64)
    first, last = (np.flatnonzero(i[name]) for name in ("first", "last"))
    start = first[np.searchsorted(first, last, side="right") - 1]
    before = np.append(0, np.cumsum(count))
    half = 1 << acc_width - 1
    sums = (before[last + 1] - before[start] + np.asarray(i["bias"], np.int64)[start] + half) % (2 * half) - half
    return {"o": {"sum": sums, "bit": (sums >= 0).astype(np.int64) ^ np.asarray(i["flip"], np.int64)[last]}}


def _stimulus(lanes: int, depth: int, rng: np.random.Generator) -> Streams:
    """Biases near the negative of the count, lanes mostly random but also all equal, all unequal and one alone; the largest counts."""
    first, last = _dots(rng, min(depth, 12))
    size, mask = len(first), (1 << lanes) - 1
    draw = [int.from_bytes(rng.bytes(32), "little") & mask for _ in range(2 * size)]
    kind = rng.integers(0, 8, size)
    lane = rng.integers(0, lanes, size)
    special = {0: lambda k: 0, 1: lambda k: mask, 2: lambda k: 1 << int(lane[k]), 3: lambda k: mask ^ 1 << int(lane[k])}
    a = draw[:size]
    w = [a[k] ^ special[int(kind[k])](k) if kind[k] < 4 else draw[size + k] for k in range(size)]
    length = np.diff(np.append(np.flatnonzero(first), size))
    bias = -np.repeat(length, length) * lanes // 2 + rng.integers(-lanes, lanes + 1, size)
    top = depth * lanes
    edge = np.zeros(depth, np.int64)
    edge[0] = 1
    more = np.repeat([0, -top, 1 - top, -lanes], depth)
    equal = [mask] * depth * 3 + [0] * depth
    return {"i": {"a": np.array(a + equal, dtype=object), "w": np.array(w + equal, dtype=object), "bias": np.append(bias, more),
                  "flip": rng.integers(0, 2, size + 4 * depth), "first": np.concatenate([first, *[edge] * 4]),
                  "last": np.concatenate([last, *[edge[::-1]] * 4])}}


def dot_xnor(lanes: int, *, depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of a :class:`DotXnor`, of carry cells or of their description."""
    params: dict[str, Any] = {"lanes": lanes, "depth": depth, "cells": cells}
    width = sum_width(lanes, depth)
    return Design(
        name=f"dot_xnor_x{lanes}_acc{width}" + ("" if cells else "_portable"),
        summary=f"Exclusive-nor and count of {lanes} lanes a cycle, with bias and sign, "
                + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(DotXnor, **params), golden=partial(_golden, lanes, width),
        stimulus=partial(_stimulus, lanes, depth), family="ecp5" if cells else None,
        twin=partial(DotXnor, **{**params, "cells": False}) if cells else None, macs={"binary": lanes})


XNOR: tuple[Design, ...] = (dot_xnor(32), dot_xnor(64), dot_xnor(64, cells=False))
