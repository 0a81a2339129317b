"""Operands of the reconfigurable multiplier-accumulator: significands, exponents and what is not a number."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from .carry import ZERO, Chain, Term, both, plain
from .mac_pipe import Pipe, any_of, maybe, negated

__all__ = ["Select", "Unpacked", "cut", "magnitude", "product_signs", "unpack"]

Select = Callable[..., Value]
"""Names of modes -> whether the mode is one of them; constant where that is known."""


@dataclass(frozen=True, eq=False)
class Unpacked:
    """A word's parts.

    Parameters
    ----------
    significand
        16 bits, each lane's where its code is, before a register two stages after the word.
    exponents
        Of the lanes that begin at each nibble, in registers two stages after the word: each the OR of two, of which one is zero. None
        where no mode has one.
    nan
        Whether the lane that begins at each nibble is no number, in registers one stage after the word.
    """
    significand: Value
    exponents: tuple[tuple[Value, ...], ...]
    nan: tuple[Value, ...]


def cut(inject: Value, keep: Value) -> tuple[Term, Term]:
    """Terms of a position between two adders on a chain: passes the carry on if ``keep``, and ``inject`` otherwise."""
    if isinstance(keep, Const):
        return (Term(0b10, (inject,)), Term(0b10, (inject,))) if not keep.value else (Term(1), ZERO)
    pair = (inject, keep)
    return Term(0b1110, pair), Term(0b0010, pair)


def magnitude(m: Module, word: Value, negates: Value, nibbles: Value, wide: Value, name: str, *, cells: bool) -> Value:
    """Two's complement of the lanes whose top bit is set, where the mode ``negates``: signed numbers without their signs.

    Lanes are nibbles if ``nibbles``, the word if ``wide``, bytes otherwise.
    """
    signs = [Signal(name=f"{name}_negative_{n}") for n in range(4)]
    tops = [word[4 * n + 3] for n in range(4)]
    m.d.comb += [
        signs[3].eq(tops[3] & negates),
        signs[2].eq(Mux(nibbles, tops[2], tops[3]) & negates),
        signs[1].eq(Mux(wide, tops[3], tops[1]) & negates),
        signs[0].eq(Mux(nibbles, tops[0] & negates, signs[1])),
    ]
    x: list[Term] = []
    y: list[Term] = []
    places = []
    for n in range(4):
        keep = wide if n == 2 else negated(nibbles)
        if n and not (isinstance(keep, Const) and keep.value):
            inject, passing = Signal(name=f"{name}_inject_{n}"), Signal(name=f"{name}_keep_{n}")
            m.d.comb += [inject.eq(signs[n]), passing.eq(keep)]
            for terms, term in zip((x, y), cut(inject, keep if isinstance(keep, Const) else passing), strict=True):
                terms.append(term)
        for k in range(4 * n, 4 * n + 4):
            places.append(len(x))
            x.append(Term(0b0110, (word[k], signs[n])))
            y.append(ZERO)
    chain = Chain(m, name, cells=cells)
    total = chain.add(x, y, len(x), carry=signs[0])
    chain.close()
    return Cat(total[place] for place in places)


def product_signs(a: Value, b: Value, nibbles: Value, wide: Value) -> Value:
    """Sign of the product of each quarter of the accumulator."""
    n = [a[4 * n + 3] ^ b[4 * n + 3] for n in range(4)]
    byte = Mux(wide, n[3], n[1])
    return Cat(Mux(nibbles, n[0], byte), byte, Mux(nibbles, n[2], n[3]), n[3])


def unpack(pipe: Pipe, word: Value, select: Select, later: Select, name: str, *, cells: bool, isolate: bool) -> Unpacked:
    """Parts of a word from which :func:`magnitude` has taken the signs of integers and posits.

    First stage: floats' leading bits are put where their significands have them and their exponents taken out, codes of four bits become
    integers, and the run of equal bits that posits begin with is marked, from its second bit on. Second stage: posits' regimes vanish
    and their leading ones appear, in place: nothing is normalised, the exponent counts the places instead.

    ``select`` tells the mode of ``word``, ``later`` that of a stage after it.
    """
    bf16, posit16, posit8, posit4 = (select(mode) for mode in ("bf16", "posit16_1", "posit8_0", "posit4_1"))
    run = _run(word, posit16, posit8)
    normal = [Signal(name=f"{name}_normal_{n}") for n in range(3)]
    e5m2 = select("e5m2")
    pipe.m.d.comb += [*(normal[n].eq(word[8 * n + 3:8 * n + 7].any() | (e5m2 & word[8 * n + 2])) for n in range(2)),
                      normal[2].eq(word[7:15].any() if maybe(bf16) else 0)]
    bits = _prepared(pipe, word, select, normal, name)
    marked = [pipe.register(bit, f"{name}_run_{n}") for n, bit in enumerate(run)]
    exponents = [pipe.register(_fields(word, select, normal, n), f"{name}_field_{n}", zero=_unused(select, n, isolate)) for n in range(4)]
    nan = tuple(pipe.register(_bad(word, select, n), f"{name}_bad_{n}") for n in range(4))
    posit16, posit8 = (later(mode) for mode in ("posit16_1", "posit8_0"))
    significand = _significand(bits, marked, posit16, posit8) if marked else bits
    parts: list[tuple[Value, ...]] = []
    for n, field in enumerate(exponents):
        found = [(field, Const(0, 1))] * (len(field) > 0)
        if maybe(posit8) and n % 2 == 0:
            ones = Cat(bits[4 * n + 6], _count([marked[4 * n + k] for k in range(5, 0, -1)]))
            if found and maybe(posit16) and not n:                  # whose adder has the other posits' as well
                found = [(_or(field, ones & posit8.replicate(len(ones))), Const(0, 1))]
            else:
                found.append((ones, negated(posit8)))
        parts.append(tuple(pipe.register(value, f"{name}_exponent_{n}_{k}", zero=zero) for k, (value, zero) in enumerate(found)))
    if maybe(posit16):
        copy = bits
        if isolate and not isinstance(posit16, Const):
            copy = pipe.register(word[:15], f"{name}_posit", zero=negated(select("posit16_1")))
        scale = _posit16(pipe.m, copy, marked, f"{name}_scale", cells=cells)
        parts[0] = (*parts[0], pipe.register(scale, f"{name}_exponent_posit", zero=negated(posit16)))
    return Unpacked(significand, tuple(parts), nan)


def _run(word: Value, posit16: Value, posit8: Value) -> list[Value]:
    """Whether a posit's bits from a place on, up to its first, are equal; of a posit(8,0), are ones. Place 14 is not kept, 0 not needed."""
    if not maybe(posit16) and not maybe(posit8):
        return []
    run: list[Value] = [Const(0, 1)] * 14
    top = word[14]
    run[13] = Mux(top, word[13] & (posit16 | posit8), ~word[13] & posit16)
    for k in range(12, 7, -1):
        run[k] = run[k + 1] & (word[k] == top)
    bound = top | posit8
    run[7] = posit8 | (run[8] & (word[7] == top)) if maybe(posit16) else posit8
    for k in range(6, 0, -1):
        run[k] = run[k + 1] & (word[k] == bound)
    return run


def _prepared(pipe: Pipe, word: Value, select: Select, normal: Sequence[Value], name: str) -> Value:
    """The word's bits after a stage: floats' significands, codes of four bits as integers, others unchanged."""
    e4m3, e5m2, e2m1, bf16, posit4 = (select(mode) for mode in ("e4m3", "e5m2", "e2m1", "bf16", "posit4_1"))
    bits = [word[k] for k in range(16)]
    for n in range(4):
        low, middle, high, top = bits[4 * n:4 * n + 4]
        if maybe(e2m1):
            bits[4 * n:4 * n + 4] = [low & ~(high & e2m1), Mux(e2m1, (middle & ~high) | (low & high & ~middle), middle),
                                     high & (low | ~middle | ~e2m1), Mux(e2m1, high & middle, top)]
        if maybe(posit4):
            bits[4 * n] = bits[4 * n] | (posit4 & (middle | high))
    for n in range(2):
        if maybe(e4m3) or maybe(e5m2):
            bits[8 * n + 3] = Mux(e4m3, normal[n], bits[8 * n + 3] & ~e5m2)
        if maybe(e5m2):
            bits[8 * n + 2] = Mux(e5m2, normal[n], bits[8 * n + 2])
    if maybe(bf16):
        bits[7] = Mux(bf16, normal[2], bits[7])
    floats = select("e4m3", "e5m2")
    found = []
    for n in range(4):
        zero = select("bf16") if n == 2 else floats if n == 1 else select("bf16", "e4m3", "e5m2") if n == 3 else Const(0, 1)
        rest = any_of(zero, posit4)
        parts = [(4 * n, 4 * n + 1, zero), (4 * n + 1, 4 * n + 4, rest)]
        found += [pipe.register(Cat(bits[low:high]), f"{name}_bits_{low}", zero=reset) for low, high, reset in parts]
    return Cat(found)


def _fields(word: Value, select: Select, normal: Sequence[Value], n: int) -> Value:
    """Exponents of floats and of posit(4,1), as they are in the code; zero in no mode but others have to be made so."""
    choices: list[tuple[Value, Value]] = []
    code = word[4 * n:4 * n + 3]
    low, middle, high = code
    if maybe(select("posit4_1")):
        choices.append((select("posit4_1"), Cat(low & (middle ^ high), middle & ~(low & high), high & ~(low & middle), code.all())))
    if n % 2 == 0:
        some = normal[n // 2]
        if maybe(select("e4m3")):
            choices.append((select("e4m3"), Cat(word[4 * n + 3] | ~some, word[4 * n + 4:4 * n + 7])))
        if maybe(select("e5m2")):
            choices.append((select("e5m2"), Cat(word[4 * n + 2] | ~some, word[4 * n + 3:4 * n + 7])))
    if not n and maybe(select("bf16")):
        choices.append((select("bf16"), Cat(word[7] | ~normal[2], word[8:15])))
    if not choices:
        return Const(0, 0)
    width = max(len(value) for _, value in choices)
    chosen: Value = choices[-1][1]
    for when, value in choices[-2::-1]:
        chosen = Mux(when, value, chosen)
    return chosen[:width]


def _unused(select: Select, n: int, isolate: bool) -> Value:
    """Whether the field at a nibble is to be zero."""
    if n % 2:
        return negated(select("posit4_1")) if isolate else Const(0, 1)
    return negated(select("posit4_1", "e4m3", "e5m2", *["bf16"] * (n == 0)))


def _bad(word: Value, select: Select, n: int) -> Value:
    """Whether the lane that begins at a nibble is no number."""
    found = select("posit4_1") & word[4 * n + 3]
    if n % 2 == 0:
        code = word[4 * n:4 * n + 8]
        found = found | (select("posit8_0") & code[7]) | (code[2:7].all() & (select("e5m2") | (select("e4m3") & code[:2].all())))
    if not n:
        found = found | (select("posit16_1") & word[15]) | (select("bf16") & word[7:15].all())
    modes = ("posit4_1", *["posit8_0", "e5m2", "e4m3"] * (n % 2 == 0), *["posit16_1", "bf16"] * (n == 0))
    return found if maybe(select(*modes)) else Const(0, 1)


def _significand(bits: Value, run: Sequence[Value], posit16: Value, posit8: Value) -> Value:
    """Posits without their regimes.

    A posit(16,1) has its leading one where the exponent's bit was, and its fraction after it. One that has no such bit is 1 with
    regimes of zeros; of ones, 4 if the regime ends in the last bit and 16 if it does not end: their exponents are that of the next smaller.

    A posit(8,0) below one is its bits as an integer. In one that is not, the zero that ends the regime becomes the leading one and the
    ones before it vanish. The largest, which has no zero, is twice the one with five ones.
    """
    top = bits[14]

    def marked(k: int) -> Value:
        return posit16 if k == 14 else run[k]

    found: list[Value] = []
    for k in range(13):
        long = ~marked(k + 1) & (bits[k] | marked(k + 2))
        short = bits[k] ^ run[k + 1]
        if k == 0:
            long = Mux(run[1], bits[0] & ~top, bits[0] | run[2])
        elif k in (2, 4):
            long = long | (run[1] & top & (bits[0] if k == 4 else ~bits[0]))
        elif k in (6, 7):
            short = Const(0, 1)
        if k % 8 == 1:
            short = short | (run[k] & bits[k - 1])
        found.append(_choice(posit8, short, long if maybe(posit16) else bits[k]))
    posit = posit16 | posit8
    found += [(bits[13] ^ (posit8 & top)) & ~posit16, top & ~posit, bits[15] & ~posit]
    return Cat(found)


def _choice(when: Value, one: Value, other: Value) -> Value:
    if isinstance(when, Const):
        return one if when.value else other
    return Mux(when, one, other)


def _count(ones: Sequence[Value]) -> Value:
    """How many of ``ones``, of which each implies those before it."""
    bits = []
    for n in range(len(ones).bit_length()):
        total: Value = Const(0, 1)
        for step in range(1 << n, len(ones) + 1, 1 << n):
            total = total ^ ones[step - 1]
        bits.append(total)
    return Cat(bits)


def _posit16(m: Module, bits: Value, run: Sequence[Value], name: str, *, cells: bool) -> Value:
    """Exponent of a posit(16,1): n + 1 equal bits, 15 - n + e if they are zeros, 17 + 3 n + e if they are ones.

    One chain: e, the bit after the one that ends the run, is the carry that its marks pass on from there.
    """
    ones = [run[13 - k] for k in range(12)]
    count = [Signal(name=f"{name}_{n}") for n in range(4)]
    top = Signal(name=f"{name}_top")
    whole = _count(ones)
    m.d.comb += [Cat(count).eq(Cat(whole[0], whole[1] ^ (run[1] & ~top), whole[2:])), top.eq(bits[14])]
    x, y = [], []
    for k in range(13):
        bit, mark = Signal(name=f"{name}_bit_{k}"), Signal(name=f"{name}_mark_{k}")
        m.d.comb += [bit.eq(bits[k]), mark.eq(run[k + 1])]
        x.append(Term(0b1110, (bit, mark)))
        y.append(Term(0b0010, (bit, mark)))
    for k in range(6):
        x.append(Term(0b1001, (count[k], top)) if k < 4 else plain(top) if k == 4 else ZERO)
        y.append(plain(top) if not k else both(top, count[k - 1]) if k < 5 else ZERO)
    chain = Chain(m, name, cells=cells)
    total = chain.add(x, y, len(x))
    chain.close()
    return Cat(total[13:])


def _or(one: Value, other: Value) -> Value:
    return (one | other)[:max(len(one), len(other))]
