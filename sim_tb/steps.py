"""What a design is held to, step by step, each kept by digest if that is wanted."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import inspect
from pathlib import Path
import time

from ..design import Design
from . import argued, campaign, contract, exhaustive, models, netlist, run, simulate
from .kept import Kept, digest
from .parallel import within

__all__ = ["FULL", "LIMIT", "SHORT", "STEPS", "Plan", "Verdict", "bench", "verify"]

SHORT, FULL = 20_000, 1_000_000
LIMIT = 3600


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is done.

    Parameters
    ----------
    least
        Cases of a design whose inputs are not all tried.
    mutants
        Mutants of a design; with 0 there is no mutation.
    keep
        Whether what passed is kept, and not done again: for designs of the catalogue only.
    limit
        Seconds a step may take; the bench of several designs is one.
    """
    folder: Path
    least: int = SHORT
    mutants: int = 20
    keep: bool = False
    limit: float = LIMIT


@dataclass(kw_only=True)
class Verdict:
    """What was done to one design, and what failed; seconds are those that it took when it was done."""
    name: str
    simulated: int = 0
    cases: int = 0
    given: int = 0
    exhaustive: bool = False
    rate: float = 0.0
    netlist: int = 0
    assertions: int = 0
    covers: int = 0
    mutants: int = 0
    killed: int = 0
    timing: int = 0
    equivalent: int = 0
    argued: int = 0
    surviving: int = 0
    bench: int = 0
    seconds: float = 0.0
    steps: int = 0
    again: int = 0
    failures: list[str] = field(default_factory=list)


def _simulated(design: Design, verdict: Verdict, plan: Plan) -> None:
    verdict.simulated = sum(simulate.check(design, stall=stall, most=500) for stall in simulate.STALLS)


def _compiled(design: Design, verdict: Verdict, plan: Plan) -> None:
    least, full = plan.least, plan.least >= FULL
    usual = exhaustive.harness(design, folder=plan.folder, optimize=2 if full else 1)
    fast = exhaustive.harness(design, folder=plan.folder, optimize=2, fast=True) if full else usual
    for stall, share in zip(simulate.STALLS, (least, least // 10, least // 10), strict=True):
        model = fast if stall == "none" else usual
        cases = exhaustive.run_cases(design, model, least=share, stall=stall, whole=stall == "none" and full)
        verdict.cases += cases.count
        verdict.given += cases.given
        if stall == "none":
            verdict.exhaustive, verdict.rate = cases.exhaustive, round(cases.rate)


def _synthesised(design: Design, verdict: Verdict, plan: Plan) -> None:
    model = netlist.netlist_harness(design, folder=plan.folder)
    verdict.netlist = sum(exhaustive.run_cases(design, model, least=plan.least // 10, stall=stall, seed=7).count
                          for stall in ("none", "random"))


def _proved(design: Design, verdict: Verdict, plan: Plan) -> None:
    proof = contract.prove_contract(design, library=models.library_of(design), folder=plan.folder)
    verdict.assertions, verdict.covers = proof.assertions, proof.covers


def _mutated(design: Design, verdict: Verdict, plan: Plan) -> None:
    outcome = campaign.mutate(design, folder=plan.folder, count=plan.mutants)
    verdict.failures += argued.failures(design, outcome)
    verdict.mutants, (verdict.argued, verdict.surviving) = outcome.mutants, map(len, argued.sort(design, outcome))
    verdict.killed, verdict.timing, verdict.equivalent = outcome.killed, outcome.timing, outcome.equivalent


STEPS: tuple[Callable[[Design, Verdict, Plan], None], ...] = (_simulated, _compiled, _synthesised, _proved, _mutated)


def verify(design: Design, plan: Plan) -> Verdict:
    """Hold one design to all but the cocotb bench, which takes several at a time."""
    verdict = Verdict(name=design.name)
    for step in STEPS:
        if step is not _mutated or plan.mutants:
            _do(step, design, verdict, plan)
    verdict.seconds = round(verdict.seconds, 1)
    return verdict


def _do(step: Callable[[Design, Verdict, Plan], None], design: Design, verdict: Verdict, plan: Plan) -> None:
    name, source = step.__name__.strip("_"), inspect.getsource(step)
    verdict.steps += 1
    kept = Kept(plan.folder, f"{design.name}-{name}") if plan.keep else None
    option = (plan.mutants, argued.reasons(design)) if step is _mutated else plan.least
    key = digest([design], _named(step), source, option) if kept else ""
    if kept and (known := kept.get(key)):
        seconds = verdict.seconds + known.pop("seconds")
        vars(verdict).update(known, seconds=seconds, again=verdict.again + 1)
        return
    before, start = {**vars(verdict), "failures": [*verdict.failures]}, time.monotonic()
    try:
        with within(plan.limit):
            step(design, verdict, plan)
    except (AssertionError, RuntimeError, TimeoutError, ValueError) as error:
        verdict.failures.append(f"{name}: {error}")
    seconds = time.monotonic() - start
    if kept and verdict.failures == before["failures"]:
        kept.put(key, {**{k: v for k, v in vars(verdict).items() if v != before[k]}, "seconds": seconds})
    verdict.seconds += seconds


def _named(step: Callable[..., None]) -> list[str]:
    """Modules that a step calls functions of."""
    names, todo = set(), [step.__code__]
    while todo:
        code = todo.pop()
        names.update(code.co_names)
        todo += [part for part in code.co_consts if inspect.iscode(part)]
    return sorted(value.__name__ for name in names if inspect.ismodule(value := step.__globals__.get(name)))


def bench(designs: Sequence[Design], plan: Plan) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Runs of the cocotb bench that passed, and sentences of those that did not, by design; those that must be run, in one simulation."""
    modules = (run.__name__, f"{__package__}.bench")
    kept = {design.name: (Kept(plan.folder, f"{design.name}-bench"), digest([design], modules)) for design in designs if plan.keep}
    known = {name: (passed, ()) for name, (where, key) in kept.items() if (passed := where.get(key))}
    open_ = [design for design in designs if design.name not in known]
    try:
        with within(plan.limit):
            outcomes = run.run(open_, folder=plan.folder) if open_ else {}
    except (RuntimeError, TimeoutError, ValueError) as error:
        return {**known, **{design.name: (0, (str(error),)) for design in open_}}
    for name, outcome in outcomes.items():
        if name in kept and outcome.passed and not outcome.failures:
            where, key = kept[name]
            where.put(key, outcome.passed)
    return {**known, **{name: (outcome.passed, outcome.failures) for name, outcome in outcomes.items()}}
