# amaranth: UnusedElaboratable=no
"""Exact multiplier-accumulators of one format, and the one whose format is chosen while it runs."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from amaranth.back import verilog
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.formats import get_scalar
from mantissa.hw.catalog import find
from mantissa.hw.designs_exact import mac_exact
from mantissa.hw.designs_reconfigurable import MORE, mac_reconfigurable
from mantissa.hw.mac_exact import MacExact
from mantissa.hw.mac_exact_unpack import check_format, integers, operands, spare
from mantissa.hw.mac_modes import MODES
from mantissa.hw.mac_reconfigurable import MacReconfigurable
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.simulate import check

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    *(mac_exact(fmt, depth=3, cells=False) for fmt in ("ue4m3", "ue5m3", "e4m3fnuz", "posit9_2", "fp16")),
    mac_exact("posit16_1", depth=3, multiplier="dsp_significand", cells=False),
    *(mac_exact(fmt, depth=3, cells=False) for fmt in ("posit6_0", "posit8_2", "posit5_1", "e2m1", "e1m2", "e3m0", "e4m2_ieee")),
    mac_exact("e4m3", multiplier="dsp", depth=4, cells=False), mac_exact("posit4_1", multiplier="dsp", depth=1, cells=False),
    *(mac_reconfigurable(f"only_{name}", (name,), depth=4, cells=False) for name in ("int8", "int4", "e2m1", "bf16")),
    mac_reconfigurable("pair", ("bf16", "int4"), multiplier="dsp", depth=4, cells=False),
    mac_reconfigurable("triple", ("e5m2", "posit8_0", "e2m1"), depth=5, cells=False),
    mac_reconfigurable("narrow", ("int8", "e2m1"), depth=4, quire=80, cells=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 20


def _alone(a: np.ndarray, b: np.ndarray, **more: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Dot products of one."""
    ones = np.ones(len(a), np.int64)
    return {"i": {"a": a, "b": b, "first": ones, "last": ones, **more}}


def _pairs(bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    codes = np.random.default_rng(seed).permutation(1 << 2 * bits)
    return codes >> bits, codes & (1 << bits) - 1


@pytest.mark.parametrize("name", ["mac_posit8_0_acc34_exact_lut", "mac_posit8_0_acc34_exact_dsp", "mac_e5m2_acc73_exact_lut"])
def test_every_operand_pair(name: str) -> None:
    design = find(name)
    every = replace(design, stimulus=lambda _: _alone(*_pairs(8, 3)))
    assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=1 << 16).count == 1 << 16


def _words(modes: tuple[str, ...]) -> dict[str, dict[str, np.ndarray]]:
    """Every pair of codes in every lane of every mode of bytes and nibbles, the modes mixed."""
    parts = []
    for n, name in enumerate(modes):
        lanes = MODES[name].lanes
        if lanes == 1:
            continue
        bits = 16 // lanes
        pairs = [_pairs(bits, lane) for lane in range(lanes)]
        a, b = (sum(pair[k] << bits * lane for lane, pair in enumerate(pairs)) for k in range(2))
        parts.append(np.stack([a, b, np.full(len(a), n)]))
    a, b, mode = np.random.default_rng(1).permutation(np.concatenate(parts, axis=1), axis=1)
    return _alone(a, b, mode=mode)


def test_every_operand_pair_of_every_mode() -> None:
    design = find("mac_modes7_acc128_lut")
    words = _words(MORE)
    count = len(words["i"]["a"])
    assert count == 4 * (1 << 16) + 2 * (1 << 8)
    every = replace(design, stimulus=lambda _: words)
    assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=count).count == count


@pytest.mark.parametrize("fmt", ["posit8_0", "posit4_1", "posit6_0", "posit8_2", "e4m3", "e5m2", "e2m1", "e3m0", "posit16_1",
                                 "bf16", "ue5m3"])
def test_operands_are_the_values(fmt: str) -> None:
    """Significands and shifts against the golden values, which they are not made of."""
    known = check_format(fmt)
    scale = 1 << spare(known)
    values = get_scalar(fmt).table[:len(operands(known))]
    unit = np.abs(values[np.isfinite(values) & (values != 0)]).min()
    for (significand, by), value, integer in zip(operands(known), values, integers(known), strict=False):
        if np.isfinite(value):
            assert significand << by == scale * int(value / unit) == scale * integer


def test_leaving_modes_out_shrinks_it() -> None:
    sizes = [len(verilog.convert(MacReconfigurable(MORE[:count], cells=False), emit_src=False)) for count in (7, 5, 3, 2)]
    assert all(more > less for more, less in pairwise(sizes))


def test_narrow_accumulator_by_option() -> None:
    assert MacReconfigurable(("bf16",), quire=96, wraps=True).quire == 96


MODE = "Mode must be one of int8, int4, posit8_0, e4m3, e2m1, e5m2, bf16, which share a word of 16 bits, not "

REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: MacReconfigurable(()), ValueError, "Modes must be names of formats, one at least, not ()"),
    (lambda: MacReconfigurable("int8"), ValueError, "Modes must be names of formats, one at least, not 'int8'"),
    (lambda: MacReconfigurable(("int8", "E4M3")), ValueError, MODE + "'E4M3' (near it: e4m3, e5m2, e2m1)"),
    (lambda: MacReconfigurable(("int12",)), ValueError, MODE + "'int12' (near it: int8, int4)"),
    (lambda: MacReconfigurable(("int8", "int8")), ValueError, "Modes must be distinct, not int8, int8"),
    (lambda: MacReconfigurable(("int8",), quire=100 + 1), ValueError, "Quire width must be a multiple of 4 between 80 and 128, not 101"),
    (lambda: MacReconfigurable(("int8",), quire=64), ValueError, "Quire width must be a multiple of 4 between 80 and 128, not 64"),
    (lambda: MacReconfigurable(("int8",), quire="96"), TypeError,                                # pyright: ignore[reportArgumentType]
     "Quire width must be a positive integer, not '96'"),
    (lambda: MacReconfigurable(("int8", "bf16"), quire=96), ValueError,
     "Quire width must be at least 120 for 256 products of bf16, not 96, unless wraps=True"),
    (lambda: MacReconfigurable(("int8",), depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacReconfigurable(("int8",), multiplier="booth"), ValueError, "Multiplier must be one of lut, dsp, not 'booth'"),
    (lambda: MacExact("e4m3", multiplier="bram"), ValueError, "Multiplier must be one of lut, dsp, dsp_significand, not 'bram'"),
    (lambda: MacExact("e5m2", multiplier="dsp"), ValueError, "Format must have values of at most 18 bits for a DSP, not 33 as 'e5m2'"),
    (lambda: MacExact("int8"), ValueError, "Format must be a float or posit of at least 3 bits, not 'int8'"),
    (lambda: MacExact("e8m0"), ValueError, "Format must be a float or posit of at least 3 bits, not 'e8m0'"),
    (lambda: MacExact("bf16"), ValueError, "Accumulator must have at most 160 bits, not the 531 of 256 products of bf16"),
    (lambda: MacExact("posit16_2"), ValueError, "Accumulator must have at most 160 bits, not the 234 of 256 products of posit16_2"),
    (lambda: MacExact("e4m3", depth=0), ValueError, "Depth must be a positive integer, not 0"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_unknown_format_names_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"not 'posit8-0' \(near it: posit8_0"):
        MacExact("posit8-0")
