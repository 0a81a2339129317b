"""Integer MAC arrays, by dataflow."""
from __future__ import annotations

from typing import Any

from .array_output import OutputStationary
from .array_slice import SliceStationary
from .array_weight import WeightStationary

__all__ = ["OutputStationary", "SliceStationary", "WeightStationary", "mac_array"]


def mac_array(rows: int, columns: int, dataflow: str, **parameters: Any) -> OutputStationary | WeightStationary:
    """The array of this dataflow, ``"output_stationary"`` or ``"weight_stationary"``, with its own parameters."""
    if dataflow == "output_stationary":
        return OutputStationary(rows, columns, **parameters)
    if dataflow == "weight_stationary":
        return WeightStationary(rows, columns, **parameters)
    raise ValueError(f"Dataflow must be 'output_stationary' or 'weight_stationary', not {dataflow!r}")
