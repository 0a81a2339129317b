"""Number formats: kinds, names, decoding and encoding.

>>> encode(get("e4m3"), [1.0, -500.0]).tolist()
[56, 254]
>>> decode(get("e4m3"), [56, 254]).tolist()
[1.0, -448.0]
"""
from __future__ import annotations

import difflib
from functools import lru_cache
import re

from .codes import OVERFLOWS, Codes, decode, encode, limits
from .errors import MantissaError
from .kinds import MAX_WIDTH, Float, Format, Int, Top, Values

__all__ = ["BF16", "E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "FP16", "INT4", "INT8", "INT16", "OVERFLOWS", "STANDARD",
           "UINT8", "Codes", "Float", "Format", "Int", "Top", "Values", "decode", "encode", "get", "limits"]

INT4 = Int(name="int4", width=4)
INT8 = Int(name="int8", width=8)
INT16 = Int(name="int16", width=16)
UINT8 = Int(name="uint8", width=8, signed=False)
E2M1 = Float(name="e2m1", exp=2, man=1, top=Top.NUMBERS)
E2M3 = Float(name="e2m3", exp=2, man=3, top=Top.NUMBERS)
E3M2 = Float(name="e3m2", exp=3, man=2, top=Top.NUMBERS)
E4M3 = Float(name="e4m3", exp=4, man=3, top=Top.NAN)
E5M2 = Float(name="e5m2", exp=5, man=2, top=Top.IEEE)
BF16 = Float(name="bf16", exp=8, man=7, top=Top.IEEE)
FP16 = Float(name="fp16", exp=5, man=10, top=Top.IEEE)

_ALL: tuple[Format, ...] = (
    *(Int(name=f"{'' if signed else 'u'}int{width}", width=width, signed=signed)
      for signed in (True, False) for width in range(1, MAX_WIDTH + 1)),
    E2M1, E2M3, E3M2, E4M3, E5M2, BF16, FP16)

STANDARD = {fmt.name: fmt for fmt in _ALL}
"""Formats somebody else has given a name and a meaning, and every integer."""


@lru_cache(maxsize=256)
def get(name: str) -> Format:
    """Format called ``name``.

    One of :data:`STANDARD` (``int8``, ``uint4``, ``e4m3``, ``bf16`` ...); or ``eXmY_ieee``, ``eXmY_nan``,
    ``eXmY_numbers`` for any :class:`Float` under that :class:`Top`; or ``eXmY`` alone, which is the standard's
    if there is one and otherwise ``numbers``, the generic minifloat.

    Raises
    ------
    MantissaError
        If there is none; the sentence names the nearest ones.
    """
    if name in STANDARD:
        return STANDARD[name]
    parts = re.fullmatch(r"e([1-9]\d?)m(0|[1-9]\d?)(?:_(ieee|nan|numbers))?", name) if isinstance(name, str) else None
    if parts is None:
        near = difflib.get_close_matches(str(name), STANDARD, n=4, cutoff=0.5)
        hint = f" (near it: {', '.join(near)})" if near else ""
        raise MantissaError(f"Format must be intN, uintN, eXmY, bf16 or fp16, not {name!r}{hint}")
    try:
        return Float(name=name, exp=int(parts[1]), man=int(parts[2]), top=Top[(parts[3] or "numbers").upper()])
    except ValueError as error:
        raise MantissaError(str(error)) from None
