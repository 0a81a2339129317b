"""Proofs that a mutant is no other design: its outputs are the design's in every cycle, whatever comes in.

Equal means what a user of the streams can see: every ready and valid is equal, and so is every payload that is valid. Inputs do all that
the stream rules allow, resets included. The proof is induction over the pair of design and mutant, which begin in one state. Its
invariant is found by refutation: that each bit of each register is equal in both, or is equal while some control bit has some
value, that both or neither of two values fit some bits, and which values of small registers the design does not reach; whatever the
solver finds a step out of is dropped until nothing is. The outputs must follow, from what is left of it: what they do not follow
from on the way is given up at once, as less will be left.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import combinations
from pathlib import Path
import re
import tempfile
from typing import Any

import z3

from ..design import Design
from .mutants import Mutant, apply, models
from .simulate import layouts_of
from .verilator import SELECTOR

__all__ = ["Prover"]

Term = Any
"""A term of the solver, whose types do not know its operators."""

SCRIPT = """
{library}
hierarchy -check -top {top}
proc
flatten
{fine}
opt_clean
memory_nordff
select -set few t:$mem_v2 r:SIZE<=8 %i
memory_map @few
opt_clean
async2sync
formalff -setundef -clk2ff -hierarchy
setundef -undriven -anyseq
opt_clean
dffunmap
write_smt2 -wires mutated.smt2
"""

SMALL = 5
"""Bits of a register up to which its values are candidates of the invariant."""

WORD = 32
"""Bits of a register up to which it is looked at how many of them its value fits, as what is clamped later asks for."""

MOST = 80
"""Candidates of each kind at most."""

EFFORT = 10_000_000
"""What the solver may spend on one question, in its own units, so that a proof does not depend on the machine; what it can not answer is
not proved."""

QUESTIONS = 400
"""Questions until the candidates must have settled; fewer for designs of many registers."""

FEW = 12
"""Questions of a quick proof."""


class Prover:
    """Decides about mutants of one design.

    Parameters
    ----------
    design, mutants
        All that will be asked about.
    """

    def __init__(self, design: Design, mutants: Sequence[Mutant]) -> None:
        self.top = design.name
        self.inputs, self.outputs = layouts_of(design)
        self._read(_smt(design, mutants))
        self.ends, self.next = self._states(0)
        self.begin = z3.And(self._picked(self._first, 0), *(z3.Not(z3.Bool(f"waited {port}")) for port in self.inputs))
        self.rules, self.memory = self._rules()
        self.after = [(self.registers[name], value) for name, value in self.next.items()] + list(self.memory.values())
        self.questions = min(QUESTIONS, 40 + 8000 // (1 + len(self.registers)))
        values, signs = self._signs()
        self.signs = [*signs, *values[:MOST]]
        self.later = z3.substitute(_together(self.signs), *self.after).children()
        self.common = len(self.signs)

    def _read(self, text: str) -> None:
        """Next state and outputs as terms over one variable for each register and input."""
        top = self.top
        wires = {name: int(width) for name, width in re.findall(r"^; yosys-smt2-(?:wire|input|output|register) (\S+) (\d+)$", text, re.M)}
        ends = ["rst", SELECTOR] + [f"{port}__{part}" for port in (*self.inputs, *self.outputs) for part in ("valid", "ready", "payload")]
        ends = [end for end in ends if wires.get(end)]
        text += f"(declare-const now |{top}_s|)\n(declare-const then |{top}_s|)\n(assert (|{top}_t| now then))\n"
        for end in ends:
            sort = "Bool" if wires[end] == 1 else f"(_ BitVec {wires[end]})"
            text += f"(declare-const |end {end}| {sort})\n(assert (= |end {end}| (|{top}_n {end}| now)))\n"
        text += f"(assert (|{top}_i| now))\n"
        parsed = z3.parse_smt2_string(text)
        found: list[Term] = [parsed[n] for n in range(len(parsed))]
        first = found.pop()
        steps, probes = found[:len(found) - len(ends)], found[len(found) - len(ends):]
        steps = [part for step in steps for part in (step.children() if z3.is_and(step) else [step]) if z3.is_eq(part)]
        nexts = {step.arg(1).decl().name(): step.arg(0) for step in steps}
        now = z3.Const("now", z3.DeclareSort(f"{top}_s"))
        self._terms = {term.decl().name(): term for term in _walk(found) if term.num_args() == 1 and term.arg(0).eq(now)}
        self.registers = {name: z3.Const(f"r {name}", term.sort()) for name, term in self._terms.items() if name in nexts}
        self.free = {name: z3.Const(f"i {name}", term.sort()) for name, term in self._terms.items() if name not in nexts}
        self._next = {name: nexts[name] for name in self.registers}
        self._end = {end: probe.arg(1) for end, probe in zip(ends, probes, strict=True)}
        self.selector = self._end[SELECTOR]
        self._first = first

    def _states(self, number: int) -> tuple[dict[str, Term], dict[str, Term]]:
        """Outputs and next state of a mutant."""
        found = self._picked(_together([*self._end.values(), *self._next.values()]), number).children()
        return dict(zip(self._end, found, strict=False)), dict(zip(self._next, found[len(self._end):], strict=True))

    def _picked(self, term: Term, number: int) -> Term:
        """Over the variables, of one mutant."""
        values = {**self.free, **self.registers}
        pairs = [(part, values[name]) for name, part in self._terms.items()]
        selector = z3.substitute(self.selector, *pairs)
        pick = (selector, z3.BoolVal(bool(number)) if z3.is_bool(selector) else z3.BitVecVal(number, selector.size()))
        return z3.simplify(z3.substitute(z3.substitute(term, *pairs), pick))

    def _moved(self, terms: Mapping[str, Term], others: Mapping[str, Term]) -> dict[str, Term]:
        """``terms`` in another state."""
        pairs = [(self.registers[name], other) for name, other in others.items()]
        return dict(zip(terms, z3.substitute(_together(list(terms.values())), *pairs).children(), strict=True)) if pairs else dict(terms)

    def _rules(self) -> tuple[Term, dict[str, tuple[Term, Term]]]:
        """What inputs keep to; and what must be remembered for that, with what becomes of it."""
        rules, memory = [], {}
        for port in self.inputs:
            valid, ready, payload = (self.ends.get(f"{port}__{part}") for part in ("valid", "ready", "payload"))
            waited = z3.Bool(f"waited {port}")
            memory[f"waited {port}"] = waited, z3.And(valid, z3.Not(ready), z3.Not(self.ends.get("rst", z3.BoolVal(False))))
            rules.append(z3.Implies(waited, valid))
            if payload is not None:
                last = z3.Const(f"last {port}", payload.sort())
                memory[f"last {port}"] = last, payload
                rules.append(z3.Implies(waited, payload == last))
        return z3.And(rules), memory

    def _solver(self, given: Iterable[Term]) -> z3.Solver:
        solver = z3.Solver()
        solver.set("rlimit", EFFORT)
        solver.add(self.rules, *given)
        return solver

    @cached_property
    def reached(self) -> list[Term]:
        """Invariant of the design alone: values and pairs of values that it does not reach."""
        single, signs = self._signs()
        candidates = [z3.Not(sign) for sign in single] + [z3.Not(z3.And(a, b)) for a, b in combinations(signs, 2)]
        later = z3.substitute(_together(candidates), *self.after).children()
        alive = list(range(len(candidates)))
        for base in (True, False):
            asked = candidates if base else later
            for _ in range(self.questions):
                solver = self._solver([self.begin] if base else [candidates[n] for n in alive])
                solver.add(z3.Not(z3.And([asked[n] for n in alive])))
                outcome = solver.check()
                if outcome != z3.sat:
                    break
                model = solver.model()
                alive = [n for n in alive if z3.is_true(model.eval(asked[n], model_completion=True))]
            if outcome != z3.unsat:
                return []
        return [candidates[n] for n in alive]

    def _signs(self) -> tuple[list[Term], list[Term]]:
        """Values of small registers and of neighbouring bits, unequal bits of words; bits, small registers that are 0, in pairs too."""
        values: list[Term] = []
        mixed: list[Term] = []
        neighbours: list[Term] = []
        signs: list[Term] = []
        for old, _ in self.memory.values():
            if z3.is_bool(old):
                signs += [old, z3.Not(old)]
        clean: set[int] = set()
        control = {name: register for name, register in self.registers.items() if not _multiplies(self.next[name], clean)}
        for register in sorted(control.values(), key=lambda register: 0 if not z3.is_bv(register) else register.size()):
            if z3.is_bool(register):
                signs += [register, z3.Not(register)]
            elif z3.is_bv(register) and register.size() <= SMALL:
                signs += [register == 0, register != 0]
                values += [register == value for value in range(1 << register.size())] if register.size() > 1 else []
                continue
            if not z3.is_bv(register):
                continue
            mixed.append(z3.And(register != 0, register != -1))
            if register.size() <= 4 * SMALL:
                neighbours += [z3.Extract(bit + 1, bit, register) == value for bit in range(register.size() - 1) for value in range(4)]
        return (mixed[:MOST // 4] + values + neighbours)[:4 * MOST], signs[:MOST]

    def equivalent(self, mutant: Mutant, effort: int = 1) -> bool:
        """Whether the mutant is proved to be the design.

        With effort 0 by few questions, from any state; 1 by as many as it may take, from any state or else from those that the design can
        reach.
        """
        if effort == 0:
            return self._proved(mutant, [], FEW)
        return self._proved(mutant, [], self.questions) or bool(self.reached) and self._proved(mutant, self.reached, self.questions)

    def _proved(self, mutant: Mutant, reached: Sequence[Term], questions: int) -> bool:
        """Whether it is, from states in which all of ``reached`` hold."""
        del self.signs[self.common:], self.later[self.common:]
        ends, after = self._states(mutant.number)
        apart: dict[str, int] = {}                      # bits of registers that may differ
        unless: dict[str, dict[int, int]] = {}          # of those, the bits that are equal all the same under a sign
        both: dict[str, list[int]] = {}                 # bits that both or neither value fits
        for n in range(questions):                      # they begin in one state: all is equal
            others = {name: _mixed(self.registers[name], bits, f"o {name}") for name, bits in apart.items()}
            kept = [z3.Implies(when, z3.Not(_difference(self.registers[name], others[name], equal)))
                    for name, equal, when in _grouped(unless, self.signs)]
            kept += [_fits(self.registers[name], n) == _fits(others[name], n) for name, some in both.items() for n in some]
            if n & (n - 1) == 0 and not self._same(self._moved(ends, others), reached, kept):       # ever more seldom
                return False
            theirs = self._moved(after, others)
            wrong = [_difference(self.next[name], theirs[name], _ones(register) & ~apart.get(name, 0))
                     for name, register in self.registers.items()]
            fallen = [z3.And(when, _difference(self.next[name], theirs[name], equal)) for name, equal, when in _grouped(unless, self.later)]
            fallen += [_fits(self.next[name], n) != _fits(theirs[name], n) for name, some in both.items() for n in some]
            solver = self._solver([*reached, *kept])
            solver.add(z3.Or([*wrong, *fallen]))
            outcome = solver.check()
            if outcome != z3.sat:
                return outcome == z3.unsat and self._same(self._moved(ends, others), reached, kept)
            model = solver.model()
            holds = {n for n, sign in enumerate(self.later) if not z3.is_false(model.eval(sign, model_completion=True))}
            for name, register in self.registers.items():
                bits = _bits(model, self.next[name], theirs[name])
                if not bits:
                    continue
                if name not in apart and not z3.is_array(register):
                    unless[name] = dict.fromkeys(self._useful(register), _ones(register))
                    both[name] = _within(register)
                apart[name] = apart.get(name, 0) | bits
                if name in unless:
                    unless[name] = {n: equal & ~bits if n in holds else equal for n, equal in unless[name].items()}
                    unless[name] = {n: equal for n, equal in unless[name].items() if equal}
                if both.get(name):
                    both[name] = [n for n in both[name] if _holds(model, _fits(self.next[name], n) == _fits(theirs[name], n))]
        return False

    def _useful(self, register: Term) -> list[int]:
        """Signs under which ``register`` may be equal: those of control, and its own bits."""
        own = []
        if z3.is_bv(register):
            own = [z3.Extract(n, n, register) == value for n in range(register.size()) for value in (0, 1)]
            own += [_fits(register, n) for n in _within(register)]
        known = len(self.signs)
        self.signs += own
        self.later += z3.substitute(_together(own), *self.after).children() if own else []
        return [*range(self.common), *range(known, len(self.signs))]

    def _same(self, theirs: Mapping[str, Term], reached: Sequence[Term], kept: Sequence[Term]) -> bool:
        """Whether outputs are equal, as far as they are seen."""
        seen = [(f"{port}__ready", z3.BoolVal(True)) for port in self.inputs]
        for port in self.outputs:
            seen += [(f"{port}__valid", z3.BoolVal(True)), (f"{port}__payload", self.ends[f"{port}__valid"])]
        wrong = [z3.And(when, self.ends[end] != theirs[end]) for end, when in seen if end in self.ends]
        solver = self._solver([*reached, *kept])
        solver.add(z3.Or(wrong))
        return solver.check() == z3.unsat


def _smt(design: Design, mutants: Sequence[Mutant]) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        try:
            apply(design, mutants, SCRIPT.format(top=design.name, library=models(design), fine=""), work)
        except RuntimeError as error:
            if "logic loop" not in str(error):
                raise
            apply(design, mutants, SCRIPT.format(top=design.name, library=models(design), fine="simplemap"), work)      # none of bits
        return (work / "mutated.smt2").read_text()


def _together(terms: Sequence[Term]) -> Term:
    """One term of which these are the children: what they share is then gone through once."""
    return z3.Function(f"together {len(terms)}", *(term.sort() for term in terms), z3.BoolSort())(*terms)


def _grouped(unless: Mapping[str, Mapping[int, int]], signs: Sequence[Term]) -> Iterator[tuple[str, int, Term]]:
    """Registers, bits that are equal, and when they are: any of some signs."""
    for name, equals in unless.items():
        groups: dict[int, list[Term]] = {}
        for n, equal in equals.items():
            groups.setdefault(equal, []).append(signs[n])
        for equal, some in groups.items():
            yield name, equal, z3.Or(some)


def _walk(terms: Iterable[Term], skip: AbstractSet[int] = frozenset(), seen: set[int] | None = None) -> Iterable[Term]:
    """Every part of ``terms`` once, but those in ``skip``, by identity; ``seen`` is added to."""
    seen, todo = set() if seen is None else seen, list(terms)
    while todo:
        term = todo.pop()
        if (number := term.get_id()) not in seen and number not in skip:
            seen.add(number)
            yield term
            todo += term.children()


def _mixed(register: Term, apart: int, name: str) -> Term:
    """The register, with the bits ``apart`` any."""
    if not apart:
        return register
    other = z3.Const(name, register.sort())
    if not z3.is_bv(register):
        return other
    mask = z3.BitVecVal(apart, register.size())
    return (other & mask) | (register & ~mask)


def _multiplies(term: Term, clean: set[int]) -> bool:
    """Whether two variables are multiplied on the way to ``term``; ``clean`` are terms known to be without that, it is added to."""
    seen: set[int] = set()
    for part in _walk([term], clean, seen):
        if z3.is_app(part) and part.decl().kind() == z3.Z3_OP_BMUL and not any(z3.is_bv_value(factor) for factor in part.children()):
            return True
    clean |= seen
    return False


def _within(register: Term) -> list[int]:
    """Numbers of bits that the value of a word, not a wide one, may fit."""
    return list(range(2, register.size())) if z3.is_bv(register) and register.size() <= WORD else []


def _fits(word: Term, bits: int) -> Term:
    """Whether a word, taken as signed, has a value of so many bits."""
    top = z3.Extract(word.size() - 1, bits - 1, word)
    return z3.Or(top == 0, top == -1)


def _holds(model: Term, term: Term) -> bool:
    return z3.is_true(model.eval(term, model_completion=True))


def _ones(register: Term) -> int:
    return (1 << register.size()) - 1 if z3.is_bv(register) else 1


def _difference(a: Term, b: Term, bits: int) -> Term:
    """Whether some of ``bits`` differ."""
    if a.eq(b) or not bits:
        return z3.BoolVal(False)
    if not z3.is_bv(a) or bits == _ones(a):
        return a != b
    mask = z3.BitVecVal(bits, a.size())
    return (a & mask) != (b & mask)


def _bits(model: Term, a: Term, b: Term) -> int:
    """The bits that differ."""
    if a.eq(b):
        return 0
    if not z3.is_bv(a):
        return int(z3.is_true(model.eval(a != b, model_completion=True)))
    return model.eval(a ^ b, model_completion=True).as_long()
