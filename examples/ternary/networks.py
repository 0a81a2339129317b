"""The ternary networks of this example, run with integers alone: numpy, nothing else.

A network is a file of arrays: for each layer ``name.bytes`` (radix-3, rows padded with zeros to whole bytes), ``name.gain`` (int16) and
``name.layer`` (columns, multiplier and shift of the constant, eps), and ``about``, a line of JSON.
"""
from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

import numpy as np

from mantissa import golden
from mantissa.bitlinear import BitLinear, Dyadic, gated_square
from mantissa.ternary import pack_radix3, unpack_radix3

__all__ = ["HERE", "Cnn", "Mlp", "Transformer", "load", "save"]

HERE = Path(__file__).parent

WIDTH = 16
"""Bits of everything between layers."""


def save(path: Path, layers: Mapping[str, BitLinear], about: Mapping[str, Any]) -> None:
    """Write a network."""
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about, sort_keys=True))}
    for name, layer in layers.items():
        columns = layer.trits.shape[1]
        arrays[f"{name}.bytes"] = pack_radix3(np.pad(layer.trits, [(0, 0), (0, -columns % 5)]))
        arrays[f"{name}.gain"] = layer.gain.astype(np.int16)
        arrays[f"{name}.layer"] = np.array([columns, layer.constant.multiplier, layer.constant.shift, layer.eps], np.int64)
    np.savez_compressed(path, **arrays)


def load(path: Path) -> tuple[dict[str, BitLinear], dict[str, Any]]:
    """Layers of a network by name, in order, and what is said about it."""
    with np.load(path) as file:
        layers = {}
        for name in [name.removesuffix(".layer") for name in file.files if name.endswith(".layer")]:
            columns, multiplier, shift, eps = (int(v) for v in file[f"{name}.layer"])
            layers[name] = BitLinear(unpack_radix3(file[f"{name}.bytes"])[:, :columns], file[f"{name}.gain"].astype(np.int64),
                                     Dyadic(np.asarray(multiplier), np.asarray(shift)), eps, WIDTH)
        return layers, json.loads(str(file["about"]))


class Mlp:
    """64 pixels of 0 to 16, a hidden layer, one with a residual, ten logits; relu where a layer ends and none is added."""

    def __init__(self, layers: Mapping[str, BitLinear]) -> None:
        self.layers = layers

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of every layer for images (n, 8, 8), by name."""
        first = golden.relu(self.layers["first"](images.reshape(len(images), -1)))
        second = self.layers["second"](first, first)
        return {"first": first, "second": second, "last": self.layers["last"](second)}


class Cnn:
    """Three 3x3 convolutions, the last with a residual, pooled after the second and third, and ten logits.

    An image is one token: one norm over all its values, one largest magnitude, one scale; so convolution is a product of its windows.
    """

    def __init__(self, layers: Mapping[str, BitLinear]) -> None:
        self.layers = layers

    def _convolved(self, name: str, x: np.ndarray, residual: np.ndarray | int = 0) -> np.ndarray:
        layer = self.layers[name]
        quantised = layer.quantise(x.reshape(len(x), -1))
        padded = np.pad(quantised.codes.reshape(x.shape), [(0, 0), (1, 1), (1, 1), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))         # (n, y, x, channels, 3, 3)
        sums = layer.product(windows.reshape(*x.shape[:3], -1))
        scale = layer.scale(quantised)
        return golden.relu(layer.finish(sums, Dyadic(*(part[:, None, None] for part in scale)), residual))

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of every layer for images (n, 8, 8), by name; (n, y, x, channels) but for the last."""
        first = self._convolved("first", images[..., None])
        second = golden.max_pool(self._convolved("second", first), 2, 2)
        third = golden.max_pool(self._convolved("third", second, second), 2, 2)
        last = self.layers["last"](third.reshape(len(third), -1))
        return {"first": first, "second": second, "third": third, "last": last}


class Transformer:
    """Linear layers of two blocks of BitNet b1.58's shape, for a first token: attention of one token to itself is its value."""

    def __init__(self, layers: Mapping[str, BitLinear]) -> None:
        self.layers = layers

    def __call__(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of every layer for tokens (n, K), by name, and of each block, ``block0`` and ``block1``."""
        found, x = {}, tokens
        for n in range(2):
            layers = {name.removeprefix(f"{n}."): layer for name, layer in self.layers.items() if name.startswith(f"{n}.")}
            found.update({f"{n}.{name}": layers[name](x) for name in ("q", "k", "v")})
            found[f"{n}.o"] = x = layers["o"](found[f"{n}.v"], x)
            found.update({f"{n}.{name}": layers[name](x) for name in ("gate", "up")})
            inside, _ = gated_square(found[f"{n}.gate"], found[f"{n}.up"], WIDTH)               # its exponent cancels in the norm
            found[f"{n}.down"] = x = layers["down"](inside, x)
            found[f"block{n}"] = x
        return found
