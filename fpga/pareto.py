"""Error against cost of the designs that multiply and add, as a picture."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MantissaError
from ..formats import get
from ..hw.catalog import CATALOG
from .accuracy import LENGTH, sqnr
from .cost import Cost
from .rivals import RIVALS

__all__ = ["Point", "draw", "front", "ours", "published"]

OURS, THEIRS = "#1f5fa8", "#c2452d"
"""Colours."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A design in one format: LUT-eq per product and cycle, signal to noise of the format in dB, DSPs, whether its sums are exact."""
    name: str
    operands: str
    cost: float
    error: float
    dsp: int = 0
    exact: bool = True


def ours(costs: Sequence[Cost]) -> list[Point]:
    """Our designs that multiply and add; neither those that only multiply nor those whose products have an error of their own, nor
    formats without a sign, which the Gaussian numbers have."""
    alone = {design.name for design in CATALOG if design.stateless}
    return [Point(name=row.name, operands=operands, cost=row.luteq / macs, error=sqnr(operands), dsp=row.dsp)
            for row in costs if row.name.removesuffix("_portable") not in alone and row.luteq and not row.bram
            for operands, macs in row.throughput.items() if not operands.startswith("~") and _signed(operands)]


def _signed(operands: str) -> bool:
    return all(getattr(get(name), "signed", True) for name in operands.split("*"))


def published() -> list[Point]:
    """Rivals without DSPs, where they are known to do a product or more a cycle."""
    return [Point(name=name, operands=operands, cost=rival.no_dsp / macs, error=sqnr(operands), exact=bool(rival.exact))
            for name, rival in RIVALS.items() if rival.no_dsp for operands, macs in rival.macs.items()]


def front(points: Sequence[Point]) -> list[Point]:
    """Points without DSPs that no other one is both cheaper and more accurate than, cheapest first."""
    best: list[Point] = []
    for point in sorted((point for point in points if not point.dsp), key=lambda point: (point.cost, -point.error)):
        if not best or point.error > best[-1].error:
            best.append(point)
    return best


def draw(costs: Sequence[Cost], recipe: Sequence[str], file: Path) -> None:
    """Write the picture, a PNG or what else the name ends with.

    Raises
    ------
    MantissaError
        If no design has a throughput, or matplotlib is missing.
    """
    points, others = ours(costs), published()
    if not points:
        raise MantissaError("Plot needs a design that multiplies and adds, and there is none")
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MantissaError("The plot needs matplotlib: pip install 'mantissa[fpga]'") from None
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.add_subplot()
    best = front(points)
    _scatter(axes, [point for point in points if not point.dsp], "o", OURS, "ours, no DSP, sums exact")
    _scatter(axes, [point for point in points if point.dsp], "D", OURS, "ours, DSPs beside the LUTs, sums exact", hollow=True)
    _scatter(axes, [point for point in others if point.exact], "s", THEIRS, "published, no DSP, sums exact")
    _scatter(axes, [point for point in others if not point.exact], "X", THEIRS, "published, no DSP, sums rounded")
    axes.step([point.cost for point in best], [point.error for point in best], where="post", color=OURS, linewidth=1.2, alpha=0.6, zorder=1,
              label="front of ours without DSPs")
    below = 0.0
    for point in best:
        crowded = point.error - below < 1.5                    # the name to the left would lie on the one before
        _name(axes, point.name, point, (0 if crowded else -6, 4), "left" if crowded else "right", OURS)
        below = point.error
    for group in _near(others):
        _name(axes, ",\n".join(point.name for point in group), group[0], (3, -5), "left", THEIRS)
    _axes(axes, [*points, *others], costs[0].family)
    figure.text(0.01, -0.005, f"{recipe[0]} Published designs: not rebuilt.", fontsize=7, color="#666666", va="top")
    figure.savefig(file, dpi=110, bbox_inches="tight")


def _scatter(axes: Any, points: Sequence[Point], marker: str, color: str, label: str, hollow: bool = False) -> None:
    axes.scatter([point.cost for point in points], [point.error for point in points], marker=marker, s=42, label=label,
                 facecolors="none" if hollow else color, edgecolors=color if hollow else "white", linewidths=1 if hollow else 0.6, zorder=3)


def _name(axes: Any, text: str, point: Point, offset: tuple[int, int], side: str, color: str) -> None:
    axes.annotate(text, (point.cost, point.error), xytext=offset, textcoords="offset points", fontsize=7, color=color, ha=side,
                  va="bottom" if offset[1] > 0 else "top", zorder=4)


def _near(points: Sequence[Point]) -> list[list[Point]]:
    """Points whose names would lie on one another, together."""
    groups: list[list[Point]] = []
    for point in sorted(points, key=lambda point: (point.error, point.cost)):
        last = groups[-1][-1] if groups else None
        if last and point.error - last.error < 0.5 and point.cost < 1.25 * last.cost:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _axes(axes: Any, points: Sequence[Point], family: str) -> None:
    """Scales, and formats at the right at the height of their points."""
    from matplotlib.ticker import FixedLocator, NullLocator
    axes.set_xscale("log")
    costs = [point.cost for point in points]
    axes.set_xlim(min(costs) / 2.5, max(costs) * 1.6)
    ticks = [digit * 10 ** power for power in range(-1, 5) for digit in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(f"LUT-eq per MAC/cycle, {family.upper()}, after synthesis")
    axes.set_ylabel(f"signal to noise of dot products of {LENGTH}, both operands quantised, Gaussian, dB")
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    axes.set_title("What accuracy costs: number formats and MACs", loc="left", fontweight="bold")
    heights: list[list[str]] = []
    at: list[float] = []
    for operands in sorted({point.operands for point in points}, key=sqnr):
        if at and sqnr(operands) - at[-1] < 1.6:
            heights[-1].append(operands)
        else:
            at.append(sqnr(operands))
            heights.append([operands])
    right = axes.secondary_yaxis("right")
    right.set_yticks(at, [", ".join(reversed(names)) for names in heights], fontsize=8)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
