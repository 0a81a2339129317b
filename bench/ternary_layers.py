"""Cycles of whole layers on the simulated ternary device, and what they make of language models' tokens.

    python bench/ternary_layers.py [--config ternary-sdram] [--models NAME...]

A layer is one PRODUCT at batch 1. Its weights are whatever the memory holds at first, zeros: bytes that stand for five times -1, which the
sums are held to; cycles do not depend on the bytes. Model time adds up the layers of a token; nothing else of the model is in it,
attention, norms and head included, so tokens a second are bounds.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import sys

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mantissa.config import load  # noqa: E402
from mantissa.sw_driver.progress import Bar  # noqa: E402
from mantissa.sw_driver.ternary import TernaryDevice  # noqa: E402
from mantissa.ternary_program import Instruction, Op  # noqa: E402
from mantissa.ternary_tiles import tiles  # noqa: E402

__all__ = ["MODELS", "Measured", "Model", "main", "measure"]

SEQUENTIAL = 0.976
"""Words of 16 bits a cycle that the SDRAM gives when it is read in order, refresh and row changes its own: docs/memory.md."""


@dataclass(frozen=True)
class Model:
    """Layers (rows, columns) of a block, how often each, and blocks of a model."""
    name: str
    blocks: int
    layers: tuple[tuple[int, int, int], ...]

    @property
    def weights(self) -> int:
        return self.blocks * sum(rows * columns * times for rows, columns, times in self.layers)


MODELS = (
    Model("BitNet b1.58 2B-4T", 30, ((2560, 2560, 2), (640, 2560, 2), (6912, 2560, 2), (2560, 6912, 1))),
    Model("0.73B of TeLLMe", 24, ((1536, 1536, 4), (4096, 1536, 2), (1536, 4096, 1))),
    Model("MatMul-free 370M", 24, ((1024, 1024, 4), (2816, 1024, 2), (1024, 2816, 1))),
    Model("a square layer", 1, ((2048, 2048, 1),)),
)


@dataclass(frozen=True)
class Measured:
    """A layer: words of weights read, and clock cycles."""
    words: int
    cycles: int


def measure(device: TernaryDevice, rows: int, columns: int) -> Measured:
    """One product on the device."""
    x = np.random.default_rng(rows + columns).integers(-128, 128, columns)
    count, y = tiles(columns, device.tables), columns
    device.write(0, x)
    log, = device.run([Instruction(op=Op.PRODUCT, x=0, y=y, rows=rows, columns=columns, tiles=count)])
    if not (device.read(y, rows) == -x.sum()).all():
        raise SystemExit(f"Sums of {rows}x{columns} must all be {-x.sum()}, and are not")
    return Measured(count * rows, log["cycles"])


def shapes(models: Sequence[Model]) -> list[tuple[int, int]]:
    """Layers of models, each once."""
    return list(dict.fromkeys((rows, columns) for model in models for rows, columns, _ in model.layers))


def report(found: dict[tuple[int, int], Measured], models: Sequence[Model], clock_hz: int, tables: int, sdram: bool) -> Iterator[str]:
    """The tables, line by line."""
    peak = 2 * SEQUENTIAL if sdram else float(tables)
    yield "| rows x columns | words | cycles | bytes/cycle | of the memory's | MAC/cycle |\n| --- | --: | --: | --: | --: | --: |"
    for (rows, columns), m in found.items():
        rate = m.words * tables / m.cycles
        yield (f"| {rows} x {columns} | {m.words:,} | {m.cycles:,} | {rate:.3f} | {100 * rate / peak:.1f} % "
               f"| {rows * columns / m.cycles:.2f} |")
    yield ""
    yield "| model | ternary weights | bytes a token | cycles a token | tokens/s |\n| --- | --: | --: | --: | --: |"
    for model in models:
        if model.blocks > 1:
            words = model.blocks * sum(found[rows, columns].words * times for rows, columns, times in model.layers)
            cycles = model.blocks * sum(found[rows, columns].cycles * times for rows, columns, times in model.layers)
            yield (f"| {model.name} | {model.weights / 1e6:,.0f} M | {words * tables / 1e6:,.0f} M | {cycles / 1e6:,.1f} M "
                   f"| {clock_hz / cycles:.2f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="ternary-sdram")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="those whose names contain one of these (default: all)")
    chosen = parser.parse_args(arguments)
    models = [model for model in MODELS if not chosen.models or any(part in model.name for part in chosen.models)]
    config, found = load(chosen.config), {}
    with TernaryDevice.open("sim", config=chosen.config) as device, Bar(len(shapes(models)), "layers") as bar:
        for rows, columns in shapes(models):
            found[rows, columns] = measure(device, rows, columns)
            bar.step()
    print(*report(found, models, config.clock_hz, device.tables, config.memory == "sdram"), sep="\n")


if __name__ == "__main__":
    main()
