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
    """Clauses that hold in the state that a design begins in, and after every step from one in which they all hold.

    Parameters
    ----------
    registers, after
        Variables of the registers by name, and their next values.
    rules
        What inputs and other variables keep to.
    given
        What is known of states already.
    begin
        What the state that it begins in is known by.
    control
        Names of the registers that a state is told by, beside those that its fault is seen in.
    """

    def __init__(self, registers: Mapping[str, Term], after: Mapping[str, Term], rules: Term, given: Sequence[Term], begin: Term,
                 control: Iterable[str]) -> None:
        self.registers = {name: register for name, register in registers.items() if not z3.is_array(register)}
        self.names = {register.get_id(): name for name, register in self.registers.items()}
        self.after = after
        self.rules, self.begin = rules, begin
        self.clauses = list(given)
        self.control = [name for name in control if name in self.registers]
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
                self.clauses.append(z3.Not(_all(self.registers, self._smaller(found))))
                return True
            if outcome != z3.sat or not found or not depth or not self._block(found, depth - 1):
                return False
        return False

    def _into(self, cube: Cube) -> tuple[Any, Cube]:
        """Whether there is a step into a cube from outside of it, or it is begun in; if not, a part of it of which that is so too, else
        one that the step is from."""
        self.tries -= 1
        solver, begins = self._solver(), z3.Bool("begins")
        stays = z3.And([*self.clauses, z3.Not(_all(self.registers, cube))])
        solver.add(self.rules, z3.If(begins, self.begin, stays))
        outcome, part = _part(solver, {literal: z3.If(begins, _literal(self.registers, literal), _literal(self.after, literal))
                                       for literal in cube})
        if outcome != z3.sat:
            return outcome, part
        model = solver.model()
        begun = z3.is_true(model.eval(begins, model_completion=True))
        return outcome, frozenset() if begun else self._cause(model, _all(self.after, cube))

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
        outcome, part = _part(solver, {literal: _literal(self.registers, literal) for literal in whole})
        return part if outcome == z3.unsat else whole

    def _solver(self) -> z3.Solver:
        solver = z3.Solver()
        solver.set("rlimit", EFFORT)
        return solver


def _part(solver: z3.Solver, terms: Mapping[tuple[str, int, bool], Term]) -> tuple[Any, Cube]:
    """Whether all ``terms`` can be, and those that say no, by what they stand for."""
    marks = {z3.Bool(f"mark {n}"): literal for n, literal in enumerate(sorted(terms))}
    solver.add(*(z3.Implies(mark, terms[literal]) for mark, literal in marks.items()))
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
