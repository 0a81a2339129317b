"""Synthesises the rows that the choice of a ternary structure is made from, and compares them with those it has.

    python bench/ternary_rows.py [FAMILY ...]
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys

from mantissa.design import Design
from mantissa.fpga.cost import cost
from mantissa.fpga.ternary_choice import ROWS, byte_ram, dot, lut_ram
from mantissa.hw.designs_ternary import ternary_dot, tlmm_lut_ram
from mantissa.hw.designs_tlmm import tlmm_build, tlmm_byte_ram


def measured(family: str) -> dict[str, object]:
    """Rows of a family by structure."""
    def luteq(*designs: Design) -> list[int]:
        return [row.luteq for row in cost(designs, family, jobs=1)]
    fused = family == "ecp5"
    rows = {"dot": dot(*luteq(*(ternary_dot(24, exact, fused) for exact in (True, False))), fused=fused)}
    if "lut_ram" in ROWS[family]:
        few, many = (luteq(*(tlmm_lut_ram(2, n, exact=exact, fused=fused) for exact in (True, False))) for n in (8, 16))
        exact, biased = ((high - low) / 8 for low, high in zip(few, many, strict=True))
        rows["lut_ram"] = lut_ram(exact, biased, many[0] - 16 * exact, fused=fused)
    for name, code, spare in (("byte_ram", "radix3", 1), ("byte_half", "radix3_half", 2)):
        lookup = tlmm_byte_ram(16, lanes=2, code=code, spare=0 if family == "ice40" else spare, cells=fused)
        builders = (tlmm_build(16, lanes=1 << n, code=code, cells=fused) for n in range(5))
        rows[name] = byte_ram(*luteq(lookup, *builders), half=name == "byte_half", fused=fused)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(ROWS))
    differ = 0
    for family in parser.parse_args(argv).families:
        for structure, row in measured(family).items():
            same = row == ROWS[family][structure]
            differ += not same
            print(f"{family} {structure}: {row}{'' if same else ', not as the choice has it'}", flush=True)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
