# amaranth: UnusedElaboratable=no
"""Rounding a sign and a magnitude to a float or a posit."""
from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import gfloat
from gfloat import formats as oracle
import ml_dtypes
import numpy as np
import pytest
import softposit

from mantissa.design import Design
from mantissa.hw.designs_round import rounded, rounder
from mantissa.hw.round import Round
from mantissa.hw.round_parts import falls
from mantissa.sim_tb.simulate import check

EVERY = (
    *(rounder(fmt, *bits) for fmt, bits in (
        ("e2m1", (4, 4)), ("e4m3", (10, -1)), ("e4m3", (-2, 11)), ("e5m2", (1, 8)), ("e3m2", (5, 4)), ("e2m3", (4, 5)), ("e3m0", (4, 5)),
        ("e1m2", (3, 5)), ("ue4m3", (9, 0)), ("e4m3fnuz", (9, 0)), ("e1m1_ieee", (3, 3)), ("bf16", (6, 4)), ("bf16", (-122, 132)),
        ("fp16", (17, -8)), ("e2m1", (2, 0)), ("e2m1", (1, 0)), ("e4m3", (-12, 14)), ("e2m1", (9, -1)),
        ("posit8_0", (7, 2)), ("posit8_0", (1, 8)), ("posit4_1", (5, 4)), ("posit4_1", (5, -4)), ("posit6_2", (9, 0)), ("posit3_0", (2, 3)),
        ("posit3_2", (5, 4)), ("posit6_0", (3, 6)), ("posit8_2", (3, 6)), ("posit16_1", (4, 5)), ("posit16_1", (-20, 30)),
        ("posit5_3", (9, -2)))),
    *(rounder("e4m3", 4, 5, rounding=rounding) for rounding in ("half_up", "half_away", "floor", "toward_zero")),
    *(rounder("e4m3", 10, -2, rounding=rounding, overflow="special") for rounding in ("half_up", "half_away", "floor", "toward_zero")),
    *(rounder("e2m3", 4, 4, rounding=rounding) for rounding in ("half_up", "half_away", "floor", "toward_zero")),
    *(rounder(fmt, *bits, overflow="special") for fmt, bits in (("e5m2", (17, -8)), ("e4m3", (10, -1)), ("e4m3fnuz", (9, 0)))),
    rounder("e2m1", 3, 3, rounding="stochastic", random_bits=3), rounder("e3m0", 3, 3, rounding="stochastic", random_bits=3),
    rounder("e5m2", 17, -10, rounding="stochastic", overflow="special", random_bits=2),
    rounder("e4m3", 5, 2, nan=True), rounder("e5m2", 4, 3, nan=True), rounder("posit6_1", 5, 3, nan=True),
)


def _every(design: Design) -> Design:
    """The design, given all there is."""
    fields = design.component().i.payload.shape().members
    sizes = {name: shape.width for name, shape in fields.items()}
    codes = np.random.default_rng(2).permutation(1 << sum(sizes.values()))
    rows, low = {}, 0
    for name, size in sizes.items():
        rows[name] = codes >> low & (1 << size) - 1
        low += size
    return replace(design, stimulus=lambda _: {"i": rows})


@pytest.mark.parametrize("design", EVERY, ids=lambda design: f"{design.name}_{design.params['rounding']}")
def test_every_number(design: Design) -> None:
    every = _every(design)
    count = len(every.stimulus(np.random.default_rng(0))["i"]["sign"])
    assert check(every, stall="none", most=count) == count


def _fractions(design: Design, count: int) -> list[tuple[dict[str, int], Fraction]]:
    """Random inputs of a rounder and what they mean; nothing is below the last bit."""
    rows = design.stimulus(np.random.default_rng(7))["i"]
    some = np.flatnonzero(np.asarray(rows["sticky"]) == 0)[:count]
    return [({name: int(column[n]) for name, column in rows.items()},
             (-1) ** int(rows["sign"][n]) * Fraction(int(rows["magnitude"][n])) / 2 ** int(str(design.params["frac_bits"]))) for n in some]


@pytest.mark.parametrize(("design", "info"), [
    (rounder("e4m3", 26, 18), oracle.format_info_ocp_e4m3), (rounder("e2m1", 14, 2), oracle.format_info_ocp_e2m1),
    (rounder("e5m2", 17, 18, overflow="special"), oracle.format_info_ocp_e5m2), (rounder("e3m2", 9, 9), oracle.format_info_ocp_e3m2),
    (rounder("bf16", 24, 24), oracle.format_info_bfloat16)], ids=lambda it: getattr(it, "name", ""))
def test_golden_is_what_gfloat_rounds(design: Design, info: gfloat.FormatInfo) -> None:
    rows = design.stimulus(np.random.default_rng(7))
    codes = design.golden(rows)["o"]["code"]
    saturates = design.params["overflow"] == "saturate"
    count = 0
    for n, (sign, magnitude, sticky) in enumerate(zip(*(rows["i"][name] for name in ("sign", "magnitude", "sticky")), strict=True)):
        if sticky or int(magnitude).bit_length() > 53:
            continue
        value = (-1.0) ** int(sign) * np.ldexp(float(magnitude), -int(str(design.params["frac_bits"])))
        assert info is not None and int(codes[n]) == gfloat.encode_float(info, gfloat.round_float(info, value, sat=saturates)), value
        count += 1
    assert count > 400


def test_golden_rounds_half_to_even_as_exact_rationals_do() -> None:
    """Nearest of all values, by fractions; of two, the even code; wider than any float."""
    values = [Fraction(float(value)) for value in np.arange(0x7f80, dtype=np.uint16).view(ml_dtypes.bfloat16)]
    design = rounder("bf16", 150, 150)
    rows = _fractions(design, 300)
    codes = rounded("bf16", *([row[name] for row, _ in rows] for name in ("sign", "magnitude", "sticky")), 150)
    for (row, exact), code in zip(rows, codes, strict=True):
        if abs(exact) >= values[-1]:
            continue
        above = bisect(values, abs(exact))
        low, high = values[above - 1], values[above]
        twice = 2 * abs(exact)
        want = above if twice > low + high or twice == low + high and above % 2 == 0 else above - 1
        assert code == want | row["sign"] << 15


@pytest.mark.parametrize(("name", "kind"), [("posit8_0", softposit.posit8), ("posit16_1", softposit.posit16)])
def test_golden_is_what_softposit_rounds(name: str, kind: Callable[[float], object]) -> None:
    design = rounder(name, 20, 20)
    rows = _fractions(design, 500)
    codes = rounded(name, *([row[field] for row, _ in rows] for field in ("sign", "magnitude", "sticky")), 20)
    assert [int(code) for code in codes] == [kind(float(exact)).v.v for _, exact in rows]       # pyright: ignore[reportAttributeAccessIssue]


def test_levels_bring_up_by_anything() -> None:
    for most in range(100):
        reached = {0}
        for amount in falls(most):
            reached |= {by + amount for by in reached}
        assert reached == set(range(most + 1)) and sum(falls(most)) == most


FORMAT = "Format must be a float or a posit of at least 3 bits, not "

REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: Round("int8", int_bits=4, frac_bits=4), ValueError, FORMAT + "'int8'"),
    (lambda: Round("e8m0", int_bits=4, frac_bits=4), ValueError, FORMAT + "'e8m0'"),
    (lambda: Round("posit2_0", int_bits=4, frac_bits=4), ValueError, FORMAT + "'posit2_0'"),
    (lambda: Round("mxfp4", int_bits=4, frac_bits=4), ValueError, "Format must be one of single numbers, not the block format 'mxfp4'"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=4, rounding="up"), ValueError,
     "Rounding must be one of half_even, half_up, half_away, floor, toward_zero, stochastic, not 'up'"),
    (lambda: Round("posit8_0", int_bits=4, frac_bits=4, rounding="floor"), ValueError,
     "Rounding to a posit must be half_even, not 'floor'"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=4, overflow="wrap"), ValueError, "Overflow must be one of saturate, special, not 'wrap'"),
    (lambda: Round("e2m1", int_bits=4, frac_bits=4, overflow="special"), ValueError,
     "Overflow of e2m1 must be saturate, the format having no code for it or no sign, not 'special'"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=4, rounding="stochastic"), ValueError,
     "Random bits must be an integer between 1 and 24, not 0"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=4, random_bits=4), ValueError,
     "Random bits must be 0 unless rounding is stochastic, not 4"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=-4), ValueError, "Integer and fraction bits must be at least 1 together, not 0"),
    (lambda: Round("e4m3", int_bits=4, frac_bits=True), TypeError, "Fraction bits must be an integer, not True"),
    (lambda: Round("e4m3", int_bits=20, frac_bits=-9), ValueError, "Fraction bits must be at least -8 for e4m3, not -9"),
    (lambda: Round("posit8_0", int_bits=20, frac_bits=-7), ValueError, "Fraction bits must be at least -6 for posit8_0, not -7"),
    (lambda: Round("e2m1", int_bits=4, frac_bits=4, nan=True), ValueError,
     "Format must have a code for what is no number if there is nan, not be e2m1"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message
