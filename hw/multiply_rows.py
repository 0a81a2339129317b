"""Products of gates and adders, with the gates inside the adders."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value

from .carry import ONE, ZERO, Chain, Term, both, nand, plain

__all__ = ["check_groups", "default_groups", "group", "grouped", "registered", "split", "total"]


def check_groups(groups: object, rows: int) -> None:
    """Refuse what is not a number of groups that ``rows`` rows can be split into."""
    most = max(1, rows // 3)
    if not isinstance(groups, int) or isinstance(groups, bool):
        raise TypeError(f"Groups must be an integer between 1 and {most} for {rows} rows, not {groups!r}")
    if not 1 <= groups <= most:
        raise ValueError(f"Groups must be an integer between 1 and {most} for {rows} rows, not {groups!r}")


def default_groups(rows: int) -> int:
    """Groups of about four rows: each row more is a look-up table's delay, each group more an adder."""
    return max(1, min(-(-rows // 4), rows // 3))


def split(rows: int, groups: int) -> list[range]:
    """Rows of each group, the larger ones last."""
    sizes = [rows // groups + (n >= groups - rows % groups) for n in range(groups)]
    return [range(sum(sizes[:n]), sum(sizes[:n + 1])) for n in range(groups)]


def _row(a: Sequence[Value], b: Sequence[Value], j: int, signs: bool) -> list[Term]:
    """Row ``j`` of the partial products, in which nothing is negative: what counts negatively, if there are ``signs``, is inverted.

    Row 0 has its sign in two bits, ``u - 2 u = u + 2 (~u - 1)``, and row ``len(b) - 1`` is the ones' complement. With the one that
    completes it, the constants of all rows together are ``-2 ** (len(a) + len(b) - 1)``.
    """
    *low, top = a
    if not signs:
        return [both(bit, b[j]) for bit in a]
    if j == len(b) - 1:
        return [*(nand(bit, b[j]) for bit in low), both(top, b[j])]
    if j == 0:
        return [both(bit, b[j]) for bit in a] + [nand(top, b[j])]
    return [*(both(bit, b[j]) for bit in low), nand(top, b[j])]


def group(chain: Chain, a: Sequence[Value], b: Sequence[Value], rows: range, *, flip: bool = False, signs: bool = True) -> list[Term]:
    """Sum of consecutive rows of ``a * b + 2 ** (len(a) + len(b) - 1)``, or without ``signs`` of ``a * b``, in units of its first row.

    The first two rows are added to each other, every other one to the sum before. All adders are on ``chain``, which can go on after.

    Parameters
    ----------
    a, b
        Bits of the factors.
    rows
        Bits of ``b``: two at least, and three for one group of several.
    flip
        Whether to invert the top bit. Nothing can follow on the chain then.
    signs
        Whether the factors are signed.
    """
    first, last = rows[0], len(b) - 1
    found = _row(a, b, first, signs)
    for j in rows[1:]:
        done = j - first
        row = _row(a, b, j, signs) + [ONE] * (flip and j == rows[-1])
        found[done:] = map(plain, chain.add(row, found[done:], len(a) + 1, carry=int(signs and j == last)))
    return found


def total(chain: Chain, groups: Sequence[tuple[int, Sequence[Term]]], *, flip: bool = False) -> list[Term]:
    """Sum of groups, each with its first row: ``a * b + 2 ** (len(a) + len(b) - 1)`` in ``len(a) + len(b)`` bits; ``flip`` as there."""
    found = list(groups[0][1])
    for n, (first, more) in enumerate(groups[1:], 2):
        flipped = flip and n == len(groups)
        upper = found[first:] + ([ZERO] * (len(more) - len(found) + first - 1) + [ONE]) * flipped
        found[first:] = map(plain, chain.add(upper, more, len(more), fits=not flipped))
    return found


def registered(m: Module, enable: Value, words: Sequence[Sequence[Term]], name: str) -> list[list[Term]]:
    """Words of terms, one stage later: their signals go through registers, each once."""
    signals = list({id(signal): signal for word in words for term in word for signal in term.signals}.values())
    later = Signal(len(signals), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += later.eq(Cat(signals))
    bit = {id(signal): later[n] for n, signal in enumerate(signals)}
    return [[Term(term.table, tuple(bit[id(signal)] for signal in term.signals)) for term in word] for word in words]


def grouped(m: Module, enable: Value, a: Value, b: Value, name: str, *, signs: bool, cells: bool) -> tuple[list[Term], int]:
    """What :func:`total` makes of :func:`default_groups`, a register after them if there are several; and how many stages that takes."""
    groups = default_groups(len(b))
    rows = split(len(b), groups)
    chains = [Chain(m, f"{name}rows_{n}", cells=cells) for n in range(groups)]
    sums = [group(chain, list(a), list(b), part, signs=signs) for chain, part in zip(chains, rows, strict=True)]
    if groups > 1:
        sums = registered(m, enable, sums, f"{name}sums")
        chains.append(Chain(m, f"{name}total", cells=cells))
    found = total(chains[-1], [(part[0], word) for part, word in zip(rows, sums, strict=True)])
    for chain in chains:
        chain.close()
    return found, int(groups > 1)
