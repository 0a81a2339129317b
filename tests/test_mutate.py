# amaranth: UnusedElaboratable=no
"""Mutants: real ones are killed, equivalent ones are proved to be, and what is weak is found out."""
from dataclasses import replace
from itertools import islice
import json
from pathlib import Path

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("z3")

import numpy as np

from mantissa.hw.catalog import find
from mantissa.sim_tb import argued, campaign
from mantissa.sim_tb import miter as miter_module
from mantissa.sim_tb import mutate as command
from mantissa.sim_tb.campaign import mutate
from mantissa.sim_tb.equivalent import Prover
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.miter import Miter, decide
from mantissa.sim_tb.mutants import Mutant, apply, make
from mantissa.sim_tb.steps import Plan, verify

FOLDER = Path(__file__).parent.parent / "build" / "verify"


def wrong(design):
    """The design with a golden function that is wrong in one transaction."""
    def golden(streams):
        answer = {port: {name: np.array(column) for name, column in rows.items()} for port, rows in design.golden(streams).items()}
        answer["o"]["data"][5] ^= 1
        return answer
    return replace(design, golden=golden)


@pytest.mark.parametrize("name", ["skid", "queue_d5", "deserialize_x4", "reduce_x1", "requantize_narrow_half_even"])
def test_killed(name):
    outcome = mutate(find(name), folder=FOLDER, count=20)
    assert outcome.mutants == 20
    assert outcome.killed > 10
    assert outcome.surviving == []
    assert outcome.killed + outcome.timing + outcome.equivalent == 20
    assert list(argued.failures(find(name), outcome)) == []


def test_mutants_are_distinct():
    made = make(find("skid"), folder=FOLDER, count=20)
    assert len({str(mutant) for mutant in made.mutants}) == 20
    assert [mutant.number for mutant in made.mutants] == list(range(1, 21))


def test_none_is_the_design():
    design = find("skid")
    model = make(design, folder=FOLDER, count=20).harness(folder=FOLDER)
    assert run_cases(design, model, least=1000, stall="bursty").count >= 1000


def test_equivalent():
    design = find("skid")
    made = make(design, folder=FOLDER, count=100)
    same = [mutant for mutant in made.mutants if mutant.mode == "const0" and mutant.cell.startswith("$procmux") and mutant.port == "B"]
    other = [mutant for mutant in made.mutants if mutant.mode == "inv" and mutant.port in ("D", "Y")][:2]
    prover = Prover(design, [*same, *other])
    assert any(prover.equivalent(mutant) for mutant in same)
    assert [mutant for mutant in other if prover.equivalent(mutant)] == []


def test_efforts():
    design = find("crossing_x3")
    made = make(design, folder=FOLDER, count=200)
    same = [mutant for mutant in made.mutants if mutant.cell == "$flatten\\route.$ge$design.v:421$51" and mutant.port == "Y"]
    other = [mutant for mutant in made.mutants if mutant.mode == "inv" and mutant.port in ("D", "Y")][:1]
    prover = Prover(design, [*same, *other])
    assert same
    assert not all(prover.equivalent(mutant, effort=0) for mutant in same)
    assert all(prover.equivalent(mutant, effort=1) for mutant in same)
    assert [prover.equivalent(mutant) for mutant in other] == [False]


def test_weak_stimulus_lets_mutants_survive(monkeypatch):
    monkeypatch.setattr(campaign, "MORE", 5000)
    design = find("skid")
    still = replace(design, stateless=False, stimulus=lambda rng: {"i": {"data": np.zeros(100, int), "tag": np.zeros(100, int)}})
    outcome = mutate(still, folder=FOLDER, count=20)
    assert outcome.surviving
    assert next(argued.failures(still, outcome)).startswith("mutation: ")


def test_wrong_golden_is_reported():
    design = wrong(find("skid"))
    with pytest.raises(AssertionError, match=r"^skid: transaction 5 of o has \{'data': -?\d+\}, golden says \{'data': -?\d+\}"):
        run_cases(design, harness(design, folder=FOLDER), least=1000)
    with pytest.raises(AssertionError, match=r"^skid: transaction 5 of o is not what the golden function says, in cycle \d+, stalls none$"):
        mutate(design, folder=FOLDER, count=20)


def test_fast_harness():
    for name in ("mac_4x4_acc16_lut", "requantize_narrow_half_even"):
        design = find(name)
        model = harness(design, folder=FOLDER, fast=True)
        assert model.every_edge
        assert run_cases(design, model, least=1000).given >= 1000
    with pytest.raises(ValueError, match="^A harness of every edge must run without stalls, not random$"):
        run_cases(design, model, least=1000, stall="random")
    with pytest.raises(AssertionError, match="^skid: transaction 5 of o has"):
        run_cases(wrong(find("skid")), harness(find("skid"), folder=FOLDER, fast=True), least=1000)


@pytest.mark.parametrize("name", ["serialize_x4", "join_x2", "array_os_4x4_w8a8_acc32_slice"])
def test_not_fast(name):
    assert not harness(find(name), folder=FOLDER, fast=True).every_edge


def test_verdict_of_wrong_golden():
    verdict = verify(wrong(find("skid")), Plan(folder=FOLDER))
    assert {text.split(":")[0] for text in verdict.failures} >= {"simulated", "compiled", "synthesised", "mutated"}


def test_nothing_compared():
    design = replace(find("skid"), stimulus=lambda rng: {"i": {"data": np.zeros(0, int), "tag": np.zeros(0, int)}}, stateless=False)
    with pytest.raises(AssertionError, match="^skid: no case was compared$"):
        mutate(design, folder=FOLDER, count=20)


def test_no_mutants():
    with pytest.raises(ValueError, match="^Mutants must be at least 1, not 0$"):
        make(find("skid"), folder=FOLDER, count=0)


def test_command(tmp_path, capsys):
    report = tmp_path / "report.md"
    assert command.main(["skid", "-n", "20", "-o", str(FOLDER), "--report", str(report)]) == 0
    assert "| skid | 20 |" in report.read_text()
    assert command.main(["nothing"]) == 1
    assert capsys.readouterr().err.startswith("mantissa.sim_tb.mutate: Design must be one of the catalogue's, not 'nothing'")


def test_names():
    assert str(Mutant(number=1, mode="inv", cell="$add", port="A", bit=2)) == "inv $add.A[2]"
    assert str(Mutant(number=1, mode="cnot0", cell="$add", port="A", bit=2, control=0)) == "cnot0 $add.A[2] by [0]"


def begins(path, top):
    """What each bit of each register holds at first."""
    module = json.loads(path.read_text())["modules"][top]
    first = {bit: value for net in module["netnames"].values()
             for bit, value in zip(net["bits"], reversed(net["attributes"].get("init", "")), strict=False) if value != "x"}
    return {(name, n): first.get(bit) for name, cell in module["cells"].items() for n, bit in enumerate(cell["connections"].get("Q", ()))}


def test_mutated_registers_begin_as_they_did(tmp_path):
    design = find("memory_guard")
    apply(design, make(design, folder=FOLDER, count=1).mutants, "", tmp_path)
    registers = begins(tmp_path / "before.json", design.name)
    name, bit = next(place for place, value in registers.items() if value == "1")
    mutants = [Mutant(number=n, mode=mode, cell=name, port="Q", bit=bit) for n, mode in ((1, "inv"), (2, "const0"))]
    apply(design, mutants, "write_json written.json", tmp_path)
    assert begins(tmp_path / "written.json", design.name) == registers


def test_miter(tmp_path, monkeypatch):
    """ABC proves what is equal, finds what differs, that of Yosys too; neither is known if it says nothing."""
    design = find("queue_d5")
    made = make(design, folder=FOLDER, count=100)
    same = list(islice((mutant for mutant in made.mutants if Prover(design, [mutant]).equivalent(mutant, 0)), 2))
    other = [mutant for mutant in made.mutants if mutant.mode == "inv" and mutant.port in ("D", "Y")][:2]
    miter = Miter(design, [*same, *other], tmp_path)
    assert same
    assert other
    for _ in range(2):
        assert [miter.ask(mutant, 60).equal for mutant in (*same, *other)] == [True] * len(same) + [False] * len(other)
        monkeypatch.setattr(miter_module, "NATIVE", ())
    monkeypatch.setattr(miter_module, "INSIDE", "log {proof}\n")
    assert miter.ask(same[0], 60).equal is None


def test_mutant_that_synthesis_sees_through(tmp_path):
    """A bit that is 0 made 0: no number is left in the miter."""
    design = find("requantize_narrow_half_even")
    apply(design, make(design, folder=FOLDER, count=1).mutants, "", tmp_path)
    cells = json.loads((tmp_path / "before.json").read_text())["modules"][design.name]["cells"]
    name, port, bits = next((name, port, bits) for name, cell in cells.items() for port, bits in cell["connections"].items() if "0" in bits)
    same = Mutant(number=1, mode="const0", cell=name, port=port, bit=bits.index("0"))
    assert decide(design, [same], 60)[same].equal


def test_memory(tmp_path):
    """If a memory is left out, a mutant may be proved to ask the same of it, but not to differ; with registers for it, it is."""
    design = find("queue_d16_memory")
    mutants = [Mutant(number=n, mode="inv", cell="store", port=port, bit=0) for n, port in ((301, "RD_ADDR"), (302, "WR_EN"))]
    same = next(mutant for mutant in make(design, folder=FOLDER).mutants if Prover(design, [mutant]).equivalent(mutant, 0))
    cut = Miter(design, [same, *mutants], tmp_path, most=0)
    assert [cut.ask(mutant, 60).equal for mutant in (same, *mutants)] == [True, None, None]
    assert [answer.equal for answer in decide(design, [same, *mutants], 60).values()] == [True, False, False]


def entry(design, **other):
    """An argument about one mutant of a design as it is."""
    about = {"design": design.name, "verilog": argued.fingerprint(design), "reason": "why", "mutants": ["inv $a.Y[0]"]}
    return argued.Argument(**about | other)


def test_argued_mutants(monkeypatch):
    design = find("skid")
    outcome = campaign.Campaign(name="skid", mutants=4, killed=1, cases=1, surviving=["inv $a.Y[0] (differs in cycle 3)", "inv $b.Y[0]"],
                                told=["inv $c.Y[0]"])
    monkeypatch.setattr(argued, "arguments", lambda: (entry(design),))
    assert argued.sort(design, outcome) == (["inv $a.Y[0] (differs in cycle 3)"], ["inv $b.Y[0]"])
    assert list(argued.failures(design, outcome)) == ["mutation: inv $b.Y[0] survives"]
    monkeypatch.setattr(argued, "arguments", lambda: (entry(design, verilog="0" * 16), entry(find("queue_d1"))))
    assert len(list(argued.failures(design, outcome))) == 2
    monkeypatch.setattr(argued, "arguments", lambda: (entry(design, mutants=["inv $a.Y[0]", "inv $b.Y[0]", "inv $c.Y[0]"]),))
    assert list(argued.failures(design, outcome)) == ["mutation: inv $c.Y[0] is told from the design, and argued to be equivalent"]


def test_argued_mutants_are_reported(monkeypatch, tmp_path, capsys):
    outcome = campaign.Campaign(name="skid", mutants=2, killed=1, cases=1, surviving=["inv $a.Y[0]"], told=["inv $c.Y[0]"])
    monkeypatch.setattr(command, "mutate", lambda design, **options: outcome)
    monkeypatch.setattr(argued, "arguments", lambda: (entry(find("skid")),))
    report = tmp_path / "report.md"
    assert command.main(["skid", "-n", "2", "-o", str(tmp_path), "--report", str(report)]) == 0
    text = report.read_text()
    assert "| skid | 2 | 1 | 0 | 0 | 1 | 0 | 1 | 0.0 |" in text
    assert "* skid: why: `inv $a.Y[0]`" in text
    assert "Nothing failed." in text


def test_arguments_are_of_designs_as_they_are():
    """When a design changes, what was argued about it has to be argued again."""
    known = argued.arguments()
    assert {(one.design, argued.fingerprint(find(one.design))) for one in known} == {(one.design, one.verilog) for one in known}
    mutants = [(one.design, mutant) for one in known for mutant in one.mutants]
    assert len(set(mutants)) == len(mutants)
    assert all(one.reason and one.mutants for one in known)
