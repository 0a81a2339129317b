"""Networks of other formats than int8: the golden model against the formats' own decode and encode, and the compiler's first steps."""
from __future__ import annotations

from dataclasses import replace
import re

import numpy as np
import pytest

from mantissa.compiler import compile
from mantissa.compiler_plan import bound, prove
from mantissa.compiler_tasks import evaluate_tasks, normalise, reduce
from mantissa.config import load as load_config
from mantissa.errors import MantissaError
from mantissa.fixed import NAMES, WEIGHTS, as_codes, as_fixed, limits, quantized, unit, weight_fixed
from mantissa.formats import decode, encode, get_scalar
from mantissa.graph import Add, AveragePool, Conv, Graph, MatMul, MaxPool, Rescale, Reshape, Tensor, evaluate
from mantissa.registers import Capability

each = pytest.mark.parametrize("name", NAMES)


def tensor(name: str, *shape: int, format: str = "e4m3", scale: float = 1, zero_point: int = 0) -> Tensor:
    onnx = (shape[2], *shape[:2]) if len(shape) == 3 else shape[1:]
    return Tensor(name=name, shape=shape, onnx=onnx, scale=float(np.float32(scale)), zero_point=zero_point, format=format)


def graph(tensors: list[Tensor], *nodes: object) -> Graph:
    return Graph(name="g", tensors={t.name: t for t in tensors}, nodes=nodes, input=tensors[0].name,  # pyright: ignore
                 output=nodes[-1].output)


def codes_of(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Codes in bytes, all but NaN."""
    finite = np.flatnonzero(np.isfinite(get_scalar(name).table)).astype(np.uint8)
    return rng.choice(finite, shape).view(np.int8)


def reals(name: str, codes: np.ndarray) -> np.ndarray:
    fmt = get_scalar(name)
    return decode(fmt, codes.view(np.uint8) & (1 << fmt.width) - 1)


def back(name: str, values: np.ndarray) -> np.ndarray:
    return encode(get_scalar(name), values).astype(np.uint8).view(np.int8)


def dense(rng: np.random.Generator, k: int, n: int, weights: str, **more: object) -> MatMul:
    element = "e2m1" if weights == "mxfp4" else weights
    exponents = rng.integers(0, 15, (-(-k // 32), n)) if weights == "mxfp4" else None
    return MatMul(name="dense", inputs=("x",), output="y", weight=codes_of(rng, element, (k, n)), weight_format=weights,
                  weight_exponents=exponents, **{"weight_scale": np.full(n, 0.25, np.float32), "bias": np.zeros(n, np.int64)} | more)


@each
def test_one_rounding_is_that_of_big_integers(name):
    rng = np.random.default_rng(2)
    value = rng.integers(-1 << 45, 1 << 45, 4000) >> rng.integers(0, 45, 4000)
    b, c = rng.integers(0, 1 << 32, 4000) >> rng.integers(0, 32, 4000), rng.integers(0, 64, 4000)
    steps = as_fixed(name, codes_of(rng, name, (4000,)))
    value, b, c = np.append(value, [steps << 20, (steps << 20) + 1, (steps << 20) - 1]), np.append(b, np.full(12000, 3)), np.append(
        c, rng.choice([20, 21, 22], 12000))
    for relu in (False, True):
        exact = np.maximum(value, 0).astype(object) if relu else value.astype(object)
        assert (quantized(name, value, b, c, relu=relu) == as_codes(name, exact * b.astype(object), c.astype(object))).all()
    huge = np.array([1 << 60, -1 << 60, 3])
    assert (quantized(name, huge, 5, 61) == as_codes(name, huge.astype(object) * 5, 61)).all()


@pytest.mark.parametrize("weights", WEIGHTS)
@each
def test_matmul_is_exact_and_rounded_once(name, weights):
    """In float64, which is exact here: scales are powers of two, sums stay below 2**53 units."""
    rng = np.random.default_rng(3)
    node = dense(rng, 40, 6, weights, bias=rng.integers(-1000, 1000, 6))
    for out in NAMES:
        for relu in (False, True):
            two = graph([tensor("x", 3, 40, format=name, scale=0.5), tensor("y", 3, 6, format=out, scale=8)], replace(node, relu=relu))
            x = codes_of(rng, name, (5, 3, 40))
            w = reals("e2m1" if weights == "mxfp4" else weights, node.weight)
            if weights == "mxfp4":
                w = w * np.repeat(2.0 ** node.weight_exponents, 32, axis=0)[:40]
            step = 0.5 * 2.0 ** unit(name) * 0.25 * 2.0 ** unit("e2m1" if weights == "mxfp4" else weights)
            value = (reals(name, x) * 0.5) @ (w * 0.25) + node.bias * step
            expected = back(out, np.maximum(value / 8, 0) if relu else value / 8)
            assert (evaluate(two, x)["y"] == expected).all()


@each
def test_pools_add_and_rescale(name):
    rng = np.random.default_rng(4)
    x = codes_of(rng, name, (3, 6, 6, 5))
    real = reals(name, x) * 0.5
    tensors = [tensor("x", 6, 6, 5, format=name, scale=0.5), tensor("y", 3, 3, 5, format="e4m3", scale=0.25)]
    windows = real.reshape(3, 3, 2, 3, 2, 5)
    pools = {MaxPool: windows.max((2, 4)), AveragePool: windows.mean((2, 4))}
    for kind, value in pools.items():
        node = kind(name="n", inputs=("x",), output="y", kernel=(2, 2), stride=(2, 2))
        assert (evaluate(graph(tensors, node), x)["y"] == back("e4m3", value / 0.25 + 0.0)).all()     # + 0: no -0
    tensors[1] = tensor("y", 6, 6, 5, format="posit8_0", scale=0.25)
    add = graph([*tensors, tensor("z", 6, 6, 5, format=name, scale=2)], Rescale(name="r", inputs=("x",), output="z", relu=True),
                Add(name="a", inputs=("x", "z"), output="y"))
    found = evaluate(add, x)
    assert (found["z"] == back(name, np.maximum(real, 0) / 2 + 0.0)).all()
    assert (found["y"] == back("posit8_0", (real + reals(name, found["z"]) * 2) / 0.25 + 0.0)).all()


def network(rng: np.random.Generator, act: str, weights: str) -> Graph:
    """A convolution with pads, a lone Relu, pools with pads, an Add, flattened image, matrix product, of one format."""
    def conv(name: str, x: str, y: str, deep: int, outs: int, **more: object) -> Conv:
        element = "e2m1" if weights == "mxfp4" else weights
        weight = codes_of(rng, element, (3, 3, deep, outs))
        exponents = rng.integers(0, 4, (3, 3, -(-deep // 32), outs)) if weights == "mxfp4" else None
        return Conv(name=name, inputs=(x,), output=y, weight=weight, weight_scale=rng.uniform(0.05, 0.1, outs).astype(np.float32),
                    bias=rng.integers(-50, 50, outs), pad=(1, 1, 1, 1), weight_format=weights, weight_exponents=exponents, **more)
    zero = 3 if act == "int8" else 0
    last = "int8" if weights == "mxfp4" else weights
    shapes = {"x": (6, 5, 3), "a": (6, 5, 35), "b": (6, 5, 35), "r": (6, 5, 35), "s": (6, 5, 35), "m": (4, 5, 35), "v": (3, 2, 35)}
    tensors = [tensor(name, *shape, format=act, scale=0.3 + 0.1 * n, zero_point=zero) for n, (name, shape) in enumerate(shapes.items())]
    tensors[3] = replace(tensors[3], scale=tensors[2].scale)
    tensors += [tensor("f", 1, 210, format=act, scale=tensors[-1].scale, zero_point=zero), tensor("y", 1, 7, format="int8", scale=3)]
    return graph(tensors, conv("first", "x", "a", 3, 35, relu=True), conv("second", "a", "b", 35, 35),
                 Rescale(name="relu", inputs=("b",), output="r", relu=True), Add(name="add", inputs=("a", "r"), output="s"),
                 MaxPool(name="max", inputs=("s",), output="m", kernel=(3, 2), stride=(2, 1), pad=(2, 1, 1, 0)),
                 AveragePool(name="mean", inputs=("m",), output="v", kernel=(2, 3), stride=(1, 2), pad=(0, 0, 0, 1)),
                 Reshape(name="flat", inputs=("v",), output="f"),
                 MatMul(name="dense", inputs=("f",), output="y", weight=codes_of(rng, last, (210, 7)), weight_format=last,
                        weight_scale=np.full(7, 0.02, np.float32), bias=rng.integers(-9, 9, 7)))


@pytest.mark.parametrize("weights", WEIGHTS)
@each
def test_normalised_is_the_same(name, weights):
    rng = np.random.default_rng(5)
    one = network(rng, name, weights)
    x = codes_of(rng, name, (3, *one.tensors["x"].shape))
    golden, tasks = evaluate(one, x), normalise(one)
    found = evaluate_tasks(one, tasks, x)
    assert "b" not in found and all((codes == golden[tensor]).all() for tensor, codes in found.items())
    assert len({int(v) for v in golden["s"].ravel()}) > 3
    assert [(task.format_a, task.format_w, task.format_o) for task in tasks.tasks[:2]] == [(name, weights, name)] * 2
    ranges = prove(tasks, 48)
    for task in tasks.tasks:
        if task.name != "add":
            least, most = ranges[task.name]
            seen = reduce(task, golden[task.inputs[0]]) + task.bias
            assert least <= seen.min() and seen.max() <= most


@pytest.mark.parametrize(("array", "name", "weights"), [(2 << n % 4, NAMES[n % len(NAMES)], weights) for n, weights in enumerate(WEIGHTS)])
def test_every_step_of_the_compiler(array, name, weights):
    config = replace(load_config("formats"), array=array, requant_lanes=array)
    compiled = compile(network(np.random.default_rng(10), name, weights), Capability.of(config, bytes(8)), keep_all=True, check=True)
    assert {check.step for check in compiled.checks} == {"normalise", "prove", "plan", "tile", "emit"}
    assert all(check.elements > 50 for check in compiled.checks)


@each
def test_bound_is_reached(name):
    rng = np.random.default_rng(6)
    node = dense(rng, 9, 1, "e2m1")
    task, = normalise(graph([tensor("x", 1, 9, format=name), tensor("y", 1, 1)], node)).tasks
    sign = as_fixed("e2m1", node.weight[:, 0]) < 0
    low, high = (as_codes(name, edge) for edge in limits(name))
    seen = [int(reduce(task, np.where(which, low, high)[None, None].astype(np.int8)).item()) for which in (sign, ~sign)]
    assert bound(task) == (min(seen), max(seen))


def test_accumulators_are_bounded_by_layer():
    rng = np.random.default_rng(7)
    node = replace(dense(rng, 2048, 1, "e4m3"), weight=np.full((2048, 1), 0x7e, np.int8))
    tasks = normalise(graph([tensor("x", 1, 2048), tensor("y", 1, 1, scale=100)], node))
    with pytest.raises(MantissaError, match=re.escape("Layer dense: accumulator must fit signed 32 bits for every input, "
                                                      f"but can reach {2048 * 229376 ** 2}")):
        prove(tasks)
    assert prove(tasks, 48)["dense"] == (-2048 * 229376 ** 2, 2048 * 229376 ** 2)
    node = replace(dense(rng, 4096, 1, "e4m3"), weight=np.full((4096, 1), 0x7e, np.int8))
    with pytest.raises(MantissaError, match="^Layer dense: accumulator must fit signed 48 bits for every input, but can reach"):
        prove(normalise(graph([tensor("x", 1, 4096), tensor("y", 1, 1, scale=100)], node)), 48)


def test_refuses():
    rng = np.random.default_rng(8)
    tensors = [tensor("x", 2, 3), tensor("z", 2, 3, format="e2m1"), tensor("y", 2, 3)]
    nodes = Rescale(name="r", inputs=("x",), output="z"), Add(name="sum", inputs=("x", "z"), output="y")
    with pytest.raises(MantissaError, match="^Layer sum: inputs of Add must be of one format, not e4m3 and e2m1$"):
        normalise(graph(tensors, *nodes))
    tensors = [tensor("i", 2, 2, 10), tensor("x", 1, 40), tensor("y", 1, 3)]
    nodes = Reshape(name="flat", inputs=("i",), output="x"), dense(rng, 40, 3, "mxfp4")
    with pytest.raises(MantissaError, match="^Layer dense: weights of a flattened image of 2 x 2 must not be mxfp4: "
                                            "its blocks are not channels$"):
        normalise(graph(tensors, *nodes))
    tensors[0] = tensor("i", 1, 1, 40)
    assert normalise(graph(tensors, *nodes)).tasks[0].weight_exponents.shape == (1, 1, 2, 3)


@each
def test_inputs_and_outputs_are_real_numbers(name):
    rng = np.random.default_rng(9)
    one = graph([tensor("x", 2, 3, 4, format=name, scale=0.3)], Rescale(name="r", inputs=("x",), output="x"))
    values = np.append(rng.normal(0, 20, 2 * 24 - 4), [np.inf, -np.inf, 1e-9, 0]).astype(np.float32).reshape(2, 4, 2, 3)
    codes = one.quantize(values)
    exact = (values / np.float32(0.3)).astype(np.float64)
    assert (codes == back(name, exact).transpose(0, 2, 3, 1)).all()
    assert (one.dequantize(codes) == (reals(name, codes).astype(np.float32) * np.float32(0.3)).transpose(0, 3, 1, 2)).all()


def test_units_of_weights_in_blocks():
    codes = np.array([[1], [2]] * 20, np.int8)
    units = weight_fixed("mxfp4", codes, np.array([[3], [0]]))
    assert units[:, 0].tolist() == [8, 16] * 16 + [1, 2] * 4
