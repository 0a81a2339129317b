"""Catalogue entries of arrays of multiplier-accumulators, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..design import Design, Streams
from . import designs_exact, designs_mac, designs_reconfigurable
from .array_exact import ArrayExact
from .array_of import ArrayOf
from .mac_exact import check_mac

__all__ = ["DESIGNS", "array_exact", "array_of"]


def _golden(element: Design, rows: int, columns: int, streams: Streams) -> Streams:
    """Every element by itself."""
    i = streams["i"]
    a, b = np.asarray(i["a"]), np.asarray(i["b"])
    found = [[element.golden({"i": {**i, "a": a[:, r], "b": b[:, c]}})["o"] for c in range(columns)] for r in range(rows)]
    return {"o": {name: np.stack([np.stack([one[name] for one in row], axis=1) for row in found], axis=1) for name in found[0][0]}}


def _stimulus(element: Design, rows: int, columns: int, rng: np.random.Generator) -> Streams:
    """The element's: other rows and columns have its operands, some transactions later."""
    i = element.stimulus(rng)["i"]
    a, b = (np.stack([np.roll(np.asarray(i[name]), stride * n, axis=0) for n in range(count)], axis=1)
            for name, count, stride in (("a", rows, 1), ("b", columns, 5)))
    return {"i": {**i, "a": a, "b": b}}


def array_of(element: Design, rows: int, columns: int) -> Design:
    """Entry of an :class:`ArrayOf` elements that are themselves designs."""
    twin = element.twin
    return Design(
        name=f"array_{rows}x{columns}_{element.name}", summary=f"Output-stationary array, {rows} by {columns}, of {element.name}",
        params={"rows": rows, "columns": columns, "element": element.name, "dsp": element.params.get("dsp", True)},
        component=partial(ArrayOf, rows, columns, element.component), golden=partial(_golden, element, rows, columns),
        stimulus=partial(_stimulus, element, rows, columns), family=element.family,
        twin=partial(ArrayOf, rows, columns, twin) if twin else None,
        macs={operands: macs * rows * columns for operands, macs in element.macs.items()})


def array_exact(fmt: str, rows: int, columns: int, *, depth: int = 256, cells: bool = True) -> Design:
    """Entry of an :class:`ArrayExact`, of carry cells or of their description."""
    params: dict[str, Any] = {"rows": rows, "columns": columns, "fmt": fmt, "depth": depth, "cells": cells}
    element = designs_exact.mac_exact(fmt, depth=depth, multiplier="dsp", cells=cells)
    return Design(
        name=f"array_{rows}x{columns}_{fmt}_acc{check_mac(fmt, depth, 'dsp')[1]}_edge" + ("" if cells else "_portable"),
        summary=f"Output-stationary array, {rows} by {columns}, of exact {fmt} products, operands decoded at the edge, a DSP an element",
        params={**params, "dsp": True}, component=partial(ArrayExact, **params), golden=partial(_golden, element, rows, columns),
        stimulus=partial(_stimulus, element, rows, columns), family="ecp5" if cells else None,
        twin=partial(ArrayExact, **{**params, "cells": False}) if cells else None, macs={fmt: rows * columns})


DESIGNS: tuple[Design, ...] = (
    array_of(designs_mac.mac_lut(8, 8), 4, 4),
    array_of(designs_mac.mac_digits(1), 2, 2),
    array_of(designs_exact.mac_exact("posit8_0", multiplier="dsp"), 2, 2),
    array_of(designs_reconfigurable.DESIGNS[0], 2, 2),
    array_exact("posit8_0", 2, 2), array_exact("posit8_0", 4, 4),
)
