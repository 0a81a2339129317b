"""The one bench for every design: drive its inputs with its stimulus, compare its outputs with its golden function.

Runs inside a Verilog simulator (see :mod:`.run`), on a module ``bench`` that holds one or more designs, each with its own
clock; ``MANTISSA_DESIGNS`` names them. Without stalls it also measures latency and throughput, into ``measured.json``.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

import numpy as np

from ..hw.catalog import find
from .simulate import STALLS, matches, pauses, raw_streams

__all__ = ["matches_golden"]

_DESIGNS = os.environ["MANTISSA_DESIGNS"].split(",")
_MOST = int(os.environ.get("MANTISSA_MOST", "0")) or None
_IDLE = 2000


class _Port:
    """A stream's signals, by their names in the bench module."""

    def __init__(self, dut: Any, design: str, port: str) -> None:
        self.valid, self.ready, self.payload = (getattr(dut, f"{design}__{port}__{part}") for part in ("valid", "ready", "payload"))


class _Bench:
    """One design under one stall pattern."""

    def __init__(self, dut: Any, name: str, stall: str) -> None:
        self.stall = stall
        self.clock, self.reset = getattr(dut, f"{name}__clk"), getattr(dut, f"{name}__rst")
        design = find(name)
        self.sent, self.want = raw_streams(design, design.stimulus(np.random.default_rng(1)), _MOST)
        self.inputs = {port: _Port(dut, name, port) for port in self.sent}
        self.outputs = {port: _Port(dut, name, port) for port in self.want}
        self.got: dict[str, list[int]] = {port: [] for port in self.want}
        self.when: dict[str, list[int]] = {port: [] for port in self.want}
        self.cycle = self.idle = 0

    async def start(self) -> None:
        """Clock and reset, then every stream."""
        cocotb.start_soon(Clock(self.clock, 10, unit="ns").start())
        self.reset.value = 1
        for i in self.inputs.values():
            i.valid.value = i.payload.value = 0
        for o in self.outputs.values():
            o.ready.value = 0
        await RisingEdge(self.clock)
        await RisingEdge(self.clock)
        self.reset.value = 0
        for port in self.inputs:
            cocotb.start_soon(self.send(port))
        for port in self.outputs:
            cocotb.start_soon(self.receive(port))

    async def send(self, port: str) -> None:
        i, pause = self.inputs[port], pauses(self.stall, port)
        for raw in self.sent[port]:
            while next(pause):
                i.valid.value = 0
                await RisingEdge(self.clock)
            i.valid.value, i.payload.value = 1, raw
            taken = False
            while not taken:
                await ReadOnly()
                taken = bool(i.ready.value)
                await RisingEdge(self.clock)
            self.idle = 0
        i.valid.value = 0

    async def receive(self, port: str) -> None:
        o, pause = self.outputs[port], pauses(self.stall, port)
        while True:
            ready = not next(pause)
            o.ready.value = int(ready)
            await ReadOnly()
            if ready and o.valid.value:
                self.got[port].append(int(o.payload.value))         # a Logic where it is one bit
                self.when[port].append(self.cycle)
                self.idle = 0
            await RisingEdge(self.clock)

    async def finish(self) -> None:
        """Wait for all that is expected, or until nothing moves, then a while for what is too many."""
        while any(len(self.got[port]) < len(rows) for port, rows in self.want.items()) and self.idle < _IDLE:
            await RisingEdge(self.clock)
            self.cycle += 1
            self.idle += 1
        for _ in range(50):
            await RisingEdge(self.clock)

    def measured(self) -> dict[str, Any]:
        """Latency and throughput of the busiest output."""
        port = max(self.when, key=lambda name: len(self.when[name]))
        cycles = self.when[port]
        span = cycles[-1] - cycles[0]
        return {"port": port, "latency": cycles[0], "throughput": round((len(cycles) - 1) / span, 4) if span else 0.0}


@cocotb.test()
@cocotb.parametrize(name=_DESIGNS, stall=STALLS)
async def matches_golden(dut: Any, name: str, stall: str) -> None:
    """The streams of outputs are the golden function of the streams of inputs, whatever the stalls."""
    bench = _Bench(dut, name, stall)
    await bench.start()
    await bench.finish()
    for port, want in bench.want.items():
        matches(f"{name}, stalls {stall}", port, bench.got[port], want)
    if stall == "none":
        path = Path("measured.json")
        known = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**known, name: {**bench.measured(), "transactions": sum(map(len, bench.want.values()))}}))
