"""L-Mul: the product of two floats as one addition of their codes."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Value

from ..errors import MantissaError
from ..formats import Float, Top, get_scalar
from .carry import ONE, ZERO, Chain, Term

__all__ = ["OFFSETS", "check_float", "check_offset", "field_sum", "normal", "offset_of", "special"]

OFFSETS = ("published", "zero", "1/16")
"""What is added to the sum of the fractions: that of the paper, 2 ** -l; nothing, which is Mitchell's product; 1/16 for any fraction."""


def check_float(name: object, widest: int) -> Float:
    """Signed float of at most ``widest`` bits, with a fraction, called ``name``."""
    try:
        fmt = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fmt, Float) or not fmt.signed or fmt.top is Top.FNUZ or fmt.width > widest or fmt.exp < 2 or not fmt.man:
        raise ValueError(f"Format must be a signed float of at most {widest} bits, with two of exponent and one of fraction, not {name!r}")
    return fmt


def check_offset(offset: object) -> str:
    """Refuse what is not an offset."""
    if offset not in OFFSETS:
        raise ValueError(f"Offset must be one of {', '.join(OFFSETS)}, not {offset!r}")
    return str(offset)


def offset_of(fmt: Float, offset: str) -> tuple[int, int]:
    """What is added to a sum of fractions, in units of its last bit, and how many bits more than the format's it has.

    The paper's ``l`` is the number of fraction bits up to three, three for four, and four beyond.
    """
    if offset == "zero":
        return 0, 0
    place = 4 if offset == "1/16" or fmt.man > 4 else min(fmt.man, 3)
    return 1 << max(fmt.man - place, 0), max(place - fmt.man, 0)


def field_sum(chain: Chain, a: Sequence[Value], b: Sequence[Value], constant: int, width: int) -> list[Value]:
    """Low ``width`` bits of ``a + b + constant``, one half of a carry cell a bit.

    A bit's two signals and the constant's bit make a bit and a carry, each a function of the two, so that the half adds functions of
    two signals to functions of two.
    """
    bits, carries = [], [ZERO]
    for k in range(width):
        one = constant >> k & 1
        if k < len(a):
            bits.append(Term(0b1001 if one else 0b0110, (a[k], b[k])))
            carries.append(Term(0b1110 if one else 0b1000, (a[k], b[k])))
        else:
            bits.append(ONE if one else ZERO)
            carries.append(ZERO)
    return chain.add(bits, carries[:width], width)


def normal(fmt: Float, code: Value) -> Value:
    """Whether a code is a normal number, or not a number: its exponent is not zero."""
    return code[fmt.man:fmt.man + fmt.exp].any()


def special(fmt: Float, code: Value) -> Value:
    """Whether a code is not a number, infinities included."""
    match fmt.top:
        case Top.IEEE:
            return code[fmt.man:fmt.man + fmt.exp].all()
        case Top.NAN:
            return code[:fmt.man + fmt.exp].all()
        case _:
            return Const(0, 1)
