"""What is done around ECP5 multipliers after synthesis: which registers go into them, and which operands move up."""
from __future__ import annotations

import json

import pytest

from mantissa.fpga.dsp import absorb, align
from mantissa.fpga.netlist import cells, top_of
from mantissa.fpga.synth import Recipe, synthesise

PRODUCT = """
module product(input clk, input rst, input en, input signed [7:0] a, input signed [7:0] b, output reg signed [15:0] p{ports});
  reg signed [7:0] x{init}, y;
  always @(posedge clk) begin
    {body}
  end
  {more}
endmodule
"""
PLAIN = "x <= a; y <= b; p <= x * y;"


def made(store, body=PLAIN, ports="", init="", more=""):
    path = synthesise(PRODUCT.format(body=body, ports=ports, init=init, more=more), "product", Recipe(family="ecp5"), store=store)
    module = top_of(json.loads(path.read_text()))
    (multiplier,) = (cell for cell in module["cells"].values() if cell["type"] == "MULT18X18D")
    registers = {name for name in ("REG_INPUTA", "REG_INPUTB", "REG_PIPELINE", "REG_OUTPUT")
                 if multiplier["parameters"].get(f"{name}_CLK", "NONE") != "NONE"}
    return module, multiplier, registers


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("netlists")


@pytest.mark.parametrize("body, extra, taken, left", [
    (PLAIN, {}, {"REG_INPUTA", "REG_INPUTB", "REG_OUTPUT"}, 0),
    ("if (en) begin x <= a; y <= b; p <= x * y; end", {}, {"REG_INPUTA", "REG_INPUTB", "REG_OUTPUT"}, 0),
    ("x <= a; y <= b; p <= x * y; if (rst) x <= 0;", {}, {"REG_INPUTB", "REG_OUTPUT"}, 8),
    ("x <= a; y <= b; p <= x * y; if (rst) p <= 0;", {}, {"REG_INPUTA", "REG_INPUTB"}, 16),
    (PLAIN, {"init": " = 1"}, {"REG_INPUTB", "REG_OUTPUT"}, 8),
    (PLAIN, {"ports": ", output signed [15:0] q", "more": "assign q = x * y;"}, {"REG_INPUTA", "REG_INPUTB"}, 16),
    (PLAIN, {"ports": ", output signed [7:0] q", "more": "assign q = x;"}, {"REG_INPUTA", "REG_INPUTB", "REG_OUTPUT"}, 8),
], ids=["plain", "enabled", "operand reset", "product reset", "starts as 1", "product read twice", "operand read twice"])
def test_registers_that_fit_are_the_multipliers(store, body, extra, taken, left):
    module, _, registers = made(store, body, **extra)
    assert registers == taken
    assert cells(module)["TRELLIS_FF"] == left
    assert absorb(module) == 0, "nothing is left to take"


def test_operands_are_in_the_upper_bits(store):
    module, multiplier, _ = made(store)
    pins = multiplier["connections"]
    for side in "AB":
        assert [pins[f"{side}{n}"] for n in range(10)] == [["0"]] * 10
        assert len({pins[f"{side}{n}"][0] for n in range(10, 18)} - {"0"}) == 8
    product = [bit for bits in (module["ports"]["p"]["bits"],) for bit in bits]
    assert [pins[f"P{n}"][0] for n in range(20, 36)] == product
    assert align(module) == 0
