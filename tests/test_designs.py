"""Every design of the catalogue, compiled, against its golden function, and one of each generator held to all else, with short counts.

Everything for every design is ``mantissa verify``'s, and the full counts ``mantissa verify --full``'s.
"""
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from mantissa.hw.catalog import CATALOG, GROUPS
from mantissa.sim_tb import run as bench
from mantissa.sim_tb.contract import prove_contract
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.netlist import netlist_harness
from mantissa.sim_tb.simulate import check
from mantissa.sim_tb.verify import library_of

FOLDER = Path(__file__).parent.parent / "build" / "verify"



def generator(design):
    """Class that a design is an instance of."""
    made = design.component
    while isinstance(made, partial):
        made = made.func
    return made


ONE_EACH = list({generator(design): design for design in reversed(CATALOG)}.values())[::-1]

each_design = pytest.mark.parametrize("design", CATALOG, ids=lambda design: design.name)
each_generator = pytest.mark.parametrize("design", ONE_EACH, ids=lambda design: design.name)


@each_generator
def test_simulated(design):
    assert check(design, stall="random", most=200) > 0


@each_design
def test_compiled(design):
    model = harness(design, folder=FOLDER, optimize=0)
    for stall in ("none", "bursty"):
        cases = run_cases(design, model, least=2000, stall=stall)
        assert cases.exhaustive or max(cases.count, cases.given) >= 2000


@each_generator
def test_netlist(design):
    model = netlist_harness(design, folder=FOLDER)
    cases = run_cases(design, model, least=1000, stall="random")
    assert cases.exhaustive or max(cases.count, cases.given) >= 1000


@each_generator
def test_stream_contract(design):
    proof = prove_contract(design, library=library_of(design), folder=FOLDER)
    assert proof.assertions > 0
    assert proof.covers > 0


@pytest.mark.parametrize("group", GROUPS)
def test_bench(group):
    designs = [design for design in GROUPS[group] if design in ONE_EACH]
    outcomes = bench.run(designs, folder=FOLDER, most=150)
    assert set(outcomes) == {design.name for design in designs}
    for name, outcome in outcomes.items():
        assert not outcome.failures, outcome.failures[0]
        assert outcome.passed == 3, name
