"""Words a cycle of the SDRAM, by what is asked of it, counted in Amaranth's simulator with the model of the chip.

    python -m mantissa.sim_tb.memory_rate [--clock HZ]
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
import random
import sys

from ..hw.sdram import Sdram
from ..hw.sdram_timing import CLASS_7, W16
from .memory_bench import Burst, exercise
from .sdram_chip import Chip

__all__ = ["PATTERNS", "Rate", "measure"]

WORDS = 8192
PATTERNS = {f"{kind} {order}, bursts of {size}": (kind, order, size)
            for order, kind, size in [
                ("in order", "read", 2048), ("in order", "read", 256), ("in order", "read", 32), ("in order", "read", 8),
                ("in order", "write", 2048), ("in order", "write", 32), ("scattered", "read", 256), ("scattered", "read", 32),
                ("scattered", "read", 8), ("scattered", "read", 1), ("scattered", "write", 32), ("in order", "read and write", 256)]}
"""Name -> what is done, whether address follows address, words of a burst."""


@dataclass(frozen=True)
class Rate:
    """Cycles from the first request to the last answer: of words, of refresh, of commands for rows, and those left."""
    cycles: int
    words: int
    refresh: int
    rows: int

    @property
    def share(self) -> float:
        """Words of the cycles that refresh and rows' commands leave."""
        return self.words / (self.cycles - self.refresh - self.rows)


def measure(name: str, *, clock_hz: int = 100_000_000, words: int = WORDS) -> Rate:
    """What one of :data:`PATTERNS` comes to.

    A refresh costs what the datasheet makes it cost: every bank closed, refreshed, and a row opened again. A row costs its two
    commands, whose cycles carry no word; waiting for a row is not the memory's if another could have been read meanwhile, and is
    left in the cycles.
    """
    kind, order, size = PATTERNS[name]
    timing = replace(CLASS_7, power_up=1_000_000)
    unit, chip = Sdram(clock_hz=clock_hz, timing=timing, length_bits=11), Chip(timing, W16, 10**12 // clock_hz)
    rng, count = random.Random(name), max(words // size, 1) if size > 1 else words // 8
    starts = [n * size if order == "in order" else rng.randrange(0, (1 << 23) // size) * size for n in range(count)]
    reads = [Burst(start, size) for start in starts] if "read" in kind else []
    writes = [Burst((1 << 23) + start, size, data=range(size)) for start in starts] if "write" in kind else []
    begun: list[tuple[int, dict[str, int]]] = []

    def started(ctx) -> bool:
        begun[:] = [(chip.refreshes, dict(chip.counts))]
        return bool(ctx.get(unit.ready))
    ended: list[tuple[int, dict[str, int]]] = []

    def watch(ctx) -> None:
        ended[:] = [(chip.refreshes, dict(chip.counts))]
    got = exercise(unit, reads=reads, writes=writes, chip=chip, start=started, watch=watch)
    at = unit.cycles
    made = ended[0][0] - begun[0][0]
    commands = {name: ended[0][1].get(name, 0) - begun[0][1].get(name, 0) for name in ("activate", "precharge")}
    return Rate(cycles=got.cycles, words=size * (len(reads) + len(writes)), refresh=made * (at.rp + at.rfc + at.rcd),
                rows=max(0, sum(commands.values()) - 2 * made))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.memory_rate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", type=int, default=100_000_000, metavar="HZ")
    clock_hz = parser.parse_args(argv).clock
    print("| asked | words | cycles | words a cycle | MB/s | refresh | rows | of the rest |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in PATTERNS:
        rate = measure(name, clock_hz=clock_hz)
        speed = rate.words / rate.cycles
        print(f"| {name} | {rate.words} | {rate.cycles} | {speed:.3f} | {speed * 2 * clock_hz / 1e6:.0f} | "
              f"{rate.refresh / rate.cycles:.1%} | {rate.rows / rate.cycles:.1%} | {rate.share:.1%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
