# amaranth: UnusedElaboratable=no
"""Rivals of the multiplier: their golden functions against other people's numbers and exact fractions, their errors, their refusals."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
import re

from gfloat import decode_float
from gfloat.formats import format_info_ocp_e2m1
import ml_dtypes
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.formats import Float, get_scalar
from mantissa.hw.catalog import find
from mantissa.hw.designs_rival_grouped import grouped_weights, mac_grouped
from mantissa.hw.designs_rival_lmul import lmul, mac_lmul, multiply_lmul
from mantissa.hw.designs_rival_power import mac_power, power_weights
from mantissa.hw.designs_rival_xnor import dot_xnor
from mantissa.hw.dot_xnor import DotXnor
from mantissa.hw.lmul import OFFSETS
from mantissa.hw.mac_grouped import MacGrouped
from mantissa.hw.mac_lmul import MacLmul
from mantissa.hw.mac_power import MacPower
from mantissa.hw.multiply_lmul import MultiplyLmul
from mantissa.sim_tb.exhaustive import harness, measure, run_cases
from mantissa.sim_tb.simulate import check

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "verify"

ODD = (
    *(multiply_lmul(fmt, cells=False) for fmt in ("e5m2", "e2m1", "e3m2_ieee", "e4m4", "fp16")),
    multiply_lmul("bf16", offset="zero", cells=False), multiply_lmul("e3m4", offset="1/16", cells=False),
    mac_lmul("e2m1", depth=3, offset="1/16", cells=False), mac_lmul("e3m4", depth=3, cells=False),
    mac_lmul("e4m2_ieee", depth=3, offset="zero", cells=False),
    *(mac_power(fmt, depth=5, cells=False) for fmt in ("pot2", "pot3", "pot5", "post2", "post3", "post5")),
    mac_power("post3", terms=3, depth=2, cells=False), mac_power("pot5", terms=4, depth=3, cells=False),
    mac_power("post3", terms=2, depth=1, cells=False), mac_power("pot2", terms=2, depth=4, cells=False),
    mac_grouped("int4", size=1, groups=1, cells=False), mac_grouped("e2m1", scale="power", size=5, groups=3, cells=False),
    *(dot_xnor(lanes, depth=depth, cells=False) for lanes, depth in ((4, 1), (8, 3), (16, 10), (128, 2))),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) >= 10


OTHERS = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "bf16": ml_dtypes.bfloat16}
PLACES = {"e4m3": 3, "e5m2": 2, "bf16": 4}
"""``l`` of the paper for their fractions of 3, 2 and 7 bits."""


def _values(name: str) -> list[float]:
    """Values of all codes, by somebody else."""
    kind = np.uint16 if name == "bf16" else np.uint8
    codes = np.arange(1 << 8 * np.dtype(kind).itemsize).astype(kind).view(OTHERS[name])
    with np.errstate(invalid="ignore"):                  # NaNs
        return codes.astype(np.float64).tolist()


def _parts(value: float) -> tuple[Fraction, int]:
    """Fraction and exponent of a number: ``(1 + fraction) * 2 ** exponent``."""
    significand, exponent = np.frexp(abs(value))
    return Fraction(float(significand)) * 2 - 1, int(exponent) - 1


def _product(a: float, b: float, offset: Fraction) -> Fraction:
    """Magnitude of the paper's product; a sum of fractions of one or more goes on in the next binade, as the addition of codes has it."""
    (fraction_a, exponent_a), (fraction_b, exponent_b) = _parts(a), _parts(b)
    rest, exponent = fraction_a + fraction_b + offset, exponent_a + exponent_b
    while rest >= 1:
        rest, exponent = rest - 1, exponent + 1
    return (1 + rest) * Fraction(2) ** exponent


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "bf16"])
@pytest.mark.parametrize("offset", ["published", "zero"])
def test_product_of_codes(name: str, offset: str) -> None:
    """Every pair of codes of 8 bits, and of BF16 many, against fractions of somebody else's values."""
    fmt, values = get_scalar(name), _values(name)
    assert isinstance(fmt, Float)
    size = len(values)
    if name == "bf16":
        a, b = np.random.default_rng(1).integers(0, size, (2, 20000))
        b[:10000] = np.clip(32512 - (a[:10000] & 32767) + np.arange(10000) % 600 - 300, 0, 32767)     # products near one
        b[10000:15000] = np.clip(16256 - (a[10000:15000] & 32767) + np.arange(5000) % 400 - 100, 0, 32767)     # and near the least
    else:
        a, b = np.arange(size * size) // size, np.arange(size * size) % size
    largest = max(value for value in values if np.isfinite(value))
    least = float(ml_dtypes.finfo(OTHERS[name]).smallest_normal)
    added = Fraction(0) if offset == "zero" else Fraction(1, 1 << PLACES[name])
    for x, y, code in zip(a.tolist(), b.tolist(), lmul(fmt, offset, a, b).tolist(), strict=True):
        got, one, other = values[code], values[x], values[y]
        assert code >> fmt.width - 1 == (x ^ y) >> fmt.width - 1
        if not np.isfinite(one) or not np.isfinite(other):
            assert np.isnan(got)
        elif abs(one) < least or abs(other) < least:
            assert got == 0
        else:
            want = _product(one, other, added)
            assert abs(got) == (0 if want < Fraction(least) else min(want, Fraction(largest)))


@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_accumulated_product(name: str, offset: str) -> None:
    """Every pair of codes as a dot product of one, golden against fractions; and the unit against golden."""
    fmt, values = get_scalar(name), _values(name)
    assert isinstance(fmt, Float)
    design = mac_lmul(name, offset=offset, cells=False)
    codes = np.random.default_rng(2).permutation(1 << 16)
    a, b, ones = codes >> 8, codes & 255, np.ones(1 << 16, np.int64)
    rows = {"i": {"a": a, "b": b, "first": ones, "last": ones}}
    got = design.golden(rows)["o"]
    more = max(0, 4 - fmt.man) if offset == "1/16" else 0
    unit = Fraction(2) ** (2 - 2 * fmt.bias - fmt.man - more)
    added = {"published": Fraction(1, 1 << PLACES[name]), "zero": Fraction(0), "1/16": Fraction(1, 16)}[offset]
    least = float(ml_dtypes.finfo(OTHERS[name]).smallest_normal)
    for x, y, total, nan in zip(a.tolist(), b.tolist(), got["sum"].tolist(), got["nan"].tolist(), strict=True):
        one, other = values[x], values[y]
        assert nan == (not np.isfinite(one) or not np.isfinite(other))
        if not nan:
            want = 0 if abs(one) < least or abs(other) < least else _product(one, other, added) * (-1 if (x ^ y) & 128 else 1)
            assert total * unit == want
    every = replace(design, stimulus=lambda _: rows)
    assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=1 << 16).count == 1 << 16


def _errors(man: int, offset: Fraction) -> tuple[float, float, float]:
    """Mean, largest and signed mean error of all pairs of significands, relative to the exact product, in percent."""
    ones = [1 + Fraction(k, 1 << man) for k in range(1 << man)]
    errors = [_product(float(a), float(b), offset) / (a * b) - 1 for a in ones for b in ones]
    return tuple(100 * float(value) for value in                                           # type: ignore[return-value]
                 (sum(map(abs, errors)) / len(errors), max(map(abs, errors)), sum(errors) / len(errors)))


def test_errors_are_the_pages() -> None:
    page = (ROOT / "docs" / "rivals.md").read_text(encoding="utf-8")
    for name, man, place in (("E5M2", 2, 2), ("E4M3", 3, 3), ("BF16", 7, 4)):
        for offset, added in (("published", Fraction(1, 1 << place)), ("zero", Fraction(0)), ("1/16", Fraction(1, 16))):
            mean, most, bias = _errors(man, added)
            assert f"| {name} | {offset} | {mean:.2f} | {most:.2f} | {bias:+.2f} |" in page


def test_weights_are_the_formats() -> None:
    """Powers of two and of the root against their definition, FP4 against gfloat, integers as two's complement."""
    for width in range(2, 6):
        most = (1 << width - 1) - 1
        assert power_weights(f"pot{width}").tolist() == [s * (f and 1 << f - 1) for s in (1, -1) for f in range(most + 1)]
        steps = [0, *((181 if (most - f) % 2 else 128) << (f - 1) // 2 for f in range(1, most + 1))]
        assert power_weights(f"post{width}").tolist() == [s * step for s in (1, -1) for step in steps]
    other = [decode_float(format_info_ocp_e2m1, code).fval for code in range(16)]
    assert grouped_weights("e2m1").tolist() == [int(2 * value) for value in other]
    assert [code if code < 8 else code - 16 for code in range(16)] == grouped_weights("int4").tolist()


def test_sums_of_powers() -> None:
    """Every integer by every weight, as a dot product of one: golden against the formats' values, the unit against golden."""
    for name, terms in (("pot4", 1), ("post4", 1), ("pot4", 2), ("pot4", 3)):
        design, fmt = mac_power(name, terms=terms, cells=False), get_scalar(name)
        count = 1 << 8 + 4 * terms
        codes = np.random.default_rng(3).permutation(count)
        a, w, ones = (codes & 255) - 128, codes >> 8, np.ones(count, np.int64)
        rows = {"i": {"a": a, "w": w, "first": ones, "last": ones}}
        weight = sum(fmt.table[w >> 4 * n & 15] for n in range(terms)) * (64 if name == "pot4" else 8 * 128)
        assert (design.golden(rows)["o"]["sum"] == a * weight).all()
        every = replace(design, stimulus=lambda _, rows=rows: rows)
        assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=count).count == count


@pytest.mark.parametrize("weight", ["int4", "e2m1"])
def test_groups(weight: str) -> None:
    """Every product of a group of one, and sums of groups, against a loop over Python integers."""
    design = mac_grouped(weight, cells=False)
    streams = design.stimulus(np.random.default_rng(4))["i"]
    codes = np.arange(1 << 12)
    single = {"a": (codes & 255) - 128, "w": codes >> 8, "scale": codes % 256, "end": codes * 0, "last": codes * 0 + 1}
    for rows in (streams, single):
        sums, total, part = [], 0, 0
        for a, w, scale, end, last in zip(*(rows[name].tolist() for name in ("a", "w", "scale", "end", "last")), strict=True):
            value = decode_float(format_info_ocp_e2m1, w).fval * 2 if weight == "e2m1" else (w ^ 8) - 8
            part += a * int(value)
            if end or last:
                total, part = total + scale * part, 0
            if last:
                sums.append(total)
                total = 0
        assert design.golden({"i": rows})["o"]["sum"].tolist() == sums
    every = replace(design, stimulus=lambda _: {"i": single})
    assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=1 << 12).count == 1 << 12


@pytest.mark.parametrize(("length", "cycles"), [(12, 12), (9, 9), (8, 9), (1, 9)])
def test_scaling_hides_behind_nine(length: int, cycles: int) -> None:
    design = mac_grouped("int4", cells=False)
    model, taken = harness(design, folder=FOLDER, optimize=0), []
    for groups in (24, 48):
        end = (np.arange(1, groups * length + 1) % length == 0).astype(np.int64)
        rows = {name: np.ones(len(end), np.int64) for name in ("a", "w", "scale")}
        rows |= {"end": end, "last": (np.cumsum(end) % 8 == 0) * end}
        taken.append(measure(replace(design, stimulus=lambda _, rows=rows: {"i": rows}), model)["cycles"])
    assert taken[1] - taken[0] == 24 * cycles


@pytest.mark.parametrize("lanes", [4, 64])
def test_counts_of_equal_signs(lanes: int) -> None:
    """Golden against dot products of plus and minus one, and the normalisation it stands for."""
    design = find("dot_xnor_x64_acc15") if lanes == 64 else dot_xnor(lanes, cells=False)
    rows = design.stimulus(np.random.default_rng(6))["i"]
    out = design.golden({"i": rows})["o"]
    signs = [np.array([[2 * (int(word) >> lane & 1) - 1 for lane in range(lanes)] for word in rows[name]]) for name in ("a", "w")]
    start, n = 0, 0
    for k, (first, last) in enumerate(zip(rows["first"], rows["last"], strict=True)):
        start = k if first else start
        if last:
            dot = int((signs[0][start:k + 1] * signs[1][start:k + 1]).sum())
            equal = (dot + (k + 1 - start) * lanes) // 2
            assert out["sum"][n] == equal + rows["bias"][start]
            threshold = -int(rows["bias"][start])
            assert out["bit"][n] == (equal >= threshold) ^ bool(rows["flip"][k])
            n += 1
    assert n == len(out["sum"]) > 60


FLOAT = "with two of exponent and one of fraction, not "

REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: MultiplyLmul("int8"), ValueError, f"Format must be a signed float of at most 16 bits, {FLOAT}'int8'"),
    (lambda: MultiplyLmul("ue4m3"), ValueError, f"Format must be a signed float of at most 16 bits, {FLOAT}'ue4m3'"),
    (lambda: MultiplyLmul("e4m3", offset="half"), ValueError, "Offset must be one of published, zero, 1/16, not 'half'"),
    (lambda: MultiplyLmul("e4m3", offset="1/16"), ValueError, "Offset 1/16 must have a fraction of 4 bits at least, not 3 as 'e4m3'"),
    (lambda: MacLmul("bf16"), ValueError, f"Format must be a signed float of at most 8 bits, {FLOAT}'bf16'"),
    (lambda: MacLmul("e3m0"), ValueError, f"Format must be a signed float of at most 8 bits, {FLOAT}'e3m0'"),
    (lambda: MacLmul("e4m3", depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacPower("int4"), ValueError, "Format must be one of powers of two or of its root, of at most 5 bits, not 'int4'"),
    (lambda: MacPower("pot6"), ValueError, "Format must be one of powers of two or of its root, of at most 5 bits, not 'pot6'"),
    (lambda: MacPower("pot4", terms=5), ValueError, "Terms must be an integer between 1 and 4, not 5"),
    (lambda: MacPower("pot4", terms=True), ValueError, "Terms must be an integer between 1 and 4, not True"),
    (lambda: MacPower("pot4", depth=-1), ValueError, "Depth must be a positive integer, not -1"),
    (lambda: MacGrouped("int8"), ValueError, "Weight must be one of int4, e2m1, not 'int8'"),
    (lambda: MacGrouped("int4", scale="float"), ValueError, "Scale must be one of integer, power, not 'float'"),
    (lambda: MacGrouped("int4", size=0), ValueError, "Group size must be a positive integer, not 0"),
    (lambda: MacGrouped("int4", groups="8"), TypeError, "Groups must be a positive integer, not '8'"),       # pyright: ignore[reportArgumentType]
    (lambda: DotXnor(24), ValueError, "Lanes must be a power of two from 4 to 128, not 24"),
    (lambda: DotXnor("64"), TypeError, "Lanes must be a power of two from 4 to 128, not '64'"),               # pyright: ignore[reportArgumentType]
    (lambda: DotXnor(64, depth=0), ValueError, "Depth must be a positive integer, not 0"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


def test_unknown_format_names_the_near_ones() -> None:
    for make in (MultiplyLmul, MacPower):
        with pytest.raises(ValueError, match=r"not 'pot-4' \(near it: pot4"):
            make("pot-4")
