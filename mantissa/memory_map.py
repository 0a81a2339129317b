"""Where arrays lie in a device's external memory."""
from __future__ import annotations

from collections.abc import Mapping

from .errors import MantissaError

__all__ = ["place"]


def place(sizes: Mapping[str, int], *, memory: int, align: int = 64) -> dict[str, int]:
    """Address of each array, in bytes, one after another in the order given.

    Parameters
    ----------
    sizes
        Bytes of each, by its name.
    memory
        Bytes there are.
    align
        What addresses are multiples of: a power of two, 1 or more. 64 is what the SDRAM controller reads at a stretch.

    Raises
    ------
    MantissaError
        If an array does not fit: its name, where it would end, and what there is.
    """
    for name, value in (("Size of the memory", memory), ("Alignment", align)):
        if value < 1:
            raise MantissaError(f"{name} must be a positive number of bytes, not {value}")
    if align & (align - 1):
        raise MantissaError(f"Alignment must be a power of two, not {align}")
    addresses, free = {}, 0
    for name, size in sizes.items():
        if size < 0:
            raise MantissaError(f"Array {name} must have a size of at least 0 bytes, not {size}")
        addresses[name] = free
        if free + size > memory:
            raise MantissaError(f"Array {name} must end within the memory's {memory:,} bytes, not at {free + size:,}")
        free = -(-(free + size) // align) * align
    return addresses
