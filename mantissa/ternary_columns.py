"""How a ternary matrix lies in the device's memory column by column, so that columns can be left out.

A word is ``lanes`` radix-3 bytes, ``5 * lanes`` weights of one column; a column is whole words one after another, filled up with zeros, and
columns follow along K. So weights (N, K) are bytes (K, words, lanes).
"""
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .ternary import GROUP, Bytes, Trits, check_trits, pack_radix3, unpack_radix3

__all__ = ["column_words", "pack_columns", "unpack_columns"]


def column_words(rows: int, lanes: int) -> int:
    """Words of a column of ``rows`` weights."""
    if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= 1024:
        raise MantissaError(f"Lanes must be an integer from 1 to 1024, not {lanes!r}")
    return -(-rows // (GROUP * lanes))


def pack_columns(trits: npt.ArrayLike, lanes: int) -> Bytes:
    """Bytes (K, words, lanes) of trits (N, K)."""
    array = check_trits(trits)
    if array.ndim != 2:
        raise MantissaError(f"Ternary weights must be (N, K), not {array.shape}")
    rows, columns = array.shape
    words = column_words(rows, lanes)
    padded = np.zeros((columns, words * lanes * GROUP), np.int8)
    padded[:, :rows] = array.T
    return pack_radix3(padded).reshape(columns, words, lanes)


def unpack_columns(packed: npt.ArrayLike, rows: int) -> Trits:
    """Trits (rows, K) of bytes (K, words, lanes); what is padding must be zeros."""
    array = np.asarray(packed)
    if array.ndim != 3 or column_words(rows, array.shape[2]) != array.shape[1]:
        raise MantissaError(f"Columns of {rows} rows must be (K, words, lanes), not {array.shape}")
    trits = unpack_radix3(array.reshape(array.shape[0], -1))
    if trits[:, rows:].any():
        raise MantissaError(f"Columns must be padded with zeros after {rows} rows")
    return trits[:, :rows].T
