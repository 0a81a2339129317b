# amaranth: UnusedElaboratable=no
"""The command that verifies: what it keeps, what it does again, and what it says was not done."""
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
import time

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("z3")
pytest.importorskip("cocotb_tools")

from mantissa.hw.catalog import find
from mantissa.sim_tb import kept, mutate, run, steps, verify
from mantissa.sim_tb.all_pairs import LANES
from mantissa.sim_tb.kept import Kept, digest, sources
from mantissa.sim_tb.parallel import outcomes
from mantissa.sim_tb.steps import Plan

FOLDER = Path(__file__).parent.parent / "build" / "verify"
MODULES = ("mantissa.sim_tb.exhaustive",)
SKID = find("skid")


def test_digest_is_of_design_sources_and_options(monkeypatch):
    first = digest([SKID], MODULES, 20)
    assert digest([replace(SKID)], MODULES, 20) == first
    assert digest([SKID], MODULES, 21) != first
    assert digest([find("queue_d1")], MODULES, 20) != first
    assert digest([replace(SKID, family="ecp5")], MODULES, 20) != first
    assert digest([replace(SKID, twin=SKID.component)], MODULES, 20) != first
    assert digest([replace(SKID, golden=find("reduce_x1").golden)], MODULES, 20) != first
    monkeypatch.setattr(kept, "sources", lambda roots: ({}, 0.0))
    assert digest([SKID], MODULES, 20) != first


def test_nothing_is_kept_of_sources_that_changed_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "START", 0.0)
    assert digest([SKID], MODULES, 20) == ""
    results = Kept(tmp_path, "x")
    results.put("", 3)
    assert results.get("") is None
    assert not list(tmp_path.iterdir())


def test_sources():
    found, changed = sources(("mantissa.sim_tb.exhaustive", "mantissa.hw.designs_requantize"))
    assert changed >= Path(kept.__file__).with_name("exhaustive.py").stat().st_mtime
    assert {"mantissa.sim_tb.exhaustive", "mantissa.sim_tb.verilator", "mantissa.sim_tb.verilator/harness.cpp", "mantissa.golden",
            "mantissa.rounding", "mantissa.hw.payload", "mantissa.hw.designs_requantize"} <= set(found)
    assert "mantissa.hw.requantize" not in found
    with pytest.raises(ValueError, match=r"^Module mantissa\.nothing has no source$"):
        sources(("mantissa.nothing",))


def test_digest_is_of_what_a_golden_function_uses():
    given, segments, roots, _ = kept._parts(find("mac_modes5_acc96_lut").golden)
    assert given == ["[(('int8', 'int4', 'posit8_0', 'e4m3', 'e2m1'), 96, 2), {}]"]
    assert [segment.split("(")[0] for segment in segments] == ["def _golden", "def _products", "def _table"]
    assert {"mantissa.formats", "mantissa.design"} <= set(roots)
    assert "mantissa.hw.designs_reconfigurable" not in roots
    assert kept._statements("mantissa.hw.designs_reconfigurable", "<lambda>") == ([], ["mantissa.hw.designs_reconfigurable"])
    assert kept._parts(partial(steps.verify, find))[2] == sorted({*kept._parts(steps.verify)[2], "mantissa.hw.catalog"})


def test_speed_is_what_the_reports_say():
    docs = Path(__file__).parent.parent / "docs"
    rows = [[cell.strip().replace(",", "") for cell in line.strip("|").split("|")]
            for line in (docs / "reports" / "verify.md").read_text().splitlines() if line.startswith("| ")]
    at = {title: rows[0].index(title) for title in ("given", "cases", "cases/s")}
    given, cases, rates = ([int(row[n]) for row in rows[2:]] for n in at.values())
    inputs = [rate * first / last for rate, first, last in zip(rates, given, cases, strict=True)]
    low, high, middle = (f"{end(rates) / 1e6:.3g}" for end in (min, max, median))
    found = {f"of {len(rates)} designs, cases/s are {low} M to {high} M, {middle} M in the median",
             f"the median is {median(inputs) / 1e6:.3g} M"}
    pairs = [line.split("|") for line in (docs / "reports" / "all-pairs.md").read_text().splitlines() if line.startswith("| multiply_")]
    posit, bfloat = (float(row[5]) for row in pairs)
    found |= {f"{posit} M products of posit(16,1) and {bfloat} M of bfloat16",
              f"{posit / LANES:.1f} M and {bfloat / LANES:.1f} M evaluations"}
    text = " ".join((docs / "verification.md").read_text().split())
    assert [sentence for sentence in found if sentence not in text] == []


def test_step_that_takes_too_long(tmp_path, monkeypatch):
    def simulated(design, verdict, plan):
        time.sleep(60)

    def proved(design, verdict, plan):
        verdict.assertions = 1
    monkeypatch.setattr(steps, "STEPS", (simulated, proved))
    verdict = steps.verify(SKID, Plan(folder=tmp_path, mutants=0, limit=0.1))
    assert verdict.failures == ["simulated: not done after 0.1 s"]
    assert verdict.assertions == 1


def test_bench_that_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "run", lambda designs, folder: time.sleep(60))
    assert steps.bench([SKID], Plan(folder=tmp_path, limit=0.1)) == {"skid": (0, ("not done after 0.1 s",))}


def test_kept(tmp_path):
    results = Kept(tmp_path, "x")
    assert results.get("abc") is None
    results.put("abc", {"cases": 3})
    assert Kept(tmp_path, "x").get("abc") == {"cases": 3}
    assert Kept(tmp_path, "y").get("abc") is None


def test_what_passed_is_not_done_again(tmp_path, monkeypatch):
    plan = Plan(folder=tmp_path, least=1000, mutants=0, keep=True)
    done = []

    def simulated(design, verdict, plan):
        done.append(design.name)
        verdict.simulated = 3
    monkeypatch.setattr(steps, "STEPS", (simulated,))
    first, second = steps.verify(SKID, plan), steps.verify(SKID, plan)
    assert done == ["skid"]
    assert (first.simulated, first.again, first.steps) == (3, 0, 1)
    assert (second.simulated, second.again, second.steps) == (3, 1, 1)
    assert steps.verify(SKID, replace(plan, least=2000)).again == 0


def test_what_failed_is_done_again(tmp_path, monkeypatch):
    def simulated(design, verdict, plan):
        verdict.simulated = 3
        raise AssertionError("wrong")
    monkeypatch.setattr(steps, "STEPS", (simulated,))
    for _ in range(2):
        verdict = steps.verify(SKID, Plan(folder=tmp_path, mutants=0, keep=True))
        assert verdict.failures == ["simulated: wrong"]
        assert verdict.again == 0


def test_bench_is_not_run_again(tmp_path, monkeypatch):
    asked = []

    def ran(designs, *, folder):
        asked.append([design.name for design in designs])
        return {design.name: run.Outcome(passed=3, failures=("late",) * (design.name != "skid"), measured=None) for design in designs}
    monkeypatch.setattr(run, "run", ran)
    for _ in range(2):
        outcomes = steps.bench([SKID, find("queue_d1")], Plan(folder=tmp_path, keep=True))
        assert outcomes == {"skid": (3, ()), "queue_d1": (3, ("late",))}
    assert asked == [["skid", "queue_d1"], ["queue_d1"]]


def double(n):
    return 2 * n


@pytest.mark.parametrize("jobs", [1, 2])
def test_outcomes(jobs):
    assert sorted(outcomes(double, range(5), jobs)) == [0, 2, 4, 6, 8]


def test_command(tmp_path, capsys):
    report = tmp_path / "report.md"
    options = ["skid", "--mutants", "0", "--jobs", "1", "-o", str(FOLDER), "--report", str(report)]
    assert verify.main(options) == 0
    assert "* no mutants: not part of this run" in report.read_text()
    assert verify.main(options) == 0
    assert "of which 4 of 4 steps were kept from before" in report.read_text()
    assert "`mantissa verify skid --mutants 0`" in report.read_text()
    capsys.readouterr()
    assert verify.main(["skid", "--mutants", "-1"]) == 1
    assert verify.main(["skid", "--limit", "0"]) == 1
    assert capsys.readouterr().err == ("mantissa.sim_tb.verify: Mutants must be at least 0 and jobs 1, not -1 and 2\n"
                                       "mantissa.sim_tb.verify: Limit must be more than 0 s, not 0\n")


def test_stopped_campaign_says_so(tmp_path, monkeypatch):
    def stopping(function, items, jobs):
        yield function(items[0])
        raise KeyboardInterrupt
    monkeypatch.setattr(mutate, "outcomes", stopping)
    report = tmp_path / "report.md"
    assert mutate.main(["skid", "queue_d1", "-n", "5", "-o", str(FOLDER), "--report", str(report)]) == 1
    assert "* stopped after 1 of 2 designs" in report.read_text()
    assert "stream: 1 of 10 designs" in report.read_text()
