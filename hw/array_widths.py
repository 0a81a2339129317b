"""Argument checks, exact widths and the pipelined sum shared by the integer arrays."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value

__all__ = ["check_accumulator", "check_dimension", "check_exact", "check_flag", "check_operand", "delayed", "exact_width", "levels",
           "pipelined_sum", "signed_width"]


def check_dimension(name: str, value: object) -> None:
    """Refuse what is not a positive integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a positive integer, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be a positive integer, not {value!r}")


def check_operand(name: str, value: object) -> None:
    """Refuse what is not an operand width."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer between 2 and 16, not {value!r}")
    if not 2 <= value <= 16:
        raise ValueError(f"{name} must be an integer between 2 and 16, not {value!r}")


def check_flag(name: str, value: object) -> bool:
    """Refuse what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def exact_width(a_width: int, b_width: int, terms: int) -> int:
    """Bits of a signed sum of ``terms`` products that can not overflow; the extreme is all operands most negative."""
    return signed_width(terms << (a_width + b_width - 2))


def signed_width(magnitude: int) -> int:
    """Bits of a signed number of ``-magnitude`` to ``magnitude``."""
    return magnitude.bit_length() + 1


def check_exact(name: str, width: int, exact: int, what: str, wraps: bool) -> None:
    """Refuse an accumulator that has fewer than the ``exact`` bits that ``what`` needs, unless it may wrap."""
    check_flag("Wraps", wraps)
    if width < exact and not wraps:
        raise ValueError(f"{name} must be at least {exact} for {what}, not {width}, unless wraps=True")


def check_accumulator(acc_width: int | None, a_width: int, b_width: int, depth: int, wraps: bool = False, *, product: bool = True) -> int:
    """Accumulator bits asked for, or those that ``depth`` products need; one of the units that need all of a ``product`` has its bits."""
    check_dimension("Depth", depth)
    exact = exact_width(a_width, b_width, depth)
    if acc_width is None:
        acc_width = exact
    check_dimension("Accumulator width", acc_width)
    if product and acc_width < a_width + b_width:
        raise ValueError(f"Accumulator width must be at least {a_width + b_width}, the product's, not {acc_width}")
    check_exact("Accumulator width", acc_width, exact, f"{depth} products of {a_width} by {b_width} bits", wraps)
    return acc_width


def levels(terms: int) -> int:
    """Stages of :func:`pipelined_sum`."""
    return (terms - 1).bit_length()


def delayed(m: Module, advance: Value, value: Value, stages: int, name: str) -> Value:
    """``value``, ``stages`` advances later."""
    for stage in range(stages):
        later = Signal(value.shape(), name=f"{name}_{stage}", reset_less=True)
        with m.If(advance):
            m.d.sync += later.eq(value)
        value = later
    return value


def pipelined_sum(m: Module, advance: Value, terms: Sequence[Value], name: str) -> Value:
    """Sum of ``terms``, a register after each level of a binary tree.

    One adder between registers also keeps Yosys from merging the tree into compressors, which are larger on
    four-input tables.
    """
    level = 0
    while len(terms) > 1:
        pairs = [terms[k] + terms[k + 1] for k in range(0, len(terms) - 1, 2)]
        values = pairs + list(terms[len(pairs) * 2:])
        terms = [delayed(m, advance, value, 1, f"{name}_{level}_{k}") for k, value in enumerate(values)]
        level += 1
    return terms[0]
