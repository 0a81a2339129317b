# amaranth: UnusedElaboratable=no
"""The exact multiplier-accumulator of every format."""
from __future__ import annotations

from fractions import Fraction
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

from mantissa.design import Design
from mantissa.formats import STANDARD
from mantissa.hw.array_exact import ArrayExact
from mantissa.hw.designs_dot import values_of
from mantissa.hw.designs_exact import exact, mac_exact
from mantissa.sim_tb import pairs
from mantissa.sim_tb.simulate import check

ODD = (
    *(exact(fmt, depth=3, cells=False) for fmt in (
        "uint1", "uint5", "uint16", "int1", "int2", "int16", "int8f6", "sm2", "sm3", "sm16", "binary", "ternary", "pot2", "pot6", "post2",
        "post8", "e1m0", "ue1m0", "e2m1", "e8m7_numbers", "posit2_0", "posit3_1", "posit16_3")),
    mac_exact("uint16", multiplier="dsp", depth=2, cells=False), mac_exact("sm5", multiplier="dsp", depth=2, cells=False),
    mac_exact("pot5", multiplier="dsp", depth=2, cells=False), mac_exact("post4", multiplier="dsp", depth=2, cells=False),
    mac_exact("post5", multiplier="dsp_significand", depth=2, cells=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 20


def test_every_standard_format_has_one() -> None:
    """Whose accumulator is the narrowest that 256 products of the largest magnitude fit, codes that are not numbers aside."""
    for name, fmt in STANDARD.items():
        values, special = values_of(name)
        largest = max(abs(value) for value in values[~special]) ** 2
        least = (256 * largest).bit_length() + 1
        unit = exact(name).component()
        given = unit.acc_width                                              # pyright: ignore[reportAttributeAccessIssue]
        assert given == least or special.any() and least < given <= least + 4 and given > 160, name
        assert unit.i.p.shape()["a"].width == fmt.width                     # pyright: ignore[reportAttributeAccessIssue]


def _meant(name: str, code: int) -> Fraction:
    """What a code means, by the definition of its kind, in the unit of the sums' root."""
    width = STANDARD[name].width
    low, sign = code & (1 << width - 1) - 1, (-1) ** (code >> width - 1)
    if name.startswith("uint"):
        return Fraction(code)
    if name.startswith("sm") or name == "ternary":
        return Fraction(sign * low)
    if name == "binary":
        return Fraction(2 * code - 1)
    if name.startswith("pot"):
        return Fraction(sign << low - 1) if low else Fraction(0)
    if name.startswith("post"):
        return Fraction(sign * (181, 128)[low & 1] << (low - 1) // 2) if low else Fraction(0)
    assert name == "e8m0"
    return Fraction(1 << code)


@pytest.mark.parametrize("name", ["uint8", "sm8", "binary", "ternary", "pot5", "pot8", "post4", "post8", "e8m0"])
def test_values_are_those_of_the_definition(name: str) -> None:
    values, special = values_of(name)
    assert [Fraction(int(value)) for value in values] == [_meant(name, code) for code in range(len(values))]
    assert list(np.flatnonzero(special)) == ([255] if name == "e8m0" else [])


def test_array_of_integers_is_not_decoded_at_the_edge() -> None:
    with pytest.raises(ValueError, match="^Format must be one that has to be decoded, a float, powers or posit, not 'uint8'$"):
        ArrayExact(2, 2, "uint8")


def test_all_pairs_by_format(tmp_path: Path) -> None:
    report = tmp_path / "exact.md"
    assert pairs.main(["--formats", "sm3", "post3", "posit16_2", "--drawn", "500", "--report", str(report)]) == 0
    rows = [line for line in report.read_text().splitlines() if line.startswith("| mac_")]
    assert rows == ["| mac_sm3_acc13_exact_lut | 64 | all |", "| mac_post3_acc26_exact_lut | 64 | all |",
                    "| mac_posit16_2_acc234_wide_lut | 500 | drawn |"]


def test_unit_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "mac.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    name, count, luteq = done.stdout.split()
    assert name == "mac_uint6_acc23_exact_lut" and int(count) > 100 and 0 < float(luteq) < 100
    assert sorted(path.suffix for path in (tmp_path / "build" / "gen").iterdir()) == [".json", ".md", ".v"]


def test_unknown_format_of_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs.main(["--formats", "sm33"]) == 1
    assert capsys.readouterr().err.startswith("mantissa.sim_tb.pairs: ")
