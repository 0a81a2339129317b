"""A network on a device."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..compiler import Compiled
from ..errors import MantissaError
from .progress import track

if TYPE_CHECKING:
    from .device import Device

__all__ = ["Codes", "Network"]

Codes = npt.NDArray[np.int8]


class Network:
    """A compiled network, to be called like a function. Made by :meth:`~.device.Device.load`.

    Parameters
    ----------
    device
        Where it runs.
    compiled
        What runs.
    """
    def __init__(self, device: Device, compiled: Compiled) -> None:
        self.device = device
        self.compiled = compiled

    def __call__(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Outputs, in the ONNX model's shape, of inputs in the ONNX model's shape, float32.

        Raises
        ------
        MantissaError
            If the inputs are of another kind or shape, or not numbers; nothing has been sent then.
        DeviceError
            If the device stops answering, or stops the program.
        """
        return self.compiled.graph.dequantize(self.codes(x))

    def codes(self, x: npt.ArrayLike) -> Codes:
        """Output codes, (samples, \\*shape), of inputs as in :meth:`__call__`."""
        output = self.compiled.graph.output
        return np.concatenate([found[output] for found in self._runs(x, keep=False)])

    def layers(self, x: npt.ArrayLike) -> dict[str, Codes]:
        """Output codes of every layer, (samples, \\*shape), by the name of the tensor.

        Raises
        ------
        MantissaError
            If the network was not loaded with ``keep_all``.
        """
        if not self.compiled.keep_all:
            raise MantissaError("Network must be loaded with keep_all=True for its layers to be read")
        runs = list(self._runs(x, keep=True))
        return {layer.tensor: np.concatenate([found[layer.tensor] for found in runs]) for layer in self.compiled.layers}

    def _runs(self, x: npt.ArrayLike, keep: bool) -> Iterator[dict[str, Codes]]:
        codes = self.compiled.graph.quantize(np.asarray(x))
        if not len(codes):
            raise MantissaError("Input must have at least one sample, not 0")
        batch = self.compiled.batch
        starts = range(0, len(codes), batch)
        for start in track(starts, len(starts), f"running on {self.device.name}"):
            yield self.device.run(self.compiled, codes[start:start + batch], keep)
