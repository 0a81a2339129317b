"""Pipelined sum of words that are inverted by their signs, with the signs as carries of the adders."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.hdl import Cat, Const, Module, Signal, Value

from .array_widths import check_flag
from .carry import ONE, ZERO, Chain, Term, plain
from .multiply_rows import registered

__all__ = ["Word", "check_flag", "total", "total_width"]


@dataclass(frozen=True, kw_only=True)
class Word:
    """An operand that is never negative.

    Parameters
    ----------
    terms
        Its bits.
    most
        Its largest value.
    chain
        Carry chain of the adder that takes it first; nothing where adders are left to synthesis.
    """
    terms: Sequence[Term]
    most: int
    chain: Chain | None


def total_width(words: int, most: int) -> int:
    """Bits of the sum of ``words`` words and of the signs of all but one of them."""
    return (words * most + words - 1).bit_length()


def total(m: Module, advance: Value, words: Sequence[Word], signs: Sequence[Value], *, bias: int | None, width: int,
          name: str) -> tuple[Value, int]:
    """Sum of ``words`` and ``signs``, and the stages it takes: a register after each level of a binary tree.

    Each adder takes one sign as its carry, so that one sign is left. With ``bias``, a row more adds that sign and takes the bias off.

    Parameters
    ----------
    words, signs
        Registered; as many signs as words, or none. A word is one less than what it stands for where its sign is set.
    bias
        What the sum has too much. :data:`None` leaves the bias and the last sign to others.
    width
        Bits of the sum.
    """
    left, stage = list(signs), 0
    row = list(words)
    while len(row) > 1:
        pairs = [(row[n], row[n + 1]) for n in range(0, len(row) - 1, 2)]
        carries = [left.pop(0) if left else Const(0, 1) for _ in pairs]
        sums = [_sum(m, x, y, carry, f"{name}_{stage}_{n}") for n, ((x, y), carry) in enumerate(zip(pairs, carries, strict=True))]
        sums += row[2 * len(pairs):]
        later = registered(m, advance, [*(word.terms for word in sums), [plain(sign) for sign in left]], f"{name}_{stage}")
        row = [replace(word, terms=terms) for word, terms in zip(sums, later[:-1], strict=True)]
        left = [term.value for term in later[-1]]
        stage += 1
    found = row[0]
    if bias is None:
        return Cat(term.value for term in found.terms)[:width], stage
    constant = Word(terms=[ONE if -bias >> n & 1 else ZERO for n in range(width)], most=0, chain=found.chain)
    found = replace(found, terms=found.terms[:width])        # what is above cancels with the bias
    exact = replace(_add(m, found, constant, left[0] if left else Const(0, 1), width, f"{name}_{stage}"), most=0)
    last = registered(m, advance, [exact.terms], f"{name}_{stage}")[0]
    return Cat(term.value for term in last), stage + 1


def _sum(m: Module, x: Word, y: Word, carry: Value, name: str) -> Word:
    most = x.most + y.most + 1
    return replace(_add(m, x, y, carry, most.bit_length(), name), most=most)


def _add(m: Module, x: Word, y: Word, carry: Value, width: int, name: str) -> Word:
    """Low ``width`` bits of a sum. ``{x, 1} + {y, carry}`` is one adder to synthesis, where a third operand makes a compressor."""
    if x.chain is not None:
        bits = x.chain.add(x.terms, y.terms, width, carry=carry, fits=True)
    else:
        sum_ = Signal(width, name=name)
        m.d.comb += sum_.eq((Cat(1, *(term.value for term in x.terms)) + Cat(carry, *(term.value for term in y.terms)))[1:])
        bits = list(sum_)
    return replace(x, terms=[plain(bit) for bit in bits])
