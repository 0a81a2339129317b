"""Train, export and quantise the two networks of this example: ``python examples/digits/train.py``.

Needs ``mantissa[train]``. Writes ``digits_cnn.onnx`` and ``digits_mlp.onnx`` (int8, QDQ) beside this file and prints
the held-out accuracy of each, as float and as int8.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
import torch
from torch import nn

from data import split

__all__ = ["Cnn", "Mlp", "SEED", "fit", "main", "shift"]

SEED = 7
EPOCHS = 60
OPSET = 17
IR = 8
HERE = Path(__file__).parent


class Cnn(nn.Module):
    """Four convolutions, one residual add, two poolings."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.third = nn.Conv2d(16, 16, 3, padding=1)
        self.fourth = nn.Conv2d(16, 32, 3, padding=1)
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.third(torch.relu(self.second(x))))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.fourth(x))
        x = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.last(torch.flatten(x, 1))


class Mlp(nn.Module):
    """Three linear layers on the 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class _Reader(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = iter(np.array_split(images, 8))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def shift(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to one pixel, chosen at random."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    y, x = torch.randint(0, 3, (2, len(images)))
    return torch.stack([image[:, r:r + 8, c:c + 8] for image, r, c in zip(padded, y.tolist(), x.tolist(), strict=True)])


def fit(model: nn.Module, images: np.ndarray, labels: np.ndarray, flat: bool) -> None:
    """Train on images and labels; vectors of pixels if ``flat``."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for pick in torch.randperm(len(x)).split(64):
            batch = x[pick].flatten(1) if flat else shift(x[pick])
            loss = nn.functional.cross_entropy(model(batch), y[pick], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()


def _export(model: nn.Module, example: torch.Tensor, path: Path) -> None:
    torch.onnx.export(model, (example,), str(path), dynamo=False, opset_version=OPSET, input_names=["image"], output_names=["logits"],
                      dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}})


def _quantise(source: Path, images: np.ndarray, target: Path) -> None:
    ready = source.with_suffix(".ready.onnx")
    quant_pre_process(str(source), str(ready))
    quantize_static(str(ready), str(target), _Reader(images), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
    model = onnx.load(target)
    model.ir_version = IR
    del model.opset_import[:]                             # the quantiser declares domains that no node uses
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.save(model, target)


def _accuracy(path: Path, images: np.ndarray, labels: np.ndarray) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return float((session.run(None, {"image": images})[0].argmax(axis=1) == labels).mean())


def main() -> None:
    """Train, export, quantise and report both."""
    torch.set_num_threads(1)
    train, train_labels, test, test_labels = split()
    for name, model, flat in (("digits_cnn", Cnn, False), ("digits_mlp", Mlp, True)):
        torch.manual_seed(SEED)
        net = model()
        fit(net, train, train_labels, flat)
        inputs = (train.reshape(len(train), -1), test.reshape(len(test), -1)) if flat else (train, test)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "float.onnx"
            _export(net.eval(), torch.from_numpy(inputs[1][:1]), source)
            _quantise(source, inputs[0], HERE / f"{name}.onnx")
            print(f"{name}: seed {SEED}, float {_accuracy(source, inputs[1], test_labels):.4f}, "
                  f"int8 {_accuracy(HERE / f'{name}.onnx', inputs[1], test_labels):.4f} of {len(test)} held-out images")


if __name__ == "__main__":
    main()
