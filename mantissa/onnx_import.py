"""Import of ONNX models with QuantizeLinear and DequantizeLinear, as onnxruntime's ``quantize_static`` writes them, or with our own
Quantize, :mod:`.onnx_formats`.

What can be imported is exact in :mod:`.graph`; anything else is refused with the node's name, operator and the reason.
"""
from __future__ import annotations

from pathlib import Path

from google.protobuf import message
import numpy as np
import onnx
from onnx import numpy_helper

from .errors import MantissaError
from .graph import Graph
from .onnx_formats import DOMAIN, OPERATOR, VERSION, quantize_format
from .onnx_operators import OPERATORS
from .onnx_quantize import dequantize, quantize
from .onnx_values import Codes, Const, Input, Pending, Real, State, Value, attributes, refuse

__all__ = ["OPSETS", "convert", "load"]

OPSETS = (13, 26)
"""Oldest and newest version of ONNX's operators."""


def load(path: str | Path) -> Graph:
    """Graph of an ONNX file.

    Raises
    ------
    MantissaError
        If there is no such file, it is not ONNX, or it has something that is not supported.
    """
    path = Path(path)
    try:
        model = onnx.load(path)
    except (message.DecodeError, UnicodeDecodeError):
        raise MantissaError(f"Model {path.name} must be an ONNX file: it is truncated or of another kind") from None
    except OSError as error:
        raise MantissaError(f"Model {path.name} can not be read: {error.strerror or error}") from None
    if not model.HasField("graph") or not model.opset_import:
        raise MantissaError(f"Model {path.name} must be an ONNX file: it is truncated or of another kind")
    return convert(model, path.stem)


def convert(model: onnx.ModelProto, name: str = "model") -> Graph:
    """Graph of an ONNX model.

    Raises
    ------
    MantissaError
        If it is not valid or has something that is not supported.
    """
    _check(model, name)
    state = State(batched=True, values={})
    for tensor in model.graph.initializer:
        state.values[tensor.name] = Const(numpy_helper.to_array(tensor))
    _input(model, state)
    for node in model.graph.node:
        _node(state, node)
    return _graph(model, state, name)


def _check(model: onnx.ModelProto, name: str) -> None:
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    least, most = OPSETS
    version = versions.get("ai.onnx", 0)
    if not least <= version <= most:
        raise MantissaError(f"Model {name} must use opset {least} to {most}, not {version}")
    if (ours := versions.get(DOMAIN, VERSION)) != VERSION:
        raise MantissaError(f"Model {name} must use version {VERSION} of domain {DOMAIN}, not {ours}")
    for node in model.graph.node:
        if node.domain == DOMAIN:
            if node.op_type != OPERATOR:
                refuse(node, f"domain {DOMAIN} has no such operator, only {OPERATOR}")
            continue
        if node.domain not in ("", "ai.onnx"):
            refuse(node, f"operators of domain {node.domain} are not supported")
        if node.op_type not in OPERATORS and node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Constant"):
            refuse(node, f"the operator is not supported, only {', '.join(OPERATORS)} between QuantizeLinear and DequantizeLinear are")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split("\n", 1)[0].split())
        raise MantissaError(f"Model {name} must be valid ONNX: {reason}") from None


def _input(model: onnx.ModelProto, state: State) -> None:
    inputs = [value for value in model.graph.input if value.name not in state.values]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise MantissaError(f"Model must have one input and one output, not {len(inputs)} and {len(model.graph.output)}")
    kind = inputs[0].type.tensor_type
    if kind.elem_type != onnx.TensorProto.FLOAT:
        raise MantissaError(f"Input {inputs[0].name} must be float32, not {onnx.TensorProto.DataType.Name(kind.elem_type).lower()}")
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if not 2 <= len(dims) <= 4:
        raise MantissaError(f"Input {inputs[0].name} must have 2, 3 or 4 dimensions, not {len(dims)}")
    if min(dims[1:]) < 1:
        raise MantissaError(f"Input {inputs[0].name} must have fixed dimensions but for the first one, not {_dims(kind)}")
    state.batched = len(dims) > 2 or dims[0] < 2             # a larger fixed number of rows is a matrix, not samples
    per_sample = tuple(dims[state.batched:])
    if len(per_sample) == 3:
        shape: tuple[int, ...] = (*per_sample[1:], per_sample[0])
    else:
        shape = per_sample if len(per_sample) == 2 else (1, *per_sample)
    state.values[inputs[0].name] = Input(shape=shape, onnx=per_sample)


def _dims(kind: onnx.TypeProto.Tensor) -> str:
    return "(" + ", ".join(dim.dim_param or str(dim.dim_value or "?") for dim in kind.shape.dim) + ")"


def _node(state: State, node: onnx.NodeProto) -> None:
    missing = [name for name in node.input if name and name not in state.values]
    if missing:
        refuse(node, f"its input {missing[0]} is not there")
    if node.domain == DOMAIN:
        value: Value = quantize_format(state, node)
    elif node.op_type == "Constant":
        value = _constant(node)
    elif node.op_type == "QuantizeLinear":
        value = quantize(state, node)
    elif node.op_type == "DequantizeLinear":
        value = dequantize(state, node)
    else:
        value = OPERATORS[node.op_type](state, node)
    state.values[node.output[0]] = value


def _constant(node: onnx.NodeProto) -> Const:
    given = attributes(node)
    if "value" in given:
        return Const(numpy_helper.to_array(given["value"]))
    for name, kind in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32), ("value_floats", np.float32)):
        if name in given:
            return Const(np.array(given[name], kind))
    refuse(node, "a constant must be a tensor or numbers")


def _graph(model: onnx.ModelProto, state: State, name: str) -> Graph:
    output = model.graph.output[0].name
    value = state.values.get(output)
    if isinstance(value, Pending):
        raise MantissaError(f"Output {output} must be quantised: node {value.node.name} is not followed by QuantizeLinear or Quantize")
    if not isinstance(value, (Real, Codes)) or state.input is None:
        raise MantissaError(f"Output {output} must be computed from the input through QuantizeLinear and DequantizeLinear")
    if isinstance(value, Codes):
        raise MantissaError(f"Output {output} must be float32, through DequantizeLinear, not codes")
    first = state.values[next(value.name for value in model.graph.input if isinstance(state.values.get(value.name), Input))]
    dims = first.onnx if isinstance(first, Input) and first.onnx != state.tensors[state.input].onnx else None
    return Graph(name=name, tensors=state.tensors, nodes=tuple(state.nodes), input=state.input, output=value.tensor,
                 batched=state.batched, dims=dims)
