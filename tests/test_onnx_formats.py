"""Import of Quantize, of domain mantissa, and of ONNX's narrow types: against onnx's own evaluator, and every refusal."""
from __future__ import annotations

from collections.abc import Callable
import re
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
import pytest

from mantissa.errors import MantissaError
from mantissa.fixed import NAMES, WEIGHTS
from mantissa.formats import decode, encode, get_scalar
from mantissa.graph import Conv, MatMul, evaluate
from mantissa.onnx_import import convert

TYPES = {"int8": np.int8, "int4": ml_dtypes.int4, "e4m3": ml_dtypes.float8_e4m3fn, "e2m1": ml_dtypes.float4_e2m1fn}
LARGEST = {"int8": (-128, 127), "int4": (-8, 7), "e4m3": (-448, 448), "e2m1": (-6, 6)}


def nearest(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers of a format: by ml_dtypes where it has the format."""
    if name in TYPES:
        clipped = np.clip(values, *LARGEST[name])
        return (np.rint(clipped) if name.startswith("int") else clipped.astype(TYPES[name])).astype(np.float32)
    return decode(get_scalar(name), encode(get_scalar(name), values)).astype(np.float32)


class Quantize(OpRun):
    """The operator as its definition says, for onnx's evaluator."""
    op_domain = "mantissa"

    def _run(self, x: np.ndarray, scale: np.ndarray, exponents: np.ndarray | None = None, *, format: str,
             axis: int | None = None) -> tuple[np.ndarray]:
        axis = 0 if axis is None else axis
        step = scale.reshape([-1 if n == axis else 1 for n in range(x.ndim)]) if scale.size > 1 else scale.reshape(())
        if exponents is not None:
            blocks = np.arange(x.shape[1 - axis]) // 32
            step = step * np.take(2.0 ** exponents.astype(np.float32), blocks, axis=1 - axis)
        step = np.asarray(step, np.float32)
        return (nearest("e2m1" if format == "mxfp4" else format, x / step) * step,)


class Maker:
    """A model with Quantize, node by node."""

    def __init__(self, shape: list[int], **input: Any) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = shape
        self.x = self.quantize("input", **input) if input else "input"

    def constant(self, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        n = len(self.nodes)
        self.nodes.append(helper.make_node(op, list(inputs), [f"t{n}"], f"{op.lower()}{n}", **attributes))
        return f"t{n}"

    def quantize(self, x: str, *, scale: Any = 1.0, exponents: np.ndarray | None = None, **attributes: Any) -> str:
        more = [] if exponents is None else [self.constant(exponents)]
        scale = scale if isinstance(scale, np.ndarray) else np.array(scale, np.float32)
        return self.node("Quantize", x, self.constant(scale), *more, domain="mantissa", **attributes)

    def model(self, version: int = 1, opset: int = 17) -> onnx.ModelProto:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in (("input", ["N", *self.shape]), (f"t{len(self.nodes) - 1}", ["N", "M"]))]
        graph = helper.make_graph(self.nodes, "formats", ends[:1], ends[1:], self.constants)
        return helper.make_model(graph, ir_version=8 if opset < 19 else 11,
                                 opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("mantissa", version)])


def network(act: str, weights: str, seed: int = 0) -> onnx.ModelProto:
    """Every operator, of one format; scales are powers of two, so that float32 is exact."""
    rng = np.random.default_rng(seed)
    make = Maker([3, 8, 8], format=act, scale=0.5)

    def weight(outs: int, deep: int, *kernel: int, transposed: bool = False) -> str:
        array = (rng.integers(-16, 17, (outs, deep, *kernel)) / 8).astype(np.float32)
        scale, exponents = (2.0 ** rng.integers(-3, 0, outs)).astype(np.float32), None
        if weights == "mxfp4":
            exponents = rng.integers(0, 3, (outs, -(-deep // 32), *kernel))
        if transposed:
            array, exponents = array.T, None if exponents is None else exponents.T
        return make.quantize(make.constant(array), scale=scale, exponents=exponents, format=weights, axis=int(transposed))

    def bias(outs: int) -> str:
        return make.constant((rng.integers(-8, 9, outs) * 2).astype(np.float32))

    x = make.quantize(make.node("Relu", make.node("Conv", make.x, weight(34, 3, 3, 3), bias(34), pads=[1, 1, 1, 1])), scale=2, format=act)
    y = make.quantize(make.node("Conv", x, weight(34, 34, 1, 1)), scale=8, format=act)
    x = make.quantize(make.node("Relu", make.node("Add", x, y)), scale=8, format=act)
    x = make.quantize(make.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), scale=8, format=act)
    x = make.quantize(make.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), scale=4, format=act)
    x = make.quantize(make.node("GlobalAveragePool", x), scale=4, format=act)
    x = make.quantize(make.node("Flatten", x), scale=4, format=act)
    x = make.quantize(make.node("Gemm", x, weight(9, 34), bias(9), transB=1), scale=2, format=act)
    make.quantize(make.node("MatMul", x, weight(5, 9, transposed=True)), scale=4, format="e4m3")
    return make.model()


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("act", NAMES)
def test_network_is_what_onnx_says(act: str, weights: str) -> None:
    model = network(act, weights)
    graph = convert(model)
    values = (np.random.default_rng(1).integers(-16, 17, (3, 3, 8, 8)) / 8).astype(np.float32)
    codes = evaluate(graph, graph.quantize(values))
    theirs, = ReferenceEvaluator(model, new_ops=[Quantize]).run(None, {"input": values})
    ours = graph.dequantize(codes[graph.output])
    assert np.array_equal(ours, theirs) and len(np.unique(ours)) > 3
    assert {(node.weight_format, graph.tensors[node.inputs[0]].format) for node in graph.nodes if isinstance(node, (Conv, MatMul))} == {
        (weights, act)}


def test_formats_and_quantize_linear_mix() -> None:
    """int8 through QuantizeLinear, e2m1 weights through Quantize, and a change of format between layers."""
    make = Maker([6])
    scale, zero = make.constant(np.array(0.25, np.float32)), make.constant(np.array(5, np.int8))
    x = make.node("DequantizeLinear", make.node("QuantizeLinear", "input", scale, zero), scale, zero)
    w = (np.random.default_rng(0).integers(-16, 17, (4, 6)) / 8).astype(np.float32)
    x = make.node("Gemm", x, make.quantize(make.constant(w), format="e2m1"), make.constant(np.ones(4, np.float32)), transB=1)
    x = make.quantize(make.quantize(x, format="posit8_0"), format="e4m3", scale=0.5)
    model = make.model(opset=19)
    graph = convert(model)
    assert [tensor.format for tensor in graph.tensors.values()] == ["int8", "posit8_0", "e4m3"]
    values = np.random.default_rng(1).integers(-40, 40, (9, 6)).astype(np.float32) / 8
    found = evaluate(graph, graph.quantize(values))[graph.output]
    assert np.array_equal(graph.dequantize(found), ReferenceEvaluator(model, new_ops=[Quantize]).run(None, {"input": values})[0])


@pytest.mark.parametrize(("kind", "name", "opset"), [("int4", "int4", 21), ("e4m3", "e4m3", 21), ("e2m1", "e2m1", 23)])
def test_narrow_types_of_onnx(kind: str, name: str, opset: int) -> None:
    make = Maker([6])
    element = {"int4": TensorProto.INT4, "e4m3": TensorProto.FLOAT8E4M3FN, "e2m1": TensorProto.FLOAT4E2M1}[kind]

    def tensor(shape: tuple[int, ...], values: np.ndarray) -> str:
        make.constants.append(helper.make_tensor(f"c{len(make.constants)}", element, shape, values.ravel().tolist()))
        return make.constants[-1].name
    scale, zero = make.constant(np.array(0.5, np.float32)), tensor((), np.zeros(1))
    x = make.node("DequantizeLinear", make.node("QuantizeLinear", "input", scale, zero), scale, zero)
    steps = np.array([0.5, 1, 2, 0.25], np.float32)
    w = tensor((4, 6), np.random.default_rng(0).integers(-4, 5, (4, 6)).astype(np.float32))
    x = make.node("Gemm", x, make.node("DequantizeLinear", w, make.constant(steps), axis=0), transB=1)
    more = {} if opset < 23 else {"output_dtype": element}
    make.node("DequantizeLinear", make.node("QuantizeLinear", x, scale, *[] if more else [zero], **more), scale, zero)
    model = make.model(opset=opset)
    graph = convert(model)
    assert {tensor.format for tensor in graph.tensors.values()} == {name} == {node.weight_format for node in graph.nodes}  # pyright: ignore
    values = (np.random.default_rng(1).integers(-8, 9, (5, 6)) / 4).astype(np.float32)
    codes = evaluate(graph, graph.quantize(values))[graph.output]
    weight = numpy_helper.to_array(make.constants[2]).astype(np.float32) * steps[:, None]
    expected = nearest(name, (nearest(name, values / 0.5) * 0.5) @ weight.T / 0.5) * 0.5
    assert np.array_equal(graph.dequantize(codes), expected) and len(np.unique(expected)) > 4


@pytest.mark.parametrize("name", WEIGHTS)
def test_int32_bias_and_float_bias_are_the_same(name: str) -> None:
    """Steps of the product of scales are whole numbers of units of the sum."""
    def made(integers: bool) -> np.ndarray:
        make = Maker([2], format="e4m3", scale=0.5)
        exponents = np.zeros((3, 1), np.int64) if name == "mxfp4" else None
        weight = make.quantize(make.constant(np.ones((3, 2), np.float32)), exponents=exponents, scale=0.25, format=name)
        steps = np.array([3, -5, 1000])
        bias = make.constant((steps * 0.125).astype(np.float32))
        if integers:
            bias = make.node("DequantizeLinear", make.constant(steps.astype(np.int32)), make.constant(np.array(0.125, np.float32)))
        make.quantize(make.node("Gemm", make.x, weight, bias, transB=1), format="int8")
        node, = convert(make.model()).nodes
        assert isinstance(node, MatMul)
        return node.bias
    assert made(True).tolist() == made(False).tolist() and (made(True) % 3).any()


# What is refused.

def vector(build: Callable[[Maker], Any], **input: Any) -> Maker:
    """Model of 40 inputs whose last node is a product with what ``build`` makes, quantised."""
    make = Maker([40], **{"format": "e4m3", **input})
    made = build(make)
    make.quantize(make.node("Gemm", make.x, *(made if isinstance(made, tuple) else (made,)), transB=1), format="e4m3")
    return make


def weights(shape: tuple[int, ...] = (3, 40), value: float = 1, kind: type = np.float32, **given: Any) -> Callable[[Maker], str]:
    def build(make: Maker) -> str:
        return make.quantize(make.constant(np.full(shape, value, kind)), **{"format": "e2m1", **given})
    return build


def mxfp4(shape: tuple[int, ...] = (3, 2), value: int = 0, kind: type = np.int64, **given: Any) -> Callable[[Maker], str]:
    return weights(format="mxfp4", exponents=np.full(shape, value, kind), **given)


def biased(**given: Any) -> Callable[[Maker], tuple[str, str]]:
    return lambda make: (weights()(make), make.constant(np.full(**{"shape": 3, "fill_value": 1, "dtype": np.float32, **given})))


def of_input(change: Callable[[Maker], Any]) -> Maker:
    make = Maker([40], format="e4m3")
    change(make)
    return make


def two_formats(make: Maker) -> None:
    other = make.quantize(make.node("Relu", make.x), format="e2m1")
    make.quantize(make.node("Add", make.x, other), format="e4m3")


def extra_input(make: Maker) -> None:
    node = make.nodes[0]
    node.input.extend([make.constant(np.zeros(1, np.int64)), node.input[1]])


NAMED = "int8, int4, e4m3, e2m1, posit8_0, posit4_1, mxfp4"

NODES: list[tuple[str, Maker]] = [
    (f"quantize1: its format must be one of {NAMED}, not 'e4m2' (near it: e4m3, e2m1)", vector(weights(format="e4m2"))),
    (f"quantize1: its format must be one of {NAMED}, not 'fp8' (near it: e4m3)", vector(weights(format="fp8"))),
    (f"quantize1: its format must be one of {NAMED}, not 'posit8' (near it: posit8_0, posit4_1, int8)", vector(weights(format="posit8"))),
    (f"quantize1: its format must be one of {NAMED}, not 'bfloat16'", vector(weights(format="bfloat16"))),
    (f"quantize1: its format must be one of {NAMED}, not 4", vector(weights(format=4))),
    (f"quantize0: its format must be one of {NAMED}, not None", of_input(lambda make: make.nodes[0].ClearField("attribute"))),
    ("quantize1: it has no attribute bits, only axis and format", vector(weights(bits=4))),
    ("quantize1: axis must be an integer, not 0.5", vector(weights(axis=0.5))),
    ("quantize0: it must have 1 output, not 2", of_input(lambda make: make.nodes[0].output.append("more"))),
    ("quantize0: it must have 2 or 3 inputs, not 1", of_input(lambda make: make.nodes[0].input.pop())),
    ("quantize0: it must have 2 or 3 inputs, not 4", of_input(extra_input)),
    ("quantize0: its scale must be positive and finite, not 0.0", vector(weights(), scale=0)),
    ("quantize0: its scale must be positive and finite, not nan", vector(weights(), scale=np.nan)),
    ("quantize1: its scale must be positive and finite, not -1.0", vector(weights(scale=np.array([1, -1, 1], np.float32)))),
    ("quantize1: its scale must be positive and finite, not inf", vector(weights(scale=np.inf))),
    ("quantize1: its scale is float64, not float32", vector(weights(scale=np.ones(3)))),
    ("quantize2: its scale is not constant", of_input(
        lambda make: make.node("Quantize", make.node("Relu", make.x), make.x, domain="mantissa", format="e4m3"))),
    ("quantize0: activations must have one scale, not 40", vector(weights(), scale=np.ones(40, np.float32))),
    ("quantize2: its input is already quantised", vector(lambda make: make.quantize(weights()(make), format="e2m1"))),
    ("quantize0: mxfp4 is for constants, not for activations; e4m3 suits those of such a layer",
     vector(weights(), format="mxfp4", exponents=np.zeros(1, np.int64))),
    ("quantize1: mxfp4 needs exponents, its third input", vector(weights(format="mxfp4"))),
    ("quantize1: exponents are for mxfp4, not for e2m1", vector(weights(exponents=np.zeros((3, 2), np.int64)))),
    ("quantize1: its exponents must be from 0 to 14, not 15", vector(mxfp4(value=15))),
    ("quantize1: its exponents must be from 0 to 14, not -1", vector(mxfp4(value=-1))),
    ("quantize1: its exponents must be int64, not int32", vector(mxfp4(kind=np.int32))),
    ("quantize1: its exponents must have shape (3, 2), one for each 32 input channels, not (3, 1)", vector(mxfp4((3, 1)))),
    ("quantize2: a constant of mxfp4 must have its output channels along axis 0 or 1, not along 0 of shape (3,)",
     vector(lambda make: (weights()(make), weights((3,), format="mxfp4", exponents=np.zeros(1, np.int64))(make)))),
    ("quantize1: a weight is not finite", vector(weights(value=np.nan))),
    ("quantize1: a weight is not finite", vector(weights(value=-np.inf))),
    ("quantize1: constants must be float32, not float64", vector(weights(kind=np.float64))),
    ("quantize1: 2 scales do not match axis 0 of a constant of shape (3, 40)", vector(weights(scale=np.ones(2, np.float32)))),
    ("quantize1: axis 2 is not one of a constant of shape (3, 40)", vector(weights(axis=2))),
    ("gemm2: its weights have a scale per index of axis 1, only axis 0, the output channels, is supported",
     vector(mxfp4((1, 40), axis=1))),
    ("gemm2: its bias must have 3 elements, not shape (2,)", vector(biased(shape=2))),
    ("gemm2: its bias must be finite numbers", vector(biased(fill_value=np.inf))),
    ("gemm2: its bias 1e+30 must be below 2**62 steps of its sum, 0.000976562 each", vector(biased(fill_value=1e30))),
    ("gemm2: its bias must be a constant int32 through DequantizeLinear, or float32", vector(biased(dtype=np.int64))),
    ("add3: its inputs must be of one format, not e4m3 and e2m1", of_input(two_formats)),
    ("quantise1: domain mantissa has no such operator, only Quantize",
     of_input(lambda make: make.node("Quantise", make.x, domain="mantissa"))),
]


@pytest.mark.parametrize(("reason", "make"), NODES, ids=range(len(NODES)))
def test_node_refused(reason: str, make: Maker) -> None:
    name, _, sentence = reason.partition(": ")
    op = next((one.op_type for one in make.nodes if one.name == name), "Quantize")
    with pytest.raises(MantissaError, match=f"^{re.escape(f'Node {name} ({op}) can not be compiled: {sentence}')}$"):
        convert(make.model())


def test_other_versions_are_refused() -> None:
    with pytest.raises(MantissaError, match="^Model model must use version 1 of domain mantissa, not 2$"):
        convert(vector(weights()).model(version=2))


@pytest.mark.parametrize(("kind", "value", "said"), [("INT4", 3, "int4 .* not 3"), ("FLOAT8E4M3FN", np.nan, "float8_e4m3fn .* not nan")])
def test_zero_points_of_narrow_types_are_refused(kind: str, value: float, said: str) -> None:
    make = Maker([4])
    scale = make.constant(np.array(0.5, np.float32))
    make.constants.append(helper.make_tensor("zero", TensorProto.DataType.Value(kind), (), [value]))
    make.node("DequantizeLinear", make.node("QuantizeLinear", "input", scale, "zero"), scale, "zero")
    words = said.replace(" .*", " must have zero point 0,")
    with pytest.raises(MantissaError, match=f"^Node quantizelinear0 .* activations of {words}$"):
        convert(make.model(opset=21))


def test_values_out_of_range_saturate() -> None:
    model = vector(weights(value=1e30, scale=1e-10)).model()
    node, = convert(model).nodes
    assert isinstance(node, MatMul) and np.unique(node.weight).tolist() == [7]
