"""Products that skip columns of zeros: words read and cycles, with a port that always has a word and with the SDRAM, every sum compared.

    python bench/ternary_columns.py                         # a quarter of BitNet's down projection, and those of examples/ternary

Behind the SDRAM's controller is a chip that spoils what is read once a rule of its datasheet is broken. Its words are a function of their
address, so that the sums tell whether the right ones were read. Cycles are what a second product of the same vectors adds.
"""
from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
import sys

from amaranth.hdl import Module
from amaranth.lib import wiring
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples" / "ternary")]

from networks import HERE, WIDTH, Transformer, load  # noqa: E402

from mantissa.bitlinear import gated_square  # noqa: E402
from mantissa.design import Design, Streams  # noqa: E402
from mantissa.gen.designs import verilog_of  # noqa: E402
from mantissa.hw.designs_columns import columns_workload, ternary_columns  # noqa: E402
from mantissa.hw.payload import pack  # noqa: E402
from mantissa.hw.sdram import Sdram  # noqa: E402
from mantissa.hw.sdram_strict import StrictSdram  # noqa: E402
from mantissa.hw.sdram_timing import CLASS_7, W16  # noqa: E402
from mantissa.hw.ternary_columns import TernaryColumns  # noqa: E402
from mantissa.sim_tb.exhaustive import harness  # noqa: E402
from mantissa.sim_tb.simulate import layouts_of  # noqa: E402
from mantissa.sim_tb.verilator import Harness  # noqa: E402
from mantissa.ternary import GROUP, unpack_radix3  # noqa: E402
from mantissa.ternary_columns import column_words  # noqa: E402

FOLDER = Path("build/bench")
CLOCK_HZ = 100_000_000
LANES = 2
"""Bytes of a word of the SDRAM."""

ZEROS = (0, 0.25, 0.5, 0.75, 0.9)
CHIP = f"""module chip_words(input clk, input [{W16.address_bits - 1}:0] address, input enable, input [15:0] written,
                  output reg [15:0] word);
  always @(posedge clk) word <= address * 40503 + (address >> 7);
endmodule
"""


@dataclass(frozen=True)
class Layer:
    """Vectors (n, K) for matrices of ``rows`` rows."""
    name: str
    rows: int
    x: np.ndarray

    @property
    def kept(self) -> int:
        return int(np.count_nonzero(self.x))


class Behind(wiring.Component):
    """The engine with the SDRAM's controller and a chip."""

    def __init__(self, skip: bool) -> None:
        self.engine = TernaryColumns(lanes=LANES, address_bits=W16.address_bits, skip=skip, cells=False)
        timing = replace(CLASS_7, power_up=1_000_000)
        self.controller = Sdram(clock_hz=CLOCK_HZ, timing=timing, length_bits=self.engine.length_bits)
        self.chip = StrictSdram(cycles=timing.cycles(CLOCK_HZ), geometry=W16, words="chip_words")
        super().__init__({name: self.engine.signature.members[name] for name in ("i_command", "i_x", "o")})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine, m.submodules.controller, m.submodules.chip = self.engine, self.controller, self.chip
        for name in ("i_command", "i_x"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.engine, name))
        wiring.connect(m, self.engine.o, wiring.flipped(self.o))
        wiring.connect(m, self.engine.o_read, self.controller.port.read_requests)
        wiring.connect(m, self.controller.port.read_data, self.engine.i)
        wiring.connect(m, self.controller.pins, self.chip.pins)
        return m


def in_chip(streams: Streams) -> Streams:
    """Products with what the chip has."""
    sums, lasts, begin = [], [], 0
    commands, x = streams["i_command"], streams["i_x"]
    for address, last_word, end in zip(commands["address"], commands["last_word"], np.flatnonzero(x["last"]), strict=True):
        codes, words = np.asarray(x["code"][begin:end + 1], np.int64), int(last_word) + 1
        kept = np.flatnonzero(codes)
        at = int(address) + kept[:, None] * words + np.arange(words)
        word = (at * 40503 + (at >> 7)) & 0xFFFF
        packed = np.stack([word & 255, word >> 8], axis=-1).astype(np.uint8)
        good = packed < 243
        trits = unpack_radix3(np.where(good, packed, 0)).reshape(*packed.shape, GROUP) * good[..., None]
        sums.append(np.einsum("k,kwn->wn", codes[kept], trits.reshape(len(kept), words, -1)))
        lasts.append(np.arange(words) == last_word)
        begin = end + 1
    total = np.concatenate(sums)
    return {"o": {"sums": total, "error": np.zeros(len(total), np.int64), "last": np.concatenate(lasts).astype(np.int64)}}


def design_in_chip(skip: bool) -> Design:
    return Design(name="columns_sdram" + "_all" * (not skip), summary="", params={}, component=lambda: Behind(skip), golden=in_chip,
                  stimulus=lambda rng: {})


def given(layer: Layer, times: int) -> Streams:
    """Commands and vectors, and nothing of the memory's."""
    n, columns = layer.x.shape
    words = column_words(layer.rows, LANES)
    last = np.zeros((n, columns), np.int64)
    last[:, -1] = 1
    return {"i_command": {"address": np.tile(np.arange(n) * columns * words, times), "last_word": np.full(n * times, words - 1)},
            "i_x": {"code": np.tile(layer.x.ravel(), times), "last": np.tile(last.ravel(), times)}}


def cycles(design: Design, model: Harness, streams: Streams) -> int:
    """Of a run, what comes held to what is right."""
    golden = design.golden(streams)
    want = {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}
    sent = {port: pack(layout, streams[port]) for port, layout in model.inputs.items()}
    return model.run(sent, {port: len(rows) for port, rows in want.items()}, want=want).cycles


def ideal(layer: Layer, lanes: int, skip: bool) -> int:
    """Cycles of a layer's products with a word in every cycle."""
    design = ternary_columns(lanes, skip=skip, cells=False)
    model = harness(design, folder=FOLDER, optimize=0)
    once, twice = (cycles(design, model, columns_workload(design, layer.rows, list(layer.x) * n)) for n in (1, 2))
    return twice - once


def sdram(layer: Layer, skip: bool) -> int:
    """The same, the words being the SDRAM's."""
    design = design_in_chip(skip)
    inputs, outputs = layouts_of(design)
    model = Harness(verilog_of(design) + CHIP, design.name, inputs, outputs, folder=FOLDER, optimize=0)
    once, twice = (cycles(design, model, given(layer, n)) for n in (1, 2))
    return twice - once


def drawn(rows: int, columns: int, zeros: float) -> Layer:
    """A vector of which a share ``zeros`` is zero, its places drawn."""
    rng = np.random.default_rng(int(100 * zeros))
    x = rng.choice([-1, 1], columns) * rng.integers(1, 128, columns)
    x[rng.permutation(columns)[:round(zeros * columns)]] = 0
    return Layer("drawn", rows, x[None])


def example(tokens: int) -> list[Layer]:
    """The down projections of examples/ternary's transformer, for random tokens."""
    layers, _ = load(HERE / "transformer.npz")
    found = Transformer(layers)(np.random.default_rng(0).integers(-2000, 2000, (tokens, 128)))
    made = []
    for n in range(2):
        inside, _ = gated_square(found[f"{n}.gate"], found[f"{n}.up"], WIDTH)
        down = layers[f"{n}.down"]
        made.append(Layer(f"block {n}, {tokens} tokens", down.trits.shape[0], down.quantise(inside).codes.astype(np.int64)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=LANES, help="bytes of a word; of others than 2 there is no SDRAM")
    parser.add_argument("--shape", type=int, nargs=2, default=(2560, 1728), metavar=("N", "K"))
    options = parser.parse_args()
    print("| activations | N | K | zeros | skip | words a vector | cycles a vector | words a cycle |"
          + " with the SDRAM | words a cycle |" * (options.lanes == LANES))
    print("|---|--:|--:|--:|---|--:|--:|--:|" + "--:|--:|" * (options.lanes == LANES))
    layers = [drawn(*options.shape, zeros) for zeros in ZEROS] + example(8)
    for layer in layers:
        for skip in (True, False):
            if not skip and layer.name == "drawn" and layer is not layers[0]:
                continue                                     # the same words whatever the zeros
            n, columns = layer.x.shape
            words = (layer.kept if skip else layer.x.size) * column_words(layer.rows, options.lanes) / n
            spent = [ideal(layer, options.lanes, skip) / n] + ([sdram(layer, skip) / n] if options.lanes == LANES else [])
            about = f"{layer.name} | {layer.rows} | {columns} | {1 - layer.kept / layer.x.size:.1%} | {'yes' if skip else 'no'}"
            rates = " | ".join(f"{number:,.0f} | {words / number:.3f}" for number in spent)
            print(f"| {about} | {words:,.0f} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
