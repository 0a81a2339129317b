"""Normalised form of a network: tasks, each what one kind of instruction computes.

ReLU has become a clamp, input zero points are in the biases, scales are multipliers and shifts, reshapes are names::

    clamp(round((reduce(input, padded with pad) + bias) * multiplier / 2**shift) + zero_point, low, high)
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import golden
from .compiler_scale import dyadic, dyadic_together
from .errors import MantissaError
from .graph import Add, AveragePool, Conv, Graph, MatMul, MaxPool, Node, Rescale, Reshape, scales
from .program import Op

__all__ = ["Task", "Tasks", "evaluate_tasks", "normalise", "reduce"]


Layered = MatMul | Conv | Add | MaxPool | AveragePool | Rescale
"""Nodes that compute."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One layer in integers.

    Parameters
    ----------
    name, kind
        Of the ONNX node.
    op
        MATMUL, MAX, SUM or ADD.
    inputs, output
        Names of int8 tensors.
    weight
        int8 (kernel rows, kernel columns, C in, C out), MATMUL only.
    bias, multiplier, shift
        One per output channel (MATMUL) or per operand.
    zero_point, low, high
        Of the output.
    pad
        Value of an input outside the image.
    kernel, stride, padding, dilation
        Window; ``padding`` is (top, left, bottom, right).
    """
    name: str
    kind: str
    op: Op
    inputs: tuple[str, ...]
    output: str
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    low: int
    high: int = 127
    weight: np.ndarray | None = None
    pad: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tasks:
    """Tasks in order, and for each reshaped tensor the tensor whose memory it shares."""
    tasks: tuple[Task, ...]
    alias: Mapping[str, str]

    def root(self, name: str) -> str:
        """Tensor whose memory ``name`` is in."""
        while name in self.alias:
            name = self.alias[name]
        return name


def _fold_relu(graph: Graph) -> list[Node]:
    """Nodes with each lone Relu that changes no scale moved into the node before it."""
    nodes = list(graph.nodes)
    for node in graph.nodes:
        if not (isinstance(node, Rescale) and node.relu):
            continue
        source, out = graph.tensors[node.inputs[0]], graph.tensors[node.output]
        readers = [other for other in nodes if source.name in other.inputs]
        before = next((other for other in nodes if other.output == source.name), None)
        if (source.scale, source.zero_point) != (out.scale, out.zero_point) or len(readers) != 1 or before is None:
            continue
        if source.name == graph.output or isinstance(before, Reshape):
            continue
        nodes[nodes.index(before)] = replace(before, relu=True, output=node.output)
        nodes.remove(node)
    return nodes


def _common(graph: Graph, node: Layered) -> dict[str, Any]:
    source, out = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    if isinstance(node, Add):
        multipliers, shift = dyadic_together(scales(graph, node))
        pairs = [(b, shift) for b in multipliers]
    else:
        pairs = [dyadic(scale) for scale in scales(graph, node)]
    multiplier, shifts = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    window = {"kernel": node.kernel, "stride": node.stride, "padding": node.pad, "dilation": node.dilation} \
        if isinstance(node, (MaxPool, AveragePool)) else {}
    return {"name": node.name, "kind": _kind(node), "inputs": node.inputs, "output": node.output,
            "multiplier": multiplier, "shift": shifts, "zero_point": out.zero_point, "pad": source.zero_point,
            "low": out.zero_point if node.relu else -128, **window}


def _kind(node: Layered) -> str:
    return "Relu" if isinstance(node, Rescale) and node.relu else type(node).__name__


def _task(graph: Graph, node: Layered) -> Task:
    zero = [graph.tensors[name].zero_point for name in node.inputs]
    common: dict[str, Any] = _common(graph, node)
    if isinstance(node, (MatMul, Conv)):
        weight = node.weight if isinstance(node, Conv) else node.weight[None, None]
        bias = node.bias.astype(np.int64) - zero[0] * weight.astype(np.int64).sum(axis=(0, 1, 2))
        common["kernel"] = weight.shape[:2]
        if isinstance(node, Conv):
            common.update(stride=node.stride, padding=node.pad, dilation=node.dilation)
        return Task(op=Op.MATMUL, weight=weight, bias=bias, **common)
    if isinstance(node, AveragePool):
        count = node.kernel[0] * node.kernel[1]
        return Task(op=Op.SUM, bias=np.array([-count * zero[0]]), **common)
    if isinstance(node, Add):
        return Task(op=Op.ADD, bias=-np.array(zero), **common)
    common["pad"] = -128
    return Task(op=Op.MAX, bias=np.array([-zero[0]]), **common)


def normalise(graph: Graph) -> Tasks:
    """Tasks of a graph.

    Raises
    ------
    MantissaError
        If a scale can not be expressed.
    """
    tasks, alias = [], {}
    for node in _fold_relu(graph):
        if isinstance(node, Reshape):
            alias[node.output] = node.inputs[0]
            continue
        try:
            tasks.append(_task(graph, node))
        except MantissaError as error:
            raise MantissaError(f"Layer {node.name}: {error}") from None
    return Tasks(tasks=tuple(tasks), alias=alias)


def reduce(task: Task, codes: np.ndarray) -> np.ndarray:
    """Accumulators of a task with one input, (n, rows, columns, channels), before the bias."""
    image = codes if codes.ndim == 4 else codes[:, None]
    window = (task.stride, task.padding, task.dilation)
    if task.weight is not None:
        return golden.conv2d(image, task.weight, *window, task.pad)
    if task.op is Op.MAX:
        return golden.max_pool(image, task.kernel, *window)
    return golden.sum_pool(image, task.kernel, *window, task.pad)


def evaluate_tasks(graph: Graph, tasks: Tasks, codes: np.ndarray) -> dict[str, np.ndarray]:
    """As :func:`mantissa.graph.evaluate`, of the normalised form; tensors folded away are missing."""
    found = {graph.input: codes}
    for name in tasks.alias:
        if tasks.root(name) == graph.input:
            found[name] = _flat(found[graph.input], graph.tensors[name].shape)
    for task in tasks.tasks:
        inputs = [found[name] for name in task.inputs]
        clamp: dict[str, Any] = {"zero_point": task.zero_point, "low": task.low, "high": task.high}
        if task.op is Op.ADD:
            code = golden.residual_add(inputs, [int(b) for b in task.bias], [int(b) for b in task.multiplier],
                                       int(task.shift[0]), **clamp)
        else:
            code = golden.requantize(reduce(task, inputs[0]) + task.bias, task.multiplier, task.shift, **clamp)
        shape = graph.tensors[task.output].shape
        found[task.output] = code.astype(np.int8).reshape(len(codes), *shape)
        for name in tasks.alias:
            if tasks.root(name) == task.output:
                found[name] = _flat(found[task.output], graph.tensors[name].shape)
    return found


def _flat(codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if codes.shape[1:] == shape:
        return codes
    return (codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes).reshape(len(codes), *shape)
