"""Table and picture of a run in several formats."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

if TYPE_CHECKING:
    from run_formats import Row

__all__ = ["picture", "table"]

COLOURS = {"int8": "#1f5a99", "e4m3": "#2b8c5a", "posit8_0": "#7a4ba0", "int4": "#8fc1ef", "e2m1": "#95d9b0", "posit4_1": "#cfaee6",
           "mxfp4": "#f2b85c"}
CONFIDENCE = 1.96


def _interval(row: Row) -> tuple[float, float]:
    """Wilson's, 95 %: what the images say of the accuracy on others like them."""
    n, p, z = row.images, row.accuracy, CONFIDENCE
    middle, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float((middle - half) / (1 + z * z / n)), float((middle + half) / (1 + z * z / n))


def table(rows: list[Row], device: str) -> None:
    """Print a line for each model."""
    shown = Table(title=f"{rows[0].images} images on {device}", title_justify="left")
    shown.add_column("model", no_wrap=True)
    for name in ("accuracy", "weight\nbits", "act.\nbits", "model\nbytes", "cycles", "outputs", "≠\ngolden"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(row.model, f"{row.accuracy:.4f}", f"{row.weight_bits:.2f}", f"{row.activation_bits:.2f}", f"{row.model_bytes:,}",
                      "-" if row.cycles is None else f"{row.cycles:,}", f"{row.elements:,}", str(row.mismatches))
    Console().print(shown)


def _accuracy(axis, rows: list[Row]) -> None:
    """Accuracy against bytes."""
    size = {row.model: row.model_bytes + row.activation_bytes for row in rows}
    bottom, span = min(row.accuracy for row in rows) - 0.012, (max(size.values()) - min(size.values())) or 1
    for row in rows:
        low, high = _interval(row)
        colour, x = COLOURS.get(row.model, "dimgray"), size[row.model]
        axis.errorbar(x, row.accuracy, [[row.accuracy - low], [high - row.accuracy]], fmt="none", ecolor=colour, alpha=0.3)
        axis.scatter(x, row.accuracy, 70, color=colour, edgecolor="black", linewidth=0.5, zorder=3)
    step = (1 - bottom) / 15
    placed: list[tuple[float, float]] = []
    for row in sorted(rows, key=lambda row: -row.accuracy):
        x = size[row.model]
        y = min([row.accuracy, *(at - step for other, at in placed if abs(other - x) < 0.1 * span)])
        placed.append((x, y))
        axis.annotate(f"{row.model}\n{row.accuracy:.4f}", (x, row.accuracy), (x + 0.04 * span, y), va="center", fontsize=9,
                      arrowprops={"arrowstyle": "-", "color": "gray", "linewidth": 0.5})
    axis.set_xlim(min(size.values()) - 0.1 * span, max(size.values()) + 0.2 * span)
    axis.set_ylim(bottom, 1)
    axis.set(title=f"accuracy on {rows[0].images} held-out digits (bar: 95 % interval) against size",
             xlabel="bytes of weights and activations, codes packed", ylabel="accuracy")
    axis.grid(alpha=0.3)


def _cycles(axis, rows: list[Row]) -> None:
    """Cycles of an inference, by layer."""
    axis.set(title="clock cycles of an inference, by layer", xlabel="cycles")
    if not rows[0].layer_cycles or rows[0].cycles is None:
        axis.text(0.5, 0.5, "the device has no clock", ha="center", transform=axis.transAxes)
        return
    left = np.zeros(len(rows))
    for n, layer in enumerate(rows[0].layer_cycles):
        width = np.array([row.layer_cycles.get(layer, 0) for row in rows])
        axis.barh([row.model for row in rows], width, left=left, label=layer, color=pyplot.get_cmap("tab20c")(n * 2 % 20))
        left += width
    for n, row in enumerate(rows):
        axis.text(left[n], n, f" {row.cycles:,}\n {row.accuracy:.1%}", va="center", fontsize=8)
    axis.set_xlim(0, 1.25 * left.max())
    axis.invert_yaxis()
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _assignments(axis, rows: list[Row]) -> None:
    """Which format is where: a cell for each model's weights and activations."""
    columns = [(f"{name}\nweights", "weights", name) for name in rows[0].weights]
    columns += [(name.replace("_", "\n"), "activations", name) for name in rows[0].activations]
    for y, row in enumerate(rows):
        for x, (_, kind, name) in enumerate(columns):
            chosen = getattr(row, kind).get(name)
            axis.add_patch(pyplot.Rectangle((x, y), 1, 1, facecolor=COLOURS[chosen], edgecolor="white"))
            dark = chosen in ("int8", "e4m3", "posit8_0")
            axis.text(x + 0.5, y + 0.5, chosen, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    axis.set(xlim=(0, len(columns)), ylim=(len(rows), 0), title="format of each layer's weights and of each tensor")
    axis.set_xticks(np.arange(len(columns)) + 0.5, [label for label, *_ in columns], fontsize=8)
    axis.set_yticks(np.arange(len(rows)) + 0.5, [row.model for row in rows])
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def picture(rows: list[Row], path: Path) -> None:
    """Draw accuracy against size, cycles by layer, and which format is where."""
    figure = pyplot.figure(figsize=(14, 10), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=[1.3, 1])
    _accuracy(figure.add_subplot(grid[0, 0]), rows)
    _cycles(figure.add_subplot(grid[0, 1]), rows)
    _assignments(figure.add_subplot(grid[1, :]), rows)
    part = path.with_suffix(".part.png")
    figure.savefig(part, dpi=110)
    part.replace(path)
    pyplot.close(figure)
