"""Catalogue entries of rounders, with their golden function."""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import encode, get_scalar
from .round import Round

__all__ = ["DESIGNS", "rounded", "rounder"]

SIGNIFICANT = 48
"""Bits kept of a magnitude before it is rounded, the last one standing for all that is below it; formats and random bits have fewer."""


def rounded(fmt: str, sign: npt.ArrayLike, magnitude: npt.ArrayLike, sticky: npt.ArrayLike, frac_bits: int, rounding: str = "half_even",
            overflow: str = "saturate", random: npt.ArrayLike | None = None, random_bits: int = 0) -> npt.NDArray[np.int64]:
    """Codes of numbers of any width, by the golden model."""
    sign = np.asarray(sign)
    values = np.zeros(len(sign))
    for n, (word, more) in enumerate(zip(np.asarray(magnitude).tolist(), np.asarray(sticky).tolist(), strict=True)):
        if not word:
            values[n] = 2.0 ** -1000 if more else 0
            continue
        by = word.bit_length() - SIGNIFICANT
        cut = (word >> by << 1 | (word & (1 << by) - 1 > 0)) if by > 0 else word << 1 - by
        values[n] = np.ldexp(float(cut | more), by - 1 - frac_bits)
    values = np.where(sign == 1, -values, values)
    dice = {"random": np.asarray(random), "random_bits": random_bits} if random_bits else {}
    return encode(get_scalar(fmt), values, rounding, overflow, **dice)           # pyright: ignore[reportArgumentType]


def _golden(fmt: str, frac_bits: int, rounding: str, overflow: str, random_bits: int, streams: Streams) -> Streams:
    i = streams["i"]
    code = rounded(fmt, i["sign"], i["magnitude"], i["sticky"], frac_bits, rounding, overflow, i.get("random"), random_bits)
    if "nan" in i:
        code = np.where(np.asarray(i["nan"]) == 1, encode(get_scalar(fmt), np.nan), code)
    return {"o": {"code": code}}


def _stimulus(fmt: str, width: int, frac_bits: int, random_bits: int, nan: bool, rng: np.random.Generator) -> Streams:
    """Magnitudes of every length and any bits, those of the format, and their neighbours; few with more below."""
    table = get_scalar(fmt).table
    numbers = np.unique(np.abs(table[np.isfinite(table) & (np.abs(table) < 2.0 ** (width - frac_bits))]))
    middles = (numbers[:-1] + numbers[1:]) / 2
    near = [int(np.ldexp(value, frac_bits)) + int(rng.integers(-1, 2))
            for value in np.append(rng.choice(numbers, 300), rng.choice(middles, min(300, 4 * len(middles))))]
    lengths = rng.permutation(np.resize(np.arange(width + 1), 600)).tolist()
    words = [int.from_bytes(rng.bytes(-(-width // 8)), "little") for _ in lengths]
    some = [word & (1 << length) - 1 | (1 << length >> 1) for word, length in zip(words, lengths, strict=True)]
    # A few bits of which the last is one, which is halfway between two codes now and then; and one more far below, or none.
    sparse = []
    for length, bits, below in zip(lengths, rng.integers(1, 16, 600).tolist(), rng.random(600).tolist(), strict=True):
        rest = max(length - bits, 0)
        top = (int(rng.integers(0, 1 << bits)) | 1 << bits - 1 | 1) << rest if length >= bits else 0
        sparse.append(top | (1 << int(below * 1.3 * rest) if below < 1 / 1.3 and rest else 0))
    every = [word for word in [*near, *some, *sparse, (1 << width) - 1] if 0 <= word < 1 << width]
    count = len(every)
    kind = object if width > 63 else np.int64
    more = {"nan": (rng.random(count) < 0.05).astype(np.int64)} if nan else {}
    more |= {"random": rng.integers(0, 1 << random_bits, count)} if random_bits else {}
    return {"i": {"sign": rng.integers(0, 2, count), "magnitude": np.array(every, dtype=kind),
                  "sticky": (rng.random(count) < 0.3).astype(np.int64), **more}}


def rounder(fmt: str, int_bits: int, frac_bits: int, *, rounding: str = "half_even", overflow: str = "saturate", random_bits: int = 0,
            nan: bool = False) -> Design:
    """Entry of a :class:`Round`."""
    params: dict[str, Any] = {"fmt": fmt, "int_bits": int_bits, "frac_bits": frac_bits, "rounding": rounding, "overflow": overflow,
                              "random_bits": random_bits, "nan": nan}
    width = int_bits + frac_bits
    parts = [fmt, f"{width}f{frac_bits}"] + [rounding] * (rounding != "half_even") + ["special"] * (overflow == "special")
    return Design(
        name="round_" + "_".join(parts).replace("-", "n"),
        summary=f"Rounds {width} bits, {frac_bits} after the point, with a sign to {fmt}, {rounding}",
        params=params, component=partial(Round, **params), golden=partial(_golden, fmt, frac_bits, rounding, overflow, random_bits),
        stimulus=partial(_stimulus, fmt, width, frac_bits, random_bits, nan), stateless=True)


DESIGNS: tuple[Design, ...] = (
    rounder("e4m3", 26, 18, nan=True), rounder("e2m1", 14, 2), rounder("posit8_0", 21, 12, nan=True), rounder("posit4_1", 17, 8, nan=True),
    rounder("bf16", 24, 24, nan=True),
    *(rounder("e4m3", 26, 18, rounding=rounding, nan=True) for rounding in ("half_up", "half_away", "floor", "toward_zero")),
    rounder("e4m3", 26, 18, rounding="stochastic", random_bits=8, nan=True),
)
