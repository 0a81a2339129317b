"""Placement and routing."""
from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import shutil
from typing import Any

from . import tools

__all__ = ["critical", "fmax", "place", "read"]


def place(netlist: Path, family: str, arguments: list[str], *, seed: int, store: Path, files: Mapping[str, str] | None = None,
          output: str | None = None) -> Path:
    """Folder under ``store`` with ``report.json``, ``placed.json`` and, if asked for, ``output``.

    Timing that does not close is not a failure here: look at the report.

    Parameters
    ----------
    netlist
        Mended netlist.
    family
        ``"ecp5"`` or ``"ice40"``.
    arguments
        Device, package, constraints, target frequency.
    seed
        Placer's seed.
    files
        Constraint files by name.
    output
        File to configure the device from, before packing.

    Raises
    ------
    ToolError
        If nextpnr fails.
    """
    name = f"nextpnr-{family}"
    options = [*arguments, "--seed", str(seed), "--timing-allow-fail"]
    if output:
        options += ["--textcfg" if family == "ecp5" else "--asc", output]

    def make(folder: Path) -> None:
        shutil.copy(netlist, folder / "netlist.json")
        for path, text in (files or {}).items():
            (folder / path).write_text(text)
        tools.run(name, ["--quiet", "--log", "place.log", "--json", "netlist.json", "--write", "placed.json",
                         "--report", "report.json", *options], folder)
        (folder / "netlist.json").unlink()

    key = tools.digest("placement 1", netlist.read_bytes(), options, dict(files or {}), tools.version(name))
    return tools.cached(store / "placement", key, make)


def fmax(report: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Frequency reached and asked for, MHz, of each clock in nextpnr's report."""
    # DSPs without registers have their clock tied low, which nextpnr-ice40 counts as one
    return {clock: (entry["achieved"], entry["constraint"]) for clock, entry in report["fmax"].items()
            if not clock.startswith("$PACKER_GND")}


def critical(report: Mapping[str, Any]) -> dict[str, Any]:
    """The slowest path between registers: its ends, the nets it takes, and ns spent in cells and in wires."""
    inside = [path["path"] for path in report["critical_paths"] if path["from"] == path["to"]]
    if not inside:
        return {}
    path = max(inside, key=lambda steps: sum(step["delay"] for step in steps))
    wires = [step for step in path if step["type"] == "routing"]
    routing = sum(step["delay"] for step in wires)
    return {"from": path[0]["from"]["cell"], "to": path[-1]["to"]["cell"], "nets": [step["net"] for step in wires],
            "routing_ns": round(routing, 2), "logic_ns": round(sum(step["delay"] for step in path) - routing, 2)}


def read(folder: Path) -> dict[str, Any]:
    """nextpnr's report of a placement."""
    return json.loads((folder / "report.json").read_text())
