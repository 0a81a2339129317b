"""Import of quantised models against onnxruntime, and every refusal."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
import pytest

from mantissa.errors import MantissaError
from mantissa.graph import Graph, MatMul, Rescale, evaluate
from mantissa.onnx_compare import compare, reference
from mantissa.onnx_import import convert, load
from mantissa.onnx_models import Builder, Value, gemm, random_cnn, random_mlp

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
Dims = list[int | str]


# Against onnxruntime, on what its quantiser writes.

class Reader(CalibrationDataReader):
    def __init__(self, arrays: list[np.ndarray]) -> None:
        self.arrays = iter([{"input": array} for array in arrays])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.arrays, None)


def agrees(model: onnx.ModelProto, values: np.ndarray) -> tuple[Graph, dict[int, int]]:
    """Import a model and hold every layer against onnxruntime: the graph, and the histogram of differences, all of them ties."""
    graph = convert(model)
    codes = reference(model, graph, values)
    assert np.array_equal(codes[graph.input], graph.quantize(values))
    found: dict[int, int] = {}
    for name, layer in compare(graph, codes).items():
        assert layer.unexplained == 0 and set(layer.histogram) <= {0, 1}, (name, layer)
        for size, count in layer.histogram.items():
            found[size] = found.get(size, 0) + count
    assert found.get(0, 0) > 0
    return graph, found


def float_model(shape: Dims, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "float", [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(array.astype(array.dtype if array.dtype == np.int64 else np.float32), name)
                               for name, array in constants.items()])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    return onnx.shape_inference.infer_shapes(model)


def quantised(tmp_path: Path, model: onnx.ModelProto, values: np.ndarray, **options: Any) -> onnx.ModelProto:
    onnx.save(model, tmp_path / "float.onnx")
    settings: dict[str, Any] = {"per_channel": True, "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8} | options
    quantize_static(tmp_path / "float.onnx", tmp_path / "int8.onnx", Reader([values]), quant_format=QuantFormat.QDQ, **settings)
    return onnx.load(tmp_path / "int8.onnx")


def node(op: str, inputs: str, output: str = "output", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], f"{op}_{output}", **attributes)


RNG = np.random.default_rng(5)
W33, W21, B6 = RNG.normal(0, 0.3, (6, 3, 3, 3)), RNG.normal(0, 0.3, (6, 3, 2, 1)), RNG.normal(0, 0.5, 6)
M, MT, B5 = RNG.normal(0, 0.4, (12, 5)), RNG.normal(0, 0.4, (5, 12)), RNG.normal(0, 0.5, 5)
IMAGE, VECTOR, MATRIX = Dims(["N", 3, 9, 8]), Dims(["N", 12]), Dims(["N", 4, 12])
ROWS, SMALL = Dims([7, 12]), Dims(["N", 3, 2, 2])

E, FIRST = np.eye(3)[:, :, None, None] + 0.1, node("Conv", "input e", "x")       # what is quantised starts at a layer with weights

CASES: dict[str, tuple[Dims, list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "conv": (IMAGE, [node("Conv", "input w b", pads=[1, 1, 1, 1])], {"w": W33, "b": B6}),
    "conv without bias, strides": (IMAGE, [node("Conv", "input w", strides=[2, 3])], {"w": W33}),
    "conv, odd pads, dilations": (IMAGE, [node("Conv", "input w b", pads=[0, 2, 1, 3], dilations=[2, 1])], {"w": W33, "b": B6}),
    "conv same upper": (IMAGE, [node("Conv", "input w", auto_pad="SAME_UPPER", strides=[2, 2])], {"w": W21}),
    "conv same lower": (IMAGE, [node("Conv", "input w", auto_pad="SAME_LOWER", strides=[2, 1])], {"w": W21}),
    "conv valid": (IMAGE, [node("Conv", "input w", auto_pad="VALID")], {"w": W33}),
    "conv relu": (IMAGE, [node("Conv", "input w b", "c"), node("Relu", "c")], {"w": W33, "b": B6}),
    "relu": (IMAGE, [FIRST, node("Relu", "x")], {"e": E}),
    "add": (IMAGE, [node("Conv", "input w b", "c", pads=[1, 1, 1, 1]), node("MaxPool", "c", "m", kernel_shape=[1, 1]), node("Add", "c m")],
            {"w": W33, "b": B6}),
    "add relu": (IMAGE, [node("Conv", "input w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "r"), node("Add", "c r", "a"),
                       node("Relu", "a")],
                 {"w": W33}),
    "max pool": (IMAGE, [FIRST, node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])], {"e": E}),
    "max pool dilated": (IMAGE, [FIRST, node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 3])], {"e": E}),
    "max pool ceil": (IMAGE, [FIRST, node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)], {"e": E}),
    "average pool": (IMAGE, [FIRST, node("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 1])], {"e": E}),
    "average pool padded": (IMAGE, [FIRST, node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
                            {"e": E}),
    "global average pool": (IMAGE, [FIRST, node("GlobalAveragePool", "x")], {"e": E}),
    "flatten gemm": (SMALL, [node("Flatten", "input", "f"), node("Gemm", "f w b")], {"w": M, "b": B5}),
    "conv flatten gemm": (SMALL, [FIRST, node("Flatten", "x", "f"), node("Gemm", "f w b")], {"e": E, "w": M, "b": B5}),
    "conv reshape gemm": (SMALL, [FIRST, node("Reshape", "x s", "f"), node("Gemm", "f w b")],
                          {"e": E, "w": M, "b": B5, "s": np.array([-1, 12], np.int64)}),
    "reshape gemm": (SMALL, [node("Reshape", "input s", "f"), node("Gemm", "f w b", transB=1)],
                     {"w": MT, "b": B5, "s": np.array([0, -1], np.int64)}),
    "reshape to the same": (IMAGE, [FIRST, node("Reshape", "x s")], {"e": E, "s": np.array([-1, 3, 0, 8], np.int64)}),
    "gemm": (VECTOR, [node("Gemm", "input w b", alpha=1.0)], {"w": M, "b": B5}),
    "gemm transposed": (VECTOR, [node("Gemm", "input w b", transB=1)], {"w": MT, "b": B5}),
    "gemm without bias": (VECTOR, [node("Gemm", "input w")], {"w": M}),
    "gemm of rows": (ROWS, [node("Gemm", "input w b")], {"w": M, "b": B5}),
    "matmul": (VECTOR, [node("MatMul", "input w")], {"w": M}),
    "matmul of matrices": (MATRIX, [node("MatMul", "input w")], {"w": M}),
    "gemm relu gemm": (VECTOR, [node("Gemm", "input w b", "g"), node("Relu", "g", "r"), node("Gemm", "r v")],
                       {"w": M, "b": B5, "v": RNG.normal(0, 1, (5, 12))}),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "per channel": {}, "per tensor": {"per_channel": False}, "symmetric": {"extra_options": {"ActivationSymmetric": True}}}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("case", CASES)
def test_quantised_operator(tmp_path: Path, case: str, options: str) -> None:
    shape, nodes, constants = CASES[case]
    values = np.random.default_rng(1).normal(0.3, 1, [6 if dim == "N" else int(dim) for dim in shape]).astype(np.float32)
    model = quantised(tmp_path, float_model(shape, nodes, constants), values, **OPTIONS[options])
    graph, _ = agrees(model, np.concatenate([values, 2 * values]) if shape[0] == "N" else 2 * values)
    assert graph.batched == (shape[0] == "N")


@pytest.mark.parametrize("opset", [13, 15, 19, 21, 23, 26])
def test_opsets(tmp_path: Path, opset: int) -> None:
    values = RNG.normal(0, 1, (4, 3, 9, 8)).astype(np.float32)
    constants = {"w": W33, "b": B6, "v": RNG.normal(0, 1, (6, 4))}
    nodes = [node("Conv", "input w b", "c"), node("Relu", "c", "r"), node("MaxPool", "r", "m", kernel_shape=[2, 2]),
             node("GlobalAveragePool", "m", "p"), node("Flatten", "p", "f"), node("Gemm", "f v")]
    model = quantised(tmp_path, float_model(IMAGE, nodes, constants), values)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    model.ir_version = 8 if opset < 19 else 10
    agrees(model, values)


def test_weights_quantised_in_the_file(tmp_path: Path) -> None:
    values = RNG.normal(0, 1, (4, 12)).astype(np.float32)
    model = float_model(VECTOR, [node("Gemm", "input w b", transB=1)], {"w": MT, "b": B5})
    model = quantised(tmp_path, model, values, extra_options={"AddQDQPairToWeight": True})
    assert [one.op_type for one in model.graph.node].count("QuantizeLinear") == 3
    agrees(model, values)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed: int) -> None:
    for model in (random_cnn(seed), random_mlp(seed)):
        onnx.checker.check_model(model, full_check=True)
        shape = convert(model).tensors[convert(model).input].onnx
        agrees(model, np.random.default_rng(seed).normal(0, 1.3, (5, *shape)).astype(np.float32))


def test_gemm_model() -> None:
    graph, found = agrees(gemm(), np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32))
    assert graph.tensors[graph.output].shape == (256, 256) and sum(found.values()) == 65536


@pytest.mark.parametrize(("name", "flat"), [("digits_cnn", False), ("digits_mlp", True)])
def test_digits(name: str, flat: bool) -> None:
    images = (np.random.default_rng(0).integers(0, 17, (50, 1, 8, 8)) / 16).astype(np.float32)
    graph, found = agrees(onnx.load(DIGITS / f"{name}.onnx"), images.reshape(50, 64) if flat else images)
    assert found == {0: sum(found.values())}                 # not even ties on this one
    assert graph.name == "model" and load(DIGITS / f"{name}.onnx").name == name


@pytest.mark.parametrize(("name", "flat"), [("digits_cnn", False), ("digits_mlp", True)])
def test_digits_accuracy(monkeypatch: pytest.MonkeyPatch, name: str, flat: bool) -> None:
    monkeypatch.syspath_prepend(DIGITS)
    from data import split
    train, train_labels, images, labels = split()
    assert train.shape == (1347, 1, 8, 8) and images.shape == (450, 1, 8, 8) and len(train_labels) == 1347
    graph = load(DIGITS / f"{name}.onnx")
    logits = graph.dequantize(evaluate(graph, graph.quantize(images.reshape(450, 64) if flat else images))[graph.output])
    assert logits.shape == (450, 10) and logits.dtype == np.float32
    assert (logits.argmax(axis=1) == labels).mean() >= 0.97


def test_output_layout() -> None:
    make = Builder(rng=np.random.default_rng(0))
    model = make.model(make.conv(make.input(2, 5, 4), 3, (2, 2)))
    graph, values = convert(model), np.random.default_rng(0).normal(0, 1, (2, 2, 5, 4)).astype(np.float32)
    found = graph.dequantize(evaluate(graph, graph.quantize(values))[graph.output])
    theirs = reference(model, graph, values)[graph.output]
    assert found.shape == (2, 3, 4, 3) and np.array_equal(found, graph.dequantize(theirs))


def test_differences_that_are_not_ties_are_counted() -> None:
    graph = convert(random_mlp(0))
    codes = evaluate(graph, np.random.default_rng(0).integers(-128, 128, (3, *graph.tensors[graph.input].shape), np.int8))
    wrong = dict(codes)
    wrong[graph.output] = np.where(codes[graph.output] < 127, codes[graph.output] + 1, 126).astype(np.int8)
    last = compare(graph, wrong)[graph.output]
    assert last.histogram == {1: codes[graph.output].size} and last.unexplained >= 0.9 * codes[graph.output].size
    assert all(layer.unexplained == layer.ties == 0 for layer in compare(graph, codes).values())


def test_names_are_unique() -> None:
    make = Builder(rng=np.random.default_rng(0))
    model = make.model(make.gemm(make.gemm(make.input(4), 4), 4))
    for one in model.graph.node:
        one.name = "same" if one.op_type == "Gemm" else one.name
    assert [made.name for made in convert(model).nodes] == ["same", "same.2"]


def test_input_quantised_in_two_ways_is_refused() -> None:
    make, x = start(4)
    other = make.requantized("input", (4,), 0.5)
    with pytest.raises(MantissaError, match=r"^Node quantizelinear2 \(QuantizeLinear\) can not be compiled: the input is quantised in two "
                                            r"ways$"):
        convert(make.model(make.add(x, other)))


def test_flattened_input(tmp_path: Path) -> None:
    values = RNG.normal(0, 1, (3, 3, 2, 2)).astype(np.float32)
    model = float_model(SMALL, [node("Flatten", "input", "f"), node("Gemm", "f w b")], {"w": M, "b": B5})
    graph, _ = agrees(quantised(tmp_path, model, values), values)
    assert graph.dims == (3, 2, 2) and graph.tensors[graph.input].shape == (1, 12)
    with pytest.raises(MantissaError, match=r"^Input must have shape \(N, 3, 2, 2\), not \(3, 12\)$"):
        graph.quantize(values.reshape(3, 12))


def test_change_of_scale_is_a_node() -> None:
    make = Builder(rng=np.random.default_rng(0))
    x = make.gemm(make.input(4), 4)
    graph, _ = agrees(make.model(make.requantized(x.name, x.shape, 1.7 * x.scale)), np.ones((2, 4), np.float32))
    assert [type(made) for made in graph.nodes] == [MatMul, Rescale]


# What is refused.

SUPPORTED = "Add, AveragePool, Conv, Flatten, Gemm, GlobalAveragePool, MatMul, MaxPool, Relu, Reshape"
Constant = Callable[[Builder], str]
Change = Callable[[onnx.ModelProto], None]


def start(*shape: int) -> tuple[Builder, Value]:
    make = Builder(rng=np.random.default_rng(0))
    return make, make.input(*shape)


def array(*values: Any, kind: type = np.int64) -> Constant:
    return lambda make: make.constant(np.array(values, kind))


def weights(*shape: int, kind: type = np.int8, axis: int = 0, zero: int = 0, scales: int | None = None, scale: float = 0.1) -> Constant:
    """Constant through DequantizeLinear."""
    def build(make: Builder) -> str:
        n = shape[axis] if scales is None else scales
        parts = [np.ones(shape, kind), np.full(n, scale, np.float32), np.full(n, zero, kind)]
        return make.node("DequantizeLinear", [make.constant(part) for part in parts], axis=axis)
    return build


def itself(make: Builder) -> str:
    return make.nodes[1].output[0]


def flattened(make: Builder) -> str:
    return make.node("Flatten", [itself(make)])


def narrower(make: Builder) -> str:
    return make.matmul(Value(name=itself(make), shape=(4,), scale=1, zero_point=0), 3).name


def ends_in(shape: tuple[int, ...], op: str, *inputs: Constant, first: Constant = itself, **attributes: Any) -> onnx.ModelProto:
    """Model of an input of a shape and one node, quantised."""
    make, x = start(*shape)
    out = make.node(op, [first(make), *(more(make) for more in inputs)], **attributes)
    return make.model(make.requantized(out, x.shape, 0.1))


PLANE, LINE, KERNEL, SQUARE = (4, 6, 6), (4,), weights(2, 4, 3, 3), weights(4, 4, axis=1)

NODES: list[tuple[str, str, onnx.ModelProto]] = [
    ("softmax2",
     f"the operator is not supported, only {SUPPORTED} between QuantizeLinear and DequantizeLinear are", ends_in(PLANE, "Softmax")),
    ("fusedgelu2", "operators of domain com.microsoft are not supported", ends_in(PLANE, "FusedGelu", domain="com.microsoft")),
    ("conv3", "group must be 1, not 2", ends_in(PLANE, "Conv", weights(2, 2, 3, 3), group=2)),
    ("conv3", "its weights are for 3 input channels, but there are 4", ends_in(PLANE, "Conv", weights(2, 3, 3, 3))),
    ("conv3", "kernel_shape [2, 2] is not that of its weights, [3, 3]", ends_in(PLANE, "Conv", KERNEL, kernel_shape=[2, 2])),
    ("conv3", "its weights must have 4 dimensions, not 3", ends_in(PLANE, "Conv", weights(2, 4, 3))),
    ("conv3", "its window of 7 x 3 is larger than its padded input", ends_in(PLANE, "Conv", KERNEL, dilations=[3, 1])),
    ("conv3", "pads must not be negative, but are [-1, 0, 0, 0]", ends_in(PLANE, "Conv", KERNEL, pads=[-1, 0, 0, 0])),
    ("conv3", "only two-dimensional windows are supported", ends_in(PLANE, "Conv", KERNEL, strides=[1, 1, 1])),
    ("conv3", "auto_pad SAME is not supported", ends_in(PLANE, "Conv", KERNEL, auto_pad="SAME")),
    ("conv2", "it has float weights that are not quantised; they must be int8 through DequantizeLinear, or through Quantize",
     ends_in(PLANE, "Conv", lambda make: make.constant(np.ones((2, 4, 3, 3), np.float32)))),
    ("maxpool2", "ceil_mode makes windows that leave the image",
     ends_in(PLANE, "MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)),
    ("maxpool2", "pads [2, 0, 0, 0] must be smaller than its kernel [2, 2]",
     ends_in(PLANE, "MaxPool", kernel_shape=[2, 2], pads=[2, 0, 0, 0])),
    ("maxpool2", "its input must have shape (N, C, H, W), not (N, 4)", ends_in(LINE, "MaxPool", kernel_shape=[2, 2])),
    ("averagepool2", "with pads, count_include_pad must be 1, not 0: the divisor would change at the border",
     ends_in(PLANE, "AveragePool", kernel_shape=[2, 2], pads=[1, 1, 0, 0])),
    ("flatten2", "axis must be 1, not 2", ends_in(PLANE, "Flatten", axis=2)),
    ("reshape2", "it can only flatten each sample or keep its shape (4, 6, 6), not make (8, 18)",
     ends_in(PLANE, "Reshape", array(0, 8, 18))),
    ("reshape2", "shape [4, 36] must keep the first dimension apart", ends_in(PLANE, "Reshape", array(4, 36))),
    ("reshape2", "shape [1, -2] is not valid", ends_in(PLANE, "Reshape", array(1, -2))),
    ("reshape2", "its shape is not constant", ends_in(PLANE, "Reshape", itself)),
    ("reshape2", "allowzero must be 0, not 1", ends_in(PLANE, "Reshape", array(1, 144), allowzero=1)),
    ("matmul2", "it has weights that are not constant; they must be int8 through DequantizeLinear, or through Quantize",
     ends_in(LINE, "MatMul", itself)),
    ("matmul3", "its weights are int32, which is for biases", ends_in(LINE, "MatMul", weights(4, 4, kind=np.int32))),
    ("matmul3", "its weights have a scale per index of axis 0, only axis 1, the output channels, is supported",
     ends_in(LINE, "MatMul", weights(4, 4))),
    ("matmul3", "its weights are for 5 inputs, but there are 4", ends_in(LINE, "MatMul", weights(5, 4, axis=1))),
    ("dequantizelinear2", "constants must have zero point 0", ends_in(LINE, "MatMul", weights(4, 4, zero=1))),
    ("dequantizelinear2", "constants are uint8, only int8, int4, float8_e4m3fn and float4_e2m1fn weights and int32 biases are supported",
     ends_in(LINE, "MatMul", weights(4, 4, kind=np.uint8))),
    ("dequantizelinear2", "3 scales do not match axis 0 of a constant of shape (4, 4)", ends_in(LINE, "MatMul", weights(4, 4, scales=3))),
    ("dequantizelinear2", "its scale must be positive and finite, not nan", ends_in(LINE, "MatMul", weights(4, 4, scale=np.nan))),
    ("gemm3", "alpha must be 1, not 0.5", ends_in(LINE, "Gemm", SQUARE, alpha=0.5)),
    ("gemm3", "beta must be 1, not 2", ends_in(LINE, "Gemm", SQUARE, beta=2.0)),
    ("gemm3", "transA must be 0, not 1", ends_in(LINE, "Gemm", SQUARE, transA=1)),
    ("gemm3", "its input must be a matrix, not of shape (N, 4, 6, 6)", ends_in(PLANE, "Gemm", SQUARE)),
    ("gemm3", "its bias must be a constant int32 through DequantizeLinear",
     ends_in(LINE, "Gemm", SQUARE, array(1, 1, 1, 1, kind=np.float32))),
    ("gemm4", "its bias must have 4 elements, not shape (3,)", ends_in(LINE, "Gemm", SQUARE, weights(3, kind=np.int32))),
    ("gemm4", "the scale of its bias must be the product of its input's and its weights' scales",
     ends_in(LINE, "Gemm", SQUARE, weights(4, kind=np.int32))),
    ("add2", "its input c2 is constant", ends_in(LINE, "Add", array(1, 1, 1, 1, kind=np.float32))),
    ("add6", "its inputs must have one shape, not (4,) and (3,)", ends_in(LINE, "Add", narrower)),
    ("relu3", "its input t2 is not quantised: it must come from DequantizeLinear or Quantize", ends_in(LINE, "Relu", first=flattened)),
    ("dequantizelinear2", "its input is not an int8 tensor of this model", ends_in(LINE, "DequantizeLinear", array(0.1, kind=np.float32))),
]


@pytest.mark.parametrize(("name", "reason", "model"), NODES, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(NODES)])
def test_node_refused(name: str, reason: str, model: onnx.ModelProto) -> None:
    op = next(one.op_type for one in model.graph.node if one.name == name)
    with pytest.raises(MantissaError, match=f"^{re.escape(f'Node {name} ({op}) can not be compiled: {reason}')}$"):
        convert(model)


def constant(n: int, value: npt.ArrayLike) -> Change:
    """Replace an initializer: 0 and 1 are the scale and the zero point of the input."""
    return lambda model: model.graph.initializer[n].CopyFrom(numpy_helper.from_array(np.asarray(value), f"c{n}"))


def dimension(n: int, name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[n].dim_param = name
    return change


def element_type(kind: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.elem_type = kind
    return change


def output(name: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = name
    return change


def drop(n: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[n].input[2:]
    return change


def opset(version: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version
    return change


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 4]))


def unknown_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute.append(helper.make_attribute("nonsense", 1))


def blocked(model: onnx.ModelProto) -> None:
    model.opset_import[0].version, model.ir_version = 21, 10
    model.graph.node[0].attribute.append(helper.make_attribute("block_size", 2))


def scale_from_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1] = "input"


Q, DQ = "Node quantizelinear0 (QuantizeLinear) can not be compiled: ", "Node dequantizelinear1 (DequantizeLinear) can not be compiled: "

MODELS: list[tuple[str, Change]] = [
    (Q + "activations are uint8; quantise the model with activation_type=QuantType.QInt8", constant(1, np.uint8(3))),
    (Q + "activations are int16, only int8, int4, float8_e4m3fn and float4_e2m1fn are supported", constant(1, np.int16(3))),
    (Q + "it has no zero point, so its output is uint8, and only int8, int4, float8_e4m3fn and float4_e2m1fn are supported", drop(0)),
    (Q + "its scale must be positive and finite, not nan", constant(0, np.float32(np.nan))),
    (Q + "its scale must be positive and finite, not 0.0", constant(0, np.float32(0))),
    (Q + "its scale must be positive and finite, not inf", constant(0, np.array([np.inf], np.float32))),
    (Q + "its scale is float16, not float32", constant(0, np.float16(1))),
    (Q + "activations must have one scale, not 4", constant(0, np.ones(4, np.float32))),
    (Q + "blocked scales are not supported", blocked),
    (Q + "its scale is not constant", scale_from_input),
    (DQ + "its scale or zero point is not the one its input was quantised with", drop(1)),
    ("Model model must use opset 13 to 26, not 12", opset(12)),
    ("Model model must use opset 13 to 26, not 27", opset(27)),
    ("Model must have one input and one output, not 2 and 1", second_input),
    ("Input input must be float32, not float16", element_type(TensorProto.FLOAT16)),
    ("Input input must have fixed dimensions but for the first one, not (N, K)", dimension(1, "K")),
    ("Output relu must be quantised: node relu2 is not followed by QuantizeLinear or Quantize", output("relu")),
    ("Output int8 must be float32, through DequantizeLinear, not codes", output("int8")),
]


@pytest.mark.parametrize(("message", "change"), MODELS, ids=range(len(MODELS)))
def test_model_refused(message: str, change: Change) -> None:
    make, x = start(4)
    out = make.requantized(make.node("Relu", [x.name]), x.shape, 0.1)
    model = make.model(out)
    names = {"t2": "relu", "t3": "int8"}
    for one in model.graph.node:
        one.input[:] = [names.get(name, name) for name in one.input]
        one.output[:] = [names.get(name, name) for name in one.output]
    convert(model)
    change(model)
    with pytest.raises(MantissaError, match=f"^{re.escape(message)}$"):
        convert(model)


def test_invalid_model_is_refused() -> None:
    make, x = start(4)
    model = make.model(make.relu(x))
    unknown_attribute(model)
    with pytest.raises(MantissaError, match="^Model model must be valid ONNX: Unrecognized attribute: nonsense for operator Relu$"):
        convert(model)


def test_wrong_rank_is_refused() -> None:
    with pytest.raises(MantissaError, match="^Input input must have 2, 3 or 4 dimensions, not 5$"):
        convert(ends_in((2, 2, 2, 2), "Relu"))


def test_constant_output_is_refused() -> None:
    make, _ = start(4)
    out = Value(name=weights(4)(make), shape=(4,), scale=1, zero_point=0)
    with pytest.raises(MantissaError, match="^Output t2 must be computed from the input through QuantizeLinear and DequantizeLinear$"):
        convert(make.model(out))


def test_files_that_are_not_models(tmp_path: Path) -> None:
    whole = (DIGITS / "digits_cnn.onnx").read_bytes()
    files = {"truncated": whole[:len(whole) // 2], "empty": b"", "text": b"# not a model\n" * 50, "zeros": bytes(1000)}
    for name, content in files.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(MantissaError, match=f"^Model {name}.onnx must be an ONNX file: it is truncated or of another kind$"):
            load(path)
    with pytest.raises(MantissaError, match="^Model missing.onnx can not be read: No such file or directory$"):
        load(tmp_path / "missing.onnx")
    with pytest.raises(MantissaError, match="can not be read: Is a directory$"):
        load(tmp_path)


@pytest.mark.parametrize("cut", range(1, 20))
def test_no_truncation_passes(tmp_path: Path, cut: int) -> None:
    whole = (DIGITS / "digits_cnn.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:len(whole) * cut // 20])
    with pytest.raises(MantissaError):
        load(tmp_path / "cut.onnx")
