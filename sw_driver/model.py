"""The simulated device's shared library, by its C interface."""
from __future__ import annotations

from collections.abc import Callable
import ctypes
from pathlib import Path

__all__ = ["Model", "SLICE"]

SLICE = 1 << 16
"""Cycles simulated at a time, so that an interrupt is seen soon; also the most bytes read at a time."""


class Model:
    """A simulated device in this process; time passes only in :meth:`run`."""
    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        pointer, count = ctypes.c_void_p, ctypes.c_uint64
        for name, result, arguments in (
                ("new", pointer, []), ("free", None, [pointer]), ("write", None, [pointer, ctypes.c_char_p, count]),
                ("run", count, [pointer, count, count]), ("read", count, [pointer, ctypes.c_char_p, count]),
                ("busy", ctypes.c_int, [pointer]), ("cycles", count, [pointer])):
            function: Callable[..., int] = getattr(self._library, f"device_{name}")
            function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]
        self._device = self._library.device_new()
        self._buffer = ctypes.create_string_buffer(SLICE)

    def close(self) -> None:
        """Forget the device."""
        if self._device:
            self._library.device_free(self._device)
            self._device = None

    def write(self, data: bytes) -> None:
        """Queue bytes for the device."""
        self._library.device_write(self._device, data, len(data))

    def run(self, limit: int, wanted: int = SLICE) -> int:
        """Simulate until a frame ended, ``wanted`` bytes wait, or ``limit`` cycles passed; how many did."""
        return int(self._library.device_run(self._device, wanted, limit))

    def read(self) -> bytes:
        """Bytes the device sent."""
        count = self._library.device_read(self._device, self._buffer, SLICE)
        return self._buffer.raw[:count]

    @property
    def busy(self) -> bool:
        """Whether bytes are on their way in, or half way out."""
        return bool(self._library.device_busy(self._device))

    @property
    def cycles(self) -> int:
        """Clock cycles since reset."""
        return int(self._library.device_cycles(self._device))
