# amaranth: UnusedElaboratable=no
"""What the emitter writes, and that the compiled harness finds what is wrong."""
from dataclasses import replace
import hashlib
import json
from pathlib import Path
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.lib import data

from mantissa.config import load
from mantissa.gen import emit, emit_all
from mantissa.gen.__main__ import main
from mantissa.gen.designs import MEASURED
from mantissa.gen.headers import c_header, tables
from mantissa.hw.catalog import CATALOG, find
from mantissa.hw.payload import used
from mantissa.program import TABLE
from mantissa.registers import REGISTERS
from mantissa.sim_tb import exhaustive, netlist, run
from mantissa.sim_tb.verilator import Harness, HarnessError
from mantissa.sim_tb.verify import Verdict, _closed

FOLDER = Path(__file__).parent.parent / "build" / "verify"
SKID = find("skid")


def test_emit(tmp_path):
    emitted = emit(SKID, tmp_path)
    text = emitted.verilog.read_text()
    about = json.loads((tmp_path / "skid.json").read_text())
    assert "module skid(" in text
    assert about["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert about["streams"]["i"]["fields"] == [{"name": "data", "low": 0, "width": 8, "signed": True, "shape": []},
                                               {"name": "tag", "low": 8, "width": 4, "signed": False, "shape": []}]
    assert about["interface"]["members"]["o"]["members"]["payload"]["dir"] == "out"
    sheet = (tmp_path / "skid.md").read_text()
    assert "Register slice" in sheet
    assert "Latency and throughput: not measured." in sheet
    assert not list(tmp_path.glob(".*"))


def test_measured_goes_into_manifest(tmp_path):
    sha = emit(SKID, tmp_path).entry["sha256"]
    (tmp_path / MEASURED).write_text(json.dumps({sha: {"port": "o", "latency": 1, "throughput": 1.0}}))
    manifest = json.loads(emit_all([SKID, find("queue_d1")], tmp_path).read_text())
    assert manifest["skid"]["measured"]["latency"] == 1
    assert manifest["queue_d1"]["measured"] is None
    assert "Latency: 1 cycles" in (tmp_path / "skid.md").read_text()


def test_every_datasheet_says_something():
    for design in CATALOG:
        assert type(used(design.component())).__doc__, design.name
        assert design.summary, design.name


def test_command_line(tmp_path, capsys):
    assert main(["skid", "-o", str(tmp_path)]) == 0
    assert "wrote 1 designs" in capsys.readouterr().out
    assert main(["skidd", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "mantissa gen: Design must be one of the catalogue's, not 'skidd' (skid comes near)\n"
    assert main(["skid", "--config", "sim", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "mantissa gen: Either designs or a configuration can be generated, not both 'skid' and 'sim'\n"
    assert main(["--config", "nosuch", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("mantissa gen: Configuration must be a .toml file or one of ")


def test_header_compiles(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "accelerator.h").write_text(c_header(load("sim")))
    checks = [f"_Static_assert(MANTISSA_REG_{r.name} == {r.address}, \"\");" for r in REGISTERS]
    checks += [f"_Static_assert(MANTISSA_INS_{f.name.upper().replace('.', '_')}_BIT == {f.low}, \"\");" for f in TABLE]
    (tmp_path / "check.c").write_text('#include "accelerator.h"\n' + "\n".join(checks) + "\nint main(void) { return 0; }\n")
    subprocess.run([compiler, "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "check.c"], cwd=tmp_path, check=True)


def test_tables():
    about = json.loads(json.dumps(tables(load("sim"))))
    assert [f["name"] for f in about["instruction"]] == [f.name for f in TABLE]
    assert [r["name"] for r in about["registers"]] == [r.name for r in REGISTERS]
    assert about["config"]["array"] == load("sim").array


def flipped(streams):
    wrong = np.array(streams["i"]["tag"])
    wrong[(wrong == 5) & (streams["i"]["data"] == -3)] ^= 1
    return {"o": {**streams["i"], "tag": wrong}}


@pytest.mark.parametrize("make", [exhaustive.harness, netlist.netlist_harness], ids=["verilog", "netlist"])
def test_harness_finds_the_one_wrong_input(make):
    model = make(SKID, folder=FOLDER, optimize=0)
    assert exhaustive.run_cases(SKID, model, least=4096).count == 4096
    with pytest.raises(AssertionError, match=r"^skid: transaction \d+ of o has \{'tag': 5\}, golden says \{'tag': 4\}; "
                                             r"transaction \d+ of the inputs is \{'i': \{'data': -3, 'tag': 5\}\}$"):
        exhaustive.run_cases(replace(SKID, golden=flipped), model, least=4096)


def test_harness_counts_nothing_as_failure():
    model = exhaustive.harness(SKID, folder=FOLDER, optimize=0)
    nothing = {"i": {"data": np.zeros(0, np.int64), "tag": np.zeros(0, np.int64)}}
    with pytest.raises(AssertionError, match=r"^skid: no case was compared$"):
        exhaustive.run_cases(replace(SKID, stateless=False, stimulus=lambda rng: nothing), model, least=10)


BROKEN = """
module broken(clk, rst, i__valid, i__payload, i__ready, o__valid, o__payload, o__ready);
  input clk;
  input rst;
  input i__valid;
  input [7:0] i__payload;
  output i__ready;
  output o__valid;
  output [7:0] o__payload;
  input o__ready;
  {body}
endmodule
"""


@pytest.mark.parametrize("body, stall, message", [
    ("reg [7:0] n = 0; always @(posedge clk) n <= n + 1; assign o__valid = i__valid, i__ready = o__ready, o__payload = n;", "random",
     r"^broken: o dropped or changed what it offered, in cycle \d+, stalls random$"),
    ("assign o__valid = i__valid & o__ready & 0, i__ready = 0, o__payload = 0;", "none",
     r"^broken: nothing moved for 10000 cycles; gave \{'o': 0\} of \{'o': 20\}, in cycle \d+, stalls none$"),
    ("assign o__valid = 1, i__ready = 1, o__payload = 0;", "none", r"^broken: o gave more than 20, in cycle \d+, stalls none$"),
])
def test_harness_finds_broken_streams(body, stall, message):
    layout = data.StructLayout({"data": 8})
    text = BROKEN.replace("{body}", body)
    model = Harness(text, "broken", {"i": layout}, {"o": layout}, folder=FOLDER, optimize=0)
    with pytest.raises(HarnessError, match=message):
        model.run({"i": np.arange(20, dtype=np.uint32).reshape(-1, 1)}, {"o": 20}, stall=stall)


def test_bench_finds_what_is_wrong(monkeypatch, tmp_path):
    """Verilog that is not the design's: the bench must say so."""
    right = run.verilog_of(SKID)
    body = right.replace("o__payload <= ", "o__payload <= 12'd1 ^ ", 1)
    assert body != right
    monkeypatch.setattr(run, "verilog_of", lambda design: body)
    outcome = run.run([SKID], folder=FOLDER / "wrong")["skid"]
    assert outcome.passed == 0
    assert len(outcome.failures) == 3
    assert "golden says" in outcome.failures[0]


def test_unknown_family(tmp_path):
    with pytest.raises(ValueError, match=r"^Family must be one of ecp5, ice40, not 'gowin'$"):
        netlist.synthesise("", "x", folder=tmp_path, family="gowin")


def test_unknown_simulator(tmp_path):
    with pytest.raises(ValueError, match=r"^Simulator must be one of verilator, icarus, not 'vcs'$"):
        run.run([SKID], folder=tmp_path, simulator="vcs")


def test_nothing_done_is_a_failure():
    verdict = Verdict(name="x", simulated=1, cases=1, netlist=1, assertions=1, covers=1)
    _closed(verdict)
    assert verdict.failures == ["bench: nothing was done"]
