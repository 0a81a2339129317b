"""How a ternary matrix lies in the device's memory: radix-3 bytes in tiles.

A word is ``tables`` bytes: of one output, the addresses for one cycle of as many tables. A tile is the words of all outputs, in order,
for the ``5 * tables`` activations the tables then hold; tiles follow along K. So weights (N, K) are bytes (tiles, N, tables), read
from the first to the last; K is padded with zeros, which add nothing.
"""
from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .ternary import GROUP, ZERO, Bytes, Trits, check_trits, pack_radix3, unpack_radix3

__all__ = ["TABLES", "check_tables", "tile", "tiles", "untile"]

TABLES = 8
"""Tables unless said otherwise: words of 64 bits, 40 activations."""


def check_tables(tables: int) -> int:
    if isinstance(tables, bool) or not isinstance(tables, int) or not 1 <= tables <= 1024:
        raise MantissaError(f"Tables must be an integer from 1 to 1024, not {tables!r}")
    return tables


def tiles(columns: int, tables: int = TABLES) -> int:
    """Tiles of rows of ``columns`` weights."""
    return -(-columns // (GROUP * check_tables(tables)))


def tile(trits: npt.ArrayLike, tables: int = TABLES) -> Bytes:
    """Bytes (tiles, N, tables) of trits (N, K)."""
    array = check_trits(trits)
    if array.ndim != 2:
        raise MantissaError(f"Ternary weights must be (N, K), not {array.shape}")
    rows, columns = array.shape
    packed = np.full((rows, tiles(columns, tables) * tables), ZERO, np.uint8)
    whole = columns // GROUP
    packed[:, :whole] = pack_radix3(array[:, :whole * GROUP])
    if whole * GROUP < columns:
        last = np.zeros((rows, GROUP), np.int8)
        last[:, :columns - whole * GROUP] = array[:, whole * GROUP:]
        packed[:, whole:whole + 1] = pack_radix3(last)
    return packed.reshape(rows, -1, tables).transpose(1, 0, 2)


def untile(packed: npt.ArrayLike, columns: int) -> Trits:
    """Trits (N, columns) of bytes (tiles, N, tables); what is padding must be zeros."""
    array = np.asarray(packed)
    if array.ndim != 3 or tiles(columns, array.shape[2]) != array.shape[0]:
        raise MantissaError(f"Tiles of {columns} columns must be (tiles, N, tables), not {array.shape}")
    trits = unpack_radix3(array.transpose(1, 0, 2).reshape(array.shape[1], -1))
    if trits[:, columns:].any():
        raise MantissaError(f"Tiles must be padded with zeros after {columns} columns")
    return trits[:, :columns]
