# amaranth: UnusedElaboratable=no
"""Exact dot products of several lanes, of blocks, and rounded."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.formats import decode_blocks, encode_blocks, get_block
from mantissa.hw.block_dot import BlockDot
from mantissa.hw.catalog import find
from mantissa.hw.designs_block import block_dot
from mantissa.hw.designs_dot import dot, dot_round, values_of
from mantissa.hw.dot import Dot
from mantissa.hw.dot_round import DotRound
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.simulate import check

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    *(dot(fmt, lanes, depth=3, cells=False) for fmt, lanes in (
        ("e2m1", 3), ("e2m1", 1), ("e4m3", 5), ("int4", 2), ("int8", 3), ("posit8_0", 2), ("ue4m3", 2), ("e4m3fnuz", 2), ("fp16", 2))),
    dot_round("posit8_2", 4, "posit16_2", depth=3, cells=False), dot_round("e4m3", 2, "bf16", depth=3, cells=False),
    dot_round("e2m1", 2, "e2m1", depth=3, cells=False), dot_round("pot4", 2, "posit8_0", depth=3, cells=False),
    dot_round("posit8_0", 1, "posit8_0", depth=3, cells=False),
    *(dot(fmt, 3, depth=7, cells=False) for fmt in ("uint8", "sm8", "sm2", "binary", "ternary", "pot5", "post4", "int1")),
    dot("uint6", 2, multiplier="dsp", depth=7, cells=False),
    dot("int8", 3, multiplier="dsp", depth=2, cells=False), dot("e4m3", 2, multiplier="dsp", depth=2, cells=False),
    dot("fp16", 2, multiplier="dsp_significand", depth=2, cells=False),
    *(block_dot(fmt, lanes, blocks=3, cells=False) for fmt, lanes in (("mxfp6e2m3", 8), ("mxfp6e3m2", 4), ("mxfp8e5m2", 2), ("mxint8", 16),
                                                                      ("nvint4", 16), ("nvfp4", 2), ("mxfp4", 32))),
    block_dot("mxfp4", 4, blocks=2, window=(-3, -1), cells=False), block_dot("mxfp8e4m3", 16, blocks=2, window=(-70, -6), cells=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=1000) > 1


@pytest.mark.parametrize("name", ["dot_e4m3_x4_lut", "dot_posit8_2_x4_lut", "dot_int8_x4_dsp"])
def test_every_operand_pair(name: str) -> None:
    """Every pair of codes in every lane."""
    design = find(name)
    pairs = np.stack([np.random.default_rng(lane).permutation(1 << 16) for lane in range(4)], 1)
    ones = np.ones(1 << 16, np.int64)
    every = replace(design, stimulus=lambda _: {"i": {"a": pairs >> 8, "b": pairs & 255, "first": ones, "last": ones}})
    assert run_cases(every, harness(design, folder=FOLDER, optimize=0), least=1 << 16).count == 1 << 16


DTYPES = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "e2m3": ml_dtypes.float6_e2m3fn, "e3m2": ml_dtypes.float6_e3m2fn,
          "e2m1": ml_dtypes.float4_e2m1fn, "ue4m3": ml_dtypes.float8_e4m3fn, "e8m0": ml_dtypes.float8_e8m0fnu}


def _read(name: str, codes: np.ndarray) -> list[Fraction]:
    """Values of codes, finite ones, as somebody else reads them."""
    if name.startswith("int"):
        width, fraction = (8, 6) if name == "int8f6" else (4, 0)
        return [Fraction(int(code) - (int(code) >> width - 1 << width), 1 << fraction) for code in codes.flat]
    return [Fraction(float(value)) for value in codes.astype(np.uint8).view(DTYPES[name]).flat]


@pytest.mark.parametrize("fmt", [*(name for name in DTYPES if name != "e8m0"), "posit8_2"])
def test_values_are_those_of_others(fmt: str) -> None:
    """Every code of the golden function's table, in one unit."""
    values, special = values_of(fmt)
    codes = np.flatnonzero(~special)
    others = _posits(codes) if fmt == "posit8_2" else _read(fmt, codes)
    unit = min(abs(value) for value in others if value)
    assert [value / unit for value in others] == [int(value) for value in values[codes]]


def test_golden_of_a_rounded_dot_product_is_the_nearest_posit() -> None:
    """By fractions: of all values, the one that the bit string rounded half to even is."""
    design = find("dot_posit8_2_x4_posit16_2_lut")
    given = design.stimulus(np.random.default_rng(3))
    exact = find("dot_posit8_2_x4_lut").golden(given)["o"]["sum"]
    codes, count = design.golden(given)["o"]["code"], 0
    for code, total in zip(codes.tolist(), exact.tolist(), strict=True):
        if total == 0 or code == 1 << 15:
            continue
        magnitude = (1 << 16) - code if code >> 15 else code
        # The bit string of one more bit decides: between those around the code, the ends belonging to even codes.
        low, high = (_posits(np.array([2 * magnitude + step]), 17)[0] for step in (-1, 1))
        value = abs(Fraction(total) / (1 << 48))
        inside = low <= value <= high if code % 2 == 0 else low < value < high
        assert inside and (total < 0) == bool(code >> 15)
        count += 1
    assert count > 100


def _posits(codes: np.ndarray, width: int = 8) -> list[Fraction]:
    """Posits of two exponent bits, read bit by bit."""
    found = []
    for code in codes.tolist():
        if not code:
            found.append(Fraction(0))
            continue
        sign = code >> width - 1
        body = f"{(-code if sign else code) & (1 << width - 1) - 1:0{width - 1}b}"
        run = len(body) - len(body.lstrip(body[0]))
        rest = body[run + 1:]
        regime = run - 1 if body[0] == "1" else -run
        fraction = rest[2:]
        power = 4 * regime + int((rest[:2] + "00")[:2], 2)
        found.append((-1) ** sign * (1 + Fraction(int(fraction or "0", 2), 1 << len(fraction))) * Fraction(2) ** power)
    return found


@pytest.mark.parametrize(("fmt", "unit"), [("mxfp4", -2 - 24), ("mxfp6e2m3", -6 - 24), ("mxfp6e3m2", -8 - 24), ("mxfp8e4m3", -18 - 24),
                                           ("mxint8", -12 - 24), ("nvfp4", -2 - 18), ("nvint4", -18)])
def test_golden_is_the_dot_product_of_what_the_blocks_hold(fmt: str, unit: int) -> None:
    """Of tensors encoded by the golden model, and of any codes, as :mod:`ml_dtypes` reads elements and scales: exact rationals."""
    block, rng = get_block(fmt), np.random.default_rng(4)
    lanes, count = 4, 12
    design = block_dot(fmt, lanes)
    beats = block.size // lanes
    tensors = [encode_blocks(block, rng.standard_normal((count, block.size)) * rng.choice([0.1, 1.0, 3.0], (count, 1))) for _ in range(2)]
    elements, scales = [codes.elements for codes in tensors], [codes.scales[:, 0] for codes in tensors]
    if block.element.name in ("e2m1", "e2m3", "e3m2", "int8f6", "int4"):
        elements[0][:4] = rng.integers(0, 1 << block.element.width, (4, block.size))
    end = np.tile(np.arange(beats) == beats - 1, count).astype(np.int64)
    last = end * np.repeat(np.arange(count) % 3 == 2, beats)
    rows = {name: codes.reshape(count * beats, lanes) for name, codes in zip("ab", elements, strict=True)}
    rows |= {f"{name}_scale": np.repeat(codes, beats) for name, codes in zip("ab", scales, strict=True)}
    found = design.golden({"i": rows | {"first": np.append(1, last[:-1]), "end": end, "last": last}})["o"]
    read = [[value * scale for row, scale in zip(np.array(_read(block.element.name, codes), object).reshape(count, -1),
                                                 _read(block.scale.name, scale_codes), strict=True) for value in row]
            for codes, scale_codes in zip(elements, scales, strict=True)]
    want = [sum(x * y for x, y in zip(*(side[n * block.size:(n + 3) * block.size] for side in read), strict=True))
            for n in range(0, count, 3)]
    assert [Fraction(int(value)) * Fraction(2) ** unit for value in found["sum"]] == want and not found["nan"].any()
    decoded = [decode_blocks(block, codes) for codes in tensors] if elements[0] is tensors[0].elements else None
    assert decoded is None or [float(value) for value in np.array(read[0])] == decoded[0].ravel().tolist()


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: Dot("e8m0"), ValueError, "Accumulator must have at most 160 bits, not the 522 of 1024 products of e8m0"),
    (lambda: Dot("mxfp4"), ValueError, "Format must be one of single numbers, not the block format 'mxfp4'"),
    (lambda: Dot("ternary", multiplier="dsp"), ValueError, "Format must have magnitudes of at least 2 bits for a DSP, not 1 as 'ternary'"),
    (lambda: Dot("int8", multiplier="dsp_significand"), ValueError,
     "Multiplier of integers must be one of lut, dsp, not 'dsp_significand'"),
    (lambda: Dot("e4m3", multiplier="booth"), ValueError, "Multiplier must be one of lut, dsp, dsp_significand, not 'booth'"),
    (lambda: Dot("e4m3", lanes=0), ValueError, "Lanes must be an integer between 1 and 64, not 0"),
    (lambda: Dot("e4m3", depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: Dot("bf16"), ValueError, "Accumulator must have at most 160 bits, not the 535 of 1024 products of bf16"),
    (lambda: DotRound("int8", "e4m3"), ValueError,
     "Format of a rounded dot product must be a float, a posit or one of powers of two, not 'int8'"),
    (lambda: DotRound("e4m3", "int8"), ValueError, "Format must be a float or a posit of at least 3 bits, not 'int8'"),
    (lambda: DotRound("e4m3", "e2m1"), ValueError, "Format must have a code for what is no number, as e4m3 has such, not be 'e2m1'"),
    (lambda: BlockDot("e4m3"), ValueError, "Format must be a block format, one of mxfp8e4m3, mxfp8e5m2, "),
    (lambda: BlockDot("dfp8"), ValueError, "Block format must have blocks smaller than the tensor, not be 'dfp8'"),
    (lambda: BlockDot("mxfp4", lanes=5), ValueError, "Lanes must divide the block's 32 elements, not be 5"),
    (lambda: BlockDot("mxfp4", blocks=0), ValueError, "Blocks must be a positive integer, not 0"),
    (lambda: BlockDot("nvfp4", window=(-8, 8)), ValueError, "Window of nvfp4 must be left out, all sums being exact, not (-8, 8)"),
    (lambda: BlockDot("mxfp4", window=(-8, 4)), ValueError, "Window must span a power of two of exponents, at least 2, not 12"),
    (lambda: BlockDot("mxfp4", window=8), ValueError, "Window must be two integers, not 8"),      # pyright: ignore[reportArgumentType]
    (lambda: BlockDot("mxfp4", window=(-254, 258)), ValueError,
     "Accumulator must have at most 160 bits, not the 533 of 256 blocks of mxfp4"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert str(error.value).startswith(message)
