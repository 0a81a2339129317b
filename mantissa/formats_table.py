"""Tables of the formats for the documentation."""
from __future__ import annotations

import numpy as np

from .formats import STANDARD, STANDARD_BLOCKS, WHOLE, Format, limits

__all__ = ["SHOWN", "block_table", "scalar_table"]

SHOWN = ("int2", "int4", "int8", "int16", "uint1", "uint4", "uint8", "uint16", "sm4", "sm8", "binary", "ternary",
         "e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "e4m3fnuz", "e4m3b11fnuz", "e5m2fnuz", "bf16", "fp16", "ue4m3", "ue5m3", "e8m0",
         "posit4_1", "posit8_0", "posit8_2", "posit16_1", "posit16_2", "pot4", "pot8", "post4", "post8")
"""One or more of every family, for the page."""

_BLOCKS = ("mxfp8e4m3", "mxfp8e5m2", "mxfp6e2m3", "mxfp6e3m2", "mxfp4", "mxint8", "nvfp4", "nvint4", "dfp8", "dfp16")


def scalar_table() -> str:
    """Markdown table of the formats of single numbers in :data:`SHOWN`."""
    rows = [_scalar(STANDARD[name]) for name in SHOWN]
    return _markdown(("format", "bits, from the top", "least above 0", "lowest", "highest", "numbers", "NaN", "infinities", "zeros"), rows)


def block_table() -> str:
    """Markdown table of the block formats."""
    rows: list[tuple[str, ...]] = []
    for name in _BLOCKS:
        fmt = STANDARD_BLOCKS[name]
        size = "the tensor" if fmt.size == WHOLE else str(fmt.size)
        rows.append((f"`{name}`", fmt.element.name, size, fmt.scale.name, fmt.rule, _number(fmt.limit), f"{fmt.bits:g}"))
    return _markdown(("format", "element", "block", "scale", "rule", "largest element", "bits a value"), rows)


def _scalar(fmt: Format) -> tuple[str, ...]:
    table = fmt.table
    low, high = limits(fmt)
    spans = sorted(fmt.fields.items(), key=lambda item: -item[1][0])
    layout = " ".join(f"{name} {end - start}" for name, (start, end) in spans if end > start)
    counts = (len(np.unique(table[np.isfinite(table)])), np.isnan(table).sum(), np.isinf(table).sum(), (table == 0).sum())
    return (f"`{fmt.name}`", layout, _number(float(table[table > 0].min())), _number(low), _number(high), *(str(int(n)) for n in counts))


def _number(value: float) -> str:
    """Short: a power of two as one where that is shorter, an integer in full up to six digits, else six digits."""
    part, exponent = np.frexp(value)
    if abs(part) == 0.5 and not 1 <= abs(value) < 1e6:
        return f"{'-' if part < 0 else ''}2^{exponent - 1}"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.6g}"


def _markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * 2 + ("--:",) * (len(head) - 2), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
