"""Rounding modes, requantization and residual add against their definitions in exact rationals, and gemmlowp's published arithmetic."""
from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from mantissa import golden
from mantissa.errors import MantissaError
from mantissa.formats import INT16, encode
from mantissa.rounding import OVERFLOWS, ROUNDINGS, bound, scale, shift_right, shift_right_stochastic


def rounded(value: Fraction, mode: str, shift: int = 0) -> int:
    """``value / 2**shift`` by the definition of each mode."""
    if mode == "tflite_double":
        first = min(shift, 31)
        return rounded(Fraction(rounded(value, "half_up", first)), "half_away", shift - first)
    value /= 1 << shift
    down, rest, half = floor(value), value - floor(value), Fraction(1, 2)
    return down + {"floor": False, "toward_zero": rest > 0 and value < 0, "half_up": rest >= half,
                   "half_away": rest > half or rest == half and value > 0,
                   "half_even": rest > half or rest == half and down % 2 == 1}[mode]


def gemmlowp(x: int, multiplier: int, exponent: int) -> int:
    """TFLite's MultiplyByQuantizedMultiplier (double rounding) as published, with C's truncating division."""
    left, right = max(exponent, 0), max(-exponent, 0)
    product_ = x * (1 << left) * multiplier
    nudged = product_ + ((1 << 30) if product_ >= 0 else 1 - (1 << 30))
    high = abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1)
    mask = (1 << right) - 1
    rest, threshold = high & mask, (mask >> 1) + (high < 0)
    return (high >> right) + (rest > threshold)


def _operands(mode: str) -> list[tuple[int, int, int]]:
    """Accumulator, multiplier, shift: random at every size, ties, corners."""
    rng = np.random.default_rng(len(mode))
    rows = [(int(rng.integers(-1 << bits, 1 << bits)), int(rng.integers(0, 1 << 32)), int(rng.integers(0, 64)))
            for bits in (3, 8, 16, 24, 32, 45, 61) for _ in range(300)]
    rows += [(int(rng.integers(-1 << bits, 1 << bits)), 1 << int(rng.integers(0, 32)), int(rng.integers(0, 64)))
             for bits in (4, 10, 32) for _ in range(600)]
    rows += [(x, b, c) for x in (-1 << 33, -1 << 31, (1 << 31) - 1, (1 << 33) - 1, -129, -128, -3, -1, 0, 1, 3, 127)
             for b in (0, 1, (1 << 30), (1 << 31) - 1, 1 << 31, (1 << 32) - 1) for c in (0, 1, 2, 30, 31, 32, 33, 34, 35, 46, 62, 63)]
    return rows


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_scale_is_the_rational_rounded(mode: str) -> None:
    rows = _operands(mode)
    expected = [rounded(Fraction(x * b), mode, c) for x, b, c in rows]
    print(f"{len(rows)} products, {mode}")
    assert len(rows) > 4000
    x, b, c = (np.array(part, np.int64) for part in zip(*rows, strict=True))
    assert scale(x, b, c, mode).tolist() == expected                                     # one array: Python integers
    assert [int(scale(*row, mode)) for row in rows] == expected                          # one by one: each its own path
    narrow = np.abs(x) < 1 << 45
    deep = narrow & (c >= 34)
    got = scale(x[deep], b[deep], c[deep], mode)
    assert got.dtype == np.int64                                                         # all 64-bit arithmetic
    assert got.tolist() == [e for e, d in zip(expected, deep, strict=True) if d]


def test_tflite_double_is_gemmlowp() -> None:
    rng = np.random.default_rng(7)
    rows = [(int(rng.integers(-1 << bits, 1 << bits)), int(rng.integers(1 << 30, 1 << 31)), e)
            for bits in (4, 9, 20, 31) for e in range(-31, 8) for _ in range(20) if bits + e < 32]
    rows += [(x, 1 << 30, e) for x in range(-40, 41) for e in range(-8, 3)]
    print(f"{len(rows)} products, gemmlowp")
    assert len(rows) > 3000
    assert [int(scale(x, m, 31 - e, "tflite_double")) for x, m, e in rows] == [gemmlowp(*row) for row in rows]


def test_half_up_is_tflite_single_rounding_and_half_even_is_round() -> None:
    rows = _operands("half_up")
    assert [int(scale(x, b, c, "half_up")) for x, b, c in rows] == [(x * b + (1 << c >> 1)) >> c for x, b, c in rows]
    assert [int(scale(x, b, c)) for x, b, c in rows] == [round(Fraction(x * b, 1 << c)) for x, b, c in rows]
    assert [int(scale(x, b, c, "toward_zero")) for x, b, c in rows] == [int(Fraction(x * b, 1 << c)) for x, b, c in rows]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-1 << 80, 1 << 80), min_size=1, max_size=5), st.integers(0, 90), st.sampled_from(ROUNDINGS))
def test_shift_right_of_any_integer(values: list[int], shift: int, mode: str) -> None:
    got = shift_right(np.array(values, object), shift, mode)
    assert [int(v) for v in got] == [rounded(Fraction(v), mode, shift) for v in values]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-2**70, 2**70) | st.integers(-300, 300), min_size=1), st.integers(0, 80), st.integers(1, 62), st.integers(0))
def test_stochastic_shift_of_any_integer(values: list[int], shift: int, bits: int, seed: int) -> None:
    random = seed % (1 << bits)
    got = shift_right_stochastic(np.array(values, object), shift, random, bits)
    assert got.tolist() == [floor(Fraction(v, 1 << shift) + Fraction(random, 1 << bits)) for v in values]


def test_stochastic_shift_is_the_formats_rounding() -> None:
    rng = np.random.default_rng(0)
    numbers, random = rng.integers(-2**22, 2**22, 5000), rng.integers(0, 64, 5000)
    codes = encode(INT16, numbers / 2.0 ** 7, "stochastic", "wrap", random=random, random_bits=6)
    assert np.array_equal(shift_right_stochastic(numbers, 7, random, 6) % 65536, codes)
    for bits in (0, 63, True):
        with pytest.raises(MantissaError, match=f"^Random bits must be between 1 and 62, not {bits}$"):
            shift_right_stochastic(1, 1, 0, bits)
    with pytest.raises(MantissaError, match="^Random must be between 0 and 7, not 8$"):
        shift_right_stochastic(1, 1, 8, 3)


def test_bound() -> None:
    values = np.arange(-700, 700)
    assert bound(values, -128, 127).tolist() == np.clip(values, -128, 127).tolist()
    assert bound(values, -128, 127, "wrap").tolist() == values.astype(np.int8).tolist()
    assert bound(values, 0, [255], "wrap").tolist() == (values & 255).tolist()
    assert bound([3 << 62], -1 << 63, (1 << 63) - 1, "wrap").tolist() == [-1 << 62]
    assert bound([-128, 127], -128, 127, "refuse").tolist() == [-128, 127]
    assert OVERFLOWS == ("saturate", "wrap", "refuse")


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_requantize_per_channel(mode: str) -> None:
    rng = np.random.default_rng(3)
    acc, bias = rng.integers(-1 << 31, 1 << 31, (300, 8)), rng.integers(-1 << 31, 1 << 31, 8)
    b, c, zero = rng.integers(1 << 30, 1 << 31, 8), rng.integers(52, 58, 8), rng.integers(-128, 128, 8)
    got = golden.requantize(acc, b, c, zero, zero, 127, mode, bias)
    expected = [[min(max(rounded(Fraction((int(acc[n, k]) + int(bias[k])) * int(b[k])), mode, int(c[k])) + int(zero[k]), int(zero[k])), 127)
                 for k in range(8)] for n in range(300)]
    print(f"{len(acc.ravel())} values")
    assert got.tolist() == expected
    assert len(np.unique(got)) > 50


def test_requantize_reaches_both_clamps_and_accepts_the_least() -> None:
    assert golden.requantize([-1000, -256, -255, 253, 254, 1000], 1 << 30, 31).tolist() == [-128, -128, -128, 126, 127, 127]
    assert golden.requantize([-3, -1, 1, 3, 5], 1 << 30, 31).tolist() == [-2, 0, 0, 2, 2]
    assert int(golden.requantize(-1 << 31, 1 << 31, 55, bias=-1 << 31)) == -128 + 0 * golden.requantize(0, 0, 0)
    assert golden.requantize(5, 1, 1).shape == ()


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_residual_add(mode: str) -> None:
    rng = np.random.default_rng(11)
    x = rng.integers(-128, 128, (2, 400))
    m, zero, shift = rng.integers(1 << 28, 1 << 30, 2), rng.integers(-128, 128, 2), 30
    m[1] = 1 << 29                                           # ties happen
    m[0] = 3 << 28
    terms = [[(int(v) - int(z)) * int(b) for v in row] for row, z, b in zip(x, zero, m, strict=True)]
    once = [rounded(Fraction(p + q), mode, shift) + 3 for p, q in zip(*terms, strict=True)]
    twice = [rounded(Fraction(p), mode, shift) + rounded(Fraction(q), mode, shift) + 3 for p, q in zip(*terms, strict=True)]
    print(f"{len(once)} sums")
    arguments = ((x[0], x[1]), (-zero[0], -zero[1]), (m[0], m[1]), shift, 3, -100, 127, mode)
    assert golden.residual_add(*arguments).tolist() == np.clip(once, -100, 127).tolist()
    assert golden.residual_add(*arguments, rounding_site="branch").tolist() == np.clip(twice, -100, 127).tolist()
    assert once != twice or mode == "floor"


@pytest.mark.parametrize(("call", "message"), [
    (lambda: scale(1, -1, 0), "Multiplier must not be negative, not -1"),
    (lambda: scale(1, 1, -1), "Shift must be between 0 and 1048576, not -1"),
    (lambda: scale(1, 1, 1 << 30), "Shift must be between 0 and 1048576, not 1073741824"),
    (lambda: scale(1.5, 1, 0), "Values must be integers, not float64"),
    (lambda: scale(True, 1, 0), "Values must be integers, not bool"),
    (lambda: shift_right(1, 1, "up"),
     "Rounding must be one of half_even, half_up, half_away, tflite_double, floor, toward_zero, not 'up'"),
    (lambda: bound(1, 2, 1), "Low must not be above high, not 2 and 1"),
    (lambda: bound(1, 0, 1, "clip"), "Overflow must be one of saturate, wrap, refuse, not 'clip'"),
    (lambda: bound([1, 300], 0, 255, "refuse"), "Value must be between 0 and 255, not 300"),
    (lambda: golden.requantize(1, 1, 0, rounding="up"), "Rounding must be one of .*, not 'up'"),
    (lambda: golden.residual_add((1, 2), (0, 0), (1, 1), 0, rounding_site="x"), "Rounding site must be one of sum, branch, not 'x'"),
    (lambda: golden.residual_add((1, 2), (0,), (1, 1), 0), "Residual add must have 2 values, biases and multipliers, not 2, 1 and 2"),
])
def test_messages(call, message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{message}$"):
        call()
