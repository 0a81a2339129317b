"""Catalogue entries of exact dot products of several lanes, with their golden function."""
from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Exponent, Float, Int, PowerOfRootTwo, Top, encode, get_scalar
from .array_widths import signed_width
from .designs_round import rounded
from .dot import Dot
from .dot_lane import all_numbers, check_element, largest_of
from .dot_round import DotRound, exponent_of

__all__ = ["DESIGNS", "dot", "dot_round", "lengths_of", "meet", "sums", "values_of"]


@cache
def values_of(name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Values of the codes in units of the least, those that are not numbers as they are added; and which these are."""
    fmt = get_scalar(name)
    table = np.asarray(fmt.table)
    least = 2.0 ** -fmt.fraction if isinstance(fmt, Int) else np.abs(table[np.isfinite(table) & (table != 0)]).min()
    if isinstance(fmt, PowerOfRootTwo):
        least /= 1 << fmt.root_bits
    in_place = 2 * table[-2] if isinstance(fmt, Exponent) else 0
    added = replace(fmt, top=Top.NUMBERS).table if isinstance(fmt, Float) else np.where(np.isnan(table), in_place, table)
    return np.array([int(value) for value in added / least], dtype=object), ~np.isfinite(table)


@cache
def _negative(name: str) -> npt.NDArray[np.int64]:
    """Code of the negative of each code, or itself where there is none."""
    values = values_of(name)[0]
    codes = {value: code for code, value in reversed(list(enumerate(values)))}
    return np.array([codes.get(-value, code) for code, value in enumerate(values)])


def sums(terms: npt.NDArray[Any], first: npt.NDArray[Any], last: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum of ``terms`` for each ``last``, from the latest ``first``."""
    starts, ends = np.flatnonzero(first), np.flatnonzero(last)
    before = np.append(np.array([0], dtype=terms.dtype), np.cumsum(terms))
    return np.asarray(before[ends + 1] - before[starts[np.searchsorted(starts, ends, side="right") - 1]])


def lengths_of(rng: np.random.Generator, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """``first`` and ``last`` of short dot products, one of which is given up."""
    lengths = rng.integers(1, 8, count)
    end = np.cumsum(lengths[:int(np.searchsorted(np.cumsum(lengths), count, side="right"))]) - 1
    last = np.isin(np.arange(count), end).astype(np.int64)
    last[-1] = 1
    first = np.append(1, last[:-1])
    last[end[3]] = 0
    return first, last


def meet(rng: np.random.Generator, special: npt.NDArray[np.bool_], *columns: npt.NDArray[np.int64]) -> None:
    """Let codes that are no numbers meet, in one lane of one transaction in 200: the largest shifts there are."""
    found, rows = np.flatnonzero(special), np.arange(40, len(columns[0]), 200)
    if not len(found):
        return
    lanes = rng.integers(0, columns[0][0].size, len(rows))
    for column in columns:
        column.reshape(len(column), -1)[rows, lanes] = rng.choice(found, len(rows))


def _golden(name: str, nan: bool, wide: bool, streams: Streams) -> Streams:
    i = streams["i"]
    values, special = values_of(name)
    a, b = (np.asarray(i[port]) for port in ("a", "b"))
    found = sums((values[a] * values[b]).sum(axis=1), i["first"], i["last"])
    bad = sums((special[a] | special[b]).sum(axis=1), i["first"], i["last"])
    return {"o": {"sum": found if wide else found.astype(np.int64)} | ({"nan": (bad > 0).astype(np.int64)} if nan else {})}


def _stimulus(name: str, lanes: int, depth: int, rng: np.random.Generator) -> Streams:
    """Any codes, seldom some that are not numbers, in short dot products, some of mostly zeros, or of like magnitudes, often small, or in
    which lanes cancel each other; the largest sums of either sign."""
    values, special = values_of(name)
    size, count = len(values), 700
    a, b = rng.integers(0, size, (2, count, lanes))
    a, b = (np.where(special[code] & (rng.random(code.shape) < 0.9), code ^ size >> 2, code) for code in (a, b))
    first, last = lengths_of(rng, count)
    order, product = np.argsort(np.abs(values), kind="stable"), np.cumsum(first) - 1
    order = order[~special[order]]
    few, alike = ((rng.random(count) < 0.4)[product] for _ in range(2))
    alike &= np.bincount(product)[product] <= depth
    rank = (len(order) * rng.random((2, count)) ** 2).astype(np.int64)[:, product]
    near = np.clip(rank[:, :, None] + rng.integers(-8, 9, (2, count, lanes)), 0, len(order) - 1)
    a, b = np.where(alike[:, None], order[near], [a, b])
    a = np.where(few[:, None] & (rng.random(a.shape) < 0.9), order[0], a)
    opposed, places = (rng.random(count) < 0.1)[product], rng.permuted(np.tile(np.arange(lanes), (count, 1)), axis=1)
    rows = np.flatnonzero(opposed)
    for one, other in zip(places[rows].T[:-1:2], places[rows].T[1::2], strict=True):
        a[rows, other], b[rows, other] = a[rows, one], _negative(name)[b[rows, one]]
    meet(rng, special, a, b)
    largest, least = int(np.argmax(np.where(special, 0, values))), int(np.argmin(np.where(special, 0, values)))
    most = max((largest, least), key=lambda code: abs(values[code]))
    edge = min(depth, 300)
    ends = np.zeros((2, 2 * edge), np.int64)
    ends[0, [0, edge]], ends[1, [edge - 1, 2 * edge - 1]] = 1, 1
    full = np.full((2 * edge, lanes), most)
    other = np.repeat([most, least if most == largest else largest], edge)[:, None] + np.zeros((1, lanes), np.int64)
    return {"i": {"a": np.append(a, full, 0), "b": np.append(b, other, 0), "first": np.append(first, ends[0]),
                  "last": np.append(last, ends[1])}}


def dot(fmt: str, lanes: int, *, depth: int = 256, multiplier: str = "lut", cells: bool = True) -> Design:
    """Entry of a :class:`Dot`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "lanes": lanes, "depth": depth, "multiplier": multiplier, "cells": cells}
    element = check_element(fmt, multiplier)
    wide = signed_width(depth * lanes * largest_of(element)) > 63
    return Design(
        name=f"dot_{fmt}_x{lanes}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact dot product of {lanes} {fmt} numbers a cycle, " + ("no DSP" if multiplier == "lut" else f"{lanes} DSPs")
                + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(Dot, **params),
        golden=partial(_golden, fmt, not all_numbers(element), wide), stimulus=partial(_stimulus, fmt, lanes, depth),
        family="ecp5" if cells else None, twin=partial(Dot, **{**params, "cells": False}) if cells else None,
        macs={fmt: lanes})


def _golden_rounded(name: str, to: str, nan: bool, streams: Streams) -> Streams:
    found = _golden(name, nan, True, streams)["o"]
    total = np.asarray(found["sum"])
    code = rounded(to, total < 0, np.abs(total), np.zeros(len(total), np.int64), -exponent_of(name))
    return {"o": {"code": np.where(found["nan"], encode(get_scalar(to), np.nan), code) if nan else code}}


def dot_round(fmt: str, lanes: int, to: str, *, depth: int = 256, multiplier: str = "lut", cells: bool = True) -> Design:
    """Entry of a :class:`DotRound`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "to": to, "lanes": lanes, "depth": depth, "multiplier": multiplier, "cells": cells}
    return Design(
        name=f"dot_{fmt}_x{lanes}_{to}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact dot product of {lanes} {fmt} numbers a cycle, rounded to {to}, "
                + ("no DSP" if multiplier == "lut" else f"{lanes} DSPs") + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(DotRound, **params),
        golden=partial(_golden_rounded, fmt, to, not all_numbers(check_element(fmt, multiplier))),
        stimulus=partial(_stimulus, fmt, lanes, depth), family="ecp5" if cells else None,
        twin=partial(DotRound, **{**params, "cells": False}) if cells else None, macs={fmt: lanes})


DESIGNS: tuple[Design, ...] = (
    dot("e2m1", 4), dot("e2m3", 4), dot("e4m3", 4), dot("e5m2", 4), dot("int8", 4, multiplier="dsp"), dot("posit8_2", 4),
    dot("int16", 2, multiplier="dsp"),
    dot_round("posit8_2", 4, "posit16_2"),
)
