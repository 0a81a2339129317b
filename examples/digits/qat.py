"""The digits CNN with every tensor and weight rounded to a format of the accelerator, for calibration and fine-tuning."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from mantissa.blocks import encode_blocks
from mantissa.codes import decode, encode, limits
from mantissa.fixed import BLOCK, EXPONENT_MOST
from mantissa.formats import get_block, get_scalar

from train import Cnn, shift

__all__ = ["ACTIVATIONS", "LAYERS", "Assignment", "QuantisedCnn", "cross_entropy", "fine_tune", "weight_scales"]

LAYERS: tuple[str, ...] = ("first", "second", "third", "fourth", "last")
ACTIVATIONS: tuple[str, ...] = ("image", "a", "b", "c", "d", "e", "f", "logits")
"""Tensors in order: image, first's, second's, third's output, their sum (pooled, it keeps its codes), fourth's output, its mean, last's."""

EPOCHS = 40
RATE = 4e-3
CALIBRATION = 128
"""Training images from which ranges are chosen."""

FACTORS = 2.0 ** (np.arange(-16, 3) / 2)
"""What a range is of the largest magnitude's, to choose from: numbers near 1 are a posit's finest, and clipping may pay."""

Assignment = Mapping[str, str]
"""Format of each layer's weights and of each activation, by name."""


def rounded(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers of a format nearest to values."""
    fmt = get_scalar(name)
    return decode(fmt, encode(fmt, values)).astype(np.float32)


def _best_factor(name: str, values: np.ndarray, amax: np.ndarray) -> float:
    """Factor of :data:`FACTORS` with the least squared error, scales being ``amax / (factor * largest number)``."""
    top = limits(get_scalar(name))[1]

    def error(factor: float) -> float:
        scale = (amax / (factor * top)).astype(np.float32)
        return float(np.square(rounded(name, values / scale) * scale - values).sum())
    return float(min(FACTORS, key=error))


def weight_scales(name: str, weight: np.ndarray, factor: float = 1) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale of each output channel (axis 0), and of mxfp4 the exponents of its blocks of input channels (axis 1).

    By the channel's largest magnitude; in mxfp4 powers of two, by OCP MX's rule for each block's.
    """
    flat = weight.reshape(len(weight), -1)
    if name != "mxfp4":
        return (np.abs(flat).max(1) / (factor * limits(get_scalar(name))[1])).astype(np.float32), None
    rest, block = weight.shape[2:], get_block("mxfp4")
    padded = np.pad(weight, [(0, -size % BLOCK) if axis == 1 else (0, 0) for axis, size in enumerate(weight.shape)])
    exponents = encode_blocks(block, padded, axis=1).scales - block.scale.bias
    empty = np.abs(padded).reshape(len(weight), -1, BLOCK, *rest).max(2) == 0
    least = np.where(empty, block.scale.bias, exponents).reshape(len(weight), -1).min(1)
    exponents = np.clip(exponents - least.reshape(-1, *[1] * (weight.ndim - 1)), 0, EXPONENT_MOST)
    return np.ldexp(np.float32(1), least).astype(np.float32), exponents.astype(np.int64)


class _Straight(torch.autograd.Function):
    """Rounding whose gradient is 1 within the format's range, 0 beyond."""

    @staticmethod
    def forward(context, x: torch.Tensor, scale: torch.Tensor, name: str) -> torch.Tensor:
        quotient = (x / scale).numpy()
        top = limits(get_scalar(name))[1]
        context.save_for_backward(torch.from_numpy(np.abs(quotient) <= top))
        return torch.from_numpy(rounded(name, quotient)) * scale

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        inside, = context.saved_tensors
        return gradient * inside, None, None


class QuantisedCnn(nn.Module):
    """A float :class:`Cnn` computed with an assignment's formats; :meth:`calibrate` before use.

    ``scales`` holds the scale of each activation, ``factors`` the choice of :data:`FACTORS` for each layer's weights.
    """
    def __init__(self, net: Cnn, assignment: Assignment) -> None:
        super().__init__()
        self.net, self.assignment = net, assignment
        self.scales: dict[str, float] = {}
        self.factors: dict[str, float] = {}

    def calibrate(self, images: torch.Tensor) -> None:
        """Choose every range by least squared error, weights first, then activations in order, each as those before it are rounded."""
        self.scales.clear()
        for layer in LAYERS:
            weight, name = getattr(self.net, layer).weight.detach().numpy(), self.assignment[layer]
            self.factors[layer] = 1 if name == "mxfp4" else _best_factor(
                name, weight, np.abs(weight).reshape(len(weight), -1).max(1).reshape(-1, *[1] * (weight.ndim - 1)))
        with torch.no_grad():
            self(images[:CALIBRATION])

    def _weight(self, layer: str) -> torch.Tensor:
        weight, name = getattr(self.net, layer).weight, self.assignment[layer]
        scale, exponents = weight_scales(name, weight.detach().numpy(), self.factors[layer])
        step = scale.reshape(-1, *[1] * (weight.ndim - 1))
        if exponents is not None:
            step = np.ldexp(step, np.repeat(exponents, BLOCK, axis=1)[:, :weight.shape[1]])
        return _Straight.apply(weight, torch.from_numpy(step), "e2m1" if name == "mxfp4" else name)

    def _act(self, tensor: str, x: torch.Tensor) -> torch.Tensor:
        name = self.assignment[tensor]
        if tensor not in self.scales:
            values = x.detach().numpy()
            amax = np.abs(values).max()
            self.scales[tensor] = float(np.float32(amax / (_best_factor(name, values, amax) * limits(get_scalar(name))[1])))
        return _Straight.apply(x, torch.tensor(self.scales[tensor], dtype=torch.float32), name)

    def _conv(self, layer: str, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self._weight(layer), getattr(self.net, layer).bias, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self._act("a", torch.relu(self._conv("first", self._act("image", x))))
        b = self._act("b", torch.relu(self._conv("second", a)))
        c = self._act("c", self._conv("third", b))
        d = nn.functional.max_pool2d(self._act("d", torch.relu(a + c)), 2)
        e = self._act("e", torch.relu(self._conv("fourth", d)))
        f = self._act("f", nn.functional.adaptive_avg_pool2d(e, 1).flatten(1))
        return self._act("logits", nn.functional.linear(f, self._weight("last"), self.net.last.bias))


def cross_entropy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over images."""
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(images), labels))


def fine_tune(model: QuantisedCnn, images: np.ndarray, labels: np.ndarray, epochs: int = EPOCHS) -> None:
    """Train with rounding in the forward pass; ranges are chosen again half-way."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.net.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        if epoch == epochs // 2:
            model.calibrate(x)
        for pick in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(shift(x[pick])), y[pick], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
