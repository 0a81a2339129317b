"""Synthesis: Verilog to a placeable netlist, by one recipe that is printed beside every number."""
from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from pathlib import Path
import re

from . import tools
from .family import family
from .netlist import top_of

__all__ = ["Recipe", "forget", "synthesise"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of synthesis.

    Parameters
    ----------
    family
        One of :data:`~mantissa.fpga.family.FAMILIES`.
    dsp
        Whether multipliers may go to DSPs; cells that a design instantiates stay.
    read_write_check
        Whether a memory that is read and written at one address in one cycle must behave as the Verilog does, which costs
        LUTs and registers per port; where the design never uses such a value, it need not.
    forget_memory
        Whether memories that are written and start as zeros may start with anything: single-ported RAM can not be initialised.
    """
    family: str
    dsp: bool = True
    read_write_check: bool = True
    forget_memory: bool = False

    def __post_init__(self) -> None:
        family(self.family)

    @property
    def command(self) -> str:
        """The synthesis command."""
        known = family(self.family)
        options = [known.synthesis, known.dsp if self.dsp else known.no_dsp, "" if self.read_write_check else "-no-rw-check"]
        return " ".join(option for option in options if option)

    def script(self, top: str) -> str:
        """Yosys script that reads ``design.v`` and writes ``netlist.json``."""
        return f"read_verilog design.v\n{self.command} -top {top}\nwrite_json netlist.json\n"


def forget(verilog: str) -> str:
    """Amaranth's Verilog without the initial values of the memories that are written and start as zeros.

    On the text, because Yosys makes read-only memories of its own out of case statements, whose content must stay.
    """
    modules = verilog.split("\nendmodule")
    for n, module in enumerate(modules):
        for name in re.findall(r"^ *reg (?:\[\d+:0\] )?(\\\S+ |\w+) ?\[\d+:0\];$", module, re.MULTILINE):
            escaped = re.escape(name)
            initial = re.compile(rf"^ *{escaped} ?\[\d+\] = (.*);\n", re.MULTILINE)
            written = re.search(rf"^ *(?:if \(.*\) *)?{escaped} ?\[.*\] <=", module, re.MULTILINE)
            if written and all(re.fullmatch(r"\d+'[dhb]0+", value) for value in initial.findall(module)):
                module = initial.sub("", module)
        modules[n] = module
    return "\nendmodule".join(modules)


def synthesise(verilog: str, top: str, recipe: Recipe, *, store: Path) -> Path:
    """Netlist of ``verilog``, carry chains mended, registers moved into multipliers: a JSON file in a folder under ``store`` with the logs.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    script = recipe.script(top)
    verilog = forget(verilog) if recipe.forget_memory else verilog

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(verilog)
        (folder / "synth.ys").write_text(script)
        (folder / "recipe.json").write_text(json.dumps(asdict(recipe)))
        tools.run("yosys", ["-q", "-l", "synth.log", "-s", "synth.ys"], folder, log="yosys.log")
        netlist = json.loads((folder / "netlist.json").read_text())
        for mend in family(recipe.family).mends:
            mend(top_of(netlist))
        (folder / "netlist.json").write_text(json.dumps(netlist))
        (folder / "design.v").unlink()

    key = tools.digest("synthesis 3", verilog, script, tools.version("yosys"))
    return tools.cached(store / "synthesis", key, make) / "netlist.json"
