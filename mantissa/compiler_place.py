"""Where a tensor is in the activation memory, and how its codes lie there."""
from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from .errors import MantissaError

__all__ = ["Place", "halved", "tiles"]


def tiles(channels: int, array: int) -> int:
    """Words that hold one position's channels."""
    return -(-channels // array)


def halved(codes: np.ndarray, packed: bool, axis: int = -2) -> np.ndarray:
    """Codes as they are, or if ``packed`` two of them, along ``axis``, in each byte: int8."""
    if not packed:
        return codes
    low, high = np.moveaxis(codes, axis, 0).view(np.uint8)
    return (low & 15 | high << 4).view(np.int8)


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
    packed
        Whether a byte holds two 4-bit codes: a word has ``2 * array`` channels, the upper half of the bits those from ``array`` on.
    """
    base_word: int
    shape: tuple[int, ...]
    array: int
    samples: int = 1
    source: tuple[int, ...] | None = None
    packed: bool = False

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns in memory; vectors are one row."""
        *outer, _ = self.source or self.shape
        return (outer[0], outer[1]) if len(outer) == 2 else (1, self.samples * outer[0])

    @property
    def tiles(self) -> int:
        """Words per position."""
        return tiles(self.vectors, 1 + self.packed)

    @property
    def vectors(self) -> int:
        """Groups of ``array`` channels per position."""
        return tiles((self.source or self.shape)[-1], self.array)

    @property
    def words(self) -> int:
        """Words in all."""
        return prod(self.positions) * self.tiles

    def lanes(self) -> np.ndarray:
        """Which element, counted in (samples, \\*shape), is in each byte; -1 for padding: (words, array), packed (words, 2, array)."""
        channels, word = (self.source or self.shape)[-1], (2, self.array) if self.packed else (self.array,)
        index = np.full((prod(self.positions), self.tiles * prod(word)), -1, np.int64)
        order = np.arange(prod(self.positions) * channels)
        if self.source is not None and len(self.source) == 3:
            index[:, :channels] = order.reshape(channels, -1).T           # ONNX flattens channels first
        else:
            index[:, :channels] = order.reshape(-1, channels)
        return index.reshape(-1, *word)

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
        return halved(flat[self.lanes()], self.packed).tobytes()

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
        codes = np.frombuffer(image, np.uint8).reshape(-1, self.array)
        flat[self.lanes()] = (np.stack([codes & 15, codes >> 4], axis=1) if self.packed else codes).view(np.int8)
        return flat[:-1].reshape(self.samples, *self.shape)
