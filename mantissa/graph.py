"""A quantised network after import: int8 tensors with a scale and a zero point, and what connects them.

A tensor ``q`` stands for ``scale * (q - zero_point)``. Shapes are per sample: ``(H, W, C)`` for images, ``(M, K)`` for
matrices (``M`` is 1 where ONNX has one vector per sample). Every node ends in one rounding to its output tensor.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from . import golden
from .compiler_scale import dyadic, dyadic_together
from .errors import MantissaError

__all__ = ["Add", "AveragePool", "Conv", "Graph", "MatMul", "MaxPool", "Node", "Rescale", "Reshape", "Tensor",
           "evaluate", "evaluate_node", "scales"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An int8 tensor.

    Parameters
    ----------
    name
        Name of the int8 tensor in the ONNX file.
    shape
        Per sample: ``(H, W, C)`` or ``(M, K)``.
    onnx
        ONNX's dimensions per sample: ``(C, H, W)``, ``(M, K)`` or ``(K,)``.
    scale
        Step, exactly a float32.
    zero_point
        Code of zero, -128 to 127.
    """
    name: str
    shape: tuple[int, ...]
    onnx: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMul:
    """``inputs[0] @ weight + bias``: weight int8 (K, N), weight_scale (N,) of float32 values, bias (N,) integers."""
    name: str
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray
    weight_scale: np.ndarray
    bias: np.ndarray
    relu: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """2-D cross-correlation: weight int8 (kernel rows, kernel columns, C in, C out); pad (top, left, bottom, right)."""
    name: str
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray
    weight_scale: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Add:
    """Sum of two tensors of one shape, rounded once."""
    name: str
    inputs: tuple[str, ...]
    output: str
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class MaxPool:
    """Largest of each window; what is outside counts as the least."""
    name: str
    inputs: tuple[str, ...]
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class AveragePool:
    """Sum of each window divided by the window's size; what is outside counts as zero."""
    name: str
    inputs: tuple[str, ...]
    output: str
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """The same values in another tensor, as a lone Relu or a change of scale needs."""
    name: str
    inputs: tuple[str, ...]
    output: str
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """The same codes, flattened to ``(1, K)`` in ONNX's order (channels first), or unchanged."""
    name: str
    inputs: tuple[str, ...]
    output: str


Node = MatMul | Conv | Add | MaxPool | AveragePool | Rescale | Reshape


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A network with one input and one output, nodes in order of execution.

    Parameters
    ----------
    name
        From the file.
    tensors
        Every int8 activation tensor by name.
    nodes
        In order.
    input, output
        Names of the first and the last tensor.
    batched
        Whether ONNX's arrays have a leading dimension that counts samples.
    dims
        ONNX's dimensions of the model's input per sample, if they are not those of the first tensor: it is flattened.
    """
    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    input: str
    output: str
    batched: bool = True
    dims: tuple[int, ...] | None = None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Input codes (n, *shape) of real values in ONNX's layout, by QuantizeLinear's rule.

        Raises
        ------
        MantissaError
            If the shape or the kind does not match, or a value is NaN.
        """
        tensor = self.tensors[self.input]
        values = np.asarray(values)
        if values.dtype != np.float32:
            raise MantissaError(f"Input must be float32, not {values.dtype}")
        expected = self.dims or tensor.onnx
        if values.shape[self.batched:] != expected or values.ndim != len(expected) + self.batched:
            shape = ", ".join([*["N"] * self.batched, *map(str, expected)])
            raise MantissaError(f"Input must have shape ({shape}), not {values.shape}")
        if np.isnan(values).any():
            raise MantissaError("Input must be finite numbers, not NaN")
        with np.errstate(over="ignore"):
            codes = np.rint(values / np.float32(tensor.scale)) + np.float32(tensor.zero_point)
        codes = np.clip(codes, -128, 127).astype(np.int8)
        if len(tensor.shape) == 3 and self.dims is None:
            codes = codes.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(codes.reshape(-1, *tensor.shape))

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """Real values (float32) in ONNX's layout of output codes (n, *shape)."""
        tensor = self.tensors[self.output]
        values = (codes.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
        if len(tensor.shape) == 3:
            values = values.transpose(0, 3, 1, 2)
        return values.reshape(*[len(codes)] * self.batched, *tensor.onnx)


def scales(graph: Graph, node: Node) -> list[Fraction]:
    """Exact scales from a node's accumulator to its output: one per channel (MatMul, Conv), per input (Add), or one."""
    out = Fraction(graph.tensors[node.output].scale)
    ins = [Fraction(graph.tensors[name].scale) for name in node.inputs]
    if isinstance(node, (MatMul, Conv)):
        return [ins[0] * Fraction(float(scale)) / out for scale in node.weight_scale]
    if isinstance(node, AveragePool):
        return [ins[0] / prod(node.kernel) / out]
    return [scale / out for scale in ins]


def _requantize(graph: Graph, node: Node, value: np.ndarray) -> np.ndarray:
    pairs = [dyadic(scale) for scale in scales(graph, node)]
    multiplier, shift = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    out = graph.tensors[node.output]
    low = out.zero_point if getattr(node, "relu", False) else -128
    return golden.requantize(value, multiplier, shift, zero_point=out.zero_point, low=low, high=127)


def _add(graph: Graph, node: Add, codes: list[np.ndarray]) -> np.ndarray:
    multipliers, shift = dyadic_together(scales(graph, node))
    out = graph.tensors[node.output]
    biases = [-graph.tensors[name].zero_point for name in node.inputs]
    return golden.residual_add(codes, biases, multipliers, shift, zero_point=out.zero_point,
                               low=out.zero_point if node.relu else -128, high=127)


def evaluate_node(graph: Graph, node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    """Output codes (n, *shape) of one node from its input codes."""
    source = graph.tensors[node.inputs[0]]
    if isinstance(node, Add):
        return _add(graph, node, inputs).astype(np.int8)
    if isinstance(node, Reshape):
        codes, shape = inputs[0], graph.tensors[node.output].shape
        if codes.shape[1:] == shape:
            return codes
        return (codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes).reshape(len(codes), *shape)
    value = inputs[0].astype(np.int64) - source.zero_point
    if isinstance(node, MatMul):
        value = golden.matmul(value, node.weight) + node.bias
    elif isinstance(node, Conv):
        value = golden.conv2d(value, node.weight, node.stride, node.pad, node.dilation, 0) + node.bias
    elif isinstance(node, MaxPool):
        value = golden.max_pool(inputs[0], node.kernel, node.stride, node.pad, node.dilation) - source.zero_point
    elif isinstance(node, AveragePool):
        value = golden.sum_pool(value, node.kernel, node.stride, node.pad, node.dilation, 0)
    return _requantize(graph, node, value).astype(np.int8)


def evaluate(graph: Graph, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor's codes, int8 (n, *shape), from input codes (n, *shape), by the golden model."""
    shape = graph.tensors[graph.input].shape
    if codes.shape[1:] != shape or codes.dtype != np.int8:
        raise MantissaError(f"Input codes must be int8 of shape (n, {', '.join(map(str, shape))}), "
                            f"not {codes.dtype} of shape {codes.shape}")
    found = {graph.input: codes}
    for node in graph.nodes:
        found[node.output] = evaluate_node(graph, node, [found[name] for name in node.inputs])
    return found
