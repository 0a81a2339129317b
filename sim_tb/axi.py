"""Run the bench of the AXI4 master on its generated Verilog."""
from __future__ import annotations

import hashlib
from pathlib import Path
import xml.etree.ElementTree as ElementTree

from amaranth.back import verilog
from cocotb_tools.runner import get_runner

from ..hw.memory_axi import AxiMaster
from .run import ARGUMENTS, alone

__all__ = ["bench_axi"]


def bench_axi(unit: AxiMaster, *, folder: Path, bursts: int = 60) -> dict[str, str]:
    """What came of each case of the bench, by its name: nothing where it passed, or what was wrong.

    Parameters
    ----------
    folder
        Build folder; a build whose sources did not change is used again.
    bursts
        Written, and as many read.
    """
    text = verilog.convert(unit, name="axi_master", emit_src=False)
    work = folder.resolve() / f"axi-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    with alone(work):
        runner = get_runner("verilator")
        if not (work / "built").exists():
            (work / "axi_master.v").write_text(text)
            runner.build(sources=[work / "axi_master.v"], hdl_toplevel="axi_master", build_dir=work, always=True,
                         build_args=ARGUMENTS["verilator"], timescale=("1ns", "1ps"), log_file=work / "build.log")
            (work / "built").touch()
        results = work / "results.xml"
        results.unlink(missing_ok=True)
        try:
            runner.test(hdl_toplevel="axi_master", hdl_toplevel_lang="verilog", test_module="mantissa.sim_tb.axi_bench", build_dir=work,
                        test_dir=work, extra_env={"MANTISSA_MOST": str(bursts), "COCOTB_LOG_LEVEL": "ERROR"}, log_file=work / "test.log",
                        results_xml=str(results))
        except SystemExit:                              # how the runner says, under pytest, that a test failed
            if not results.is_file():
                raise RuntimeError("The simulation of the AXI master ended without results: see test.log") from None
    said = {}
    for case in ElementTree.parse(results).iter("testcase"):
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        said[case.get("name", "")] = "" if problem is None else problem.get("error_msg") or problem.get("message") or "failed"
    return said
