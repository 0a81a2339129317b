"""What a ternary accelerator is programmed with: one instruction a matrix.

Vectors are integers of 16 bits, or sums of 32, a word of the vector memory each. The external memory holds matrices, in words of
``tables`` bytes (:mod:`.ternary_tiles`).

* **STORE** moves ``count`` words of the vector memory from ``x`` on to the external memory, from word ``memory`` on: ``tables / 4`` of
  them make a word there, the first the lowest.
* **LOAD** moves them back: ``count`` words to ``y``.
* **PRODUCT** multiplies the matrix at ``memory``, of ``rows`` rows and ``columns`` columns in ``tiles`` tiles, by the int8 vector at ``x``:
  exact sums to ``y``.
* **LINEAR** is a BitLinear (:class:`.bitlinear.BitLinear`) of the vector at ``x``, with the gain at ``gain``, and ``multiplier``, ``shift``
  and ``eps`` for its scale; outputs of 16 bits to ``y``. With ``adds``, the vector at ``residual`` is added; with ``relu``, what is
  negative then is 0.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .instruction import Field, fields_of, pack, unpack

__all__ = ["LOG_FIELDS", "TABLE", "Instruction", "Op", "decode", "encode"]

LOG_FIELDS = ("cycles", "quantising", "waiting", "building", "looking", "writing")
"""32-bit counters kept for each instruction: clock cycles from fetch to last write; until the codes were known; and where the product's
cycles went: no weights came, tables were not ready, a lookup, sums were not taken."""


class Op(IntEnum):
    """What an instruction does; any other code is an error."""
    HALT = 0
    STORE = 1
    LOAD = 2
    PRODUCT = 3
    LINEAR = 4


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, fields as in :data:`TABLE`."""
    op: Op = Op.HALT
    x: int = 0
    y: int = 0
    gain: int = 0
    residual: int = 0
    memory: int = 0
    count: int = 1
    rows: int = 2
    columns: int = 1
    tiles: int = 1
    multiplier: int = 0
    shift: int = 0
    eps: int = 0
    adds: int = 0
    relu: int = 0


def _table() -> tuple[Field, ...]:
    layout = [("op", 4, False, 0), ("x", 18, False, 0), ("y", 18, False, 0), ("gain", 18, False, 0), ("residual", 18, False, 0),
              ("memory", 24, False, 0), ("count", 18, False, 1), ("rows", 16, False, 1), ("columns", 16, False, 1), ("tiles", 12, False, 1),
              ("multiplier", 18, False, 0), ("shift", 8, True, 0), ("eps", 32, False, 0), ("adds", 1, False, 0), ("relu", 1, False, 0)]
    return fields_of(layout)


TABLE = _table()
"""Every field, from bit 0 up."""


def encode(program: Iterable[Instruction]) -> bytes:
    """Program memory image: little-endian words of :data:`~.instruction.BYTES` bytes.

    Raises
    ------
    ValueError
        If a field does not fit.
    """
    return b"".join(pack(TABLE, {f.name: int(getattr(instruction, f.name)) for f in TABLE}, pc) for pc, instruction in enumerate(program))


def decode(image: bytes) -> list[Instruction]:
    """Program of a memory image.

    Raises
    ------
    ValueError
        If the length is not a multiple of :data:`~.instruction.BYTES` or an operation is unknown.
    """
    return [Instruction(op=Op(values.pop("op")), **values) for values in unpack(TABLE, image, max(Op))]
