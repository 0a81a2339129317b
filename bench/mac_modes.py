"""What the reconfigurable multiplier-accumulator costs beside its largest member and beside the units it replaces.

    python bench/mac_modes.py [--multiplier lut|dsp] [--family ecp5|ice40|gowin|nexus] [--sets | --orders N]

Every row is synthesised by the recipe of the cost table. The members are the same generator with one mode; the units replaced are the
cheapest of the catalogue for each format, as many as the mode has lanes, and a member where none is cheaper. With ``--sets``, sets of modes
from the largest member on, each with the mode more that costs the fewest look-up tables. With ``--orders``, all modes and all but one,
each numbered in N orders, as that moves what synthesis finds.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
import random
import statistics
import sys

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mantissa.design import Design  # noqa: E402
from mantissa.fpga.cost import Cost, cost, on_family, recipe_text  # noqa: E402
from mantissa.fpga.family import FAMILIES  # noqa: E402
from mantissa.hw.catalog import find  # noqa: E402
from mantissa.hw.designs_reconfigurable import ALL, mac_reconfigurable  # noqa: E402
from mantissa.hw.mac_modes import MODES  # noqa: E402

__all__ = ["SEPARATE", "ladder", "main", "ratios"]

SEPARATE = {
    "int8": "mac_8x8_acc24_lut", "int4": "mac_4x4_acc16_lut", "posit8_0": "mac_posit8_0_acc34_exact_lut",
    "e4m3": "mac_e4m3_acc45_exact_lut", "e2m1": "mac_e2m1_acc17_lut", "e5m2": "mac_e5m2_acc73_exact_lut",
    "posit4_1": "mac_posit4_1_acc26_exact_lut",
}
"""Unit of one lane, by mode."""


def ratios(whole: Cost, members: Sequence[Cost], separate: Sequence[Cost], field: str) -> tuple[float, float]:
    """Of ``field``: to the largest member, and to the separate units of all lanes."""
    lanes = [MODES[mode].lanes if mode in SEPARATE else 1 for mode in ALL]
    mine, most = getattr(whole, field), max(getattr(row, field) for row in members)
    return mine / most, mine / sum(n * getattr(row, field) for n, row in zip(lanes, separate, strict=True))


def ladder(first: str, multiplier: str, family: str) -> Iterator[tuple[str, Cost]]:
    """The mode that is added and the cost of the unit with it, from ``first`` alone to all modes."""
    def made(chosen: set[str]) -> Design:
        modes = [mode for mode in ALL if mode in chosen]
        return mac_reconfigurable("_".join(modes), modes, multiplier=multiplier, cells=family == "ecp5")
    have = {first}
    yield first, cost([made(have)], family)[0]
    while left := [mode for mode in ALL if mode not in have]:
        rows = cost([made(have | {mode}) for mode in left], family)
        best = min(range(len(left)), key=lambda n: (rows[n].luteq, rows[n].ff))
        have.add(left[best])
        yield left[best], rows[best]


def sets(multiplier: str, family: str) -> None:
    """Print the ladder from the largest member."""
    print("| mode more | LUT-eq | of the first | FF | of the first | DSP |\n| --- | --: | --: | --: | --: | --: |")
    alone = None
    for mode, row in ladder("posit16_1", multiplier, family):
        alone = alone or row
        ratio = f"{row.luteq / alone.luteq:.2f} | {row.ff} | {row.ff / alone.ff:.2f}"
        print(f"| `{mode}` | {row.luteq} | {ratio} | {row.dsp} |", flush=True)


def orders(count: int, multiplier: str, family: str) -> None:
    """Print what all modes cost, and all but each one, over ``count`` orders of the modes."""
    rng = random.Random(0)
    shuffled = [list(ALL), *(rng.sample(ALL, len(ALL)) for _ in range(count - 1))]
    print("| modes | LUT-eq, median | least | most | FF |\n| --- | --: | --: | --: | --: |")
    for left in (None, *ALL):
        designs = [mac_reconfigurable(f"order{n}", [mode for mode in order if mode != left], multiplier=multiplier, cells=family == "ecp5")
                   for n, order in enumerate(shuffled)]
        rows = cost(designs, family)
        found = sorted(row.luteq for row in rows)
        name = f"without `{left}`" if left else "all"
        print(f"| {name} | {statistics.median(found):g} | {found[0]} | {found[-1]} | {rows[0].ff} |", flush=True)


def beside(multiplier: str, family: str) -> None:
    """Print members, separate units and ratios."""
    cells = family == "ecp5"
    designs = [mac_reconfigurable("modes9", ALL, multiplier=multiplier, cells=cells),
               *(mac_reconfigurable(mode, (mode,), multiplier=multiplier, cells=cells) for mode in ALL)]
    whole, *members = cost(designs, family)
    units = dict(zip(SEPARATE, cost(on_family(map(find, SEPARATE.values()), family), family), strict=True))
    separate = [units.get(mode, member) for mode, member in zip(ALL, members, strict=True)]
    print("| mode | lanes | member: LUT-eq | FF | DSP | separate unit | LUT-eq | FF |\n| --- | --: | --: | --: | --: | --- | --: | --: |")
    for mode, member, unit in zip(ALL, members, separate, strict=True):
        lanes = f"{MODES[mode].lanes} x `{unit.name}`" if mode in SEPARATE else "the member"
        print(f"| `{mode}` | {MODES[mode].lanes} | {member.luteq} | {member.ff} | {member.dsp} | {lanes} | {unit.luteq} | {unit.ff} |")
    print(f"\nAll modes: {whole.luteq} LUT-eq, {whole.ff} FF, {whole.dsp} DSP")
    for field, name in (("luteq", "LUT-eq"), ("ff", "FF")):
        most, total = ratios(whole, members, separate, field)
        print(f"{name}: {most:.2f} of the largest member (wanted: 1.10), {total:.2f} of the separate units (wanted: 0.55)")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--multiplier", choices=("lut", "dsp"), default="lut")
    parser.add_argument("--family", choices=tuple(FAMILIES), default="ecp5")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--sets", action="store_true")
    shown.add_argument("--orders", type=int, metavar="N")
    args = parser.parse_args(argv)
    if args.orders is not None and args.orders < 1:
        parser.error(f"Orders must be at least 1, not {args.orders}")
    if args.orders is not None:
        orders(args.orders, args.multiplier, args.family)
    else:
        (sets if args.sets else beside)(args.multiplier, args.family)
    print("", *recipe_text(args.family, pnr=False, seeds=1), sep="\n")


if __name__ == "__main__":
    main()
