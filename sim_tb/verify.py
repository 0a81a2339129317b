"""Everything a design is held to, in one table.

    python -m mantissa.sim_tb.verify [DESIGN...] [--full] [--mutants N] [--jobs N] [--limit S] [--report FILE]

For each design: compiled Verilog against the golden function, completely up to 24 input bits and otherwise on drawn transactions
(20,000 in or out, or 1,000,000 with ``--full``), without stalls and, after a reset in the middle of something else, with two kinds of
them; the same on the netlist after synthesis; the stream contract, proved; mutants (20, or 200 with ``--full``, or ``--mutants``), all to
be killed or equivalent, by proof or by argument; the bench under cocotb. Exits with 1 if anything fails, a mutant survives, a cover is
not reached or nothing was compared. A step that takes longer than ``--limit``, an hour, fails, and the rest goes on. What passed is kept
by digest of the design, what verifies it and the options: a run that was stopped goes on where it was.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
import sys
import time

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..errors import MantissaError
from ..gen.files import write_json
from ..hw.catalog import CATALOG, GROUPS, find
from .models import library_of
from .parallel import JOBS, outcomes, stoppable
from .report import markdown, write_report
from .steps import FULL, LIMIT, SHORT, Plan, Verdict, bench, verify

__all__ = ["Verdict", "library_of", "main", "verify"]

MUTANTS = {SHORT: 20, FULL: 200}

Task = tuple[str, ...]
"""Names of designs that are benched together, or of one that is held to the rest."""


def _done(plan: Plan, task: Task) -> Verdict | dict[str, tuple[int, tuple[str, ...]]]:
    kind, *names = task
    designs = [find(name) for name in names]
    return bench(designs, plan) if kind == "bench" else verify(designs[0], plan)


def _tasks(names: Sequence[str]) -> list[Task]:
    """The bench of each group after its designs."""
    groups = [[design.name for design in group if design.name in names] for group in GROUPS.values()]
    return [task for group in groups if group for task in (*(("design", name) for name in group), ("bench", *group))]


def _closed(verdict: Verdict, mutants: int = 0) -> None:
    for name in ("simulated", "cases", "netlist", "assertions", "covers", *(["mutants"] if mutants else []), "bench"):
        if not getattr(verdict, name) and not verdict.failures:
            verdict.failures.append(f"{name}: nothing was done")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.verify", description=__doc__, formatter_class=plain)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--mutants", type=int, metavar="N", help="mutants of each design, 0 for none")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="processes")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="S", help="seconds a step may take before it counts as failed")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    try:
        names = [find(name).name for name in args.designs] or [design.name for design in CATALOG]
    except MantissaError as error:
        print(f"mantissa.sim_tb.verify: {error}", file=sys.stderr)
        return 1
    least = FULL if args.full else SHORT
    mutants = MUTANTS[least] if args.mutants is None else args.mutants
    if mutants < 0 or args.jobs < 1:
        print(f"mantissa.sim_tb.verify: Mutants must be at least 0 and jobs 1, not {mutants} and {args.jobs}", file=sys.stderr)
        return 1
    if args.limit <= 0:
        print(f"mantissa.sim_tb.verify: Limit must be more than 0 s, not {args.limit:g}", file=sys.stderr)
        return 1
    plan = Plan(folder=args.output, least=least, mutants=mutants, keep=True, limit=args.limit)
    console, start = Console(width=None if sys.stdout.isatty() else 200), time.monotonic()
    found, benched, stopped = _run(plan, names, args.jobs, console)
    verdicts = [found[name] for name in names if name in found]
    for verdict in verdicts:
        passed, failures = benched.get(verdict.name, (0, ()))
        verdict.bench = passed
        verdict.failures += [f"bench: {text}" for text in failures]
        _closed(verdict, mutants)
    table, cells = Table(*HEADINGS), _rows(verdicts)
    for row in cells:
        table.add_row(*row)
    console.print(table)
    failed = [f"{verdict.name}: {text}" for verdict in verdicts for text in verdict.failures] + stopped
    for line in failed:
        console.print(line, markup=False, highlight=False)
    write_json(args.output / "verified.json", [vars(verdict) for verdict in verdicts])
    said = _said(verdicts, plan, time.monotonic() - start)
    for line in said:
        console.print(line, markup=False, highlight=False)
    if args.report:
        options = ["--full"] * args.full + [f"--mutants {mutants}"] * (args.mutants is not None)
        lines = [*markdown(HEADINGS, cells), "", *(f"* {line}" for line in said)]
        write_report(args.report, "Verification", " ".join(["mantissa verify", *args.designs, *options]), time.monotonic() - start, lines,
                     failed)
    return 1 if failed or not verdicts else 0


def _run(plan: Plan, names: Sequence[str], jobs: int, console: Console,
         ) -> tuple[dict[str, Verdict], dict[str, tuple[int, tuple[str, ...]]], list[str]]:
    """Verdicts and benches by design, and whether it was stopped."""
    found: dict[str, Verdict] = {}
    benched: dict[str, tuple[int, tuple[str, ...]]] = {}
    tasks = _tasks(names)
    try:
        with stoppable():
            for outcome in track(outcomes(partial(_done, plan), tasks, jobs), "verifying", len(tasks), console=console):
                if isinstance(outcome, Verdict):
                    found[outcome.name] = outcome
                else:
                    benched.update(outcome)
    except KeyboardInterrupt:
        return found, benched, [f"stopped after {len(found)} of {len(names)} designs"]
    return found, benched, []


def _said(verdicts: Sequence[Verdict], plan: Plan, seconds: float) -> list[str]:
    """What was done in all, and what was not."""
    whole = sum(verdict.exhaustive for verdict in verdicts)
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    mutants = sum(verdict.mutants for verdict in verdicts)
    return [f"{len(verdicts)} designs, {failed} with failures",
            f"{sum(v.cases for v in verdicts):,} cases: every input of {whole} designs, {plan.least:,} transactions or more into or out of "
            f"each of the others; {sum(v.netlist for v in verdicts):,} of netlists",
            f"{mutants:,} mutants, {sum(v.argued for v in verdicts):,} equivalent by argument alone, "
            f"{sum(v.surviving for v in verdicts):,} surviving" if plan.mutants else
            "no mutants: not part of this run",
            f"{sum(v.seconds for v in verdicts):,.0f} s of work but for the benches, of which {sum(v.again for v in verdicts)} of "
            f"{sum(v.steps for v in verdicts)} steps were kept from before; this run took {seconds:,.0f} s"]


HEADINGS = ("design", "simulated", "given", "cases", "every input", "cases/s", "netlist", "proved", "covers", "bench runs", "mutants",
            "killed", "timing", "equivalent", "argued", "surviving", "s", "outcome")


def _rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    return [(v.name, f"{v.simulated:,}", f"{v.given:,}", f"{v.cases:,}", "yes" if v.exhaustive else "", f"{v.rate:,}", f"{v.netlist:,}",
             str(v.assertions), str(v.covers), str(v.bench), str(v.mutants), str(v.killed), str(v.timing), str(v.equivalent),
             str(v.argued), str(v.surviving), str(v.seconds), "FAIL" if v.failures else "ok") for v in verdicts]


if __name__ == "__main__":
    sys.exit(main())
