"""Is the verification able to fail? Each design with something wrong in it, many times over.

    python -m mantissa.sim_tb.mutate [DESIGN...] [-n 200] [--jobs N] [--report FILE]

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
argued
    if ``argued.toml`` has an argument why it is equivalent to the design's Verilog as it is: it is listed by name, with the argument.
    The exit code is 1 if it is killed after all;
surviving
    otherwise: either the proof is too weak or the stimulus is. It is listed by name, and the exit code is 1.

What became of a design's mutants is kept by digest of the design, of what holds it, and of the options: a campaign that was stopped goes
on where it was.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
import sys
import time

from rich.console import Console
from rich.table import Table

from ..errors import MantissaError
from ..gen.files import write_json
from ..hw.catalog import CATALOG, GROUPS, find
from ..sw_driver.progress import track
from .argued import failures, name_of, reasons, sort
from .campaign import Campaign, mutate
from .kept import Kept, digest
from .parallel import JOBS, outcomes, stoppable
from .report import markdown, write_report

__all__ = ["main"]

HEADINGS = ("design", "mutants", "killed", "timing", "equivalent", "argued", "surviving", "cases", "s")


def rows(campaigns: Sequence[Campaign]) -> list[tuple[str, ...]]:
    """Cells of a table, a total last."""
    def row(name: str, chosen: Sequence[Campaign]) -> tuple[str, ...]:
        numbers = [sum(values) for values in zip(*((c.mutants, c.killed, c.timing, c.equivalent, *map(len, sort(find(c.name), c)), c.cases)
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
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="processes")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    console, start = Console(width=None if sys.stdout.isatty() else 200), time.monotonic()
    done: dict[str, Campaign] = {}
    wrong: dict[str, list[str]] = {}
    stopped = []
    try:
        names = [find(name).name for name in args.designs] or [design.name for design in CATALOG]
        hold = partial(_held, args.output, args.count, args.seed)
        try:
            with stoppable():
                for name, outcome in track(outcomes(hold, names, args.jobs), len(names), "mutating"):
                    if isinstance(outcome, Campaign):
                        done[name] = outcome
                    wrong[name] = list(failures(find(name), outcome)) if isinstance(outcome, Campaign) else [outcome]
        except KeyboardInterrupt:
            stopped = [f"stopped after {len(done)} of {len(names)} designs"]
    except (MantissaError, ValueError) as error:
        print(f"mantissa.sim_tb.mutate: {error}", file=sys.stderr)
        return 1
    campaigns = [done[name] for name in names if name in done]
    write_json(args.output / "mutated.json", [vars(campaign) for campaign in campaigns])
    failed = [*stopped, *(f"{name}: {text}" for name in names for text in wrong.get(name, ()))]
    table = Table(*HEADINGS)
    cells = rows(campaigns) if campaigns else []
    for row in cells:
        table.add_row(*row)
    console.print(table)
    for line in failed:
        console.print(line, markup=False, highlight=False)
    if args.report:
        command = f"python -m mantissa.sim_tb.mutate {' '.join([*args.designs, f'-n {args.count} --seed {args.seed}'])}"
        lines = [*markdown(HEADINGS, cells), "", f"* {_extent(set(done))}", *_arguments(campaigns)]
        write_report(args.report, "Mutation", command, time.monotonic() - start, lines, failed)
    return 1 if failed or not campaigns else 0


def _held(folder: Path, count: int, seed: int, name: str) -> tuple[str, Campaign | str]:
    """What became of a design's mutants, or why nothing did."""
    design, kept = find(name), Kept(folder, f"{name}-mutants")
    key = digest([design], (mutate.__module__,), count, seed)
    if known := kept.get(key):
        return name, Campaign(**known)
    try:
        campaign = mutate(design, folder=folder, count=count, seed=seed)
    except (AssertionError, RuntimeError) as error:
        return name, str(error)
    kept.put(key, vars(campaign))
    return name, campaign


def _arguments(campaigns: Sequence[Campaign]) -> list[str]:
    """Section of those that are equivalent by argument alone: design, argument, mutants."""
    lines = []
    for campaign in campaigns:
        known = reasons(find(campaign.name))
        by_reason: dict[str, list[str]] = {}
        for text in sort(find(campaign.name), campaign)[0]:
            by_reason.setdefault(known[name_of(text)], []).append(f"`{text}`")
        lines += [f"* {campaign.name}: {reason}: {', '.join(mutants)}" for reason, mutants in by_reason.items()]
    return ["", "## Argued", "", *lines] if lines else []


def _extent(done: AbstractSet[str]) -> str:
    """Which designs of the catalogue were done, by group."""
    groups = {group: [design.name for design in designs] for group, designs in GROUPS.items()}
    return "; ".join(f"{group}: {len(done & set(names))} of {len(names)} designs" for group, names in groups.items())


if __name__ == "__main__":
    sys.exit(main())
