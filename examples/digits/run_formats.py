"""The digits CNN in eight assignments of formats on a device: every held-out digit, every output of every layer held against the golden
model.

    python examples/digits/run_formats.py [--device sim] [--config formats] [--images 450] [--models int4 mixed]

Prints a table and writes ``formats.json`` and ``formats.png``.
"""
from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
import json
from math import prod
from pathlib import Path
import sys
import time

import numpy as np

from mantissa.errors import MantissaError
from mantissa.formats import get_scalar
from mantissa.graph import Conv, Graph, MatMul, Reshape, Tensor, evaluate
from mantissa.onnx_import import load
from mantissa.sw_driver import Device

from data import split
from formats_report import picture, table
from report import write

__all__ = ["MODELS", "Row", "run"]

FOLDER = Path(__file__).parent / "formats"
MODELS = ("int8", "e4m3", "posit8_0", "mixed", "mxfp4", "int4", "e2m1", "posit4_1")
LEAST_ACCURACY = 0.95


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on a device.

    Parameters
    ----------
    weights
        Format of each layer's weights, by node.
    activations
        Format of each tensor, by name.
    accuracy
        Of the predictions on the images.
    weight_bits, activation_bits
        Mean over all weights, 8 bits for each block's scale included, and over all elements of all tensors.
    model_bytes, activation_bytes
        Weights, their scales and biases, and all tensors between layers: codes packed, 4 bytes for each scale and bias.
    cycles
        Clock cycles of one inference, nothing without a clock.
    layer_cycles
        Of one inference, by node.
    elements, mismatches
        Outputs of layers compared with the golden model's, and how many differ.
    """
    model: str
    weights: dict[str, str]
    activations: dict[str, str]
    images: int
    accuracy: float
    weight_bits: float
    activation_bits: float
    model_bytes: int
    activation_bytes: int
    cycles: int | None
    layer_cycles: dict[str, int]
    elements: int
    mismatches: int
    seconds: float


def _storage(graph: Graph) -> tuple[float, int]:
    """Mean bits of a weight, and bytes of weights, scales and biases."""
    bits = count = channels = 0
    for node in graph.nodes:
        if isinstance(node, (Conv, MatMul)):
            element = "e2m1" if node.weight_format == "mxfp4" else node.weight_format
            blocks = 0 if node.weight_exponents is None else node.weight_exponents.size
            bits += node.weight.size * get_scalar(element).width + 8 * blocks
            count += node.weight.size
            channels += node.bias.size
    return bits / count, -(-bits // 8) + 8 * channels


def _tensors(graph: Graph) -> list[Tensor]:
    """Those that have memory of their own: a reshaped one is the one it is made from."""
    return [graph.tensors[name] for name in (graph.input, *(node.output for node in graph.nodes if not isinstance(node, Reshape)))]


def _activations(graph: Graph) -> tuple[float, int]:
    """Mean bits of an activation, and bytes of all."""
    counts = [prod(tensor.shape) for tensor in _tensors(graph)]
    bits = sum(get_scalar(tensor.format).width * count for tensor, count in zip(_tensors(graph), counts, strict=True))
    return bits / sum(counts), -(-bits // 8)


def run(device: Device, name: str, images: np.ndarray, labels: np.ndarray) -> Row:
    """One model on images."""
    graph = load(FOLDER / f"{name}.onnx")
    network, start = device.load(graph, keep_all=True), time.monotonic()
    found = network.layers(images)
    seconds = time.monotonic() - start
    golden = evaluate(graph, graph.quantize(images))
    (bits, size), (activation_bits, activation_bytes) = _storage(graph), _activations(graph)
    return Row(model=name, weights={node.name: node.weight_format for node in graph.nodes if isinstance(node, (Conv, MatMul))},
               activations={tensor.name: tensor.format for tensor in _tensors(graph)}, images=len(images),
               accuracy=float(np.mean(graph.dequantize(found[graph.output]).argmax(1) == labels)), weight_bits=bits,
               activation_bits=activation_bits, model_bytes=size, activation_bytes=activation_bytes, cycles=device.cycles,
               layer_cycles={layer.name: layer.cycles for layer in device.counters},
               elements=sum(codes.size for codes in found.values()),
               mismatches=sum(int((codes != golden[tensor]).sum()) for tensor, codes in found.items()), seconds=seconds)


def _wrong(rows: list[Row]) -> list[str]:
    """What the run must reach and did not."""
    wrong = [f"Outputs of {row.model} must equal the golden model's, and {row.mismatches} do not" for row in rows if row.mismatches]
    wrong += [f"Accuracy of {row.model} must be at least {LEAST_ACCURACY}, not {row.accuracy:.4f}" for row in rows
              if row.images >= 100 and row.accuracy < LEAST_ACCURACY]
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="sim", help="golden, sim, sim+uart or a serial port (default: sim)")
    parser.add_argument("--config", default="formats", help="configuration of the device (default: formats)")
    parser.add_argument("--images", type=int, default=None, help="how many of the held-out images (default: all)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="MODEL", help="which (default: all)")
    parser.add_argument("--output", type=Path, default=Path("build/run"), help="folder to write to (default: build/run)")
    chosen = parser.parse_args(arguments)
    _, _, images, labels = split()
    try:
        with Device.open(chosen.device, config=chosen.config) as device:
            rows = []
            for name in chosen.models:
                print(f"{name} ...", file=sys.stderr, flush=True)
                rows.append(run(device, name, images[:chosen.images], labels[:chosen.images]))
            identity = f"{chosen.device} {device.identity.hex()}"
    except MantissaError as error:
        print(f"run_formats: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    table(rows, identity)
    chosen.output.mkdir(parents=True, exist_ok=True)
    write(chosen.output / "formats.json", json.dumps({"device": identity, "models": [asdict(row) for row in rows]}, indent=2) + "\n")
    picture(rows, chosen.output / "formats.png")
    print(f"wrote {chosen.output / 'formats.json'} and formats.png")
    wrong = _wrong(rows)
    for sentence in wrong:
        print(f"run_formats: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
