"""Placement and routing, in one go or apart."""
from __future__ import annotations

from collections.abc import Mapping
import json
import re
from pathlib import Path
import shutil
from typing import Any

from . import tools

__all__ = ["critical", "estimate", "fmax", "place", "read", "route"]


def place(netlist: Path, family: str, arguments: list[str], *, seed: int, store: Path, files: Mapping[str, str] | None = None,
          routed: bool = True) -> Path:
    """Folder under ``store`` with ``placed.json``, ``place.log`` and, if ``routed``, ``report.json``.

    Timing that does not close is not a failure here: look at the report, or before routing at the estimate.

    Parameters
    ----------
    netlist
        Mended netlist.
    family
        Name of the FPGA family.
    arguments
        Device, package, constraints, target frequency.
    seed
        Placer's seed.
    files
        Constraint files by name.
    routed
        Whether to route too.

    Raises
    ------
    ToolError
        If nextpnr fails.
    """
    name = f"nextpnr-{family}"
    options = [*arguments, "--seed", str(seed), "--timing-allow-fail", *["--no-route"] * (not routed)]

    def make(folder: Path) -> None:
        shutil.copy(netlist, folder / "netlist.json")
        for path, text in (files or {}).items():
            (folder / path).write_text(text)
        tools.run(name, ["--quiet", "--log", "place.log", "--json", "netlist.json", "--write", "placed.json",
                         "--report", "report.json", *options], folder)
        (folder / "netlist.json").unlink()

    key = tools.digest("placement 1", netlist.read_bytes(), options, dict(files or {}), tools.version(name))
    return tools.cached(store / "placement", key, make)


def route(placed: Path, family: str, arguments: list[str], *, store: Path, files: Mapping[str, str], output: str) -> Path:
    """Route what :func:`place` placed: folder under ``store`` with ``report.json``, ``placed.json``, ``route.log`` and ``output``.

    Parameters
    ----------
    placed
        Folder of the placement, not routed.
    family, arguments, files
        As for the placement.
    output
        File to configure the device from, before packing.

    Raises
    ------
    ToolError
        If nextpnr fails.
    """
    name = f"nextpnr-{family}"
    options = [*arguments, "--no-pack", "--no-place", "--timing-allow-fail", "--textcfg" if family == "ecp5" else "--asc", output]

    def make(folder: Path) -> None:
        shutil.copy(placed / "placed.json", folder / "netlist.json")
        for path, text in files.items():
            (folder / path).write_text(text)
        tools.run(name, ["--quiet", "--log", "route.log", "--json", "netlist.json", "--write", "placed.json", "--report", "report.json",
                         *options], folder)
        (folder / "netlist.json").unlink()

    key = tools.digest("routing 1", (placed / "placed.json").read_bytes(), options, dict(files), tools.version(name))
    return tools.cached(store / "routing", key, make)


def estimate(placed: Path) -> dict[str, tuple[float, float]]:
    """What nextpnr expects of a placement before it is routed: frequency and the one asked for, MHz, of each clock."""
    found = re.findall(r"Max frequency for clock +'(.*?)': +([\d.]+) MHz \(\w+ at ([\d.]+) MHz\)", (placed / "place.log").read_text())
    return {clock: (float(reached), float(asked)) for clock, reached, asked in found if not clock.startswith("$PACKER_GND")}


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
