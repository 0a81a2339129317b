"""Small quantised ONNX models made from random numbers, for tests and benchmarks."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Builder", "Value", "gemm", "random_cnn", "random_mlp"]

OPSET = 17
IR = 8


@dataclass(frozen=True, kw_only=True)
class Value:
    """Dequantized tensor of a model being built; ``shape`` is ONNX's, without the batch."""
    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(kw_only=True)
class Builder:
    """Adds quantised layers with random weights one after the other; output scales suit what they are likely to hold."""
    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    batch: list[int | str] = field(default_factory=list)

    def constant(self, array: np.ndarray) -> str:
        """Name of a new initializer."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node: name of its output."""
        n = len(self.nodes)
        self.nodes.append(helper.make_node(op, inputs, [f"t{n}"], f"{op.lower()}{n}", **attributes))
        return f"t{n}"

    def requantized(self, name: str, shape: tuple[int, ...], scale: float, zero_point: int | None = None) -> Value:
        """Quantize and dequantize a float tensor."""
        zero = int(self.rng.integers(-128, 128)) if zero_point is None else zero_point
        pair = [self.constant(np.array(scale, np.float32)), self.constant(np.array(zero, np.int8))]
        back = self.node("DequantizeLinear", [self.node("QuantizeLinear", [name, *pair]), *pair])
        return Value(name=back, shape=shape, scale=float(np.float32(scale)), zero_point=zero)

    def input(self, *shape: int, batch: int | str | None = "N") -> Value:
        """The model's input; ``batch`` None means that it has no batch dimension."""
        self.batch = [] if batch is None else [batch]
        self.inputs.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, [*self.batch, *shape]))
        return self.requantized("input", shape, 0.02, int(self.rng.integers(-20, 20)))

    def weights(self, shape: tuple[int, ...], axis: int, x: Value, bias: bool) -> tuple[list[str], float]:
        """Weights with a scale per index of ``axis``, and bias: names, and the mean scale."""
        outs = shape[axis]
        scale = self.rng.uniform(0.5, 1.5, outs).astype(np.float32) * np.float32(0.01)
        codes = self.constant(self.rng.integers(-127, 128, shape).astype(np.int8))
        names = [self.node("DequantizeLinear", [codes, self.constant(scale), self.constant(np.zeros(outs, np.int8))], axis=axis)]
        if bias:
            codes = self.constant(self.rng.integers(-5000, 5000, outs).astype(np.int32))
            scales = self.constant(np.float32(x.scale) * scale)
            names.append(self.node("DequantizeLinear", [codes, scales, self.constant(np.zeros(outs, np.int32))], axis=0))
        return names, float(scale.mean())

    def finish(self, name: str, shape: tuple[int, ...], scale: float, relu: bool) -> Value:
        """Optional ReLU, then quantization."""
        return self.requantized(self.node("Relu", [name]) if relu else name, shape, scale)

    def conv(self, x: Value, outs: int, kernel: tuple[int, int], *, strides: tuple[int, int] = (1, 1),
             pads: tuple[int, int, int, int] = (0, 0, 0, 0), dilations: tuple[int, int] = (1, 1), relu: bool = False,
             bias: bool = True) -> Value:
        """Convolution."""
        deep, rows, columns = x.shape
        names, scale = self.weights((outs, deep, *kernel), 0, x, bias)
        out = self.node("Conv", [x.name, *names], kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations)
        size = [(n + pads[k] + pads[k + 2] - (kernel[k] - 1) * dilations[k] - 1) // strides[k] + 1 for k, n in enumerate((rows, columns))]
        likely = x.scale * scale * 74 * 74 * np.sqrt(deep * kernel[0] * kernel[1]) / 40
        return self.finish(out, (outs, *size), likely, relu)

    def gemm(self, x: Value, outs: int, *, relu: bool = False, bias: bool = True, transposed: bool = True) -> Value:
        """Gemm."""
        shape, axis = ((outs, x.shape[-1]), 0) if transposed else ((x.shape[-1], outs), 1)
        names, scale = self.weights(shape, axis, x, bias)
        out = self.node("Gemm", [x.name, *names], transB=int(transposed))
        return self.finish(out, (*x.shape[:-1], outs), x.scale * scale * 74 * 74 * np.sqrt(x.shape[-1]) / 40, relu)

    def matmul(self, x: Value, outs: int) -> Value:
        """MatMul without bias."""
        names, scale = self.weights((x.shape[-1], outs), 1, x, False)
        out = self.node("MatMul", [x.name, *names])
        return self.finish(out, (*x.shape[:-1], outs), x.scale * scale * 74 * 74 * np.sqrt(x.shape[-1]) / 40, False)

    def add(self, x: Value, y: Value, *, relu: bool = False) -> Value:
        """Sum of two tensors."""
        return self.finish(self.node("Add", [x.name, y.name]), x.shape, max(x.scale, y.scale) * 1.3, relu)

    def relu(self, x: Value) -> Value:
        """ReLU between quantized tensors of one scale."""
        return self.requantized(self.node("Relu", [x.name]), x.shape, x.scale, x.zero_point)

    def pool(self, op: str, x: Value, kernel: tuple[int, int], *, strides: tuple[int, int] = (1, 1),
             pads: tuple[int, int, int, int] = (0, 0, 0, 0), same: bool = False) -> Value:
        """MaxPool or AveragePool; ``same``: the output's scale is the input's."""
        more = {"count_include_pad": 1} if op == "AveragePool" else {}
        out = self.node(op, [x.name], kernel_shape=kernel, strides=strides, pads=pads, **more)
        channels, *size = x.shape
        size = [(n + pads[k] + pads[k + 2] - kernel[k]) // strides[k] + 1 for k, n in enumerate(size)]
        return self.requantized(out, (channels, *size), x.scale * (1 if same else 0.8), x.zero_point if same else None)

    def global_average(self, x: Value) -> Value:
        """GlobalAveragePool."""
        return self.requantized(self.node("GlobalAveragePool", [x.name]), (x.shape[0], 1, 1), x.scale * 0.6)

    def flatten(self, x: Value) -> Value:
        """Flatten; scale and zero point stay."""
        return self.requantized(self.node("Flatten", [x.name]), (int(np.prod(x.shape)),), x.scale, x.zero_point)

    def model(self, out: Value) -> onnx.ModelProto:
        """The finished model."""
        output = helper.make_tensor_value_info(out.name, TensorProto.FLOAT, [*self.batch, *out.shape])
        graph = helper.make_graph(self.nodes, "random", self.inputs, [output], self.constants)
        return helper.make_model(graph, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)])


def gemm(m: int = 256, k: int = 256, n: int = 256, seed: int = 0) -> onnx.ModelProto:
    """One int8 matrix product, (m, k) by (k, n)."""
    make = Builder(rng=np.random.default_rng(seed))
    return make.model(make.matmul(make.input(m, k, batch=None), n))


def random_mlp(seed: int, layers: int = 3) -> onnx.ModelProto:
    """A few Gemms of odd sizes; one has a residual add."""
    rng = np.random.default_rng(seed)
    make = Builder(rng=rng)
    x = make.input(int(rng.integers(3, 40)))
    for n in range(layers):
        x = make.gemm(x, int(rng.integers(3, 40)), relu=bool(n % 2), bias=bool(rng.integers(2)), transposed=bool(rng.integers(2)))
    return make.model(make.add(x, make.gemm(x, x.shape[-1]), relu=bool(rng.integers(2))))


def random_cnn(seed: int) -> onnx.ModelProto:
    """A small network of every supported kind of layer: odd sizes, strides, pads, dilations and zero points, two adds."""
    rng = np.random.default_rng(seed)
    make = Builder(rng=rng)

    def pick(least: int, most: int) -> tuple[int, int]:
        return int(rng.integers(least, most + 1)), int(rng.integers(least, most + 1))

    def pads(most: int) -> tuple[int, int, int, int]:
        return *pick(0, most), *pick(0, most)

    x = make.input(int(rng.integers(1, 6)), *pick(9, 14))
    deep = int(rng.integers(3, 20))
    x = make.conv(x, deep, pick(2, 4), strides=pick(1, 2), pads=pads(2), relu=True)
    y = make.conv(x, deep, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2), bias=False)
    x = make.add(x, make.relu(y), relu=bool(rng.integers(2)))
    x = make.pool("MaxPool", x, (3, 2), strides=pick(1, 2), pads=pads(1), same=bool(rng.integers(2)))
    x = make.add(make.conv(x, deep, (1, 1)), x)
    x = make.pool("AveragePool", x, (2, 2), strides=(1, 1), pads=pads(1))
    x = make.conv(x, int(rng.integers(2, 12)), pick(1, 2), strides=pick(1, 2), relu=bool(rng.integers(2)))
    if rng.integers(2):
        x = make.global_average(x)
    return make.model(make.gemm(make.relu(make.flatten(x)), int(rng.integers(2, 12))))
