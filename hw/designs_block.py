"""Catalogue entries of block-scaled dot products, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Exponent, get_block
from .block_dot import BlockDot, check_block, check_window
from .designs_dot import lengths_of, meet, values_of

__all__ = ["DESIGNS", "block_dot"]


def _golden(fmt: str, window: tuple[int, int] | None, wide: bool, streams: Streams) -> Streams:
    """Block by block, as the numbers are read."""
    i = {name: np.asarray(column) for name, column in streams["i"].items()}
    block = get_block(fmt)
    values, special = values_of(block.element.name)
    inside = (values[i["a"]] * values[i["b"]]).sum(axis=1)
    wrong = (special[i["a"]] | special[i["b"]]).any(axis=1)
    scale, bad = _scales(fmt, window, i["a_scale"], i["b_scale"])
    found, flags = [], []
    part = total = 0
    nan = part_nan = False
    for n, (first, end, last) in enumerate(zip(i["first"], i["end"], i["last"], strict=True)):
        if first:
            part, total, nan, part_nan = 0, 0, False, False
        part += inside[n]
        part_nan |= bool(wrong[n])
        if end:
            total += part * scale[n]
            nan |= part_nan | bool(bad[n])
            part, part_nan = 0, False
            if last:
                found.append(total)
                flags.append(int(nan))
    return {"o": {"sum": np.array(found, dtype=object if wide else np.int64), "nan": np.array(flags, np.int64)}}


def _scales(fmt: str, window: tuple[int, int] | None, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[list[int], npt.NDArray[np.bool_]]:
    """Products of scales in units of the least that is added, and which of them are not to be used."""
    scale = get_block(fmt).scale
    if not isinstance(scale, Exponent):
        values, special = values_of(scale.name)
        return list(values[a] * values[b]), special[a] | special[b]
    assert window is not None
    powers = [round(np.log2(x * y)) if x * y > 0 else None for x, y in zip(scale.table[a], scale.table[b], strict=True)]
    inside = [1 << power - window[0] if power is not None and window[0] <= power < window[1] else 0 for power in powers]
    return inside, np.array([power is None or power >= window[1] for power in powers])


def _stimulus(fmt: str, lanes: int, blocks: int, window: tuple[int, int] | None, rng: np.random.Generator) -> Streams:
    """Blocks whole and short, any elements, scales within the window, at its ends and beyond, seldom no number; the largest sums."""
    block = get_block(fmt)
    beats, count = block.size // lanes, 900
    values, special = values_of(block.element.name)
    size = len(values)
    a, b = rng.integers(0, size, (2, count, lanes))
    a, b = (np.where(special[code] & (rng.random(code.shape) < 0.95), code ^ size >> 2, code) for code in (a, b))
    meet(rng, special, a, b)
    end = np.zeros(count, np.int64)
    end[np.cumsum(np.where(rng.random(count) < 0.7, beats, rng.integers(1, beats + 1, count)))[:count].clip(max=count) - 1] = 1
    ends = np.flatnonzero(end)
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    begins, finishes = lengths_of(rng, len(ends))
    last[ends] = finishes
    first[np.append(0, ends[:-1] + 1)] = begins
    first[rng.integers(5, count, 3)] = 1
    last |= (rng.random(count) < 0.1) & (end == 0)
    width = block.scale.width
    if window is not None:
        target = 254 + rng.integers(window[0] - 3, window[1], count) + (rng.random(count) < 0.02) * rng.integers(0, 200, count)
        one = np.clip(rng.integers(target // 2 - 40, target // 2 + 41), 0, 254)
        one = np.where(rng.random(count) < 0.05, rng.choice([0, 1, 253, 254], count), one)
        other = np.clip(target - one, 0, 254)
        odd = rng.random(count) < 0.01
        one, other = np.where(odd, 255, one), np.where(rng.random(count) < 0.01, rng.integers(0, 256, count), other)
        one, other = np.where(rng.random(count) < 0.5, [one, other], [other, one])
        high = 127 + window[1] // 2, 127 + window[1] - 1 - window[1] // 2
    else:
        one, other = rng.integers(0, 1 << width, (2, count))
        one, other = (np.where((code == (1 << width) - 1) & (rng.random(count) < 0.9), 5, code) for code in (one, other))
        high = ((1 << width) - 2,) * 2
    meet(rng, ~np.isfinite(block.scale.table), one, other)
    # As many full blocks of the largest elements as there may be, or 40, of either sign; and at any scales.
    low, high_code = (int(which(np.where(special, 0, values))) for which in (np.argmin, np.argmax))
    most, least = (low, high_code) if -values[low] > values[high_code] else (high_code, low)
    full = min(blocks, 40)
    edge = full * beats
    place, any_of = np.arange(3 * edge), rng.integers(0, count, edge)
    more = {"a": np.full((3 * edge, lanes), most), "b": np.where(place // edge == 1, least, most)[:, None] + np.zeros((1, lanes), np.int64),
            "a_scale": np.append(np.full(2 * edge, high[0]), one[any_of]), "first": (place % edge == 0).astype(np.int64),
            "b_scale": np.append(np.full(2 * edge, high[1]), other[any_of]),
            "end": (place % beats == beats - 1).astype(np.int64), "last": (place % edge == edge - 1).astype(np.int64)}
    some = {"a": a, "b": b, "a_scale": one, "b_scale": other, "first": first, "end": end, "last": last}
    return {"i": {name: np.append(column, more[name], 0) for name, column in some.items()}}


def block_dot(fmt: str, lanes: int, *, blocks: int = 256, window: tuple[int, int] | None = None, multiplier: str = "lut",
              cells: bool = True) -> Design:
    """Entry of a :class:`BlockDot`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "lanes": lanes, "blocks": blocks, "window": window, "multiplier": multiplier, "cells": cells}
    inside = check_window(check_block(fmt), window)
    return Design(
        name=f"block_{fmt}_x{lanes}_{multiplier}" + ("" if cells else "_portable"),
        summary=f"Exact dot product of {lanes} {fmt} numbers a cycle, scaled block by block, "
                + ("no DSP" if multiplier == "lut" else f"{lanes} DSPs") + ", ECP5 carry cells" * cells,
        params={**params, "dsp": multiplier != "lut"}, component=partial(BlockDot, **params), golden=partial(_golden, fmt, inside, True),
        stimulus=partial(_stimulus, fmt, lanes, blocks, inside), family="ecp5" if cells else None,
        twin=partial(BlockDot, **{**params, "cells": False}) if cells else None, macs={fmt: lanes})


DESIGNS: tuple[Design, ...] = (
    block_dot("mxfp4", 8), block_dot("mxfp8e4m3", 4), block_dot("mxint8", 4, multiplier="dsp"), block_dot("nvfp4", 8),
    block_dot("mxfp8e5m2", 4), block_dot("mxfp6e2m3", 4), block_dot("mxfp6e3m2", 4), block_dot("nvint4", 8),
)
