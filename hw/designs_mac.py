"""Catalogue entries of multipliers and multiplier-accumulators, with their golden functions."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams, integers
from ..formats import E2M1, E4M3
from .array_widths import check_accumulator
from .mac import Mac
from .mac_carry_save import MacCarrySave
from .mac_digits import MacDigits
from .mac_e2m1 import MacE2M1
from .mac_e2m1 import sum_width as mac_e2m1_width
from .mac_e4m3 import MacE4M3
from .mac_e4m3 import sum_width as mac_e4m3_width
from .mac_lut import MacLut
from .mac_packed import MacPacked
from .multiply_lut import MultiplyLut

__all__ = ["DESIGNS", "mac", "mac_carry_save", "mac_digits", "mac_e2m1", "mac_e4m3", "mac_lut", "mac_packed", "multiply_lut"]

DEPTH = 256
"""Transactions in a dot product, at most, unless said otherwise."""

DOTS = 60
"""Dot products in a stimulus."""


def _operands(rng: np.random.Generator, width: int, count: int) -> np.ndarray:
    """Random operands, a quarter of them extreme."""
    low, high = -(1 << width - 1), (1 << width - 1) - 1
    return np.where(rng.random(count) < 0.25, rng.choice([low, low + 1, -1, 0, 1, high], count), rng.integers(low, high + 1, count))


def _dots(rng: np.random.Generator, most: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last of dot products of random lengths, one of which is given up: the next one starts all the same; another goes on."""
    lengths = np.append(rng.integers(1, most + 1, DOTS - 1), 1)
    first = np.zeros(int(lengths.sum()), np.int64)
    first[np.cumsum(lengths) - lengths] = 1
    last = np.append(first[1:], 1)
    last[np.flatnonzero(last)[2]] = 0
    first[np.flatnonzero(first)[[12, 24]]] = 0
    return first, last


def _product(streams: Streams) -> Streams:
    a, b = (np.asarray(streams["i"][name], np.int64) for name in ("a", "b"))
    return {"o": {"p": a * b}}


def _product_stimulus(a_width: int, b_width: int, rng: np.random.Generator) -> Streams:
    return {"i": {"a": _operands(rng, a_width, 2000), "b": _operands(rng, b_width, 2000)}}


def _sums(acc_width: int, streams: Streams) -> Streams:
    """Wraps at ``acc_width``, which is nothing where the width is exact."""
    a, b = (np.asarray(streams["i"][name], np.int64) for name in ("a", "b"))
    first, last = (np.flatnonzero(streams["i"][name]) for name in ("first", "last"))
    before = np.append(0, np.cumsum(a * b))
    sums = before[last + 1] - before[first[np.searchsorted(first, last, side="right") - 1]]
    half = 1 << acc_width - 1
    return {"o": {"sum": (sums + half) % (2 * half) - half}}


def _sums_stimulus(a_width: int, b_width: int, depth: int, rng: np.random.Generator) -> Streams:
    """Short dot products, and one as long as there can be of the most negative operands."""
    first, last = _dots(rng, min(depth, 12))
    a, b = _operands(rng, a_width, len(first)), _operands(rng, b_width, len(first))
    worst = min(depth, 1 << 10)
    edge = np.zeros(worst, np.int64)
    edge[0] = 1
    return {"i": {"a": np.append(a, np.full(worst, -1 << a_width - 1)), "b": np.append(b, np.full(worst, -1 << b_width - 1)),
                  "first": np.append(first, edge), "last": np.append(last, edge[::-1])}}


def _e2m1(streams: Streams) -> Streams:
    i = streams["i"]
    doubles = (E2M1.table * 2).astype(np.int64)
    return _sums(62, {"i": {**i, "a": doubles[i["a"]], "b": doubles[i["b"]]}})


def _e2m1_stimulus(depth: int, rng: np.random.Generator) -> Streams:
    pairs = np.array([rng.permutation(256) for _ in range(2)]).ravel()
    return _float_stimulus(pairs >> 4, pairs & 15, 7, 15, depth, rng)


def _float_stimulus(a: np.ndarray, b: np.ndarray, largest: int, least: int, depth: int, rng: np.random.Generator) -> Streams:
    """The pairs given in short dot products, one of them given up and some going on, and the largest sum of either sign."""
    lengths = rng.integers(1, 8, len(a))
    lengths = np.append(lengths[np.cumsum(lengths) <= len(a)], [depth, depth])
    end = np.cumsum(lengths) - 1
    total = int(end[-1]) + 1
    begun = total - 2 * depth
    last = np.isin(np.arange(total), end).astype(np.int64)
    first = np.append(1, last[:-1])
    last[end[3]] = 0
    first[end[8:-2:12] + 1] = 0
    return {"i": {"a": np.append(a[:begun], np.full(2 * depth, largest)), "b": np.append(b[:begun], np.repeat([largest, least], depth)),
                  "first": first, "last": last}}


def _e4m3(acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    units = np.where(np.isnan(E4M3.table), np.where(np.arange(256) < 128, 480, -480), E4M3.table) * 512
    sums = _sums(acc_width, {"i": {**i, **{name: units[i[name]].astype(np.int64) for name in ("a", "b")}}})
    first, last = np.flatnonzero(i["first"]), np.flatnonzero(i["last"])
    bad = np.append(0, np.cumsum(np.isnan(E4M3.table[i["a"]]) | np.isnan(E4M3.table[i["b"]])))
    start = first[np.searchsorted(first, last, side="right") - 1]
    return {"o": {**sums["o"], "nan": (bad[last + 1] > bad[start]).astype(np.int64)}}


def _e4m3_stimulus(depth: int, rng: np.random.Generator) -> Streams:
    """Any codes, near exponents, and now and then a NaN."""
    a, b = rng.integers(0, 256, (2, 1500))
    b = np.where(rng.random(1500) < 0.4, (a & 0x78) ^ rng.integers(0, 256, 1500) & 0x87, b)
    quiet = rng.random(1500) < 0.7
    a, b = (np.where(quiet & (code & 127 == 127), code ^ 64, code) for code in (a, b))
    return _float_stimulus(a, b, 0x7e, 0xfe, depth, rng)


def mac_carry_save(depth: int = DEPTH) -> Design:
    """Entry of a :class:`MacCarrySave`."""
    width = check_accumulator(None, 8, 8, depth)
    return Design(
        name=f"mac_8x8_acc{width}_opt1", summary="Signed 8 by 8 multiplier-accumulator, carry-save accumulator: bit-weight OPT1",
        params={"depth": depth, "dsp": False}, component=partial(MacCarrySave, depth=depth), golden=partial(_sums, width),
        stimulus=partial(_sums_stimulus, 8, 8, depth), macs={"int8": 1})


def _lanes(acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    columns = [_sums(acc_width, {"i": {**i, "b": b}})["o"]["sum"] for b in np.asarray(i["b"]).T]
    return {"o": {"sum": np.stack(columns, axis=1)}}


def _lanes_stimulus(lanes: int, b_width: int, rng: np.random.Generator) -> Streams:
    first, last = _dots(rng, 12)
    return {"i": {"a": _operands(rng, 8, len(first)), "b": _operands(rng, b_width, len(first) * lanes).reshape(-1, lanes),
                  "first": first, "last": last}}


def _lanes_workload(lanes: int, rng: np.random.Generator) -> Streams:
    """Uniform operands, whose digits are as often zero as any."""
    a, b = rng.integers(-128, 128, 1024), rng.integers(-128, 128, (1024, lanes))
    ends = np.arange(1024) % 64
    return {"i": {"a": a, "b": b, "first": (ends == 0).astype(np.int64), "last": (ends == 63).astype(np.int64)}}


def mac_digits(lanes: int, carry_save: bool = True) -> Design:
    """Entry of a :class:`MacDigits`, as published or with its adder in carry cells."""
    params: dict[str, Any] = {"lanes": lanes, "carry_save": carry_save}
    width = check_accumulator(None, 8, 8, DEPTH)
    which = "OPT3" if lanes == 1 else f"OPT4C, {lanes} lanes"
    return Design(
        name=f"mac_8x8_acc{width}_{'opt3' if lanes == 1 else f'opt4c_x{lanes}'}" + "_lut" * (not carry_save),
        summary=f"Signed 8 by 8 multiplier-accumulator by digits that are not zero: bit-weight {which}"
                + ", accumulated in ECP5 carry cells" * (not carry_save),
        params={**params, "dsp": False}, component=partial(MacDigits, **params), golden=partial(_lanes, width),
        stimulus=partial(_lanes_stimulus, lanes, 8), family=None if carry_save else "ecp5",
        twin=None if carry_save else partial(MacDigits, **params, cells=False), macs={"int8": lanes},
        workload=partial(_lanes_workload, lanes))


def mac_packed(cells: bool = True) -> Design:
    """Entry of a :class:`MacPacked`, its accumulators of carry cells or of their description."""
    width = check_accumulator(None, 8, 4, DEPTH)
    return Design(
        name=f"mac_8x4_acc{width}_packed" + ("" if cells else "_portable"),
        summary="Two signed 8 by 4 multiplier-accumulators with one multiplier, " + ("ECP5 carry cells" if cells else "cells described"),
        params={"cells": cells}, component=partial(MacPacked, cells=cells), golden=partial(_lanes, width),
        stimulus=partial(_lanes_stimulus, 2, 4), family="ecp5" if cells else None, twin=partial(MacPacked, cells=False) if cells else None,
        macs={"int8*int4": 2})


def mac_e2m1(depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of a :class:`MacE2M1`, of carry cells or of their description."""
    params: dict[str, Any] = {"depth": depth, "cells": cells}
    return Design(
        name=f"mac_e2m1_acc{mac_e2m1_width(depth)}_lut" + ("" if cells else "_portable"),
        summary="Exact multiplier-accumulator of E2M1 numbers, " + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MacE2M1, **params), golden=_e2m1, stimulus=partial(_e2m1_stimulus, depth),
        family="ecp5" if cells else None, twin=partial(MacE2M1, **{**params, "cells": False}) if cells else None,
        macs={"e2m1": 1})


def mac_e4m3(depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of a :class:`MacE4M3`, of carry cells or of their description."""
    params: dict[str, Any] = {"depth": depth, "cells": cells}
    width = mac_e4m3_width(depth)
    return Design(
        name=f"mac_e4m3_acc{width}_lut" + ("" if cells else "_portable"),
        summary="Exact multiplier-accumulator of E4M3 numbers with NaN, " + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MacE4M3, **params), golden=partial(_e4m3, width),
        stimulus=partial(_e4m3_stimulus, depth), family="ecp5" if cells else None,
        twin=partial(MacE4M3, **{**params, "cells": False}) if cells else None, macs={"e4m3": 1})


def multiply_lut(a_width: int, b_width: int, cells: bool = True, **structure: Any) -> Design:
    """Entry of a :class:`MultiplyLut`, of carry cells or of their description."""
    params: dict[str, Any] = {"a_width": a_width, "b_width": b_width, "cells": cells, **structure}
    return Design(
        name=f"multiply_{a_width}x{b_width}_lut" + ("" if cells else "_portable"),
        summary=f"Signed {a_width} by {b_width} multiplier, gates inside " + ("ECP5 carry cells" if cells else "adders, described"),
        params=params, component=partial(MultiplyLut, **params), golden=_product, stimulus=partial(_product_stimulus, a_width, b_width),
        stateless=True, family="ecp5" if cells else None, twin=partial(MultiplyLut, **{**params, "cells": False}) if cells else None,
        macs={integers(a_width, b_width): 1})


def mac_lut(a_width: int, b_width: int, cells: bool = True, **structure: Any) -> Design:
    """Entry of a :class:`MacLut`, of carry cells or of their description."""
    params: dict[str, Any] = {"a_width": a_width, "b_width": b_width, "cells": cells, **structure}
    depth = structure.get("depth", DEPTH)
    width = check_accumulator(structure.get("acc_width"), a_width, b_width, depth, structure.get("wraps", False))
    return Design(
        name=f"mac_{a_width}x{b_width}_acc{width}_lut" + ("" if cells else "_portable"),
        summary=f"Signed {a_width} by {b_width} multiplier-accumulator of {width} bits, gates inside "
                + ("ECP5 carry cells" if cells else "adders, described"),
        params=params, component=partial(MacLut, **params), golden=partial(_sums, width),
        stimulus=partial(_sums_stimulus, a_width, b_width, depth), family="ecp5" if cells else None,
        twin=partial(MacLut, **{**params, "cells": False}) if cells else None, macs={integers(a_width, b_width): 1})


def mac(a_width: int, b_width: int, structure: str, **accumulator: int) -> Design:
    """Entry of a :class:`Mac`; ``accumulator`` is its depth or acc_width, and whether it wraps."""
    params: dict[str, Any] = {"a_width": a_width, "b_width": b_width, "structure": structure, **accumulator}
    depth = accumulator.get("depth", DEPTH)
    width = check_accumulator(accumulator.get("acc_width"), a_width, b_width, depth, bool(accumulator.get("wraps")))
    how = {"booth": "radix-4 Booth rows", "plain": "synthesis' own multiplier in look-up tables", "dsp": "multiplier in a DSP"}[structure]
    return Design(
        name=f"mac_{a_width}x{b_width}_acc{width}_{structure}",
        summary=f"Signed {a_width} by {b_width} multiplier-accumulator of {width} bits, {how}",
        params={**params, "dsp": structure == "dsp"}, component=partial(Mac, **params), golden=partial(_sums, width),
        stimulus=partial(_sums_stimulus, a_width, b_width, depth), macs={integers(a_width, b_width): 1})


DESIGNS: tuple[Design, ...] = (
    multiply_lut(8, 8), multiply_lut(8, 4), multiply_lut(4, 4),
    mac_lut(8, 8), mac_lut(8, 4), mac_lut(8, 2), mac_lut(4, 4),
    mac_lut(8, 8, cells=False), mac(8, 8, "booth"), mac(8, 8, "plain"), mac(8, 8, "dsp"), mac(8, 8, "dsp", acc_width=32),
    mac(5, 7, "booth", depth=20),
    mac_e2m1(), mac_e2m1(cells=False), mac_e4m3(), mac_e4m3(cells=False),
    mac_carry_save(), mac_digits(1), mac_digits(8), mac_digits(8, carry_save=False),
    mac_packed(),
)
