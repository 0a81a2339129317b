"""Exact layers against plain integer sums, onnx and onnxruntime; the gemm bench."""
# pyright: reportArgumentType=false
# (wrong kinds are passed on purpose)
from __future__ import annotations

from collections.abc import Sized
import json
from pathlib import Path
import random
import subprocess
import sys
from typing import Any

from hypothesis import given, settings, strategies as st
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
import onnxruntime
import pytest

from mantissa import golden, product
from mantissa.errors import MantissaError


def _count(what: str, cases: Sized) -> None:
    """Print how many cases there were; none is a failure."""
    print(f"{len(cases)} {what}")
    assert len(cases) > 0


def test_requantize_against_onnxruntime() -> None:
    """QuantizeLinear of acc * (b / 2**c): equal wherever float32 holds both exactly."""
    rng = np.random.default_rng(5)
    acc = rng.integers(-40000, 40000, 20000).astype(np.float32)
    graph = helper.make_graph([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
                              [helper.make_tensor_value_info("y", TensorProto.INT8, [None])],
                              [helper.make_tensor("s", TensorProto.FLOAT, [], [256.0]),
                               helper.make_tensor("z", TensorProto.INT8, [], [-5])])
    got = _run(graph, {"x": acc})
    _count("values", acc)
    assert np.array_equal(got, golden.requantize(acc.astype(np.int64), 1 << 23, 31, -5))


def _exact(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.matmul(a.astype(object), b.astype(object))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 5), st.integers(0, 300), st.integers(0, 5), st.sampled_from((2, 8, 9, 16, 20, 25, 31, 40, 62, 70)),
       st.integers(0, 1 << 30))
def test_matmul_is_exact_at_any_width(m: int, k: int, n: int, bits: int, seed: int) -> None:
    pick = random.Random(seed)
    low, high = -1 << bits - 1, (1 << bits - 1) - 1
    a, b = (np.array([[pick.choice([low, high, 0, pick.randint(low, high)]) for _ in range(c)] for _ in range(r)],
                     object).reshape(r, c) for r, c in ((m, k), (k, n)))
    got = golden.matmul(a, b)
    assert got.shape == (m, n)
    assert got.tolist() == (_exact(a, b).tolist() if k else np.zeros((m, n), int).tolist())


def test_every_path_of_the_product_is_exact_and_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, bool]] = []
    floating = product._floating

    def spy(x, y, kind, piece):
        taken.append((kind.__name__, piece < x.shape[1]))
        return floating(x, y, kind, piece)
    monkeypatch.setattr(product, "_floating", spy)
    rng = np.random.default_rng(2)
    for bits, depth in ((8, 1024), (8, 1025), (8, 5000), (16, 300), (24, 200), (30, 40), (40, 10)):
        low, high = -1 << bits - 1, (1 << bits - 1) - 1
        a = rng.integers(low, high + 1, (3, depth))
        b = rng.integers(low, high + 1, (depth, 4))
        a[0], b[:, 0], b[:, 1] = low, low, high            # the extreme sums of either sign
        assert np.array_equal(golden.matmul(a, b), _exact(a, b)), (bits, depth)
    assert taken == [("float32", False), ("float32", True), ("float32", True), ("float64", False), ("float64", True)]


def test_blocks_of_rows_and_kept_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(-128, 128, (70, 2100), np.int8), rng.integers(-128, 128, (2100, 33), np.int8)
    whole = golden.matmul(a, b)
    monkeypatch.setattr(product, "_KEPT", 7 * 2100)
    assert np.array_equal(golden.matmul(a, b), whole)
    assert np.array_equal(golden.matmul(a[::-1], b[:, ::2]), whole[::-1, ::2])
    assert np.array_equal(whole, a.astype(np.int64) @ b.astype(np.int64))
    assert np.array_equal(golden.matmul(b.T, a.T), whole.T)


def test_matmul_broadcasts() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.integers(-9, 9, (2, 1, 3, 4)), rng.integers(-9, 9, (5, 4, 6))
    assert np.array_equal(golden.matmul(a, b), np.matmul(a, b))
    assert np.array_equal(golden.matmul(a, b[0]), np.matmul(a, b[0]))
    assert golden.matmul(np.full((1, 1), 255, np.uint8), np.full((1, 1), -128, np.int8)).tolist() == [[-128 * 255]]
    assert golden.matmul(np.zeros((2, 0, 3, 4), int), b[0]).shape == (2, 0, 3, 6)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _run_only(graph: onnx.GraphProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """onnxruntime's result."""
    session = onnxruntime.InferenceSession(_model(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


def _run(graph: onnx.GraphProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Result of onnxruntime and of onnx's own reference, which must be the same."""
    result = _run_only(graph, feeds)
    outputs: Any = ReferenceEvaluator(_model(graph)).run(None, feeds)
    assert np.array_equal(outputs[0], result)
    return result


def test_matmul_against_onnx() -> None:
    rng = np.random.default_rng(8)
    for m, k, n in ((1, 1, 1), (7, 33, 5), (16, 1500, 9)):
        a, b = rng.integers(-128, 128, (m, k)).astype(np.int8), rng.integers(-128, 128, (k, n)).astype(np.int8)
        a[0], b[:, 0] = -128, -128
        graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "g",
                                  [helper.make_tensor_value_info(v, TensorProto.INT8, [None, None]) for v in "ab"],
                                  [helper.make_tensor_value_info("y", TensorProto.INT32, [None, None])])
        assert np.array_equal(golden.matmul(a, b), _run(graph, {"a": a, "b": b}))


def _window_cases(count: int) -> list[dict]:
    """Shapes, strides, paddings and dilations that fit."""
    rng, cases = np.random.default_rng(9), []
    while len(cases) < count:
        case = {"size": rng.integers(1, 4, 2).tolist(), "stride": rng.integers(1, 4, 2).tolist(),
                "dilation": rng.integers(1, 3, 2).tolist(), "pad": rng.integers(0, 3, 4).tolist(), "image": rng.integers(1, 9, 2).tolist()}
        spans = [(k - 1) * d + 1 for k, d in zip(case["size"], case["dilation"], strict=True)]
        padded = [i + p + q for i, p, q in zip(case["image"], case["pad"][:2], case["pad"][2:], strict=True)]
        if spans[0] <= padded[0] and spans[1] <= padded[1]:
            cases.append(case)
    return cases


def _attributes(case: dict) -> dict:
    return {"kernel_shape": case["size"], "strides": case["stride"], "pads": case["pad"]}


def _arguments(case: dict) -> dict:
    return {"stride": case["stride"], "pad": case["pad"], "dilation": case["dilation"]}


def _image(case: dict, channels: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).integers(-128, 128, (2, *case["image"], channels)).astype(np.int8)
    x[0, 0, 0] = -128
    return x


def test_conv2d_against_onnx() -> None:
    """ConvInteger pads with the zero point; onnxruntime's takes uint8 images, so both are moved by 128."""
    cases = _window_cases(60)
    _count("convolutions", cases)
    for n, case in enumerate(cases):
        rng = np.random.default_rng(n)
        groups = 1 + n % 3 // 2
        x = _image(case, 4, n)
        w = rng.integers(-128, 128, (*case["size"], 4 // groups, 6)).astype(np.int8)
        zero = int(rng.integers(-128, 128))
        graph = helper.make_graph(
            [helper.make_node("ConvInteger", ["x", "w", "z"], ["y"], dilations=case["dilation"], group=groups, **_attributes(case))], "g",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, [None] * 4),
             helper.make_tensor_value_info("w", TensorProto.INT8, [None] * 4)],
            [helper.make_tensor_value_info("y", TensorProto.INT32, [None] * 4)],
            [helper.make_tensor("z", TensorProto.UINT8, [], [zero + 128])])
        feeds = {"x": (x.astype(np.int16) + 128).astype(np.uint8).transpose(0, 3, 1, 2), "w": w.transpose(3, 2, 0, 1)}
        expected = _run(graph, feeds).transpose(0, 2, 3, 1)
        assert np.array_equal(golden.conv2d(x.astype(int) - zero, w, **_arguments(case), groups=groups), expected)
        raw = golden.conv2d(x, w, **_arguments(case), pad_value=zero, groups=groups)
        assert np.array_equal(raw - zero * w.astype(int).sum(axis=(0, 1, 2)), expected)


def test_conv2d_is_the_sum_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    x, w = rng.integers(-1 << 40, 1 << 40, (3, 5, 6, 2)), rng.integers(-1 << 40, 1 << 40, (2, 3, 2, 3))
    monkeypatch.setattr(golden, "_BLOCK", 100)              # one image at a time
    got = golden.conv2d(x, w, (2, 1), (1, 0), 1, -7)
    padded = np.full((3, 7, 6, 2), -7, object)
    padded[:, 1:6] = x
    assert got.shape == (3, 3, 4, 3)
    for n, y, z, o in np.ndindex(got.shape):
        assert got[n, y, z, o] == (padded[n, 2 * y:2 * y + 2, z:z + 3] * w[..., o].astype(object)).sum()


def test_max_pool_against_onnxruntime() -> None:
    cases = [case for case in _window_cases(120) if all(p < k for p, k in zip(case["pad"], case["size"] * 2, strict=True))]
    _count("pools", cases)
    for n, case in enumerate(cases):
        x = _image(case, 3, n)
        graph = helper.make_graph([helper.make_node("MaxPool", ["x"], ["y"], dilations=case["dilation"], **_attributes(case))], "g",
                                  [helper.make_tensor_value_info("x", TensorProto.INT8, [None] * 4)],
                                  [helper.make_tensor_value_info("y", TensorProto.INT8, [None] * 4)])
        expected = _run_only(graph, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}).transpose(0, 2, 3, 1)
        assert np.array_equal(golden.max_pool(x, case["size"], **_arguments(case)), expected)


def test_sum_and_average_pool_against_onnxruntime() -> None:
    """AveragePool in float32 of small integers, times the window's size, is the exact sum; rounded, it is the average."""
    cases = [case for case in _window_cases(120) if all(p < k for p, k in zip(case["pad"], case["size"] * 2, strict=True))]
    _count("pools", cases)
    for n, case in enumerate(cases):
        x, taps = _image(case, 3, n), case["size"][0] * case["size"][1]
        graph = helper.make_graph([helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=1, dilations=case["dilation"],
                                                    **_attributes(case))], "g",
                                  [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * 4)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)])
        mean = _run_only(graph, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2)).astype(np.float32)}).transpose(0, 2, 3, 1)
        total = golden.sum_pool(x, case["size"], **_arguments(case))
        assert np.array_equal(total, np.rint(mean * taps))
        if case["dilation"] == [1, 1]:
            b, c = ((1 << 40) + taps // 2) // taps >> 9, 31
            got = golden.average_pool(x, case["size"], b, c, stride=case["stride"], pad=case["pad"])
            assert np.array_equal(got, golden.requantize(total, b, c))
            assert np.abs(got - mean).max() <= 0.5 + 1e-3


def test_sum_pool_of_wide_integers_and_padding_value() -> None:
    x = np.full((1, 2, 2, 1), (1 << 63) - 1)
    assert golden.sum_pool(x, 2).tolist() == [[[[4 * ((1 << 63) - 1)]]]]
    assert golden.sum_pool(np.zeros((1, 1, 1, 1), np.int8), 3, 1, 1, pad_value=-1000).tolist() == [[[[-8000]]]]


def test_relu() -> None:
    assert golden.relu([-128, -1, 0, 127]).tolist() == [0, 0, 0, 127]
    assert golden.relu(np.array([-128, -1], np.int8), -5).tolist() == [-5, -1]


def test_bench_prints_and_writes_ratios(tmp_path: Path) -> None:
    output = tmp_path / "a" / "gemm.json"
    script = Path(__file__).parents[1] / "bench" / "gemm.py"
    ran = subprocess.run([sys.executable, script, "8x16x8", "--turns", "1", "--seconds", "0", "--output", output],
                         check=True, capture_output=True, text=True)
    row = json.loads(output.read_text(encoding="utf-8"))["rows"][0]
    assert (row["shape"], row["wrong"]) == ("8x16x8", 0)
    assert row["ratio"] > 0
    assert "8x16x8" in ran.stdout


IMAGE = np.zeros((1, 4, 4, 2), np.int8)
KERNEL = np.zeros((3, 3, 2, 1), np.int8)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: golden.matmul([[1.0]], [[1]]), "Operand a must be integers, not float64"),
    (lambda: golden.matmul([[1, 2]], [[1, 2]]), r"Operands of matmul must be \(..., M, K\) and \(..., K, N\), not \(1, 2\) and \(1, 2\)"),
    (lambda: golden.matmul(np.zeros((2, 1, 1), int), np.zeros((3, 1, 1), int)),
     r"Leading dimensions of matmul must broadcast, not \(2,\) and \(3,\)"),
    (lambda: golden.conv2d(IMAGE[0], KERNEL), r"Image must be \(N, H, W, C\), not \(4, 4, 2\)"),
    (lambda: golden.conv2d(IMAGE, KERNEL[0]), r"Kernel must be \(rows, columns, C in, C out\), not \(3, 2, 1\)"),
    (lambda: golden.conv2d(IMAGE, KERNEL[:, :, :1]), "Kernel must have 2 input channels in 1 groups that divide 1 outputs, not 1 each"),
    (lambda: golden.conv2d(IMAGE, KERNEL, dilation=2), "Kernel must fit the padded image of 4 x 4, not cover 5 x 5"),
    (lambda: golden.conv2d(IMAGE, KERNEL, stride=0), "Strides must be integers of at least 1, not 0"),
    (lambda: golden.conv2d(IMAGE, KERNEL, pad=(1, 2, 3)), r"Padding must be one number, two or four, not \(1, 2, 3\)"),
    (lambda: golden.conv2d(IMAGE, KERNEL, pad=-1), "Padding must be integers of at least 0, not -1"),
    (lambda: golden.max_pool(IMAGE, (1, 2, 3)), r"Kernel must be one number or two, not \(1, 2, 3\)"),
    (lambda: golden.max_pool(IMAGE, 2, pad=2), r"Padding of max_pool must be smaller than its kernel \(2, 2\), not \(2, 2, 2, 2\)"),
])
def test_messages(call, message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{message}$"):
        call()
