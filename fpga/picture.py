"""A placed design as a picture: where on the chip each part of the hierarchy went."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
import json
from pathlib import Path
import re

from ..errors import MantissaError

__all__ = ["Placed", "draw", "parts", "placed_cells"]

BEL = re.compile(r"X(\d+)/Y(\d+)/(.*)")
LOGIC = {"TRELLIS_COMB", "TRELLIS_FF", "ICESTORM_LC"}
BLOCKS = {"DP16KD": "s", "MULT18X18D": "D", "EHXPLLL": "P",
          "ICESTORM_RAM": "s", "ICESTORM_SPRAM": "s", "ICESTORM_DSP": "D", "ICESTORM_PLL": "P"}
DEVICE = "serial.component."
"""What the names of a device's cells start with on a board."""

PARTS = 15
"""Parts that get a colour of their own; the rest are grey."""


@dataclass(frozen=True)
class Placed:
    """A cell: its type, where it is, and the part of the design it belongs to."""
    kind: str
    x: float
    y: float
    part: str


def _part(name: str, depth: int) -> str:
    """Enclosing instances of a cell, as far as ``depth``, from its flattened name."""
    plain = re.sub(r"^\$(flatten|techmap|auto|abc)", "", name).replace("\\", "").split("$")[0]
    path = plain.removeprefix(DEVICE).split(".")[:-1]
    return ".".join(path[:depth])


def placed_cells(path: Path, depth: int) -> list[Placed]:
    """Logic and blocks in the netlist nextpnr wrote, with hierarchy as deep as ``depth``."""
    found = []
    for module in json.loads(path.read_text())["modules"].values():
        for name, cell in module["cells"].items():
            match = BEL.match(cell["attributes"].get("NEXTPNR_BEL", ""))
            if match and (cell["type"] in LOGIC or cell["type"] in BLOCKS):
                x, y, site = int(match[1]), int(match[2]), match[3]
                number = sum(map(ord, site)) % 8             # spread a tile's cells over its area
                offset = (number % 4 / 4 - .375, number // 4 / 2 - .25) if cell["type"] in LOGIC else (0, 0)
                found.append(Placed(cell["type"], x + offset[0], y + offset[1], _part(name, depth)))
    return found


def parts(path: Path, *, depth: int = 2) -> dict[str, dict[str, int]]:
    """Cells by kind of each part of the design in the netlist nextpnr wrote, the largest first; "other" is what the picture calls so."""
    return {part: dict(sorted(Counter(cell.kind for cell in cells).items())) for part, cells in _group(placed_cells(path, depth)).items()}


def _group(cells: Iterable[Placed]) -> dict[str, list[Placed]]:
    """Cells by part, largest first; beyond PARTS, and where the name says nothing, as "other"."""
    cells = list(cells)
    sizes = Counter(cell.part for cell in cells if cell.part)
    named = {part for part, _ in sizes.most_common(PARTS)}
    groups = defaultdict(list)
    for part, _ in sizes.most_common(PARTS):
        groups[part] = []
    for cell in cells:
        groups[cell.part if cell.part in named else "other"].append(cell)
    return groups


def draw(placed: Path, target: Path, *, grid: tuple[int, int], title: str, depth: int = 2) -> int:
    """Write a PNG of the placement in ``placed`` on a chip of ``grid`` tiles to ``target``; how many cells it shows.

    Raises
    ------
    MantissaError
        If matplotlib is missing.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MantissaError("The placement's picture needs matplotlib: pip install 'mantissa[fpga]'") from None
    cells = placed_cells(placed, depth)
    figure = Figure(figsize=(11, 8), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#16181d")
    palette = colormaps["tab20"]
    dot = (90 / max(grid)) ** 2 * 3
    for n, (part, members) in enumerate(_group(cells).items()):
        colour = "#8a8f98" if part == "other" else palette(n % 20)
        logic = [cell for cell in members if cell.kind in LOGIC]
        axes.scatter([c.x for c in logic], [c.y for c in logic], s=dot, color=colour, marker="s", linewidths=0,
                     label=f"{part} ({len(members)})")
        for kind, marker in BLOCKS.items():
            blocks = [cell for cell in members if cell.kind == kind]
            axes.scatter([c.x for c in blocks], [c.y for c in blocks], s=6 * dot, color=colour, marker=marker,
                         linewidths=.4, edgecolors="w")
    axes.set_aspect("equal")
    axes.set(xlim=(-1, grid[0]), ylim=(grid[1], -1))
    axes.set(title=title, xlabel="column", ylabel="row")
    if cells:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, markerscale=max(1, 5 / dot ** .5), frameon=False,
                    title="cells (edged squares: RAM, diamonds: DSP)", title_fontsize=8)
    figure.savefig(target)
    return len(cells)
