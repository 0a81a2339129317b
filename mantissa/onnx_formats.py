"""Our own operator of a model that is imported: ``Quantize`` of domain ``mantissa``, version 1.

``Quantize(x, scale)`` with attribute ``format`` stands for ``decode(encode(x / scale)) * scale``, on float32: what QuantizeLinear and
DequantizeLinear are together, in any format of :data:`.fixed.WEIGHTS`. The quotient is a float32; encode rounds it once, half to
even, and saturates.

On an activation ``scale`` is one number. On a constant it is one number or one for each index along attribute ``axis``, the output
channels (0 unless given). The format mxfp4 is for constants alone and takes a third input, ``exponents``: int64 from 0 to 14, of the
constant's shape but with a 32nd of its input channels, rounded up; a weight is then ``decode(encode(x / s)) * s`` with
``s = scale * 2**exponent`` of its block and format e2m1.
"""
from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import onnx

from .codes import encode
from .fixed import BLOCK, EXPONENT_MOST, WEIGHTS
from .formats import get_scalar
from .onnx_quantize import along, check_axis, check_scale, check_weights, settle
from .onnx_values import Codes, Const, Real, Scaled, State, Steps, attributes, constant, refuse

__all__ = ["DOMAIN", "OPERATOR", "VERSION", "quantize_format"]

DOMAIN = "mantissa"
VERSION = 1
OPERATOR = "Quantize"

_NEAR = {"fp8": "e4m3", "float8": "e4m3", "float8_e4m3fn": "e4m3", "fp4": "e2m1", "float4": "e2m1", "float4_e2m1fn": "e2m1"}


def quantize_format(state: State, node: onnx.NodeProto) -> Real | Scaled:
    """Quantize of an activation or of a constant."""
    given = attributes(node, axis=0)
    name = _format(node, given)
    if unknown := sorted(set(given) - {"axis", "format"}):
        refuse(node, f"it has no attribute {unknown[0]}, only axis and format")
    if not isinstance(given["axis"], int):
        refuse(node, f"axis must be an integer, not {given['axis']!r}")
    if not 2 <= len(node.input) <= 3 or not all(node.input):
        refuse(node, f"it must have 2 or 3 inputs, not {len([one for one in node.input if one])}")
    if len(node.output) != 1:
        refuse(node, f"it must have 1 output, not {len(node.output)}")
    value, scale = state.values[node.input[0]], constant(state, node, 1, "scale")
    check_scale(node, scale)
    if (len(node.input) == 3) != (name == "mxfp4"):
        refuse(node, "mxfp4 needs exponents, its third input" if name == "mxfp4" else f"exponents are for mxfp4, not for {name}")
    if isinstance(value, Const):
        return _weights(state, node, value.array, scale, name, given["axis"])
    if name == "mxfp4":
        refuse(node, "mxfp4 is for constants, not for activations; e4m3 suits those of such a layer")
    if isinstance(value, (Codes, Scaled)):
        refuse(node, "its input is already quantised")
    if scale.size != 1:
        refuse(node, f"activations must have one scale, not {scale.size}")
    return Real(settle(state, node, value, Steps(float(scale.flat[0]), 0, name)))


def _format(node: onnx.NodeProto, given: Any) -> str:
    name = given.get("format")
    if name not in WEIGHTS:
        near = [_NEAR[name]] if name in _NEAR else difflib.get_close_matches(str(name), WEIGHTS, n=3, cutoff=0.5)
        hint = f" (near it: {', '.join(near)})" if near else ""
        refuse(node, f"its format must be one of {', '.join(WEIGHTS)}, not {name!r}{hint}")
    return str(name)


def _weights(state: State, node: onnx.NodeProto, array: np.ndarray, scale: np.ndarray, name: str, axis: int) -> Scaled:
    if array.dtype != np.float32:
        refuse(node, f"constants must be float32, not {array.dtype}")
    check_weights(node, array)
    check_axis(node, scale, array, axis)
    if not -array.ndim <= axis < array.ndim:
        refuse(node, f"axis {axis} is not one of a constant of shape {array.shape}")
    axis %= array.ndim
    step, exponents = along(scale, array, axis), None
    if name == "mxfp4":
        exponents = _exponents(node, array, axis, constant(state, node, 2, "input of exponents"))
        deep = 1 - axis
        each = np.repeat(exponents, BLOCK, axis=deep).take(range(array.shape[deep]), axis=deep)
        step = np.ldexp(step, each)
    with np.errstate(over="ignore"):
        codes = encode(get_scalar("e2m1" if name == "mxfp4" else name), array / step)
    return Scaled(array=codes.astype(np.uint8).view(np.int8), scale=scale.reshape(-1), axis=axis, format=name, exponents=exponents,
                  rounded=True)


def _exponents(node: onnx.NodeProto, array: np.ndarray, axis: int, exponents: np.ndarray) -> np.ndarray:
    if array.ndim < 2 or axis > 1:
        refuse(node, f"a constant of mxfp4 must have its output channels along axis 0 or 1, not along {axis} of shape {array.shape}")
    shape = tuple(-(-size // BLOCK) if n == 1 - axis else size for n, size in enumerate(array.shape))
    if exponents.shape != shape:
        refuse(node, f"its exponents must have shape {shape}, one for each {BLOCK} input channels, not {exponents.shape}")
    if exponents.dtype != np.int64:
        refuse(node, f"its exponents must be int64, not {exponents.dtype}")
    if exponents.min() < 0 or exponents.max() > EXPONENT_MOST:
        wrong = exponents.min() if exponents.min() < 0 else exponents.max()
        refuse(node, f"its exponents must be from 0 to {EXPONENT_MOST}, not {wrong}")
    return exponents
