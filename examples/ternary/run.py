"""Run the ternary networks on a ternary device and hold every layer's outputs against the golden model.

    python examples/ternary/run.py [--device sim] [--config ternary-sdram] [--images N]

Writes ternary.json and ternary.png.
"""
from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import sys
import time

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "digits")]

from data import split  # noqa: E402
from device import load as place, run as run_one  # noqa: E402
from networks import Cnn, Mlp, Transformer, load  # noqa: E402

from mantissa.errors import MantissaError  # noqa: E402
from mantissa.sw_driver.progress import track  # noqa: E402
from mantissa.sw_driver.ternary import TernaryDevice  # noqa: E402
from mantissa.ternary_program import LOG_FIELDS  # noqa: E402

__all__ = ["NETWORKS", "Row", "run"]

NETWORKS = {"mlp": Mlp, "cnn": Cnn, "transformer": Transformer}
LEAST_ACCURACY = 0.95
TOKENS = 16
"""Tokens of the transformer, whose weights are random: nothing to be accurate about."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network on a device.

    Parameters
    ----------
    inputs
        Images or tokens.
    accuracy
        Of the predictions, nothing for the transformer.
    weights
        Trits.
    memory_bytes
        Of the external memory that they take.
    instructions
        Of one inference.
    cycles
        Of each counter of the device's log, of one inference; nothing without a clock.
    elements, mismatches
        Outputs of layers compared with the golden model's, and how many differ.
    """
    network: str
    inputs: int
    accuracy: float | None
    weights: int
    memory_bytes: int
    instructions: int
    cycles: dict[str, int] | None
    elements: int
    mismatches: int
    seconds: float


def run(device: TernaryDevice, name: str, inputs: np.ndarray, labels: np.ndarray | None) -> Row:
    """One network on inputs."""
    layers = {layer: value.with_bits(device.scale_bits) for layer, value in load(HERE / f"{name}.npz")[0].items()}
    golden = NETWORKS[name](layers)(inputs)
    network, at = place(device, name, layers)
    elements = mismatches = right = 0
    counted: list[dict[str, int]] = []
    start = time.monotonic()
    for n, one in enumerate(track(inputs, len(inputs), name)):
        found, counted = run_one(device, network, at, one.reshape(-1))
        for output, values in found.items():
            elements += values.size
            mismatches += int((values != golden[output][n].reshape(-1)).sum())
        right += labels is not None and int(found["last"].argmax()) == labels[n]
    return Row(network=name, inputs=len(inputs), accuracy=None if labels is None else right / len(inputs),
               weights=sum(layer.trits.size for layer in layers.values()),
               memory_bytes=sum(data.size for data in network.matrices.values()), instructions=len(network.program),
               cycles={field: sum(entry[field] for entry in counted) for field in LOG_FIELDS} if counted else None,
               elements=elements, mismatches=mismatches, seconds=time.monotonic() - start)


def _table(rows: list[Row], device: str) -> None:
    shown = Table(title=f"Ternary networks on {device}", title_justify="left")
    for name in ("network", "inputs", "accuracy", "weights", "memory\nbytes", "instruc-\ntions", "cycles", "outputs", "≠\ngolden"):
        shown.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for row in rows:
        shown.add_row(row.network, str(row.inputs), "-" if row.accuracy is None else f"{row.accuracy:.4f}", f"{row.weights:,}",
                      f"{row.memory_bytes:,}", str(row.instructions), "-" if row.cycles is None else f"{row.cycles['cycles']:,}",
                      f"{row.elements:,}", str(row.mismatches))
    Console().print(shown)


def _picture(rows: list[Row], path: Path) -> None:
    """Where the cycles of an inference went."""
    figure, axis = pyplot.subplots(figsize=(9, 3), layout="constrained")
    counted = {row.network: row.cycles for row in rows if row.cycles}
    left = np.zeros(len(counted))
    shares = {field: np.array([cycles[field] / cycles["cycles"] for cycles in counted.values()]) for field in LOG_FIELDS[1:]}
    shares["rest: fetch, reading, writing, scaling"] = np.maximum(0, 1 - sum(shares.values()))
    for field, share in shares.items():
        axis.barh(list(counted), share, left=left, label=field)
        left += share
    axis.set(xlabel="share of an inference's cycles", xlim=(0, 1))
    axis.invert_yaxis()
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="sim", help="golden, sim, sim+uart or a serial port (default: sim)")
    parser.add_argument("--config", default="ternary-sdram", help="configuration of the device (default: ternary-sdram)")
    parser.add_argument("--images", type=int, default=None, help="how many of the held-out images (default: all)")
    parser.add_argument("--output", type=Path, default=Path("build/run"), help="folder to write to (default: build/run)")
    chosen = parser.parse_args(arguments)
    _, _, images, labels = split()
    pixels, labels = np.rint(images[:chosen.images, 0] * 16).astype(np.int64), labels[:chosen.images]
    tokens = np.random.default_rng(0).integers(-2000, 2000, (TOKENS, 128))
    try:
        with TernaryDevice.open(chosen.device, config=chosen.config) as device:
            rows = [run(device, name, tokens if name == "transformer" else pixels, None if name == "transformer" else labels)
                    for name in NETWORKS]
            _table(rows, device.name)
    except MantissaError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "ternary.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    if any(row.cycles for row in rows):
        _picture(rows, chosen.output / "ternary.png")
    print(f"wrote {chosen.output / 'ternary.json'}" + (" and ternary.png" if any(row.cycles for row in rows) else ""))
    wrong = [f"Outputs of {row.network} must equal the golden model's, and {row.mismatches} do not" for row in rows if row.mismatches]
    wrong += [f"Accuracy of {row.network} must be at least {LEAST_ACCURACY}, not {row.accuracy:.4f}" for row in rows
              if row.accuracy is not None and row.inputs >= 100 and row.accuracy < LEAST_ACCURACY]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
