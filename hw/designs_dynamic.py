"""Catalogue entry of the dynamic fixed-point multiplier-accumulator, with its golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from .designs_dot import lengths_of
from .mac_dynamic import ACC, MacDynamic, check_chain, total_width

__all__ = ["DESIGNS", "mac_dynamic"]


def _golden(chain: int, shift: int, width: int, streams: Streams) -> Streams:
    """Pair by pair: a chain's sum modulo 32 bits, moved to the wide one when it is complete or the last."""
    i = {name: np.asarray(column) for name, column in streams["i"].items()}
    pairs = (i["a"].astype(np.int64) * i["b"]).sum(axis=1) >> shift
    half, found = 1 << ACC - 1, []
    part = count = total = 0
    for pair, first, last in zip(pairs.tolist(), i["first"], i["last"], strict=True):
        if first:
            part = count = total = 0
        part, count = (part + pair + half) % (2 * half) - half, count + 1
        if last or count == chain:
            total, part, count = total + part, 0, 0
        if last:
            found.append((total + (1 << width - 1)) % (1 << width) - (1 << width - 1))
    return {"o": {"sum": np.array(found, np.int64)}}


def _stimulus(chain: int, symmetric: bool, rng: np.random.Generator) -> Streams:
    """Any factors, many near the ends; dot products shorter and longer than a chain; whole chains of the largest pairs of either sign."""
    count = 800
    least = -(1 << 15) + symmetric
    values = rng.integers(least, 1 << 15, (2, count, 2))
    ends = rng.choice([least, least + 1, -1, 0, 1, (1 << 15) - 1], (2, count, 2))
    a, b = np.where(rng.random((2, count, 2)) < 0.5, values, ends)
    first, last = lengths_of(rng, count)
    last &= (rng.random(count) < 0.6) | (np.arange(count) == count - 1)
    first = np.append(1, last[:-1])
    edge = min(3 * chain, 100)
    largest = np.full((edge, 2), least)
    more = np.zeros((2, 2 * edge), np.int64)
    more[0, [0, edge]], more[1, [edge - 1, -1]] = 1, 1
    return {"i": {"a": np.concatenate([a, largest, largest]), "b": np.concatenate([b, largest, np.full((edge, 2), (1 << 15) - 1)]),
                  "first": np.append(first, more[0]), "last": np.append(last, more[1])}}


def mac_dynamic(*, chain: int | None = None, shift: int = 0, symmetric: bool = True, chains: int = 1 << 16, multiplier: str = "dsp",
                cells: bool = True) -> Design:
    """Entry of a :class:`MacDynamic`, of carry cells or of their description."""
    params: dict[str, Any] = {"chain": chain, "shift": shift, "symmetric": symmetric, "chains": chains, "multiplier": multiplier,
                              "cells": cells}
    length = check_chain(chain, shift, symmetric)
    return Design(
        name=f"mac_dfp16_x2_chain{length}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Two products of dynamic fixed-point INT16 a cycle, {length} pairs in 32 bits, chains in {total_width(chains)}, "
                + ("no DSP" if multiplier == "lut" else "two DSPs") + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(MacDynamic, **params),
        golden=partial(_golden, length, shift, total_width(chains)), stimulus=partial(_stimulus, length, symmetric),
        family="ecp5" if cells else None, twin=partial(MacDynamic, **{**params, "cells": False}) if cells else None,
        macs={"~" * (shift > 0) + "dfp16": 2})


DESIGNS: tuple[Design, ...] = (mac_dynamic(), mac_dynamic(shift=3, symmetric=False))
