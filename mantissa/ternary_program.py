"""What a ternary accelerator is programmed with.

Vectors are integers of 16 bits, or sums of 32, or int8 codes, a word of the vector memory each. STORE, LOAD and MAX take all 32; of values
and gains that are normalised, gated or added the hardware takes the lowest 16, of codes the lowest 8, and the golden machine refuses what
has more. The external memory holds matrices, in
words of ``tables`` bytes (:mod:`.ternary_tiles`).

* **STORE** moves ``columns`` words of the vector memory from ``x`` on to the external memory, from word ``memory`` on: ``tables / 4`` of
  them make a word there, the first the lowest.
* **LOAD** moves them back: ``columns`` words to ``y``.
* **QUANTISE** normalises and quantises ``columns`` values at ``x`` with the gains at ``other``: int8 codes to ``y``. What their products
  must be multiplied by is kept for PRODUCT: :func:`.bitlinear.output_scale` of ``multiplier``, ``shift`` and ``eps``.
* **PRODUCT** multiplies the matrix at ``memory``, of ``rows`` rows and ``tiles`` tiles, by ``columns`` codes at ``x``: sums of 32 bits to
  ``y``, or with ``scales`` outputs of 16 bits, to which the vector at ``residual`` is added with ``adds``, and of which none is negative
  with ``relu``.
* **LINEAR** is both at once, the codes not written anywhere: a BitLinear (:class:`.bitlinear.BitLinear`).
* **MAX** takes the larger of each of ``columns`` words at ``x`` and ``other``.
* **GATE** is ``relu(x)**2 * other`` of ``columns`` values with one exponent, which is dropped (:func:`.bitlinear.gated_square`): the norm
  that follows cancels it.

After every ``run`` words that are read from ``x`` and ``other``, ``skip`` are left out, and after every ``out_run`` written to ``y``,
``out_skip``: so a convolution reads its windows where the codes lie, and its codes get a border; a pool reads every other row or column.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .instruction import Field, fields_of, pack, unpack

__all__ = ["LOG_FIELDS", "LOG_WORDS", "TABLE", "Instruction", "Op", "decode", "encode"]

LOG_FIELDS = ("cycles", "quantising", "waiting", "building", "looking", "writing")
"""32-bit counters kept for each instruction: clock cycles from fetch to last write; until the codes were known; and where the product's
cycles went: no weights came, tables were not ready, a lookup, sums were not taken."""

LOG_WORDS = 8
"""32-bit words of an instruction in the log; those beyond the counters are 0."""


class Op(IntEnum):
    """What an instruction does; any other code is an error."""
    HALT = 0
    STORE = 1
    LOAD = 2
    PRODUCT = 3
    LINEAR = 4
    QUANTISE = 5
    MAX = 6
    GATE = 7


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, fields as in :data:`TABLE`."""
    op: Op = Op.HALT
    x: int = 0
    other: int = 0
    y: int = 0
    residual: int = 0
    memory: int = 0
    columns: int = 1
    rows: int = 2
    tiles: int = 1
    multiplier: int = 0
    shift: int = 0
    eps: int = 0
    scales: int = 0
    adds: int = 0
    relu: int = 0
    run: int = 1 << 16
    skip: int = 0
    out_run: int = 1 << 16
    out_skip: int = 0


def _table() -> tuple[Field, ...]:
    layout = [("op", 4, False, 0), ("x", 18, False, 0), ("other", 18, False, 0), ("y", 18, False, 0), ("residual", 18, False, 0),
              ("memory", 24, False, 0), ("columns", 18, False, 1), ("rows", 16, False, 1), ("tiles", 12, False, 1),
              ("multiplier", 18, False, 0), ("shift", 8, True, 0), ("eps", 32, False, 0), ("scales", 1, False, 0), ("adds", 1, False, 0),
              ("relu", 1, False, 0), ("run", 16, False, 1), ("skip", 18, False, 0), ("out_run", 16, False, 1), ("out_skip", 18, False, 0)]
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
