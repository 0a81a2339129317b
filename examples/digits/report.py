"""Table and picture of a run."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from mantissa.sw_driver.counters import total  # noqa: E402

if TYPE_CHECKING:
    from run import Result

__all__ = ["picture", "table", "write"]

SHOWN = 60


def write(path: Path, text: str) -> None:
    """A file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def table(result: Result) -> None:
    """Print what happened, layer by layer."""
    console = Console()
    rows = Table(title=f"{len(result.labels)} images on {result.device} {result.identity}", title_justify="left")
    rows.add_column("layer", no_wrap=True)
    for name in ("outputs", "≠\ngolden", "≠ onnx-\nruntime", "cycles", "array\nbusy", "useful"):
        rows.add_column(name, justify="right", no_wrap=True)
    for layer in result.layers:
        counter = layer.counters
        share = (f"{counter.utilization:.1%}", f"{counter.useful:.1%}") if counter is not None and counter.macs else ("-", "-")
        differ = sum(count for size, count in layer.difference.items() if size)
        rows.add_row(layer.name.strip("/"), f"{layer.elements:,}", str(layer.mismatches), str(differ),
                     "-" if counter is None else f"{counter.cycles:,}", *share)
    console.print(rows)
    record = result.record()
    console.print(f"accuracy {result.accuracy:.4f} (onnxruntime {result.onnxruntime_accuracy:.4f}), "
                  f"{record['mismatches_golden']} of {record['elements']:,} outputs differ from the golden model, "
                  f"by LSB from onnxruntime: {record['diff_onnxruntime']}", highlight=False)
    ties, unexplained = (sum(getattr(layer, name) for layer in result.layers) for name in ("ties", "unexplained"))
    console.print(f"on onnxruntime's own inputs of each layer: {ties} differences, its float32 being halfway between two codes; "
                  f"{unexplained} others", highlight=False)
    if result.cycles is not None:
        whole = total(result.counters)
        speed = "" if result.simulated_per_second is None else f", {result.simulated_per_second / 1e6:.2f} M cycles simulated a second"
        console.print(f"{result.cycles:,} cycles an inference, array busy {whole.utilization:.1%} of them{speed}; "
                      f"{result.seconds:.1f} s in all", highlight=False)


def _digits(figure, result: Result) -> None:
    """Every wrong prediction first, then right ones."""
    wrong = np.flatnonzero(result.predictions != result.labels)
    right = np.flatnonzero(result.predictions == result.labels)
    chosen = np.concatenate([wrong, right])[:SHOWN]
    figure.suptitle(f"predictions ({len(wrong)} of {len(result.labels)} wrong, in red with the label)", fontsize=11)
    for axis, n in zip(figure.subplots(6, SHOWN // 6).flat, chosen, strict=False):
        good = result.predictions[n] == result.labels[n]
        axis.imshow(result.images[n], cmap="gray_r", interpolation="nearest")
        text = str(result.predictions[n]) if good else f"{result.predictions[n]} not {result.labels[n]}"
        axis.set_title(text, fontsize=9, color="black" if good else "crimson", pad=2)
    for axis in figure.axes:
        axis.set_axis_off()


def _confusion(axis, result: Result) -> None:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (result.labels, result.predictions), 1)
    axis.imshow(counts, cmap="Blues", norm=matplotlib.colors.SymLogNorm(1))
    for row, column in np.argwhere(counts):
        dark = counts[row, column] > counts.max() / 6
        axis.text(column, row, counts[row, column], ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.set(title=f"confusion, accuracy {result.accuracy:.4f}", xlabel="prediction", ylabel="label", xticks=range(10), yticks=range(10))


def _cycles(axis, result: Result) -> None:
    counters = result.counters
    axis.set(title="cycles by layer (busy: part of them the array multiplied)", xlabel="clock cycles")
    if not counters:
        axis.text(0.5, 0.5, f"{result.device} has no clock", ha="center", transform=axis.transAxes)
        return
    names = [f"{counter.name.strip('/')}\n{counter.op}" for counter in counters]
    cycles = [counter.cycles for counter in counters]
    axis.barh(names, cycles, color=["steelblue" if counter.macs else "lightgray" for counter in counters])
    for n, counter in enumerate(counters):
        note = f" {counter.cycles:,}" + (f", {counter.utilization:.0%} busy" if counter.macs else "")
        axis.text(counter.cycles, n, note, va="center", fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.35 * max(cycles))
    axis.tick_params(axis="y", labelsize=8)


def picture(result: Result, path: Path) -> None:
    """Draw predictions with their images, the confusion matrix, and cycles by layer."""
    figure = pyplot.figure(figsize=(14, 9), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=[1.05, 1])
    top, bottom = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    _digits(top, result)
    left, right = bottom.subplots(1, 2, width_ratios=[1, 1.5])
    _confusion(left, result)
    _cycles(right, result)
    part = path.with_suffix(".part.png")
    figure.savefig(part, dpi=110)
    part.replace(path)
    pyplot.close(figure)
