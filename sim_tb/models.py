"""Models of the cells that designs instantiate."""
from __future__ import annotations

from pathlib import Path

from ..design import Design

__all__ = ["CARRY", "CELLS", "library_of"]

CELLS = Path(__file__).with_name("cells_ecp5.v")
"""Models of cells Yosys has none for."""

CARRY = Path(__file__).with_name("carry_ecp5.v")
"""Model of the carry cell, for designs that instantiate it; after synthesis it is Yosys' own that is used."""


def library_of(design: Design) -> tuple[Path, ...]:
    """Models of the cells the design instantiates."""
    return (CELLS, CARRY) if design.family == "ecp5" else ()
