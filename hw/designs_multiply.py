"""Catalogue entries of multipliers that round, with their golden function."""
from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..formats import decode, encode, get_scalar
from .multiply_float import MultiplyFloat
from .multiply_posit import MultiplyPosit

__all__ = ["DESIGNS", "multiply_float", "multiply_posit", "product"]

COUNT = 1000
"""Pairs of codes drawn."""


def product(name: str, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Codes of the products: the values', exact in float64, encoded once. What is no number is the canonical NaN, or NaR."""
    fmt = get_scalar(name)
    with np.errstate(invalid="ignore"):
        exact = decode(fmt, a) * decode(fmt, b)
    number = ~np.isnan(exact)
    return np.where(number, encode(fmt, np.where(number, exact, 0.0), overflow="special"), encode(fmt, np.nan, overflow="special"))


def _golden(name: str, streams: Streams) -> Streams:
    return {"o": {"p": product(name, streams["i"]["a"], streams["i"]["b"])}}


def _stimulus(name: str, rng: np.random.Generator) -> Streams:
    """Codes at the ends of every run of like ones in each other's company; then any, and pairs whose product is next to the least ones."""
    fmt = get_scalar(name)
    size, values = 1 << fmt.width, np.abs(np.nan_to_num(fmt.table, posinf=0.0))
    edges = np.array([0, 1, 2, size // 4 - 1, size // 4, size // 2 - 2, size // 2 - 1, size // 2])
    man = getattr(fmt, "man", fmt.width - 4)
    top = size // 2 - (1 << man)                        # of a float, infinity
    edges = np.unique(np.concatenate([edges, [1 << man, (1 << man) - 1, top - 1, top, top + 1], size - 1 - edges]) % size)
    a, b = (part.ravel() for part in np.meshgrid(edges, edges))
    any_a, any_b = rng.integers(0, size, (2, COUNT // 2))
    small_a = rng.integers(0, size, COUNT - COUNT // 2)
    least = values[values > 0].min()
    want = least * rng.uniform(0.25, 40.0, len(small_a)) / np.where(values[small_a] > 0, values[small_a], 1.0)
    small_b = encode(fmt, np.clip(want, least, values.max()), overflow="saturate")
    return {"i": {"a": np.concatenate([a, any_a, small_a]), "b": np.concatenate([b, any_b, small_b])}}


def multiply_float(fmt: str) -> Design:
    """Entry of a :class:`MultiplyFloat`."""
    return Design(name=f"multiply_{fmt}", summary=f"Multiplier of {fmt} numbers, rounded to nearest even, subnormals included, one DSP",
                  params={"fmt": fmt, "dsp": True}, component=partial(MultiplyFloat, fmt), golden=partial(_golden, fmt),
                  stimulus=partial(_stimulus, fmt), stateless=True)


def multiply_posit(fmt: str) -> Design:
    """Entry of a :class:`MultiplyPosit`."""
    return Design(name=f"multiply_{fmt}", summary=f"Multiplier of {fmt} numbers, rounded to nearest, one DSP",
                  params={"fmt": fmt, "dsp": True}, component=partial(MultiplyPosit, fmt), golden=partial(_golden, fmt),
                  stimulus=partial(_stimulus, fmt), stateless=True)


DESIGNS: tuple[Design, ...] = (multiply_float("bf16"), multiply_posit("posit16_1"))
