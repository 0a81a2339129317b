"""A quantised network after import: tensors of codes with a scale, and what connects them.

Codes are of a format of :mod:`.fixed`, one in a byte. A tensor ``q`` stands for ``scale * decode(q)``, of int8 for
``scale * (q - zero_point)``; sums are integers in units of what the product of the operands' smallest steps stands for.
Shapes are per sample: ``(H, W, C)`` for images, ``(M, K)`` for matrices (``M`` is 1 where ONNX has one vector per sample).
Every node ends in one rounding to its output tensor.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from . import golden
from .codes import encode
from .compiler_scale import dyadic, dyadic_together
from .errors import MantissaError
from .fixed import as_fixed, unit, weight_fixed, weight_unit
from .formats import get_scalar

__all__ = ["Add", "AveragePool", "Conv", "Graph", "MatMul", "MaxPool", "Node", "Rescale", "Reshape", "Tensor",
           "evaluate", "evaluate_node", "scales"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of codes.

    Parameters
    ----------
    name
        Name of the tensor in the ONNX file.
    shape
        Per sample: ``(H, W, C)`` or ``(M, K)``.
    onnx
        ONNX's dimensions per sample: ``(C, H, W)``, ``(M, K)`` or ``(K,)``.
    scale
        What the number 1 of the format stands for, exactly a float32; of int8, the step.
    zero_point
        Code of zero, -128 to 127; 0 of every format but int8.
    format
        Name, of :data:`.fixed.NAMES`.
    """
    name: str
    shape: tuple[int, ...]
    onnx: tuple[int, ...]
    scale: float
    zero_point: int
    format: str = "int8"


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMul:
    """``inputs[0] @ weight + bias``: weight codes (K, N) in int8, weight_scale (N,) of float32 values, bias (N,) integers.

    weight_format is of :data:`.fixed.WEIGHTS`; weight_exponents, of mxfp4 alone, 0 to 14, is (ceil(K / 32), N). The bias is in
    units of the sum.
    """
    name: str
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray
    weight_scale: np.ndarray
    bias: np.ndarray
    relu: bool = False
    weight_format: str = "int8"
    weight_exponents: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """2-D cross-correlation: weight codes (kernel rows, kernel columns, C in, C out); pad (top, left, bottom, right).

    As in :class:`MatMul`; weight_exponents is (kernel rows, kernel columns, ceil(C in / 32), C out).
    """
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
    weight_format: str = "int8"
    weight_exponents: np.ndarray | None = None


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
        Every activation tensor by name.
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
        """Input codes (n, *shape) of real values in ONNX's layout, by QuantizeLinear's rule: the quotient by the scale, rounded.

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
            codes = values / np.float32(tensor.scale)
        if tensor.format == "int8":
            codes = np.clip(np.rint(codes) + np.float32(tensor.zero_point), -128, 127).astype(np.int8)
        else:
            codes = encode(get_scalar(tensor.format), codes).astype(np.uint8).view(np.int8)
        if len(tensor.shape) == 3 and self.dims is None:
            codes = codes.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(codes.reshape(-1, *tensor.shape))

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """Real values (float32) in ONNX's layout of output codes (n, *shape)."""
        tensor = self.tensors[self.output]
        number = np.ldexp(as_fixed(tensor.format, codes).astype(np.float32), unit(tensor.format))
        values = (number - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
        if len(tensor.shape) == 3:
            values = values.transpose(0, 3, 1, 2)
        return values.reshape(*[len(codes)] * self.batched, *tensor.onnx)


def scales(graph: Graph, node: Node) -> list[Fraction]:
    """Exact scales from a node's accumulator to its output's units: one per channel (MatMul, Conv), per input (Add), or one."""
    out, *ins = [Fraction(tensor.scale) * Fraction(2) ** unit(tensor.format)
                 for tensor in [graph.tensors[name] for name in (node.output, *node.inputs)]]
    if isinstance(node, (MatMul, Conv)):
        step = ins[0] * Fraction(2) ** weight_unit(node.weight_format) / out
        return [Fraction(float(scale)) * step for scale in node.weight_scale]
    if isinstance(node, AveragePool):
        return [ins[0] / prod(node.kernel) / out]
    return [scale / out for scale in ins]


def _requantize(graph: Graph, node: Node, value: np.ndarray) -> np.ndarray:
    pairs = [dyadic(scale) for scale in scales(graph, node)]
    multiplier, shift = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    return _codes(graph, node, value, multiplier, shift)


def _codes(graph: Graph, node: Node, value: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    out = graph.tensors[node.output]
    low = out.zero_point if getattr(node, "relu", False) else -128
    return golden.output_codes(out.format, value, multiplier, shift, zero_point=out.zero_point, low=low)


def _add(graph: Graph, node: Add, values: list[np.ndarray]) -> np.ndarray:
    multipliers, shift = dyadic_together(scales(graph, node))
    return _codes(graph, node, values[0] * multipliers[0] + values[1] * multipliers[1], 1, shift)     # below 2**51


def evaluate_node(graph: Graph, node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    """Output codes (n, *shape) of one node from its input codes."""
    if isinstance(node, Reshape):
        codes, shape = inputs[0], graph.tensors[node.output].shape
        if codes.shape[1:] == shape:
            return codes
        return (codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes).reshape(len(codes), *shape)
    sources = [graph.tensors[name] for name in node.inputs]
    values = [as_fixed(source.format, codes) - source.zero_point for source, codes in zip(sources, inputs, strict=True)]
    value = values[0]
    if isinstance(node, Add):
        return _add(graph, node, values)
    if isinstance(node, (MatMul, Conv)):
        weight = weight_fixed(node.weight_format, node.weight, node.weight_exponents)
        value = (golden.conv2d(value, weight, node.stride, node.pad, node.dilation, 0) if isinstance(node, Conv)
                 else golden.matmul(value, weight)) + node.bias
    elif isinstance(node, MaxPool):
        value = golden.max_pool(value, node.kernel, node.stride, node.pad, node.dilation)
    elif isinstance(node, AveragePool):
        value = golden.sum_pool(value, node.kernel, node.stride, node.pad, node.dilation, 0)
    return _requantize(graph, node, value)


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
