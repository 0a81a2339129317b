"""Is the verification able to fail? Each design with something wrong in it, many times over.

    python -m mantissa.sim_tb.mutate [DESIGN...] [-n 200] [--report FILE]

Of each design, mutants with one bit of one operator wrong are held to what the design itself is held to: its golden function, in compiled
Verilog, with stalls and resets. A mutant is

killed
    if it gives a wrong transaction, breaks a rule of streams, gives too many, hangs, or has a loop of logic;
timing
    if it gives the same transactions but not in the same cycles as the design: golden functions know no time, so this is no error in
    itself, but it is told apart from the design by counting cycles;
equivalent
    if it is proved to do in every cycle what the design does, as far as the stream rules let anyone see: ready, valid, and payload while
    valid; or if it gave what it should on every input of a stateless design;
surviving
    otherwise: either the proof is too weak or the stimulus is. It is listed by name, and the exit code is 1.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import sys
import time

from rich.console import Console
from rich.table import Table

from ..design import Design, Streams
from ..errors import MantissaError
from ..gen.files import write_json
from ..hw.catalog import CATALOG, find
from ..hw.payload import Words, bits, pack
from ..sw_driver.progress import track
from .equivalent import Prover
from .exhaustive import ENUMERABLE, drawn, every, mess
from .mutants import Mutant, make
from .report import markdown, write_report
from .simulate import STALLS
from .verilator import Harness, HarnessError, Run

__all__ = ["Campaign", "main", "mutate"]

ROUNDS = 4
"""Stimuli, each with every kind of stall, before proofs are tried."""

MORE = 200_000
"""Transactions that a mutant is given before it is called surviving."""

PATIENCE = 30.0
"""Seconds in which it is given them, for all mutants of a design."""


@dataclass(kw_only=True)
class Campaign:
    """What became of a design's mutants."""
    name: str
    mutants: int = 0
    killed: int = 0
    timing: int = 0
    equivalent: int = 0
    surviving: list[str] = field(default_factory=list)
    cases: int = 0
    seconds: float = 0.0


def mutate(design: Design, *, folder: Path, count: int = 200, seed: int = 1,
           golden: Callable[[Streams], Streams] | None = None) -> Campaign:
    """Hold ``count`` mutants of ``design`` to its golden function, or to ``golden``.

    Raises
    ------
    AssertionError
        If the design itself fails.
    """
    start = time.monotonic()
    made = make(design, folder=folder, count=count, seed=seed)
    model = made.harness(folder=folder)
    hunt = _Hunt(design, model, made.mutants, golden or design.golden)
    stimuli = drawn(design, model.inputs, seed)
    for n in range(ROUNDS):
        hunt.round(*next(stimuli), seed=n)
    open_ = [mutant for mutant in hunt.alive if mutant not in hunt.timing]
    prover = Prover(design, open_) if open_ else None
    equivalent = {mutant for mutant in open_ if prover and prover.equivalent(mutant)}
    hunt.alive = [mutant for mutant in hunt.alive if mutant not in equivalent]
    if design.stateless and bits(model.inputs) <= ENUMERABLE and hunt.open():
        for n, (raw, streams) in enumerate(every(model.inputs)):
            hunt.round(raw, streams, seed=n, stalls=("none",))
        equivalent |= set(hunt.open())
    else:
        given, until = 0, time.monotonic() + PATIENCE
        for n, (raw, streams) in enumerate(stimuli, ROUNDS):
            if not hunt.open() or given > MORE or time.monotonic() > until:
                break
            given += hunt.round(raw, streams, seed=n, stalls=STALLS[1:] if n % 2 else STALLS[:1])
    surviving = [str(mutant) for mutant in hunt.open() if mutant not in equivalent]
    timing = len([mutant for mutant in hunt.alive if mutant in hunt.timing])
    killed = len(made.mutants) - timing - len(equivalent) - len(surviving)
    return Campaign(name=design.name, mutants=len(made.mutants), killed=killed, timing=timing, equivalent=len(equivalent),
                    surviving=surviving, cases=hunt.cases, seconds=round(time.monotonic() - start, 1))


class _Hunt:
    """Mutants that nothing has told from the design yet."""

    def __init__(self, design: Design, model: Harness, mutants: Sequence[Mutant], golden: Callable[[Streams], Streams]) -> None:
        self.design, self.model, self.golden = design, model, golden
        self.alive = list(mutants)
        self.timing: set[Mutant] = set()
        self.cases = 0

    def open(self) -> list[Mutant]:
        """Those that are alive and keep time."""
        return [mutant for mutant in self.alive if mutant not in self.timing]

    def round(self, raw: dict[str, Words], streams: Streams, *, seed: int, stalls: Sequence[str] = STALLS) -> int:
        """One stimulus for the design and every mutant alive; its transactions."""
        answer = self.golden(streams)
        want = {port: pack(layout, answer[port]) for port, layout in self.model.outputs.items()}
        total = sum(len(rows) for rows in want.values()) * len(stalls)
        if not total:
            raise AssertionError(f"{self.design.name}: no case was compared")
        for stall in stalls:
            right = self._run(raw, want, stall, seed, Mutant.none(), 1 << 62)
            for mutant in list(self.alive):
                try:
                    run = self._run(raw, want, stall, seed, mutant, 4 * right.cycles + 1000)
                except HarnessError:
                    self.alive.remove(mutant)
                    continue
                if (run.cycles, run.latency, run.throughput, run.waited) != (right.cycles, right.latency, right.throughput, right.waited):
                    self.timing.add(mutant)
            self.cases += total // len(stalls)
        return total

    def _run(self, raw: dict[str, Words], want: dict[str, Words], stall: str, seed: int, mutant: Mutant, cycles: int) -> Run:
        return self.model.run(raw, {port: len(rows) for port, rows in want.items()}, want=want, stall=stall, seed=seed, idle=2000,
                              cycles=cycles, mutant=mutant.number, before=mess(stall, seed))


def failures(campaign: Campaign) -> Iterator[str]:
    """Sentences about what must not be."""
    if not campaign.cases:
        yield "mutation: nothing was compared"
    for name in campaign.surviving:
        yield f"mutation: {name} survives"


HEADINGS = ("design", "mutants", "killed", "timing", "equivalent", "surviving", "cases", "s")


def rows(campaigns: Sequence[Campaign]) -> list[tuple[str, ...]]:
    """Cells of a table, a total last."""
    def row(name: str, chosen: Sequence[Campaign]) -> tuple[str, ...]:
        numbers = [sum(values) for values in zip(*((c.mutants, c.killed, c.timing, c.equivalent, len(c.surviving), c.cases)
                                                   for c in chosen), strict=True)]
        return (name, *(f"{number:,}" for number in numbers), f"{sum(c.seconds for c in chosen):.1f}")
    return [*(row(campaign.name, [campaign]) for campaign in campaigns), row("all", campaigns)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.mutate", description=__doc__, formatter_class=plain)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("-n", "--count", type=int, default=200, help="mutants of each design")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    console, start = Console(width=None if sys.stdout.isatty() else 200), time.monotonic()
    campaigns, wrong = [], []
    try:
        designs = [find(name) for name in args.designs] or list(CATALOG)
        for design in track(designs, len(designs), "mutating"):
            try:
                campaigns.append(mutate(design, folder=args.output, count=args.count, seed=args.seed))
                wrong += [f"{design.name}: {text}" for text in failures(campaigns[-1])]
                write_json(args.output / "mutated.json", [vars(campaign) for campaign in campaigns])
            except (AssertionError, RuntimeError) as error:
                wrong.append(f"{design.name}: {error}")
            except KeyboardInterrupt:
                wrong.append(f"stopped after {len(campaigns)} of {len(designs)} designs")
                break
    except (MantissaError, ValueError) as error:
        print(f"mantissa.sim_tb.mutate: {error}", file=sys.stderr)
        return 1
    table = Table(*HEADINGS)
    cells = rows(campaigns) if campaigns else []
    for row in cells:
        table.add_row(*row)
    console.print(table)
    for line in wrong:
        console.print(line, markup=False, highlight=False)
    if args.report:
        command = f"python -m mantissa.sim_tb.mutate {' '.join([*args.designs, f'-n {args.count} --seed {args.seed}'])}"
        write_report(args.report, "Mutation", command, time.monotonic() - start, markdown(HEADINGS, cells), wrong)
    return 1 if wrong or not campaigns else 0


if __name__ == "__main__":
    sys.exit(main())
