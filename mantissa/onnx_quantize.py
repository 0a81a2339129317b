"""QuantizeLinear and DequantizeLinear of a model that is imported."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from .codes import encode
from .formats import get_scalar
from .graph import Node, Rescale, Reshape, Tensor
from .onnx_values import Codes, Const, Input, Pending, Real, Scaled, State, Steps, Value, attributes, constant, node_name, refuse

__all__ = ["STANDARD", "along", "check_axis", "check_scale", "check_weights", "dequantize", "quantize", "settle"]


STANDARD = {"int8": "int8", "int4": "int4", "float8_e4m3fn": "e4m3", "float4_e2m1fn": "e2m1"}
"""ONNX's types whose formats the accelerator has."""

_TYPES = f"{', '.join(list(STANDARD)[:-1])} and {list(STANDARD)[-1]}"


def check_scale(node: onnx.NodeProto, scale: np.ndarray) -> None:
    """Refuse a scale that is not a positive float32."""
    if scale.dtype != np.float32:
        refuse(node, f"its scale is {scale.dtype}, not float32")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        refuse(node, f"its scale must be positive and finite, not {scale[~(np.isfinite(scale) & (scale > 0))].flat[0]}"
               if scale.ndim else f"its scale must be positive and finite, not {scale}")


def _parameters(state: State, node: onnx.NodeProto, kind: str | None = None) -> tuple[np.ndarray, np.ndarray, str]:
    """Scale and zero point, both constant, and the codes' type: ``kind`` if nothing says it."""
    given = attributes(node, axis=1, block_size=0, output_dtype=0)
    if given["block_size"]:
        refuse(node, "blocked scales are not supported")
    zero_point = constant(state, node, 2, "zero point") if len(node.input) > 2 and node.input[2] else None
    if zero_point is not None:
        kind = str(zero_point.dtype)
    elif node.op_type == "QuantizeLinear":
        if not given["output_dtype"]:
            refuse(node, f"it has no zero point, so its output is uint8, and only {_TYPES} are supported")
        kind = str(onnx.helper.tensor_dtype_to_np_dtype(given["output_dtype"]))
    scale = constant(state, node, 1, "scale")
    check_scale(node, scale)
    return scale, np.zeros(scale.shape, np.int8) if zero_point is None else zero_point, kind or "int8"


def _activation(state: State, node: onnx.NodeProto, kind: str | None = None) -> Steps:
    """What an activation's codes stand for: one scale."""
    scale, zero_point, kind = _parameters(state, node, kind)
    if kind == "uint8":
        refuse(node, "activations are uint8; quantise the model with activation_type=QuantType.QInt8")
    if kind not in STANDARD:
        refuse(node, f"activations are {kind}, only {_TYPES} are supported")
    if scale.size != 1 or zero_point.size != 1:
        refuse(node, f"activations must have one scale, not {scale.size}")
    zero = float(zero_point.flat[0])
    if zero != 0 and kind != "int8":
        refuse(node, f"activations of {kind} must have zero point 0, not {zero:g}")
    return Steps(float(scale.flat[0]), int(zero), STANDARD[kind])


def quantize(state: State, node: onnx.NodeProto) -> Codes | Const:
    """QuantizeLinear: gives the node before it its output tensor."""
    value = state.values[node.input[0]]
    if isinstance(value, Const):
        return _quantize_constant(state, node, value.array)
    return Codes(settle(state, node, value, _activation(state, node)))


def settle(state: State, node: onnx.NodeProto, value: Value, steps: Steps) -> str:
    """Name of the tensor that a value becomes when a node quantises it."""
    out = node.output[0]
    if isinstance(value, Input):
        if state.input is None:
            state.input = out
            state.tensors[out] = Tensor(name=out, shape=value.shape, onnx=value.onnx, **steps._asdict())
        first = state.tensors[state.input]
        if (steps, value.onnx) != (Steps.of(first), first.onnx):
            refuse(node, "the input is quantised in two ways")
        return state.input
    if isinstance(value, Real):
        source = state.tensors[value.tensor]
        if steps == Steps.of(source):
            return value.tensor
        value = Pending(node=Rescale(name=node_name(node), inputs=(source.name,), output=""), shape=source.shape, onnx=source.onnx)
    if not isinstance(value, Pending):
        refuse(node, "its input is already quantised")
    _finish(state, value, Tensor(name=out, shape=value.shape, onnx=value.onnx, **steps._asdict()))
    return out


def _finish(state: State, pending: Pending, out: Tensor) -> None:
    """Add a pending node, now that its output tensor is known."""
    state.tensors[out.name] = out
    node: Node = pending.node
    if isinstance(node, Reshape):
        source = state.tensors[node.inputs[0]]
        if Steps.of(source) != Steps.of(out):
            between = replace(out, name=f"{out.name} before scaling", **Steps.of(source)._asdict())
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
    scale, zero_point, kind = _parameters(state, node)
    if kind != "int8" or array.dtype != np.float32:
        refuse(node, f"constants can be quantised from float32 to int8, not from {array.dtype} to {kind}")
    check_weights(node, array)
    axis = attributes(node, axis=1)["axis"] % max(array.ndim, 1)
    code = np.rint(array / along(scale, array, axis)) + along(zero_point, array, axis).astype(np.float32)
    return Const(np.clip(code, -128, 127).astype(np.int8))


def check_weights(node: onnx.NodeProto, array: np.ndarray) -> None:
    """Refuse weights that are not numbers."""
    if not np.isfinite(array).all():
        refuse(node, "a weight is not finite")


def along(scale: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """Scales, one or one for each index along ``axis``, so that they broadcast."""
    return scale.reshape([-1 if n == axis else 1 for n in range(array.ndim)] if scale.size > 1 else [])


def check_axis(node: onnx.NodeProto, scale: np.ndarray, array: np.ndarray, axis: int) -> None:
    """Refuse scales that do not match the axis they are along."""
    if scale.size > 1 and (not -array.ndim <= axis < array.ndim or scale.size != array.shape[axis]):
        refuse(node, f"{scale.size} scales do not match axis {axis} of a constant of shape {array.shape}")


def dequantize(state: State, node: onnx.NodeProto) -> Real | Scaled:
    """DequantizeLinear of an activation or of a constant."""
    value = state.values[node.input[0]]
    if isinstance(value, Const):
        return _dequantize_constant(state, node, value.array)
    if not isinstance(value, Codes):
        refuse(node, "its input is not an int8 tensor of this model")
    tensor = state.tensors[value.tensor]
    kind = next(name for name, format in STANDARD.items() if format == tensor.format)
    if _activation(state, node, kind) != Steps.of(tensor):
        refuse(node, "its scale or zero point is not the one its input was quantised with")
    return Real(value.tensor)


def _dequantize_constant(state: State, node: onnx.NodeProto, array: np.ndarray) -> Scaled:
    scale, zero_point, _ = _parameters(state, node)
    kind = str(array.dtype)
    if kind not in (*STANDARD, "int32"):
        refuse(node, f"constants are {kind}, only {_TYPES} weights and int32 biases are supported")
    if zero_point.astype(np.float32).any():
        refuse(node, "constants must have zero point 0")
    axis = attributes(node, axis=1)["axis"]
    check_axis(node, scale, array, axis)
    name = STANDARD.get(kind, "int8")
    if name != "int8":
        values = array.astype(np.float32)
        check_weights(node, values)
        array = encode(get_scalar(name), values).astype(np.uint8).view(np.int8)
    return Scaled(array=array, scale=scale.reshape(-1), axis=axis % max(array.ndim, 1), format=name)
