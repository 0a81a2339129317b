# amaranth: UnusedElaboratable=no
"""Multiplier-accumulators of sums too wide for one carry chain, and of dynamic fixed point."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.hw.designs_dynamic import mac_dynamic
from mantissa.hw.designs_exact import mac_exact, mac_wide
from mantissa.hw.mac_dynamic import MacDynamic, longest_chain
from mantissa.hw.mac_modes import MODES
from mantissa.hw.mac_wide import MacWide
from mantissa.sim_tb.simulate import check

ODD = (
    mac_wide("bf16", depth=8, window=(192, 288), segment=32, cells=False),
    mac_wide("e5m2", depth=3, window=(16, 64), segment=32, cells=False),
    mac_wide("e4m3", depth=3, segment=32, multiplier="dsp", cells=False), mac_wide("e2m1", depth=3, segment=32, cells=False),
    mac_wide("fp16", depth=3, segment=32, cells=False), mac_wide("fp16", depth=3, window=(0, 48), segment=64, cells=False),
    mac_wide("posit16_2", depth=3, segment=96, multiplier="dsp", cells=False), mac_wide("posit8_0", depth=3, segment=32, cells=False),
    mac_wide("posit5_4", depth=300, cells=False), mac_wide("ue6m2", depth=3, cells=False),
    mac_wide("post8", depth=3, segment=32, cells=False),
    mac_wide("e8m0", segment=128, cells=False), mac_wide("pot8", depth=3, segment=48, cells=False),
    mac_dynamic(cells=False, chains=3), mac_dynamic(shift=2, cells=False, chains=40), mac_dynamic(shift=1, symmetric=False, cells=False),
    mac_dynamic(shift=4, symmetric=False, chain=5, multiplier="lut", cells=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 20


@pytest.mark.parametrize(("name", "kind"), [("bf16", ml_dtypes.bfloat16), ("fp16", np.float16)])
@pytest.mark.parametrize("window", [None, (192, 288)])
def test_golden_is_the_exact_sum(name: str, kind: type, window: tuple[int, int] | None) -> None:
    """Of what ml_dtypes and numpy read, in rationals; of all products, or of those whose exponents are in the window."""
    if name == "fp16" and window:
        window = (16, 48)
    design = mac_wide(name, window=window)
    rows = design.stimulus(np.random.default_rng(5))["i"]
    found = design.golden({"i": rows})["o"]
    man, bias = (7, 127) if name == "bf16" else (10, 15)
    least = 2 * (1 - bias - man) + (window[0] - 2 if window else 0)
    a, b = (np.asarray(rows[port]).astype(np.uint16) for port in ("a", "b"))
    with np.errstate(invalid="ignore"):                                     # some are signalling NaN
        numbers = [column.view(kind).astype(np.float64) for column in (a, b)]
    stored = [np.maximum(np.where(column == 0, -10000, np.frexp(column)[1] - 1 + bias), 1) for column in numbers]
    total, nan, got, count = Fraction(0), False, iter(zip(found["sum"], found["nan"], strict=True)), 0
    for n, (x, y) in enumerate(zip(*numbers, strict=True)):
        if rows["first"][n]:
            total, nan = Fraction(0), False
        place = int(stored[0][n] + stored[1][n])
        nan |= not (np.isfinite(x) and np.isfinite(y)) or bool(window) and place >= window[1]       # pyright: ignore[reportOptionalSubscript]
        if not nan and (not window or place >= window[0]):
            total += Fraction(float(x)) * Fraction(float(y))
        if rows["last"][n]:
            value, flag = next(got)
            assert flag == nan and (nan or Fraction(int(value)) * Fraction(2) ** least == total)
            count += not nan
    assert count > 100


@pytest.mark.parametrize("name", ["fp16", "posit16_1"])
def test_golden_of_sixteen_bits_is_the_exact_sum(name: str) -> None:
    from mantissa.formats import decode, get_scalar
    design = mac_exact(name, multiplier="dsp_significand")
    rows = design.stimulus(np.random.default_rng(6))["i"]
    found = design.golden({"i": rows})["o"]
    read = [np.asarray(rows[port]).astype(np.uint16).view(np.float16) if name == "fp16" else decode(get_scalar(name), rows[port])
            for port in ("a", "b")]
    unit = Fraction(2) ** (-48 if name == "fp16" else -56)
    total, nan, got = Fraction(0), False, iter(zip(found["sum"], found["nan"], strict=True))
    for n, (x, y) in enumerate(zip(*read, strict=True)):
        if rows["first"][n]:
            total, nan = Fraction(0), False
        nan |= not (np.isfinite(x) and np.isfinite(y))
        total += 0 if nan else Fraction(float(x)) * Fraction(float(y))
        if rows["last"][n]:
            value, flag = next(got)
            assert flag == nan and (nan or int(value) * unit == total)


def test_window_is_that_of_the_mode() -> None:
    mode = MODES["bf16"]
    assert mode.window == (192, 288) and mode.unit == 2 * (-127 - 7) + 192


def test_longest_chain_is_the_longest_that_fits() -> None:
    """By the extremes of all operands, which are at their ends."""
    for shift in range(16):
        for symmetric in (False, True):
            ends = (-32768 + symmetric, 32767)
            pairs = [(x * y + z * w) >> shift for x in ends for y in ends for z in ends for w in ends]
            most = longest_chain(shift, symmetric)
            assert most * max(pairs) < 1 << 31 and most * min(pairs) >= -(1 << 31)
            assert (most + 1) * max(pairs) >= 1 << 31 or (most + 1) * min(pairs) < -(1 << 31)
    assert [longest_chain(shift, symmetric) for shift in (0, 3) for symmetric in (False, True)] == [0, 1, 7, 8]


def test_chains_do_not_show() -> None:
    """Sums of chains of any length are those of integers without a limit."""
    rng = np.random.default_rng(8)
    a, b = rng.choice([-32768, -32767, 32767, 5], (2, 500, 2))
    last = np.append(np.zeros(499, np.int64), 1)
    rows = {"i": {"a": a, "b": b, "first": last[::-1], "last": last}}
    want = int(((a * b).sum(axis=1) >> 4).sum())
    assert [int(mac_dynamic(shift=4, symmetric=False, chain=chain).golden(rows)["o"]["sum"][0]) for chain in (1, 7, 15)] == [want] * 3


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: MacWide("posit8_0", window=(0, 16)), ValueError,
     "Window must be left out where the format is not a float, not (0, 16) of posit8_0"),
    (lambda: MacWide("int8"), ValueError, "Format must be a float, a posit or powers, not 'int8'"),
    (lambda: MacWide("pot8", multiplier="dsp"), ValueError, "Format must have significands of at least 2 bits for a DSP, not 1 as 'pot8'"),
    (lambda: MacWide("bf16", depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacWide("bf16", window=(190, 288)), ValueError,
     "Window of bf16 must be two multiples of 16 that ascend, the first one below 511, not (190, 288)"),
    (lambda: MacWide("bf16", window=(288, 192)), ValueError,
     "Window of bf16 must be two multiples of 16 that ascend, the first one below 511, not (288, 192)"),
    (lambda: MacWide("bf16", segment=40), ValueError, "Segment must be a multiple of 16 bits, 32 at least, not 40"),
    (lambda: MacWide("bf16", multiplier="booth"), ValueError, "Multiplier must be one of lut, dsp, not 'booth'"),
    (lambda: MacDynamic(chain=2), ValueError, "Chain must have at most 1 pairs, whose sum fits 32 bits when cut by 0, not 2"),
    (lambda: MacDynamic(chain=0), ValueError, "Chain must be a positive integer, not 0"),
    (lambda: MacDynamic(symmetric=False), ValueError,
     "Shift must be at least 1 where operands may be -32768, as a pair of products is 2**31 then, not 0"),
    (lambda: MacDynamic(shift=16), ValueError, "Shift must be an integer between 0 and 15, not 16"),
    (lambda: MacDynamic(chains=0), ValueError, "Chains must be a positive integer, not 0"),
    (lambda: MacDynamic(multiplier="booth"), ValueError, "Multiplier of integers must be one of lut, dsp, not 'booth'"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message
