"""The stream contract of any component, to be proved, and its combinational paths, to be looked at."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
from pathlib import Path
import tempfile
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cat, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
import numpy as np

from ..design import Design
from ..hw.array_weight import WeightStationary
from ..hw.engine import Accumulate
from ..hw.mac_wide import MacWide
from ..hw.payload import ports
from ..hw.stream import Queue
from . import yosys
from .formal import Proof, ProofError, prove
from .simulate import raw_streams, simulate

__all__ = ["INVARIANTS", "Contract", "paths", "prove_contract", "steady"]


def steady(m: Module, port: stream.Interface, *, name: str) -> tuple[Signal, Signal]:
    """(kept, waited): whether ``port`` now keeps what it offered and nobody took in the last cycle; whether there was such.

    To be asserted of outputs and assumed of inputs. A reset makes the port forget.
    """
    waited, kept = Signal(name=f"{name}_waited"), Signal(name=f"{name}_kept")
    last = Signal(len(port.payload.as_value()), name=f"{name}_last")
    m.d.sync += [waited.eq(port.valid & ~port.ready), last.eq(port.payload.as_value())]
    m.d.comb += kept.eq(~waited | (port.valid & (port.payload.as_value() == last)))
    return kept, waited


def _queue(dut: Queue) -> list[Value]:
    held = dut.first + dut.level
    return [dut.level <= dut.depth, dut.first < dut.depth, dut.next == Mux(held >= dut.depth, held - dut.depth, held),
            ~dut.o.valid | (dut.level != 0)]


def _array(dut: WeightStationary) -> list[Value]:
    return _queue(dut.queue) if dut.queue else []


def _wide(dut: MacWide) -> list[Value]:
    """One sum at most is between the lowest segment and the output, and the registers are its own."""
    busy = Cat(dut.finishing[1:], dut.o.valid)
    return [dut.kept == busy.any(), (busy & (busy - 1)) == 0]


INVARIANTS: dict[type, Callable[[Any], Iterable[Value]]] = {
    Queue: _queue, WeightStationary: _array, Accumulate: lambda dut: _queue(dut.queue), MacWide: _wide}
"""What makes a component's contract inductive: proved along with it."""


class Contract(Elaboratable):
    """A component whose inputs do anything the stream rules allow, and whose outputs must follow them.

    Asserts that on every output valid does not fall, nor the payload change, before the transfer. Inputs that are not streams
    are arbitrary. With ``covers``: for every output, a transfer, and one that had to wait.
    """

    def __init__(self, component: wiring.Component, *, covers: bool = True) -> None:
        self.component = component
        self.covers = covers

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.component
        inputs, outputs = ports(dut)
        for name in inputs:
            i = getattr(dut, name)
            m.d.comb += [i.valid.eq(AnySeq(1)), i.payload.as_value().eq(AnySeq(len(i.payload.as_value())))]
            kept, _ = steady(m, i, name=name)
            m.d.comb += Assume(kept)
        for name in outputs:
            o = getattr(dut, name)
            m.d.comb += o.ready.eq(AnySeq(1))
            kept, waited = steady(m, o, name=name)
            m.d.comb += Assert(kept)
            if self.covers:
                m.d.comb += [Cover(o.valid & o.ready), Cover(o.valid & o.ready & waited)]
        for rule in INVARIANTS.get(type(dut), lambda _: ())(dut):
            m.d.comb += Assert(rule)
        for name, member in dut.signature.members.items():
            if member.is_port and member.flow is wiring.In:
                signal = getattr(dut, name)
                m.d.comb += Value.cast(signal).eq(AnySeq(len(Value.cast(signal))))
        return m


def prove_contract(design: Design, *, depth: int = 2, library: Sequence[Path] = (), folder: Path | None = None) -> Proof:
    """Prove the stream contract of ``design``, multipliers cut, and that no output's valid or payload looks at any ready.

    The covers, a transfer and a transfer that had to wait on every output, are reached by simulation of its stimulus.

    Raises
    ------
    ProofError
        If it does not hold.
    """
    for start, ends in paths(design.component(), library=library).items():
        wrong = [end for end in ends if start.endswith(".ready") and not end.endswith(".ready")]
        if wrong:
            raise ProofError(f"Proof {design.name} has a combinational path from {start} to {wrong[0]}")
    witnessed = _witness(design)

    def attempt(cut: bool) -> Proof:
        return prove(Contract(design.component(), covers=False), name=design.name, depth=depth, cover_depth=None, witnessed=witnessed,
                     cut=cut, library=library, folder=folder)
    try:
        return attempt(True)
    except ProofError:
        return attempt(False)                       # a product that goes straight to an output needs its multiplier


def _witness(design: Design) -> int:
    """Covers that a simulation with stalls reaches: two an output."""
    sent, want = raw_streams(design, design.stimulus(np.random.default_rng(2)), 100)
    waited: dict[str, int] = {}
    simulate(design.described(), sent, {port: len(rows) for port, rows in want.items()}, stall="random", waited=waited)
    for port in want:
        if not waited.get(port):
            raise ProofError(f"Proof {design.name} has no transfer on {port} that had to wait")
    return 2 * len(want)


def paths(component: wiring.Component, *, library: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Combinational paths of a component between its streams: from each ``port.signal`` to every one it reaches."""
    text = rtlil.convert(component, name="top", emit_src=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "top.il").write_text(text)
        script = "read_rtlil top.il\n"
        for n, model in enumerate(library):
            (folder / f"{n}.v").write_text(model.read_text())
            script += f"read_verilog {n}.v\n"
        yosys.run(script + "hierarchy -top top\nproc\nflatten\nopt_clean\nwrite_json top.json\n", folder)
        module = json.loads((folder / "top.json").read_text())["modules"]["top"]
    return _reach(module)


def _reach(module: Mapping) -> dict[str, list[str]]:
    next_bits: dict[object, set[object]] = {}
    for cell in module["cells"].values():
        for source, drains in _edges(cell):
            for bit in source:
                next_bits.setdefault(bit, set()).update(drains)
    out: dict[str, list[str]] = {}
    names = {name: port["bits"] for name, port in module["ports"].items() if "__" in name}
    for name, port in module["ports"].items():
        if port["direction"] != "input" or "__" not in name:
            continue
        seen, todo = set(port["bits"]), list(port["bits"])
        while todo:
            fresh = next_bits.get(todo.pop(), set()) - seen
            seen |= fresh
            todo += fresh
        ends = [end for end, bits in names.items() if module["ports"][end]["direction"] == "output" and seen & set(bits)]
        if ends:
            out[name.replace("__", ".")] = [end.replace("__", ".") for end in ends]
    return out


def _edges(cell: Mapping) -> list[tuple[list, list]]:
    """(inputs, outputs) of a cell between which a value can pass without a clock edge."""
    kind, wires, direction = cell["type"], cell["connections"], cell["port_directions"]
    if kind in ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$memwr_v2", "$meminit_v2"):
        return []
    if kind == "$memrd_v2":
        return [] if int(cell["parameters"]["CLK_ENABLE"], 2) else [(wires["ADDR"], wires["DATA"])]
    into = [bit for port, bits in wires.items() if direction[port] != "output" for bit in bits if isinstance(bit, int)]
    return [(into, [bit for port, bits in wires.items() if direction[port] != "input" for bit in bits])]
