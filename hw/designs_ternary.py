"""Catalogue entries of ternary units without block RAM, with their golden functions."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from .. import ternary
from .array_widths import signed_width
from .ternary_dot import TernaryDot
from .ternary_serial import TernarySerial
from .tlmm_lut_ram import GROUP, TlmmLutRam
from .trits import CODES, TritUnpack

__all__ = ["DESIGNS", "ternary_dot", "ternary_serial", "tlmm_lut_ram", "trit_unpack"]


def _activations(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random activations, a quarter of them extreme."""
    return np.where(rng.random(shape) < 0.25, rng.choice([-128, -127, -1, 0, 1, 127], shape), rng.integers(-128, 128, shape))


def _dot(lanes: int, exact: bool, streams: Streams) -> Streams:
    a, w = (np.asarray(streams["i"][name], np.int64) for name in ("a", "w"))
    sums = (a * np.where(w == -2, 0, w)).sum(axis=1)
    return {"o": {"sum": sums if exact else sums + 128 * lanes - (w[:, -1] < 0)}}


def _dot_stimulus(lanes: int, rng: np.random.Generator) -> Streams:
    """Any codes of trits, the largest sums of either sign, and each lane alone."""
    a, w = _activations(rng, 600, lanes), rng.choice([-2, -1, -1, 0, 0, 1, 1], (600, lanes))
    edges = np.repeat([[-128, -1], [-128, 1], [127, -1], [127, 1], [-1, -1], [0, -1], [0, -2]], lanes, axis=1).reshape(7, 2, lanes)
    alone = np.concatenate([value * np.eye(lanes, dtype=np.int64) for value in (-128, 127, 85)])
    return {"i": {"a": np.concatenate([a, edges[:, 0], alone, alone]),
                  "w": np.concatenate([w, edges[:, 1], np.repeat([-1, 1], len(alone))[:, None] * np.ones(lanes, np.int64)])}}


def ternary_dot(lanes: int, exact: bool = True, fused: bool = True) -> Design:
    """Entry of a :class:`TernaryDot`, fused into carry cells or portable."""
    params: dict[str, Any] = {"lanes": lanes, "exact": exact, "fused": fused}
    return Design(
        name=f"ternary_dot_x{lanes}" + "_biased" * (not exact) + "_portable" * (not fused),
        summary=f"Dot product of {lanes} int8 activations and trits, " + ("exact, " if exact else "bias left to the weights, ")
                + ("select inside ECP5 carry cells" if fused else "signs as carries"),
        params={**params, "dsp": False}, component=partial(TernaryDot, **params), golden=partial(_dot, lanes, exact),
        stimulus=partial(_dot_stimulus, lanes), stateless=True, family="ecp5" if fused else None,
        twin=partial(TernaryDot, **params, cells=False) if fused else None, macs={"int8*ternary": lanes})


def _products(tables: int, exact: bool, streams: Streams) -> Streams:
    i = streams["i"]
    x = np.asarray(streams["i_x"]["x"], np.int64)
    tiles = x[:len(x) // GROUP * GROUP].reshape(-1, GROUP, tables).transpose(0, 2, 1)
    tile = np.cumsum(i["last"]) - i["last"]
    index = np.asarray(i["index"], np.int64)
    sign = np.asarray(i["sign"]) if "sign" in i else (index < 13).astype(np.int64)
    magnitude = index if "sign" in i else abs(index - 13)
    trits = ternary.tl2_trits(magnitude.astype(np.uint8), sign.astype(np.uint8)).reshape(*index.shape, GROUP)
    sums = (trits * tiles[tile][:, None]).sum(axis=(2, 3))
    return {"o": {"sums": sums if exact else sums + 512 * tables - (sign[:, :, -1] if "sign" in i else 0)}}


def _tiles(tables: int, columns: int, half: bool, lookups: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> Streams:
    count = int(lookups.sum())
    index, sign = ternary.tl2_index(rng.integers(-1, 2, (count, columns, tables * GROUP)).astype(np.int8))
    lowest = np.cumsum(lookups)[:-1]                        # all weights negative, all positive
    index[lowest], sign[lowest] = 13, 1
    index[lowest[1:] - 1], sign[lowest[1:] - 1] = 13, 0
    last = np.zeros(count, np.int64)
    last[np.cumsum(lookups) - 1] = 1
    weights = {"index": index, "sign": sign} if half else {"index": np.where(sign, 13 - index.astype(np.int64), 13 + index)}
    return {"i_x": {"x": x}, "i": {**weights, "last": last}}


def _products_stimulus(tables: int, columns: int, half: bool, rng: np.random.Generator) -> Streams:
    """Short tiles, one of them of a single lookup; extremes and any pattern."""
    lookups = np.append(rng.integers(2, 40, 20), [1, 5, 5])
    x = _activations(rng, GROUP * len(lookups), tables)
    x[:GROUP * 4] = np.repeat([-128, 127, -128, 1], GROUP)[:, None]
    return _tiles(tables, columns, half, lookups, x, rng)


def _products_workload(tables: int, columns: int, half: bool, rng: np.random.Generator) -> Streams:
    """Tiles of 4096 outputs."""
    lookups = np.full(8, 4096 // columns)
    return _tiles(tables, columns, half, lookups, _activations(rng, GROUP * len(lookups), tables), rng)


def tlmm_lut_ram(tables: int, columns: int, half: bool = True, exact: bool = True, fused: bool = True) -> Design:
    """Entry of a :class:`TlmmLutRam`, fused into carry cells or portable."""
    params: dict[str, Any] = {"tables": tables, "columns": columns, "half": half, "exact": exact, "fused": fused}
    return Design(
        name=f"tlmm_lut_ram_{tables}x{columns}" + "_full" * (not half) + "_biased" * (not exact) + "_portable" * (not fused),
        summary=f"{GROUP * tables} int8 activations times {columns} rows of trits, {'half' if half else 'full'} tables in LUT-RAM, "
                + ("exact" if exact else "bias left to the weights") + ", ECP5 carry cells" * fused,
        params={**params, "dsp": False}, component=partial(TlmmLutRam, **params), golden=partial(_products, tables, exact),
        stimulus=partial(_products_stimulus, tables, columns, half), family="ecp5" if fused else None,
        twin=partial(TlmmLutRam, **params, cells=False) if fused else None, macs={"int8*ternary": GROUP * tables * columns},
        workload=partial(_products_workload, tables, columns, half))


def _serial(streams: Streams) -> Streams:
    i = streams["i"]
    w = np.asarray(i["w"], np.int64)
    ends = np.flatnonzero(i["last"])
    sums = np.cumsum(np.asarray(i["a"], np.int64) * np.where(w == -2, 0, w))[ends]
    return {"o": {"sum": np.diff(sums, prepend=0)}}


def _serial_stimulus(depth: int, rng: np.random.Generator) -> Streams:
    """The largest sums of either sign, then short ones of any codes."""
    last = (rng.random(900) < 0.2).astype(np.int64)
    last[depth - 1::depth] = last[-1] = 1
    a, w = _activations(rng, 900), rng.choice([-2, -1, -1, 0, 1, 1], 900)
    end = np.append(np.zeros(depth - 1, np.int64), 1)
    return {"i": {"a": np.append(np.full(2 * depth, -128), a), "w": np.append(np.repeat([-1, 1], depth), w),
                  "last": np.concatenate([end, end, last])}}


def ternary_serial(depth: int, fused: bool = True) -> Design:
    """Entry of a :class:`TernarySerial`, fused into carry cells or portable."""
    params: dict[str, Any] = {"depth": depth, "fused": fused}
    return Design(
        name=f"ternary_serial_acc{signed_width(128 * depth)}" + "_portable" * (not fused),
        summary="Accumulator of int8 activations times trits, " + ("select inside ECP5 carry cells" if fused else "sign as carry"),
        params={**params, "dsp": False}, component=partial(TernarySerial, **params), golden=_serial,
        stimulus=partial(_serial_stimulus, depth), family="ecp5" if fused else None,
        twin=partial(TernarySerial, **params, cells=False) if fused else None, macs={"int8*ternary": 1})


def _all_patterns(trits: int) -> np.ndarray:
    return (np.arange(3 ** trits)[:, None] // 3 ** np.arange(trits) % 3 - 1).astype(np.int8)


def _tq1_0_pack(trits: np.ndarray) -> np.ndarray:
    """The first byte of a block, whose first weights are 0, 32, 64, 96 and 128."""
    blocks = np.zeros((len(trits), 256), np.int8)
    blocks[:, :160:32] = trits
    return ternary.pack_tq1_0(blocks)[:, 0, 0]


def _tq1_0_unpack(codes: np.ndarray) -> np.ndarray:
    blocks = np.repeat(ternary.pack_tq1_0(np.zeros((1, 256), np.int8))[:, 0], len(codes), axis=0)
    blocks[:, 0] = codes
    return ternary.unpack_tq1_0(blocks[:, None])[:, :160:32]


def _tl2_pack(trits: np.ndarray) -> np.ndarray:
    index, sign = ternary.tl2_index(trits)
    return (index | sign << 4).ravel()


_PACKINGS = {
    "tl1": (lambda trits: ternary.tl1_index(trits).ravel(), lambda codes: ternary.tl1_trits(codes[:, None])),
    "tl2": (_tl2_pack, lambda codes: ternary.tl2_trits(codes[:, None] & 15, codes[:, None] >> 4)),
    "radix3": (lambda trits: ternary.pack_radix3(trits).ravel(), lambda codes: ternary.unpack_radix3(codes[:, None])),
    "tq1_0": (_tq1_0_pack, _tq1_0_unpack),
    "low_first": (lambda trits: ternary.pack_rows(trits.T).ravel(), lambda codes: ternary.unpack_rows(codes[None]).T),
    "high_first": (lambda trits: ternary.pack_i2_s(trits.T, "i2_s_rows").ravel(),
                   lambda codes: ternary.unpack_i2_s(codes[None], "i2_s_rows").T),
}
"""Codes of trits and trits of codes, one code a row."""


def _unpacked(code: str, streams: Streams) -> Streams:
    pack, unpack = _PACKINGS[code]
    codes = np.asarray(streams["i"]["code"], np.uint8)
    trits = np.zeros((len(codes), CODES[code].trits), np.int8)
    good = np.isin(codes, pack(_all_patterns(CODES[code].trits)))
    trits[good] = unpack(codes[good])
    return {"o": {"trits": trits, "bad": (~good).astype(np.int64)}}


def _codes(bits: int, rng: np.random.Generator) -> Streams:
    """Every code twice."""
    return {"i": {"code": np.concatenate([rng.permutation(1 << bits) for _ in range(2)])}}


def trit_unpack(code: str) -> Design:
    """Entry of a :class:`TritUnpack`."""
    return Design(
        name=f"trits_{code}", summary=f"{CODES[code].trits} trits of {CODES[code].bits} bits, {_TITLES[code]}",
        params={"code": code}, component=partial(TritUnpack, code), golden=partial(_unpacked, code),
        stimulus=partial(_codes, CODES[code].bits), stateless=True)


_TITLES = {"tl1": "TL1", "tl2": "TL2", "radix3": "radix-3 bytes", "tq1_0": "TQ1_0", "low_first": "packed rows and TQ2_0",
           "high_first": "I2_S"}

DESIGNS: tuple[Design, ...] = (
    ternary_dot(8), ternary_dot(8, exact=False), ternary_dot(24, fused=False),
    tlmm_lut_ram(3, 4), tlmm_lut_ram(2, 16, exact=False), tlmm_lut_ram(3, 4, fused=False),
    tlmm_lut_ram(3, 4, half=False, fused=False),
    ternary_serial(511), ternary_serial(511, fused=False),
    *(trit_unpack(code) for code in CODES),
)
"""Designs of ternary units."""
