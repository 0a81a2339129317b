"""The example's networks as programs of a ternary device."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mantissa.bitlinear import BitLinear
from mantissa.sw_driver.ternary import TernaryDevice
from mantissa.ternary_network import Image, Network

__all__ = ["BUILDERS", "cnn", "mlp", "run", "transformer"]


def mlp(network: Network, layers: Mapping[str, BitLinear]) -> int:
    """As :class:`networks.Mlp`; where the 64 pixels go."""
    placed = {name: network.place(name, layer) for name, layer in layers.items()}
    x = network.vector(64)
    first = network.linear("first", placed["first"], x, relu=True)
    second = network.linear("second", placed["second"], first, residual=first)
    network.linear("last", placed["last"], second)
    return x


def cnn(network: Network, layers: Mapping[str, BitLinear]) -> int:
    """As :class:`networks.Cnn`; where the 64 pixels go."""
    placed = {}
    for name, layer in layers.items():
        if name != "last":                                  # columns of (channel, row, column) to (row, column, channel)
            trits = layer.trits.reshape(len(layer.trits), -1, 3, 3).transpose(0, 2, 3, 1).reshape(len(layer.trits), -1)
            layer = replace(layer, trits=trits)
        placed[name] = network.place(name, layer)
    image = Image(network.vector(64), 8, 8, 1)
    first = network.convolve("first", placed["first"], image, relu=True)
    second = network.max_pool("second", network.convolve("", placed["second"], first, relu=True))
    third = network.max_pool("third", network.convolve("", placed["third"], second, residual=second, relu=True))
    network.linear("last", placed["last"], third.at)
    return image.at


def transformer(network: Network, layers: Mapping[str, BitLinear]) -> int:
    """As :class:`networks.Transformer`; where the token goes."""
    placed = {name: network.place(name, layer) for name, layer in layers.items()}
    start = x = network.vector(placed["0.q"].columns)
    for n in range(2):
        for name in ("q", "k", "v"):
            value = network.linear(f"{n}.{name}", placed[f"{n}.{name}"], x)
        x = network.linear(f"{n}.o", placed[f"{n}.o"], value, residual=x)
        gate, up = (network.linear(f"{n}.{name}", placed[f"{n}.{name}"], x) for name in ("gate", "up"))
        inside = network.gate("", gate, up, placed[f"{n}.gate"].rows)
        x = network.linear(f"{n}.down", placed[f"{n}.down"], inside, residual=x)
    return start


BUILDERS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


def load(device: TernaryDevice, name: str, layers: Mapping[str, BitLinear]) -> tuple[Network, int]:
    """A network on a device; its program, and where its input goes."""
    network = Network(tables=device.tables, vector_words=device.vector_words, memory_words=device.memory_words,
                      scale_bits=device.scale_bits)
    at = BUILDERS[name](network, layers)
    for word, data in network.matrices.items():
        device.store(word, data)
    for word, values in network.constants.items():
        device.write(word, values)
    return network, at


def run(device: TernaryDevice, network: Network, at: int, x: np.ndarray) -> tuple[dict[str, np.ndarray], list[dict[str, int]]]:
    """Outputs of one input by name, and what was counted for each instruction."""
    device.write(at, x)
    counted = device.run(network.program)
    return {name: device.read(first, words) for name, (first, words) in network.outputs.items()}, counted
