"""Where a tensor is in the activation memory, and how its codes lie there."""
from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from .errors import MantissaError

__all__ = ["Place", "tiles"]


def tiles(channels: int, array: int) -> int:
    """Words that hold one position's channels."""
    return -(-channels // array)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tensor in memory: position after position, each ``tiles`` words of ``array`` channels, the last one padded.

    Parameters
    ----------
    base_word
        Address of the first word.
    shape
        Per sample: ``(H, W, C)`` or ``(M, K)``.
    array
        Bytes in a word.
    samples
        Samples that lie one after the other.
    source
        Shape of the tensor this one is flattened from: the memory is still that tensor's.
    """
    base_word: int
    shape: tuple[int, ...]
    array: int
    samples: int = 1
    source: tuple[int, ...] | None = None

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns in memory; vectors are one row."""
        *outer, _ = self.source or self.shape
        return (outer[0], outer[1]) if len(outer) == 2 else (1, self.samples * outer[0])

    @property
    def tiles(self) -> int:
        """Words per position."""
        return tiles((self.source or self.shape)[-1], self.array)

    @property
    def words(self) -> int:
        """Words in all."""
        return prod(self.positions) * self.tiles

    def lanes(self) -> np.ndarray:
        """Which element, counted in (samples, \\*shape), is in each byte; -1 for padding: (words, array)."""
        channels = (self.source or self.shape)[-1]
        index = np.full((prod(self.positions), self.tiles * self.array), -1, np.int64)
        order = np.arange(prod(self.positions) * channels)
        if self.source is not None and len(self.source) == 3:
            index[:, :channels] = order.reshape(channels, -1).T           # ONNX flattens channels first
        else:
            index[:, :channels] = order.reshape(-1, channels)
        return index.reshape(-1, self.array)

    def pack(self, codes: np.ndarray) -> bytes:
        """Memory image of codes int8 (n, \\*shape), n up to ``samples``; missing samples and padding are 0.

        Raises
        ------
        MantissaError
            If they are of another kind or shape.
        """
        codes = np.asarray(codes)
        if codes.dtype != np.int8 or codes.shape[1:] != self.shape or not 0 < len(codes) <= self.samples:
            shape = ", ".join(map(str, self.shape))
            raise MantissaError(f"Codes must be int8 of shape (1 to {self.samples}, {shape}), "
                                f"not {codes.dtype} of shape {codes.shape}")
        flat = np.zeros(self.samples * prod(self.shape) + 1, np.int8)     # the last one stands for padding
        flat[:codes.size] = codes.ravel()
        return bytes(flat[self.lanes()].tobytes())

    def unpack(self, image: bytes) -> np.ndarray:
        """Codes int8 (samples, \\*shape) of a memory image.

        Raises
        ------
        MantissaError
            If its length is wrong.
        """
        if len(image) != self.words * self.array:
            raise MantissaError(f"Image must be {self.words * self.array} bytes, not {len(image)}")
        flat = np.empty(self.samples * prod(self.shape) + 1, np.int8)
        flat[self.lanes().ravel()] = np.frombuffer(image, np.int8)
        return flat[:-1].reshape(self.samples, *self.shape)
