"""Catalogue entries of exact multiplier-accumulators of one format, with their golden function."""
from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Float, Top, get_scalar
from .designs_dot import meet, sums, values_of
from .mac_exact import MOST, MacExact, check_mac, sum_width
from .mac_wide import MacWide, check_wide

__all__ = ["DESIGNS", "exact", "mac_exact", "mac_wide"]

DEPTH = 256
"""Transactions in a dot product, at most, unless said otherwise."""


def _golden(name: str, acc_width: int, streams: Streams) -> Streams:
    i = streams["i"]
    values, special = values_of(name)
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    total, bad = (sums(column, i["first"], i["last"]) for column in (values[a] * values[b], (special[a] | special[b]).astype(np.int64)))
    half = 1 << acc_width - 1
    total = (total + half) % (2 * half) - half
    flags = {"nan": (bad > 0).astype(np.int64)} if special.any() else {}
    return {"o": {"sum": total if acc_width > 63 else total.astype(np.int64), **flags}}


def _stimulus(name: str, depth: int, rng: np.random.Generator) -> Streams:
    """Any pair of codes, seldom no number, of wide ones zero too, in short dot products, one of them given up, some going on; the largest
    sums of either sign."""
    values, special = values_of(name)
    size = len(values)
    count = min(1500, max(400, 2 * size * size))
    every = rng.integers(0, size * size, 2 * count) if size > 256 else np.concatenate(
        [rng.permutation(size * size) for _ in range(max(2, -(-count // (size * size))))])
    pairs = every[:count]
    a, b = pairs // size, pairs % size
    a, b = (np.where(special[code] & (rng.random(count) < 0.7), code ^ size >> 2, code) for code in (a, b))
    if size > 256:
        zero = np.flatnonzero(values == 0)[:1]
        for column in (a, b):
            column[rng.random(count) < 0.05] = zero
    meet(rng, special, a, b)
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
    first[end[8:-2:12] + 1] = 0
    return {"i": {"a": np.append(a[:begun], np.full(2 * edge, largest)), "b": np.append(b[:begun], np.repeat([largest, least], edge)),
                  "first": first, "last": last}}


def mac_exact(fmt: str, *, depth: int = DEPTH, multiplier: str = "lut", cells: bool = True) -> Design:
    """Entry of a :class:`MacExact`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "depth": depth, "multiplier": multiplier, "cells": cells}
    width = check_mac(fmt, depth, multiplier)[1]
    return Design(
        name=f"mac_{fmt}_acc{width}_exact_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact multiplier-accumulator of {fmt} numbers, " + ("no DSP" if multiplier == "lut" else "one DSP")
                + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(MacExact, **params), golden=partial(_golden, fmt, width),
        stimulus=partial(_stimulus, fmt, depth), family="ecp5" if cells else None,
        twin=partial(MacExact, **{**params, "cells": False}) if cells else None, macs={fmt: 1})


def _golden_wide(name: str, window: tuple[int, int] | None, streams: Streams) -> Streams:
    """Exact, or by the exponents that codes have stored: products inside the window in units of its begin, none below, no number above."""
    i = streams["i"]
    values, special = values_of(name)
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    bad, terms = special[a] | special[b], values[a] * values[b]
    if window is not None:
        fmt = get_scalar(name)
        assert isinstance(fmt, Float)
        stored = sum(np.maximum(code >> fmt.man & (1 << fmt.exp) - 1, 1) for code in (a, b))
        # A product of the least, whose exponents are one, is the sum's unit where the window begins at 0, and else four of its units.
        moved = [int(term) << 2 >> window[0] if window[0] else int(term) for term in np.abs(terms)]
        terms = np.where((window[0] <= stored) & (stored < window[1]), np.sign(terms) * np.array(moved, dtype=object), 0)
        bad |= stored >= window[1]
    total, flags = (sums(column, i["first"], i["last"]) for column in (terms, bad.astype(np.int64)))
    return {"o": {"sum": total} | ({"nan": (flags > 0).astype(np.int64)} if window is not None or special.any() else {})}


def _stimulus_wide(name: str, depth: int, window: tuple[int, int] | None, rng: np.random.Generator) -> Streams:
    """Codes of any exponents, and of such that products come to lie beside the window's ends; long and short dot products."""
    fmt = get_scalar(name)
    rows = {port: np.array(column) for port, column in _stimulus(name, depth, rng)["i"].items()}
    count = len(rows["a"]) * 3 // 5
    if not isinstance(fmt, Float):
        return {"i": _any_size(name, depth, rows, count, rng)}
    window = window or check_wide(name, depth, None)[1]
    exponents = (1 << fmt.exp) - 1 - (fmt.top is Top.IEEE)
    want = rng.integers(max(window[0] - 2, 0), np.minimum(window[1] + (rng.random(count) < 0.02) * 9, 2 * exponents + 1))
    one = np.clip(rng.integers(want // 2 - 30, want // 2 + 31), 0, exponents)
    for port, exponent in (("a", one), ("b", np.clip(want - one, 0, exponents))):
        sign = (rng.integers(0, 2, count) & fmt.signed) << fmt.exp + fmt.man
        rows[port][:count] = rng.integers(0, 1 << fmt.man, count) | exponent << fmt.man | sign
    # All ones, and one more at the bottom: carries through every segment.
    low = 1 << fmt.man
    for n in range(0, count - 40, 97):
        rows["a"][n:n + 2], rows["b"][n:n + 2] = low, [low, low ^ fmt.signed << fmt.exp + fmt.man]
    # The largest exponents there are, those of codes that are not numbers, seldom.
    for n in range(60, count - 40, 250):
        for port in ("a", "b"):
            rows[port][n] |= (1 << fmt.exp) - 1 << fmt.man
    return {"i": rows}


@cache
def _by_size(name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Codes of numbers other than zero, by magnitude; and the magnitudes."""
    values, special = values_of(name)
    found = np.flatnonzero(~special & (values != 0))
    sizes = abs(values[found])
    order = np.argsort(sizes, kind="stable")
    return found[order], sizes[order].astype(np.float64)


def _any_size(name: str, depth: int, rows: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """``rows`` with ``count`` codes of magnitudes of any size; carries through all segments: of the least with itself and its negative, or,
    where nothing is negative, of one after each power of two."""
    found, sizes = _by_size(name)
    for port in ("a", "b"):
        wanted = np.exp2(rng.uniform(0, np.log2(sizes[-1]) + 1, count))
        rows[port][:count] = found[np.minimum(np.searchsorted(sizes, wanted) + rng.integers(0, 2, count), len(found) - 1)]
    for n in range(0, count - 40, 97):
        rows["a"][n:n + 2], rows["b"][n:n + 2] = found[0], found[:2]
    if min(values_of(name)[0][found]) > 0:
        end = min(depth, len(found)) - 1
        rows["a"][:end + 1], rows["b"][:end + 1] = found[0], [*found[:end], found[0]]
        for port, at in (("first", 0), ("last", end)):
            rows[port][:end + 1] = np.arange(end + 1) == at
        rows["first"][end + 1] = 1
    return rows


def _workload_wide(name: str, depth: int, window: tuple[int, int] | None, rng: np.random.Generator) -> Streams:
    """The same factors in dot products of ``depth``."""
    i = _stimulus_wide(name, depth, window, rng)["i"]
    count = len(i["a"]) // depth * depth
    place = np.arange(count) % depth
    return {"i": {"a": i["a"][:count], "b": i["b"][:count],
                  "first": (place == 0).astype(np.int64), "last": (place == depth - 1).astype(np.int64)}}


def mac_wide(fmt: str, *, depth: int = DEPTH, window: tuple[int, int] | None = None, segment: int = 64, multiplier: str = "lut",
             cells: bool = True) -> Design:
    """Entry of a :class:`MacWide`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "depth": depth, "window": window, "segment": segment, "multiplier": multiplier, "cells": cells}
    width = check_wide(fmt, depth, window)[2]
    return Design(
        name=f"mac_{fmt}_acc{width}_{'wide' if window is None else 'window'}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Multiplier-accumulator of {fmt} numbers, exact" + (" over a window" if window else "") + ", accumulator in segments, "
                + ("no DSP" if multiplier == "lut" else "one DSP") + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(MacWide, **params), golden=partial(_golden_wide, fmt, window),
        stimulus=partial(_stimulus_wide, fmt, depth, window), workload=partial(_workload_wide, fmt, depth, window),
        family="ecp5" if cells else None,
        twin=partial(MacWide, **{**params, "cells": False}) if cells else None, macs={"~" * (window is not None) + fmt: 1})


def exact(fmt: str, *, depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of the exact multiplier-accumulator of any format of single numbers, without a DSP: on one carry chain if its sums fit."""
    made = mac_wide if sum_width(get_scalar(fmt), depth) > MOST else mac_exact
    return made(fmt, depth=depth, cells=cells)


DESIGNS: tuple[Design, ...] = (
    mac_exact("posit8_0"), mac_exact("posit8_0", multiplier="dsp"), mac_exact("posit4_1"),
    mac_exact("e4m3"), mac_exact("e5m2"), mac_exact("e3m2"), mac_exact("e2m3"),
    mac_exact("ue4m3"), mac_exact("ue5m3"),
    mac_exact("posit16_1", depth=(1 << 15) - 1, multiplier="dsp_significand"), mac_exact("fp16", multiplier="dsp_significand"),
    mac_exact("fp16"), mac_exact("posit16_1"),
    mac_exact("uint8"), mac_exact("uint8", multiplier="dsp"), mac_exact("sm8"), mac_exact("sm4"),
    mac_exact("ternary"), mac_exact("binary"), mac_exact("pot4"), mac_exact("post4"),
    mac_wide("bf16"), mac_wide("posit16_2"), mac_wide("pot8"), mac_wide("bf16", window=(192, 288), multiplier="dsp"),
)
