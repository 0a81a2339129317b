"""Train the ternary networks of this example: ``python examples/ternary/train.py``.

Needs ``mantissa[train]``. BitNet's quantisation-aware training: weights are absmean trits and activations absmax int8 in the forward pass,
gradients go straight through. Writes ``mlp.npz``, ``cnn.npz`` and ``transformer.npz`` (random weights) beside this file; accuracy is that
of the integers.
"""
from __future__ import annotations

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mantissa.bitlinear import BitLinear
from mantissa.llm_weights import absmean_scale, absmean_trits
from networks import HERE, Cnn, Mlp, Transformer, save

sys.path.insert(0, str(HERE.parent / "digits"))
from data import split  # noqa: E402

__all__ = ["main"]

SEED = 5
EPOCHS = 60
RATE = 4e-3
EPS = 1e-5
GAIN_STEP, STEP = 2.0 ** -10, 2.0 ** -9
"""Of gains, and of everything between layers."""
PIXEL = 1 / 16
HIDDEN, WIDE = 128, 256
"""Of the transformer."""


class Linear(nn.Module):
    """BitLinear of a token of ``size`` values; with ``channels`` a 3x3 convolution of an image of ``size`` values."""

    def __init__(self, size: int, outputs: int, channels: int = 0) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.randn(outputs, 9 * channels or size) / (9 * channels or size) ** 0.5)
        self.gain = nn.Parameter(torch.ones(channels or size))
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        gain = self.gain[:, None, None] if self.channels else self.gain
        h = (x * torch.rsqrt(flat.square().mean(1) + EPS).view(-1, *[1] * (x.ndim - 1))) * gain
        s = (127 / h.flatten(1).abs().amax(1).clamp(min=1e-5)).view(-1, *[1] * (x.ndim - 1))
        h = h + ((h * s).round() / s - h).detach()
        m = self.weight.abs().mean().clamp(min=1e-5)
        w = self.weight + ((self.weight / m).round().clamp(-1, 1) * m - self.weight).detach()
        return functional.conv2d(h, w.view(len(w), self.channels, 3, 3), padding=1) if self.channels else h @ w.T

    def integers(self, x_step: float, image: int = 0) -> BitLinear:
        """The layer for integers in steps of ``x_step``; of an image of ``image`` pixels, whose channels are its last axis."""
        weight = self.weight.detach().numpy()
        gain = np.rint(self.gain.detach().numpy() / GAIN_STEP).astype(np.int64)
        m = absmean_scale("a layer", iter([weight]), weight.size)
        return BitLinear.of(absmean_trits(weight, m), float(m), np.tile(gain, image) if image else gain, GAIN_STEP, x_step, STEP, eps=EPS)


class FloatMlp(nn.Module):
    """:class:`networks.Mlp` in floats."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = Linear(64, 128), Linear(128, 128), Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(x.flatten(1)))
        return self.last(x + self.second(x))

    def integers(self) -> dict[str, BitLinear]:
        """Its layers."""
        return {"first": self.first.integers(PIXEL), "second": self.second.integers(STEP), "last": self.last.integers(STEP)}


class FloatCnn(nn.Module):
    """:class:`networks.Cnn` in floats, channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = Linear(64, 16, 1), Linear(1024, 32, 16), Linear(512, 32, 32)
        self.last = Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.second(functional.relu(self.first(x)))), 2)
        x = functional.max_pool2d(functional.relu(x + self.third(x)), 2)
        return self.last(x.permute(0, 2, 3, 1).flatten(1))

    def integers(self) -> dict[str, BitLinear]:
        """Its layers."""
        return {"first": self.first.integers(PIXEL, 64), "second": self.second.integers(STEP, 64),
                "third": self.third.integers(STEP, 16), "last": self.last.integers(STEP)}


def fit(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> None:
    """Cross-entropy by Adam, in batches of 64 images moved by up to a pixel."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    steps = EPOCHS * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(64):
            right, down = (int(v) for v in torch.randint(0, 3, (2,)))
            moved = functional.pad(x[batch], (1, 1, 1, 1))[..., down:down + 8, right:right + 8]
            optimizer.zero_grad()
            functional.cross_entropy(model(moved), y[batch], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()


def transformer() -> dict[str, BitLinear]:
    """Random layers of two blocks."""
    rng = np.random.default_rng(SEED)
    shapes = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "o": (HIDDEN, HIDDEN),
              "gate": (WIDE, HIDDEN), "up": (WIDE, HIDDEN), "down": (HIDDEN, WIDE)}
    layers = {}
    for n in range(2):
        for name, (rows, columns) in shapes.items():
            trits = rng.choice([-1, 0, 1], (rows, columns), p=[0.3, 0.4, 0.3])
            gain = np.rint(rng.uniform(0.5, 1.5, columns) / GAIN_STEP).astype(np.int64)
            layers[f"{n}.{name}"] = BitLinear.of(trits, columns ** -0.5, gain, GAIN_STEP, STEP, STEP, eps=0 if name == "down" else EPS)
    return layers


def main() -> None:
    """Train, save, and print the accuracy of each on the held-out images."""
    torch.set_num_threads(1)
    train_x, train_y, test_x, test_y = split()
    pixels = np.rint(test_x[:, 0] * 16).astype(np.int64)
    for name, make, network in (("mlp", FloatMlp, Mlp), ("cnn", FloatCnn, Cnn)):
        torch.manual_seed(SEED)
        model = make()
        fit(model, train_x, train_y)
        with torch.no_grad():
            floats = float((model(torch.from_numpy(test_x)).argmax(1).numpy() == test_y).mean())
        layers = model.integers()
        accuracy = float((network(layers)(pixels)["last"].argmax(1) == test_y).mean())
        save(HERE / f"{name}.npz", layers, {"seed": SEED, "images": len(test_y), "accuracy": accuracy, "float accuracy": floats})
        print(f"{name}: {accuracy:.4f} of {len(test_y)} held-out images, {floats:.4f} in floats")
    save(HERE / "transformer.npz", transformer(), {"seed": SEED, "weights": "random"})
    layers, tokens = transformer(), np.random.default_rng(SEED).integers(-2000, 2000, (4, HIDDEN))
    print("transformer: largest output", max(int(np.abs(v).max()) for v in Transformer(layers)(tokens).values()))


if __name__ == "__main__":
    main()
