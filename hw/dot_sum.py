"""Sums of many signed words whose gates and carries are inside the adders."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value

from .array_widths import delayed, signed_width
from .carry import Chain, Term, clear, plain

__all__ = ["Summand", "accumulated", "tree"]


@dataclass(frozen=True, eq=False)
class Summand:
    """A signed word: ``terms``, and above them ``sign``, without end; and one more if ``carry`` says so.

    ``largest`` is what its magnitude is at most. Of the functions of two summands that meet in an adder, one is zero at zero.
    """
    terms: Sequence[Term]
    sign: Term
    largest: int
    carry: Term | Value | None = None

    def extended(self, width: int) -> list[Term]:
        """``width`` bits of it."""
        return [*self.terms, *[self.sign] * width][:width]


def tree(m: Module, advance: Value, summands: Sequence[Summand], name: str, *, cells: bool) -> tuple[Summand, int]:
    """Sum of ``summands``, a register after each level of a binary tree; and how many levels that are.

    Every adder takes one of the carries, and so does the one that the sum is for.
    """
    level = 0
    now, carries = list(summands), [summand.carry for summand in summands if summand.carry is not None]
    while len(now) > 1:
        found = []
        for k in range(0, len(now) - 1, 2):
            x, y = now[k:k + 2]
            largest = x.largest + y.largest
            chain = Chain(m, f"{name}_{level}_{k}", cells=cells)
            carry = carries.pop(0) if carries else 0
            total = chain.add(x.extended(signed_width(largest)), y.extended(signed_width(largest)), signed_width(largest), carry=carry)
            chain.close()
            found.append((Cat(total), largest))
        kept = now[len(now) & ~1:]
        now = [_plain(delayed(m, advance, total, 1, f"{name}_sum_{level}_{k}"), largest) for k, (total, largest) in enumerate(found)]
        now += [_later(m, advance, summand, f"{name}_kept_{level}") for summand in kept]
        carries = [delayed(m, advance, carry.value if isinstance(carry, Term) else carry, 1, f"{name}_carry_{level}_{k}")
                   for k, carry in enumerate(carries)]
        level += 1
    only = now[0]
    return Summand(only.terms, only.sign, only.largest, carries[0] if carries else None), level


def accumulated(m: Module, advance: Signal, i: Any, o: Any, total: Summand, nan: Value | None, stages: int, *, cells: bool) -> None:
    """Output registers ``o.p.sum`` and, unless None, ``o.p.nan`` of a unit whose summand comes ``stages`` advances after its operands; and
    its handshakes: a finished sum that is not taken stops it."""
    adds = Signal()
    valid, first, last = Signal(stages), Signal(stages, reset_less=True), Signal(stages, reset_less=True)
    acc = Signal(len(o.p.sum), reset_less=True)
    m.d.comb += [advance.eq(~o.valid | o.ready), adds.eq(advance & valid[-1]), i.ready.eq(advance), o.p.sum.eq(acc)]
    with m.If(advance):
        m.d.sync += [valid.eq(Cat(i.valid, valid)), first.eq(Cat(i.p.first, first)), last.eq(Cat(i.p.last, last)),
                     o.valid.eq(valid[-1] & last[-1])]
    if nan is not None:
        with m.If(adds):
            m.d.sync += o.p.nan.eq((o.p.nan & ~first[-1]) | nan)
    chain = Chain(m, "sum", cells=cells)
    after = chain.add([clear(bit, first[-1]) for bit in acc], total.extended(len(acc)), len(acc),
                      carry=0 if total.carry is None else total.carry)
    chain.close()
    with m.If(adds):
        m.d.sync += acc.eq(Cat(after))


def _plain(word: Value, largest: int) -> Summand:
    bits = [plain(bit) for bit in word]
    return Summand(bits[:-1], bits[-1], largest)


def _later(m: Module, advance: Value, summand: Summand, name: str) -> Summand:
    """A summand, but for its carry, one advance later."""
    terms = [*summand.terms, summand.sign]
    signals = list({id(signal): signal for term in terms for signal in term.signals}.values())
    register = Signal(len(signals), name=name, reset_less=True)
    with m.If(advance):
        m.d.sync += register.eq(Cat(signals))
    bit = {id(signal): register[n] for n, signal in enumerate(signals)}
    terms = [Term(term.table, tuple(bit[id(signal)] for signal in term.signals)) for term in terms]
    return Summand(terms[:-1], terms[-1], summand.largest)
