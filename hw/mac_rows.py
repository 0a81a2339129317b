"""One multiplier of significands that is one, two or four of them: rows whose bits meet only within a lane."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, Signal, Value

from .carry import ZERO, Chain, Term, both, plain
from .mac_pipe import KINDS, Kinds, Pipe

__all__ = ["ROWS", "multiply", "stages_of"]

ROWS = 4
"""Rows that are added in one stage."""

WORD = 16


def _lane(kind: str, place: int) -> int:
    return place * KINDS[kind] // WORD


def _used(widths: Mapping[str, int], kind: str, place: int) -> bool:
    return place % (WORD // KINDS[kind]) < widths[kind]


def _kinds(widths: Mapping[str, int], i: int, j: int) -> tuple[set[str], set[str]]:
    """Kinds in which a bit of ``a`` meets one of ``b``, and those in which both may be set but must not meet."""
    there = {kind for kind in widths if _used(widths, kind, i) and _used(widths, kind, j)}
    same = {kind for kind in there if _lane(kind, i) == _lane(kind, j)}
    return same, there - same


def _columns(widths: Mapping[str, int], j: int) -> list[int]:
    return [i for i in range(WORD) if _kinds(widths, i, j)[0]]


def _plan(widths: Mapping[str, int]) -> list[list[list[int]]]:
    """Rows by stage and chain: one below another where lanes join, side by side where they do not."""
    groups = [[j for j in range(low, low + ROWS) if _columns(widths, j)] for low in range(0, WORD, ROWS)]
    if widths.get("wide", 0) > 2 * ROWS:
        return [[group] for group in groups if group]
    if set(widths) - {"nibble"}:
        plan = [[group for group in (groups[n], groups[n + 2]) if group] for n in range(2)]
        return [chains for chains in plan if chains]
    return [groups]


def stages_of(widths: Mapping[str, int]) -> int:
    """Stages a multiplication takes."""
    return len(_plan(widths))


def multiply(pipe: Pipe, kinds: Kinds, stage: int, a: Value, b: Value, widths: Mapping[str, int], *, cells: bool) -> list[Value | None]:
    """Products, before the register at ``stage + 1 + stages_of(widths)``, of what is before the registers at ``stage + 1``.

    A lane's product is where its operands' lowest bits multiply; bits that are always zero are absent. ``widths`` are the bits of
    significands, by kind. A bit of ``a`` that must not meet a row's in some kind is a register held at zero then for the first rows, whose
    cells have no input to spare, and gated in the adder's cell for all others.
    """
    plan = _plan(widths)
    found: list[Term] = [ZERO] * 2 * WORD
    bits_a, bits_b = list(pipe.register(a, "rows_a")), list(pipe.register(b, "rows_b"))
    for n, chains in enumerate(plan):
        gates: dict[frozenset[str], Value] = {}
        for number, rows in enumerate(chains):
            chain = Chain(pipe.m, f"rows_{n}_{number}", cells=cells)
            first = not any(found[rows[0] + i].signals for i in _columns(widths, rows[0]))
            copies: dict[int, Value] = {}
            for j in rows:
                columns = _columns(widths, j)
                terms = []
                for i in range(columns[0], columns[-1] + 1):
                    same, apart = _kinds(widths, i, j)
                    if not same or not apart:
                        terms.append(both(bits_a[i], bits_b[j]) if same else ZERO)
                        continue
                    key = frozenset(apart)
                    if first and not n:
                        if i not in copies:
                            copies[i] = pipe.register(a[i], f"rows_a_{i}_{number}", zero=kinds.any(apart, stage))
                        terms.append(both(copies[i], bits_b[j]))
                        continue
                    if key not in gates:
                        gates[key] = Signal(name=f"rows_{n}_meet_{len(gates)}")
                        pipe.m.d.comb += gates[key].eq(kinds.any(set(kinds.names) - apart, stage + 1 + n))
                    terms.append(Term(0x80, (bits_a[i], bits_b[j], gates[key])))
                low = j + columns[0]
                if not any(term.signals for term in found[low:low + len(terms)]):
                    found[low:low + len(terms)] = terms
                    continue
                top = j + columns[-1]
                while top + 1 < 2 * WORD and found[top + 1].signals:
                    top += 1
                width = min(top - low + 2, 2 * WORD - low)
                found[low:low + width] = map(plain, chain.add(terms, found[low:low + width], width, fits=low + width == 2 * WORD))
            chain.close()
        if n + 1 < len(plan):
            later = {row for chains in plan[n + 1:] for rows in chains for row in rows}
            found = _terms(pipe, found, f"rows_{n}_sum")
            bits_a = _later(pipe, bits_a, {i for j in later for i in _columns(widths, j)}, f"rows_{n}_a")
            bits_b = _later(pipe, bits_b, later, f"rows_{n}_b")
    return [term.value if term.signals else None for term in found]


def _terms(pipe: Pipe, found: Sequence[Term], name: str) -> list[Term]:
    places = [place for place, term in enumerate(found) if term.signals]
    register = pipe.register(Cat(found[place].value for place in places), name)
    bits = dict(zip(places, register, strict=True))
    return [plain(bits[place]) if place in bits else ZERO for place in range(len(found))]


def _later(pipe: Pipe, bits: Sequence[Value], places: set[int], name: str) -> list[Value]:
    order = sorted(places)
    register = dict(zip(order, pipe.register(Cat(bits[place] for place in order), name), strict=True))
    return [register.get(place, Const(0, 1)) for place in range(len(bits))]
