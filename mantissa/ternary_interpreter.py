"""What a program of a ternary accelerator does, instruction by instruction: the golden model of the device."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import golden
from .bitlinear import Dyadic, gated_square, output_scale
from .errors import MantissaError
from .ternary_norm import Quantised, norm_absmax
from .ternary_product import TernaryWeights
from .ternary_program import Instruction, Op
from .ternary_tiles import untile

__all__ = ["Machine"]

LIMIT = 1 << 15
"""Values and outputs are below it, and at least its negative."""
CODES = 1 << 7
"""So are codes with this."""


class Machine:
    """The device's memories, and :meth:`run`.

    Parameters
    ----------
    tables
        Bytes of a word of the external memory.
    vector_words, memory_words
        Sizes.
    scale_bits
        Of the output scale's multiplier.

    Attributes
    ----------
    vectors
        Words, int32.
    memory
        Bytes.
    """
    def __init__(self, *, tables: int, vector_words: int, memory_words: int, scale_bits: int = 16) -> None:
        self.tables = tables
        self.scale_bits = scale_bits
        self.vectors = np.zeros(vector_words, np.int32)
        self.memory = np.zeros(memory_words * tables, np.uint8)
        self._scale: Dyadic | None = None

    def run(self, program: Iterable[Instruction]) -> None:
        """Run up to the first HALT.

        Raises
        ------
        MantissaError
            If an address is outside its memory, a value has more bits than the hardware would take the lowest of, or a matrix is not
            what it should be.
        """
        for instruction in program:
            if instruction.op == Op.HALT:
                return
            getattr(self, f"_{instruction.op.name.lower()}")(instruction)

    def _places(self, base: int, count: int, run: int, skip: int) -> npt.NDArray[np.int64]:
        n = np.arange(count)
        places = base + n + n // run * skip
        if places[-1] >= len(self.vectors):
            raise MantissaError(f"Vectors must end before word {len(self.vectors)}, not at {places[-1]}")
        return np.asarray(places)

    def _x(self, i: Instruction, base: int) -> npt.NDArray[np.int64]:
        return self.vectors[self._places(base, i.columns, i.run, i.skip)].astype(np.int64)

    def _within(self, i: Instruction, values: npt.NDArray[Any], limit: int = LIMIT) -> npt.NDArray[Any]:
        """Values that have as few bits as the hardware looks at."""
        wrong = values[(values < -limit) | (values >= limit)]
        if wrong.size:
            raise MantissaError(f"Values that {i.op.name} reads must be within {-limit} and {limit - 1}, not {wrong[0]}")
        return values

    def _give(self, i: Instruction, values: npt.ArrayLike) -> None:
        array = np.asarray(values)
        self.vectors[self._places(i.y, len(array), i.out_run, i.out_skip)] = array

    def _bytes(self, i: Instruction, count: int) -> slice:
        first, last = i.memory * self.tables, i.memory * self.tables + count
        if last > len(self.memory):
            raise MantissaError(f"Memory must end at byte {len(self.memory)}, not at {last}")
        return slice(first, last)

    def _store(self, i: Instruction) -> None:
        words = self._x(i, i.x).astype("<i4")[:i.columns // (self.tables // 4) * (self.tables // 4)]
        self.memory[self._bytes(i, 4 * len(words))] = words.view(np.uint8)

    def _load(self, i: Instruction) -> None:
        self._give(i, self.memory[self._bytes(i, 4 * i.columns)].view("<i4"))

    def _quantised(self, i: Instruction) -> Quantised:
        found = norm_absmax(self._within(i, self._x(i, i.x)), self._within(i, self._x(i, i.other)))
        if i.multiplier >> self.scale_bits:
            raise MantissaError(f"Multiplier of a scale must have {self.scale_bits} bits, not the value {i.multiplier}")
        constant = Dyadic(np.asarray(i.multiplier), np.asarray(i.shift))
        self._scale = output_scale(found.squares, found.largest, constant, i.eps, bits=self.scale_bits)
        return found

    def _quantise(self, i: Instruction) -> None:
        self._give(i, self._quantised(i).codes)

    def _product(self, i: Instruction) -> None:
        self._multiply(i, self._within(i, self._x(i, i.x), CODES), bool(i.scales))

    def _linear(self, i: Instruction) -> None:
        self._multiply(i, self._quantised(i).codes, True)

    def _multiply(self, i: Instruction, codes: npt.NDArray[np.int64] | npt.NDArray[np.int8], scales: bool) -> None:
        packed = self.memory[self._bytes(i, i.tiles * i.rows * self.tables)].reshape(i.tiles, i.rows, self.tables)
        sums = TernaryWeights(untile(packed, i.columns))(codes.astype(np.int8))
        if not scales:
            self._give(i, sums)
            return
        if self._scale is None:
            raise MantissaError("A product can be scaled only when something was quantised")
        added = self._within(i, self.vectors[self._places(i.residual, i.rows, i.rows, 0)]) if i.adds else 0
        y = golden.requantize(sums, self._scale.multiplier[()], self._scale.shift[()], zero_point=added, low=-LIMIT, high=LIMIT - 1)
        self._give(i, golden.relu(y) if i.relu else y)

    def _max(self, i: Instruction) -> None:
        self._give(i, np.maximum(self._x(i, i.x), self._x(i, i.other)))

    def _gate(self, i: Instruction) -> None:
        self._give(i, gated_square(self._within(i, self._x(i, i.x)), self._within(i, self._x(i, i.other)), 16)[0])
