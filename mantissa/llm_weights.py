"""What the readers of ternary files hand over: matrices of trits in pieces, and the scales that go with them."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import fsum, isfinite
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .ternary import Trits

__all__ = ["BLOCK", "WIDEST", "Floats", "Piece", "Shape", "Weights", "absmean_scale", "absmean_trits", "check_matrix", "check_scale",
           "reason", "rows_at_a_time"]

Floats = npt.NDArray[np.float32]

BLOCK = 256
"""Weights of a row that have a scale of their own, where not all have the same."""
WIDEST = 1 << 20
"""Most columns of a matrix: a row is the least that is read at a time."""
_LEAST = np.float32(1e-5)                                   # scale of weights that are almost all zero, as in BitNet


def reason(error: Exception) -> str:
    """What a library said, on one line."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


class Piece(NamedTuple):
    """Some rows: the first's number, trits (n, K), and scales (n, K / BLOCK) where the matrix has no one scale."""
    first: int
    trits: Trits
    scales: Floats | None = None


class Shape(NamedTuple):
    name: str
    rows: int
    columns: int


@dataclass(frozen=True)
class Weights:
    """One matrix of a file.

    Parameters
    ----------
    scale
        What all trits are multiplied by; None where each ``BLOCK`` of a row has its own.
    pieces
        Reads the rows, a few at a time, in any order.
    stored
        What else it takes to give the file's bytes back.
    """
    shape: Shape
    layout: str
    scale: float | None
    pieces: Callable[[], Iterator[Piece]]
    stored: Mapping[str, str] = field(default_factory=dict)


def check_matrix(name: str, shape: tuple[int, ...]) -> Shape:
    """The name and shape of a matrix, if it is one we take."""
    if len(shape) != 2 or min(shape) < 1:
        raise MantissaError(f"Tensor {name!r} must be a matrix, not {shape}")
    if shape[1] > WIDEST:
        raise MantissaError(f"Tensor {name!r} must have at most {WIDEST} columns, not {shape[1]}")
    return Shape(name, *shape)


def check_scale(name: str, value: float) -> float:
    if not isfinite(value) or value <= 0:
        raise MantissaError(f"Scale of {name!r} must be positive and finite, not {value:g}")
    return value


def rows_at_a_time(columns: int, size: int, multiple: int = 1) -> int:
    """Rows to read from a file of ``size`` bytes: about a quarter as many weights as it has bytes, and at most half a million."""
    return max(1, min(size // 4, 1 << 19) // (columns * multiple)) * multiple


def absmean_scale(name: str, pieces: Iterator[Floats], count: int) -> float:
    """Mean magnitude, or 1e-5: summed in float64 by row, the rows exactly, and rounded to float32 once."""
    sums: list[float] = []
    for values in pieces:
        with np.errstate(over="ignore", invalid="ignore"):
            sums.append(fsum(np.abs(values).sum(axis=1, dtype=np.float64).tolist()))
        if not isfinite(sums[-1]):
            raise MantissaError(f"Weights of {name!r} must be finite")
    return float(max(np.float32(fsum(sums) / count), _LEAST))


def absmean_trits(values: Floats, scale: float) -> Trits:
    """Nearest trit of ``values / scale``, in float32, ties to zero as they are to even."""
    with np.errstate(over="ignore"):
        nearest: Trits = np.clip(np.rint(values / np.float32(scale)), -1, 1).astype(np.int8)
    return nearest
