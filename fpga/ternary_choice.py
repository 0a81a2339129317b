"""Which structure multiplies a ternary matrix for the fewest look-up tables, by rows of measured cost.

A table is shared by all rows of a tile and must be built for it. The engine in block RAM builds tables while others are looked up, an
entry a cycle: with ``N`` rows a builder fills ``N / 256`` tables, half ones twice as many. Tables in LUT-RAM are built between lookups,
all at once, and serve several rows a cycle. So few rows want no tables, many want large ones.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from ..errors import MantissaError

__all__ = ["STRUCTURES", "Choice", "Row", "byte_ram", "cheapest", "cross_over", "dot", "lut_ram"]

STRUCTURES = ("dot", "lut_ram", "byte_ram", "byte_half")
_BITS = {"dot": 2, "lut_ram": 5, "byte_ram": 8, "byte_half": 8}             # of a code, which is a product or a table's
_GROUP = {"dot": 1, "lut_ram": 3, "byte_ram": 5, "byte_half": 5}            # products of a code
_WALK = {"byte_ram": 256, "byte_half": 128}                 # cycles of a table in block RAM
_SET = 2                                                    # tables of a unit in LUT-RAM
_BETWEEN = 18                                               # cycles between its tiles


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measured cost of a structure on a family, in LUT-eq after synthesis.

    Parameters
    ----------
    per_mac
        Of each product a cycle.
    biased
        The same where sums keep a bias that is known with the weights; as ``per_mac`` where there is none to keep.
    builder
        What is there besides, by the number of tables built at a time: control and builders.
    source
        Designs that were measured.
    """
    per_mac: float
    biased: float
    builder: Mapping[int, float] = field(default_factory=dict)
    source: str


def dot(exact: float, biased: float, fused: bool = False) -> Row:
    """Row of what 24 lanes take."""
    name = "ternary_dot(24{})".format("" if fused else ", fused=False")
    return Row(per_mac=exact / 24, biased=biased / 24, source=f"{name}, and with exact=False")


def lut_ram(exact: float, biased: float, rest: float, fused: bool = False) -> Row:
    """Row of what a column of two tables takes, by the difference of 16 columns and 8, and of what is there without columns."""
    name = "tlmm_lut_ram(2, n{})".format("" if fused else ", fused=False")
    return Row(per_mac=exact / 6, biased=biased / 6, builder={_SET: rest}, source=f"{name}, n of 8 and 16, and with exact=False")


def byte_ram(lookup: float, *builders: float, half: bool = False, fused: bool = False) -> Row:
    """Row of what lookups in 16 tables take, and builders of these, of 1, 2, 4, 8 and 16 lanes."""
    code, cells = ', code="radix3_half"' * half, "" if fused else ", cells=False"
    return Row(per_mac=lookup / 80, biased=lookup / 80, builder={1 << n: cost for n, cost in enumerate(builders)},
               source=f"tlmm_byte_ram(16, lanes=2{code}{cells}), spare={2 if half else 1} but on iCE40; "
                      f"tlmm_build(16, lanes=n{code}{cells}), n of 1 to 16")


ROWS: dict[str, dict[str, Row]] = {
    "ecp5": {"dot": dot(285, 273, fused=True), "lut_ram": lut_ram(48, 36, 66, fused=True),
             "byte_ram": byte_ram(211, 49, 62, 85, 138, 371, fused=True),
             "byte_half": byte_ram(211, 48, 59, 85, 136, 370, half=True, fused=True)},
    "gowin": {"dot": dot(456, 442), "lut_ram": lut_ram(68, 56, 82),
              "byte_ram": byte_ram(206, 56, 76, 114, 195, 482),
              "byte_half": byte_ram(396, 55, 74, 113, 194, 480, half=True)},
    "ice40": {"dot": dot(410, 397),
              "byte_ram": byte_ram(216, 56, 76, 116, 198, 363),
              "byte_half": byte_ram(386, 56, 76, 119, 205, 377, half=True)},
    "nexus": {"dot": dot(511, 495), "lut_ram": lut_ram(72, 58, 85),
              "byte_ram": byte_ram(241, 62, 86, 129, 223, 535),
              "byte_half": byte_ram(436, 62, 83, 129, 221, 534, half=True)},
}
"""Rows by family, as ``bench/ternary_rows.py`` measures them; the sources are functions of ``mantissa.hw.designs_ternary`` and
``mantissa.hw.designs_tlmm``."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A structure for a matrix: ``tables`` looked up for ``columns`` rows a cycle, of which ``lanes`` are built at a time; LUT-eq a product
    and cycle in all.

    Of the structure without tables, ``tables`` are products.
    """
    structure: str
    tables: int
    lanes: int
    group: int
    columns: int
    per_mac: float


def _choices(structure: str, row: Row, rows: int, columns: int, width: int, per_mac: float) -> list[Choice]:
    group = _GROUP[structure]
    codes = max(1, width // _BITS[structure])
    if structure == "dot":
        return [Choice(structure=structure, tables=min(codes, columns), lanes=0, group=group, columns=1, per_mac=per_mac)]
    if structure in _WALK:
        tables = 1 << min(codes.bit_length() - 1, (ceil(columns / group) - 1).bit_length())
        lanes = min(tables, 1 << (ceil(tables * _WALK[structure] / rows) - 1).bit_length())
        most = max(row.builder)                             # more lanes are several builders
        builder = row.builder[min(lanes, most)] * max(1, lanes // most)
        slowed = max(1.0, _WALK[structure] * tables / (lanes * rows))
        return [Choice(structure=structure, tables=tables, lanes=lanes, group=group, columns=1,
                       per_mac=(per_mac + builder / (tables * group)) * slowed)]
    made = []
    for each in range(1, min(max(1, codes // _SET), rows) + 1):
        cost = (per_mac + row.builder[_SET] / (_SET * group * each)) * (1 + _BETWEEN * each / rows)
        units = max(1, min(codes // (_SET * each), ceil(columns / (_SET * group))))
        made.append(Choice(structure=structure, tables=_SET * units, lanes=_SET * units, group=group, columns=each, per_mac=cost))
    return made


def cheapest(family: str, rows: int, columns: int, width: int = 128, *, structure: str | None = None, exact: bool = True,
             block_ram: bool = True) -> Choice:
    """Structure for a matrix of ``rows`` (N) and ``columns`` (K) behind a memory of ``width`` bits a cycle; ``structure`` overrules.

    Without ``exact``, sums may have a bias that is known with the weights; without ``block_ram``, none is left for tables.
    Tables that are not built while others are looked up, or not fast enough with a builder each, make lookups wait, and a structure's
    cost counts as much more. Places of the last codes and rows that a matrix does not fill are not counted.

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
    names = [structure] if structure else [name for name in known if block_ram or name not in _WALK]
    made = [choice for name in names
            for choice in _choices(name, known[name], rows, columns, width, known[name].per_mac if exact else known[name].biased)]
    return min(made, key=lambda choice: choice.per_mac)


def cross_over(family: str, columns: int = 2560, width: int = 128, most: int = 4096, *, exact: bool = True,
               block_ram: bool = True) -> list[tuple[int, str]]:
    """Rows from which on a structure is the cheapest, until another one is."""
    found: list[tuple[int, str]] = []
    for rows in range(1, most + 1):
        best = cheapest(family, rows, columns, width, exact=exact, block_ram=block_ram).structure
        if not found or found[-1][1] != best:
            found.append((rows, best))
    return found
