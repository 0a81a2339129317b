"""Normalised form of a network: tasks, each what one kind of instruction computes.

ReLU has become a clamp, input zero points are in the biases, scales are multipliers and shifts, reshapes are names::

    clamp(round((reduce(input, padded with pad) + bias) * multiplier / 2**shift) + zero_point, low, high)

Inputs and weights are the numbers of their codes in units, :func:`.fixed.as_fixed`; of other formats than int8 the result is a code
of the output's format, of 0 if it is negative and ``low`` is 0.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from . import golden
from .compiler_scale import dyadic, dyadic_together
from .errors import MantissaError
from .fixed import as_codes, as_fixed, limits, weight_fixed
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
        Names of tensors.
    format_a, format_w, format_o
        Formats of the inputs (one for both operands of ADD), the weights and the output.
    weight
        Codes in int8 (kernel rows, kernel columns, C in, C out), MATMUL only.
    weight_exponents
        Of mxfp4 weights: 0 to 14, (kernel rows, kernel columns, ceil(C in / 32), C out).
    bias, multiplier, shift
        One per output channel (MATMUL) or per operand.
    zero_point, low, high
        Of the output; of other formats than int8 they are 0, 0 (ReLU) or -128, and 127.
    pad
        Code of an input outside the image.
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
    format_a: str = "int8"
    format_w: str = "int8"
    format_o: str = "int8"
    weight: np.ndarray | None = None
    weight_exponents: np.ndarray | None = None
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
        if (source.scale, source.zero_point, source.format) != (out.scale, out.zero_point, out.format):
            continue
        if len(readers) != 1 or before is None:
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
            "format_a": source.format, "format_o": out.format,
            "low": out.zero_point if node.relu else -128, **window}


def _kind(node: Layered) -> str:
    return "Relu" if isinstance(node, Rescale) and node.relu else type(node).__name__


def _task(graph: Graph, node: Layered) -> Task:
    zero = [graph.tensors[name].zero_point for name in node.inputs]
    common: dict[str, Any] = _common(graph, node)
    if isinstance(node, (MatMul, Conv)):
        weight, exponents = node.weight, node.weight_exponents
        if isinstance(node, MatMul):
            weight, exponents = weight[None, None], None if exponents is None else exponents[None, None]
        units = weight_fixed(node.weight_format, weight, exponents)
        bias = node.bias.astype(np.int64) - zero[0] * units.sum(axis=(0, 1, 2))
        common.update(kernel=weight.shape[:2], format_w=node.weight_format, weight_exponents=exponents)
        if isinstance(node, Conv):
            common.update(stride=node.stride, padding=node.pad, dilation=node.dilation)
        return Task(op=Op.MATMUL, weight=weight, bias=bias, **common)
    if isinstance(node, AveragePool):
        count = node.kernel[0] * node.kernel[1]
        return Task(op=Op.SUM, bias=np.array([-count * zero[0]]), **common)
    if isinstance(node, Add):
        formats = [graph.tensors[name].format for name in node.inputs]
        if formats[0] != formats[1]:
            raise MantissaError(f"inputs of Add must be of one format, not {formats[0]} and {formats[1]}")
        return Task(op=Op.ADD, bias=-np.array(zero), **common)
    format_a = common["format_a"]
    common["pad"] = int(as_codes(format_a, limits(format_a)[0]))
    return Task(op=Op.MAX, bias=np.array([-zero[0]]), **common)


def _check_blocks(graph: Graph, node: Layered, alias: Mapping[str, str]) -> None:
    """Refuse blocks of inputs that do not lie together in memory: a flattened image's channels are apart."""
    if not isinstance(node, MatMul) or node.weight_format != "mxfp4":
        return
    name = node.inputs[0]
    while name in alias:
        name = alias[name]
        if len(shape := graph.tensors[name].shape) == 3 and prod(shape[:2]) > 1:
            raise MantissaError(f"weights of a flattened image of {shape[0]} x {shape[1]} must not be mxfp4: its blocks are not channels")


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
            _check_blocks(graph, node, alias)
            tasks.append(_task(graph, node))
        except MantissaError as error:
            raise MantissaError(f"Layer {node.name}: {error}") from None
    return Tasks(tasks=tuple(tasks), alias=alias)


def reduce(task: Task, codes: np.ndarray) -> np.ndarray:
    """Accumulators of a task with one input, (n, rows, columns, channels), before the bias."""
    image = as_fixed(task.format_a, codes if codes.ndim == 4 else codes[:, None])
    window, pad = (task.stride, task.padding, task.dilation), int(as_fixed(task.format_a, task.pad))
    if task.weight is not None:
        return golden.conv2d(image, weight_fixed(task.format_w, task.weight, task.weight_exponents), *window, pad)
    if task.op is Op.MAX:
        return golden.max_pool(image, task.kernel, *window)
    return golden.sum_pool(image, task.kernel, *window, pad)


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
            units = [as_fixed(task.format_a, codes) for codes in inputs]
            total = sum((x + int(b)) * int(m) for x, b, m in zip(units, task.bias, task.multiplier, strict=True))
            code = golden.output_codes(task.format_o, total, 1, int(task.shift[0]), **clamp)
        else:
            code = golden.output_codes(task.format_o, reduce(task, inputs[0]), task.multiplier, task.shift, bias=task.bias, **clamp)
        shape = graph.tensors[task.output].shape
        found[task.output] = code.reshape(len(codes), *shape)
        for name in tasks.alias:
            if tasks.root(name) == task.output:
                found[name] = _flat(found[task.output], graph.tensors[name].shape)
    return found


def _flat(codes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if codes.shape[1:] == shape:
        return codes
    return (codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes).reshape(len(codes), *shape)
