"""Catalogue entries of the integer arrays, with their golden functions."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams, integers
from ..golden import matmul
from .array_output import OutputStationary
from .array_slice import SliceStationary
from .array_weight import WeightStationary
from .array_widths import exact_width
from .dsp_pair import PackedPair

__all__ = ["DESIGNS", "output_stationary", "slice_stationary", "weight_stationary"]

TILES = 60
"""Weight tiles, or dot products, in a stimulus."""


def _operands(rng: np.random.Generator, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random operands, a quarter of them extreme."""
    low, high = -(1 << width - 1), (1 << width - 1) - 1
    extreme = rng.choice([low, low + 1, -1, 0, 1, high], shape)
    return np.where(rng.random(shape) < 0.25, extreme, rng.integers(low, high + 1, shape))


def _flags(rng: np.random.Generator, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last of runs of random lengths."""
    lengths = rng.integers(least, most + 1, TILES)
    starts = np.zeros(int(lengths.sum()), np.int64)
    starts[np.cumsum(lengths) - lengths] = 1
    return starts, np.append(starts[1:], 1)


def _pair(streams: Streams) -> Streams:
    a, w0, w1 = (np.asarray(streams["i"][name], np.int64) for name in ("a", "w0", "w1"))
    return {"o": {"p0": a * w0, "p1": a * w1}}


def _pair_stimulus(rng: np.random.Generator) -> Streams:
    return {"i": {name: _operands(rng, 8, (2000,)) for name in ("a", "w0", "w1")}}


def _weight(rows: int, streams: Streams) -> Streams:
    a, swap, w = streams["i"]["a"], np.asarray(streams["i"]["swap"]), np.asarray(streams["i_w"]["w"])
    tiles = w[:len(w) // rows * rows].reshape(-1, rows, w.shape[1])
    sums = matmul(np.asarray(a)[:, np.newaxis, :], tiles[np.cumsum(swap) - 1])
    return {"o": {"sum": sums[:, 0, :]}}


def _weight_stimulus(rows: int, columns: int, a_width: int, b_width: int, rng: np.random.Generator) -> Streams:
    swap, _ = _flags(rng, 1, 2 * rows)
    a, w = _operands(rng, a_width, (len(swap), rows)), _operands(rng, b_width, (TILES * rows, columns))
    w[:rows] = -(1 << b_width - 1)
    a[0] = -(1 << a_width - 1)
    return {"i": {"a": a, "swap": swap}, "i_w": {"w": w}}


def _weight_workload(rows: int, columns: int, a_width: int, b_width: int, rng: np.random.Generator) -> Streams:
    """Four tiles that each see 64 rows of activations: a matrix product's, not the least a tile can be used for."""
    a, w = _operands(rng, a_width, (256, rows)), _operands(rng, b_width, (4 * rows, columns))
    return {"i": {"a": a, "swap": (np.arange(256) % 64 == 0).astype(np.int64)}, "i_w": {"w": w}}


def _output(acc_width: int, streams: Streams) -> Streams:
    """Wraps at ``acc_width``, which is nothing where the width is exact."""
    a, b, first, last = (np.asarray(streams["i"][name]) for name in ("a", "b", "first", "last"))
    sums = []
    for end in np.flatnonzero(last):
        start = np.flatnonzero(first[:end + 1])[-1]
        sums.append(matmul(a[start:end + 1].T, b[start:end + 1]))
    half = 1 << acc_width - 1
    return {"o": {"acc": (np.array(sums) + half) % (2 * half) - half}}


def _output_stimulus(rows: int, columns: int, a_width: int, b_width: int, depth: int, rng: np.random.Generator) -> Streams:
    first, last = _flags(rng, 1, min(depth, 12))
    a, b = _operands(rng, a_width, (len(first), rows)), _operands(rng, b_width, (len(first), columns))
    end = int(np.flatnonzero(last)[0]) + 1
    a[:end], b[:end] = -(1 << a_width - 1), -(1 << b_width - 1)
    last[np.flatnonzero(last)[2]] = 0                # a dot product that is given up: the next one starts all the same
    return {"i": {"a": a, "b": b, "first": first, "last": last}}


def weight_stationary(rows: int, columns: int, packed: bool = False, a_width: int = 8, b_width: int = 8, elastic: bool = False) -> Design:
    """Entry of a :class:`WeightStationary`."""
    params: dict[str, Any] = {"rows": rows, "columns": columns, "packed": packed, "a_width": a_width, "b_width": b_width,
                              "elastic": elastic}
    return Design(
        name=f"array_ws_{rows}x{columns}_w{b_width}a{a_width}" + "_packed" * packed + "_elastic" * elastic,
        summary=f"Weight-stationary array, {rows} by {columns}, {b_width}-bit weights" + ", two products per multiplier" * packed
                + ", no global stall" * elastic,
        params=params, component=partial(WeightStationary, **params), golden=partial(_weight, rows),
        stimulus=partial(_weight_stimulus, rows, columns, a_width, b_width), macs={integers(a_width, b_width): rows * columns},
        workload=partial(_weight_workload, rows, columns, a_width, b_width))


def output_stationary(rows: int, columns: int, packed: bool = False, a_width: int = 8, b_width: int = 8,
                      **accumulator: int) -> Design:
    """Entry of an :class:`OutputStationary`; ``accumulator`` is its depth or acc_width, and whether it wraps."""
    params: dict[str, Any] = {"rows": rows, "columns": columns, "packed": packed, "a_width": a_width, "b_width": b_width, **accumulator}
    depth = accumulator.get("depth", 1024)
    width = accumulator.get("acc_width") or exact_width(a_width, b_width, depth)
    return Design(
        name=f"array_os_{rows}x{columns}_w{b_width}a{a_width}_acc{width}" + "_packed" * packed,
        summary=f"Output-stationary array, {rows} by {columns}, {width}-bit accumulators" + ", two products per multiplier" * packed,
        params=params, component=partial(OutputStationary, **params), golden=partial(_output, width),
        stimulus=partial(_output_stimulus, rows, columns, a_width, b_width, depth), macs={integers(a_width, b_width): rows * columns})


def slice_stationary(rows: int, columns: int, acc_width: int = 32, **accumulator: int) -> Design:
    """Entry of a :class:`SliceStationary`; ``accumulator`` is whether it wraps."""
    params: dict[str, Any] = {"rows": rows, "columns": columns, "acc_width": acc_width, **accumulator}
    return Design(
        name=f"array_os_{rows}x{columns}_w8a8_acc{acc_width}_slice",
        summary=f"Output-stationary array, {rows} by {columns}, {acc_width}-bit accumulators in ECP5 DSP slices, cell semantics "
                "inferred from published modules, not yet seen on a board",
        params=params, component=partial(SliceStationary, **params), golden=partial(_output, acc_width),
        stimulus=partial(_output_stimulus, rows, columns, 8, 8, 1024), family="ecp5",
        twin=partial(SliceStationary, **params, cells=False), macs={"int8": rows * columns})


DESIGNS: tuple[Design, ...] = (
    Design(name="dsp_pair", summary="Two 8-bit products from one 18-bit multiplier", params={}, component=PackedPair,
           golden=_pair, stimulus=_pair_stimulus, stateless=True, macs={"int8": 2}),
    weight_stationary(2, 2), weight_stationary(4, 4), weight_stationary(8, 8), weight_stationary(4, 4, packed=True),
    weight_stationary(4, 4, packed=True, elastic=True),
    weight_stationary(3, 2, a_width=5, b_width=4),
    # 18 bits hold any seven products; longer dot products are modular, which is what the entries are held to.
    output_stationary(4, 4, acc_width=18, wraps=True), output_stationary(4, 4),
    output_stationary(4, 4, packed=True, acc_width=18, wraps=True),
    output_stationary(2, 3, a_width=8, b_width=4, depth=12),
    slice_stationary(4, 4),
)
