"""Design and mutant side by side for ABC: whether an output of theirs ever differs, whatever comes in after the state they begin in.

Sources keep to the stream rules by construction: a miter's input that waits keeps its valid and its payload. What is compared is what a
user of the streams can see: readies, valids, and payloads that are valid. ABC merges what is equal in both (``scorr``: van Eijk,
"Sequential equivalence checking based on structural similarities", 2000) and looks for an invariant of the rest (``pdr``: Een et al.,
"Efficient implementation of property directed reachability", 2011).
"""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
import re
import resource
import shutil
import subprocess
import tempfile
from typing import NamedTuple

from ..design import Design
from ..gen.designs import verilog_of
from . import yosys
from .cut import CUT, CUTTING, Memory, memories
from .mutants import Mutant, apply, models
from .simulate import layouts_of
from .verilator import SELECTOR

__all__ = ["Answer", "Miter", "decide"]

LARGE = 4096
"""Bits of memories up to which they become registers."""

FLAT = """
{library}
hierarchy -check -top {top}
proc
flatten
setundef -init -zero
rename -enumerate -pattern memory_% t:$mem_v2
write_rtlil flat.il
write_json flat.json
"""

SCRIPT = """
read_rtlil flat.il
{cutting}
read_verilog miter.v
hierarchy -check -top miter
proc
flatten
opt_expr
opt_merge
opt_clean
memory_map
async2sync
dffunmap
opt_expr
opt_merge
opt_clean
techmap
opt_expr
opt_merge
opt_clean
dffunmap
setundef -zero -undriven
setundef -init -zero
aigmap
setundef -zero
opt_clean
write_aiger -zinit -map miter.map miter.aig
"""
"""No pass that sees that the register of the mutant's number never changes: what it holds is written into the file for each."""

PROOF = "read_aiger mutant.aig; strash; scleanup; scorr; write_aiger merged.aig; pdr; write_status status"

INSIDE = """
read_verilog <<END
module netlist(input a, input b, output y);
  assign y = a & b;
endmodule
END
simplemap
abc -script +{proof};
"""
"""For the ABC that Yosys has in it, which asks for a netlist afterwards that there is not."""

NATIVE = ("berkeley-abc", "yosys-abc")
"""What ABC is called where it is installed. It is some ten times as fast as the one in the pip package of Yosys."""


class Answer(NamedTuple):
    """``equal`` or not, :data:`None` if ABC can not tell; and, if not, after how many cycles an output differs at the earliest found."""
    equal: bool | None
    cycle: int = 0


class Miter:
    """Decides about mutants of one design.

    Small memories become registers, and all that has no initial value begins at 0, as in simulation. Others are left out: design and
    mutant then have to ask the same of them in every cycle, and get the same, whatever it is. That is quick; but with any left out, a
    mutant can only be proved equal, and none different.

    Parameters
    ----------
    design, mutants
        All that will be asked about.
    work
        Folder for the files.
    most
        Bits of memories, the smallest first, that become registers.
    """

    def __init__(self, design: Design, mutants: Sequence[Mutant], work: Path, *, most: int = LARGE) -> None:
        self.work = work
        width = max(mutant.number for mutant in mutants).bit_length()
        apply(design, mutants, FLAT.format(top=design.name, library=models(design)), work)
        found = memories(work / "flat.json", design.name)
        self.cut = [memory for memory, bits in zip(found, accumulate(memory.bits for memory in found), strict=True) if bits > most]
        (work / "cut.v").write_text(CUT)
        (work / "miter.v").write_text(_miter(design, width, self.cut))
        cutting = CUTTING.format(cells=" ".join(f"c:{memory.name}" for memory in self.cut)) if self.cut else ""
        yosys.run(SCRIPT.format(cutting=cutting), work)
        self.before, self.latches, self.after = _parts(work / "miter.aig")
        numbers = re.findall(r"^latch (\d+) (\d+) number$", (work / "miter.map").read_text(), re.M)
        self.number = {int(bit): int(latch) for latch, bit in numbers}
        if len(self.number) not in (0, width):              # 0 if nothing is left that depends on it
            raise RuntimeError(f"The miter of {design.name} has {len(self.number)} bits of a mutant's number, not {width}")

    def ask(self, mutant: Mutant, seconds: int) -> Answer:
        """Whether the mutant is the design, if that takes so many seconds of a processor at most."""
        latches = list(self.latches)
        for bit, latch in self.number.items():
            latches[latch] += b" 1" if mutant.number >> bit & 1 else b" 0"
        (self.work / "mutant.aig").write_bytes(b"\n".join([self.before, *latches, self.after]))
        status = self.work / "status"
        status.unlink(missing_ok=True)
        if native := next(filter(None, map(shutil.which, NATIVE)), None):
            subprocess.run([native, "-c", PROOF], cwd=self.work, capture_output=True, check=False,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)))
        else:
            with suppress(RuntimeError, subprocess.TimeoutExpired):         # the first as ABC left no netlist
                yosys.run(INSIDE.format(proof=PROOF.replace("; ", ";").replace(" ", ",")), self.work, log="abc.log", limit=seconds)
        if not status.exists():
            return Answer(None)
        said = status.read_text().split()
        if _parts(self.work / "merged.aig")[2].startswith(b"0\n"):          # all is merged, which Yosys' pdr takes for unknown
            return Answer(True)
        return Answer({"snl_UNSAT": True, "snl_SAT": None if self.cut else False}.get(said[0]), int(said[1]))


def _parts(path: Path) -> tuple[bytes, list[bytes], bytes]:
    """First line of a binary AIGER file, lines of its latches, and what follows: its output to begin with."""
    data = path.read_bytes()
    first, *latches, after = data.split(b"\n", 1 + int(data.split(b"\n", 1)[0].split()[3]))
    return first, latches, after


def decide(design: Design, mutants: Sequence[Mutant], seconds: int, *, most: int = LARGE) -> dict[Mutant, Answer]:
    """What ABC says about each in so many seconds of a processor: without memories, and of what that leaves, with those of so many bits."""
    answers: dict[Mutant, Answer] = {}
    left = list(mutants)
    for bits in (0, most):
        if not left:
            break
        with tempfile.TemporaryDirectory() as scratch:
            miter = Miter(design, left, Path(scratch), most=bits)
            answers |= {mutant: miter.ask(mutant, seconds) for mutant in left}
        left = [mutant for mutant in left if not answers[mutant].equal]
        if not miter.cut or miter.cut[0].bits > most:       # the smallest stays out: the other miter is the same
            break
    return answers


def _miter(design: Design, width: int, cut: Sequence[Memory]) -> str:
    """Verilog of a module with an output that is high when something differs."""
    inputs, outputs = layouts_of(design)
    plain = [name for name in ("clk", "rst") if re.search(rf"^\s*input {name}\b", verilog_of(design), re.M)]
    sides = {side: [f".{SELECTOR}({number})", *(f".{name}({name})" for name in plain)]
             for side, number in (("design", f"{width}'d0"), ("mutant", "number"))}
    ports, differs = ["input clk", "input rst", "output wrong"], []
    body = [f"reg [{width - 1}:0] number;", "always @(posedge clk) number <= number;"]
    wait = "~rst" if "rst" in plain else "1'b1"

    def wires(name: str, bits: int, when: str = "1'b1", pin: str | None = None) -> None:
        """An output of both, compared."""
        for side, pins in sides.items():
            body.append(f"wire [{bits - 1}:0] {side}_{name};")
            pins.append(f".{pin or name}({side}_{name})")
        differs.append(f"{when} & design_{name} != mutant_{name}")

    for port, layout in inputs.items():
        valid, ready, payload = (f"{port}__{part}" for part in ("valid", "ready", "payload"))
        bits = layout.size
        ports.append(f"input {valid}")
        wires(ready, 1)
        body += [f"reg waits_{port} = 0;", f"wire there_{port} = {valid} | waits_{port};",
                 f"always @(posedge clk) waits_{port} <= there_{port} & ~design_{ready} & {wait};"]
        for pins in sides.values():
            pins.append(f".{valid}(there_{port})")
        if bits:
            ports.append(f"input [{bits - 1}:0] {payload}")
            body += [f"reg [{bits - 1}:0] last_{port} = 0;", f"wire [{bits - 1}:0] now_{port} = waits_{port} ? last_{port} : {payload};",
                     f"always @(posedge clk) last_{port} <= now_{port};"]
            for pins in sides.values():
                pins.append(f".{payload}(now_{port})")
    for port, layout in outputs.items():
        valid, ready, payload = (f"{port}__{part}" for part in ("valid", "ready", "payload"))
        ports.append(f"input {ready}")
        for pins in sides.values():
            pins.append(f".{ready}({ready})")
        wires(valid, 1)
        if bits := layout.size:
            wires(payload, bits, f"design_{valid}")
    for n, memory in enumerate(cut):
        ports.append(f"input [{memory.given - 1}:0] given_{n}")
        wires(f"asked_{n}", memory.asked, pin=f"\\{memory.name}.cut_asked ")
        for pins in sides.values():
            pins.append(f".\\{memory.name}.cut_given (given_{n})")
    body += [f"assign wrong = {' | '.join(f'({text})' for text in differs)};",
             *(f"{design.name} {side}({', '.join(pins)});" for side, pins in sides.items())]
    return "\n".join([f"module miter({', '.join(ports)});", *body, "endmodule", ""])
