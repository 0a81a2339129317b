"""Catalogue entries of exact multiplier-accumulators of one format, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from .designs_dot import sums, values_of
from .mac_exact import MacExact, sum_width
from .mac_exact_unpack import check_format, has_nan

__all__ = ["DESIGNS", "mac_exact"]

DEPTH = 256
"""Transactions in a dot product, at most, unless said otherwise."""


def _golden(name: str, acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    values, special = values_of(name)
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    total, bad = (sums(column, i["first"], i["last"]) for column in (values[a] * values[b], (special[a] | special[b]).astype(np.int64)))
    half = 1 << acc_width - 1
    total = (total + half) % (2 * half) - half
    flags = {"nan": (bad > 0).astype(np.int64)} if has_nan(check_format(name)) else {}
    return {"o": {"sum": total if acc_width > 63 else total.astype(np.int64), **flags}}


def _stimulus(name: str, depth: int, rng: np.random.Generator) -> Streams:
    """Any pair of codes, seldom one that is not a number, in short dot products, one of them given up; the largest sums of either sign."""
    values, special = values_of(name)
    size = len(values)
    count = min(1500, 2 * size * size)
    every = rng.integers(0, size * size, 2 * count) if size > 256 else np.append(rng.permutation(size * size), rng.permutation(size * size))
    pairs = every[:count]
    a, b = pairs // size, pairs % size
    a, b = (np.where(special[code] & (rng.random(count) < 0.7), code ^ size >> 2, code) for code in (a, b))
    largest = int(np.argmax(np.where(special, 0, values)))
    least = int(np.argmin(np.where(special, 0, values)))
    lengths = rng.integers(1, 8, count)
    edge = min(depth, 512)
    lengths = np.append(lengths[np.cumsum(lengths) <= count], [edge, edge])
    end = np.cumsum(lengths) - 1
    begun = int(end[-1]) + 1 - 2 * edge
    last = np.isin(np.arange(begun + 2 * edge), end).astype(np.int64)
    first = np.append(1, last[:-1])
    last[end[3]] = 0
    return {"i": {"a": np.append(a[:begun], np.full(2 * edge, largest)), "b": np.append(b[:begun], np.repeat([largest, least], edge)),
                  "first": first, "last": last}}


def mac_exact(fmt: str, *, depth: int = DEPTH, multiplier: str = "lut", cells: bool = True) -> Design:
    """Entry of a :class:`MacExact`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "depth": depth, "multiplier": multiplier, "cells": cells}
    width = sum_width(check_format(fmt), depth)
    return Design(
        name=f"mac_{fmt}_acc{width}_exact_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact multiplier-accumulator of {fmt} numbers, " + ("no DSP" if multiplier == "lut" else "one DSP")
                + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(MacExact, **params), golden=partial(_golden, fmt, width),
        stimulus=partial(_stimulus, fmt, depth), family="ecp5" if cells else None,
        twin=partial(MacExact, **{**params, "cells": False}) if cells else None)


DESIGNS: tuple[Design, ...] = (
    mac_exact("posit8_0"), mac_exact("posit8_0", multiplier="dsp"), mac_exact("posit4_1"),
    mac_exact("e4m3"), mac_exact("e5m2"), mac_exact("e3m2"), mac_exact("e2m3"),
    mac_exact("posit16_1", depth=(1 << 15) - 1, multiplier="dsp_significand"), mac_exact("fp16", multiplier="dsp_significand"),
    mac_exact("fp16"),
)
