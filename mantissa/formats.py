"""Number formats: kinds, names, decoding and encoding.

>>> encode(get("e4m3"), [1.0, -500.0]).tolist()
[56, 254]
>>> decode(get("e4m3"), [56, 254]).tolist()
[1.0, -448.0]
>>> encode_blocks(get_block("mxfp4"), [12.0] + [1.0] * 31).scales.tolist()
[128]
"""
from __future__ import annotations

import difflib
from functools import lru_cache
import re

from .bit_switch import switch_bits
from .blocks import RULES, WHOLE, Block, BlockCodes, decode_blocks, encode_blocks, tensor_scale
from .codes import MODES, OVERFLOWS, RANDOM_BITS, Codes, decode, encode, limits
from .errors import MantissaError
from .kinds import MAX_WIDTH, Binary, Fields, Format, Int, SignMagnitude, Ternary, Values, check_int
from .kinds_float import Exponent, Float, Top
from .kinds_posit import Posit
from .kinds_power import PowerOfRootTwo, PowerOfTwo

__all__ = ["BF16", "BINARY", "E2M1", "E2M3", "E3M2", "E4M3", "E5M2", "E8M0", "FP16", "INT4", "INT8", "INT16", "MODES",
           "OVERFLOWS", "POSIT4", "POSIT8", "POSIT16", "RANDOM_BITS", "RULES", "STANDARD", "STANDARD_BLOCKS",
           "TERNARY", "UE4M3", "UE5M3", "UINT8", "WHOLE", "Binary", "Block", "BlockCodes", "Codes", "Exponent",
           "Fields", "Float", "Format", "Int", "Posit", "PowerOfRootTwo", "PowerOfTwo", "SignMagnitude", "Ternary",
           "Top", "Values", "decode", "decode_blocks", "encode", "encode_blocks", "get", "get_block", "get_scalar",
           "limits", "switch_bits", "tensor_scale"]

INT4 = Int(name="int4", width=4)
INT8 = Int(name="int8", width=8)
INT16 = Int(name="int16", width=16)
UINT8 = Int(name="uint8", width=8, signed=False)
BINARY = Binary()
TERNARY = Ternary()
E2M1 = Float(name="e2m1", exp=2, man=1, top=Top.NUMBERS)
E2M3 = Float(name="e2m3", exp=2, man=3, top=Top.NUMBERS)
E3M2 = Float(name="e3m2", exp=3, man=2, top=Top.NUMBERS)
E4M3 = Float(name="e4m3", exp=4, man=3, top=Top.NAN)
E5M2 = Float(name="e5m2", exp=5, man=2, top=Top.IEEE)
BF16 = Float(name="bf16", exp=8, man=7, top=Top.IEEE)
FP16 = Float(name="fp16", exp=5, man=10, top=Top.IEEE)
UE4M3 = Float(name="ue4m3", exp=4, man=3, top=Top.NAN, signed=False)
UE5M3 = Float(name="ue5m3", exp=5, man=3, top=Top.NAN, signed=False)
E8M0 = Exponent(name="e8m0", width=8)
POSIT4 = Posit(name="posit4_1", width=4, es=1)
POSIT8 = Posit(name="posit8_0", width=8, es=0)
POSIT16 = Posit(name="posit16_1", width=16, es=1)

_ALL: tuple[Format, ...] = (
    *(Int(name=f"{'' if signed else 'u'}int{width}", width=width, signed=signed)
      for signed in (True, False) for width in range(1, MAX_WIDTH + 1)),
    *(SignMagnitude(name=f"sm{width}", width=width) for width in range(2, MAX_WIDTH + 1)),
    BINARY, TERNARY, E2M1, E2M3, E3M2, E4M3, E5M2, BF16, FP16, UE4M3, UE5M3, E8M0,
    Float(name="e4m3fnuz", exp=4, man=3, top=Top.FNUZ, extra_bias=1),
    Float(name="e4m3b11fnuz", exp=4, man=3, top=Top.FNUZ, extra_bias=4),
    Float(name="e5m2fnuz", exp=5, man=2, top=Top.FNUZ, extra_bias=1),
    POSIT4, POSIT8, POSIT16, *(Posit(name=f"posit{width}_2", width=width, es=2) for width in (8, 16)),
    *(PowerOfTwo(name=f"pot{width}", width=width) for width in range(2, 9)),
    *(PowerOfRootTwo(name=f"post{width}", width=width) for width in range(2, 9)))

STANDARD = {fmt.name: fmt for fmt in _ALL}
"""Formats of single numbers that somebody else has given a name and a meaning, and every integer."""


def _fixed(width: int, fraction: int) -> Int:
    return Int(name=f"int{width}f{fraction}", width=width, fraction=fraction)


def _dynamic(name: str, width: int) -> Block:
    check_int(width, f"Width of {name}", 2, MAX_WIDTH)
    return Block(name=name, element=_fixed(width, width - 2), scale=E8M0, size=WHOLE, rule="floor")


_BLOCKS = (
    *(Block(name=name, element=element, scale=E8M0, size=32, rule="floor") for name, element in (
        ("mxfp8e4m3", E4M3), ("mxfp8e5m2", E5M2), ("mxfp6e2m3", E2M3), ("mxfp6e3m2", E3M2), ("mxfp4", E2M1), ("mxint8", _fixed(8, 6)))),
    *(Block(name=name, element=element, scale=UE4M3, size=16, rule="nearest") for name, element in (("nvfp4", E2M1), ("nvint4", INT4))),
    *(_dynamic(f"dfp{width}", width) for width in range(2, MAX_WIDTH + 1)))

STANDARD_BLOCKS = {fmt.name: fmt for fmt in _BLOCKS}
"""Block formats by name, with the default rule for their scale."""

_PATTERNS = {
    "float": r"(?P<u>u?)e(?P<exp>[1-9]\d?)m(?P<man>0|[1-9]\d?)(?:_(?P<top>ieee|nan|numbers|fnuz))?",
    "fixed": r"(?P<u>u?)int(?P<width>[1-9]\d?)f(?P<fraction>0|[1-9]\d?)",
    "posit": r"posit(?:(?P<width>\d+)_(?P<es>\d+)|\((?P<width2>\d+), ?(?P<es2>\d+)\))",
    "int": r"(?P<u>u?)int(?P<width>\d+)",
    "sm": r"sm(?P<width>\d+)",
    "pot": r"pot(?P<width>\d+)",
    "post": r"post(?P<width>\d+)",
    "dfp": rf"dfp(?P<width>0|[1-9]\d*)(?:_(?:{'|'.join(RULES)}))?",
}

_SIZES = {"4": ("e2m1",), "6": ("e2m3", "e3m2"), "8": ("e4m3", "e5m2")}
"""Formats of OCP MX 1.0 that go by a size alone, FP8 for example."""


@lru_cache(maxsize=256)
def get(name: str) -> Format | Block:
    """Format called ``name``: one of :data:`STANDARD` or :data:`STANDARD_BLOCKS`, or one of

    ========================  ==============================================================================================
    ``eXmY``, ``ueXmY``       generic minifloat, every code a number; unsigned with ``u``
    ``eXmY_TOP``              the same with another :class:`Top`: ``ieee``, ``nan``, ``numbers``, ``fnuz`` (bias one greater)
    ``intNfF``, ``uintNfF``   integer with ``F`` bits after the point
    ``positN_E``              posit of ``N`` bits, ``E`` of exponent; also ``posit(N,E)``
    ``BLOCK_RULE``            block format with a power of two as scale, by another rule: ``floor``, ``ceil``, ``even``, ``rceil``
    ========================  ==============================================================================================

    Raises
    ------
    MantissaError
        If there is none; the sentence names the nearest ones.
    """
    if name in STANDARD:
        return STANDARD[name]
    if name in STANDARD_BLOCKS:
        return STANDARD_BLOCKS[name]
    try:
        found = _generic(name) if isinstance(name, str) else None
    except ValueError as error:
        raise MantissaError(str(error)) from None
    if found is None:
        near = _near(str(name).lower())
        hint = f" (near it: {', '.join(near)})" if near else ""
        raise MantissaError(f"Format must be intN, uintN, smN, binary, ternary, eXmY, ueXmY, bf16, fp16, e8m0, positN_E, potN, postN, "
                            f"mx..., nv... or dfpN, not {name!r}{hint}")
    return found


def _near(name: str) -> list[str]:
    """Names near ``name``, at most four."""
    size = re.fullmatch(r"(?:fp|float)([468])", name)
    meant = _SIZES[size[1]] if size else ()
    return list(dict.fromkeys((*meant, *difflib.get_close_matches(name, (*STANDARD, *STANDARD_BLOCKS), n=4, cutoff=0.5))))[:4]


def get_scalar(name: str) -> Format:
    """Format of single numbers called ``name``: :func:`get`, but block formats are refused."""
    fmt = get(name)
    if isinstance(fmt, Block):
        raise MantissaError(f"Format must be one of single numbers, not the block format {name!r}")
    return fmt


def get_block(name: str) -> Block:
    """Block format called ``name``: :func:`get`, but formats of single numbers are refused."""
    fmt = get(name)
    if not isinstance(fmt, Block):
        raise MantissaError(f"Format must be a block format, one of {', '.join(STANDARD_BLOCKS)}, not {name!r}")
    return fmt


def _generic(name: str) -> Format | Block | None:
    """Format by a name that says how it is made."""
    base, _, rule = name.rpartition("_")
    if base in STANDARD_BLOCKS and rule in RULES:
        block = STANDARD_BLOCKS[base]
        return Block(name=name, element=block.element, scale=block.scale, size=block.size, rule=rule)
    kind, parts = next(((kind, m.groupdict()) for kind, p in _PATTERNS.items() if (m := re.fullmatch(p, name))), ("", {}))
    signed, width = not parts.get("u"), int(parts.get("width") or 0)
    match kind:
        case "float":
            top = Top[(parts["top"] or "numbers").upper()]
            return Float(name=name, exp=int(parts["exp"]), man=int(parts["man"]), top=top, signed=signed, extra_bias=int(top is Top.FNUZ))
        case "fixed":
            return Int(name=name, width=width, signed=signed, fraction=int(parts["fraction"]))
        case "int":
            return Int(name=name, width=width, signed=signed)
        case "sm":
            return SignMagnitude(name=name, width=width)
        case "pot":
            return PowerOfTwo(name=name, width=width)
        case "post":
            return PowerOfRootTwo(name=name, width=width)
        case "dfp":
            return _dynamic(name, width)
        case "posit":
            width, es = int(parts["width"] or parts["width2"]), int(parts["es"] or parts["es2"])
            standard = f"posit{width}_{es}"
            return STANDARD.get(standard) or Posit(name=standard, width=width, es=es)
        case _:
            return None
