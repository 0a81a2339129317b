"""Every rounding boundary of every kind of format, in every mode, against libraries that round, and against the modes' definitions.

Points are every value of a format, every boundary, one float64 to each side of these, and beyond both ends.
"""
from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from math import floor
from types import SimpleNamespace

import apytypes
from apytypes import OverflowMode, QuantizationMode
import gfloat
from gfloat import Domain, FormatInfo, RoundMode, formats
import ml_dtypes
import numpy as np
import pytest
import softposit

from mantissa.errors import MantissaError
from mantissa.formats import (BINARY, E4M3, E5M2, E8M0, INT8, MODES, POSIT8, TERNARY, UE4M3, Block, Exponent, Float, Format, Int, Posit,
                              PowerOfRootTwo, PowerOfTwo, SignMagnitude, Top, Values, decode, encode, get_block, get_scalar, limits,
                              switch_bits)

FLOATS = ["e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "ue4m3", "ue5m3", "e4m3fnuz", "e4m3b11fnuz", "e5m2fnuz", "e4m3_numbers", "e4m3_ieee",
          "e3m4_ieee", "e1m1_ieee", "e1m3", "e3m0_numbers", "e3m0_nan", "e2m5", "e5m2_nan", "ue3m3_ieee", "ue4m1", "e7m4", "e6m3_nan",
          "bf16", "fp16", "e7m8_nan", "e4m11", "e10m5", "ue8m8_ieee"]
NEAREST = ("half_even", "half_up", "half_away")
THEIRS = {"half_even": QuantizationMode.TIES_EVEN, "half_up": QuantizationMode.TIES_POS, "half_away": QuantizationMode.TIES_AWAY,
          "floor": QuantizationMode.TO_NEG, "toward_zero": QuantizationMode.TO_ZERO}
GFLOAT = {"half_even": RoundMode.TiesToEven, "half_away": RoundMode.TiesToAway, "floor": RoundMode.TowardNegative,
          "toward_zero": RoundMode.TowardZero}
POSITS = [(2, 0), (3, 1), (4, 0), (4, 1), (5, 3), (6, 2), (7, 0), (8, 0), (8, 1), (8, 2), (8, 4), (10, 1)]


def around(points: Values, ends: float = 3.0) -> Values:
    """Points, their neighbours among float64, and some far out."""
    finite = np.unique(points[np.isfinite(points)])
    far = np.abs(finite).max() * ends
    every = np.concatenate([finite, np.nextafter(finite, np.inf), np.nextafter(finite, -np.inf),
                            [0.0, -0.0, 5e-324, -5e-324, far, -far, 1e300, -1e300]])
    assert len(every) > 8
    return every[np.isfinite(every)]


def points_of(fmt: Format) -> Values:
    """Values, midpoints, and midpoints with a step beyond."""
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    middle = grid[:-1] + np.diff(grid) / 2
    assert all(2 * Fraction(m) == Fraction(a) + Fraction(b) for m, a, b in list(zip(middle, grid, grid[1:], strict=False))[::97])
    beyond = [grid[-1] + np.diff(grid)[-1] / 2, grid[-1] * 1.5, grid[0] - np.diff(grid)[0] / 2, grid[0] * 1.5]
    return around(np.concatenate([grid, middle, beyond]))


def same(a: Values, b: Values) -> bool:
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a) | np.isnan(a), np.signbit(b) | np.isnan(b))


def info(fmt: Float) -> FormatInfo:
    high = {Top.IEEE: (1 << fmt.man) - 1, Top.NAN: 1, Top.NUMBERS: 0, Top.FNUZ: 0}[fmt.top]
    return FormatInfo(fmt.name, fmt.width, fmt.man + 1, bias=fmt.bias, is_signed=fmt.signed,
                      domain=Domain.Extended if fmt.top is Top.IEEE else Domain.Finite,
                      has_nz=fmt.signed and fmt.top is not Top.FNUZ, num_high_nans=high, has_subnormals=True, is_twos_complement=False)


def float_named(name: str) -> Float:
    fmt = get_scalar(name)
    assert isinstance(fmt, Float)
    return fmt


@pytest.mark.parametrize("name", [name for name in FLOATS if name != "e1m1_ieee"])
def test_floats_as_gfloat(name: str) -> None:
    """Saturating and not. gfloat has no half_up, and takes the magnitude of what is given to unsigned formats.

    Of formats with subnormals alone, e1m1_ieee, gfloat 0.5.2 has a largest number, 1.5, that none of its codes decodes to.
    """
    fmt = float_named(name)
    values = points_of(fmt)
    values = values if fmt.signed else values[~np.signbit(values)]
    for mode, theirs in GFLOAT.items():
        assert same(decode(fmt, encode(fmt, values, mode)), gfloat.round_ndarray(info(fmt), values, theirs, sat=True)), mode
        if fmt.top is not Top.NUMBERS:
            far = np.concatenate([values, [np.inf, np.nan]])
            assert same(decode(fmt, encode(fmt, far, mode, "special")), gfloat.round_ndarray(info(fmt), far, theirs)), mode


@pytest.mark.parametrize("bits", [1, 3, 8, 24])
@pytest.mark.parametrize("name", [name for name in FLOATS if name != "e1m1_ieee"])
def test_stochastic_floats_as_gfloat(name: str, bits: int) -> None:
    """gfloat's StochasticFastest: fraction plus random bits, carried out. Its sum is in float64, so points are of few bits."""
    fmt = float_named(name)
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    rng = np.random.default_rng(bits)
    pick = np.sort(rng.choice(len(grid) - 1, min(len(grid) - 1, 2000), replace=False))
    parts = rng.integers(0, 1 << (bits + 1), len(pick)) / 2.0 ** (bits + 1)
    values = np.concatenate([grid[pick] + np.diff(grid)[pick] * parts, grid[pick], [grid[-1] + np.diff(grid)[-1] * 0.25]])
    values = values if fmt.signed else values[~np.signbit(values)]
    random = rng.integers(0, 1 << bits, len(values))
    got = decode(fmt, encode(fmt, values, "stochastic", random=random, random_bits=bits))
    assert len(values) > 2
    assert same(got, gfloat.round_ndarray(info(fmt), values, RoundMode.StochasticFastest, sat=True, srbits=random, srnumbits=bits))


@pytest.mark.parametrize("name", FLOATS)
def test_floats_as_apytypes(name: str) -> None:
    """apytypes knows IEEE overflow only: with a wider exponent of the same bias nothing overflows, and we clip ourselves.

    Its ``cast``, in 0.5.1, makes 0 of what should be carried from the largest subnormal to the least normal number: 0.9 in E2M1. That this
    is wrong its own ``from_float`` says, which rounds half to even alone; so it judges there.
    """
    fmt = float_named(name)
    values = points_of(fmt)
    low, high = limits(fmt)
    values = values[np.abs(values) < 4 * high]
    normal = 2.0 ** (1 - fmt.bias)
    carried = (np.abs(values) > normal - 2.0 ** (1 - fmt.bias - fmt.man)) & (np.abs(values) < normal)
    if fmt.man:
        expected = apytypes.APyFloatArray.from_float(values[carried], fmt.exp + 1, fmt.man, bias=fmt.bias).to_numpy()
        assert len(expected) and np.array_equal(decode(fmt, encode(fmt, values[carried])), np.clip(expected, low, high))
    values = values[~carried]
    given = apytypes.APyFloatArray.from_float(values, 11, 52)
    assert len(values) > 8
    for mode, theirs in THEIRS.items():
        if fmt.man == 0 and mode == "half_even":
            continue                                         # without a fraction its ties all go down: see below
        expected = np.clip(given.cast(fmt.exp + 1, fmt.man, bias=fmt.bias, quantization=theirs).to_numpy(), low, high)
        expected = expected if np.signbit(fmt.table[fmt.table == 0]).any() else expected + 0.0
        assert same(decode(fmt, encode(fmt, values, mode)), expected), mode


@pytest.mark.parametrize("name", ["e3m0_numbers", "e3m0_nan", "ue4m0", "e8m0_ieee"])
def test_ties_without_a_fraction_go_to_the_even_exponent(name: str) -> None:
    fmt = get_scalar(name)
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    middle = grid[:-1] + np.diff(grid) / 2
    assert len(middle) > 2
    assert (encode(fmt, middle) & 1 == 0).all()
    assert (np.isin(decode(fmt, encode(fmt, middle)), grid)).all()


@pytest.mark.parametrize(("name", "dtype"), [
    ("e4m3fnuz", ml_dtypes.float8_e4m3fnuz), ("e4m3b11fnuz", ml_dtypes.float8_e4m3b11fnuz), ("e5m2fnuz", ml_dtypes.float8_e5m2fnuz)])
def test_fnuz_as_ml_dtypes(name: str, dtype: type) -> None:
    """From float32, as ml_dtypes rounds float64 twice."""
    fmt = get_scalar(name)
    with np.errstate(over="ignore", invalid="ignore"):
        single = points_of(fmt)[:, None].astype(np.float32)
        single = np.concatenate([single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))], 1).ravel()
        expected = single.astype(dtype).view(np.uint8)
    assert np.array_equal(encode(fmt, single, overflow="special"), expected)


def test_unsigned_floats_clip_what_is_negative() -> None:
    values = [-1e-9, -1.0, -np.inf, -0.0]
    for mode in ("half_even", "half_up", "half_away", "floor", "toward_zero"):
        assert encode(UE4M3, values, mode).tolist() == [0] * 4
    assert encode(UE4M3, values, overflow="special").tolist() == [0, 0x7f, 0x7f, 0]
    assert encode(get_scalar("ue4m3_ieee"), [np.inf, -np.inf, np.nan], overflow="special").tolist() == [0x78, 0x7f, 0x7c]


def test_exponent_as_gfloat_and_ml_dtypes() -> None:
    """gfloat's ties go to the even code and ml_dtypes' up, so they judge two modes of ours; at the bottom ours saturates."""
    values = points_of(E8M0)
    values = values[values >= 2.0 ** -127]
    e8m0 = formats.format_info_ocp_e8m0
    for mode, theirs in GFLOAT.items():
        assert same(decode(E8M0, encode(E8M0, values, mode)), gfloat.round_ndarray(e8m0, values, theirs, sat=True)), mode
    values = values[(values < 1.5 * 2.0 ** 127) & (values > 2e-38)]
    single = values[values == values.astype(np.float32)].astype(np.float32)
    single = np.concatenate([single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(0))])
    assert np.array_equal(encode(E8M0, single, "half_up"), single.astype(ml_dtypes.float8_e8m0fnu).view(np.uint8))
    assert encode(E8M0, [0.0, -1.0, 2.0 ** -130, np.nan, np.inf]).tolist() == [0, 0, 0, 255, 254]
    assert encode(E8M0, [0.0, -1.0, 1e39, np.inf], overflow="special").tolist() == [255] * 4
    edges = np.array([0.75 * 2.0 ** -127, 1.5 * 2.0 ** 127])       # a step below the least is half of it, and 0 and 254 are even
    assert encode(E8M0, edges, overflow="refuse").tolist() == [0, 254]
    for beyond in (np.nextafter(edges[0], 0), np.nextafter(edges[1], np.inf), 0.0):
        with pytest.raises(MantissaError, match="^Values of e8m0 must be between 5.87747e-39 and "):
            encode(E8M0, beyond, overflow="refuse")


def whole(value: float, mode: str) -> int:
    """An integer by Python's decimal arithmetic; half_up by its definition, ``floor(x + 1/2)``."""
    if mode == "half_up":
        return floor(Fraction(value) + Fraction(1, 2))
    rule = {"half_even": ROUND_HALF_EVEN, "half_away": ROUND_HALF_UP, "floor": ROUND_FLOOR, "toward_zero": ROUND_DOWN}[mode]
    return int(Decimal(value).to_integral_value(rule, Context(prec=2000)))


@pytest.mark.parametrize("width", range(1, 17))
def test_integers_as_apytypes_and_decimal(width: int) -> None:
    """apytypes 0.5.1 does not wrap numbers of more than 64 bits, so the neighbours a float64 away are left to decimal there."""
    for signed, fraction in ((True, 0), (False, 0), (True, 6)):
        fmt = Int(name="any", width=width, signed=signed, fraction=fraction)
        values = points_of(fmt)
        values = values[np.abs(values) < 2.0 ** (width + 2)]
        values = values[(np.abs(values) > 2.0 ** -40) | (values == 0)]
        bits = {"int_bits": width + 4, "frac_bits": 80}
        given = apytypes.APyFixedArray.from_float(values, **bits)
        assert np.array_equal(given.to_numpy(), values)
        low, high = limits(fmt)
        few = np.random.default_rng(width).choice(values, 300)
        for mode, theirs in THEIRS.items():
            got = encode(fmt, values, mode)
            if signed:
                fixed = given.cast(int_bits=width - fraction, frac_bits=fraction, quantization=theirs, overflow=OverflowMode.SAT)
                assert np.array_equal(fmt.table[got], fixed.to_numpy()), mode
                short = values[values == np.round(values * 2.0 ** 40) / 2.0 ** 40]
                wrapped = apytypes.APyFixedArray.from_float(short, int_bits=width + 4, frac_bits=40).cast(
                    int_bits=width - fraction, frac_bits=fraction, quantization=theirs, overflow=OverflowMode.WRAP)
                assert np.array_equal(fmt.table[encode(fmt, short, mode, "wrap")], wrapped.to_numpy()), mode
            step = 2.0 ** -fraction
            expected = [min(max(whole(v / step, mode) * step, low), high) for v in few]
            assert fmt.table[encode(fmt, few, mode)].tolist() == expected
            modular = [whole(v / step, mode) % (1 << width) for v in few]
            assert encode(fmt, few, mode, "wrap").tolist() == modular


@pytest.mark.parametrize("fmt", [*(SignMagnitude(name=f"sm{n}", width=n) for n in (2, 3, 4, 8, 11)), TERNARY], ids=lambda fmt: fmt.name)
def test_sign_magnitude_as_decimal(fmt: Format) -> None:
    values = points_of(fmt)
    high = limits(fmt)[1]
    for mode in THEIRS:
        numbers = np.array([min(max(whole(v, mode), -high), high) for v in values])
        expected = np.where((numbers == 0) & np.signbit(values) & (fmt is not TERNARY), -0.0, numbers)
        codes = encode(fmt, values, mode)
        assert same(decode(fmt, codes), expected), mode
        assert fmt is not TERNARY or 2 not in codes


def test_binary_is_the_sign() -> None:
    values = np.array([-1e300, -2.0, -1.0, -0.5, -5e-324, -0.0, 0.0, 5e-324, 0.5, 1.0, 1e300, np.inf, -np.inf])
    for mode in (*NEAREST, "toward_zero"):
        assert same(decode(BINARY, encode(BINARY, values, mode)), np.where(values >= 0, 1.0, -1.0))
    assert encode(BINARY, [-1.0, -0.9, 0.9, 1.0], "floor").tolist() == [0, 0, 0, 1]
    hard_sigmoid = [encode(BINARY, np.full(256, x), "stochastic", random=np.arange(256), random_bits=8).sum()
                    for x in (-2, -1, -.5, 0, .25, 1)]
    assert hard_sigmoid == [0, 0, 64, 128, 160, 256]         # BinaryConnect's probability, clip((x + 1) / 2)


def posit_by_string(value: float, width: int, es: int) -> tuple[int, Fraction]:
    """Magnitude's code before rounding, and what was cut off as a fraction of its last bit, from the unbounded bit string."""
    exact = abs(Fraction(value))
    scale = exact.numerator.bit_length() - exact.denominator.bit_length()
    scale -= exact < Fraction(2) ** scale
    regime, exponent = divmod(scale, 1 << es)
    text = "1" * (regime + 1) + "0" if regime >= 0 else "0" * -regime + "1"
    text += f"{exponent:0{es}b}" if es else ""
    fraction = exact / Fraction(2) ** scale - 1
    bits = max(fraction.denominator.bit_length() - 1, 1)
    text += f"{int(fraction * 2 ** bits):0{bits}b}" + "0" * width
    kept, cut = text[:width - 1], text[width - 1:]
    return int(kept, 2), Fraction(int(cut, 2), 2 ** len(cut))


def posit_model(value: float, width: int, es: int, mode: str, random: Fraction = Fraction(0)) -> int:
    if value == 0:
        return 0
    code, cut = posit_by_string(value, width, es)
    half, down = Fraction(1, 2), value < 0
    away = {"half_even": cut > half or cut == half and code & 1 == 1, "half_away": cut >= half,
            "half_up": cut > half or cut == half and not down, "floor": cut > 0 and down, "toward_zero": False,
            "stochastic": cut + random >= 1}[mode]
    code = min(max(code + away, 1), (1 << (width - 1)) - 1)
    return (1 << width) - code if down else code


def posit_points(fmt: Posit) -> Values:
    longer = Posit(name="longer", width=fmt.width + 1, es=fmt.es)
    return around(longer.table, 1.5)                         # one more bit has every boundary


@pytest.mark.parametrize(("width", "es"), POSITS)
def test_posits_as_bit_strings(width: int, es: int) -> None:
    fmt = Posit(name="any", width=width, es=es)
    values = posit_points(fmt)
    for mode in ("half_even", "half_up", "half_away", "floor", "toward_zero"):
        assert encode(fmt, values, mode).tolist() == [posit_model(v, width, es, mode) for v in values], mode
    rng = np.random.default_rng(width)
    finer = np.concatenate([values, rng.choice(values, 500) * rng.uniform(0.5, 2, 500)])
    for bits in (1, 4, 13):
        random = rng.integers(0, 1 << bits, len(finer))
        expected = [posit_model(v, width, es, "stochastic", Fraction(int(r), 1 << bits)) for v, r in zip(finer, random, strict=True)]
        assert encode(fmt, finer, "stochastic", random=random, random_bits=bits).tolist() == expected


@pytest.mark.parametrize("name", ["posit8_0", "posit16_1", *(f"posit{width}_2" for width in range(2, 17))])
def test_posits_as_softposit(name: str) -> None:
    """Every boundary; softposit keeps posits of other widths at the top of 32 bits."""
    fmt = get_scalar(name)
    assert isinstance(fmt, Posit)
    if fmt.width < 16:
        values = posit_points(fmt)
    else:
        code = np.arange(1, (1 << 15) - 1)
        middle = encoded_middles(fmt, code)
        values = around(np.concatenate([fmt.table[1:1 << 15], middle, -middle]))
    convert = {"posit8_0": lambda x: softposit.convertDoubleToP8(x).v, "posit16_1": lambda x: softposit.convertDoubleToP16(x).v}.get(
        name, lambda x: softposit.convertDoubleToPX2(x, fmt.width).v >> (32 - fmt.width))
    assert encode(fmt, values).tolist() == [convert(v) for v in values.tolist()]


def encoded_middles(fmt: Posit, codes: np.ndarray) -> Values:
    """Boundary above each positive code: the mean, or the geometric one where exponent bits are cut off."""
    low, high = fmt.table[codes], fmt.table[codes + 1]
    return np.where(high >= 4 * low, np.sqrt(low) * np.sqrt(high), (low + high) / 2)


def test_posits_never_round_to_zero_or_nar() -> None:
    for es in (0, 1, 2):
        fmt = Posit(name="any", width=8, es=es)
        for mode in MODES:
            more = {"random": [0, 1, 0, 1, 0], "random_bits": 1} if mode == "stochastic" else {}
            assert encode(fmt, [1e-300, -1e-300, 1e300, -1e300, 0.0], mode, "special", **more).tolist() == [1, 255, 127, 129, 0]
    assert encode(POSIT8, [np.inf, -np.inf, np.nan]).tolist() == [127, 129, 128]
    assert encode(POSIT8, [np.inf, -np.inf, np.nan], overflow="special").tolist() == [128] * 3
    with pytest.raises(MantissaError, match="^Values of posit8_0 must be between -64 and 64, not 64$"):
        encode(POSIT8, np.nextafter(64, 65), overflow="refuse")
    with pytest.raises(MantissaError, match="^Values of posit8_0 must be between -64 and 64, not -65$"):
        encode(POSIT8, [64, -65], "stochastic", "refuse", random=[0, 0], random_bits=1)


@pytest.mark.parametrize("width", range(2, 9))
@pytest.mark.parametrize("kind", [PowerOfTwo, PowerOfRootTwo])
def test_powers_by_exact_logarithms(kind: type, width: int) -> None:
    """``x >= 2**(q / 4)`` is ``x**4 >= 2**q``: exact in rationals, and by 60 digits of decimal logarithms away from the boundaries."""
    fmt = kind(name="any", width=width, top=1)
    per = 1 if kind is PowerOfTwo else 2                     # powers in an octave
    most = (1 << (width - 1)) - 1
    edges = [2.0 ** (1 + (2 * n + 1) / (2 * per)) for n in range(-most - 2, 3)]
    values = around(np.array([*edges, *(-e for e in edges), *fmt.table]))
    values = values[np.abs(values) < 64]
    codes = encode(fmt, values)
    for mode in NEAREST:
        assert np.array_equal(encode(fmt, values, mode), codes)
    context = Context(prec=60)
    log2 = context.ln(Decimal(2))
    for value, code in zip(values.tolist(), codes.tolist(), strict=True):
        field, fourth = code & most, Fraction(value) ** 4
        assert code >> (width - 1) == np.signbit(value)
        assert field == 0 or fourth >= Fraction(2) ** (4 + (4 * (field - most) - 2) // per)
        assert field == most or fourth < Fraction(2) ** (4 + (4 * (field + 1 - most) - 2) // per)
        if abs(value) > 1e-200:
            k = context.multiply(context.divide(context.ln(Decimal(abs(value))), log2), Decimal(per))
            assert field == min(max(int(k.to_integral_value(ROUND_HALF_EVEN)) - per + most, 0), most)


@pytest.mark.parametrize("fmt", [PowerOfTwo(name="pot4", width=4), PowerOfRootTwo(name="post5", width=5)], ids=lambda fmt: fmt.name)
def test_powers_directed_and_stochastic(fmt: Format) -> None:
    grid = np.unique(fmt.table)
    values = np.concatenate([grid, *(grid[:-1] + np.diff(grid) * part for part in (0.125, 0.5, 0.8125))])
    below = grid[np.searchsorted(grid, values, side="right") - 1]
    above = grid[np.searchsorted(grid, values)]
    assert np.array_equal(decode(fmt, encode(fmt, values, "floor")) + 0.0, below)
    assert np.array_equal(decode(fmt, encode(fmt, values, "toward_zero")) + 0.0, np.where(values < 0, above, below))
    mean = np.mean([decode(fmt, encode(fmt, values, "stochastic", random=np.full(len(values), r), random_bits=4)) for r in range(16)], 0)
    assert np.array_equal(mean, values)                      # unbiased, as the parts are multiples of 1/16


@pytest.mark.parametrize(("fmt", "beyond", "boundary"), [
    (PowerOfTwo(name="a", width=4, top=1), 4.0, 2.0 ** 1.5), (PowerOfRootTwo(name="a", width=4, top=1), 2 * 181 / 128, 2.0 ** 1.25)])
def test_powers_overflow_as_if_continued(fmt: Format, beyond: float, boundary: float) -> None:
    below = [np.nextafter(beyond, 0), -np.nextafter(beyond, 0)]
    assert encode(fmt, below, "toward_zero", "refuse").tolist() == [7, 15]
    assert encode(fmt, [boundary * 0.999, -boundary * 0.999], overflow="refuse").tolist() == [7, 15]
    for sign in (1, -1):
        for mode, value in (("toward_zero", beyond), ("half_even", boundary * 1.001)):
            with pytest.raises(MantissaError, match="^Values of a must be between -2 and 2, not "):
                encode(fmt, sign * value, mode, "refuse")


@pytest.mark.parametrize("name", ["int4", "uint5", "int8f6", "sm5", "e3m2", "e2m1", "e4m3fnuz", "ternary", "binary", "posit6_1", "pot4",
                                  "e8m0"])
@pytest.mark.parametrize("bits", [1, 2, 6])
def test_stochastic_counts(name: str, bits: int) -> None:
    """Of all random numbers, as many round away as the cut-off part, cut to as many bits, says."""
    fmt = get_scalar(name)
    grid = np.unique(fmt.table[np.isfinite(fmt.table)])
    if name == "e8m0":
        grid = grid[100:140]
    values = np.concatenate([np.nextafter(grid[:-1], np.inf), np.nextafter(grid[1:], -np.inf), grid,
                             grid[:-1] + np.diff(grid) * np.random.default_rng(0).uniform(0, 1, len(grid) - 1)])
    every = np.array([decode(fmt, encode(fmt, values, "stochastic", random=np.full(len(values), r), random_bits=bits))
                      for r in range(1 << bits)])
    for value, got in zip(values, every.T, strict=True):
        low, high = Fraction(float(grid[grid <= value].max())), Fraction(float(grid[grid >= value].min()))
        if low == high:
            assert set(got.tolist()) == {float(low)}
            continue
        if isinstance(fmt, Posit):
            code, part = posit_by_string(float(value), fmt.width, fmt.es)
            part, from_zero = (part if code else Fraction(1)), value < 0
        else:
            from_zero = value < 0 and not isinstance(fmt, Int) and fmt is not BINARY
            part = (Fraction(float(value)) - low) / (high - low)
            part = 1 - part if from_zero else part
        if isinstance(fmt, Posit) and 0 in (low, high):
            assert 0.0 not in got
            continue
        far = float(low if from_zero else high)
        assert int((got == far).sum()) == floor(part * 2 ** bits), value


def test_stochastic_at_the_ends() -> None:
    ones = {"random": np.full(4, 255), "random_bits": 8}
    assert encode(INT8, [127.5, -128.5, 1e9, -1e9], "stochastic", **ones).tolist() == [127, 128, 127, 128]
    assert encode(INT8, [127.5, -128.5, 2.5, -2.5], "stochastic", "wrap", **ones).tolist() == [128, 128, 3, 254]
    assert encode(E4M3, [449, -449, np.inf, np.nan], "stochastic", "special", **ones).tolist() == [0x7f, 0xff, 0x7f, 0x7f]
    assert encode(E5M2, [60000, -60000, 1e9, 1.0], "stochastic", "special", random=[0, 0, 0, 0], random_bits=8).tolist() == [
        0x7b, 0xfb, 0x7c, 0x3c]
    zeros = {"random": 0, "random_bits": 8}
    values = np.random.default_rng(3).normal(size=1000) * 50
    for fmt in (E4M3, E5M2, get_scalar("sm8"), TERNARY):
        assert np.array_equal(encode(fmt, values, "stochastic", **zeros), encode(fmt, values, "toward_zero"))
    assert np.array_equal(encode(INT8, values, "stochastic", **zeros), encode(INT8, values, "floor"))
    assert np.array_equal(encode(INT8, values, "stochastic", "wrap", **zeros), encode(INT8, values, "floor", "wrap"))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: encode(INT8, 1.0, "stochastic"), "Random bits must be between 1 and 24, not 0"),
    (lambda: encode(INT8, 1.0, "stochastic", random=0, random_bits=25), "Random bits must be between 1 and 24, not 25"),
    (lambda: encode(INT8, 1.0, "stochastic", random=0, random_bits=True), "Random bits must be between 1 and 24, not True"),
    (lambda: encode(INT8, 1.0, "stochastic", random_bits=8), "Random must be given where rounding is stochastic, not None"),
    (lambda: encode(INT8, 1.0, random=1, random_bits=8), "Random must be left out unless rounding is stochastic, not given with half_even"),
    (lambda: encode(INT8, 1.0, "stochastic", random=0.5, random_bits=8), "Random must be integers, not float64"),
    (lambda: encode(INT8, 1.0, "stochastic", random=256, random_bits=8), "Random must be between 0 and 255, not 256"),
    (lambda: encode(INT8, 1.0, "stochastic", random=-1, random_bits=8), "Random must be between 0 and 255, not -1"),
    (lambda: encode(INT8, [1.0, 2.0], "stochastic", random=[1, 2, 3], random_bits=8),
     r"Random must have the shape of the values, \(2,\), not \(3,\)"),
    (lambda: encode(get_scalar("int8f6"), 1e308, overflow="wrap"), r"Values of int8f6 must be below 2\*\*1018 to wrap, not 1e\+308"),
    (lambda: Posit(name="posit17_1", width=17, es=1), "Width of posit17_1 must be between 2 and 16, not 17"),
    (lambda: get_scalar("posit(32,2)"), "Width of posit32_2 must be between 2 and 16, not 32"),
    (lambda: get_scalar("posit16_7"), "Exponent width of posit16_7 must be between 0 and 6, not 7"),
    (lambda: get_scalar("posit(8,9)"), "Exponent width of posit8_9 must be between 0 and 7, not 9"),
    (lambda: get_scalar("sm1"), "Width of sm1 must be between 2 and 16, not 1"),
    (lambda: get_scalar("int17"), "Width of int17 must be between 1 and 16, not 17"),
    (lambda: get_scalar("int8f17"), "Fraction width of int8f17 must be between 0 and 16, not 17"),
    (lambda: get_scalar("pot9"), "Width of pot9 must be between 2 and 8, not 9"),
    (lambda: get_scalar("post1"), "Width of post1 must be between 2 and 8, not 1"),
    (lambda: PowerOfTwo(name="a", width=4, top=300), "Top exponent of a must be between -256 and 256, not 300"),
    (lambda: PowerOfRootTwo(name="a", width=4, root_bits=0), "Root width of a must be between 1 and 16, not 0"),
    (lambda: get_scalar("ue4m3_fnuz"), "Top of ue4m3_fnuz must not be FNUZ where there is no sign"),
    (lambda: Float(name="a", exp=8, man=7, top=Top.IEEE, extra_bias=-897), "Extra bias of a must be between -896 and 917, not -897"),
    (lambda: Exponent(name="a", width=11), "Width of a must be between 2 and 10, not 11"),
    (lambda: get_scalar("mxfp4"), "Format must be one of single numbers, not the block format 'mxfp4'"),
])
def test_messages(call, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize(("given", "said"), [
    (get_block("mxfp4"), ", not the block format 'mxfp4'"), ("e4m3", ", as get_scalar gives, not the name 'e4m3'"),
    (None, ", not NoneType"), ([1.0], ", not list"), (np.ones(4), ", not ndarray"), (Float, ", not type"), (Block, ", not type")])
@pytest.mark.parametrize("call", [
    lambda fmt: encode(fmt, [1.0]), lambda fmt: encode(fmt, 1.0, "stochastic", random=0, random_bits=1),
    lambda fmt: decode(fmt, [0]), limits, lambda fmt: switch_bits([0], fmt, INT8), lambda fmt: switch_bits([0], INT8, fmt)])
def test_what_is_no_format_of_single_numbers(call, given: object, said: str) -> None:
    with pytest.raises(MantissaError) as error:
        call(given)
    assert str(error.value) == f"Format must be one of single numbers{said}"


def test_a_format_need_not_be_of_our_kinds() -> None:
    mine = SimpleNamespace(name="mine", width=1, fields={}, table=np.array([0.0, 2.5]))
    assert decode(mine, [1, 0]).tolist() == [2.5, 0.0]                                       # pyright: ignore[reportArgumentType]
