"""How busy the array is, by the device's own counters: counts of cycles, the same on every machine."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mantissa import onnx_models
from mantissa.sw_driver import Device

DIGITS = Path(__file__).parent.parent / "examples" / "digits"


@pytest.fixture(scope="module")
def device():
    with Device.open("sim") as device:
        yield device


def test_gemm(device: Device, tmp_path: Path) -> None:
    """256 x 256 x 256 int8: at least 0.95 of the array's MACs are used, and the result is the golden model's."""
    path = tmp_path / "gemm.onnx"
    onnx.save(onnx_models.gemm(), path)
    x = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    y = device.load(path)(x)
    with Device.open("golden") as golden:
        np.testing.assert_array_equal(y, golden.load(path)(x))
    (layer,) = device.counters
    assert layer.macs == 256 ** 3
    assert layer.utilization >= 0.95
    assert layer.cycles == layer.macs_possible // 64


def test_convolution(device: Device) -> None:
    """The CNN's largest convolution: at least 0.85, and the counters say where the rest goes."""
    device.load(DIGITS / "digits_cnn.onnx")(np.zeros((1, 1, 8, 8), np.float32))
    layer = max((layer for layer in device.counters if layer.op == "Conv"), key=lambda layer: layer.macs)
    assert layer.utilization >= 0.85
    rest = layer.cycles - layer.steps - layer.wait_weights - layer.wait_output
    assert 0 < rest < 60, "fetch of the instruction, and the last word's way to the memory"
