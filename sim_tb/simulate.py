"""A design in Amaranth's own simulator: streams in with stalls, streams out."""
from __future__ import annotations

from collections.abc import Callable, Iterator
import random

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import data, wiring
from amaranth.sim import Simulator
import numpy as np

from ..design import Design, Streams
from ..hw.payload import integers, pack, ports, used

__all__ = ["STALLS", "check", "layouts_of", "matches", "pauses", "raw_streams", "simulate"]

STALLS = ("none", "random", "bursty")
"""Stall patterns: never, 30 % of cycles, runs of up to 12 cycles, and a pause now and then of up to 160, by itself."""


def pauses(kind: str, seed: object) -> Iterator[bool]:
    """Whether to pause, cycle by cycle."""
    rng = random.Random(f"{kind} {seed}")
    now = long = False
    while True:
        if kind == "none":
            yield False
        elif kind == "random":
            yield rng.random() < 0.3
        elif kind == "bursty":
            before, now = now, not long and rng.random() < 0.5
            long = now and not before and not rng.randrange(16)
            yield from [now] * rng.randint(1, 160 if long else 12)
        else:
            raise ValueError(f"Stall must be one of {', '.join(STALLS)}, not {kind!r}")


def simulate(component: wiring.Component, sent: dict[str, list[int]], expected: dict[str, int], *, stall: str = "none",
             seed: int = 0, limit: int = 4000, waited: dict[str, int] | None = None,
             cycles: list[int] | None = None, moments: tuple[str, list[int]] | None = None) -> dict[str, list[int]]:
    """Raw payloads on every output, after ``sent`` went into the inputs.

    Waits for ``expected`` payloads an output, or ``limit`` cycles without a transfer, then 50 cycles for any that are too many.
    ``cycles`` is given the cycles until all was there; ``moments``, an input and a list, those in which the input was taken from. With
    ``waited``, counts there, by output, the transfers that had to wait, and stops once there is one on each.
    """
    got: dict[str, list[int]] = {port: [] for port in expected}
    idle, now = [0], [0]

    async def source(ctx, port: str) -> None:
        i, pause = getattr(component, port), pauses(stall, (seed, port))
        for raw in sent[port]:
            while next(pause):
                await ctx.tick()
            ctx.set(i.payload.as_value(), raw)
            ctx.set(i.valid, 1)
            taken = False
            while not taken:
                _, _, taken = await ctx.tick().sample(i.ready)
            ctx.set(i.valid, 0)
            idle[0] = 0
            if moments is not None and port == moments[0]:
                moments[1].append(now[0])

    async def sink(ctx, port: str) -> None:
        o, pause, late = getattr(component, port), pauses(stall, (seed, port)), False
        while True:
            ready = not next(pause)
            ctx.set(o.ready, ready)
            _, _, valid, raw = await ctx.tick().sample(o.valid, o.payload.as_value())
            if valid and ready:
                got[port].append(raw)
                idle[0] = 0
                if waited is not None:
                    waited[port] = waited.get(port, 0) + late
            late = bool(valid and not ready)

    async def count(ctx) -> None:
        while True:
            await ctx.tick()
            now[0] += 1

    async def watch(ctx) -> None:
        while any(len(got[port]) < n for port, n in expected.items()) and idle[0] < limit:
            idle[0] += 1
            if waited is not None and all(waited.get(port) for port in expected):
                return
            await ctx.tick()
            if cycles is not None:
                cycles[0] += 1
        await ctx.tick().repeat(50)

    top = Module()
    top.domains.sync = ClockDomain()                # a component without registers has no clock of its own
    top.submodules.dut = component
    sim = Simulator(top)
    sim.add_clock(1e-6)
    for port in sent:
        sim.add_testbench(_bind(source, port), background=True)
    for port in expected:
        sim.add_testbench(_bind(sink, port), background=True)
    if moments is not None:
        sim.add_testbench(count, background=True)
    sim.add_testbench(watch)
    sim.run()
    return got


def _bind(function: Callable, port: str) -> Callable:
    async def bound(ctx) -> None:
        await function(ctx, port)
    return bound


def matches(name: str, port: str, got: list[int], want: list[int]) -> None:
    """Refuse a stream that is not what the golden function says.

    Raises
    ------
    AssertionError
        With the first transaction that differs.
    """
    for n, (actual, right) in enumerate(zip(got, want, strict=False)):
        if actual != right:
            raise AssertionError(f"{name}: transaction {n} of {port} is {actual:#x}, golden says {right:#x}")
    if len(got) != len(want):
        raise AssertionError(f"{name}: {port} has {len(got)} transactions, golden says {len(want)}")


def layouts_of(design: Design) -> tuple[dict[str, data.Layout], dict[str, data.Layout]]:
    """Payload layouts of a design's input streams and of its output streams, by port; asked once per process."""
    if id(design) not in _LAYOUTS:
        _LAYOUTS[id(design)] = design, ports(used(design.component()))
    return _LAYOUTS[id(design)][1]


_LAYOUTS: dict[int, tuple[Design, tuple[dict[str, data.Layout], dict[str, data.Layout]]]] = {}     # holding the design keeps its id its own


def check(design: Design, *, stall: str, seed: int = 0, most: int | None = None) -> int:
    """Simulate ``design`` on its stimulus against its golden function; transactions compared."""
    streams = design.stimulus(np.random.default_rng(seed))
    sent, want = raw_streams(design, streams, most)
    got = simulate(design.described(), sent, {port: len(rows) for port, rows in want.items()}, stall=stall, seed=seed)
    for port, rows in want.items():
        matches(design.name, port, got[port], rows)
    return sum(len(rows) for rows in want.values())


def raw_streams(design: Design, streams: Streams, most: int | None = None) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Raw payloads of the inputs and, through the golden function, of the outputs.

    ``most`` keeps the first transactions of a stateless design; others need the whole stimulus.
    """
    if most is not None and design.stateless:
        streams = {port: {name: column[:most] for name, column in rows.items()} for port, rows in streams.items()}
    inputs, outputs = layouts_of(design)
    golden = design.golden(streams)
    sent = {port: integers(pack(layout, streams[port])) for port, layout in inputs.items()}
    want = {port: integers(pack(layout, golden[port])) for port, layout in outputs.items()}
    if not sum(len(rows) for rows in want.values()):
        raise AssertionError(f"{design.name}: the golden function gave no transactions to compare")
    return sent, want
