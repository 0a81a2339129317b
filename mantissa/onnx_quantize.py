"""QuantizeLinear and DequantizeLinear of a model that is imported."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from .graph import Node, Rescale, Reshape, Tensor
from .onnx_values import Codes, Const, Input, Pending, Real, Scaled, State, attributes, node_name, refuse

__all__ = ["dequantize", "quantize"]


def _parameters(state: State, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, both constant."""
    given = attributes(node, axis=1, block_size=0)
    if given["block_size"]:
        refuse(node, "blocked scales are not supported")
    if len(node.input) < 3 or not node.input[2]:
        if node.op_type == "QuantizeLinear":
            refuse(node, "it has no zero point, so its output is uint8, and only int8 is supported")
        zero_point: np.ndarray | None = None
    else:
        zero_point = _constant(state, node, node.input[2], "zero point")
    scale = _constant(state, node, node.input[1], "scale")
    if scale.dtype != np.float32:
        refuse(node, f"its scale is {scale.dtype}, not float32")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        refuse(node, f"its scale must be positive and finite, not {scale[~(np.isfinite(scale) & (scale > 0))].flat[0]}"
               if scale.ndim else f"its scale must be positive and finite, not {scale}")
    return scale, np.zeros(scale.shape, np.int8) if zero_point is None else zero_point


def _constant(state: State, node: onnx.NodeProto, name: str, what: str) -> np.ndarray:
    value = state.values[name]
    if not isinstance(value, Const):
        refuse(node, f"its {what} is not constant")
    return value.array


def _activation(state: State, node: onnx.NodeProto) -> tuple[float, int]:
    """Scale and zero point of an activation: one each, int8."""
    scale, zero_point = _parameters(state, node)
    if zero_point.dtype == np.uint8:
        refuse(node, "activations are uint8; quantise the model with activation_type=QuantType.QInt8")
    if zero_point.dtype != np.int8:
        refuse(node, f"activations are {zero_point.dtype}, only int8 is supported")
    if scale.size != 1 or zero_point.size != 1:
        refuse(node, f"activations must have one scale, not {scale.size}")
    return float(scale.flat[0]), int(zero_point.flat[0])


def quantize(state: State, node: onnx.NodeProto) -> Codes | Const:
    """QuantizeLinear: gives the node before it its output tensor."""
    value, out = state.values[node.input[0]], node.output[0]
    if isinstance(value, Const):
        return _quantize_constant(state, node, value.array)
    scale, zero_point = _activation(state, node)
    if isinstance(value, Input):
        if state.input is None:
            state.input = out
            state.tensors[out] = Tensor(name=out, shape=value.shape, onnx=value.onnx, scale=scale, zero_point=zero_point)
        first = state.tensors[state.input]
        if (scale, zero_point, value.onnx) != (first.scale, first.zero_point, first.onnx):
            refuse(node, "the input is quantised in two ways")
        return Codes(state.input)
    if isinstance(value, Real):
        source = state.tensors[value.tensor]
        if (scale, zero_point) == (source.scale, source.zero_point):
            return Codes(value.tensor)
        value = Pending(node=Rescale(name=node_name(node), inputs=(source.name,), output=""), shape=source.shape, onnx=source.onnx)
    if not isinstance(value, Pending):
        refuse(node, "its input is already quantised")
    _finish(state, value, Tensor(name=out, shape=value.shape, onnx=value.onnx, scale=scale, zero_point=zero_point))
    return Codes(out)


def _finish(state: State, pending: Pending, out: Tensor) -> None:
    """Add a pending node, now that its output tensor is known."""
    state.tensors[out.name] = out
    node: Node = pending.node
    if isinstance(node, Reshape):
        source = state.tensors[node.inputs[0]]
        if (source.scale, source.zero_point) != (out.scale, out.zero_point):
            between = replace(out, name=f"{out.name} before scaling", scale=source.scale, zero_point=source.zero_point)
            state.tensors[between.name] = between
            _add(state, replace(node, output=between.name))
            node = Rescale(name=node.name, inputs=(between.name,), output="")
    _add(state, replace(node, output=out.name))


def _add(state: State, node: Node) -> None:
    """Append a node, with a number behind its name if another has it."""
    names, name, n = {other.name for other in state.nodes}, node.name, 1
    while name in names:
        n += 1
        name = f"{node.name}.{n}"
    state.nodes.append(replace(node, name=name))


def _quantize_constant(state: State, node: onnx.NodeProto, array: np.ndarray) -> Const:
    """Weights that the file holds as float, quantised as the file says."""
    scale, zero_point = _parameters(state, node)
    if zero_point.dtype != np.int8 or array.dtype != np.float32:
        refuse(node, f"constants can be quantised from float32 to int8, not from {array.dtype} to {zero_point.dtype}")
    if not np.isfinite(array).all():
        refuse(node, "a weight is not finite")
    axis = attributes(node, axis=1)["axis"] % max(array.ndim, 1)
    along = [-1 if n == axis else 1 for n in range(array.ndim)] if scale.size > 1 else []
    code = np.rint(array / scale.reshape(along)) + zero_point.reshape(along).astype(np.float32)
    return Const(np.clip(code, -128, 127).astype(np.int8))


def dequantize(state: State, node: onnx.NodeProto) -> Real | Scaled:
    """DequantizeLinear of an activation or of a constant."""
    value = state.values[node.input[0]]
    if isinstance(value, Const):
        return _dequantize_constant(state, node, value.array)
    if not isinstance(value, Codes):
        refuse(node, "its input is not an int8 tensor of this model")
    tensor = state.tensors[value.tensor]
    if _activation(state, node) != (tensor.scale, tensor.zero_point):
        refuse(node, "its scale or zero point is not the one its input was quantised with")
    return Real(value.tensor)


def _dequantize_constant(state: State, node: onnx.NodeProto, array: np.ndarray) -> Scaled:
    scale, zero_point = _parameters(state, node)
    if array.dtype not in (np.int8, np.int32):
        refuse(node, f"constants are {array.dtype}, only int8 weights and int32 biases are supported")
    if zero_point.any():
        refuse(node, "constants must have zero point 0")
    axis = attributes(node, axis=1)["axis"]
    if scale.size > 1 and (not -array.ndim <= axis < array.ndim or scale.size != array.shape[axis]):
        refuse(node, f"{scale.size} scales do not match axis {axis} of a constant of shape {array.shape}")
    return Scaled(array=array, scale=scale.reshape(-1), axis=axis % max(array.ndim, 1))
