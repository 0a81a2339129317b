"""Error of number formats: what quantising both operands does to dot products of Gaussian numbers."""
from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ..blocks import Block, decode_blocks, encode_blocks, tensor_scale
from ..errors import MantissaError
from ..formats import decode, encode, get
from ..kinds import Format

__all__ = ["METHOD", "quantised", "sqnr"]

DOTS, LENGTH = 2048, 256
TAIL, STEP = 1024, 32
"""Scales are tried on all of the largest magnitudes, which may be clipped, and on one in some of the others."""

SCALES = 2.0 ** np.arange(-16, 6.01, 0.125)
"""Of a tensor, in its root mean square: from what INT16 needs to what a format without numbers above 1/64 would."""

METHOD = (f"Error: {DOTS:,} dot products of {LENGTH} pairs of standard normal numbers, operands encoded and decoded, half to even, "
          "saturating, sums exact; dB from the mean square of the exact results to that of the differences. Formats of single numbers have "
          "one scale per tensor, the eighth of an octave with the least mean square error; block formats their own.")
"""What :func:`sqnr` does, in words."""


def quantised(fmt: Format | Block, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values of the codes nearest to ``values``, which are scaled as the format's users would."""
    if isinstance(fmt, Block):
        scale = tensor_scale(fmt, values) if fmt.rule == "nearest" else None
        return np.asarray(decode_blocks(fmt, encode_blocks(fmt, values, scale=scale), scale=scale))
    flat = values.ravel()[np.argsort(np.abs(values), axis=None)]
    some = np.append(flat[:-TAIL:STEP], flat[-TAIL:])
    weight = np.append(np.full(len(some) - TAIL, STEP), np.ones(TAIL))
    scales = float(np.sqrt(np.square(values).mean())) * SCALES
    errors = [float((weight * np.square(decode(fmt, encode(fmt, some / scale)) * scale - some)).sum()) for scale in scales]
    best = scales[int(np.argmin(errors))]
    return decode(fmt, encode(fmt, values / best)) * best


@cache
def sqnr(operands: str) -> float:
    """Signal to quantisation noise of dot products, dB; of ``operands`` as in :attr:`~mantissa.design.Design.macs`.

    Raises
    ------
    MantissaError
        If a format is not one.
    """
    names = operands.split("*")
    if len(names) > 2:
        raise MantissaError(f"Operands must be one format or two with * between, not {operands!r}")
    rng = np.random.default_rng(0)
    exact = [rng.standard_normal((DOTS, LENGTH)) for _ in range(2)]
    coded = [quantised(get(name), values) for name, values in zip((names[0], names[-1]), exact, strict=True)]
    want, got = ((a * b).sum(axis=1) for a, b in (exact, coded))
    return float(10 * np.log10(np.square(want).mean() / np.square(want - got).mean()))
