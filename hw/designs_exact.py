"""Catalogue entries of exact multiplier-accumulators of one format, with their golden function."""
from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Float, Top, get_scalar
from .mac_exact import MacExact, sum_width
from .mac_exact_unpack import check_format, has_nan

__all__ = ["DESIGNS", "mac_exact"]

DEPTH = 256
"""Transactions in a dot product, at most, unless said otherwise."""


@cache
def _values(name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Values of the codes in units of the least, those that are not numbers as they are added; and which these are."""
    fmt = get_scalar(name)
    table = np.asarray(fmt.table)
    least = np.abs(table[np.isfinite(table) & (table != 0)]).min()
    added = replace(fmt, top=Top.NUMBERS).table if isinstance(fmt, Float) else np.where(np.isnan(table), 0, table)
    return np.array([int(value) for value in added / least], dtype=object), ~np.isfinite(table)


def _golden(name: str, acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    values, special = _values(name)
    first, last = (np.flatnonzero(i[port]) for port in ("first", "last"))
    start = first[np.searchsorted(first, last, side="right") - 1]
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    before, bad = (np.append(0, np.cumsum(column)) for column in (values[a] * values[b], special[a] | special[b]))
    half = 1 << acc_width - 1
    sums = (before[last + 1] - before[start] + half) % (2 * half) - half
    flags = {"nan": (bad[last + 1] > bad[start]).astype(np.int64)} if special.any() or has_nan(check_format(name)) else {}
    return {"o": {"sum": sums if acc_width > 63 else sums.astype(np.int64), **flags}}


def _stimulus(name: str, depth: int, rng: np.random.Generator) -> Streams:
    """Any pair of codes, seldom one that is not a number, in short dot products, one of them given up; the largest sums of either sign."""
    values, special = _values(name)
    size = len(values)
    count = min(1500, 2 * size * size)
    pairs = np.append(rng.permutation(size * size), rng.permutation(size * size))[:count]
    a, b = pairs // size, pairs % size
    a, b = (np.where(special[code] & (rng.random(count) < 0.7), code ^ size >> 2, code) for code in (a, b))
    largest = int(np.argmax(np.where(special, 0, values)))
    least = int(np.argmin(np.where(special, 0, values)))
    lengths = rng.integers(1, 8, count)
    lengths = np.append(lengths[np.cumsum(lengths) <= count], [depth, depth])
    end = np.cumsum(lengths) - 1
    begun = int(end[-1]) + 1 - 2 * depth
    last = np.isin(np.arange(begun + 2 * depth), end).astype(np.int64)
    first = np.append(1, last[:-1])
    last[end[3]] = 0
    return {"i": {"a": np.append(a[:begun], np.full(2 * depth, largest)), "b": np.append(b[:begun], np.repeat([largest, least], depth)),
                  "first": first, "last": last}}


def mac_exact(fmt: str, *, depth: int = DEPTH, multiplier: str = "lut", cells: bool = True) -> Design:
    """Entry of a :class:`MacExact`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "depth": depth, "multiplier": multiplier, "cells": cells}
    width = sum_width(check_format(fmt), depth)
    return Design(
        name=f"mac_{fmt}_acc{width}_exact_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact multiplier-accumulator of {fmt} numbers, " + ("one DSP" if multiplier == "dsp" else "no DSP")
                + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier == "dsp"}, component=partial(MacExact, **params), golden=partial(_golden, fmt, width),
        stimulus=partial(_stimulus, fmt, depth), family="ecp5" if cells else None,
        twin=partial(MacExact, **{**params, "cells": False}) if cells else None, macs={fmt: 1})


DESIGNS: tuple[Design, ...] = (
    mac_exact("posit8_0"), mac_exact("posit8_0", multiplier="dsp"), mac_exact("posit4_1"),
    mac_exact("e4m3"), mac_exact("e5m2"), mac_exact("e3m2"), mac_exact("e2m3"),
)
