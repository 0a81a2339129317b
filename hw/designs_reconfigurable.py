"""Catalogue entries of the reconfigurable multiplier-accumulator, with their golden function."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Float, Top, get_scalar
from .multiply_compare import CompareBlock, CompareCell
from .mac_modes import MODES, WORD, Mode
from .mac_reconfigurable import MacReconfigurable

__all__ = ["DESIGNS", "mac_reconfigurable"]

THIN = ("int8", "int4", "posit8_0", "e4m3", "e2m1")
"""Modes whose lanes are bytes and nibbles, exact in theirs."""

ALL = (*THIN, "e5m2", "bf16", "posit16_1", "posit4_1")
"""With two whose lanes are windows, and the other posits."""


@cache
def _table(name: str) -> npt.NDArray[Any]:
    """Values of a format's codes, and what the hardware adds for those that are not numbers."""
    fmt = get_scalar(name)
    if isinstance(fmt, Float):
        fmt = replace(fmt, top=Top.NUMBERS)
    return np.nan_to_num(fmt.table, nan=0.0)


def _products(mode: Mode, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Products of codes in the mode's unit, and whether one is not a number or beyond the window."""
    values, fmt = _table(mode.name), get_scalar(mode.name)
    bad = ~np.isfinite(fmt.table)
    flags = bad[a] | bad[b]
    if mode.window == (0, 0):
        units = (values * 2.0 ** (-mode.unit // 2)).astype(np.int64).astype(object if mode.lanes == 1 else np.int64)
        return units[a] * units[b], flags
    assert isinstance(fmt, Float)
    exponent = np.where(values == 0, 1 - fmt.bias, np.maximum(np.frexp(np.abs(values))[1] - 1, 1 - fmt.bias))
    significand = np.ldexp(values, fmt.man - exponent).astype(np.int64).astype(object)
    total = exponent[a] + exponent[b] + 2 * fmt.bias
    low, high = mode.window
    inside = (total >= low) & (total < high)
    products = np.where(inside, significand[a] * significand[b] << np.where(inside, total - low, 0).astype(object), 0)
    return products, flags | (total >= high)


def _golden(modes: Sequence[str], quire: int, flags: int, streams: Streams) -> Streams:
    i = streams["i"]
    number = np.asarray(i["mode"])
    first, last = (np.flatnonzero(i[name]) for name in ("first", "last"))
    start = first[np.searchsorted(first, last, side="right") - 1]
    width = quire // 4
    words = np.zeros((len(last), 4), np.int64)
    nan = np.zeros(len(last), np.int64)
    for n, name in enumerate(modes):
        mode, mine = MODES[name], number[last] == n
        bits = WORD // mode.lanes
        for lane in range(mode.lanes):
            a, b = (np.where(number == n, np.asarray(i[port]) >> bits * lane & (1 << bits) - 1, 0) for port in ("a", "b"))
            products, bad = _products(mode, a, b)
            before = np.append(0, np.cumsum(products))
            sums = (before[last + 1] - before[start])[mine]
            share = 4 // mode.lanes
            for k in range(share):
                words[mine, share * lane + k] = sums >> width * k & (1 << width) - 1
            if mode.nan:
                count = np.append(0, np.cumsum(bad & (number == n)))
                nan[mine] |= (count[last + 1] > count[start])[mine].astype(np.int64) << lane
    return {"o": {"sum": words, "nan": nan}}


DOTS = 180
"""Dot products of any mode in a stimulus."""

LONG = 24
"""Transactions, at most, of the dot products of largest terms."""


def _stimulus(modes: Sequence[str], depth: int, rng: np.random.Generator) -> Streams:
    """Short dot products whose modes change all the time, one of them given up, and the largest sums of each mode of either sign."""
    lengths = rng.integers(1, 9, DOTS)
    mode = np.repeat(rng.permutation(np.arange(DOTS) % len(modes)), lengths)
    a, b = (np.array([_word(rng, MODES[modes[n]]) for n in mode]) for _ in range(2))
    near = rng.random(len(a)) < 0.3
    b = np.where(near, a ^ rng.integers(0, 1 << WORD, len(a)) & 0x8787, b)
    worst = [(n, *pair) for n, name in enumerate(modes) for pair in _extremes(MODES[name])]
    length = min(depth, LONG)
    lengths = np.append(lengths, [length] * len(worst))
    mode = np.append(mode, np.repeat([n for n, _, _ in worst], length))
    a, b = (np.append(word, np.repeat([row[k] for row in worst], length)) for k, word in ((1, a), (2, b)))
    end = np.cumsum(lengths) - 1
    last = np.isin(np.arange(len(mode)), end).astype(np.int64)
    first = np.append(1, last[:-1])
    last[end[3]] = 0
    return {"i": {"a": a, "b": b, "mode": mode, "first": first, "last": last}}


def _word(rng: np.random.Generator, mode: Mode) -> int:
    """Lanes of any codes, a quarter of them extreme; seldom one that is not a number."""
    bits = WORD // mode.lanes
    table = get_scalar(mode.name).table
    if mode.name == "bf16":
        if rng.random() < 0.04:
            return int(rng.choice([0, 1, 1 << 15, 0x6c41]))
        return int(rng.integers(0, 2) << 15 | int(rng.normal(122, 12)) % 256 << 7 | rng.integers(0, 1 << 7))
    if mode.name == "posit16_1" and rng.random() < 0.9:
        run, zeros = rng.integers(1, 16), rng.integers(0, 2)
        body = int(rng.integers(0, 1 << 15)) & (1 << 15 - run) - 1 | (1 << 15) - (1 << 15 - run)
        body &= ~(1 << 14 - run) if run < 15 else body
        return int(rng.integers(0, 2)) << 15 | (body ^ 0x7fff if zeros else body)
    codes = rng.integers(0, 1 << bits, mode.lanes)
    edge = rng.choice([0, 1, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits - 1) + 1, (1 << bits) - 1], mode.lanes)
    codes = np.where(rng.random(mode.lanes) < 0.25, edge, codes)
    codes = np.where(~np.isfinite(table[codes]) & (rng.random(mode.lanes) < 0.8), codes ^ 1 << bits - 2, codes)
    return sum(int(code) << bits * n for n, code in enumerate(codes))


def _extremes(mode: Mode) -> list[tuple[int, int]]:
    """Words of the largest product, and of its negative in every other lane."""
    table = get_scalar(mode.name).table
    if mode.name == "bf16":
        return [(0x47ff, 0x477f), (0x47ff, 0xc77f)]
    large = int(np.nanargmax(np.where(np.isinf(table), np.nan, np.abs(table))))
    other = int(np.flatnonzero(table == -table[large])[0]) if -table[large] in table else large - 1 & len(table) - 1
    bits = WORD // mode.lanes
    same = sum(large << bits * n for n in range(mode.lanes))
    mixed = sum((other if n % 2 else large) << bits * n for n in range(mode.lanes))
    return [(same, same), (same, mixed), (mixed, sum(other << bits * n for n in range(mode.lanes)))]


def mac_reconfigurable(name: str, modes: Sequence[str], *, depth: int = 256, quire: int = 128, multiplier: str = "lut",
                       cells: bool = True, isolate: bool = True) -> Design:
    """Entry of a :class:`MacReconfigurable`; ``name`` says which modes it has."""
    params: dict[str, Any] = {"modes": tuple(modes), "depth": depth, "quire": quire, "multiplier": multiplier, "cells": cells,
                              "isolate": isolate}
    flags = max([MODES[mode].lanes for mode in modes if MODES[mode].nan], default=1)
    return Design(
        name=f"mac_{name}_acc{quire}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Multiplier-accumulator of {', '.join(modes)}, chosen while it runs, "
                + ("two DSPs" if multiplier == "dsp" else "no DSP") + ("" if cells else ", carry cells described"),
        params={**params, "dsp": multiplier == "dsp"}, component=partial(MacReconfigurable, **params),
        golden=partial(_golden, tuple(modes), quire, flags), stimulus=partial(_stimulus, tuple(modes), depth),
        family="ecp5" if cells else None, twin=partial(MacReconfigurable, **{**params, "cells": False}) if cells else None,
        macs={"~" * (MODES[mode].window != (0, 0)) + mode: MODES[mode].lanes for mode in modes})


def _compare(wide: bool, streams: Streams) -> Streams:
    i = streams["i"]
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    if not wide:
        return {"o": {"product": a * b, "most": np.maximum(a, b), "above": np.maximum(b - a, 0), "below": np.maximum(a - b, 0)}}
    return {"o": {"result": np.where(i["compares"], np.maximum(a, b) | np.abs(a - b) << 4, a * b)}}


def _compare_stimulus(wide: bool, rng: np.random.Generator) -> Streams:
    codes = rng.permutation(1 << (9 if wide else 4))
    bits = 4 if wide else 2
    fields = {"a": codes & (1 << bits) - 1, "b": codes >> bits & (1 << bits) - 1}
    return {"i": {**fields, "compares": codes >> 8} if wide else fields}


def compare(wide: bool) -> Design:
    """Entry of a :class:`CompareCell`, or of a :class:`CompareBlock` of four."""
    return Design(
        name="compare_4x4_rmm2ec" if wide else "compare_2x2_rmm2ec",
        summary=("Product or comparison of two numbers of four bits" if wide else "Product and comparison of two numbers of two bits")
                + ", the published RMM2EC " + ("block" if wide else "cell"),
        params={}, component=CompareBlock if wide else CompareCell, golden=partial(_compare, wide),
        stimulus=partial(_compare_stimulus, wide), stateless=True)


DESIGNS: tuple[Design, ...] = (
    mac_reconfigurable("modes5", THIN, quire=96), mac_reconfigurable("modes9", ALL), mac_reconfigurable("modes9", ALL, multiplier="dsp"),
    compare(wide=False), compare(wide=True),
)
