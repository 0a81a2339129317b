"""Every design there is. Benches, Verilog, cost tables and documentation are made from this list."""
from __future__ import annotations

from difflib import get_close_matches

from ..design import Design
from ..errors import MantissaError
from . import (
    designs_array,
    designs_array_of,
    designs_bitlinear,
    designs_block,
    designs_columns,
    designs_dot,
    designs_dynamic,
    designs_engine,
    designs_exact,
    designs_formats,
    designs_link,
    designs_mac,
    designs_memory,
    designs_multiply,
    designs_reconfigurable,
    designs_requantize,
    designs_rival,
    designs_round,
    designs_stream,
    designs_tlmm,
    designs_ternary,
)

__all__ = ["CATALOG", "GROUPS", "find"]

GROUPS: dict[str, tuple[Design, ...]] = {
    "stream": designs_stream.DESIGNS,
    "requantize": designs_requantize.DESIGNS,
    "array": designs_array.DESIGNS,
    "mac": designs_mac.DESIGNS,
    "exact": designs_exact.DESIGNS,
    "round": designs_round.DESIGNS,
    "dot": designs_dot.DESIGNS,
    "block": designs_block.DESIGNS,
    "dynamic": designs_dynamic.DESIGNS,
    "multiply": designs_multiply.DESIGNS,
    "reconfigurable": designs_reconfigurable.DESIGNS,
    "array_of": designs_array_of.DESIGNS,
    "rival": designs_rival.DESIGNS,
    "engine": designs_engine.DESIGNS,
    "tlmm": designs_tlmm.DESIGNS,
    "ternary": designs_ternary.DESIGNS,
    "columns": designs_columns.DESIGNS,
    "link": designs_link.DESIGNS,
    "formats": designs_formats.DESIGNS,
    "memory": designs_memory.DESIGNS,
    "bitlinear": designs_bitlinear.DESIGNS,
}
"""Designs by the module they come from."""

CATALOG: tuple[Design, ...] = tuple(design for group in GROUPS.values() for design in group)
"""All designs, names distinct."""

if len({design.name for design in CATALOG}) != len(CATALOG):
    raise AssertionError("two designs of the catalogue have one name")


def find(name: str) -> Design:
    """Design called ``name``.

    Raises
    ------
    MantissaError
        If there is none; the sentence has the nearest names.
    """
    names = [design.name for design in CATALOG]
    for design in CATALOG:
        if design.name == name:
            return design
    near = get_close_matches(name, names, n=3) or [n for n in names if name and name in n][:3]
    hint = f"{', '.join(near)} come near" if len(near) > 1 else f"{near[0]} comes near" if near else f"the catalogue has {len(names)}"
    raise MantissaError(f"Design must be one of the catalogue's, not {name!r} ({hint})")
