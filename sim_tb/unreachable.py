"""States that a design does not reach, found one at a time, each generalised until no step leads into it from outside."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import z3

__all__ = ["Unreachable"]

Term = Any
"""A term of the solver, whose types do not know its operators."""

Cube = frozenset[tuple[str, int, bool]]
"""Bits of registers and their values: the states in which they have them."""

DEPTH = 4
"""Steps back that are looked at."""

TRIES = 60
"""Questions about one state."""

MANY = 24
"""Bits from which on they are not tried one by one."""

EFFORT = 1_000_000
"""What the solver may spend on one of them, in its own units."""


class Unreachable:
    """Clauses that hold in every state once a design was reset, and in every step from one in which they all hold.

    Parameters
    ----------
    registers, after
        Variables of the registers by name, and their next values.
    rules
        What inputs and other variables keep to.
    given
        What is known of states already.
    reset
        Whether it is reset.
    """

    def __init__(self, registers: Mapping[str, Term], after: Mapping[str, Term], rules: Term, given: Sequence[Term], reset: Term) -> None:
        self.registers = {name: register for name, register in registers.items() if not z3.is_array(register)}
        self.names = {register.get_id(): name for name, register in self.registers.items()}
        self.after = after
        self.rules, self.reset = rules, reset
        self.clauses = list(given)
        self.control: list[str] = []                    # those that a reset gives a value
        self.begun: set[tuple[str, int, bool]] = set()  # what flags among them then are not
        for name in self.registers:
            first = z3.simplify(z3.substitute(after[name], (reset, z3.BoolVal(True))))
            if not _variables(first):
                self.control.append(name)
                self.begun |= {(name, 0, not z3.is_true(first))} if z3.is_bool(first) else set()
                self.begun |= {(name, 0, not first.as_long())} if z3.is_bv_value(first) and first.size() == 1 else set()
        self.tries = 0

    def exclude(self, model: Term, term: Term) -> bool:
        """Whether the state of ``model``, in which ``term`` is true, is unreachable; there is a clause about it then."""
        self.tries = TRIES
        cube = self._cause(model, term) | self._cube(model, self.control)
        return bool(cube) and self._block(cube, DEPTH)

    def _cube(self, model: Term, names: Iterable[str]) -> Cube:
        found = set()
        for name in names:
            register = self.registers[name]
            value = model.eval(register, model_completion=True)
            if z3.is_bv(register):
                found |= {(name, bit, bool(value.as_long() >> bit & 1)) for bit in range(register.size())}
            else:
                found.add((name, 0, z3.is_true(value)))
        return frozenset(found)

    def _block(self, cube: Cube, depth: int) -> bool:
        while self.tries > 0:
            outcome, found = self._into(cube)
            if outcome == z3.unsat:
                self._found(self._smaller(found))
                return True
            if outcome != z3.sat or not found or not depth or not self._block(found, depth - 1):
                return False
        return False

    def _found(self, cube: Cube) -> None:
        """Adds the clause, and those with another bit that a reset ends, where it has one."""
        self.clauses.append(z3.Not(_all(self.registers, cube)))
        guards = [literal for literal in cube if literal in self.begun]
        for other in sorted(self.begun - cube) if len(guards) == 1 and len(self.begun) < MANY else ():
            outcome, _ = self._into(changed := cube - set(guards) | {other})
            if outcome == z3.unsat:
                self.clauses.append(z3.Not(_all(self.registers, changed)))

    def _into(self, cube: Cube) -> tuple[Any, Cube]:
        """Whether there is a step into a cube from outside of it; if not, a part of it that there is none into, else one that it is from.

        A reset is a step from anywhere.
        """
        self.tries -= 1
        solver = self._solver()
        solver.add(self.rules, z3.Or(self.reset, z3.And([*self.clauses, z3.Not(_all(self.registers, cube))])))
        outcome, part = _part(solver, self.after, cube)
        return outcome, self._cause(solver.model(), _all(self.after, cube)) if outcome == z3.sat else part

    def _smaller(self, cube: Cube) -> Cube:
        """A part of ``cube`` that no step leads into either."""
        for name in sorted({name for name, _, _ in cube}):
            cube = self._without(cube, frozenset(literal for literal in cube if literal[0] == name))
        for literal in sorted(cube) if len(cube) < MANY else ():
            cube = self._without(cube, frozenset([literal]))
        return cube

    def _without(self, cube: Cube, some: Cube) -> Cube:
        less = cube - some
        if not less or self.tries <= 0:
            return cube
        outcome, part = self._into(less)
        return part if outcome == z3.unsat else cube

    def _cause(self, model: Term, term: Term) -> Cube:
        """Of the state of ``model``, a part in which ``term`` is true if all else is as in the model."""
        inputs, names = [], []
        for variable in _variables(term):
            name = self.names.get(variable.get_id())
            if name is not None:
                names.append(name)
            elif z3.is_array(variable):
                return self._cube(model, self.registers)
            else:
                inputs.append(variable == model.eval(variable, model_completion=True))
        solver = self._solver()
        solver.add(z3.Not(term), *inputs)
        whole = self._cube(model, names)
        outcome, part = _part(solver, self.registers, whole)
        return part if outcome == z3.unsat else whole

    def _solver(self) -> z3.Solver:
        solver = z3.Solver()
        solver.set("rlimit", EFFORT)
        return solver


def _part(solver: z3.Solver, terms: Mapping[str, Term], cube: Cube) -> tuple[Any, Cube]:
    """Whether it can be that ``terms`` are in a cube, and the part of the cube that says no."""
    marks = {z3.Bool(f"mark {n}"): literal for n, literal in enumerate(sorted(cube))}
    solver.add(*(z3.Implies(mark, _literal(terms, literal)) for mark, literal in marks.items()))
    outcome = solver.check(*marks)
    core = {mark.decl().name() for mark in solver.unsat_core()} if outcome == z3.unsat else set()
    return outcome, frozenset(literal for mark, literal in marks.items() if mark.decl().name() in core)


def _literal(terms: Mapping[str, Term], literal: tuple[str, int, bool]) -> Term:
    name, bit, value = literal
    term = terms[name]
    true = z3.Extract(bit, bit, term) == 1 if z3.is_bv(term) else term
    return true if value else z3.Not(true)


def _all(terms: Mapping[str, Term], cube: Cube) -> Term:
    return z3.And([_literal(terms, literal) for literal in sorted(cube)])


def _variables(term: Term) -> list[Term]:
    seen, found, todo = set(), [], [term]
    while todo:
        part = todo.pop()
        if part.get_id() not in seen:
            seen.add(part.get_id())
            if z3.is_const(part) and part.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                found.append(part)
            todo += part.children()
    return found
