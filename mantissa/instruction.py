"""Instruction words: fields side by side, and how they become bytes."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["BYTES", "Field", "fields_of", "pack", "unpack"]

BYTES = 64
"""Of an instruction."""


@dataclass(frozen=True)
class Field:
    """Where one field lives in the instruction word. A stored count is the count minus one."""
    name: str
    low: int
    width: int
    signed: bool
    offset: int = 0

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        top = 1 << (self.width - self.signed)
        return (-top if self.signed else 0) + self.offset, top - 1 + self.offset


def fields_of(layout: Iterable[tuple[str, int, bool, int]]) -> tuple[Field, ...]:
    """Fields (name, width, signed, offset) from bit 0 up, without gaps."""
    table, low = [], 0
    for name, width, signed, offset in layout:
        table.append(Field(name, low, width, signed, offset))
        low += width
    if low > 8 * BYTES:
        raise AssertionError(f"instruction of {low} bits does not fit {BYTES} bytes")
    return tuple(table)


def pack(table: Iterable[Field], values: Mapping[str, int], pc: int) -> bytes:
    """Bytes of instruction ``pc``.

    Raises
    ------
    ValueError
        If a field does not fit.
    """
    word = 0
    for f in table:
        value, (least, most) = values[f.name], f.range
        if not least <= value <= most:
            raise ValueError(f"Field {f.name} of instruction {pc} must be between {least} and {most}, not {value}")
        word |= ((value - f.offset) & ((1 << f.width) - 1)) << f.low
    return word.to_bytes(BYTES, "little")


def unpack(table: Iterable[Field], image: bytes, most: int) -> list[dict[str, int]]:
    """Fields of the instructions of a memory image, whose ``op`` is ``most`` or less.

    Raises
    ------
    ValueError
        If the length is not a multiple of :data:`BYTES` or an operation is unknown.
    """
    if len(image) % BYTES:
        raise ValueError(f"Program length must be a multiple of {BYTES} bytes, not {len(image)}")
    found = []
    for pc in range(len(image) // BYTES):
        word = int.from_bytes(image[pc * BYTES:(pc + 1) * BYTES], "little")
        values: dict[str, int] = {}
        for f in table:
            raw = (word >> f.low) & ((1 << f.width) - 1)
            values[f.name] = raw - (f.signed and raw >> (f.width - 1)) * (1 << f.width) + f.offset
        if values["op"] > most:
            raise ValueError(f"Operation of instruction {pc} must be one of 0 to {most}, not {values['op']}")
        found.append(values)
    return found
