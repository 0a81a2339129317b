"""A quantised CNN on a device: every held-out digit, every output of every layer held against the golden model and onnxruntime.

    python examples/digits/run.py [--device sim] [--config sim] [--images 450]

Prints a table and writes ``run.json``, ``layers.json`` and ``run.png``.
"""
from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import sys
import time

import numpy as np

from mantissa.errors import MantissaError
from mantissa.onnx_compare import Comparison, compare, reference
from mantissa.sw_driver import Device, LayerCounters
from mantissa.sw_driver.counters import total

from data import split
from report import picture, table, write

__all__ = ["Layer", "Result", "run"]

HERE = Path(__file__).parent
LEAST_ACCURACY = 0.97


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer's outputs over all images.

    Parameters
    ----------
    elements
        Compared.
    mismatches
        Device against golden model.
    difference
        Elements by absolute difference from onnxruntime's, in LSB, whole network each.
    ties, unexplained
        Differences from onnxruntime on its own inputs of the layer: the exact value is halfway between codes, or is not.
    counters
        Of one inference, nothing without a clock.
    """
    name: str
    op: str
    elements: int
    mismatches: int
    difference: dict[int, int]
    ties: int
    unexplained: int
    counters: LayerCounters | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What came out of :func:`run`."""
    device: str
    identity: str
    images: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    layers: tuple[Layer, ...]
    cycles: int | None
    simulated_per_second: float | None
    seconds: float
    onnxruntime_accuracy: float

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.predictions == self.labels))

    @property
    def mismatches(self) -> int:
        return sum(layer.mismatches for layer in self.layers)

    @property
    def counters(self) -> list[LayerCounters]:
        return [layer.counters for layer in self.layers if layer.counters is not None]

    def record(self) -> dict[str, object]:
        """The keys of ``run.json``."""
        difference = sum((Counter(layer.difference) for layer in self.layers), Counter())
        busy = self.counters
        return {
            "accuracy": self.accuracy,
            "mismatches_golden": self.mismatches,
            "elements": sum(layer.elements for layer in self.layers),
            "diff_onnxruntime": {str(size): difference[size] for size in sorted(difference)},
            "cycles_per_inference": self.cycles,
            "utilization": {"layers": {layer.name: layer.utilization for layer in busy if layer.macs},
                            "total": total(busy).utilization if busy else None},
            "sim_cycles_per_second": self.simulated_per_second,
            "device": f"{self.device} {self.identity}",
        }


def _layers(device: Device, graph, layers, found: dict[str, np.ndarray], golden: dict[str, np.ndarray],
            theirs: dict[str, np.ndarray]) -> tuple[Layer, ...]:
    counters = {counter.name: counter for counter in device.counters}
    compared = compare(graph, theirs)
    rows = []
    for layer in layers:
        ours = found[layer.tensor].astype(int)
        sizes, counts = np.unique(np.abs(ours - theirs[layer.tensor].astype(int)), return_counts=True)
        same = compared.get(layer.tensor, Comparison(histogram={}, ties=0, unexplained=0))
        rows.append(Layer(name=layer.name, op=layer.op, elements=ours.size, mismatches=int((ours != golden[layer.tensor]).sum()),
                          difference=dict(zip(sizes.tolist(), counts.tolist(), strict=True)), ties=same.ties,
                          unexplained=same.unexplained, counters=counters.get(layer.name)))
    return tuple(rows)


def run(which: str, config: str | None, count: int | None, model: Path = HERE / "digits_cnn.onnx") -> Result:
    """Run the held-out images, or the first ``count`` of them, on a device."""
    _, _, images, labels = split()
    images, labels = images[:count], labels[:count]
    with Device.open(which, config=config) as device, Device.open("golden", config=config) as judge:
        network = device.load(model, keep_all=True, check=True)
        graph = network.compiled.graph
        before, start = device.simulated, time.monotonic()
        found = network.layers(images)
        seconds = time.monotonic() - start
        after = device.simulated
        golden = judge.load(model, keep_all=True).layers(images)
        theirs = reference(model, graph, images)
        layers = _layers(device, graph, network.compiled.layers, found, golden, theirs)
        rate = None if before is None or after is None else (after - before) / seconds
        logits = graph.dequantize(found[graph.output])
        judged = graph.dequantize(theirs[graph.output])
        return Result(device=which, identity=device.identity.hex(), images=images[:, 0], labels=labels,
                      predictions=logits.reshape(len(labels), -1).argmax(1), layers=layers, cycles=device.cycles,
                      simulated_per_second=rate, seconds=seconds,
                      onnxruntime_accuracy=float(np.mean(judged.reshape(len(labels), -1).argmax(1) == labels)))


def _wrong(result: Result) -> list[str]:
    """What the run must reach and did not."""
    wrong = []
    if result.mismatches:
        wrong.append(f"Outputs must equal the golden model's, and {result.mismatches} do not")
    if any(layer.unexplained for layer in result.layers):
        wrong.append(f"Differences from onnxruntime must be ties, and {sum(layer.unexplained for layer in result.layers)} are not")
    if len(result.labels) >= 100 and result.accuracy < LEAST_ACCURACY:
        wrong.append(f"Accuracy must be at least {LEAST_ACCURACY}, not {result.accuracy:.4f}")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="sim", help="golden, sim, sim+uart or a serial port (default: sim)")
    parser.add_argument("--config", default=None, help="configuration of the device (default: sim, or whatever answers on a port)")
    parser.add_argument("--images", type=int, default=None, help="how many of the held-out images (default: all)")
    parser.add_argument("--output", type=Path, default=Path("build/run"), help="folder to write to (default: build/run)")
    chosen = parser.parse_args(arguments)
    try:
        result = run(chosen.device, chosen.config, chosen.images)
    except MantissaError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    table(result)
    chosen.output.mkdir(parents=True, exist_ok=True)
    write(chosen.output / "run.json", json.dumps(result.record(), indent=2) + "\n")
    write(chosen.output / "layers.json", json.dumps([asdict(layer) for layer in result.layers], indent=2) + "\n")
    picture(result, chosen.output / "run.png")
    print(f"wrote {chosen.output / 'run.json'}, layers.json and run.png")
    wrong = _wrong(result)
    for sentence in wrong:
        print(f"run: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
