"""Catalogue entries of multiplier-accumulators whose weights are powers of two, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import get_scalar
from .designs_dot import values_of
from .designs_mac import DEPTH, _dots, _operands, _sums
from .mac_power import MacPower, check_power, sum_width

__all__ = ["POWER", "mac_power", "power_weights"]


def power_weights(name: str) -> npt.NDArray[Any]:
    """Integer weight of every code: its value over the unit, that of one step of the root where there is one."""
    return values_of(check_power(name).name)[0].astype(np.int64)


def _golden(name: str, terms: int, acc_width: int, streams: Streams) -> Streams:
    i, width = streams["i"], get_scalar(name).width
    weights = power_weights(name)
    codes = np.asarray(i["w"], np.int64)
    total = sum(weights[codes >> n * width & (1 << width) - 1] for n in range(terms))
    return _sums(acc_width, {"i": {**i, "b": np.asarray(total)}})


def _stimulus(name: str, terms: int, depth: int, rng: np.random.Generator) -> Streams:
    """Any codes in short dot products, one of them given up, and the largest sums of either sign."""
    width = get_scalar(name).width
    first, last = _dots(rng, min(depth, 20))
    a, w = _operands(rng, 8, len(first)), rng.integers(0, 1 << terms * width, len(first))
    most = sum((1 << width - 1) - 1 << n * width for n in range(terms))
    sign = sum(1 << (n + 1) * width - 1 for n in range(terms))
    edge = np.zeros(depth, np.int64)
    edge[0] = 1
    return {"i": {"a": np.append(a, np.full(2 * depth, -128)), "w": np.append(w, np.repeat([most, most | sign], depth)),
                  "first": np.concatenate([first, edge, edge]), "last": np.concatenate([last, edge[::-1], edge[::-1]])}}


def mac_power(fmt: str, *, terms: int = 1, depth: int = DEPTH, cells: bool = True) -> Design:
    """Entry of a :class:`MacPower`, of carry cells or of their description."""
    params: dict[str, Any] = {"fmt": fmt, "terms": terms, "depth": depth, "cells": cells}
    width = sum_width(check_power(fmt), terms, depth)
    return Design(
        name=f"mac_8x{fmt}" + (f"x{terms}" if terms > 1 else "") + f"_acc{width}_shift" + ("" if cells else "_portable"),
        summary=f"Signed 8-bit integers by {f'sums of {terms} ' if terms > 1 else ''}{fmt} weights, shift and accumulate, "
                + ("ECP5 carry cells" if cells else "cells described"),
        params={**params, "dsp": False}, component=partial(MacPower, **params), golden=partial(_golden, fmt, terms, width),
        stimulus=partial(_stimulus, fmt, terms, depth), family="ecp5" if cells else None,
        twin=partial(MacPower, **{**params, "cells": False}) if cells else None, macs={"~" * (terms > 1) + f"int8*{fmt}": 1})


POWER: tuple[Design, ...] = (
    mac_power("pot4"), mac_power("pot4", cells=False), mac_power("post4"), mac_power("pot4", terms=2), mac_power("pot4", terms=3),
)
