"""What designs cost: cells after synthesis, and on request the clock they reach after placement and routing.

    python -m mantissa.fpga.cost [DESIGN...] [--family ecp5|ice40] [--pnr] [--seeds N] [--json FILE]

Every figure is measured by the recipe printed beside it, and only comparable with figures of the same recipe.
"""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
import json
import os
from pathlib import Path
from statistics import median
import sys
from typing import Any

from amaranth.back import verilog

from ..design import Design
from ..errors import MantissaError
from ..hw.catalog import CATALOG, find
from . import tools
from .netlist import cells, harness, top_of
from .place import fmax, place, read
from .synth import FAMILIES, Recipe, synthesise
from .tables import markdown, show

__all__ = ["Cost", "cost", "main", "recipe_text"]

STORE = Path("build/fpga")
TARGET_MHZ = 250
"""Frequency asked of the placer: above what the designs reach, so that it never rests."""

DEVICES = {
    "ecp5": (["--25k", "--package", "CABGA381", "--speed", "6"], ["--85k", "--package", "CABGA381", "--speed", "6"]),
    "ice40": (["--up5k", "--package", "sg48"],) * 2,
}
"""Device that is timed, and a larger one."""

SMALL = {"luteq": 12_000, "dsp": 28, "bram": 56}
"""What the smaller device takes, at most."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cells of one design, and the frequencies it reached.

    Parameters
    ----------
    name
        Design.
    family
        FPGA family.
    command
        Synthesis command.
    lut
        Cells of type LUT4 or SB_LUT4.
    carry
        CCU2C (two bits each) or SB_CARRY (one bit).
    lutram
        TRELLIS_DPR16X4.
    luteq
        ECP5: ``lut + 2 * carry + 4 * lutram``, what the placer counts as TRELLIS_COMB. iCE40: ``lut``, as a carry shares its LUT's cell.
    ff, dsp, bram, spram
        Flip-flops, multipliers, block RAMs (18 kbit or 4 kbit), single-ported RAMs (256 kbit).
    mhz
        Frequency at each seed; empty if not placed.
    note
        Why it could not be placed, if so.
    """
    name: str
    family: str
    command: str
    lut: int
    carry: int
    lutram: int
    luteq: int
    ff: int
    dsp: int
    bram: int
    spram: int
    mhz: tuple[float, ...] = ()
    note: str = ""

    @property
    def fmax(self) -> float | None:
        """Median of the frequencies, MHz."""
        return median(self.mhz) if self.mhz else None


def _count(counter: Counter[str], family: str) -> dict[str, int]:
    if family == "ecp5":
        lut, carry, lutram = counter["LUT4"], counter["CCU2C"], counter["TRELLIS_DPR16X4"]
        return {"lut": lut, "carry": carry, "lutram": lutram, "luteq": lut + 2 * carry + 4 * lutram, "ff": counter["TRELLIS_FF"],
                "dsp": counter["MULT18X18D"], "bram": counter["DP16KD"] + counter["PDPW16KD"], "spram": 0}
    ff = sum(n for name, n in counter.items() if name.startswith("SB_DFF"))
    return {"lut": counter["SB_LUT4"], "carry": counter["SB_CARRY"], "lutram": 0, "luteq": counter["SB_LUT4"], "ff": ff,
            "dsp": counter["SB_MAC16"], "bram": counter["SB_RAM40_4K"], "spram": counter["SB_SPRAM256KA"]}


def _recipe(design: Design, family: str) -> Recipe:
    return Recipe(family=family, dsp=design.params.get("dsp") is not False)


def _device(measured: Cost) -> list[str]:
    small, large = DEVICES[measured.family]
    return small if all(getattr(measured, name) <= most for name, most in SMALL.items()) else large


def recipe_text(family: str, pnr: bool, seeds: int) -> list[str]:
    """What the figures were measured with, a sentence a line."""
    lut = Recipe(family=family, dsp=False).command
    lines = [f"{tools.version('yosys')}: {Recipe(family=family).command}; designs with dsp=False: {lut}."]
    if family == "ecp5":
        lines.append("LUT-eq = LUT4 + 2 CCU2C + 4 TRELLIS_DPR16X4, after synthesis; packing may add to it.")
    else:
        lines.append("LUT-eq = SB_LUT4, after synthesis; packing may add to it.")
    if pnr:
        small, larger = DEVICES[family]
        limits = f"{SMALL['luteq']} LUT-eq, {SMALL['dsp']} DSP or {SMALL['bram']} block RAM"
        device, large = " ".join(small), f" ({larger[0]} beyond {limits})" if larger != small else ""
        mended = " Registers beside multipliers are moved into them, unread carry outputs cut." * (family == "ecp5")
        lines.append(f"{tools.version(f'nextpnr-{family}')}: {device}{large} --freq {TARGET_MHZ}, median of seeds 1 to {seeds}; "
                     f"inputs from a shift register, outputs to registers folded to one pin.{mended} Paths inside a DSP are not timed.")
    return lines


def _measure(design: Design, family: str, store: Path) -> tuple[Cost, Path]:
    recipe = _recipe(design, family)
    text = verilog.convert(design.component(), name=design.name, emit_src=False)
    netlist = synthesise(text, design.name, recipe, store=store)
    counts = _count(cells(top_of(json.loads(netlist.read_text()))), family)
    return Cost(name=design.name, family=family, command=recipe.command, **counts), netlist


def _harnessed(netlist: Path, family: str, store: Path) -> Path:
    def make(folder: Path) -> None:
        document = json.loads(netlist.read_text())
        harness(top_of(document), family)
        (folder / "netlist.json").write_text(json.dumps(document))
    return tools.cached(store / "harness", tools.digest("harness 1", netlist.read_bytes()), make) / "netlist.json"


def _frequency(measured: Cost, netlist: Path, seed: int, store: Path) -> float:
    arguments = [*_device(measured), "--freq", str(TARGET_MHZ)]
    arguments += ["--lpf-allow-unconstrained"] if measured.family == "ecp5" else ["--pcf-allow-unconstrained"]
    folder = place(_harnessed(netlist, measured.family, store), measured.family, arguments, seed=seed, store=store)
    return min(reached for reached, _ in fmax(read(folder)).values())


def _chosen(designs: Iterable[Design | str], family: str) -> list[Design]:
    if family not in FAMILIES:
        raise MantissaError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
    named = [find(design) if isinstance(design, str) else design for design in designs]
    for design in named:
        if design.family not in (None, family):
            raise MantissaError(f"Design {design.name} must be measured on {design.family}, whose cells it is made of, not on {family}")
    return named or [design for design in CATALOG if design.family in (None, family)]


def cost(designs: Iterable[Design | str] = (), family: str = "ecp5", pnr: bool = False, seeds: int = 1, *, store: Path = STORE,
         progress: Callable[[str, int, int], object] = lambda name, done, total: None) -> list[Cost]:
    """Cost of designs, in order; of the whole catalogue (as far as it fits the family) without ``designs``.

    Parameters
    ----------
    designs
        Designs or their names.
    family
        ``"ecp5"`` or ``"ice40"``.
    pnr
        Whether to place and route too.
    seeds
        How many seeds; the median is the design's.
    store
        Where netlists and placements are kept by digest.
    progress
        Called after each step with the design's name, steps done, and steps in all.

    Raises
    ------
    MantissaError
        If a design or family is not one, or a tool is missing or synthesis fails.
    """
    if seeds < 1:
        raise MantissaError(f"Seeds must be a positive integer, not {seeds}")
    chosen = _chosen(designs, family)
    for name in ["yosys"] + [f"nextpnr-{family}"] * pnr:
        tools.version(name)
    total, done = len(chosen) * (1 + (seeds if pnr else 0)), Counter[str]()

    def one(design: Design) -> Cost:
        measured, netlist = _measure(design, family, store)
        reached, note = [], ""
        for seed in range(seeds if pnr else 0):
            done[design.name] += 1
            progress(design.name, done.total(), total)
            try:
                reached.append(_frequency(measured, netlist, seed + 1, store))
            except tools.ToolError as error:          # most often: too large for the device; the others can still be measured
                reached, note = [], str(error)
                break
        done[design.name] = total // len(chosen)
        progress(design.name, done.total(), total)
        return replace(measured, mhz=tuple(reached), note=note)

    with ThreadPoolExecutor(os.cpu_count()) as pool:          # the work is the tools'
        try:
            return list(pool.map(one, chosen))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def as_json(costs: Sequence[Cost], recipe: Sequence[str]) -> dict[str, Any]:
    """The table as data."""
    return {"recipe": list(recipe), "designs": [{**asdict(row), "fmax": row.fmax} for row in costs]}


def main(designs: Sequence[str] = (), family: str = "ecp5", pnr: bool = False, seeds: int = 1, json_path: str | Path | None = None) -> None:
    """Measure with a progress bar, print the table and its recipe, and write ``build/cost/FAMILY.{md,json}``.

    ``json_path``, if given, gets the JSON as well; ``"-"`` prints it instead of the table.
    """
    from .tables import bar
    with bar("Measuring") as step:
        costs = cost(designs, family, pnr, seeds, progress=step)
    recipe = recipe_text(family, pnr, seeds)
    text = json.dumps(as_json(costs, recipe), indent=1) + "\n"
    folder = Path("build/cost")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.json").write_text(text)
    (folder / f"{family}.md").write_text(markdown(costs, recipe))
    if json_path and str(json_path) != "-":
        Path(json_path).write_text(text)
    if str(json_path) == "-":
        print(text, end="")
    else:
        show(costs, recipe)


def _command_line(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mantissa.fpga.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--family", default="ecp5")
    parser.add_argument("--pnr", action="store_true", help="place and route too")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write JSON too; - prints it")
    args = parser.parse_args(argv)
    try:
        main(args.designs, args.family, args.pnr, args.seeds, args.json)
    except MantissaError as error:
        print(f"mantissa cost: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_command_line())
