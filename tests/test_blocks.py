"""Block formats against gfloat, against the published rules done on the bits of float32, and in exact rationals."""
from __future__ import annotations

from fractions import Fraction

import apytypes
from apytypes import QuantizationMode
import gfloat
from gfloat import formats
import ml_dtypes
import numpy as np
import pytest

from mantissa.formats import (E2M1, E4M3, E8M0, INT4, INT8, STANDARD_BLOCKS, TERNARY, UE4M3, UE5M3, UINT8, Block, BlockCodes, Float, Int,
                              Top, decode, decode_blocks, encode, encode_blocks, get, get_block, get_scalar, limits, switch_bits,
                              tensor_scale)

MX = {"mxfp8e4m3": (formats.format_info_mxfp8_e4m3, ml_dtypes.float8_e4m3fn),
      "mxfp8e5m2": (formats.format_info_mxfp8_e5m2, ml_dtypes.float8_e5m2),
      "mxfp6e2m3": (formats.format_info_mxfp6_e2m3, ml_dtypes.float6_e2m3fn),
      "mxfp6e3m2": (formats.format_info_mxfp6_e3m2, ml_dtypes.float6_e3m2fn),
      "mxfp4": (formats.format_info_mxfp4_e2m1, ml_dtypes.float4_e2m1fn), "mxint8": (formats.format_info_mxint8, None)}
RULES = ("floor", "ceil", "even", "rceil")
FRACTION = {"mxfp8e4m3": 3, "mxfp8e5m2": 2, "mxfp6e2m3": 3, "mxfp6e3m2": 2, "mxfp4": 1, "mxint8": 6}
HIGHEST = {"mxfp8e4m3": 8, "mxfp8e5m2": 15, "mxfp6e2m3": 2, "mxfp6e3m2": 4, "mxfp4": 2, "mxint8": 0}


def blocks(seed: int = 0) -> np.ndarray:
    """Float32 blocks of 32: of all magnitudes, around powers of two, around the elements' limits, subnormal, zero."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(300, 32)) * 2.0 ** rng.integers(-100, 100, (300, 1))
    spread = rng.normal(size=(200, 32)) * 2.0 ** rng.integers(-20, 20, (200, 32))
    edges = np.concatenate([[m, np.nextafter(np.float32(m), np.float32(0)), np.nextafter(np.float32(m), np.float32(9e9))]
                            for m in (1, 1.25, 1.5, 1.75, 1.875, 1.9375, 1.96875, 127 / 64, 1.99609375)])
    edged = np.concatenate([edges[:, None] * 2.0 ** e * rng.uniform(-1, 1, (len(edges), 32)).round(3) for e in (-3, 0, 2, 7, 90)])
    edged[:, 5] = np.concatenate([edges * 2.0 ** e for e in (-3, 0, 2, 7, 90)])
    tiny = rng.normal(size=(50, 32)) * 2.0 ** rng.integers(-149, -118, (50, 1))
    large = rng.uniform(-1, 1, (20, 32)) * 3.4e38
    return np.concatenate([wide, spread, edged, tiny, large, np.zeros((1, 32))]).astype(np.float32)


def published_scale(amax: np.ndarray, name: str, rule: str, limit: float) -> np.ndarray:
    """Codes of the scales by the published procedure, which works on the bits of float32."""
    amax = amax.astype(np.float32)
    if rule == "rceil":
        bits = (amax * np.float32(1 / limit)).view(np.int32)
        exponent, part = bits >> 23, bits & 0x7fffff
        return np.minimum(exponent + np.where(exponent == 0, part > 0x400000, part != 0), 254)
    bits = amax.view(np.int32).astype(np.int64)
    if rule == "even":
        bits = bits + (1 << (23 - FRACTION[name] - 1)) & 0x1ff << 23
    exponent = (bits >> 23 & 255) - 127 + ((rule == "ceil") & (bits & 0x7fffff != 0))
    return np.clip(exponent - HIGHEST[name], -127, 127) + 127


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MX)
def test_mx_as_published(name: str, rule: str) -> None:
    """Scales by the published procedure; elements by ml_dtypes and gfloat, from the float32 quotient, which is exact."""
    fmt = get_block(f"{name}_{rule}")
    values = blocks()
    codes = encode_blocks(fmt, values)
    assert codes.scales.shape == (len(values), 1) and codes.elements.shape == values.shape
    scales = published_scale(np.abs(values).max(1), name, rule, fmt.limit)
    if name == "mxint8" and rule == "ceil":                  # of float32's subnormals the procedure sees no exponent below -126
        amax = np.abs(values).max(1)
        assert ((amax > 0) & (amax < 2.0 ** -127)).sum() > 10
        scales = np.where(amax <= 2.0 ** -127, 0, scales)
    assert np.array_equal(codes.scales[:, 0], scales)
    quotient = np.clip(values * 2.0 ** (127.0 - scales[:, None]), -fmt.limit, fmt.limit)
    info, dtype = MX[name]
    if dtype is not None:
        assert np.array_equal(decode(fmt.element, codes.elements), quotient.astype(np.float32).astype(dtype).astype(np.float64))
    assert np.array_equal(decode(fmt.element, codes.elements), gfloat.round_ndarray(info.etype, quotient, sat=True))


@pytest.mark.parametrize("name", MX)
def test_mx_as_gfloat(name: str) -> None:
    """Whole blocks. gfloat has -128/64 in MXINT8 where ours clips to 127/64; OCP MX 1.0 leaves it open (5.3.4)."""
    fmt, (info, _) = get_block(name), MX[name]
    values = blocks(1).astype(np.float64)
    got = decode_blocks(fmt, encode_blocks(fmt, values))
    expected = np.array([gfloat.quantize_block(info, block, gfloat.compute_scale_amax) for block in values])
    if name == "mxint8":
        least = expected == -2 * 2.0 ** (encode_blocks(fmt, values).scales - 127.0)
        assert least.any()
        expected = np.where(least, expected * 127 / 128, expected)
    assert np.array_equal(got, expected)


def test_scale_rules_in_rationals() -> None:
    """The exact rules, for float64 that is not float32; rceil is of float32 by definition."""
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(size=(200, 32)), np.nextafter(2.0 ** np.arange(-8, 8)[:, None] * np.ones(32), 0),
                             np.nextafter(2.0 ** np.arange(-8, 8)[:, None] * np.ones(32), 9e9)])
    for name in MX:
        for rule in ("floor", "ceil", "even"):
            fmt = get_block(f"{name}_{rule}")
            codes = encode_blocks(fmt, values)
            for block, scale in zip(values, codes.scales[:, 0], strict=True):
                amax = Fraction(float(np.abs(block).max()))
                if rule == "even":
                    unit = Fraction(2) ** (int(np.frexp(float(amax))[1]) - 1 - FRACTION[name])
                    amax = (amax / unit + Fraction(1, 2)).__floor__() * unit
                low = Fraction(2) ** (int(scale) - 127 + HIGHEST[name])
                assert low / 2 < amax <= low if rule == "ceil" else low <= amax < 2 * low


def test_rceil_clips_by_float32_rounding_alone() -> None:
    values = blocks(3)
    values = values[np.abs(values).max(1) < 2.0 ** 127]      # beyond it mxint8's scale is at its end
    for name in MX:
        fmt = get_block(f"{name}_rceil")
        scales = decode(E8M0, encode_blocks(fmt, values).scales)
        over = np.abs(values).max(1, keepdims=True) / (scales * fmt.limit)
        normal = np.abs(values).max(1, keepdims=True) > 2.0 ** -90
        assert normal.sum() > 500 and over[normal].max() <= 1 + 2.0 ** -22 and over[normal].min() > 0.5


def exact_two_level(fmt: Block, values: np.ndarray, whole: float) -> BlockCodes:
    """In rationals, the nearest by comparison with every value of the format."""
    def nearest(exact: Fraction, table: list[tuple[Fraction, int]]) -> int:
        return min(table, key=lambda row: (abs(row[0] - exact), row[1] & 1))[1]

    def table_of(fmt: Float | Int) -> list[tuple[Fraction, int]]:
        return [(Fraction(float(v)), code) for code, v in enumerate(fmt.table) if np.isfinite(v) and not (v == 0 and code)]
    scales, elements = [], []
    scale_table, element_table = table_of(fmt.scale), table_of(fmt.element)
    for block in values.reshape(-1, fmt.size):
        amax = Fraction(float(np.abs(block).max()))
        wanted = max(amax / (Fraction(fmt.limit) * Fraction(whole)), Fraction(2) ** (1 - fmt.scale.bias))
        scales.append(nearest(wanted, scale_table))
        scale = Fraction(float(fmt.scale.table[scales[-1]])) * Fraction(whole)
        limit = Fraction(fmt.limit)
        elements.append([nearest(min(max(Fraction(float(v)) / scale, -limit), limit), element_table) for v in block])
    return BlockCodes(np.array(scales).reshape(*values.shape[:-1], -1), np.array(elements).reshape(values.shape))


@pytest.mark.parametrize("name", ["nvfp4", "nvint4", "ue5m3"])
@pytest.mark.parametrize("two_level", [False, True])
def test_two_levels_in_rationals(name: str, two_level: bool) -> None:
    """Random blocks, and blocks all of whose numbers are on, or next to, a boundary of the exact quotient."""
    fmt = get_block(name) if name != "ue5m3" else Block(name="nvfp4_ue5m3", element=E2M1, scale=UE5M3, size=16, rule="nearest")
    rng = np.random.default_rng(4)
    random = rng.normal(size=(40, 32)) * 2.0 ** rng.integers(-12, 3, (40, 1))
    whole = tensor_scale(fmt, random) if two_level else 1.0
    scale = 1.375 * 2.0 ** -4 * whole
    middles = np.array([a + b for a, b in zip(np.unique(fmt.element.table), np.unique(fmt.element.table)[1:], strict=False)]) / 2
    on = rng.choice(middles, (20, 32)) * scale
    on = np.concatenate([on, np.nextafter(on, 9), np.nextafter(on, -9)])
    on[:, ::16] = fmt.limit * scale
    values = np.concatenate([random, on])
    codes = encode_blocks(fmt, values, scale=whole if two_level else None)
    expected = exact_two_level(fmt, values, whole)
    assert np.array_equal(codes.scales, expected.scales)
    zero = (codes.elements & ~8 == 0) if name != "nvint4" else codes.elements == 0             # of either sign
    assert np.array_equal(np.where(zero, 0, codes.elements), expected.elements)
    decoded = decode_blocks(fmt, codes, scale=whole if two_level else None)
    exact = [Fraction(float(fmt.element.table[e])) * Fraction(float(fmt.scale.table[s])) * Fraction(whole)
             for row, scales in zip(codes.elements, codes.scales, strict=True) for e, s in zip(row, np.repeat(scales, 16), strict=True)]
    assert [Fraction(float(v)) for v in decoded.ravel()] == exact


def test_nvfp4_and_float32_kernels() -> None:
    """torchao's float32 procedure gives the same but where its roundings meet a boundary; there, the exact quotient is that near."""
    fmt = get_block("nvfp4")
    values = np.random.default_rng(5).normal(size=(2000, 64)).astype(np.float32)
    whole = np.float32(tensor_scale(fmt, values))
    assert whole == np.float32(np.abs(values).max()) / np.float32(448 * 6)
    codes = encode_blocks(fmt, values, scale=float(whole))
    split = values.reshape(2000, 4, 16)
    wanted = np.clip(np.abs(split).max(-1) / np.float32(6) / whole, np.float32(2.0 ** -6), np.float32(448))
    scales = wanted.astype(ml_dtypes.float8_e4m3fn)
    assert np.mean(scales.view(np.uint8) == codes.scales) > 0.999
    agree = scales.view(np.uint8) == codes.scales
    quotient = split / (whole * scales.astype(np.float32))[..., None]
    theirs = np.clip(quotient, -6, 6).astype(ml_dtypes.float4_e2m1fn).astype(np.float64)
    ours = decode(E2M1, codes.elements).reshape(split.shape)
    other = (theirs != ours) & agree[..., None]
    assert np.mean(other) < 1e-5
    middles = (E2M1.table[:7] + E2M1.table[1:8]) / 2
    for q in np.abs(quotient[other]):
        assert np.abs(middles - q).min() <= 4 * np.spacing(q)


def test_round_trips() -> None:
    """What decodes encodes to itself, scale and all, wherever the largest element is in use."""
    rng = np.random.default_rng(6)
    for fmt in STANDARD_BLOCKS.values():
        size = fmt.size or 50
        finite = np.flatnonzero(np.isfinite(fmt.element.table) & (np.abs(fmt.element.table) <= fmt.limit) & ~(
            (fmt.element.table == 0) & np.signbit(fmt.element.table)))
        elements = rng.choice(finite, (20, 4 * size))
        elements[:, ::size] = int(encode(fmt.element, fmt.limit))
        if not fmt.size:
            elements = elements[0]
        scales = rng.integers(100, 120, (20, 4)) if fmt.size else np.asarray(111)
        codes = BlockCodes(scales, elements)
        back = encode_blocks(fmt, decode_blocks(fmt, codes))
        assert np.array_equal(back.scales, scales) and np.array_equal(back.elements, elements), fmt.name


def test_axes() -> None:
    values = np.random.default_rng(7).normal(size=(64, 3, 32))
    for name in ("mxfp4", "nvfp4"):
        fmt = get_block(name)
        size = fmt.size
        last = encode_blocks(fmt, values)
        first = encode_blocks(fmt, values, axis=0)
        moved = encode_blocks(fmt, np.moveaxis(values, 0, -1))
        assert last.scales.shape == (64, 3, 32 // size) and first.scales.shape == (64 // size, 3, 32)
        assert np.array_equal(first.scales, np.moveaxis(moved.scales, -1, 0))
        assert np.array_equal(first.elements, np.moveaxis(moved.elements, -1, 0))
        assert np.array_equal(decode_blocks(fmt, first, axis=0), np.moveaxis(decode_blocks(fmt, moved), -1, 0))
        assert np.array_equal(encode_blocks(fmt, values, axis=-3).scales, first.scales)
    assert encode_blocks(get_block("mxfp4"), np.zeros((2, 0))).elements.shape == (2, 0)


def test_dynamic_fixed_point() -> None:
    """Das et al.: shared exponent ``E(max) - (bits - 2)``, integers rounded to it; here the point of the integers is moved instead."""
    rng = np.random.default_rng(8)
    for bits in range(2, 17):
        fmt = get_block(f"dfp{bits}")
        for power in (-30, 0, 12):
            values = rng.normal(size=(5, 7)) * 2.0 ** power
            codes = encode_blocks(fmt, values)
            shared = int(np.floor(np.log2(np.abs(values).max()))) - (bits - 2)
            numbers = np.clip(np.rint(values / 2.0 ** shared), -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1)
            assert codes.scales.shape == () and int(codes.scales) - 127 - (bits - 2) == shared
            assert np.array_equal(codes.elements, numbers.astype(int) % (1 << bits))
            assert np.array_equal(decode_blocks(fmt, codes), numbers * 2.0 ** shared)


def test_not_finite_and_zero() -> None:
    values = np.ones((4, 32))
    values[0, 3], values[1, 4], values[2] = np.nan, -np.inf, 0.0
    for rule in RULES:
        codes = encode_blocks(get_block(f"mxfp8e4m3_{rule}"), values)
        assert codes.scales[:3, 0].tolist() == [255, 255, 0] and not codes.elements[:3].any()
        assert np.isnan(decode_blocks(get_block("mxfp8e4m3"), codes)[:2]).all()
    codes = encode_blocks(get_block("nvfp4"), values)
    assert codes.scales.tolist() == [[127, 35], [127, 35], [8, 8], [35, 35]]
    assert np.isnan(decode_blocks(get_block("nvfp4"), codes)[:2, :16]).all()
    assert tensor_scale(get_block("nvfp4"), values) == np.float32(1 / 2688) and tensor_scale(get_block("nvint4"), np.zeros(3)) == 1
    assert tensor_scale(get_block("nvfp4"), [1e-42]) == 2.0 ** -126
    all_numbers = Float(name="ue4m3_numbers", exp=4, man=3, top=Top.NUMBERS, signed=False)
    no_nan = Block(name="a", element=E2M1, scale=all_numbers, size=16, rule="nearest")
    with pytest.raises(ValueError, match="^Values of a must be finite, its scale having no NaN$"):
        encode_blocks(no_nan, values)
    assert encode_blocks(get_block("mxfp4_rceil"), np.full(32, 1e300)).scales.tolist() == [254]     # amax is infinite as a float32
    tiny = encode_blocks(get_block("nvfp4"), [448.0 * 6 * 2.0 ** 100, -5e-324] * 8, scale=2.0 ** 100, rounding="floor")
    assert decode(E2M1, tiny.elements).tolist() == [6, -0.5] * 8                                    # the quotient is below float64
    extreme = np.array([[5e-324, 1e308] * 16, [-5e-324] * 32])
    assert encode_blocks(get_block("mxfp4"), extreme).scales.tolist() == [[254], [0]]
    assert decode(E2M1, encode_blocks(get_block("mxfp4"), extreme, rounding="floor").elements)[0, :2].tolist() == [0, 6]
    assert (decode(E2M1, encode_blocks(get_block("mxfp4"), -extreme, rounding="floor").elements)[0] == [-0.5, -6] * 16).all()


def test_stochastic_elements() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(32, 4))
    random = rng.integers(0, 256, values.shape)
    for name in ("mxfp4", "nvfp4"):
        fmt = get_block(name)
        size = fmt.size
        codes = encode_blocks(fmt, values, 0, rounding="stochastic", random=random, random_bits=8)
        scales = np.repeat(decode(fmt.scale, codes.scales), size, 0)
        scaled = [[Fraction(float(v)) / Fraction(float(s)) for v, s in zip(a, b, strict=True)] for a, b in zip(values, scales, strict=True)]
        expected = encode(E2M1, np.clip(np.array(scaled, float), -6, 6), "stochastic", random=random, random_bits=8)
        assert np.array_equal(codes.elements, expected)


SWITCHES = [(8, 6), (8, 4), (8, 2), (6, 4), (6, 2), (4, 2), (8, 8), (16, 8), (16, 2)]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("high", "low"), SWITCHES)
def test_bit_switching_as_apytypes(high: int, low: int, signed: bool) -> None:
    """Every code, every mode; and half to even as the paper's formula has it in float."""
    source, target = (get_scalar(f"{'' if signed else 'u'}int{n}") for n in (high, low))
    assert isinstance(source, Int) and isinstance(target, Int)
    codes = np.arange(1 << high)
    shift = high - low
    numbers = source.table
    fixed = apytypes.APyFixedArray.from_float(numbers / 2.0 ** shift, int_bits=low + 2, frac_bits=shift)
    modes = {"half_even": QuantizationMode.TIES_EVEN, "half_up": QuantizationMode.TIES_POS, "half_away": QuantizationMode.TIES_AWAY,
             "floor": QuantizationMode.TO_NEG, "toward_zero": QuantizationMode.TO_ZERO}
    bottom, top = limits(target)
    for mode, theirs in modes.items():
        expected = np.clip(fixed.cast(int_bits=low + 2, frac_bits=0, quantization=theirs).to_numpy(), bottom, top)
        got = switch_bits(codes, source, target, mode)
        assert np.array_equal(decode(target, got), expected)
    assert np.array_equal(decode(target, switch_bits(codes, source, target)), np.clip(np.rint(numbers / 2.0 ** shift), bottom, top))


def test_names() -> None:
    assert {name: (fmt.size, fmt.bits) for name, fmt in STANDARD_BLOCKS.items() if not name.startswith("dfp")} == {
        "mxfp8e4m3": (32, 8.25), "mxfp8e5m2": (32, 8.25), "mxfp6e2m3": (32, 6.25), "mxfp6e3m2": (32, 6.25), "mxfp4": (32, 4.25),
        "mxint8": (32, 8.25), "nvfp4": (16, 4.4375), "nvint4": (16, 4.4375)}
    assert get("mxfp4") is STANDARD_BLOCKS["mxfp4"] and get("mxfp4_even") != get("mxfp4")
    assert get_block("dfp16_ceil").rule == "ceil" and get_block("dfp16").bits == 16
    assert all(hash(fmt) and fmt == get(name) for name, fmt in STANDARD_BLOCKS.items())


@pytest.mark.parametrize(("call", "message"), [
    (lambda: get("nvfp4_ceil"), "Rule of nvfp4_ceil must be nearest, not 'ceil'"),
    (lambda: get("mxfp4_nearest"), "Rule of mxfp4_nearest must be floor or ceil or even or rceil, not 'nearest'"),
    (lambda: get("mxpf4"), r"Format must be .*, not 'mxpf4' \(near it: mxfp4, .*\)"),
    (lambda: get("dfp17"), "Width of dfp17 must be between 2 and 16, not 17"),
    (lambda: get("dfp1"), "Width of dfp1 must be between 2 and 16, not 1"),
    (lambda: get("dfp0"), "Width of dfp0 must be between 2 and 16, not 0"),
    (lambda: get("dfp17_ceil"), "Width of dfp17_ceil must be between 2 and 16, not 17"),
    (lambda: get("dfp08"), r"Format must be .*, not 'dfp08' \(near it: dfp8, .*\)"),
    (lambda: get_block("e4m3"), "Format must be a block format, one of mxfp8e4m3, .*, dfp16, not 'e4m3'"),
    (lambda: Block(name="a", element=E2M1, scale=E8M0, size=-1, rule="floor"), "Size of a must be between 0 and 1048576, not -1"),
    (lambda: Block(name="a", element=UINT8, scale=E8M0, size=4, rule="floor"), "Elements of a must have both signs, not be uint8"),
    (lambda: Block(name="a", element=get_scalar("e4m7"), scale=UE4M3, size=4, rule="nearest"),
     "Width of the elements of a must be between 1 and 8, not 12"),
    (lambda: Block(name="a", element=E4M3, scale=get_scalar("ue5m4"), size=4, rule="nearest"),
     "Width of the scales of a must be between 1 and 8, not 9"),
    (lambda: Block(name="4", element=E2M1, scale=E8M0, size=4, rule="floor"), "Name of a format must be an identifier, not '4'"),
    (lambda: encode_blocks(get_block("mxfp4"), np.ones(45)), "Axis of mxfp4 must have a multiple of 32 values, not 45"),
    (lambda: encode_blocks(get_block("mxfp4"), np.ones(32), axis=1), "Axis must be one of the 1 of the values, not 1"),
    (lambda: encode_blocks(get_block("mxfp4"), np.ones(32), scale=1.0),
     "Block format must have two levels of scale for one of the tensor, not be mxfp4"),
    (lambda: tensor_scale(get_block("dfp8"), np.ones(32)), "Block format must have two levels of scale for one of the tensor, not be dfp8"),
    (lambda: encode_blocks(get_block("nvfp4"), np.ones(16), scale=0.0), "Scale of the tensor must be a positive float32, not 0.0"),
    (lambda: encode_blocks(get_block("nvfp4"), np.ones(16), scale=0.1), "Scale of the tensor must be a positive float32, not 0.1"),
    (lambda: tensor_scale(get_block("nvfp4"), [1e300]),
     r"Values of nvfp4 must be such that their scale is a float32, not as large as 1e\+300"),
    (lambda: encode_blocks(get_block("nvfp4"), np.ones(16), rounding="stochastic", random=np.zeros(16, int), random_bits=17),
     "Random bits of nvfp4 must be between 1 and 16, not 17"),
    (lambda: encode_blocks(get_block("mxfp4"), ["1"] * 32), "Values of mxfp4 must be real numbers, not <U1"),
    (lambda: decode_blocks(get_block("mxfp4"), BlockCodes(np.zeros(2, int), np.zeros(32, int))),
     r"Scales of mxfp4 must be one a block, \(1,\), not \(2,\)"),
    (lambda: switch_bits([0], INT8, get_scalar("uint4")),
     "Formats to switch between must be integers of one signedness, not int8 and uint4"),
    (lambda: switch_bits([0], INT8, TERNARY), "Formats to switch between must be integers of one signedness, not int8 and ternary"),
    (lambda: switch_bits([0], INT4, INT8), "Target must have at most the 4 bits of int4, not the 8 of int8"),
    (lambda: switch_bits([0], INT8, INT4, "stochastic"), "Rounding must be one of half_even, .*, toward_zero, not 'stochastic'"),
])
def test_messages(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize(("given", "said"), [
    (E4M3, ", not the format of single numbers 'e4m3'"), ("mxfp4", ", as get_block gives, not the name 'mxfp4'"),
    (None, ", not NoneType"), (np.ones(32), ", not ndarray"), (Block, ", not type"), (Float, ", not type")])
@pytest.mark.parametrize("call", [
    lambda fmt: encode_blocks(fmt, np.ones(32)), lambda fmt: encode_blocks(fmt, np.ones(32), scale=1.0),
    lambda fmt: tensor_scale(fmt, [1.0]), lambda fmt: decode_blocks(fmt, BlockCodes(np.zeros(1, int), np.zeros(32, int)))])
def test_what_is_no_block_format(call, given: object, said: str) -> None:
    with pytest.raises(ValueError) as error:
        call(given)
    assert str(error.value) == f"Format must be a block format{said}"


def test_kinds() -> None:
    with pytest.raises(TypeError, match="^Block a must have Int, SignMagnitude or Float elements and an Exponent or Float as scale, "
                                        "not Ternary and Exponent$"):
        Block(name="a", element=TERNARY, scale=E8M0, size=4, rule="floor")
