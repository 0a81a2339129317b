# amaranth: UnusedElaboratable=no
"""Multipliers that round: their golden function against other people's arithmetic, and all pairs of codes."""
from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import softposit

from mantissa.hw.catalog import find
from mantissa.hw.designs_multiply import multiply_float, multiply_posit, product
from mantissa.hw.multiply_float import MultiplyFloat
from mantissa.hw.multiply_posit import MultiplyPosit
from mantissa.sim_tb import all_pairs
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.simulate import check

FOLDER = Path(__file__).parent.parent / "build" / "verify"
FLOATS = {"e5m2": (ml_dtypes.float8_e5m2, np.uint8, 0x7e), "bf16": (ml_dtypes.bfloat16, np.uint16, 0x7fc0)}
POSITS = {"posit8_0": softposit.posit8, "posit16_1": softposit.posit16}


def pairs(width: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs of codes of 8 bits; else many, and all of codes next to a power of two or its complement."""
    if width == 8:
        a, b = np.divmod(np.arange(1 << 16), 1 << 8)
        return a, b
    powers = 1 << np.arange(width)
    ends = np.concatenate([powers - 1, powers, powers + 1, -powers, 1 - powers, 0x7f80 + np.arange(-2, 3)])
    special = np.unique(ends & (1 << width) - 1)
    a, b = (part.ravel() for part in np.meshgrid(special, special))
    drawn = np.random.default_rng(3).integers(0, 1 << width, (2, count))
    return np.append(a, drawn[0]), np.append(b, drawn[1])


def by_ml_dtypes(name: str, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """float32 products, which are exact but below its range, where a double is taken by way of an odd last bit."""
    kind, bits, nan = FLOATS[name]
    with np.errstate(all="ignore"):
        x, y = (np.asarray(codes).astype(bits).view(kind).astype(np.float64) for codes in (a, b))
        exact = x * y
        single = exact.astype(np.float32)
        short = single.astype(np.float64)
        off = np.isfinite(short) & (short != exact)
        toward = np.where(np.abs(short) > np.abs(exact), np.nextafter(single, np.float32(0)), single)
        odd = np.where(off, (toward.view(np.uint32) | 1).view(np.float32), single)
        code = odd.astype(kind).view(bits).astype(np.int64)
    return np.where(np.isnan(exact), nan, code)


def by_softposit(name: str, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    kind = POSITS[name]
    width = 8 if name == "posit8_0" else 16
    return np.array([(kind(bits=int(x)) * kind(bits=int(y))).v.v & (1 << width) - 1 for x, y in zip(a, b, strict=True)])


@pytest.mark.parametrize("name", FLOATS)
def test_float_products_as_ml_dtypes(name: str) -> None:
    a, b = pairs(8 if name == "e5m2" else 16, 1_000_000)
    np.testing.assert_array_equal(product(name, a, b), by_ml_dtypes(name, a, b))


@pytest.mark.parametrize("name", POSITS)
def test_posit_products_as_softposit(name: str) -> None:
    a, b = pairs(8 if name == "posit8_0" else 16, 100_000)
    np.testing.assert_array_equal(product(name, a, b), by_softposit(name, a, b))


@pytest.mark.parametrize("design", [multiply_float("e5m2"), multiply_posit("posit8_0")], ids=lambda design: design.name)
def test_every_pair_of_codes_of_8_bits(design) -> None:
    assert run_cases(design, harness(design, folder=FOLDER, optimize=0), least=1 << 16).exhaustive


@pytest.mark.parametrize("design", [
    multiply_float("fp16"), multiply_float("e4m2_ieee"), multiply_posit("posit10_2"), multiply_posit("posit9_3"),
    multiply_posit("posit5_0")], ids=lambda design: design.name)
def test_odd_formats(design) -> None:
    assert check(design, stall="random", most=400) == 400


@pytest.mark.parametrize("name", all_pairs.FORMATS)
def test_reference_is_the_golden_function(name: str) -> None:
    a, b = pairs(16, 1_000_000)
    np.testing.assert_array_equal(all_pairs.products(name, a, b, folder=FOLDER), product(name, a, b))


@pytest.mark.parametrize("name", all_pairs.FORMATS)
def test_a_hundredth_of_all_pairs(name: str) -> None:
    found = all_pairs.Pairs(find(f"multiply_{name}"), name, folder=FOLDER).rows(0, 1 << 16, round(0.01 * (1 << 16)) // 8 * 8)
    assert (found.cases, found.wrong, found.first) == (648 << 16, 0, [])


def test_all_pairs_finds_what_is_wrong() -> None:
    found = all_pairs.Pairs(find("multiply_bf16"), "posit16_1", folder=FOLDER).rows(0x4000, 1, 1 << 16)
    assert found.wrong > 60000
    assert found.first == ["0x4000 by 0x0001 gives 0x0002, not 0x0001"]


def test_all_pairs_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_pairs, "library", lambda *options, folder, optimize: library(*options, folder=FOLDER, optimize=optimize))
    report = tmp_path / "report.md"
    options = ["bf16", "--share", "0.0002", "--jobs", "1", "-o", str(tmp_path), "--report", str(report)]
    for _ in range(2):
        assert all_pairs.main(options) == 0
        assert capsys.readouterr().out.startswith("bf16: 524,288 products, 0 wrong")
    assert len(list((tmp_path / "kept").iterdir())) == 256
    assert "| multiply_bf16 | 524,288 | 0.01 % | 0 |" in report.read_text()
    assert all_pairs.main(["fp16"]) == 1
    assert all_pairs.main(["bf16", "--share", "0"]) == 1
    assert capsys.readouterr().err == (
        "mantissa.sim_tb.all_pairs: Format must be one of posit16_1, bf16, not 'fp16'\n"
        "mantissa.sim_tb.all_pairs: Share must be more than 0 and at most 1, not 0.0\n")


library = all_pairs.library


@pytest.mark.parametrize(("kind", "fmt", "message"), [
    (MultiplyFloat, "e4m3", "^Format must be a signed float with infinities, not 'e4m3'$"),
    (MultiplyFloat, "posit8_0", "^Format must be a signed float with infinities, not 'posit8_0'$"),
    (MultiplyPosit, "posit4_1", "^Format must be a posit with two bits of fraction or more, not 'posit4_1'$"),
    (MultiplyPosit, "bf16", "^Format must be a posit with two bits of fraction or more, not 'bf16'$"),
    (MultiplyPosit, "nothing", "^Format must be intN, .*, not 'nothing'$"),
])
def test_refuses(kind: type, fmt: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(fmt)
