"""Catalogue entries of L-Mul multipliers and multiplier-accumulators, with their golden functions."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import Float, Top, get_scalar
from .designs_mac import DEPTH, _float_stimulus
from .mac_lmul import MacLmul, sum_width
from .multiply_lmul import MultiplyLmul

__all__ = ["LMUL", "lmul", "mac_lmul", "multiply_lmul"]

Codes = npt.NDArray[Any]


def _offset(man: int, offset: str) -> tuple[int, int]:
    """Offset in units of the last of ``man`` and so many more fraction bits; the paper's ``l(m)``."""
    if offset == "zero":
        return 0, 0
    where = 4 if offset == "1/16" else man if man <= 3 else 3 if man == 4 else 4
    return (1, where - man) if where > man else (1 << man - where, 0)


def _special(fmt: Float, codes: Codes) -> Codes:
    return ~np.isfinite(fmt.table[codes])


def lmul(fmt: Float, offset: str, a: Codes, b: Codes) -> Codes:
    """Codes of the products of codes."""
    size = fmt.exp + fmt.man
    field_a, field_b = (np.asarray(code, np.int64) & (1 << size) - 1 for code in (a, b))
    field = field_a + field_b - (fmt.bias << fmt.man) + _offset(fmt.man, offset)[0]
    numbers = np.flatnonzero(np.isfinite(fmt.table[:1 << size]))
    field = np.where(field < 1 << fmt.man, 0, np.minimum(field, numbers[-1]))
    field = np.where((field_a < 1 << fmt.man) | (field_b < 1 << fmt.man), 0, field)
    field = np.where(_special(fmt, a) | _special(fmt, b), (1 << size) - 1, field)
    return field | (np.asarray(a) ^ b) >> size << size


def _multiplied(name: str, offset: str, streams: Streams) -> Streams:
    fmt = get_scalar(name)
    assert isinstance(fmt, Float)
    return {"o": {"p": lmul(fmt, offset, streams["i"]["a"], streams["i"]["b"])}}


def _codes(fmt: Float, count: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Pairs of any codes, of such as make products near either end, and now and then one that is no number."""
    size = fmt.exp + fmt.man
    a, b = rng.integers(0, 2 << size, (2, count))
    edge = np.where(rng.random(count) < 0.5, 1 << fmt.man, (1 << size) - 1) + (fmt.bias << fmt.man) - (a & (1 << size) - 1)
    edge = np.clip(edge + rng.integers(-4, 5, count), 0, (1 << size) - 1) | b >> size << size
    b = np.where(rng.random(count) < 0.4, edge, b)
    quiet = rng.random(count) < 0.8
    a, b = (np.where(quiet & _special(fmt, code), code ^ 1 << size - 1, code) for code in (a, b))
    return a, np.where(rng.random(count) < 0.05, b & 1 << size | b & (1 << fmt.man) - 1, b)


def _multiply_stimulus(name: str, rng: np.random.Generator) -> Streams:
    fmt = get_scalar(name)
    assert isinstance(fmt, Float)
    a, b = _codes(fmt, 1500, rng)
    return {"i": {"a": a, "b": b}}


def _golden(name: str, offset: str, acc_width: int, streams: Streams) -> Streams:
    """Sums of products in units of 2 ** (2 - 2 bias - fraction), codes that are no numbers being what they would be."""
    i, fmt = streams["i"], get_scalar(name)
    assert isinstance(fmt, Float)
    size = fmt.exp + fmt.man
    added, more = _offset(fmt.man, offset)
    a, b = (np.asarray(i[port], np.int64) for port in ("a", "b"))
    fields = [code & (1 << size) - 1 for code in (a, b)]
    field = (fields[0] + fields[1] << more) + added
    place = fmt.man + more
    live = (fields[0] >= 1 << fmt.man) & (fields[1] >= 1 << fmt.man)
    product = np.array([(f % (1 << place) + (1 << place)) << (f >> place) - 2 if on else 0
                        for f, on in zip(field.tolist(), live.tolist(), strict=True)], dtype=object)
    before = np.append(0, np.cumsum(np.where((a ^ b) >> size, -product, product)))
    first, last = (np.flatnonzero(i[port]) for port in ("first", "last"))
    start = first[np.searchsorted(first, last, side="right") - 1]
    half = 1 << acc_width - 1
    sums = (before[last + 1] - before[start] + half) % (2 * half) - half
    out = {"sum": sums if acc_width > 63 else sums.astype(np.int64)}
    if fmt.top is not Top.NUMBERS:
        bad = np.append(0, np.cumsum(_special(fmt, a) | _special(fmt, b)))
        out["nan"] = (bad[last + 1] > bad[start]).astype(np.int64)
    return {"o": out}


def _stimulus(name: str, depth: int, rng: np.random.Generator) -> Streams:
    """Short dot products, one of them given up; the largest sums of either sign."""
    fmt = get_scalar(name)
    assert isinstance(fmt, Float)
    a, b = _codes(fmt, 1500, rng)
    numbers = np.flatnonzero(np.isfinite(fmt.table[:1 << fmt.exp + fmt.man]))
    largest, least = numbers[-1], numbers[-1] + (1 << fmt.exp + fmt.man)
    return _float_stimulus(a, b, int(largest), int(least), depth, rng)


def _suffix(offset: str) -> str:
    return {"published": "", "zero": "_zero", "1/16": "_16th"}[offset]


def multiply_lmul(fmt: str, *, offset: str = "published", cells: bool = True) -> Design:
    """Entry of a :class:`MultiplyLmul`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "offset": offset, "cells": cells}
    return Design(
        name=f"multiply_{fmt}_lmul{_suffix(offset)}" + ("" if cells else "_portable"),
        summary=f"L-Mul multiplier of {fmt} numbers, offset {offset}, " + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MultiplyLmul, **params), golden=partial(_multiplied, fmt, offset),
        stimulus=partial(_multiply_stimulus, fmt), stateless=True, family="ecp5" if cells else None,
        twin=partial(MultiplyLmul, **{**params, "cells": False}) if cells else None, macs={f"~{fmt}": 1})


def mac_lmul(fmt: str, *, offset: str = "published", depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of a :class:`MacLmul`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "offset": offset, "depth": depth, "cells": cells}
    kind = get_scalar(fmt)
    assert isinstance(kind, Float)
    width = sum_width(kind, offset, depth)
    return Design(
        name=f"mac_{fmt}_acc{width}_lmul{_suffix(offset)}" + ("" if cells else "_portable"),
        summary=f"L-Mul products of {fmt} numbers, offset {offset}, accumulated exactly, "
                + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MacLmul, **params), golden=partial(_golden, fmt, offset, width),
        stimulus=partial(_stimulus, fmt, depth), family="ecp5" if cells else None,
        twin=partial(MacLmul, **{**params, "cells": False}) if cells else None, macs={f"~{fmt}": 1})


LMUL: tuple[Design, ...] = (
    multiply_lmul("bf16"), multiply_lmul("bf16", cells=False), multiply_lmul("e4m3"),
    mac_lmul("e4m3"), mac_lmul("e4m3", cells=False), mac_lmul("e4m3", offset="1/16"), mac_lmul("e4m3", offset="zero"), mac_lmul("e5m2"),
)
