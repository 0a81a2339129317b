"""Bursts through a memory's port in Amaranth's simulator, with stalls, and a chip at the other end where there is one."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import wiring
from amaranth.sim import Simulator

from .sdram_chip import Chip
from .simulate import pauses

__all__ = ["Burst", "Result", "exercise"]


@dataclass(frozen=True)
class Burst:
    """A burst of ``words`` words from ``address`` on, asked for when ``after`` bursts written are done; ``data`` if it is written."""
    address: int
    words: int
    after: int = 0
    data: Sequence[int] = ()


@dataclass
class Result:
    """What came back: words read as (data, last, error), errors of bursts written, cycles until all was there."""
    words: list[tuple[int, int, int]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    cycles: int = 0
    first: int = 0


def exercise(unit: wiring.Component, *, reads: Sequence[Burst] = (), writes: Sequence[Burst] = (), stall: str = "none", seed: int = 0,
             chip: Chip | None = None, delay: int = 0, limit: int = 5000, start: Callable[[Any], Any] | None = None,
             watch: Callable[[Any], Any] | None = None) -> Result:
    """Read and write through ``unit.port`` until all bursts are done.

    Parameters
    ----------
    chip
        At ``unit.pins``, ``delay`` registers before and after it together.
    limit
        Cycles without a transfer after which all is over.
    start
        Whether bursts may begin, of the simulator's context.
    watch
        Called with the context each cycle.

    Raises
    ------
    AssertionError
        If an answer is missing: how many there are.
    Violation
        If the chip's rules are broken.
    """
    port, got, idle = unit.port, Result(), [0]
    expected = sum(burst.words for burst in reads)

    async def begin(ctx) -> None:
        while start is not None and not start(ctx):
            await ctx.tick()
            idle[0] = 0

    async def send(ctx, stream, fields: dict[str, int]) -> None:
        for name, value in fields.items():
            ctx.set(stream.payload[name], value)
        ctx.set(stream.valid, 1)
        taken = False
        while not taken:
            _, _, taken = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)
        idle[0] = 0

    def requests(stream, bursts: Sequence[Burst], name: str):
        async def run(ctx) -> None:
            pause = pauses(stall, (seed, name))
            await begin(ctx)
            for burst in bursts:
                while len(got.done) < burst.after or next(pause):
                    await ctx.tick()
                await send(ctx, stream, {"address": burst.address, "length": burst.words - 1})
        return run

    async def words(ctx) -> None:
        pause = pauses(stall, (seed, "words"))
        for burst in writes:
            for n, word in enumerate(burst.data):
                while next(pause):
                    await ctx.tick()
                await send(ctx, port.write_data, {"data": word, "last": n == burst.words - 1})

    async def answers(ctx) -> None:
        pause = pauses(stall, (seed, "answers"))
        while True:
            ready = not next(pause)
            ctx.set(port.read_data.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(port.read_data.valid, port.read_data.payload)
            if valid and ready:
                got.words.append((payload.data, payload.last, payload.error))
                idle[0] = 0

    async def ends(ctx) -> None:
        pause = pauses(stall, (seed, "ends"))
        while True:
            ready = not next(pause)
            ctx.set(port.write_done.ready, ready)
            _, _, valid, error = await ctx.tick().sample(port.write_done.valid, port.write_done.payload.error)
            if valid and ready:
                got.done.append(error)
                idle[0] = 0

    async def pins(ctx) -> None:
        assert chip is not None
        before = [dict.fromkeys(("enable", "ras", "cas", "we", "bank", "address", "mask", "data", "drive"), 0)] * (delay - delay // 2)
        after = [0] * (delay // 2)
        names = {**dict.fromkeys(("enable", "ras", "cas", "we", "bank", "address", "mask", "drive")), "data_out": None}
        while True:
            _, _, *values = await ctx.tick().sample(*(getattr(unit.pins, name) for name in names))
            before.append({("data" if name == "data_out" else name): value for name, value in zip(names, values, strict=True)})
            driven = chip.cycle(**before.pop(0))
            after.append(0xBAD if driven is None else driven)
            ctx.set(unit.pins.data_in, after.pop(0))

    async def main(ctx) -> None:
        await begin(ctx)
        while (len(got.words) < expected or len(got.done) < len(writes)) and idle[0] < limit:
            idle[0] += 1
            got.cycles += 1
            if not got.words:
                got.first = got.cycles
            if watch is not None:
                watch(ctx)
            await ctx.tick()
        await ctx.tick().repeat(50)

    sim = Simulator(unit)
    sim.add_clock(1e-6)
    for run in (requests(port.read_requests, reads, "reads"), requests(port.write_requests, writes, "writes"), words, answers, ends):
        sim.add_testbench(run, background=True)
    if chip is not None:
        sim.add_testbench(pins, background=True)
    sim.add_testbench(main)
    sim.run()
    if len(got.words) != expected or len(got.done) != len(writes):
        raise AssertionError(f"{len(got.words)} words of {expected} were read, {len(got.done)} bursts of {len(writes)} written")
    return got
