"""The operators an imported model can have."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnx

from .fixed import unit, weight_unit
from .graph import Add, AveragePool, Conv, MatMul, MaxPool, Rescale, Reshape, Tensor
from .onnx_values import Const, Input, Pending, Real, Scaled, State, Value, attributes, node_name, refuse

__all__ = ["OPERATORS"]

_BIAS_MOST = 1 << 62


def _real(state: State, node: onnx.NodeProto, n: int) -> Tensor:
    """Tensor whose real values are input ``n``."""
    value = state.values[node.input[n]]
    if isinstance(value, Real):
        return state.tensors[value.tensor]
    if isinstance(value, (Const, Scaled)):
        refuse(node, f"its input {node.input[n]} is constant")
    refuse(node, f"its input {node.input[n]} is not quantised: it must come from DequantizeLinear or Quantize")


def _image(state: State, node: onnx.NodeProto) -> Tensor:
    tensor = _real(state, node, 0)
    if len(tensor.shape) != 3:
        refuse(node, f"its input must have shape (N, C, H, W), not (N, {', '.join(map(str, tensor.onnx))})")
    return tensor


def _weight(state: State, node: onnx.NodeProto, rank: int, axis: int) -> Scaled:
    """Constant weights, one scale or one per index along ``axis``."""
    value = state.values[node.input[1]]
    if not isinstance(value, Scaled):
        kind = "float weights that are not quantised" if isinstance(value, Const) else "weights that are not constant"
        refuse(node, f"it has {kind}; they must be int8 through DequantizeLinear, or through Quantize")
    if value.array.dtype != np.int8:
        refuse(node, f"its weights are {value.array.dtype}, which is for biases")
    if value.array.ndim != rank:
        refuse(node, f"its weights must have {rank} dimensions, not {value.array.ndim}")
    if (value.scale.size > 1 or value.exponents is not None) and value.axis != axis:
        refuse(node, f"its weights have a scale per index of axis {value.axis}, only axis {axis}, the output channels, is supported")
    return value


def _channels(state: State, node: onnx.NodeProto, source: Tensor, weight: Scaled, channels: int) -> dict[str, Any]:
    """Scale and bias of each output channel, format of the weights."""
    scale = np.broadcast_to(weight.scale, channels)
    found = {"weight_scale": scale, "bias": np.zeros(channels, np.int64), "weight_format": weight.format}
    if len(node.input) < 3 or not node.input[2]:
        return found
    value, point = state.values[node.input[2]], unit(source.format) + weight_unit(weight.format)
    if weight.rounded and isinstance(value, Const) and value.array.dtype == np.float32:
        return found | {"bias": _rounded_bias(node, value.array, np.ldexp(source.scale * scale.astype(np.float64), point))}
    if not isinstance(value, Scaled) or value.array.dtype != np.int32:
        refuse(node, "its bias must be a constant int32 through DequantizeLinear" + ", or float32" * weight.rounded)
    _check_bias(node, value.array, channels)
    if not np.allclose(value.scale, np.float32(source.scale) * scale, rtol=1e-6, atol=0):
        refuse(node, "the scale of its bias must be the product of its input's and its weights' scales")
    return found | {"bias": value.array.reshape(-1).astype(np.int64) << -point}


def _check_bias(node: onnx.NodeProto, array: np.ndarray, channels: int) -> None:
    if array.size != channels or array.shape[-1:] != (channels,):
        refuse(node, f"its bias must have {channels} elements, not shape {array.shape}")


def _rounded_bias(node: onnx.NodeProto, array: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A float32 bias in steps of the sum, rounded to the nearest."""
    _check_bias(node, array, len(steps))
    if not np.isfinite(array).all():
        refuse(node, "its bias must be finite numbers")
    bias = np.rint(array.reshape(-1).astype(np.float64) / steps)
    if np.abs(bias).max() >= _BIAS_MOST:
        n = int(np.abs(bias).argmax())
        refuse(node, f"its bias {array.flat[n]:g} must be below 2**62 steps of its sum, {steps[n]:g} each")
    return bias.astype(np.int64)


def _window(node: onnx.NodeProto, source: Tensor, kernel: tuple[int, int], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """Stride, pad and dilation of a convolution or pooling, and rows and columns of its output."""
    stride, dilation = given.get("strides") or [1, 1], given.get("dilations") or [1, 1]
    pads, mode = list(given.get("pads") or [0] * 4), given.get("auto_pad", "NOTSET")
    if [len(kernel), len(stride), len(dilation), len(pads)] != [2, 2, 2, 4]:
        refuse(node, "only two-dimensional windows are supported")
    reach = [(kernel[n] - 1) * dilation[n] + 1 for n in range(2)]
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        for n in range(2):
            size = source.shape[n]
            total = max((-(-size // stride[n]) - 1) * stride[n] + reach[n] - size, 0)
            less, more = total // 2, total - total // 2
            pads[n], pads[n + 2] = (less, more) if mode == "SAME_UPPER" else (more, less)
    elif mode not in ("NOTSET", "VALID"):
        refuse(node, f"auto_pad {mode} is not supported")
    if min(pads) < 0:
        refuse(node, f"pads must not be negative, but are {pads}")
    left = [source.shape[n] + pads[n] + pads[n + 2] - reach[n] for n in range(2)]
    if min(left) < 0:
        refuse(node, f"its window of {reach[0]} x {reach[1]} is larger than its padded input")
    if given.get("ceil_mode") and any(rest % step for rest, step in zip(left, stride, strict=True)):
        refuse(node, "ceil_mode makes windows that leave the image")
    return {"stride": tuple(stride), "pad": tuple(pads), "dilation": tuple(dilation)}, [
        rest // step + 1 for rest, step in zip(left, stride, strict=True)]


def _pending(node: Conv | MaxPool | AveragePool, rows: int, columns: int, channels: int) -> Pending:
    return Pending(node=node, shape=(rows, columns, channels), onnx=(channels, rows, columns))


def _conv(state: State, node: onnx.NodeProto) -> Pending:
    given = attributes(node, group=1)
    if given["group"] != 1:
        refuse(node, f"group must be 1, not {given['group']}")
    source, weight = _image(state, node), _weight(state, node, 4, 0)
    outs, deep, *kernel = weight.array.shape
    if deep != source.shape[2]:
        refuse(node, f"its weights are for {deep} input channels, but there are {source.shape[2]}")
    if list(given.get("kernel_shape") or kernel) != kernel:
        refuse(node, f"kernel_shape {given['kernel_shape']} is not that of its weights, {kernel}")
    window, (rows, columns) = _window(node, source, (kernel[0], kernel[1]), given)
    channels = _channels(state, node, source, weight, outs)
    exponents = None if weight.exponents is None else weight.exponents.transpose(2, 3, 1, 0)
    return _pending(Conv(name=node_name(node), inputs=(source.name,), output="", weight=weight.array.transpose(2, 3, 1, 0),
                         weight_exponents=exponents, **channels, **window), rows, columns, outs)


def _matrix(state: State, node: onnx.NodeProto, transposed: bool) -> Pending:
    """Product with constant weights, (N, K) if ``transposed``."""
    source, weight = _real(state, node, 0), _weight(state, node, 2, 0 if transposed else 1)
    if len(source.shape) != 2:
        refuse(node, f"its input must be a matrix, not of shape (N, {', '.join(map(str, source.onnx))})")
    matrix, exponents = weight.array, weight.exponents
    if transposed:
        matrix, exponents = matrix.T, None if exponents is None else exponents.T
    if matrix.shape[0] != source.shape[1]:
        refuse(node, f"its weights are for {matrix.shape[0]} inputs, but there are {source.shape[1]}")
    channels = _channels(state, node, source, weight, matrix.shape[1])
    made = MatMul(name=node_name(node), inputs=(source.name,), output="", weight=np.ascontiguousarray(matrix),
                  weight_exponents=exponents, **channels)
    return Pending(node=made, shape=(source.shape[0], matrix.shape[1]), onnx=(*source.onnx[:-1], matrix.shape[1]))


def _gemm(state: State, node: onnx.NodeProto) -> Pending:
    given = attributes(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    for name, only in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
        if given[name] != only:
            refuse(node, f"{name} must be {only:g}, not {given[name]:g}")
    return _matrix(state, node, bool(given["transB"]))


def _matmul(state: State, node: onnx.NodeProto) -> Pending:
    return _matrix(state, node, False)


def _add(state: State, node: onnx.NodeProto) -> Pending:
    first, second = _real(state, node, 0), _real(state, node, 1)
    if first.onnx != second.onnx:
        refuse(node, f"its inputs must have one shape, not {first.onnx} and {second.onnx}")
    if first.format != second.format:
        refuse(node, f"its inputs must be of one format, not {first.format} and {second.format}")
    return Pending(node=Add(name=node_name(node), inputs=(first.name, second.name), output=""), shape=first.shape, onnx=first.onnx)


def _relu(state: State, node: onnx.NodeProto) -> Pending:
    value = state.values[node.input[0]]
    if isinstance(value, Pending) and not isinstance(value.node, Reshape):
        return replace(value, node=replace(value.node, relu=True))
    source = _real(state, node, 0)
    return Pending(node=Rescale(name=node_name(node), inputs=(source.name,), output="", relu=True), shape=source.shape, onnx=source.onnx)


def _pool(state: State, node: onnx.NodeProto) -> Pending:
    given, source = attributes(node, count_include_pad=0, storage_order=0), _image(state, node)
    kernel = tuple(given["kernel_shape"])
    window, (rows, columns) = _window(node, source, kernel, given)
    if len(node.output) > 1 and node.output[1]:
        refuse(node, "its second output, the indices, is not supported")
    pad = window["pad"]
    if max(pad[0], pad[2]) >= kernel[0] or max(pad[1], pad[3]) >= kernel[1]:
        refuse(node, f"pads {list(pad)} must be smaller than its kernel {list(kernel)}")
    average = node.op_type == "AveragePool"
    if average and any(pad) and not given["count_include_pad"]:
        refuse(node, "with pads, count_include_pad must be 1, not 0: the divisor would change at the border")
    kind = AveragePool if average else MaxPool
    return _pending(kind(name=node_name(node), inputs=(source.name,), output="", kernel=(kernel[0], kernel[1]), **window),
                    rows, columns, source.shape[2])


def _global_average_pool(state: State, node: onnx.NodeProto) -> Pending:
    source = _image(state, node)
    rows, columns, channels = source.shape
    return _pending(AveragePool(name=node_name(node), inputs=(source.name,), output="", kernel=(rows, columns)), 1, 1, channels)


def _source(state: State, node: onnx.NodeProto) -> Tensor | Input:
    """What is reshaped: a tensor, or the model's input before it is quantised."""
    value = state.values[node.input[0]]
    return value if isinstance(value, Input) else _real(state, node, 0)


def _reshaped(node: onnx.NodeProto, source: Tensor | Input, dims: tuple[int, ...]) -> Pending | Input:
    """Reshape to ``dims`` per sample: the same, or flat."""
    if dims == source.onnx:
        shape = source.shape
    elif dims == (prod(source.onnx),):
        shape = (1, *dims)
    else:
        refuse(node, f"it can only flatten each sample or keep its shape {source.onnx}, not make {dims}")
    if isinstance(source, Input):
        return Input(shape=shape, onnx=dims)
    return Pending(node=Reshape(name=node_name(node), inputs=(source.name,), output=""), shape=shape, onnx=dims)


def _flatten(state: State, node: onnx.NodeProto) -> Pending | Input:
    source, axis = _source(state, node), attributes(node, axis=1)["axis"]
    rank = len(source.onnx) + state.batched
    if axis % rank != 1:
        refuse(node, f"axis must be 1, not {axis}")
    return _reshaped(node, source, (prod(source.onnx),) if state.batched else source.onnx)


def _reshape(state: State, node: onnx.NodeProto) -> Pending | Input:
    source, shape = _source(state, node), state.values[node.input[1]]
    if not isinstance(shape, Const):
        refuse(node, "its shape is not constant")
    if attributes(node, allowzero=0)["allowzero"]:
        refuse(node, "allowzero must be 0, not 1")
    target = [int(v) for v in shape.array.reshape(-1)]
    full: list[int] = [*[1] * state.batched, *source.onnx]       # of one sample
    if len(target) > len(full) and 0 in target[len(full):] or min(target, default=0) < -1:
        refuse(node, f"shape {target} is not valid")
    dims = [full[n] if size == 0 else size for n, size in enumerate(target)]
    if state.batched and dims[:1] == [-1]:
        dims[0] = 1
    if dims.count(-1) == 1:
        known = prod(size for size in dims if size != -1)
        dims[dims.index(-1)] = prod(full) // max(known, 1)
    if prod(dims) != prod(full) or state.batched and dims[:1] != [1]:
        refuse(node, f"shape {target} must keep the first dimension apart")
    return _reshaped(node, source, tuple(dims[state.batched:]))


OPERATORS: Mapping[str, Callable[[State, onnx.NodeProto], Value]] = {
    "Add": _add, "AveragePool": _pool, "Conv": _conv, "Flatten": _flatten, "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool, "MatMul": _matmul, "MaxPool": _pool, "Relu": _relu, "Reshape": _reshape,
}
"""What computes with activations, by ONNX name."""
