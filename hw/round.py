"""A sign and a fixed-point magnitude rounded to a float or a posit."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..errors import MantissaError
from ..formats import MODES, RANDOM_BITS, Float, Format, Posit, Top, encode, get_scalar
from .round_parts import falls, level, odd, part, run, widen

__all__ = ["OVERFLOWS", "Register", "Round", "check_magnitude", "check_rounded", "highest_place", "round_code"]

OVERFLOWS = ("saturate", "special")
"""What a number beyond the last finite one becomes, as in :func:`~mantissa.formats.encode`."""

Register = Callable[[Mapping[str, Value]], Mapping[str, Value]]
"""Registers, for the values that live between two steps."""

STEPS = 2
"""Levels between two registers."""


def check_rounded(name: object, rounding: object = "half_even", overflow: object = "saturate", random_bits: object = 0) -> Float | Posit:
    """Float or posit called ``name``, if numbers can be rounded to it in this way.

    Raises
    ------
    ValueError
        If not; the sentence says why.
    """
    try:
        fmt: Format = get_scalar(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not isinstance(fmt, Float | Posit) or isinstance(fmt, Posit) and fmt.width < 3:
        raise ValueError(f"Format must be a float or a posit of at least 3 bits, not {name!r}")
    if rounding not in MODES:
        raise ValueError(f"Rounding must be one of {', '.join(MODES)}, not {rounding!r}")
    if overflow not in OVERFLOWS:
        raise ValueError(f"Overflow must be one of {', '.join(OVERFLOWS)}, not {overflow!r}")
    if isinstance(fmt, Posit) and rounding != "half_even":
        raise ValueError(f"Rounding to a posit must be half_even, not {rounding!r}")
    if isinstance(fmt, Float) and overflow == "special" and (fmt.top is Top.NUMBERS or not fmt.signed):
        raise ValueError(f"Overflow of {name} must be saturate, the format having no code for it or no sign, not 'special'")
    if rounding == "stochastic":
        if isinstance(random_bits, bool) or not isinstance(random_bits, int) or not 1 <= random_bits <= RANDOM_BITS:
            raise ValueError(f"Random bits must be an integer between 1 and {RANDOM_BITS}, not {random_bits!r}")
    elif random_bits != 0:
        raise ValueError(f"Random bits must be 0 unless rounding is stochastic, not {random_bits!r}")
    return fmt


def highest_place(fmt: Float, frac_bits: int) -> int:
    """Place of the leading one of the largest number, in a magnitude."""
    return frac_bits + max(int(encode(fmt, np.finfo(np.float64).max)) >> fmt.man, 1) - fmt.bias


def check_magnitude(fmt: Float | Posit, int_bits: object, frac_bits: object) -> None:
    """Refuse what is not a magnitude's bits before and after the point, or begins above the largest number.

    Raises
    ------
    TypeError, ValueError
        Saying which.
    """
    for value, what in ((int_bits, "Integer bits"), (frac_bits, "Fraction bits")):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{what} must be an integer, not {value!r}")
    assert isinstance(int_bits, int) and isinstance(frac_bits, int)
    if int_bits + frac_bits < 1:
        raise ValueError(f"Integer and fraction bits must be at least 1 together, not {int_bits + frac_bits}")
    least = -fmt.scale if isinstance(fmt, Posit) else -highest_place(fmt, 0)
    if frac_bits < least:
        raise ValueError(f"Fraction bits must be at least {least} for {fmt.name}, not {frac_bits}")


def _as_it_is(values: Mapping[str, Value]) -> Mapping[str, Value]:
    return values


def round_code(fmt: Float | Posit, sign: Value, magnitude: Value, sticky: Value, *, frac_bits: int, rounding: str = "half_even",
               overflow: str = "saturate", nan: Value | None = None, random: Value | None = None, register: Register = _as_it_is) -> Value:
    """Code of ``(-1) ** sign * magnitude * 2 ** -frac_bits``, rounded once: gates, and registers between them if there is a ``register``.

    Parameters
    ----------
    fmt
        What :func:`check_rounded` accepts together with ``rounding`` and ``overflow``.
    sticky
        Whether there is more below the magnitude's last bit, which counts as more than nothing and less than any number.
    frac_bits
        Bits of ``magnitude`` after the point; may be more than there are.
    nan
        Whether it is no number, where the format has a code for that.
    random
        For ``stochastic``.
    register
        Is called with all values that live between two steps, by name, and gives them as they are a step later.
    """
    values = {"sign": sign, "sticky": sticky}
    if nan is not None:
        values["nan"] = nan
    if random is not None:
        values["random"] = random
    if isinstance(fmt, Posit):
        return _posit(fmt, values, magnitude, frac_bits, register)
    return _float(fmt, values, magnitude, frac_bits, rounding, overflow, register)


def _normalised(values: dict[str, Value], word: Value, amounts: list[int], keep: int, register: Register) -> dict[str, Value]:
    """``values``, the upper ``keep`` bits of the ``word`` moved up, and as ``moved`` whether it was in each level, the last one lowest."""
    values |= {"word": widen(word, keep), "moved": Const(0, 0)}
    for n, amount in enumerate(amounts):
        word, moved, lost = level(values["word"], amount, min(len(values["word"]), keep + sum(amounts[n + 1:])))
        values |= {"word": word, "moved": Cat(moved, values["moved"]), "sticky": values["sticky"] | lost}
        if n % STEPS == STEPS - 1 or n == len(amounts) - 1:
            values = dict(register(values))
    return values


def _float(fmt: Float, values: dict[str, Value], magnitude: Value, frac_bits: int, rounding: str, overflow: str,
           register: Register) -> Value:
    largest = int(encode(fmt, np.finfo(np.float64).max))
    body = fmt.exp + fmt.man
    # Places in the magnitude: of the least normal number, of the highest leading one, of the lowest one that a fraction follows.
    least = frac_bits + 1 - fmt.bias
    top = max(least, min(len(magnitude) - 1, highest_place(fmt, frac_bits)))
    lowest = max(least, 0)
    more = len(values["random"]) if "random" in values else 1
    keep = fmt.man + 1 + more
    word, values["big"], below = part(magnitude, lowest - keep + 1, top + 1)
    values["sticky"] = values["sticky"] | below
    amounts = falls(top - lowest)
    values = _normalised(values, word, amounts, keep, register)
    word, moved, sign = values["word"], values["moved"], values["sign"]

    # Moved by all there is, a number has the lowest exponent, or none if it is subnormal or zero.
    stored = lowest - least + 1
    width = (stored + top - lowest + 1 << fmt.man).bit_length()
    exponent = Mux(word[-1], Const(stored, width), 0)
    if odd(top - lowest):
        exponent = Mux(moved[-1], exponent, stored + amounts[0])
        moved = moved[:-1]
    first, second = Cat(word[more:-1], exponent)[:width], Cat(Const(0, fmt.man), ~moved)
    last = first[0] if fmt.man else (first + second)[0]
    up = _up(word[:more], values["sticky"], sign, last, rounding, values.get("random"))
    code = (Cat(Const(1, 1), first) + Cat(up, second))[1:width + 1]          # one adder, whose carry is the increment
    over = values["big"] | (code > largest)
    kept = Cat(code, Const(0, body))[:body]
    if not fmt.signed:
        result = Mux(sign, 0, Mux(over, Const(largest, body), kept))
    else:
        beyond = [largest, largest | 1 << body]
        if overflow == "special" and rounding != "toward_zero":
            beyond = [largest if rounding == "floor" else int(encode(fmt, np.inf, overflow="special")),
                      int(encode(fmt, -np.inf, overflow="special"))]
        signed = sign & kept.any() if fmt.top is Top.FNUZ else sign
        result = Mux(over, Mux(sign, Const(beyond[1], fmt.width), Const(beyond[0], fmt.width)), Cat(kept, signed))
    if "nan" in values:
        result = Mux(values["nan"], Const(int(encode(fmt, np.nan)), fmt.width), result)
    return result[:fmt.width]


def _up(rest: Value, sticky: Value, sign: Value, last: Value, rounding: str, random: Value | None) -> Value:
    """Whether the magnitude is rounded up."""
    match rounding:
        case "half_even":
            return rest & (sticky | last)
        case "half_up":
            return rest & (sticky | ~sign)
        case "half_away":
            return rest
        case "floor":
            return sign & (rest | sticky)
        case "toward_zero":
            return Const(0, 1)
        case _:
            assert random is not None
            return (rest + random)[-1]


def _posit(fmt: Posit, values: dict[str, Value], magnitude: Value, frac_bits: int, register: Register) -> Value:
    # The word begins a power of two of regimes above one, so that the run of bits is as long as the place says, bit by bit.
    above, body = 1 << (fmt.width - 3).bit_length() + fmt.es, fmt.width - 1
    # Without exponent bits, the first bit that is cut off the least numbers is half the least number.
    word, values["big"], below = part(magnitude, frac_bits - fmt.scale - (not fmt.es), frac_bits + fmt.scale)
    values["sticky"] = values["sticky"] | below
    word = Cat(word, Const(0, above - fmt.scale))
    keep = max(body - 2 - fmt.es, 0) + 2
    values = _normalised(values, word, falls(2 * above - 1), keep, register)
    word, place = values.pop("word"), ~values.pop("moved")
    exponent, regime, large = place[:fmt.es], place[fmt.es:-1], place[-1]
    text, lost = run(Cat(word[:-1], exponent, ~large, large), Mux(large, regime, ~regime), large)
    cut = len(text) - body
    values |= {"code": text[cut:], "half": text[cut - 1], "there": word[-1], "some": word.any() | values["sticky"],
               "sticky": values["sticky"] | lost | text[:cut - 1].any()}
    values = dict(register(values))
    code, sign = values["code"], values["sign"]
    code = (code + (values["half"] & (values["sticky"] | code[0])))[:body]
    code = Mux(values["big"], Const((1 << body) - 1, body), Mux(values["there"], code | ~code.any(), values["some"]))
    result = ((Cat(code, Const(0, 1)) ^ sign.replicate(fmt.width)) + sign)[:fmt.width]
    return Mux(values["nan"], Const(1 << body, fmt.width), result) if "nan" in values else result


class Round(wiring.Component):
    """Numbers of sign and magnitude rounded to a float or a posit, once each, one per cycle.

    ``code`` is that of ``(-1) ** sign * magnitude * 2 ** -frac_bits`` as :func:`~mantissa.formats.encode` has it, the sign of a zero
    included. ``sticky`` says that there is more below the magnitude's last bit, which counts as more than nothing and less than any
    number: where the last bit is at or below half the format's step, that is all that rounding has to know. ``nan``, of higher rank
    than all else, gives the format's NaN, or NaR. One global stall; latency is a cycle for every two levels below, and one or two more.

    Floats: the leading one is brought up in levels, but no higher than where the least normal number has its own, so that
    subnormal numbers need nothing else; each level keeps only the bits that can still matter, and notes whether others were ones. What it
    was moved by, inverted, is the exponent; exponent, fraction and increment are one addition. Posits: the place of the leading one,
    in a word that begins a power of two of regimes above one, is the length of the regime, bit by bit; the run of equal bits comes
    of an arithmetic shift, and rounding is on the bit string. The arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Float, or posit of at least 3 bits, by its name in :func:`mantissa.formats.get`. Unsigned floats make zero of what is negative.
    int_bits, frac_bits : :class:`int`
        Bits of the magnitude before and after the point. The one or the other may be negative.
    rounding : :class:`str`
        Any of :data:`mantissa.formats.MODES` for floats; ``half_even`` for posits.
    overflow : :class:`str`
        One of :data:`OVERFLOWS`. Posits never overflow.
    random_bits : :class:`int`
        Bits of ``random``; for ``stochastic`` alone.
    nan : :class:`bool`
        Whether there is a ``nan`` to say that it is no number.

    Members
    -------
    i : :py:`In(stream.Signature({"sign": 1, "magnitude": int_bits + frac_bits, "sticky": 1}))`
        Numbers; and ``nan`` and ``random`` if there are such.
    o : :py:`Out(stream.Signature({"code": width}))`
        Codes.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, int_bits: int, frac_bits: int, rounding: str = "half_even", overflow: str = "saturate",
                 random_bits: int = 0, nan: bool = False) -> None:
        self.fmt = check_rounded(fmt, rounding, overflow, random_bits)
        check_magnitude(self.fmt, int_bits, frac_bits)
        if nan and np.isfinite(self.fmt.table).all():
            raise ValueError(f"Format must have a code for what is no number if there is nan, not be {fmt}")
        self.width = int_bits + frac_bits
        self.frac_bits = frac_bits
        self.rounding = rounding
        self.overflow = overflow
        fields = {"sign": unsigned(1), "magnitude": unsigned(self.width), "sticky": unsigned(1)}
        fields |= ({"nan": unsigned(1)} if nan else {}) | ({"random": unsigned(random_bits)} if random_bits else {})
        super().__init__({"i": In(stream.Signature(data.StructLayout(fields))),
                          "o": Out(stream.Signature(data.StructLayout({"code": unsigned(self.fmt.width)})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        steps = 0

        def register(values: Mapping[str, Value]) -> Mapping[str, Value]:
            nonlocal steps
            steps += 1
            later = {name: Signal(len(value), name=f"{name}_{steps}", reset_less=True) for name, value in values.items()}
            with m.If(advance):
                m.d.sync += [signal.eq(values[name]) for name, signal in later.items()]
            return later

        given = {name: self.i.p[name] for name in ("nan", "random") if name in self.i.p.shape().members}
        code = round_code(self.fmt, self.i.p.sign, self.i.p.magnitude, self.i.p.sticky, frac_bits=self.frac_bits, rounding=self.rounding,
                          overflow=self.overflow, register=register, **given)
        valid = Signal(steps)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)), self.o.p.code.eq(code)]
        return m
