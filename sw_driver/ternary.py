"""Devices with a ternary engine: matrices into their memory, programs, vectors in and out."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import struct
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..config import Config, load as load_config
from ..errors import DeviceError, MantissaError
from ..registers import Capability, Region
from ..ternary import GROUP
from ..ternary_interpreter import Machine
from ..ternary_program import LOG_FIELDS, LOG_WORDS, Instruction, Op, encode
from .client import Client
from .device import connect, run_to_end

__all__ = ["TernaryDevice"]

LOG_BYTES = 4 * LOG_WORDS

Words = npt.NDArray[np.int32]


class Backend(Protocol):
    """The device, or its golden model."""
    name: str
    tables: int
    vector_words: int
    memory_words: int
    instructions: int
    scale_bits: int

    def write(self, at: int, words: Words) -> None:
        """Set words of the vector memory."""

    def read(self, at: int, count: int) -> Words:
        """Words of the vector memory."""

    def run(self, program: Sequence[Instruction]) -> list[dict[str, int]]:
        """Run, and what was counted for each instruction."""

    def close(self) -> None:
        """Let go."""


class _Golden:
    def __init__(self, config: Config) -> None:
        self.name, self.tables = "golden", config.array
        self.vector_words, self.memory_words, self.instructions = config.activation_words, config.weight_words, config.instructions
        self.scale_bits = config.scale_bits
        self.machine = Machine(tables=self.tables, vector_words=self.vector_words, memory_words=self.memory_words,
                               scale_bits=self.scale_bits)

    def write(self, at: int, words: Words) -> None:
        self.machine.vectors[at:at + len(words)] = words

    def read(self, at: int, count: int) -> Words:
        return self.machine.vectors[at:at + count].copy()

    def run(self, program: Sequence[Instruction]) -> list[dict[str, int]]:
        encode(program)                                     # refuses what the device could not be given
        self.machine.run(program)
        return []

    def close(self) -> None:
        pass


class _Linked:
    def __init__(self, client: Client) -> None:
        capability = client.capability
        assert capability is not None
        if not capability.ternary:
            client.close()
            raise DeviceError(f"{client.transport.name} must have a ternary engine, and has an array")
        self.client, self.name, self.tables = client, client.transport.name, capability.array
        self.vector_words, self.memory_words = capability.activation_words, capability.weight_words
        self.instructions, self.scale_bits = capability.instructions, capability.scale_bits
        self._held: tuple[bytes, int] | None = None

    def write(self, at: int, words: Words) -> None:
        self.client.write((Region.ACTIVATIONS << 20) + 4 * at, words.astype("<i4").tobytes())

    def read(self, at: int, count: int) -> Words:
        return np.frombuffer(self.client.read((Region.ACTIVATIONS << 20) + 4 * at, 4 * count), "<i4").astype(np.int32)

    def run(self, program: Sequence[Instruction]) -> list[dict[str, int]]:
        image, session = encode(program), self.client.session()
        if self._held != (image, session):
            self._held = None
            self.client.write(Region.PROGRAM << 20, image)
            self._held = image, session
        run_to_end(self.client, lambda pc: program[pc].op.name if pc < len(program) else "no instruction")
        log = self.client.read(Region.LOG << 20, LOG_BYTES * (len(program) - 1))
        return [dict(zip(LOG_FIELDS, struct.unpack_from(f"<{len(LOG_FIELDS)}I", log, LOG_BYTES * n), strict=True))
                for n in range(len(program) - 1)]

    def close(self) -> None:
        self.client.close()


class TernaryDevice:
    """A ternary accelerator, real, simulated or modelled. Made by :meth:`open`; a context manager.

    Addresses are words: of 32 bits in the vector memory, of ``tables`` bytes in the external memory.
    """
    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name, self.tables = backend.name, backend.tables
        self.vector_words, self.memory_words, self.scale_bits = backend.vector_words, backend.memory_words, backend.scale_bits

    @classmethod
    def open(cls, which: str = "golden", *, config: str | Path | Config = "ternary", identity: bytes | None = None) -> TernaryDevice:
        """Open a device; arguments and errors are those of :meth:`.Device.open`."""
        chosen = config if isinstance(config, Config) else load_config(config)
        if chosen.engine != "ternary":
            raise MantissaError(f"Configuration {chosen.name} must have engine 'ternary', not {chosen.engine!r}")
        return cls(_Golden(chosen) if which == "golden" else _Linked(connect(which, config, identity)))

    def close(self) -> None:
        """Let go of the device."""
        self.backend.close()

    def __enter__(self) -> TernaryDevice:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def capability(self) -> Capability | None:
        """What the device said of itself; nothing of a model."""
        return self.backend.client.capability if isinstance(self.backend, _Linked) else None

    def write(self, at: int, values: npt.ArrayLike) -> None:
        """Set words of the vector memory.

        Raises
        ------
        MantissaError
            If they do not fit.
        """
        words = _integers("Vectors", values)
        if words.ndim != 1:
            raise MantissaError(f"Vectors must be integers of one dimension, not {words.dtype} {words.shape}")
        _check_range("Vectors must be integers of 32 bits", words, -1 << 31, (1 << 31) - 1)
        self._check(at, len(words))
        self.backend.write(at, words.astype(np.int32))

    def read(self, at: int, count: int) -> Words:
        """Words of the vector memory."""
        self._check(at, count)
        return self.backend.read(at, count)

    def run(self, program: Sequence[Instruction]) -> list[dict[str, int]]:
        """Run instructions, in programs as long as the device can hold; what was counted for each, nothing of a model."""
        most, counted = self.backend.instructions - 1, []
        for first in range(0, len(program), most):
            counted += self.backend.run([*program[first:first + most], Instruction(op=Op.HALT)])
        return counted

    def store(self, at: int, data: npt.ArrayLike) -> None:
        """Bytes of trits into the external memory, from word ``at`` on, through the vector memory: what that held is lost.

        Raises
        ------
        MantissaError
            If they are no trits, no whole words, or do not fit.
        """
        image = _integers("Data for the external memory", data)
        _check_range("Data for the external memory must be bytes of trits", image, 0, 3 ** GROUP - 1)
        if image.ndim > 1 and image.shape[-1] != self.tables:
            raise MantissaError(f"Tiles for the external memory must have words of {self.tables} bytes, not {image.shape[-1]}")
        if image.size % self.tables:
            raise MantissaError(f"Data for the external memory must be words of {self.tables} bytes, not {image.size} bytes")
        self._check_memory(at, image.size // self.tables)
        words = image.astype(np.uint8).reshape(-1).view("<i4")
        for first in range(0, len(words), self.vector_words):
            part = words[first:first + self.vector_words]
            self.write(0, part)
            self.run([Instruction(op=Op.STORE, x=0, memory=at + 4 * first // self.tables, columns=len(part))])

    def load(self, at: int, count: int) -> npt.NDArray[np.uint8]:
        """Words of the external memory as bytes, through the vector memory: what that held is lost."""
        self._check_memory(at, count)
        parts, each = [], self.vector_words * 4 // self.tables
        for first in range(0, count, each):
            words = min(each, count - first) * self.tables // 4
            self.run([Instruction(op=Op.LOAD, y=0, memory=at + first, columns=words)])
            parts.append(self.read(0, words).astype("<i4").view(np.uint8))
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def _check(self, at: int, count: int) -> None:
        end = _whole("Address of a vector", at) + _whole("Number of words", count)
        if not 0 <= at <= end <= self.vector_words:
            raise MantissaError(f"Vectors must lie within {self.vector_words} words, not in {at} to {end}")

    def _check_memory(self, at: int, count: int) -> None:
        end = _whole("Address of data", at) + _whole("Number of words", count)
        if not 0 <= at <= end <= self.memory_words:
            raise MantissaError(f"Data must lie within the external memory's {self.memory_words:,} words, not in {at:,} to {end:,}")


def _whole(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise MantissaError(f"{what} must be an integer, not {value!r}")
    return int(value)


def _integers(what: str, values: npt.ArrayLike) -> npt.NDArray[np.integer[Any]]:
    try:
        array = np.asarray(values)
    except ValueError:                                      # rows of different lengths
        raise MantissaError(f"{what} must be an array of integers, not {type(values).__name__}") from None
    if array.dtype.kind not in "iu":
        raise MantissaError(f"{what} must be integers, not {array.dtype}")
    return array


def _check_range(rule: str, values: npt.NDArray[np.integer[Any]], low: int, high: int) -> None:
    """Refuse the first value outside a range."""
    wrong = np.flatnonzero((values < low) | (values > high))
    if wrong.size:
        raise MantissaError(f"{rule}, {low} to {high}, not {values.flat[wrong[0]]} at index {wrong[0]}")
