"""Which structure multiplies a ternary matrix for the fewest look-up tables, by rows of measured cost.

A table is shared by all rows of a tile and must be built while they are looked up: with ``N`` rows a builder, which makes an entry a
cycle, fills ``N / entries`` tables. So few rows want no tables, many want large ones.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..errors import MantissaError

__all__ = ["STRUCTURES", "Choice", "Row", "cheapest", "cross_over"]

STRUCTURES = ("dot", "lut_ram", "byte_ram")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Cost of a structure: LUT-eq of each product a cycle, products of a lookup, cycles that a table takes, LUT-eq of what builds one.

    ``source`` says what was measured.
    """
    per_mac: float
    group: int = 1
    cycles: int = 0
    builder: float = 0.0
    source: str


_DOT, _HALF = "reference figures of the table-free and half-table forms", "reference figures: eight tables, serial builder"
_BYTE = "tlmm_byte_ram_8x1_8 and tlmm_build_8x1_8"
ROWS: dict[str, dict[str, Row]] = {
    "ecp5": {"dot": Row(per_mac=11.0, source=_DOT), "lut_ram": Row(per_mac=6.7, group=3, cycles=14, builder=28, source=_HALF),
             "byte_ram": Row(per_mac=2.55, group=5, cycles=256, builder=25, source=_BYTE)},
    "gowin": {"dot": Row(per_mac=18.9, source=_DOT), "lut_ram": Row(per_mac=11.6, group=3, cycles=14, builder=36, source=_HALF),
              "byte_ram": Row(per_mac=2.5, group=5, cycles=256, builder=31.9, source=_BYTE)},
    "ice40": {"dot": Row(per_mac=18.0, source=_DOT),
              "byte_ram": Row(per_mac=2.55, group=5, cycles=256, builder=24.5, source=_BYTE)},
    "nexus": {"dot": Row(per_mac=19.3, source=_DOT), "lut_ram": Row(per_mac=11.7, group=3, cycles=14, builder=36, source=_HALF),
              "byte_ram": Row(per_mac=2.9, group=5, cycles=256, builder=35.4, source=_BYTE)},
}
"""Measured rows by family."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A structure for a matrix: ``tables`` looked up a cycle, of which ``lanes`` are built at a time; LUT-eq a product and cycle in all.

    Of the structure without tables, ``tables`` are products.
    """
    structure: str
    tables: int
    lanes: int
    group: int
    per_mac: float


def _choice(structure: str, row: Row, rows: int, columns: int, width: int) -> Choice:
    bits = {"dot": 2.0, "lut_ram": 5.0, "byte_ram": 8.0}[structure]
    tables = max(1, min(int(width / bits), ceil(columns / row.group)))
    lanes = min(tables, ceil(tables * row.cycles / rows))
    slowed = max(1.0, row.cycles * tables / (lanes * rows)) if lanes else 1.0
    per_mac = (row.per_mac + row.builder * lanes / (tables * row.group)) * slowed
    return Choice(structure=structure, tables=tables, lanes=lanes, group=row.group, per_mac=per_mac)


def cheapest(family: str, rows: int, columns: int, width: int = 128, *, structure: str | None = None) -> Choice:
    """Structure for a matrix of ``rows`` (N) and ``columns`` (K) behind a memory of ``width`` bits a cycle; ``structure`` overrules.

    Tables that can not be built while the rows are looked up, even one builder each, make every lookup wait; its cost counts as often.

    Raises
    ------
    MantissaError
        If a number is not positive, the family is not known or has no such structure.
    """
    for name, value in (("Rows", rows), ("Columns", columns), ("Width of the memory", width)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise MantissaError(f"{name} must be a positive integer, not {value!r}")
    if family not in ROWS:
        raise MantissaError(f"Family must be one of {', '.join(sorted(ROWS))}, not {family!r}")
    if structure is not None and structure not in STRUCTURES:
        raise MantissaError(f"Structure must be one of {', '.join(STRUCTURES)}, not {structure!r}")
    known = ROWS[family]
    if structure is not None and structure not in known:
        raise MantissaError(f"Structure {structure} must be on a family with LUT-RAM, not on {family}")
    names = [structure] if structure else list(known)
    return min((_choice(name, known[name], rows, columns, width) for name in names), key=lambda choice: choice.per_mac)


def cross_over(family: str, columns: int = 2560, width: int = 128, most: int = 4096) -> list[tuple[int, str]]:
    """Rows from which on a structure is the cheapest, until another one is."""
    found: list[tuple[int, str]] = []
    for rows in range(1, most + 1):
        best = cheapest(family, rows, columns, width).structure
        if not found or found[-1][1] != best:
            found.append((rows, best))
    return found
