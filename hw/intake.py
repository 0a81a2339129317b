"""What multiplier-accumulators begin and end with: registers that are zero where nothing comes in, an accumulator that is the output."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, ResetSignal, Signal, Value

from .carry import Chain, Term, clear, close_all

__all__ = ["accumulate", "intake"]


def intake(m: Module, advance: Value, i: Any, o: Any, zeroed: Sequence[tuple[Signal, Value]], *, stages: int) -> Signal:
    """Registers of the first stage, and ``first`` and ``last`` through all ``stages`` to the accumulator, which ``first`` is returned for.

    Where nothing comes in, and at reset, the registers ``zeroed``, given with what they take, get their initial values and both flags
    become zero by one gate, so that what follows need not know, and there is no bit for valid. ``o.valid`` is ``last``, one stage after.
    """
    empty = Signal()
    first, last = Signal(reset_less=True), Signal(reset_less=True)
    begin, end = Signal(stages - 1, reset_less=True), Signal(stages - 1)
    pairs = [*zeroed, (first, i.p.first), (last, i.p.last)]
    # In the ports' terms rather than as a function of advance, which may be in a carry cell.
    m.d.comb += [i.ready.eq(advance), empty.eq(ResetSignal(allow_reset_less=True) | ((~o.valid | o.ready) & ~i.valid))]
    with m.If(empty):
        m.d.sync += [register.eq(register.init) for register, _ in pairs]
    with m.Elif(advance):
        m.d.sync += [register.eq(value) for register, value in pairs]
    with m.If(advance):
        m.d.sync += [begin.eq(Cat(first, begin)), end.eq(Cat(last, end)), o.valid.eq(end[-1])]
    return begin[-1]


def accumulate(m: Module, advance: Signal, o: Any, begin: Value, chains: Sequence[Chain], added: Sequence[Term], *,
               carry: Term | Value | int = 0, start: Value | None = None) -> None:
    """The output register ``o.p.sum`` and its adder, on the last of ``chains``, which are closed; and ``advance``, on any of them.

    Where it begins, it does so from ``start``, or from zero.
    """
    acc = Signal(len(o.p.sum), reset_less=True)
    kept = [clear(bit, begin) for bit in acc] if start is None else [
        Term(0b11011000, (begin, first, bit)) for first, bit in zip(start, acc, strict=True)]
    after = chains[-1].add(kept, added, len(acc), carry=carry)
    m.d.comb += [o.p.sum.eq(acc), advance.eq(close_all(chains, Term(0b1101, (o.valid, o.ready))))]
    with m.If(advance):
        m.d.sync += acc.eq(Cat(after))
