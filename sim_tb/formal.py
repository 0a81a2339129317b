"""Proofs by k-induction, for unbounded time, each with covers that must be reached.

``prove`` takes any Amaranth elaboratable that contains ``Assert``, ``Assume`` and ``Cover`` statements, and free inputs:
``AnySeq`` values, or signals given in ``ports``. The reset of the clock domain is one of the free inputs, so that what is
proved holds through a reset at any time::

    class Bounded(Elaboratable):
        def elaborate(self, platform):
            m = Module()
            m.submodules.dut = dut = Counter()
            m.d.comb += [dut.enable.eq(AnySeq(1)), Assert(dut.value < 10), Cover(dut.value == 9)]
            return m

    prove(Bounded(), name="counter", depth=1, cover_depth=12)
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
import hashlib
import json
from pathlib import Path
import re
import shutil
import tempfile
import time
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Signal
from amaranth.lib import wiring

from ..gen.files import write_json
from . import yosys

__all__ = ["Proof", "ProofError", "prove"]

PREPARE = """
read_rtlil {name}.il
{library}
hierarchy -check -top top
proc
flatten
{cut}
opt_clean
memory_nordff
async2sync
chformal -assume -early
chformal -lower
opt_clean
formalff -setundef -clk2ff -ff2anyinit -hierarchy
opt_clean
check
setundef -undriven -anyseq
opt -fast
opt_clean
hierarchy -smtcheck
dffunmap
write_smt2 -wires {name}.smt2
"""


class ProofError(AssertionError):
    """A property that does not hold or is not inductive at the depth given, or a cover that is not reached."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was proved."""
    name: str
    assertions: int
    covers: int
    depth: int
    seconds: float
    cached: bool


def prove(module: Any, *, name: str, depth: int = 2, cover_depth: int | None = 20, witnessed: int = 0,
          ports: Sequence[Signal] | None = None,
          cut: bool = False, library: Sequence[Path] = (), folder: Path | None = None) -> Proof:
    """Prove every ``Assert`` of ``module`` and reach every ``Cover``.

    Parameters
    ----------
    name
        Identifier, for files and messages.
    depth
        k: the base case covers the first k cycles, the step assumes k good ones.
    cover_depth
        Cycles within which the covers must be reached; :data:`None` leaves them to a simulation.
    witnessed
        Covers that simulation has reached, with ``cover_depth`` :data:`None`.
    ports
        Signals left free, besides ``AnySeq`` values and the ports of a component.
    cut
        Whether the results of multiplications of two variables become arbitrary, which keeps the solver out of them: sound for
        assertions, as it can only make one harder to hold; a reached cover then speaks of the control alone.
    library
        Verilog models of instances the module contains.
    folder
        Keeps results by digest of the model, so that a proof done once is not done again, and in ``<name>.failed`` the model and
        the traces of one that failed. Without it, nothing is kept.

    Raises
    ------
    ProofError
        If an assertion fails or is not inductive, a cover is out of reach, or there are no assertions or no covers.
    """
    if depth < 1 or (cover_depth is not None and cover_depth < 1):
        raise ValueError(f"Proof depths must be positive, not {depth} and {cover_depth}")
    if cover_depth is None and witnessed < 1:
        raise ProofError(f"Proof {name} must have covers reached in simulation, not {witnessed}")
    free = {} if ports is None and isinstance(module, wiring.Component) else {"ports": list(ports or ())}
    text = rtlil.convert(module, name="top", **free)
    models = [path.read_text() for path in library]
    digest = hashlib.sha256(json.dumps([text, depth, cover_depth or -witnessed, cut, models, PREPARE]).encode()).hexdigest()
    record = folder / f"{name}.proof.json" if folder else None
    if record and record.is_file() and (kept := json.loads(record.read_text()))["digest"] == digest:
        return Proof(**{**kept["proof"], "cached": True})
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{name}-") as scratch:
        try:
            proof = _prove(text, name, depth, cover_depth or -witnessed, cut, models, Path(scratch))
        except ProofError:
            if folder:
                shutil.copytree(scratch, folder / f"{name}.failed", dirs_exist_ok=True)
            raise
    if record:
        write_json(record, {"digest": digest, "proof": vars(proof)})
    return proof


def _prove(text: str, name: str, depth: int, cover_depth: int, cut: bool, models: Sequence[str], folder: Path) -> Proof:
    start = time.monotonic()
    (folder / f"{name}.il").write_text(_marked(text) if cut else text)
    for n, model in enumerate(models):
        (folder / f"{name}.{n}.v").write_text(model)
    cuts = "cutpoint a:mantissa_cut" if cut and "mantissa_cut" in _marked(text) else ""
    script = partial(PREPARE.format, name=name, library="\n".join(f"read_verilog {name}.{n}.v" for n in range(len(models))))
    try:
        yosys.run(script(cut=cuts), folder, log=f"{name}.log")
    except RuntimeError as error:
        if "logic loop" not in str(error):
            raise
        yosys.run(script(cut=f"{cuts}\nsimplemap"), folder, log=f"{name}.log")       # a loop of words, such as a carry's, is none of bits
    smt = (folder / f"{name}.smt2").read_text()
    assertions, covers = (len(re.findall(rf"^; yosys-smt2-{kind} ", smt, re.M)) for kind in ("assert", "cover"))
    if cover_depth < 0:
        covers = -cover_depth                       # reached elsewhere
    if not assertions or not covers:
        raise ProofError(f"Proof {name} must have assertions and covers, not {assertions} and {covers}")
    _base(name, depth, folder)
    _step(name, depth, folder)
    if cover_depth > 0:
        _covers(name, cover_depth, covers, folder)
    return Proof(name=name, assertions=assertions, covers=covers, depth=depth, seconds=round(time.monotonic() - start, 2), cached=False)


def _marked(text: str) -> str:
    """The design with an attribute on every multiplication of two variables; one by a constant is address arithmetic."""
    def mark(match: re.Match[str]) -> str:
        return match[0] if re.search(r"connect \\[AB] \d+'", match[0]) else f"attribute \\mantissa_cut 1\n{match[0]}"
    return re.sub(r"^ *cell \$mul .*?^ *end$", mark, text, flags=re.M | re.S)


def _said(lines: Iterable[str], *words: str) -> str:
    found = [line.split("]", 1)[-1].strip(" #") for line in lines if any(word in line for word in words)]
    return "; ".join(found[:3]) or "no reason given"


def _base(name: str, depth: int, folder: Path) -> None:
    passed, lines = yosys.smtbmc(f"{name}.smt2", folder, "-t", str(depth + 1), "--dump-vcd", f"{name}.vcd")
    if not passed:
        raise ProofError(f"Proof {name} fails within {depth + 1} cycles of reset: {_said(lines, 'Assert failed', 'PREUNSAT')}")


def _step(name: str, depth: int, folder: Path) -> None:
    passed, lines = yosys.smtbmc(f"{name}.smt2", folder, "-i", "-t", str(depth), "--dump-vcd", f"{name}.induction.vcd")
    if not passed:
        raise ProofError(f"Proof {name} is not inductive at depth {depth}: {_said(lines, 'Assert failed')}")


def _covers(name: str, depth: int, count: int, folder: Path) -> None:
    passed, lines = yosys.smtbmc(f"{name}.smt2", folder, "-c", "-t", str(depth))
    reached = sum("Reached cover statement" in line for line in lines)
    if not passed or reached != count:
        raise ProofError(f"Proof {name} reaches {reached} of {count} covers in {depth} cycles: {_said(lines, 'Unreached cover')}")
