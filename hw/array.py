"""MAC arrays, by dataflow."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.lib import wiring

from .array_exact import ArrayExact
from .array_of import ArrayOf
from .array_output import OutputStationary
from .array_slice import SliceStationary
from .array_weight import WeightStationary

__all__ = ["ArrayExact", "ArrayOf", "OutputStationary", "SliceStationary", "WeightStationary", "mac_array"]


def mac_array(rows: int, columns: int, dataflow: str, *, element: Callable[[], wiring.Component] | None = None, fmt: str | None = None,
              **parameters: Any) -> ArrayExact | ArrayOf | OutputStationary | WeightStationary:
    """The array of this dataflow, ``"output_stationary"`` or ``"weight_stationary"``, with its own parameters; or, output-stationary, of
    elements of any kind, or of the numbers of a format, which are decoded at the edge."""
    if dataflow not in ("output_stationary", "weight_stationary"):
        raise ValueError(f"Dataflow must be 'output_stationary' or 'weight_stationary', not {dataflow!r}")
    if element is not None or fmt is not None:
        if dataflow != "output_stationary":
            raise ValueError(f"Dataflow must be 'output_stationary' for elements that accumulate, not {dataflow!r}")
        if element is None:
            assert fmt is not None
            return ArrayExact(rows, columns, fmt, **parameters)
        if fmt is not None:
            raise ValueError(f"Format must not be given for elements that have their own, not {fmt!r}")
        return ArrayOf(rows, columns, element, **parameters)
    return (OutputStationary if dataflow == "output_stationary" else WeightStationary)(rows, columns, **parameters)
