"""Catalogue entries of dot products in groups, each scaled once, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import E2M1
from .designs_mac import _operands
from .mac_grouped import SCALES, MacGrouped, sum_widths

__all__ = ["GROUPED", "grouped_weights", "mac_grouped"]

SIZE, GROUPS = 128, 8


def grouped_weights(weight: str) -> npt.NDArray[Any]:
    """Integer weight of every code."""
    return (E2M1.table * 2).astype(np.int64) if weight == "e2m1" else (np.arange(16) + 8) % 16 - 8


def _golden(weight: str, scale: str, streams: Streams) -> Streams:
    i = streams["i"]
    products = np.asarray(i["a"], np.int64) * grouped_weights(weight)[i["w"]]
    scales = np.asarray(i["scale"], np.int64)
    factors = scales if scale == "integer" else 1 << scales
    ends = np.flatnonzero(np.asarray(i["end"]) | np.asarray(i["last"]))
    groups = np.diff(np.append(0, np.cumsum(products))[ends + 1], prepend=0) * factors[ends]
    lasts = np.flatnonzero(np.asarray(i["last"])[ends])
    return {"o": {"sum": np.diff(np.append(0, np.cumsum(groups))[lasts + 1], prepend=0)}}


def _stimulus(weight: str, scale: str, size: int, groups: int, rng: np.random.Generator) -> Streams:
    """Groups of all lengths, mostly too short to hide the scaling, and the largest sum of all."""
    lengths = np.minimum(rng.choice([1, 2, 3, 8, 9, 10, 15], 90), size)
    count = int(lengths.sum())
    end, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    ends = np.cumsum(lengths) - 1
    final = np.minimum(np.cumsum(rng.integers(1, groups + 1, len(ends))), len(ends)) - 1
    last[ends[final]] = 1
    last[-1] = 1
    end[ends] = 1
    end &= ~last | rng.integers(0, 2, count)                 # last ends the group with or without
    top = (1 << SCALES[scale]) - 1
    worst = size * groups
    edge = np.arange(1, worst + 1) % size == 0
    scales = np.where(rng.random(count) < 0.3, rng.choice([0, 1, top], count), rng.integers(0, top + 1, count))
    lowest = 15 if weight == "e2m1" else 8
    return {"i": {"a": np.append(_operands(rng, 8, count), np.full(worst, -128)),
                  "w": np.append(rng.integers(0, 16, count), np.full(worst, lowest)), "scale": np.append(scales, np.full(worst, top)),
                  "end": np.append(end, edge.astype(np.int64)), "last": np.append(last, np.arange(1, worst + 1) == worst).astype(np.int64)}}


def _workload(weight: str, scale: str, size: int, groups: int, rng: np.random.Generator) -> Streams:
    """Factors and scales of the stimulus in whole groups, as many in each dot product as there may be."""
    i = _stimulus(weight, scale, size, groups, rng)["i"]
    place = np.arange(2 * size * groups) % (size * groups)
    return {"i": {**{name: np.resize(i[name], len(place)) for name in ("a", "w", "scale")},
                  "end": (place % size == size - 1).astype(np.int64), "last": (place == size * groups - 1).astype(np.int64)}}


def mac_grouped(weight: str, *, scale: str = "integer", size: int = SIZE, groups: int = GROUPS, cells: bool = True) -> Design:
    """Entry of a :class:`MacGrouped`, of carry cells or of their description."""
    params: dict[str, Any] = {"weight": weight, "scale": scale, "size": size, "groups": groups, "cells": cells}
    width = sum_widths(weight, scale, size, groups)[1]
    return Design(
        name=f"mac_8x{weight}_acc{width}_grouped" + ("" if scale == "integer" else "_power") + ("" if cells else "_portable"),
        summary=f"Signed 8-bit integers by {weight} weights, sums of groups scaled by "
                + ("8-bit integers, " if scale == "integer" else "powers of two, ") + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MacGrouped, **params), golden=partial(_golden, weight, scale),
        stimulus=partial(_stimulus, weight, scale, size, groups),
        workload=partial(_workload, weight, scale, size, groups), family="ecp5" if cells else None,
        twin=partial(MacGrouped, **{**params, "cells": False}) if cells else None, macs={f"int8*{weight}": 1})


GROUPED: tuple[Design, ...] = (
    mac_grouped("int4"), mac_grouped("e2m1"), mac_grouped("e2m1", cells=False), mac_grouped("int4", scale="power"),
)
