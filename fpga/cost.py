"""What designs cost: cells after synthesis, on request the clock they reach after placement and routing, and what they do for it.

Every figure is measured by the recipe printed beside it, and only comparable with figures of the same recipe.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
import json
import os
from pathlib import Path
from statistics import median
from typing import Any

from ..design import Design
from ..errors import MantissaError
from ..gen.designs import verilog_of
from ..hw.catalog import CATALOG, find
from . import tools
from .family import Family, family as family_of
from .netlist import cells, harness, top_of
from .place import fmax, place, read
from .synth import Recipe, synthesise
from .tables import COLUMNS

__all__ = ["STORE", "Cost", "as_json", "cost", "from_json", "on_family", "recipe_text"]

STORE = Path("build/fpga")
"""Where netlists and placements are kept by digest."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cells of one design, the frequencies it reached, and its work per cycle.

    Parameters
    ----------
    name
        Design.
    family
        FPGA family.
    command
        Synthesis command.
    lut, carry, lutram, ff, dsp, bram, spram
        Cells, as the family counts them: look-up tables, carry cells (of two bits on ECP5 and Nexus), LUT-RAMs of 16 by 4, flip-flops,
        multipliers, block RAMs, large single-ported RAMs.
    luteq
        Look-up tables, and what of carry cells and LUT-RAM takes their place.
    mhz
        Frequency at each seed; empty if not placed.
    note
        Why it was not placed, if it was to be.
    macs
        Products that one input transaction stands for, by their operands' format.
    rate
        Input transactions per cycle, measured; :data:`None` if not.
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
    macs: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None

    @property
    def fmax(self) -> float | None:
        """Median of the frequencies, MHz."""
        return median(self.mhz) if self.mhz else None

    @property
    def throughput(self) -> dict[str, float]:
        """Products per cycle by the format of their operands; empty if not measured."""
        return {} if self.rate is None else {operands: self.rate * macs for operands, macs in self.macs.items()}

    @property
    def speed_per_lut(self) -> dict[str, float]:
        """Million products per second and LUT-eq; empty if not measured."""
        if self.fmax is None or not self.luteq:
            return {}
        return {operands: self.fmax * macs / self.luteq for operands, macs in self.throughput.items()}


def _recipe(design: Design, family: Family) -> Recipe:
    return Recipe(family=family.name, dsp=design.params.get("dsp") is not False)


def recipe_text(family: str, pnr: bool, seeds: int, most: int | None = None, others: bool = True) -> list[str]:
    """What the figures were measured with, a sentence a line."""
    known = family_of(family)
    lut = Recipe(family=family, dsp=False).command
    lines = [f"{tools.version('yosys')}: {Recipe(family=family).command}; designs with dsp=False: {lut}.",
             f"LUT-eq = {known.luteq_text}, after synthesis; packing may add to it."]
    if pnr:
        device, larger = known.devices[0], known.devices[1:]
        titles = {name: title for title, name in COLUMNS}
        limits = " or ".join(f"{limit:,} {titles[name]}" for name, limit in device.takes.items())
        more = f" ({larger[0].part} beyond {limits})" if larger else ""
        count = f"median of seeds 1 to {seeds}" if seeds > 1 else "seed 1"
        lines.append(f"{tools.version(f'nextpnr-{family}')}: {device.part}{more}, {' '.join(device.options)} --freq {known.target_mhz}, "
                     f"{count}; inputs from a shift register, outputs to registers folded to one pin. {known.mended}".rstrip())
        if most is not None:
            lines.append(f"Designs of more than {most:,} LUT-eq are not placed" + ", nor those that do not multiply" * (not others) + ".")
    return lines


def _measure(design: Design, family: Family, store: Path) -> tuple[Cost, Path]:
    recipe = _recipe(design, family)
    netlist = synthesise(verilog_of(design), design.name, recipe, store=store)
    counts = family.count(cells(top_of(json.loads(netlist.read_text()))))
    return Cost(name=design.name, family=family.name, command=recipe.command, macs=dict(design.macs), **counts), netlist


def _harnessed(netlist: Path, family: Family, store: Path) -> Path:
    def make(folder: Path) -> None:
        document = json.loads(netlist.read_text())
        harness(top_of(document), family)
        (folder / "netlist.json").write_text(json.dumps(document))
    return tools.cached(store / "harness", tools.digest("harness 2", family.name, netlist.read_bytes()), make) / "netlist.json"


def _frequency(measured: Cost, family: Family, netlist: Path, seed: int, store: Path) -> float:
    device = family.device(asdict(measured))
    arguments = [*device.options, "--freq", str(family.target_mhz)]
    folder = place(_harnessed(netlist, family, store), family.name, arguments, seed=seed, store=store, files=family.files)
    return min(reached for reached, _ in fmax(read(folder)).values())


def _reason(error: tools.ToolError) -> str:
    """Why a tool failed, without where its logs are."""
    return str(error).partition(" (logs in ")[0]


def _chosen(designs: Iterable[Design | str], family: Family) -> list[Design]:
    named = [find(design) if isinstance(design, str) else design for design in designs]
    for design in named:
        if design.family not in (None, family.name):
            raise MantissaError(f"Design {design.name} must be measured on {design.family}, whose cells it is made of, "
                                f"not on {family.name}")
    return named or on_family(CATALOG, family.name)


def on_family(designs: Iterable[Design], family: str) -> list[Design]:
    """What there is of designs on a family: those of another one's cells are there as their twins, as ``NAME_portable``."""
    designs = list(designs)
    names = {design.name for design in designs}
    chosen = []
    for design in designs:
        if design.family in (None, family):
            chosen.append(design)
        elif design.twin and f"{design.name}_portable" not in names:
            chosen.append(replace(design, name=f"{design.name}_portable", component=design.twin, family=None, twin=None))
    return chosen


def cost(designs: Iterable[Design | str] = (), family: str = "ecp5", pnr: bool = False, seeds: int = 1, *, store: Path = STORE,
         rate: Callable[[Design], float] | None = None, most: int | None = None, others: bool = True, jobs: int | None = None,
         progress: Callable[[str, int, int], object] = lambda name, done, total: None, missing: list[str] | None = None) -> list[Cost]:
    """Cost of designs, in order; without ``designs``, of the whole catalogue as :func:`on_family` gives it.

    Parameters
    ----------
    designs
        Designs or their names.
    family
        Name of one of the :data:`~mantissa.fpga.family.FAMILIES`.
    pnr
        Whether to place and route too.
    seeds
        How many seeds; the median is the design's.
    store
        Where netlists and placements are kept by digest.
    rate
        Measures input transactions per cycle of a design that multiplies.
    most
        LUT-eq beyond which a design is not placed.
    others
        Whether designs that do not multiply are placed too.
    jobs
        Designs measured at a time; as many as there are processors by default.
    progress
        Called after each step with the design's name, steps done, and steps in all.
    missing
        Given names of designs that Yosys fails on, and why, which are left out then.

    Raises
    ------
    MantissaError
        If a design or family is not one, or a tool is missing, or, without ``missing``, synthesis fails.
    """
    for name, number in (("Seeds", seeds), ("Jobs", 1 if jobs is None else jobs)):
        if number < 1:
            raise MantissaError(f"{name} must be a positive integer, not {number}")
    known = family_of(family)
    chosen = _chosen(designs, known)
    for name in ["yosys"] + [f"nextpnr-{family}"] * pnr:
        tools.version(name)
    total, done = len(chosen) * (1 + (seeds if pnr else 0)), Counter[str]()

    def end(design: Design) -> None:
        done[design.name] = total // len(chosen)
        progress(design.name, done.total(), total)

    def one(design: Design) -> Cost | None:
        try:
            measured, netlist = _measure(design, known, store)
        except tools.ToolError as error:
            if missing is None:
                raise
            missing.append(f"`{design.name}` ({_reason(error)})")
            end(design)
            return None
        reached, note = [], ""
        placed = pnr and (others or bool(design.macs))
        if placed and most is not None and measured.luteq > most:
            placed, note = False, f"more than {most:,} LUT-eq"
        for seed in range(seeds if placed else 0):
            done[design.name] += 1
            progress(design.name, done.total(), total)
            try:
                reached.append(_frequency(measured, known, netlist, seed + 1, store))
            except tools.ToolError as error:          # most often: too large for the device; the others can still be measured
                reached, note = [], _reason(error)
                break
        measured = replace(measured, mhz=tuple(reached), note=note, rate=rate(design) if rate and design.macs else None)
        end(design)
        return measured

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:          # the work is the tools'
        try:
            return [row for row in pool.map(one, chosen) if row]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def as_json(costs: Sequence[Cost], recipe: Sequence[str]) -> dict[str, Any]:
    """The table as data."""
    return {"recipe": list(recipe), "designs": [
        {**asdict(row), "fmax": row.fmax, "mac_per_cycle": row.throughput, "mmacs_per_lut": row.speed_per_lut} for row in costs]}


def from_json(document: Mapping[str, Any]) -> tuple[list[Cost], list[str]]:
    """Costs and recipe of what :func:`as_json` made."""
    names = Cost.__dataclass_fields__
    rows = [Cost(**{name: tuple(value) if name == "mhz" else value for name, value in row.items() if name in names})
            for row in document["designs"]]
    return rows, list(document["recipe"])
