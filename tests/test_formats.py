"""Formats against ml_dtypes, gfloat and exact rational arithmetic."""
# pyright: reportArgumentType=false
# (wrong kinds are passed on purpose)
from __future__ import annotations

from collections.abc import Iterator, Sized
from fractions import Fraction
from math import floor, isfinite, nextafter

import gfloat
from gfloat import formats as gf
from hypothesis import given, settings, strategies as st
import ml_dtypes
import numpy as np
import pytest

from mantissa import formats
from mantissa.errors import MantissaError
from mantissa.formats import (BF16, E2M1, E2M3, E3M2, E4M3, E5M2, FP16, INT4, INT8, UINT8, Float, Format, Int, Top, decode, encode, get,
                              limits)

DTYPES = {"e2m1": ml_dtypes.float4_e2m1fn, "e2m3": ml_dtypes.float6_e2m3fn, "e3m2": ml_dtypes.float6_e3m2fn,
          "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "bf16": ml_dtypes.bfloat16, "fp16": np.float16,
          "e4m3_ieee": ml_dtypes.float8_e4m3, "e3m4_ieee": ml_dtypes.float8_e3m4}
INTEGERS = {"int2": ml_dtypes.int2, "uint2": ml_dtypes.uint2, "int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4,
            "int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16}
GFLOATS = {"e2m1": gf.format_info_ocp_e2m1, "e2m3": gf.format_info_ocp_e2m3, "e3m2": gf.format_info_ocp_e3m2,
           "e4m3": gf.format_info_ocp_e4m3, "e5m2": gf.format_info_ocp_e5m2, "bf16": gf.format_info_bfloat16,
           "fp16": gf.format_info_binary16, "int8": gf.format_info_ocp_int8}
SMALL = ("int1", "uint1", "int4", "uint3", "int8", "uint8", "e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "e4m3_numbers", "e4m3_ieee", "e3m4",
         "e3m0", "e3m0_nan", "e3m0_ieee", "e1m1_nan", "e1m0", "e1m2_ieee", "e6m1_ieee",
         "sm2", "sm6", "ternary", "ue4m3", "ue5m3", "ue3m2", "e4m3fnuz", "e3m1_fnuz")
NAMES = (r"Format must be intN, uintN, smN, binary, ternary, eXmY, ueXmY, bf16, fp16, e8m0, positN_E, potN, postN, "
         r"mx\.\.\., nv\.\.\. or dfpN, not ")
MODES = ("half_even", "half_up", "half_away", "floor", "toward_zero")


def _count(what: str, cases: Sized) -> None:
    """Print how many cases there were; none is a failure."""
    print(f"{len(cases)} {what}")
    assert len(cases) > 1


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Same numbers, NaN equal to NaN, zeros of the same sign."""
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))


@pytest.mark.parametrize("name", [*DTYPES, *INTEGERS])
def test_every_code_decodes_as_ml_dtypes(name: str) -> None:
    fmt = get(name)
    codes = np.arange(1 << fmt.width)
    with np.errstate(invalid="ignore"):
        expected = codes.astype(np.uint8 if fmt.width <= 8 else np.uint16).view((DTYPES | INTEGERS)[name]).astype(np.float64)
    _count("codes", codes)
    assert _equal(decode(fmt, codes), expected)


@pytest.mark.parametrize("name", GFLOATS)
def test_every_code_decodes_as_gfloat(name: str) -> None:
    fmt = get(name)
    scale = 64 if name == "int8" else 1                     # gfloat's int8 is MXINT8: six fraction bits
    codes = range(1 << fmt.width)
    expected = np.array([gfloat.decode_float(GFLOATS[name], code).fval * scale for code in codes])
    _count("codes", codes)
    assert _equal(decode(fmt, codes), expected)


@pytest.mark.parametrize("name", [*(name for name in SMALL if name != "ternary"), "bf16", "fp16", "int16", "uint16", "e11m4_ieee",
                                  "e10m5", "e7m8_nan", "e8m0", "binary", "posit(8,0)", "posit16_1", "posit9_3", "pot8", "post8", "sm16"])
def test_every_number_encodes_to_its_code(name: str) -> None:
    fmt = get(name)
    codes = np.flatnonzero(~np.isnan(fmt.table))
    _count("codes", codes)
    finite = codes[np.isfinite(fmt.table[codes])]
    for mode in MODES:
        assert np.array_equal(encode(fmt, fmt.table[finite], mode, "refuse"), finite)
    if np.isinf(fmt.table).any():
        assert np.array_equal(encode(fmt, fmt.table[codes], overflow="special"), codes)


def _grid(fmt: Format) -> list[tuple[Fraction, int]]:
    """Finite values in order, each with its code, and a step beyond at each end with the code's continuation."""
    rows = sorted({Fraction(float(v)): c for c, v in reversed(list(enumerate(fmt.table))) if isfinite(v)}.items())
    (low, low_code), (high, high_code) = rows[0], rows[-1]
    doubling = isinstance(fmt, Float) and fmt.man == 0
    down, up = (-low, high) if doubling else (rows[1][0] - low, high - rows[-2][0])
    return [(low - down, low_code + 1), *rows, (high + up, high_code + 1)]


def _model(fmt: Format, grid: list[tuple[Fraction, int]], value: float, mode: str) -> tuple[int, int]:
    """Index in ``grid`` and code of ``value``, by the definition of each mode, in exact rationals."""
    exact = Fraction(value)
    if exact <= grid[0][0]:
        return 0, grid[0][1]
    if exact >= grid[-1][0]:
        return len(grid) - 1, grid[-1][1]
    n = next(n for n in range(1, len(grid)) if grid[n][0] > exact) - 1
    below, above = exact - grid[n][0], grid[n + 1][0] - exact
    if below == 0 or mode == "floor":
        up = False
    elif mode == "toward_zero":
        up = exact < 0
    elif below != above:
        up = below > above
    else:
        up = {"half_up": True, "half_away": exact > 0, "half_even": bool(grid[n][1] & 1)}[mode]
    return n + up, grid[n + up][1]


def _around(fmt: Format) -> Iterator[float]:
    """Every value, every midpoint, one float64 and half a step to each side, and beyond both ends."""
    grid = _grid(fmt)
    points = {row[0] for row in grid} | {(a[0] + b[0]) / 2 for a, b in zip(grid, grid[1:], strict=False)}
    points |= {(a[0] * 3 + b[0]) / 4 for a, b in zip(grid, grid[1:], strict=False)}
    for point in sorted(points):
        exact = float(point)
        assert Fraction(exact) == point
        yield from (exact, nextafter(exact, -np.inf), nextafter(exact, np.inf))
    yield from (5e-324, -5e-324, 0.0, -0.0, 1e308, -1e308)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SMALL)
def test_encode_around_every_boundary(name: str, mode: str) -> None:
    fmt, grid = get(name), _grid(get(name))
    values = list(_around(fmt))
    model = [_model(fmt, grid, value, mode) for value in values]
    last = len(grid) - 1
    clipped = [grid[min(max(n, 1), last - 1)][1] for n, _ in model]
    signed_zero = fmt.width > 1 and bool(np.signbit(fmt.table[fmt.table == 0]).any())
    expected = [1 << (fmt.width - 1) if signed_zero and code == 0 and np.signbit(value) else code
                for code, value in zip(clipped, values, strict=True)]
    got = encode(fmt, values, mode)
    _count("values", values)
    assert got.tolist() == expected
    inside = np.array([0 < n < last for n, _ in model])
    assert encode(fmt, np.array(values)[inside], mode, "refuse").tolist() == got[inside].tolist()
    for value in np.array(values)[~inside]:
        with pytest.raises(MantissaError, match=f"^Values of {name} must be between .* and .*, not "):
            encode(fmt, value, mode, "refuse")
    if isinstance(fmt, Int):
        whole = [_whole(Fraction(value), mode) for value in values]
        assert encode(fmt, values, mode, "wrap").tolist() == [value % (1 << fmt.width) for value in whole]


def _whole(value: Fraction, mode: str) -> int:
    down, rest, half = floor(value), value - floor(value), Fraction(1, 2)
    return down + {"floor": False, "toward_zero": rest > 0 and value < 0, "half_up": rest >= half,
                   "half_away": rest > half or rest == half and value > 0,
                   "half_even": rest > half or rest == half and down % 2 == 1}[mode]


@pytest.mark.parametrize("name", ["bf16", "fp16", "int16", "e11m4_ieee", "e7m8_nan"])
def test_encode_around_boundaries_of_sixteen_bits(name: str) -> None:
    fmt = get(name)
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    pick = np.unique(np.concatenate([[0, len(grid) - 2], np.random.default_rng(0).integers(0, len(grid) - 1, 1500)]))
    middle = grid[pick] + (grid[pick + 1] - grid[pick]) / 2
    assert all(2 * Fraction(m) == Fraction(a) + Fraction(b) for m, a, b in zip(middle, grid[pick], grid[pick + 1], strict=True))
    lower, upper = encode(fmt, grid[pick]), encode(fmt, grid[pick + 1])
    even = np.where(lower & 1 == 0, lower, upper)
    magnitude = fmt.table[even] == 0                         # what rounds to zero keeps its sign
    even = np.where(magnitude & (middle < 0) & (name != "int16"), 1 << (fmt.width - 1), even)
    _count("midpoints", pick)
    assert np.array_equal(encode(fmt, middle), even)
    for mode, up, down in (("half_up", upper, upper), ("half_away", upper, lower), ("floor", lower, lower), ("toward_zero", lower, upper)):
        assert np.array_equal(fmt.table[encode(fmt, middle, mode)], fmt.table[np.where(middle > 0, up, down)])
    assert np.array_equal(fmt.table[encode(fmt, np.nextafter(middle, -np.inf))], fmt.table[lower])
    assert np.array_equal(fmt.table[encode(fmt, np.nextafter(middle, np.inf))], fmt.table[upper])


@pytest.mark.parametrize("name", DTYPES)
def test_encode_agrees_with_ml_dtypes_from_float32(name: str) -> None:
    """From float32 only: ml_dtypes rounds float64 twice."""
    fmt = get(name)
    low, high = limits(fmt)
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(low, high, 20000) * 1.1, rng.normal(size=20000), rng.normal(size=20000) * 2.0 ** -12])
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    middle = (grid[:-1] / 2 + grid[1:] / 2).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.concatenate([values.astype(np.float32), middle, np.nextafter(middle, np.float32(np.inf)),
                                 np.nextafter(middle, np.float32(-np.inf))])
        expected = values.astype(DTYPES[name])
        codes = expected.view(np.uint8 if fmt.width <= 8 else np.uint16)
        nan = np.isnan(expected.astype(np.float64))
    special = "saturate" if not len(np.flatnonzero(~np.isfinite(fmt.table))) else "special"
    got = encode(fmt, values, overflow=special)
    _count("values", values)
    assert np.array_equal(got[~nan], codes[~nan])
    assert np.isnan(fmt.table[got[nan]]).all()


GMODES = {"half_even": gfloat.RoundMode.TiesToEven, "half_away": gfloat.RoundMode.TiesToAway,
          "floor": gfloat.RoundMode.TowardNegative, "toward_zero": gfloat.RoundMode.TowardZero}


@pytest.mark.parametrize("overflow", ["saturate", "special"])
@pytest.mark.parametrize("name", ["e2m1", "e3m2", "e4m3", "e5m2"])
def test_encode_agrees_with_gfloat(name: str, overflow: str) -> None:
    fmt, info = get(name), GFLOATS[name]
    if overflow == "special" and isinstance(fmt, Float) and fmt.top is Top.NUMBERS:
        with pytest.raises(MantissaError, match=f"^Overflow of {name} must be saturate or refuse, not 'special'$"):
            encode(fmt, 1.0, overflow=overflow)
        return
    values = list(_around(fmt))[::3 if fmt.width == 8 else 1]
    least = min(v for v in fmt.table if v > 0)
    for mode, theirs in GMODES.items():
        if mode == "half_away":                             # gfloat adds a half in float64: wrong next below half the least value
            values = [v for v in values if abs(v) != nextafter(least / 2, 0)]
        rounded = [gfloat.round_float(info, value, theirs, overflow == "saturate") for value in values]
        expected = np.array([gfloat.decode_float(info, gfloat.encode_float(info, value)).fval for value in rounded])
        got = decode(fmt, encode(fmt, values, mode, overflow))
        _count("values", values)
        assert np.array_equal(got, expected, equal_nan=True), mode


def test_infinity_and_nan() -> None:
    both = [np.inf, -np.inf]
    assert encode(E5M2, both).tolist() == [0x7b, 0xfb]
    assert encode(E5M2, both, "toward_zero", "special").tolist() == [0x7c, 0xfc]
    assert encode(E4M3, both).tolist() == [0x7e, 0xfe]
    assert encode(E4M3, both, overflow="special").tolist() == [0x7f, 0xff]
    assert encode(INT8, both).tolist() == [0x7f, 0x80]
    assert encode(E2M1, both).tolist() == [7, 15]
    assert [int(encode(fmt, np.nan)) for fmt in (E4M3, E5M2, BF16, FP16)] == [0x7f, 0x7e, 0x7fc0, 0x7e00]
    assert encode(E5M2, [1e9, -1e9, 61440, 61439.99], overflow="special").tolist() == [0x7c, 0xfc, 0x7c, 0x7b]
    assert encode(E5M2, [1e9, -1e9], "floor", "special").tolist() == [0x7b, 0xfc]
    assert encode(E4M3, [464, np.nextafter(464, 500)], overflow="special").tolist() == [0x7e, 0x7f]


def test_names_of_the_standards() -> None:
    assert {name: limits(get(name)) for name in ("int8", "uint8", "int4", "e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "e4m3_numbers")} == {
        "int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "e2m1": (-6, 6), "e2m3": (-7.5, 7.5), "e3m2": (-28, 28),
        "e4m3": (-448, 448), "e5m2": (-57344, 57344), "e4m3_numbers": (-480, 480)}
    assert [get(name) for name in ("int8", "e4m3", "e3m2", "bf16", "e2m3", "uint8", "int4")] == [INT8, E4M3, E3M2, BF16, E2M3, UINT8, INT4]
    assert get("e5m10_ieee").table.tobytes() == FP16.table.tobytes()
    assert all(fmt.name == name and len(fmt.table) == 1 << fmt.width for name, fmt in formats.STANDARD.items())


def test_tables_can_not_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        E4M3.table[0] = 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(0, 5), st.sampled_from(Top), st.floats(allow_nan=False, allow_infinity=False))
def test_any_float_rounds_to_a_nearest_value(exp: int, man: int, top: Top, value: float) -> None:
    if exp == 1 and man == 0 and top is not Top.NUMBERS:
        return
    fmt = Float(name="any", exp=exp, man=man, top=top)
    got = Fraction(float(decode(fmt, encode(fmt, value))))
    finite = [Fraction(float(v)) for v in fmt.table[np.isfinite(fmt.table)]]
    assert abs(got - Fraction(value)) == min(abs(v - Fraction(value)) for v in finite)


def test_shapes_and_kinds_of_input() -> None:
    assert encode(INT8, np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert encode(INT8, [[1, -1]]).tolist() == [[1, 255]]
    assert encode(E4M3, np.float16(0.5)).shape == ()
    assert encode(E4M3, np.array([1.5], ml_dtypes.bfloat16)).tolist() == encode(E4M3, [Fraction(3, 2)]).tolist()
    assert encode(BF16, np.array([1 << 60])).tolist() == encode(BF16, [2.0 ** 60]).tolist()
    assert decode(INT8, np.array([[128]], np.uint8)).tolist() == [[-128.0]]
    assert decode(INT8, []).shape == (0,)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: get("imt8"), NAMES + r"'imt8' \(near it: int8, uint8, .*\)"),
    (lambda: get("E4M3"), NAMES + r"'E4M3' \(near it: e4m3, .*\)"),
    (lambda: get("posit8"), NAMES + r"'posit8' \(near it: .*posit8_2, posit8_0.*\)"),
    (lambda: get("MXFP4"), NAMES + r"'MXFP4' \(near it: mxfp4, .*\)"),
    (lambda: get("fp8"), NAMES + r"'fp8' \(near it: e4m3, e5m2, dfp8, pot8\)"),
    (lambda: get("FP6"), NAMES + r"'FP6' \(near it: e2m3, e3m2, fp16, dfp6\)"),
    (lambda: get("fp4"), NAMES + r"'fp4' \(near it: e2m1, dfp4, nvfp4, mxfp4\)"),
    (lambda: get("float8"), NAMES + r"'float8' \(near it: e4m3, e5m2, pot8, post8\)"),
    (lambda: get("fp32"), NAMES + r"'fp32' \(near it: dfp3, .*\)"),
    (lambda: get("???"), NAMES + r"'\?\?\?'"),
    (lambda: get("e9m9"), "Fraction width of e9m9 must be between 0 and 6, not 9"),
    (lambda: get("e12m1"), "Exponent width of e12m1 must be between 1 and 10, not 12"),
    (lambda: get("e1m0_nan"), "Fraction width of e1m0_nan must be between 1 and 14, not 0"),
    (lambda: Int(name="int17", width=17), "Width of int17 must be between 1 and 16, not 17"),
    (lambda: Int(name="x y", width=7), "Name of a format must be an identifier, not 'x y'"),
    (lambda: decode(INT8, [0, 256]), "Codes of int8 must be between 0 and 255, not 256"),
    (lambda: decode(INT8, -1), "Codes of int8 must be between 0 and 255, not -1"),
    (lambda: decode(INT8, [1.0]), "Codes of int8 must be integers, not float64"),
    (lambda: encode(INT8, np.nan), "Values of int8 must be numbers, not nan"),
    (lambda: encode(E2M1, [1, np.nan]), "Values of e2m1 must be numbers, not nan"),
    (lambda: encode(INT8, 1j), "Values of int8 must be real numbers, not complex128"),
    (lambda: encode(INT8, ["1"]), "Values of int8 must be real numbers, not <U1"),
    (lambda: encode(INT8, [None]), "Values of int8 must be real numbers, not None"),
    (lambda: encode(INT8, [{}]), "Values of int8 must be real numbers, not object"),
    (lambda: encode(BF16, [(1 << 53) + 1]), "Values of bf16 must be exact in float64, not 9007199254740993"),
    (lambda: encode(BF16, [1 << 2000]), r"Values of bf16 must be exact in float64, not beyond 2\*\*1024"),
    (lambda: encode(E4M3, [Fraction(1, 3)]), "Values of e4m3 must be exact in float64, not 1/3"),
    (lambda: encode(E4M3, 1.0, "nearest"), "Rounding must be one of half_even, .*, toward_zero, stochastic, not 'nearest'"),
    (lambda: encode(E4M3, 1.0, "tflite_double"), "Rounding must be one of .*, not 'tflite_double'"),
    (lambda: encode(E4M3, 1.0, overflow="clip"), "Overflow must be one of saturate, special, wrap, refuse, not 'clip'"),
    (lambda: encode(E4M3, 1.0, overflow="wrap"), "Overflow of e4m3 must be saturate, special or refuse, not 'wrap'"),
    (lambda: encode(INT8, np.inf, overflow="wrap"), "Values of int8 must be finite to wrap, not infinite"),
    (lambda: encode(INT8, 1.0, overflow="special"), "Overflow of int8 must be saturate or refuse, not 'special'"),
    (lambda: encode(INT8, [1, 128], overflow="refuse"), "Values of int8 must be between -128 and 127, not 128"),
])
def test_messages(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Int(name="a", width=8.0), "Width of a must be an integer, not 8.0"),
    (lambda: Float(name="a", exp=True, man=1, top=Top.IEEE), "Exponent width of a must be an integer, not True"),
    (lambda: Float(name="a", exp=2, man=1, top="ieee"), "Top of a must be a Top, not 'ieee'"),
])
def test_kinds(call, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        call()
