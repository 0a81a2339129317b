"""Adders whose operands are functions of two signals a bit, at one look-up table a bit: the ECP5's carry cells behind one interface."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from amaranth.hdl import Cat, Const, Instance, Module, Signal, Value

__all__ = ["ONE", "ZERO", "Chain", "Term", "both", "clear", "close_all", "inverted", "nand", "plain"]


@dataclass(frozen=True, eq=False)
class Term:
    """One bit of an adder's operand: a function of a few signals, two for most.

    Parameters
    ----------
    table
        Its value at each input, first signal in bit 0 of the index.
    signals
        One-bit values. Two terms share a signal only if it is the same object.
    """
    table: int
    signals: tuple[Value, ...] = ()

    def at(self, point: dict[int, int]) -> int:
        """Value where each signal, by its identity, is as in ``point``."""
        return self.table >> sum(point[id(signal)] << n for n, signal in enumerate(self.signals)) & 1

    @property
    def value(self) -> Value:
        """As gates."""
        total: Value = Const(0)
        for point in range(1 << len(self.signals)):
            if self.table >> point & 1:
                minterm: Value = Const(1)
                for n, signal in enumerate(self.signals):
                    minterm &= signal if point >> n & 1 else ~signal
                total |= minterm
        return total


ZERO, ONE = Term(0), Term(1)


def plain(a: Value) -> Term:
    """``a``."""
    return Term(0b10, (a,))


def inverted(a: Value) -> Term:
    """``~a``."""
    return Term(0b01, (a,))


def both(a: Value, b: Value) -> Term:
    """``a & b``."""
    return Term(0b1000, (a, b))


def nand(a: Value, b: Value) -> Term:
    """``~(a & b)``."""
    return Term(0b0111, (a, b))


def clear(a: Value, b: Value) -> Term:
    """``a & ~b``."""
    return Term(0b0010, (a, b))


@dataclass(frozen=True, eq=False)
class _Half:
    """One half of a carry cell: its table, the signals on A to D, and where its sum goes."""
    init: int
    pins: tuple[Value, ...]
    sum: Value


class Chain:
    """Adders one after another on one carry chain.

    A half of a CCU2C has ``sum = p ^ carry`` and passes ``p ? carry : g`` on, ``p`` being any function of its inputs A to D and
    ``g`` its value at C = D = 0. So a bit of ``x + y`` takes one half for any ``x(A, B)`` and a ``y(C, D)`` that is zero at zero, or for
    any functions of three signals together: the gates of a partial product, the sign of a correction, the clearing of an accumulator
    cost nothing.

    The first half of a chain makes its carry itself, from signal or constant, and does not look at the one that comes in, which stays
    open. A chain that is ``tied`` has a constant on its first cell's carry input instead, which takes no half: placement brings that in
    through a cell, as it does where synthesis ties an open one.

    The next adder on a chain needs nothing between where the carry out of the one before is known: a top bit without operands
    passes on a carry of its own, and an adder whose sum ``fits`` leaves none. Timing analysis does not know that, and times paths
    from one adder into the next; place those that follow each other in data on one chain.

    Without cells, the same words are added by ``+``: the twin, for simulation and other families.

    Parameters
    ----------
    m
        Module for the cells.
    name
        Of the cells.
    cells
        Whether to instantiate CCU2C, or describe.
    tied
        Whether a constant carry of the first adder comes in from outside.
    """

    def __init__(self, m: Module, name: str, *, cells: bool, tied: bool = False) -> None:
        self.m = m
        self.name = name
        self.cells = cells
        self.tied = tied
        self._given: int | None = None
        self._halves: list[_Half] = []
        self._adders = 0
        self._top = "start"

    def add(self, x: Sequence[Term], y: Sequence[Term], width: int, *, carry: Term | Value | int = 0, fits: bool = False) -> list[Value]:
        """Low ``width`` bits of ``x + y + carry``, all unsigned; operands are filled up with zeros. The carry may be a term too.

        ``y`` is the operand that comes later: its signals get the faster inputs where the functions allow it. ``fits`` promises
        that the sum has no more than ``width`` bits; only an adder that nothing follows, or whose top bit has no operands, may do without.

        Raises
        ------
        ValueError
            If an operand is longer than the sum, a bit's functions do not fit a cell, or the adder before may leave a carry.
        """
        if max(len(x), len(y)) > width:
            raise ValueError(f"Operands must have at most {width} bits, not {max(len(x), len(y))}")
        x, y = [*x, *[ZERO] * (width - len(x))], [*y, *[ZERO] * (width - len(y))]
        total = Signal(width, name=f"{self.name}_{self._adders}")
        self._adders += 1
        halves = [_half(*terms, total[k]) for k, terms in enumerate(zip(x, y, strict=True))]
        self._begin(carry)
        self._halves += halves
        free = not x[-1].signals and not y[-1].signals and not x[-1].table and not y[-1].table
        self._top = "free" if free else "zero" if fits else "unknown"
        if not self.cells:
            given = carry.value if isinstance(carry, Term) else carry
            self.m.d.comb += total.eq(Cat(term.value for term in x) + Cat(term.value for term in y) + given)
        return list(total)

    def _begin(self, carry: Term | Value | int) -> None:
        """Make the carry of the next adder."""
        source = carry if isinstance(carry, Term) else Value.cast(carry)
        if self._top == "unknown":
            raise ValueError("Sum of an adder that another follows must fit, and this one may leave a carry")
        if self._top == "zero" and isinstance(source, Const) and source.value == 0:
            return
        if self._top == "start" and self.tied and isinstance(source, Const):
            self._given = source.value & 1
            return
        given = _pass(source, self._halves.pop().sum if self._top == "free" else Signal(name=f"{self.name}_start_{self._adders}"))
        self._halves.append(given)

    @property
    def room(self) -> bool:
        """Whether a cell has an empty half that can take a gate."""
        return self.cells and self._given is not None and len(self._halves) % 2 == 1

    def close(self, gate: Term | None = None) -> Value:
        """Make the cells; nothing can be added any more.

        Returns ``gate``, a function of up to three signals: from the empty half where there is :attr:`room`, at no cost, or as gates.
        """
        made: Value = Const(0) if gate is None else gate.value
        if not self.cells:
            return made
        halves = list(self._halves)
        if gate is not None and self.room:
            made = Signal(name=f"{self.name}_gate")
            halves.insert(0, _gate(gate, self._given or 0, made))
        if len(halves) % 2:
            halves.append(_Half(0, (Const(1),) * 4, Signal(name=f"{self.name}_end")))
        carry: Value | None = None if self._given is None else Const(self._given, 1)
        for n in range(0, len(halves), 2):
            pins: dict[str, Any] = {}
            for k, half in enumerate(halves[n:n + 2]):
                pins |= {f"i_{pin}{k}": signal for pin, signal in zip("ABCD", half.pins, strict=True)}
                pins |= {f"p_INIT{k}": Const(half.init, 16), f"p_INJECT1_{k}": "NO", f"o_S{k}": half.sum}
            if carry is not None:
                pins["i_CIN"] = carry
            carry = Signal(name=f"{self.name}_carry_{n}")
            self.m.submodules[f"{self.name}_{n // 2}"] = Instance("CCU2C", **pins, o_COUT=carry)
        return made


def close_all(chains: Sequence[Chain], gate: Term) -> Value:
    """Make the cells of all chains; ``gate``, in an empty half if one of them has it."""
    taker = next((chain for chain in chains if chain.room), chains[-1])
    return [chain.close(gate) if chain is taker else chain.close() for chain in chains][list(chains).index(taker)]


def _pass(carry: Term | Value, total: Value) -> _Half:
    """Ends the carry that comes in, as its sum, and passes on another."""
    if isinstance(carry, Const):
        return _Half(0b1111 * (carry.value & 1), (Const(1),) * 4, total)
    term = carry if isinstance(carry, Term) else plain(carry)
    table = sum((term.table >> (point & (1 << len(term.signals)) - 1) & 1) << point for point in range(4))
    return _Half(table, (*term.signals, *[Const(1)] * (4 - len(term.signals))), total)


def _gate(gate: Term, carry: int, total: Value) -> _Half:
    """A function of up to three signals, none of them on C, so that the carry that comes in, which is known, goes on."""
    pins = [*gate.signals, *[Const(1)] * (3 - len(gate.signals))]
    table = 0b1111 * carry
    for point in range(8):
        value = gate.table >> (point & (1 << len(gate.signals)) - 1) & 1
        table |= (value ^ carry) << (point & 3 | 4 | point >> 2 << 3)
    return _Half(table, (pins[0], pins[1], Const(1), pins[2]), total)


def _half(x: Term, y: Term, total: Value) -> _Half:
    """One bit of ``x + y``."""
    for pins in _assignments(x, y):
        init = _init(x, y, pins)
        if init is not None:
            return _Half(init, tuple(Const(1) if pin is None else pin for pin in pins), total)
    raise ValueError("Bit of a sum must have a term that is zero at zero, or three signals at most")


def _assignments(x: Term, y: Term) -> Iterator[tuple[Value | None, ...]]:
    """Signals on A to D, the preferred first: ``x`` on A and B, as little as possible on C, as C and D are the faster inputs."""
    for one, other in ((x, y), (y, x)):
        own = _distinct(one.signals)
        more = [signal for signal in _distinct(other.signals) if all(signal is not taken for taken in own)]
        for early in range(3 - len(own)):
            low, high = [*own, *more[:early]], more[early:]
            if len(low) <= 2 and len(high) <= 2:
                yield (*low, *[None] * (2 - len(low)), *[None] * (2 - len(high)), *high)


def _distinct(signals: Sequence[Value]) -> list[Value]:
    return list({id(signal): signal for signal in signals}.values())


def _init(x: Term, y: Term, pins: Sequence[Value | None]) -> int | None:
    """Table of a half with these inputs, those without a signal being one; nothing if its carry would be wrong."""
    table: dict[int, int] = {}
    carries: dict[int, set[int]] = {}
    for levels in product((0, 1), repeat=4):
        if any(pin is None and not level for pin, level in zip(pins, levels, strict=True)):
            continue
        point = {id(pin): level for pin, level in zip(pins, levels, strict=True) if pin is not None}
        index = sum(level << n for n, level in enumerate(levels))
        table[index] = x.at(point) ^ y.at(point)
        if not table[index]:                            # both are equal: the carry out is theirs
            carries.setdefault(index & 3, set()).add(x.at(point))
    for low, wanted in carries.items():
        if len(wanted) > 1 or table.setdefault(low, *wanted) not in wanted:
            return None
    return sum(bit << index for index, bit in table.items())
