"""The page of costs is what its reports say, and says where ours loses; error of formats; the picture."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
import sys

import numpy as np
import pytest

from mantissa import cli
from mantissa.errors import MantissaError
from mantissa.fpga import page
from mantissa.fpga.accuracy import quantised, sqnr
from mantissa.fpga.cost import Cost
from mantissa.fpga.family import FAMILIES
from mantissa.fpga.pareto import Point, draw, front, ours, published
from mantissa.fpga.rivals import BESIDE, RIVALS, WANTED
from mantissa.formats import get
from mantissa.fpga.tables import spread
from mantissa.hw.catalog import find

PAGE = Path(__file__).parent.parent / "docs" / "cost.md"

REPORTS = {"LUT-eq": "ecp5", "LUT": "ice40"}
"""Report that the tables of other pages are of, by what they call look-up tables."""


def row(name: str = "mac_8x8_acc24_lut", **given: object) -> Cost:
    return Cost(**{"name": name, "family": "ecp5", "command": "synth_ecp5", "lut": 3, "carry": 47, "lutram": 0, "luteq": 97, "ff": 64,
                   "dsp": 0, "bram": 0, "spram": 0, "mhz": (168.0,), "macs": {"int8": 1}, "rate": 1.0, **given})


def test_page_is_what_the_reports_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page.fill(text, page.read_reports(PAGE)) == text, "run: mantissa cost --page docs/cost.md"


def test_page_shows_every_family_and_rival_and_recipe() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, (rows, recipe) in page.read_reports(PAGE).items():
        assert rows and all(f"* {line}\n" in text for line in recipe) and FAMILIES[name].synthesis in " ".join(recipe)
        assert all(f"| `{row.name}` | {row.luteq} |" in text for row in rows)
    assert all(f"| {rival.title}" in text and rival.source in text for rival in RIVALS.values())
    assert (PAGE.parent / "reports" / "cost-pareto.png").read_bytes().startswith(b"\x89PNG")


def _tables(text: str) -> Iterator[list[list[str]]]:
    """Tables of a page: rows of cells, the header first."""
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        yield [rows[0], *rows[2:]]


def _figures(made: Cost) -> dict[str, str]:
    mhz = "" if made.fmax is None else f"{made.fmax:.0f}"
    rate = spread(made.throughput)
    return {"LUT-eq": f"{made.luteq}", "LUT": f"{made.luteq}", "FF": f"{made.ff}", "DSP": f"{made.dsp}", "MHz": mhz,
            "MAC/cycle": rate if re.fullmatch(r"[\d.]+", rate) else ""}


def _written(text: str, reports: Mapping[str, Mapping[str, Cost]]) -> Iterator[tuple[str, str, str, str]]:
    """Design, title, what is said and what is measured, wherever a cell is a design's name and those behind it its figures."""
    for header, *rows in _tables(text):
        kind = next((title for title in REPORTS if title in header), None)
        if kind is None:
            continue
        known = reports[REPORTS[kind]]
        for cells in rows:
            names = [re.fullmatch(r"(?:\d x )?`(\w+)`(?:: .*)?", cell) for cell in cells]
            place, name = next(((n, found[1]) for n, found in enumerate(names) if found and found[1] in known), (len(cells), ""))
            for title, cell in list(zip(header, cells, strict=True))[place + 1:]:
                figure = _figures(known[name]).get(title, "")
                if figure or title == "MHz":
                    yield name, title, cell, figure
                for other, luteq, mhz in re.findall(r"`(\w+)` (\d+)(?: at (\d+))?", cell):
                    yield other, "LUT-eq", luteq, _figures(known[other])["LUT-eq"]
                    if mhz:
                        yield other, "MHz", mhz, _figures(known[other])["MHz"]


@pytest.mark.parametrize("name, least", [("accelerator.md", 24), ("mac.md", 30), ("rivals.md", 120)])
def test_tables_written_by_hand_are_what_the_reports_say(name: str, least: int) -> None:
    reports = {family: {made.name: made for made in rows} for family, (rows, _) in page.read_reports(PAGE).items()}
    figures = list(_written((PAGE.parent / name).read_text(encoding="utf-8"), reports))
    assert len(figures) >= least
    wrong = [f"{design}: {title} {said}, and {measured} measured" for design, title, said, measured in figures if said != measured]
    assert not wrong


def test_separate_units_of_all_modes_add_up() -> None:
    text = (PAGE.parent / "mac.md").read_text(encoding="utf-8")
    members, = (rows for header, *rows in _tables(text) if "separate unit" in header)
    lanes = [int(unit.split()[0]) if " x " in unit else 1 for *_, unit, _, _ in members]
    luteq, ff = (sum(n * int(cells[at]) for n, cells in zip(lanes, members, strict=True)) for at in (-2, -1))
    whole = next(made for made in page.read_reports(PAGE)["ecp5"][0] if made.name == "mac_modes9_acc128_lut")
    shares = f"{whole.luteq / luteq:.2f}", f"{whole.ff / ff:.2f}"
    assert f"| separate units of as many lanes | {luteq}: {shares[0]} times | {ff}: {shares[1]} times |" in text
    summary = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"separate units of as many lanes of {luteq} and {ff}, of which they take {shares[0]} and {shares[1]};" in summary


def test_element_of_the_array_of_formats_beside_units_of_many_modes() -> None:
    ecp5 = {made.name: made for made in page.read_reports(PAGE)["ecp5"][0]}
    array, decoders = ecp5["array_ws_4x4_signs"], ecp5["decode_vector_x2"].luteq / 2 + ecp5["decode_weight_4x2"].luteq / 2
    lut, dsp, five = (ecp5[f"mac_modes{name}"] for name in ("9_acc128_lut", "9_acc128_dsp", "5_acc96_lut"))
    text = " ".join((PAGE.parent / "accelerator.md").read_text(encoding="utf-8").split())
    assert array.dsp == 16 and not lut.dsp and dsp.dsp == 2 and not five.dsp
    alone, shared = array.luteq / 16, (array.luteq + 4 * decoders) / 16
    assert (f"takes {alone:.0f} LUT-eq and one DSP, {shared:.0f} LUT-eq with the decoders of four lanes and four columns "
            f"shared out. `{lut.name}` takes {lut.luteq}, `{dsp.name}` {dsp.luteq} and two DSPs, and `{five.name}` {five.luteq};") in text


def test_facts_are_of_designs_there_are() -> None:
    assert all(find(name) for name in (*WANTED, *BESIDE.values()))
    assert set(BESIDE) <= set(RIVALS)


def test_losses_are_said() -> None:
    assert page.losses([row(luteq=99, mhz=(141.0,))]) == []
    assert page.losses([row(luteq=101, mhz=(139.0,))]) == ["`mac_8x8_acc24_lut`: wanted 100 at 140, 1 LUT-eq more, 1 MHz slower."]
    assert page.losses([row(luteq=99, mhz=())]) == ["`mac_8x8_acc24_lut`: wanted 100 at 140, frequency not measured."]
    lost = page.losses([row("mac_e2m1_acc17_lut", luteq=56, mhz=(58.0,), macs={"e2m1": 1}),
                        row("dot_e2m1_x4_lut", luteq=224, mhz=(58.0,), macs={"e2m1": 4})])
    assert lost == ["`mac_e2m1_acc17_lut`: wanted 40 at 150, 16 LUT-eq more, 92 MHz slower.",
                    "`dot_e2m1_x4_lut` is larger and slower beside MX-for-FPGA exact dot product, 4 lanes, E2M1."]
    assert page.losses([row(ff=65)]) == ["`mac_8x8_acc24_lut` is more FF beside INT8 MAC, Yosys' booth pass, product register, 32-bit "
                                         "accumulator."]
    array = row("array_ws_4x4_w8a8", luteq=250, dsp=17, macs={"int8": 16}, mhz=(108.0,))
    assert page.losses([array]) == ["`array_ws_4x4_w8a8` is larger and more DSPs beside bit-weight INT8 weight-stationary array 4x4, "
                                    "18-bit accumulators."]


def test_tables_mark_what_is_lost() -> None:
    reports = {name: ([row(family=name)], ["So."]) for name in FAMILIES}
    reports["ecp5"] = ([row(luteq=101, mhz=(100.0,)), row("skid", macs={}, rate=None, mhz=(), note="more than 1 LUT-eq")], ["So."])
    text = "".join(f"<!-- cost:{name} -->\nold\n<!-- /cost:{name} -->\n" for name in ("ecp5", "rivals", "gowin", "nexus-recipe"))
    made = page.fill(text, reports)
    assert "old" not in made and page.fill(made, reports) == made
    assert "### mac\n" in made and "| 100 at 140: **1 LUT-eq more, 40 MHz slower** |" in made
    assert "Not placed: `skid` (more than 1 LUT-eq)." in made and "* So.\n" in made
    assert "| `mac_8x8_acc24_lut` | 101 | 64 | 100 | 1 | smaller, **slower** |" in made     # beside the booth pass, 260 at 137
    assert "nothing like it yet" in made


@pytest.mark.parametrize("text, sentence", [
    ("<!-- cost:ecp5 -->\n", "Marks of the page must each be ended, not ecp5 by "),
    ("<!-- cost:zynq -->\n<!-- /cost:zynq -->", "Marks of the page must be of ecp5, rivals, losses, formats, "),
])
def test_bad_marks(text: str, sentence: str) -> None:
    with pytest.raises(MantissaError, match=f"^{sentence}"):
        page.fill(text, {name: ([], []) for name in FAMILIES})


def test_command_makes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "cost.md"
    target.write_text("Before.\n<!-- cost:ice40 -->\n<!-- /cost:ice40 -->\nAfter.\n")
    assert cli.main(["cost", "--page", str(target)]) == 2
    assert capsys.readouterr().err == (f"mantissa: Page {target} must have {tmp_path / 'reports' / 'cost-ecp5.json'} beside it: "
                                       "measure with --remeasure\n")
    asked = []

    def measured(names: object, family: str, pnr: bool, seeds: int, **options: object) -> list[Cost]:
        asked.append((names, family, pnr, seeds, options["most"], options["others"]))
        options["missing"] += ["`x` (yosys failed: exit code 1)"] * (family == "nexus")
        return [row(family=family)]
    monkeypatch.setattr("mantissa.fpga.cost.cost", measured)
    assert cli.main(["cost", "--page", str(target), "--remeasure"]) == 0
    assert asked == [((), name, True, plan.seeds, plan.most, plan.others) for name, plan in page.PLAN.items()]
    text = target.read_text()
    assert text.startswith("Before.\n<!-- cost:ice40 -->\n| design | LUT-eq |") and text.endswith("<!-- /cost:ice40 -->\nAfter.\n")
    assert (tmp_path / "reports" / "cost-pareto.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "reports" / "cost-nexus.json").read_text())
    assert report["designs"][0]["mmacs_per_lut"] == {"int8": pytest.approx(168 / 97)} and "LIFCL-40" in " ".join(report["recipe"])
    assert report["recipe"][-1] == "Not there: `x` (yosys failed: exit code 1)."


# --- error of formats

@pytest.mark.parametrize("name", ["e4m3", "e2m1", "e5m2"])
def test_scale_is_the_one_with_the_least_error(name: str) -> None:
    """Against somebody else's rounding, over scales of our own choice."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    theirs = {"e4m3": ml_dtypes.float8_e4m3fn, "e2m1": ml_dtypes.float4_e2m1fn, "e5m2": ml_dtypes.float8_e5m2}[name]
    values = np.random.default_rng(7).standard_normal((64, 256))
    mine = np.square(quantised(get(name), values) - values).mean()
    largest = float(ml_dtypes.finfo(theirs).max)
    errors = []
    for scale in 2.0 ** np.arange(-14, 4, 0.25):
        scaled = np.clip(values / scale, -largest, largest).astype(np.float32)
        errors.append(np.square(scaled.astype(theirs).astype(np.float64) * scale - values).mean())
    assert min(errors) * 0.93 < mine <= min(errors) * 1.001


def test_error_of_formats_is_that_of_theory() -> None:
    """Operands have the error of the best uniform quantiser of as many levels: Max (1960), table II, 20.22 dB for 16 and 9.25 for 4."""
    assert sqnr("int4") == pytest.approx(20.22 - 10 * np.log10(2), abs=1.5)
    assert sqnr("int8*int2") == pytest.approx(9.25, abs=1.5)
    assert sqnr("int8") - sqnr("int4") == pytest.approx(20.5, abs=2)
    assert sqnr("mxfp4") < sqnr("nvfp4") < sqnr("e4m3") < sqnr("int8") < sqnr("bf16")


def test_operands_are_one_format_or_two() -> None:
    with pytest.raises(MantissaError, match=r"^Operands must be one format or two with \* between, not 'int8\*int4\*int2'$"):
        sqnr("int8*int4*int2")


# --- picture

def test_front() -> None:
    def at(cost: float, error: float, dsp: int = 0) -> Point:
        return Point(name="x", operands="int8", cost=cost, error=error, dsp=dsp)
    assert front([at(9, 30), at(5, 10), at(5, 12), at(7, 11), at(20, 30), at(1, 99, dsp=1)]) == [at(5, 12), at(9, 30)]


def test_points_are_of_designs_that_add() -> None:
    rows = [row(), row("multiply_8x8_lut"), row("mac_modes5_acc96_lut", macs={"int8": 2, "int4": 4}), row("skid", macs={}, rate=None),
            row("mac_e4m3_acc29_lmul", macs={"~e4m3": 1})]
    assert [(point.name, point.operands, point.cost) for point in ours(rows)] == [
        ("mac_8x8_acc24_lut", "int8", 97), ("mac_modes5_acc96_lut", "int8", 48.5), ("mac_modes5_acc96_lut", "int4", 24.25)]
    others = {point.name: point for point in published()}
    assert others["mx_e4m3"].cost == 867 / 4 and others["mx_e4m3"].exact and not others["pdpu"].exact and "pacogen8" not in others


def test_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.image import imread
    rows = [row(), row("mac_e2m1_acc17_lut", luteq=40, macs={"e2m1": 1}), row("mac_8x8_acc24_dsp", dsp=1, luteq=29)]
    draw(rows, ["So."], tmp_path / "a.png")
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[0] > 700 and pixels.shape[1] > 1000
    blue, red = ([(np.abs(pixels[..., :3] - np.array(colour)).max(axis=-1) < 0.02).sum()] for colour in (
        (0x1f / 255, 0x5f / 255, 0xa8 / 255), (0xc2 / 255, 0x45 / 255, 0x2d / 255)))
    assert blue[0] > 50 and red[0] > 50
    with pytest.raises(MantissaError, match=r"^Plot needs a design that multiplies and adds, and there is none$"):
        draw([row("skid", macs={})], ["So."], tmp_path / "b.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MantissaError, match=r"^The plot needs matplotlib: pip install 'mantissa\[fpga\]'$"):
        draw([row()], ["So."], tmp_path / "b.png")
