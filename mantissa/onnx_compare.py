"""onnxruntime as second opinion: layer by layer, each difference explained or counted as unexplained.

onnxruntime scales in float32, so where the exact value is within float32's error of halfway between two codes it may
choose the other one. A difference there is a tie; any other is not explained.
"""
from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from . import golden
from .graph import Add, AveragePool, Conv, Graph, MatMul, MaxPool, Node, Reshape, Tensor, evaluate_node, scales

__all__ = ["Comparison", "compare", "reference"]

_ULPS = Fraction(1, 1 << 22)     # of the terms' magnitudes: product of scales, quotient, product, each rounded to 2**-24


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One layer against onnxruntime, given onnxruntime's own inputs of that layer.

    Parameters
    ----------
    histogram
        Elements by absolute difference in LSB.
    ties
        Differing elements whose exact value is halfway between two codes within float32's error.
    unexplained
        Differing elements that are not.
    """
    histogram: dict[int, int]
    ties: int
    unexplained: int


def reference(model: onnx.ModelProto | str | Path, graph: Graph, values: np.ndarray) -> dict[str, np.ndarray]:
    """onnxruntime's codes (n, \\*shape) of every int8 tensor, from real inputs in ONNX's layout."""
    source = onnx.load(model) if isinstance(model, (str, Path)) else model
    exposed = onnx.ModelProto()
    exposed.CopyFrom(source)
    made = {name for node in exposed.graph.node for name in node.output}
    names = [name for name in graph.tensors if name in made]
    exposed.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")     # else, on x86, some convolutions run as float
    session = onnxruntime.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(names, {session.get_inputs()[0].name: values})
    return {name: _codes(graph.tensors[name], np.asarray(array)) for name, array in zip(names, arrays, strict=True)}


def _codes(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    if len(tensor.shape) == 3:
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array.reshape(-1, *tensor.shape))


def compare(graph: Graph, codes: dict[str, np.ndarray]) -> dict[str, Comparison]:
    """Golden model of each node on onnxruntime's codes of its inputs, against onnxruntime's codes of its output."""
    found = {}
    for node in graph.nodes:
        if node.output not in codes or any(name not in codes for name in node.inputs):
            continue
        inputs = [codes[name] for name in node.inputs]
        ours, theirs = evaluate_node(graph, node, inputs).astype(int), codes[node.output].astype(int)
        sizes, counts = np.unique(np.abs(ours - theirs), return_counts=True)
        wrong = np.argwhere(ours != theirs)
        ties = sum(_tie(graph, node, inputs, tuple(index)) for index in wrong.tolist())
        found[node.output] = Comparison(histogram=dict(zip(sizes.tolist(), counts.tolist(), strict=True)), ties=ties,
                                        unexplained=len(wrong) - ties)
    return found


def _tie(graph: Graph, node: Node, inputs: list[np.ndarray], index: tuple[int, ...]) -> bool:
    """Whether an element's exact value is halfway between codes, within float32's error."""
    if isinstance(node, Reshape):
        return False
    terms = _terms(graph, node, inputs, index)
    value, size = sum(terms, Fraction(0)), sum((abs(term) for term in terms), Fraction(0))
    away = abs(value - floor(value) - Fraction(1, 2))
    return away <= size * _ULPS


def _terms(graph: Graph, node: Node, inputs: list[np.ndarray], index: tuple[int, ...]) -> list[Fraction]:
    """Exact real value of an element in the output's LSB, as the terms that float32 adds."""
    exact = scales(graph, node)
    zero = [graph.tensors[name].zero_point for name in node.inputs]
    if isinstance(node, Add):
        return [(int(x[index]) - z) * scale for x, z, scale in zip(inputs, zero, exact, strict=True)]
    x = inputs[0][index[0]:index[0] + 1].astype(int) - zero[0]
    at = (0, *index[1:])
    if isinstance(node, MatMul):
        value = golden.matmul(x, node.weight) + node.bias
    elif isinstance(node, Conv):
        value = golden.conv2d(x, node.weight, node.stride, node.pad, node.dilation) + node.bias
    elif isinstance(node, AveragePool):
        magnitude = golden.sum_pool(np.abs(x), node.kernel, node.stride, node.pad, node.dilation)[at]
        total = int(golden.sum_pool(x, node.kernel, node.stride, node.pad, node.dilation)[at])
        rest = (int(magnitude) - abs(total)) // 2               # what cancelled: float32 added it all the same
        return [total * exact[0], rest * exact[0], -rest * exact[0]]
    elif isinstance(node, MaxPool):
        value = golden.max_pool(x, node.kernel, node.stride, node.pad, node.dilation)
    else:
        value = x
    return [int(value[at]) * exact[index[-1] if len(exact) > 1 else 0]]
