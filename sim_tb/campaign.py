"""The mutants of a design, held to what the design itself is held to."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import time

from ..design import Design, Streams
from ..hw.payload import Words, bits, pack
from .equivalent import Prover
from .exhaustive import ENUMERABLE, drawn, every, mess
from .miter import LARGE, Answer, decide
from .mutants import Mutant, make
from .simulate import STALLS
from .verilator import Harness, HarnessError, Run

__all__ = ["Campaign", "mutate"]

ROUNDS = 4
"""Stimuli, each with every kind of stall, before quick proofs are tried."""

FURTHER = 20_000
"""Transactions that what quick proofs leave open is given before proofs that may take long."""

SOON = 20
"""Input bits of a stateless design up to which every input is tried before those proofs."""

MORE = 200_000
"""Transactions that what those leave open is given before the last ones."""

PATIENCE = 30.0
"""Seconds in which mutants of a design are given them."""

SECONDS = 10, 30
"""Those of a processor that ABC has for a mutant, soon and at the end."""


@dataclass(kw_only=True)
class Campaign:
    """What became of a design's mutants; ``told`` are those that were told from it, killed or by their timing."""
    name: str
    mutants: int = 0
    killed: int = 0
    timing: int = 0
    equivalent: int = 0
    surviving: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
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
    prover = Prover(design, hunt.open()) if hunt.open() else None
    equivalent: set[Mutant] = set()
    for effort, tried, most in ((0, SOON, FURTHER), (1, ENUMERABLE, MORE)):
        equivalent |= hunt.drop({mutant for mutant in hunt.open() if prover and prover.equivalent(mutant, effort)})
        if design.stateless and bits(model.inputs) <= tried and hunt.open():
            for n, (raw, streams) in enumerate(every(model.inputs)):
                hunt.round(raw, streams, seed=n, stalls=("none",))
            equivalent |= hunt.drop(set(hunt.open()))
        hunt.give(stimuli, most)
        answers = decide(design, hunt.open(), SECONDS[effort], most=LARGE * effort)
        equivalent |= hunt.drop({mutant for mutant, answer in answers.items() if answer.equal})
    surviving = [f"{mutant}{_seen(answers[mutant])}" for mutant in hunt.open()]
    timing = len([mutant for mutant in hunt.alive if mutant in hunt.timing])
    told = [str(mutant) for mutant in made.mutants if mutant not in equivalent and mutant not in hunt.open()]
    return Campaign(name=design.name, mutants=len(made.mutants), killed=len(told) - timing, timing=timing, equivalent=len(equivalent),
                    surviving=surviving, told=told, cases=hunt.cases, seconds=round(time.monotonic() - start, 1))


def _seen(answer: Answer) -> str:
    return f" (differs in cycle {answer.cycle})" if answer.equal is False else ""


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

    def drop(self, mutants: set[Mutant]) -> set[Mutant]:
        """They are not alive any more."""
        self.alive = [mutant for mutant in self.alive if mutant not in mutants]
        return mutants

    def give(self, stimuli: Iterator[tuple[dict[str, Words], Streams]], most: int) -> None:
        """So many transactions more to those that are open, or as many as there is patience for."""
        given, until = 0, time.monotonic() + PATIENCE
        for n, (raw, streams) in enumerate(stimuli, ROUNDS):
            if not self.open() or given >= most or time.monotonic() > until:
                break
            given += self.round(raw, streams, seed=n, stalls=STALLS[1:] if n % 2 else STALLS[:1])

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
