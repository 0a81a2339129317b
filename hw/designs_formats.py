"""Catalogue entries of the accelerator's units where it has several formats, with their golden functions."""
from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from ..fixed import BITS, EXPONENT_MOST, NAMES, WEIGHTS, as_codes, as_fixed, limits
from ..golden import matmul
from ..program import PAIRED
from ..rounding import bound, shift_right
from .array_weight import WeightStationary
from .decode import PAIR_SHIFT, VectorDecode, WeightDecode
from .designs_requantize import FixedLane, lone_bits

__all__ = ["DESIGNS", "operand", "value"]


def operand(number: np.ndarray) -> np.ndarray:
    """Signed numbers of units as magnitudes with the sign above."""
    return np.abs(number) | (number < 0).astype(np.int64) << BITS


def value(number: np.ndarray) -> np.ndarray:
    """Magnitudes with the sign above as signed numbers."""
    return np.where(number >> BITS, -1, 1) * (number & (1 << BITS) - 1)


def _signs(name: str, codes: np.ndarray) -> np.ndarray:
    """Sign bits, which zeros have too."""
    return codes >> (7 if name in ("int8", "e4m3", "posit8_0") else 3) & 1


@cache
def _tables(formats: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Operand and signed number of every code of every format, by its index; those that are not in ``formats`` are 0."""
    units, signs = np.zeros((8, 256), np.int64), np.zeros((8, 256), np.int64)
    for name in formats:
        same = "e2m1" if name == "mxfp4" else name
        units[WEIGHTS.index(name)], signs[WEIGHTS.index(name)] = as_fixed(same, np.arange(256)), _signs(same, np.arange(256))
    return np.abs(units) | signs << BITS, units


@cache
def _pairs(formats: Sequence[str], swapped: bool = False) -> np.ndarray:
    """Operand of both codes of every byte."""
    codes = np.arange(256)
    tables = _tables(tuple(name for name in formats if name in PAIRED))[0]
    low, high = (tables[:, codes >> 4], tables[:, codes & 15]) if swapped else (tables[:, codes & 15], tables[:, codes >> 4])
    number = value(low) + (value(high) << PAIR_SHIFT)
    return np.abs(number) | np.where(value(high) != 0, high, low) >> BITS << BITS


def _vectors(streams: Streams) -> Streams:
    i = streams["i"]
    codes, which, half = np.asarray(i["a"]), np.asarray(i["format"])[:, np.newaxis], np.asarray(i["half"])[:, np.newaxis]
    part = np.where(half == 0, codes, np.where(half == 2, codes >> 4, codes & 15))
    found = np.where(half == 3, _pairs(NAMES)[which, codes], _tables(NAMES)[0][which, part])
    return {"o": {"a": found, "value": value(found), "tag": i["tag"]}}


def _vectors_stimulus(lanes: int, rng: np.random.Generator) -> Streams:
    """Every code of every format in every lane, whole, and a quarter as many halves and pairs, in random order."""
    which, codes = (part.ravel() for part in np.meshgrid(np.arange(len(NAMES)), np.arange(256), indexing="ij"))
    half = np.concatenate([np.zeros(len(codes), np.int64), rng.integers(1, 4, len(codes) // 4)])
    which, codes = (np.concatenate([part, rng.choice(part, len(codes) // 4)]) for part in (which, codes))
    order = rng.permutation(len(codes))
    a = np.stack([codes[order] ^ rng.integers(256) for _ in range(lanes)], axis=1)
    return {"i": {"a": a, "format": which[order], "half": half[order], "tag": rng.integers(0, 2, len(codes))}}


def _weights(rows: int, streams: Streams) -> Streams:
    i = streams["i"]
    out, left = [], 0
    exponents = np.zeros(np.shape(i["b"])[1], np.int64)
    for codes, which, pair in zip(np.asarray(i["b"]), np.asarray(i["format"]), np.asarray(i["pair"]), strict=True):
        blocks = WEIGHTS[which] == "mxfp4"
        if blocks and not left:
            exponents, left = np.minimum(codes & 15, EXPONENT_MOST), rows
            continue
        left -= blocks
        found = _pairs(WEIGHTS, True)[which, codes] if pair else _tables(WEIGHTS)[0][which, codes]
        out.append((found & (1 << BITS) - 1) << (exponents if blocks else 0) | found >> BITS << BITS)
    return {"o": {"w": np.array(out)}}


def _weights_stimulus(rows: int, columns: int, rng: np.random.Generator) -> Streams:
    """Tiles of random formats, as many of MXFP4 as of all others."""
    which = np.where(rng.random(120) < 0.5, len(NAMES), rng.integers(0, len(NAMES), 120))
    formats = np.repeat(which, rows + (which == len(NAMES)))
    pair = np.isin(formats, [NAMES.index(name) for name in PAIRED]) & (rng.random(len(formats)) < 0.5)
    return {"i": {"b": rng.integers(0, 256, (len(formats), columns)), "format": formats, "pair": pair.astype(np.int64)}}


def _array(rows: int, streams: Streams) -> Streams:
    i = streams["i"]
    a, w = value(np.asarray(i["a"])), value(np.asarray(streams["i_w"]["w"]))
    tiles = w[:len(w) // rows * rows].reshape(-1, rows, w.shape[1])[np.cumsum(i["swap"]) - 1]
    a1, a0 = _split(a)
    w0, w1 = _split(tiles)
    pairs = (a0[:, :, np.newaxis] * w0 + a1[:, :, np.newaxis] * w1).sum(axis=1)
    sums = matmul(a[:, np.newaxis, :], tiles)[:, 0, :]
    return {"o": {"sum": np.where(np.asarray(i["pair"])[:, np.newaxis], pairs, sums)}}


def _split(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower number of a pair."""
    upper = number + (1 << PAIR_SHIFT - 1) >> PAIR_SHIFT
    return upper, number - (upper << PAIR_SHIFT)


def _array_stimulus(rows: int, columns: int, rng: np.random.Generator) -> Streams:
    lengths = rng.integers(1, 2 * rows + 1, 60)
    swap = np.zeros(int(lengths.sum()), np.int64)
    swap[np.cumsum(lengths) - lengths] = 1
    most = (1 << BITS) - 1

    def numbers(*shape: int) -> np.ndarray:
        magnitude = np.where(rng.random(shape) < 0.3, rng.choice([0, 1, most], shape), rng.integers(0, most + 1, shape))
        return magnitude | rng.integers(0, 2, shape) << BITS
    a, w = numbers(len(swap), rows), numbers(60 * rows, columns)
    a[0], w[:rows] = most, 2 * most + 1

    def pairs(*shape: int) -> np.ndarray:
        upper, lower = np.where(rng.random((2, *shape)) < 0.3, rng.choice([-12, 12, 0], (2, *shape)), rng.integers(-12, 13, (2, *shape)))
        return operand((upper << PAIR_SHIFT) + lower)
    # Every other tile is of pairs.
    tile = np.cumsum(swap) - 1
    pair = tile % 2
    a = np.where(pair[:, np.newaxis], pairs(*a.shape), a)
    w = np.where((np.arange(len(w)) // rows % 2)[:, np.newaxis], pairs(*w.shape), w)
    return {"i": {"a": a, "swap": swap, "pair": pair}, "i_w": {"w": w}}


def _lane(depth: int, zero_point: int, low: int, high: int, streams: Streams) -> Streams:
    i = streams["i"]
    product = (i["acc"].astype(object) + i["bias"]) * i["b"]
    sums, totals = [0] * depth, np.zeros(len(product), object)
    for n in range(len(product)):
        totals[n] = sums[n % depth] + product[n]
        sums[n % depth] = totals[n] if i["hold"][n] else 0
    c, which, y = np.asarray(i["c"], np.int64), np.asarray(i["format"]), np.zeros(len(product), np.int64)
    for n, name in enumerate(NAMES):
        here = which == n
        if name == "int8":
            y[here] = bound(shift_right(totals[here], c[here], "half_even") + zero_point, low, high)
        else:
            y[here] = as_codes(name, np.maximum(totals[here], 0) if low >= 0 else totals[here], c[here])
    kept = np.asarray(i["hold"]) == 0
    return {"o": {"y": y[kept], "tag": np.asarray(i["tag"])[kept]}}


def _targets(rng: np.random.Generator, which: np.ndarray) -> np.ndarray:
    """Numbers of units, in halves: any, beyond the limits, codes, and the middles between two codes or a power of two off them."""
    out = np.zeros(len(which))
    for n, name in enumerate(NAMES):
        here = np.flatnonzero(which == n)
        codes = np.unique(as_fixed(name, np.arange(256)))
        k = rng.integers(0, len(codes) - 1, len(here))
        low, high = codes[k], codes[k + 1]
        middle = (low + high) / 2
        off = rng.choice([-0.5, 0.5], len(here)) * 2.0 ** np.floor(rng.random(len(here)) * np.log2(2 * (high - low)))
        kinds = np.stack([rng.integers(2 * limits(name)[0] - 3, 2 * limits(name)[1] + 3, len(here)) / 2, low,
                          middle, middle + off, middle + off,
                          rng.choice([-1, 1], len(here)) * 2.0 ** rng.integers(-2, 30, len(here)),
                          rng.choice([-1, 1], len(here)) * np.sqrt(np.abs(low * high))])
        out[here] = kinds[rng.integers(0, len(kinds), len(here)), np.arange(len(here))]
    return out


def _lane_stimulus(depth: int, rotations: int, rng: np.random.Generator) -> Streams:
    """Groups of plain transactions mixed with groups of two that are added; half of the results lie on a half of a unit, exactly, some are
    lone bits."""
    hold: list[int] = []
    for _ in range(rotations):
        hold += ([0], [1, 0], [1, 1, 0])[rng.choice(3, p=[0.7, 0.27, 0.03])]
    rows = np.repeat(np.array(hold), depth)
    n = len(rows)
    small = (rows | np.concatenate([np.zeros(depth, np.int64), rows[:-depth]])).astype(bool)
    which, c = rng.integers(0, len(NAMES), n), rng.integers(0, 64, n)
    c = np.where(rng.random(n) < 0.7, rng.integers(20, 46, n), c)
    c = np.where(rng.random(n) < 0.15, rng.integers(0, 16, n), c)
    exact = rng.random(n) < 0.5
    b = np.where(exact, np.int64(1) << np.clip(c - 1, 0, 31), rng.integers(1 << 30, 1 << 32, n))
    b = np.where(rng.random(n) < 0.04, rng.choice([0, 1, (1 << 32) - 1], n), b)
    wanted = _targets(rng, which) * 2.0 ** c / np.maximum(b, 1) + np.where(exact & (rng.random(n) < 0.3), rng.integers(-1, 2, n), 0)
    most = np.where(small, (1 << 20) - 1, (1 << 47) - 1)
    total = np.clip(np.rint(wanted), -most, most).astype(np.int64)
    alone, (lone, power) = (rng.random(n) < 0.2) & ~small, lone_bits(rng, c, 48, 31)
    b, total = np.where(alone, power, b), np.where(alone, lone, total)
    total = np.where((rng.random(n) < 0.03) & ~small, rng.choice([-1 << 47, (1 << 47) - 1, 0, 1, -1], n), total)
    bias = rng.integers(-1 << 40, 1 << 40, n)
    bias = np.where(np.abs(total - bias) >= 1 << 47, 0, bias)
    return {"i": {"acc": total - bias, "bias": bias, "b": b, "c": c, "format": which, "hold": rows, "tag": rng.integers(0, 2, n)}}


_BOUNDS: tuple[dict[str, Any], ...] = ({"zero_point": -7, "low": -120, "high": 101}, {"zero_point": 5, "low": 5, "high": 127})

DESIGNS: tuple[Design, ...] = (
    Design(name="decode_vector_x2", summary="Codes of six formats as signs and magnitudes, 2 lanes.",
           params={"lanes": 2, "formats": NAMES, "tag": 1},
           component=partial(VectorDecode, lanes=2, formats=NAMES, tag=1), golden=_vectors, stimulus=partial(_vectors_stimulus, 2),
           stateless=True),
    Design(name="decode_weight_4x2", summary="Codes of weight tiles, 4 by 2, MXFP4 among them, as signs and magnitudes.",
           params={"rows": 4, "columns": 2, "formats": WEIGHTS}, component=partial(WeightDecode, rows=4, columns=2, formats=WEIGHTS),
           golden=partial(_weights, 4), stimulus=partial(_weights_stimulus, 4, 2)),
    *(Design(name=f"array_ws_{rows}x{columns}_signs",
             summary=f"Weight-stationary array, {rows} by {columns}, of signs and 18-bit magnitudes.",
             params={"rows": rows, "columns": columns, "sign_magnitude": True},
             component=partial(WeightStationary, rows, columns, sign_magnitude=True), golden=partial(_array, rows),
             stimulus=partial(_array_stimulus, rows, columns))
      for rows, columns in ((3, 2), (4, 4))),
    *(Design(name=f"format_lane_x{depth}{tail}",
             summary=f"Requantizer lane from 48-bit sums to a code of six formats, {depth} groups" + ", not negative" * bool(tail) + ".",
             params={"formats": NAMES, "depth": depth, **bounds},
             component=partial(FixedLane, serial=False, depth=depth, formats=NAMES, **bounds),
             golden=partial(_lane, depth, *bounds.values()), stimulus=partial(_lane_stimulus, depth, 1100 // depth))
      for depth, tail, bounds in ((1, "", _BOUNDS[0]), (4, "_relu", _BOUNDS[1]))),
)
