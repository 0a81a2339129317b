"""Everything a design is held to, in one table.

    python -m mantissa.sim_tb.verify [DESIGN...] [--full] [--report FILE]

For each design: compiled Verilog against the golden function, completely up to 24 input bits and otherwise on drawn cases
(20,000, or 1,000,000 with ``--full``), without stalls and, after a reset in the middle of something else, with two kinds of them; the
same on the netlist after synthesis; the stream contract, proved; mutants (20, or 200 with ``--full``), all to be killed or proved
equivalent; the bench under cocotb. Exits with 1 if anything fails, a mutant survives, a cover is not reached or nothing was compared.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
import sys
import time

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..design import Design
from ..errors import MantissaError
from ..gen.files import write_json
from ..hw.catalog import CATALOG, GROUPS, find
from .contract import prove_contract
from .exhaustive import harness, run_cases
from .mutate import Campaign, failures, mutate
from .netlist import library_of, netlist_harness
from .report import markdown, write_report
from .run import run
from .simulate import STALLS, check

__all__ = ["Verdict", "library_of", "main", "verify"]

SHORT, FULL = 20_000, 1_000_000
MUTANTS = {SHORT: 20, FULL: 200}


@dataclass(kw_only=True)
class Verdict:
    """What was done to one design, and what failed."""
    name: str
    simulated: int = 0
    cases: int = 0
    exhaustive: bool = False
    rate: float = 0.0
    netlist: int = 0
    assertions: int = 0
    covers: int = 0
    mutants: int = 0
    killed: int = 0
    timing: int = 0
    equivalent: int = 0
    surviving: int = 0
    bench: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def verify(design: Design, *, folder: Path, full: bool = False) -> Verdict:
    """Hold one design to all but the cocotb bench, which takes several at a time."""
    verdict, start = Verdict(name=design.name), time.monotonic()
    for step in (_simulated, _compiled, _synthesised, _proved, _mutated):
        try:
            step(design, verdict, folder, FULL if full else SHORT)
        except (AssertionError, RuntimeError, ValueError) as error:
            verdict.failures.append(f"{step.__name__.strip('_')}: {error}")
    verdict.seconds = round(time.monotonic() - start, 1)
    return verdict


def _simulated(design: Design, verdict: Verdict, folder: Path, least: int) -> None:
    verdict.simulated = sum(check(design, stall=stall, most=500) for stall in STALLS)


def _compiled(design: Design, verdict: Verdict, folder: Path, least: int) -> None:
    usual = harness(design, folder=folder, optimize=2 if least >= FULL else 1)
    fast = harness(design, folder=folder, optimize=2, fast=True) if least >= FULL else usual
    for stall, share in zip(STALLS, (least, least // 10, least // 10), strict=True):
        model = fast if stall == "none" else usual
        cases = run_cases(design, model, least=share, stall=stall, whole=stall == "none" and least >= FULL)
        verdict.cases += cases.count
        if stall == "none":
            verdict.exhaustive, verdict.rate = cases.exhaustive, round(cases.rate)


def _synthesised(design: Design, verdict: Verdict, folder: Path, least: int) -> None:
    model = netlist_harness(design, folder=folder)
    verdict.netlist = sum(run_cases(design, model, least=least // 10, stall=stall, seed=7).count for stall in ("none", "random"))


def _proved(design: Design, verdict: Verdict, folder: Path, least: int) -> None:
    proof = prove_contract(design, library=library_of(design), folder=folder)
    verdict.assertions, verdict.covers = proof.assertions, proof.covers


def _mutated(design: Design, verdict: Verdict, folder: Path, least: int) -> None:
    campaign: Campaign = mutate(design, folder=folder, count=MUTANTS[least])
    verdict.failures += failures(campaign)
    verdict.mutants, verdict.surviving = campaign.mutants, len(campaign.surviving)
    verdict.killed, verdict.timing, verdict.equivalent = campaign.killed, campaign.timing, campaign.equivalent


def _benched(designs: Sequence[Design], verdicts: Sequence[Verdict], folder: Path) -> None:
    for group in GROUPS.values():
        chosen = [design for design in group if design in designs]
        for name, outcome in (run(chosen, folder=folder) if chosen else {}).items():
            verdict = next(v for v in verdicts if v.name == name)
            verdict.bench = outcome.passed
            verdict.failures += [f"bench: {text}" for text in outcome.failures]


def _closed(verdict: Verdict) -> None:
    for name in ("simulated", "cases", "netlist", "assertions", "covers", "mutants", "bench"):
        if not getattr(verdict, name) and not verdict.failures:
            verdict.failures.append(f"{name}: nothing was done")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.verify", description=__doc__, formatter_class=plain)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    try:
        designs = [find(name) for name in args.designs] or list(CATALOG)
    except MantissaError as error:
        print(f"mantissa.sim_tb.verify: {error}", file=sys.stderr)
        return 1
    console, start = Console(width=None if sys.stdout.isatty() else 200), time.monotonic()
    verdicts: list[Verdict] = []
    stopped = []
    try:
        for design in track(designs, "verifying", console=console):
            verdicts.append(verify(design, folder=args.output, full=args.full))
            write_json(args.output / "verified.json", [vars(verdict) for verdict in verdicts])
        _benched(designs, verdicts, args.output)
    except KeyboardInterrupt:
        stopped = [f"stopped after {len(verdicts)} of {len(designs)} designs"]
    for verdict in verdicts:
        _closed(verdict)
    table, cells = Table(*HEADINGS), _rows(verdicts)
    for row in cells:
        table.add_row(*row)
    console.print(table)
    failed = [f"{verdict.name}: {text}" for verdict in verdicts for text in verdict.failures] + stopped
    for line in failed:
        console.print(line, markup=False, highlight=False)
    write_json(args.output / "verified.json", [vars(verdict) for verdict in verdicts])
    seconds = time.monotonic() - start
    outcome = f"{len(verdicts)} designs, {sum(v.cases for v in verdicts):,} cases, {len(failed)} failures, {seconds:.0f} s"
    console.print(outcome)
    if args.report:
        command = " ".join(["mantissa verify", *args.designs, *["--full"] * args.full])
        write_report(args.report, "Verification", command, seconds, [*markdown(HEADINGS, cells), "", outcome], failed)
    return 1 if failed or not verdicts else 0


HEADINGS = ("design", "simulated", "cases", "every input", "cases/s", "netlist", "proved", "covers", "bench runs", "mutants", "killed",
            "timing", "equivalent", "surviving", "s", "outcome")


def _rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    return [(v.name, f"{v.simulated:,}", f"{v.cases:,}", "yes" if v.exhaustive else "", f"{v.rate:,}", f"{v.netlist:,}", str(v.assertions),
             str(v.covers), str(v.bench), str(v.mutants), str(v.killed), str(v.timing), str(v.equivalent), str(v.surviving), str(v.seconds),
             "FAIL" if v.failures else "ok") for v in verdicts]


if __name__ == "__main__":
    sys.exit(main())
