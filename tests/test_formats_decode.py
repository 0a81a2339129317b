"""Every code of every kind of format, against libraries that know it and against its definition."""
from __future__ import annotations

from fractions import Fraction
from math import sqrt

import apytypes
import gfloat
from gfloat import Domain, FormatInfo, formats
import ml_dtypes
import numpy as np
import pytest
import softposit

from mantissa.formats import (BINARY, E8M0, STANDARD, TERNARY, UE4M3, UE5M3, Exponent, Float, Format, Int, Posit, PowerOfRootTwo,
                              PowerOfTwo, SignMagnitude, Top, Values, decode, get_scalar)

MINIFLOATS = [f"{sign}e{exp}m{man}{top}" for sign in ("", "u") for exp in range(1, 11) for man in range(15)
              for top in ("_ieee", "_nan", "_numbers", "_fnuz")
              if exp + man + (not sign) <= 12 and (exp + man > 1 or top == "_numbers") and not (sign and top == "_fnuz")]
SIXTEEN = ["bf16", "fp16", "e6m9_ieee", "e7m8_nan", "e4m11_numbers", "e10m5_fnuz", "ue8m8_ieee", "ue5m11_nan", "e11m4_ieee"]
POSITS = [(width, es) for width in range(2, 17) for es in range(5)]


def same(a: Values, b: Values) -> bool:
    """Same numbers, NaN equal to NaN, zeros of the same sign."""
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))


def info(fmt: Float) -> FormatInfo:
    """The float as gfloat knows it; an infinity is one of the codes above the numbers."""
    high = {Top.IEEE: (1 << fmt.man) - 1, Top.NAN: 1, Top.NUMBERS: 0, Top.FNUZ: 0}[fmt.top]
    return FormatInfo(fmt.name, fmt.width, fmt.man + 1, bias=fmt.bias, is_signed=fmt.signed,
                      domain=Domain.Extended if fmt.top is Top.IEEE else Domain.Finite,
                      has_nz=fmt.signed and fmt.top is not Top.FNUZ, num_high_nans=high, has_subnormals=True, is_twos_complement=False)


def codes_of(fmt: Format) -> np.ndarray:
    codes = np.arange(1 << fmt.width)
    assert len(codes) > 1
    return codes


@pytest.mark.parametrize("name", [*MINIFLOATS, *SIXTEEN])
def test_floats(name: str) -> None:
    """As gfloat does; and as apytypes, which knows IEEE tops only: a wider exponent field of the same bias makes of its top numbers."""
    fmt = get_scalar(name)
    assert isinstance(fmt, Float)
    codes = codes_of(fmt)
    got = decode(fmt, codes)
    assert same(got, gfloat.decode_ndarray(info(fmt), codes))
    sign = codes >> (fmt.exp + fmt.man)
    wide = fmt.exp + (fmt.top is not Top.IEEE)
    bits = codes & ((1 << (fmt.exp + fmt.man)) - 1) | sign << (wide + fmt.man)
    expected = apytypes.APyFloatArray.from_bits(bits, wide, fmt.man, bias=fmt.bias).to_numpy()
    number = ~np.isnan(got)
    assert number.sum() > 1
    assert same(got[number], expected[number])


@pytest.mark.parametrize(("name", "dtype"), [
    ("e4m3fnuz", ml_dtypes.float8_e4m3fnuz), ("e4m3b11fnuz", ml_dtypes.float8_e4m3b11fnuz), ("e5m2fnuz", ml_dtypes.float8_e5m2fnuz),
    ("e8m0", ml_dtypes.float8_e8m0fnu), ("e4m3_ieee", ml_dtypes.float8_e4m3), ("e3m4_ieee", ml_dtypes.float8_e3m4)])
def test_formats_of_ml_dtypes(name: str, dtype: type) -> None:
    fmt = get_scalar(name)
    assert same(decode(fmt, codes_of(fmt)), np.arange(256, dtype=np.uint8).view(dtype).astype(np.float64))


def test_unsigned_scales() -> None:
    signed = np.arange(128, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    assert same(decode(UE4M3, np.arange(128)), signed)
    half = (np.arange(255, dtype=np.uint16) << 7).view(np.float16).astype(np.float64)         # E5M3 is binary16 cut, but for its top
    assert same(UE5M3.table[:248], half[:248])
    assert UE5M3.table[254] == 114688 and np.flatnonzero(np.isnan(UE5M3.table)).tolist() == [255]


def test_exponents() -> None:
    assert same(E8M0.table, gfloat.decode_ndarray(formats.format_info_ocp_e8m0, np.arange(256)))
    for width in range(2, 11):
        fmt = Exponent(name="any", width=width)
        assert [Fraction(float(v)) for v in fmt.table[:-1]] == [Fraction(2) ** (c - fmt.bias) for c in range((1 << width) - 1)]
        assert np.isnan(fmt.table[-1])


def posit_value(code: int, width: int, es: int) -> Fraction | None:
    """Value of a posit, read from its bits as a string; ``None`` is NaR."""
    if code == 0 or code == 1 << (width - 1):
        return Fraction(0) if code == 0 else None
    if code >> (width - 1):
        value = posit_value((1 << width) - code, width, es)
        return None if value is None else -value
    text = f"{code:0{width}b}"[1:]
    run = len(text) - len(text.lstrip(text[0]))
    regime = run - 1 if text[0] == "1" else -run
    rest = text[run + 1:]
    exponent = int((rest[:es] + "0" * es)[:es] or "0", 2)
    fraction = rest[es:]
    return Fraction(2) ** (regime * 2 ** es + exponent) * Fraction(int("1" + fraction, 2), 2 ** len(fraction))


@pytest.mark.parametrize(("width", "es"), [*POSITS, (16, 6), (8, 7), (2, 9)])
def test_posits(width: int, es: int) -> None:
    fmt = Posit(name="any", width=width, es=es)
    assert np.isnan(fmt.table[1 << (width - 1)])
    codes = np.delete(codes_of(fmt), 1 << (width - 1))
    chosen = codes if width <= 12 else np.random.default_rng(es).choice(codes, 4096)
    assert [Fraction(float(v)) for v in fmt.table[chosen]] == [posit_value(int(code), width, es) for code in chosen]
    in_order = fmt.table[np.roll(np.arange(1 << width), (1 << (width - 1)) - 1)][:-1]          # comparison is that of signed integers
    assert (np.diff(in_order) > 0).all()


@pytest.mark.parametrize("name", ["posit8_0", "posit16_1", *(f"posit{width}_2" for width in range(2, 17))])
def test_posits_of_softposit(name: str) -> None:
    """softposit has NaR become infinity where we have NaN, and keeps posits of other widths at the top of 32 bits."""
    fmt = get_scalar(name)

    def value(code: int) -> float:
        if name in ("posit8_0", "posit16_1"):
            posit = softposit.posit8() if fmt.width == 8 else softposit.posit16()
            posit.fromBits(code)
            return (softposit.convertP8ToDouble if fmt.width == 8 else softposit.convertP16ToDouble)(posit.v)
        posit = softposit.posit_2(x=fmt.width)
        posit.fromBits(code << (32 - fmt.width))
        return softposit.convertPX2ToDouble(posit.v)
    expected = np.array([value(int(code)) for code in codes_of(fmt)])
    assert np.flatnonzero(np.isinf(expected)).tolist() == [1 << (fmt.width - 1)] == np.flatnonzero(np.isnan(fmt.table)).tolist()
    assert same(fmt.table, np.where(np.isinf(expected), np.nan, expected))


@pytest.mark.parametrize("width", range(1, 17))
def test_integers(width: int) -> None:
    """apytypes 0.5.1 wraps bit patterns into its range if they are given as a list, and not if as an array."""
    codes = np.arange(1 << width)
    for fraction in (0, 1, 6, 16):
        for signed in (True, False):
            fmt = Int(name="any", width=width, signed=signed, fraction=fraction)
            fixed = apytypes.APyFixedArray(codes.tolist(), int_bits=width - fraction + (not signed), frac_bits=fraction)
            assert same(fmt.table, fixed.to_numpy())
    if width > 1:
        fmt = SignMagnitude(name="any", width=width)
        magnitude = codes & ~(1 << (width - 1))
        assert same(fmt.table, np.copysign(magnitude, np.where(codes >> (width - 1), -1.0, 1.0)))


def test_mxint8_element() -> None:
    expected = gfloat.decode_ndarray(formats.format_info_ocp_int8, np.arange(256))
    assert same(get_scalar("int8f6").table, expected)


def test_binary_and_ternary() -> None:
    a, b = np.meshgrid([0, 1], [0, 1])
    assert same(BINARY.table[a] * BINARY.table[b], BINARY.table[1 - (a ^ b)])                   # XNOR multiplies
    codes = np.arange(4)
    assert same(TERNARY.table, (codes & 1) * np.where(codes >> 1 & codes, -1.0, 1.0))
    assert same(TERNARY.table[[0, 1, 3]], get_scalar("int2").table[[0, 1, 3]])


@pytest.mark.parametrize("top", [-3, 0, 5])
@pytest.mark.parametrize("width", range(2, 9))
def test_powers(width: int, top: int) -> None:
    most = (1 << (width - 1)) - 1
    two = PowerOfTwo(name="any", width=width, top=top)
    powers = [Fraction(0), *(Fraction(2) ** (top - most + f) for f in range(1, most + 1))]
    assert [Fraction(float(v)) for v in two.table] == [*powers, *(-p for p in powers)]
    root = PowerOfRootTwo(name="any", width=width, top=top)
    assert (root.root, PowerOfRootTwo(name="any", width=2, root_bits=16).root) == (181, round(sqrt(2) * 65536))
    expected = [0.0, *(sqrt(2) ** (2 * top - most + f) for f in range(1, most + 1))]
    assert np.abs(root.table[:most + 1] / np.maximum(expected, 1e-99) - 1)[1:].max() < 1.2e-4
    even = root.table[1:most + 1][(most - np.arange(1, most + 1)) % 2 == 0]
    assert set(np.frexp(even)[0]) == {0.5}                   # every other one is a power of two
    assert same(root.table[most + 1:], -root.table[:most + 1])
    assert np.signbit(two.table[most + 1]) and two.table[most + 1] == 0


def test_fields_are_the_code() -> None:
    for fmt in STANDARD.values():
        spans = sorted(fmt.fields.values())
        assert [a for a, _ in spans] == [0, *(b for _, b in spans[:-1])] and spans[-1][1] == fmt.width
        if "sign" in fmt.fields:
            low, high = fmt.fields["sign"]
            negative = (np.arange(1 << fmt.width) >> low & 1) == 1
            number = (fmt.table != 0) & ~np.isnan(fmt.table)
            assert high == fmt.width and np.array_equal(negative[number], fmt.table[number] < 0)
