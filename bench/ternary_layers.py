"""Cycles of whole layers on the simulated ternary device, and what they make of language models' tokens.

    python bench/ternary_layers.py [--config ternary-sdram] [--clock HZ] [--models NAME...] [--random]
    python bench/ternary_layers.py --roofline [--plot docs/reports/roofline.png]

A layer is one PRODUCT at batch 1. Its weights are whatever the memory holds at first, zeros: bytes that stand for five times -1, which the
sums are held to; cycles do not depend on the bytes. With --random weights are random trits, stored over the link. Model time adds up the
layers of a token; nothing else of the model is in it, attention, norms and head included, so tokens a second are bounds.

--roofline has what memories and lookups bound, and what layers take, for several memories. Those of DDR3 are extrapolated: an engine of 16
tables behind a port with a word in every cycle, and refresh taken off.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import re
import sys
import tempfile

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mantissa.config import BUILT_IN, Config, load  # noqa: E402
from mantissa.hw.designs_tlmm import ternary_engine  # noqa: E402
from mantissa.sim_tb.memory_rate import measure as memory_rate  # noqa: E402
from mantissa.sw_driver.progress import Bar  # noqa: E402
from mantissa.sw_driver.ternary import TernaryDevice  # noqa: E402
from mantissa.ternary_program import Instruction, Op  # noqa: E402
from mantissa.ternary_tiles import tile, tiles  # noqa: E402

__all__ = ["MODELS", "Measured", "Model", "Roof", "main", "measure", "plot", "roofs", "sequential"]

CLOCKS = {62_500_000: "ULX3S SDRAM, 62.5 MHz, as built", 75_000_000: "ULX3S SDRAM, 75 MHz", 100_000_000: "ULX3S SDRAM, 100 MHz"}
"""Of the roofline's SDRAMs."""

DDR3_HZ = 303_000_000
"""Clock of the DDR3 of docs/memory.md: four bytes in each of its cycles, a word of 16 in each of a clock of a quarter."""

DDR3_REFRESH = 160 / 7800
"""Of its time, for refresh: ``rfc`` of 2 Gbit, ``refresh``."""

TELLME = {"bytes_second": 17.1e9, "bytes": 160e6, "weights": 679e6, "tokens": 25}
"""TeLLMe v2 on a KV260, docs/ternary-accelerator.md: memory, what a token reads, multiplies, and tokens a second."""

WORDS = 65_536
"""Read from the SDRAM to measure its rate: enough that the first word's latency is none of it."""


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


@dataclass(frozen=True, kw_only=True)
class Roof:
    """A memory and the engine at it: bytes a second that the memory gives at most, the clock and the tables of the engine, layers, and
    by what their cycles are multiplied where the memory was not simulated."""
    name: str
    bytes_second: float
    clock_hz: float
    tables: int
    found: dict[tuple[int, int], Measured]
    how: str
    slower: float = 1.0

    def token(self, model: Model) -> Measured:
        """Of all layers of a token."""
        layers = [(self.found[rows, columns], model.blocks * times) for rows, columns, times in model.layers]
        return Measured(sum(m.words * times for m, times in layers), sum(m.cycles * times for m, times in layers))

    def bounds(self, model: Model) -> tuple[float, float, float]:
        """Tokens a second: what the memory allows, what lookups allow, what it comes to."""
        token = self.token(model)
        return (self.bytes_second / (token.words * self.tables), self.clock_hz / token.words,
                self.clock_hz / (token.cycles * self.slower))


def measure(device: TernaryDevice, rows: int, columns: int, random: bool = False) -> Measured:
    """One product on the device."""
    rng = np.random.default_rng(rows + columns)
    x = rng.integers(-128, 128, columns)
    count, y, want = tiles(columns, device.tables), columns, np.full(rows, -x.sum())
    if random:
        trits = rng.integers(-1, 2, (rows, columns), np.int8)
        device.store(0, tile(trits, device.tables))
        want = trits.astype(np.int64) @ x
    device.write(0, x)
    log, = device.run([Instruction(op=Op.PRODUCT, x=0, y=y, rows=rows, columns=columns, tiles=count)])
    wrong = int((device.read(y, rows) != want).sum())
    if wrong:
        raise SystemExit(f"Sums of {rows}x{columns} must be the product's, and {wrong} are not")
    return Measured(count * rows, log["cycles"])


def sequential(clock_hz: int) -> float:
    """Words of 16 bits a cycle that the SDRAM gives when it is read in order, refresh and row changes its own."""
    rate = memory_rate("read in order, bursts of 2048", clock_hz=clock_hz, words=WORDS)
    return rate.words / rate.cycles


def simulate(config: str, models: Sequence[Model], clock_hz: int | None = None, random: bool = False
             ) -> tuple[Config, dict[tuple[int, int], Measured]]:
    """Layers of models on the simulated device of a configuration, at another clock if there is one."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="mantissa-") as folder:
        if clock_hz is not None:
            source = Path(config) if config.endswith(".toml") else BUILT_IN / f"{config}.toml"
            file = Path(folder) / source.name
            file.write_text(re.sub(r"(?m)^clock_hz *=.*$", f"clock_hz = {clock_hz}", source.read_text(encoding="utf-8")), encoding="utf-8")
            config = str(file)
        with TernaryDevice.open("sim", config=config) as device, Bar(len(shapes(models)), "layers") as bar:
            for rows, columns in shapes(models):
                found[rows, columns] = measure(device, rows, columns, random)
                bar.step()
        return load(config), found


def shapes(models: Sequence[Model]) -> list[tuple[int, int]]:
    """Layers of models, each once."""
    return list(dict.fromkeys((rows, columns) for model in models for rows, columns, _ in model.layers))


def report(found: dict[tuple[int, int], Measured], models: Sequence[Model], config: Config) -> Iterator[str]:
    """The tables, line by line."""
    tables = config.array
    peak = 2 * sequential(config.clock_hz) if config.memory == "sdram" else float(tables)
    yield f"The memory gives at most {peak:.4f} bytes a cycle at {config.clock_hz / 1e6:g} MHz.\n"
    yield "| rows x columns | words | cycles | bytes/cycle | of the memory's | MAC/cycle |\n| --- | --: | --: | --: | --: | --: |"
    for (rows, columns), m in found.items():
        rate = m.words * tables / m.cycles
        yield (f"| {rows} x {columns} | {m.words:,} | {m.cycles:,} | {rate:.3f} | {100 * rate / peak:.1f} % "
               f"| {rows * columns / m.cycles:.2f} |")
    yield ""
    yield "| model | ternary weights | bytes a token | cycles a token | tokens/s |\n| --- | --: | --: | --: | --: |"
    roof = Roof(name=config.name, bytes_second=peak * config.clock_hz, clock_hz=config.clock_hz, tables=tables, found=found,
                how="simulated")
    for model in models:
        if model.blocks > 1:
            token = roof.token(model)
            yield (f"| {model.name} | {model.weights / 1e6:,.0f} M | {token.words * tables / 1e6:,.0f} M | {token.cycles / 1e6:,.1f} M "
                   f"| {roof.bounds(model)[2]:.2f} |")


def roofs(config: str, models: Sequence[Model]) -> list[Roof]:
    """Memories of the roofline: the SDRAM at :data:`CLOCKS`, and DDR3."""
    from ternary_engine import check                         # beside this file
    found = []
    for clock_hz, name in CLOCKS.items():
        chosen, layers = simulate(config, models, clock_hz)
        found.append(Roof(name=name, bytes_second=2 * sequential(clock_hz) * clock_hz, clock_hz=clock_hz, tables=chosen.array,
                          found=layers, how="simulated"))
    design = ternary_engine(16, lanes=8, code="radix3", rows=8192, tiles=1024, wraps=True)
    layers = {shape: Measured(words, cycles) for shape in shapes(models) for cycles, words in [check(design, shape)]}
    return [*found, Roof(name="DDR3, 303 MHz, 16 tables at 75.75 MHz", bytes_second=4 * DDR3_HZ * (1 - DDR3_REFRESH), clock_hz=DDR3_HZ / 4,
                         tables=16, found=layers, how="extrapolated", slower=1 / (1 - DDR3_REFRESH))]


def roofline(found: Sequence[Roof], models: Sequence[Model]) -> Iterator[str]:
    """The table, line by line."""
    yield ("| memory | model | memory, MB/s | bound by memory | MAC/cycle | bound by lookups | tokens/s | |\n"
           "|---|---|--:|--:|--:|--:|--:|---|")
    for roof in found:
        for model in models:
            memory, lookups, tokens = roof.bounds(model)
            yield (f"| {roof.name} | {model.name} | {roof.bytes_second / 1e6:,.1f} | {memory:#.3g} | {5 * roof.tables} | {lookups:#.3g} "
                   f"| {tokens:#.3g} | {roof.how} |")


def plot(found: Sequence[Roof], models: Sequence[Model], file: Path) -> None:
    """Products a second by products for each byte of weights read: roofs and models."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    x, markers = np.geomspace(1, 100, 400), dict(zip((model.name for model in models), "os^", strict=False))
    for n, roof in enumerate(found):
        most = 5 * roof.tables * roof.clock_hz
        axes.plot(x, np.minimum(roof.bytes_second * x, most) / 1e9, color=f"C{n}", linewidth=1.4,
                  label=f"{roof.name}: {roof.bytes_second / 1e6:,.0f} MB/s, {5 * roof.tables} MAC/cycle, {roof.how}")
        for model in models:
            at = model.weights / (roof.token(model).words * roof.tables), model.weights * roof.bounds(model)[2] / 1e9
            axes.plot(*at, markers[model.name], color=f"C{n}", markersize=7, fillstyle="none")
    for name, marker in markers.items():
        axes.plot([], [], marker, color="0.4", markersize=7, fillstyle="none", label=name)
    axes.plot(x, TELLME["bytes_second"] * x / 1e9, "--", color="0.4", linewidth=1, label="KV260 DDR4, 17.1 GB/s")
    axes.plot(TELLME["weights"] / TELLME["bytes"], TELLME["weights"] * TELLME["tokens"] / 1e9, "*", color="0.2", markersize=9,
              label="TeLLMe v2, 0.73B, 25 tokens/s")
    axes.set(xscale="log", yscale="log", xlim=(1, 100), ylim=(0.1, 100), xlabel="MACs for each byte of weights read", ylabel="GMAC/s",
             title="roofline, batch 1")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.grid(which="both", color="0.92")
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(file, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="ternary-sdram")
    parser.add_argument("--clock", type=int, metavar="HZ", help="another clock than the configuration's")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="those whose names contain one of these (default: all)")
    parser.add_argument("--random", action="store_true", help="random weights instead of what the memory holds at first")
    parser.add_argument("--roofline", action="store_true", help="bounds and tokens for several memories instead")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --roofline: its picture, a .png")
    chosen = parser.parse_args(arguments)
    if chosen.plot and not chosen.roofline:
        parser.error("--plot must come with --roofline")
    models = [model for model in MODELS if not chosen.models or any(part in model.name for part in chosen.models)]
    if chosen.roofline:
        models = [model for model in models if model.blocks > 1]
        found = roofs(chosen.config, models)
        print(*roofline(found, models), sep="\n")
        if chosen.plot:
            plot(found, models, chosen.plot)
        return
    config, layers = simulate(chosen.config, models, chosen.clock, chosen.random)
    print(*report(layers, models, config), sep="\n")


if __name__ == "__main__":
    main()
