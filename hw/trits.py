"""Packed ternary weights to trits."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .pipeline import Pipeline

__all__ = ["CODES", "Code", "TritUnpack"]


class Code(NamedTuple):
    """A packing of a few trits.

    Parameters
    ----------
    bits
        Bits of a code.
    trits
        Trits of a code.
    values
        The trits that a code stands for, or nothing if it does not stand for any.
    """
    bits: int
    trits: int
    values: Callable[[int], tuple[int, ...] | None]


def _base_3(value: int, trits: int) -> tuple[int, ...]:
    """Digits less one, the first most significant."""
    return tuple(value // 3 ** n % 3 - 1 for n in reversed(range(trits)))


def _tl1(code: int) -> tuple[int, ...] | None:
    return _base_3(code, 2) if code < 9 else None


def _tl2(code: int) -> tuple[int, ...] | None:
    index, sign = code & 15, code >> 4
    return None if index > 13 or (sign and not index) else _base_3(13 - index if sign else 13 + index, 3)


def _radix3(code: int) -> tuple[int, ...] | None:
    return _base_3(code, 5)[::-1] if code < 243 else None


def _tq1_0(code: int) -> tuple[int, ...] | None:
    value = code * 243 >> 8                                 # the byte is the number in units of 243rds of 256, rounded up
    return _base_3(value, 5) if -(-value * 256 // 243) == code else None


def _two_bits(code: int) -> tuple[int, ...] | None:
    found = tuple((code >> low & 3) - 1 for low in range(0, 8, 2))
    return None if 2 in found else found


CODES = {
    "tl1": Code(4, 2, _tl1),
    "tl2": Code(5, 3, _tl2),
    "radix3": Code(8, 5, _radix3),
    "tq1_0": Code(8, 5, _tq1_0),
    "low_first": Code(8, 4, _two_bits),
    "high_first": Code(8, 4, lambda code: (found := _two_bits(code)) and found[::-1]),
}
"""Packings, as :mod:`mantissa.ternary` has them: TL2's sign is above its index. ``low_first``: bytes of Hugging Face's packed rows and of
TQ2_0, ``high_first``: of I2_S; which rows or columns their trits belong to is the stream's order."""


def _table(code: Value, bits: Sequence[int]) -> Value:
    """One bit of a table, as choices: a case statement this large would become block RAM."""
    if len(set(bits)) == 1:
        return Const(bits[0], 1)
    half = len(bits) // 2
    return Mux(code[-1], _table(code[:-1], bits[half:]), _table(code[:-1], bits[:half]))


def _fractions(code: Value, trits: int, bad: Value) -> list[Value]:
    """Bits of the digits of a fraction, each the integer part of three times what the one before left."""
    found = []
    for _ in range(trits):
        tripled = (code + (code << 1))[:10]
        code, digit = tripled[:8], tripled[8:]
        found += [~digit[0] & ~bad, ~digit.any() & ~bad]
    return found


class TritUnpack(wiring.Component):
    """Trits of a code. One code per cycle, one cycle of latency.

    A code that no trits make gives zeros, and ``bad``. The function is left to synthesis.

    Parameters
    ----------
    code : :class:`str`
        Packing, one of :data:`CODES`.

    Members
    -------
    i : :py:`In(stream.Signature({"code": bits}))`
        Codes.
    o : :py:`Out(stream.Signature({"trits": ArrayLayout(signed(2), trits), "bad": 1}))`
        Their trits, the first weight first.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, code: str) -> None:
        if code not in CODES:
            raise ValueError(f"Code must be one of {', '.join(CODES)}, not {code!r}")
        self.code = code
        bits, trits, _ = CODES[code]
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"code": unsigned(bits)}))),
            "o": Out(stream.Signature(data.StructLayout({"trits": data.ArrayLayout(signed(2), trits), "bad": unsigned(1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, trits, values = CODES[self.code]
        pipe = Pipeline(m, self.i, self.o)
        rows = [values(code) for code in range(1 << bits)]
        bad = _table(self.i.p.code, [int(row is None) for row in rows])
        found = _fractions(self.i.p.code, trits, bad) if self.code == "tq1_0" else [
            _table(self.i.p.code, [row[n] >> bit & 1 if row else 0 for row in rows]) for n in range(trits) for bit in range(2)]
        pipe.end(trits=Cat(found), bad=bad)
        return m
