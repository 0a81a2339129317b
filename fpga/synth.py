"""Synthesis: Verilog to a placeable netlist, by one recipe that is printed beside every number."""
from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from pathlib import Path

from . import tools
from .netlist import mend, top_of

__all__ = ["FAMILIES", "Recipe", "synthesise"]

FAMILIES = ("ecp5", "ice40")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of synthesis.

    Parameters
    ----------
    family
        ``"ecp5"`` or ``"ice40"``.
    dsp
        Whether multipliers may go to DSPs; cells that a design instantiates stay.
    read_write_check
        Whether a memory that is read and written at one address in one cycle must behave as the Verilog does, which costs
        LUTs and registers per port; where the design never uses such a value, it need not.
    forget_memory
        Whether memories may start with any content: drops their initial values, which single-ported RAM can not have.
    """
    family: str
    dsp: bool = True
    read_write_check: bool = True
    forget_memory: bool = False

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {self.family!r}")

    @property
    def command(self) -> str:
        """The synthesis command."""
        if self.family == "ecp5":
            options = ["synth_ecp5 -nowidelut"] + ["-nodsp"] * (not self.dsp)
        else:
            options = ["synth_ice40 -device u -spram"] + ["-dsp"] * self.dsp
        return " ".join(options + ["-no-rw-check"] * (not self.read_write_check))

    def script(self, top: str) -> str:
        """Yosys script that reads ``design.v`` and writes ``netlist.json``."""
        steps = [f"read_verilog design.v; hierarchy -top {top}; proc"]
        if self.forget_memory:
            steps.append("delete t:$meminit_v2 t:$meminit")
        steps += [f"{self.command} -top {top}", "write_json netlist.json"]
        return "\n".join(steps) + "\n"


def synthesise(verilog: str, top: str, recipe: Recipe, *, store: Path) -> Path:
    """Netlist of ``verilog``, carry chains mended: a JSON file in a folder under ``store`` with the logs.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    script = recipe.script(top)

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(verilog)
        (folder / "synth.ys").write_text(script)
        (folder / "recipe.json").write_text(json.dumps(asdict(recipe)))
        tools.run("yosys", ["-q", "-l", "synth.log", "-s", "synth.ys"], folder, log="yosys.log")
        netlist = json.loads((folder / "netlist.json").read_text())
        mend(top_of(netlist))
        (folder / "netlist.json").write_text(json.dumps(netlist))
        (folder / "design.v").unlink()

    key = tools.digest("synthesis 1", verilog, script, tools.version("yosys"))
    return tools.cached(store / "synthesis", key, make) / "netlist.json"
