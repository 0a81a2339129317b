"""The accelerator's instruction, as data: one table from which words are encoded, decoded, listed and,
in hardware, sliced.

An instruction is one layer (or one block of rows of it): a nest of six counted loops that walks the
input, and what is done with the words it visits. Addresses are in words of the activation or weight
memory, ``array`` bytes each.

The loops are numbered from the innermost, 0, to the outermost, 5. Their roles depend on the operation:

=========  ==========================================  ============================================
loop       MATMUL                                      MAX, SUM, ADD
=========  ==========================================  ============================================
5          tile of output channels                     tile of channels
4          kernel row                                  output row
3          kernel column                               output column
2          tile of input channels                      (count 1)
1          output row                                  kernel row
0          output column                               kernel column, or operand (ADD)
=========  ==========================================  ============================================

At each step the word at ``address`` is read, or ``pad`` in every lane if ``(y, x)`` is outside
``height`` x ``width``. When loop ``j`` advances (the loops below it start again) ``address``, ``y`` and
``x`` grow by ``loop[j].address``, ``.y`` and ``.x``: these are deltas from the last step of the loops
below, not strides. The first step is at ``input``, ``y``, ``x``: with padding, where ``y`` or ``x`` are negative,
``input`` is before the tensor and may be negative; only addresses of words that are read must exist.

* MATMUL: a pass is one run of loops 1 and 0; every pass multiplies all its words with one weight tile
  (``array`` words, taken from the weight memory in order from ``weights``) into accumulators, one vector
  per step; the first pass (loops 4, 3, 2 at their start) sets, the others add, and the last pass
  (loops 4, 3, 2 at their end) emits.
* MAX, SUM: the words of loops 2, 1, 0 are reduced lane by lane, and the last one emits.
* ADD: like SUM but each operand ``n`` of loop 0 (two of them) is biased and multiplied by its own parameters, and
  the sum of the two products is rounded once.

What is emitted goes through the requantizer, lane ``k`` of channel tile ``t`` with
``parameters[params + t * array + k]`` for MATMUL, ``parameters[params + n * array + k]`` for the others
(``n`` = 0 but for ADD's second operand; ``params`` is a multiple of ``array``)::

    clamp(round_half_even((value + bias) * multiplier / 2**shift) + zero_point, low, high)

and to the word at ``output``, which then grows by ``output_step``, or by ``output_wrap`` after
the last output of a channel tile.

``format_a``, ``format_w`` and ``format_o`` are the formats of the words read, of the weights and of what is emitted, as indices in
:data:`FORMATS`; only weights can be ``mxfp4``. Words, ``pad`` and weights are codes (:mod:`mantissa.fixed`), and the numbers above are
whole units of the format's smallest step. In an ``mxfp4`` tile a word of ``array`` exponents (low four bits; 15 counts as 14), one per
column, comes before the words of E2M1 codes, whose units it multiplies by ``2**exponent``. Where ``format_o`` is not int8, what is
emitted is instead::

    as_codes(format_o, (value + bias) * multiplier, shift)

negative products counting as 0 if ``low`` is 0 or more; ``zero_point`` and ``high`` are not looked at. Hardware generated for int8 alone
looks at none of these fields, and those of the next paragraph.

A byte can hold two 4-bit codes, for channels ``array`` apart. ``half_a`` 1 or 2 reads the lower or the upper four bits of every byte;
3, for MATMUL with formats of :data:`PAIRED`, both, and weights likewise: a step then multiplies ``2 * array`` channels, and row ``r`` of a
tile has the weights of lanes ``r`` and ``r + array``. ``half_o`` 1 or 2 writes the lower or the upper four bits, and leaves the others.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import IntEnum

from .fixed import WEIGHTS
from .instruction import Field, fields_of, pack, unpack

__all__ = ["FORMATS", "LOOPS", "PAIRED", "Instruction", "Loop", "Op", "TABLE", "decode", "encode", "listing"]

LOOPS = 6

FORMATS = WEIGHTS
"""Formats by code; the last one is for weights alone."""

PAIRED = ("int4", "e2m1")
"""Formats of which two products can be added in one multiplier."""


class Op(IntEnum):
    """What an instruction does; any other code is an error."""
    HALT = 0
    MATMUL = 1
    MAX = 2
    SUM = 3
    ADD = 4


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One counted loop: repetitions, and what its advance adds to the address and the coordinates."""
    count: int = 1
    address: int = 0
    y: int = 0
    x: int = 0


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, fields as in :data:`TABLE`. ``loops[0]`` is the innermost."""
    op: Op = Op.HALT
    pad: int = 0
    zero_point: int = 0
    low: int = -128
    high: int = 127
    height: int = 1
    width: int = 1
    y: int = 0
    x: int = 0
    input: int = 0
    output: int = 0
    output_step: int = 0
    output_wrap: int = 0
    weights: int = 0
    params: int = 0
    format_a: int = 0
    format_w: int = 0
    format_o: int = 0
    half_a: int = 0
    half_o: int = 0
    loops: tuple[Loop, ...] = field(default=(Loop(),) * LOOPS)


def _table() -> tuple[Field, ...]:
    layout = [("op", 4, False, 0), ("pad", 8, True, 0), ("zero_point", 8, True, 0),
              ("low", 8, True, 0), ("high", 8, True, 0),
              ("height", 10, False, 1), ("width", 10, False, 1), ("y", 8, True, 0), ("x", 8, True, 0),
              ("input", 19, True, 0), ("output", 18, False, 0),
              ("output_step", 12, False, 0), ("output_wrap", 19, True, 0),
              ("weights", 18, False, 0), ("params", 16, False, 0)]
    for n in range(LOOPS):
        layout += [(f"loop{n}.count", 12, False, 1), (f"loop{n}.address", 19, True, 0),
                   (f"loop{n}.y", 11, True, 0), (f"loop{n}.x", 11, True, 0)]
    layout += [("format_a", 4, False, 0), ("format_w", 4, False, 0), ("format_o", 4, False, 0),
               ("half_a", 2, False, 0), ("half_o", 2, False, 0)]
    return fields_of(layout)


TABLE = _table()
"""Every field, from bit 0 up."""


def _get(instruction: Instruction, name: str) -> int:
    if name.startswith("loop"):
        loop, _, part = name.partition(".")
        return int(getattr(instruction.loops[int(loop[4:])], part))
    return int(getattr(instruction, name))


def encode(program: Iterable[Instruction]) -> bytes:
    """Program memory image: little-endian words of :data:`~.instruction.BYTES` bytes.

    Raises
    ------
    ValueError
        If a field does not fit.
    """
    image = bytearray()
    for pc, instruction in enumerate(program):
        if len(instruction.loops) != LOOPS:
            raise ValueError(f"Instruction {pc} must have {LOOPS} loops, not {len(instruction.loops)}")
        image += pack(TABLE, {f.name: _get(instruction, f.name) for f in TABLE}, pc)
    return bytes(image)


def decode(image: bytes) -> list[Instruction]:
    """Program of a memory image.

    Raises
    ------
    ValueError
        If the length is not a multiple of :data:`~.instruction.BYTES` or an operation is unknown.
    """
    program = []
    for values in unpack(TABLE, image, max(Op)):
        loops = tuple(Loop(**{part.name: values.pop(f"loop{n}.{part.name}") for part in fields(Loop)})
                      for n in range(LOOPS))
        program.append(Instruction(op=Op(values.pop("op")), loops=loops, **values))
    return program


def listing(program: Iterable[Instruction]) -> str:
    """Program as text, a paragraph per instruction; fields at their default are left out."""
    lines = []
    for pc, instruction in enumerate(program):
        named = [f"{f.name}={getattr(instruction, f.name)}" for f in fields(Instruction)
                 if f.name not in ("op", "loops") and getattr(instruction, f.name) != f.default]
        lines.append(f"{pc:4}  {instruction.op.name:6} {' '.join(named)}".rstrip())
        for n in reversed(range(LOOPS)):
            loop = instruction.loops[n]
            if loop != Loop():
                lines.append(f"        loop {n}: {loop.count} x (address {loop.address:+}, y {loop.y:+}, x {loop.x:+})")
    return "\n".join(lines)
