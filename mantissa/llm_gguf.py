"""Ternary weights in GGUF: TQ1_0, TQ2_0, I2_S, or floats to quantise.

The container is read by the gguf library, whose reader is held to the file's length here, does not keep arrays (a vocabulary would take
hundreds of megabytes), and knows I2_S, which only bitnet.cpp's fork has.
"""
from __future__ import annotations

from collections.abc import Iterator
from math import prod
import mmap
from pathlib import Path
from typing import Any, NamedTuple

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType
import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .llm_layouts import BLOCK_BYTES, I2_S_TAIL, block_scales, check_i2_s, one_scale
from .llm_statistics import Evidence, likelier
from .llm_weights import Floats, Piece, Shape, Weights, absmean_scale, absmean_trits, check_matrix, check_scale, reason, rows_at_a_time
from .ternary import I2_S, Bytes, unpack_i2_s

__all__ = ["I2_S_TYPE", "GGUFFile"]

I2_S_TYPE = 36
"""I2_S among the types of tensors, in bitnet.cpp."""

_TYPES = {int(kind): kind.name.lower() for kind in GGMLQuantizationType} | {I2_S_TYPE: "i2_s"}
_FLOATS = {"f32": "<f4", "f16": "<f2", "bf16": "<u2"}
_NOT_LAYERS = ("embed", "embd", "lm_head")
_MOST_FIELDS, _MOST_TENSORS = 1024, 1 << 14                 # each takes memory; we chose them, larger models have a tenth
_LOOKED_AT = 64                                             # matrices that tell the layout of I2_S


class _Tensor(NamedTuple):
    name: str
    kind: str
    shape: tuple[int, ...]                                  # outputs first
    start: int
    size: int


def _layer(name: str) -> str:
    """Number of the layer a tensor is of: what follows blk."""
    return name.rpartition("blk.")[2].partition(".")[0]


class _Reader(GGUFReader):  # type: ignore[misc, unused-ignore]
    """The library's reader, which never looks past the end of the file nor keeps more than its length allows."""

    def _get(self, offset: int, dtype: npt.DTypeLike, count: int = 1, override_order: Any = None) -> Any:
        if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, inside its header")
        return super()._get(offset, dtype, count, override_order)

    def _build_fields(self, offs: int, count: int) -> int:
        if self.byte_order != "I":
            raise ValueError("it is big-endian")
        if count > _MOST_FIELDS:
            raise ValueError(f"it says it has {count} fields, more than {_MOST_FIELDS}")
        return int(super()._build_fields(offs, count))

    def _build_tensor_info(self, offs: int, count: int) -> Any:
        if count > _MOST_TENSORS:
            raise ValueError(f"it says it has {count} tensors, more than {_MOST_TENSORS}")
        return super()._build_tensor_info(offs, count)

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, length = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
        item, count, at = GGUFValueType(int(kind[0])), int(length[0]), orig_offs + 12
        if item in self.gguf_scalar_to_np:
            at += np.dtype(self.gguf_scalar_to_np[item]).itemsize * count
        elif item == GGUFValueType.STRING:
            for _ in range(count):                          # each is 8 bytes at least, so the file's length bounds this
                if at + 8 > len(self.data):
                    at = len(self.data) + 1
                    break
                at += 8 + int.from_bytes(self.data[at:at + 8].tobytes(), "little")
        else:
            raise ValueError("it has an array of arrays")
        if at > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}, inside an array")
        return at - orig_offs, [kind, length], [], [GGUFValueType.ARRAY]

    def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
        self.found: list[_Tensor] = []
        for entry in fields:
            kind = int(entry.parts[4][0])
            shape = tuple(reversed([int(side) for side in entry.parts[3]]))
            if kind not in _TYPES:
                raise ValueError(f"tensor {entry.name!r} is of type {kind}, which is not known")
            count = prod(shape)
            if kind == I2_S_TYPE:
                size = count // 4 + I2_S_TAIL
            else:
                block, each = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
                if not shape or shape[-1] % block:
                    raise ValueError(f"tensor {entry.name!r} of {_TYPES[kind]} must have rows of a multiple of {block}, not {shape}")
                size = count // block * each
            start = int(start_offs) + int(entry.parts[5][0])
            if start + size > len(self.data):
                raise ValueError(f"it ends at byte {len(self.data)}, before tensor {entry.name!r} does at {start + size}")
            self.found.append(_Tensor(entry.name, _TYPES[kind], shape, start, size))
        names = [tensor.name for tensor in self.found]
        if len(set(names)) < len(names):
            raise ValueError(f"it has two tensors named {next(name for name in names if names.count(name) > 1)!r}")
        if sum(tensor.size for tensor in self.found) > len(self.data):
            raise ValueError("its tensors overlap")


class GGUFFile:
    """A file and its tensors.

    Parameters
    ----------
    layout
        One of :data:`.ternary.I2_S`, ``tq1_0``, ``tq2_0``, ``absmean``, or ``auto`` for whichever the file has, if that says all.
    """
    def __init__(self, path: Path, layout: str) -> None:
        self.path, self.size = path, path.stat().st_size
        try:
            self._reader = _Reader(str(path))
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise MantissaError(f"File {path.name} can not be read as GGUF: {reason(error)}") from None
        self.tensors = self._reader.found
        self.names = [tensor.name for tensor in self.tensors]
        self._check_tokens()
        kinds = {tensor.kind for tensor in self.tensors}
        if layout == "auto" and "i2_s" in kinds:
            raise MantissaError(f"Layout of {path.name} must be declared, as I2_S does not say which it is: one of {', '.join(I2_S)}")
        wanted = {"auto": ("tq1_0", "tq2_0"), "tq1_0": ("tq1_0",), "tq2_0": ("tq2_0",), "absmean": tuple(_FLOATS),
                  **dict.fromkeys(I2_S, ("i2_s",))}
        if layout not in wanted:
            raise MantissaError(f"Layout of {path.name} must be one of {', '.join(wanted)}, as it is GGUF, not {layout}")
        self.layout = layout
        self._chosen = [tensor for tensor in self.tensors if tensor.kind in wanted[layout]
                        and (layout != "absmean" or len(tensor.shape) == 2 and tensor.name != "output.weight"
                             and not any(part in tensor.name for part in _NOT_LAYERS))]
        if not self._chosen:
            raise MantissaError(f"File {path.name} must hold weights of {' or '.join(wanted[layout])}, "
                                f"not only {', '.join(sorted(kinds)) or 'nothing'}")
        self.shapes = [check_matrix(tensor.name, tensor.shape) for tensor in self._chosen]
        if layout in I2_S:
            for shape in self.shapes:
                check_i2_s(shape, layout)
            self._check_layout()

    def _check_tokens(self) -> None:
        fields = self._reader.fields
        architecture = fields.get("general.architecture")
        name = bytes(architecture.parts[-1]).decode("utf-8", "replace") if architecture is not None else ""
        key = f"{name}.embedding_length"
        length = fields.get(key)
        if length is None or length.types[0] not in (GGUFValueType.UINT32, GGUFValueType.UINT64, GGUFValueType.INT32):
            return
        width = int(length.parts[-1][0])
        for tensor in self.tensors:
            if tensor.name == "token_embd.weight" and tensor.shape[-1:] != (width,):
                raise MantissaError(f"Tokens of {tensor.name!r} must have {width} values, as {key!r} says, "
                                    f"not {tensor.shape[-1] if tensor.shape else 'one'}")

    def _check_layout(self) -> None:
        """Refuse a layout of I2_S that another is likelier than."""
        evidence = []
        signals: dict[str, list[Floats]] = {}
        for tensor in self.tensors:
            if tensor.kind == "f32" and len(tensor.shape) == 1 and tensor.shape[0] > 1:
                signals.setdefault(_layer(tensor.name), []).append(self._bytes(tensor).view("<f4"))
        for tensor, shape in zip(self._chosen[:_LOOKED_AT], self.shapes, strict=False):
            if shape.columns % 64 == 0:
                rows = self._rows(tensor, shape.columns // 4, rows_at_a_time(shape.columns, self.size, 4))
                evidence.append(Evidence.of(_layer(tensor.name), (part for _, part in rows), shape.columns))
        better = likelier(self.layout, evidence, signals)
        if better is not None:
            raise MantissaError(f"Layout of {self.path.name} must fit its statistics, not {self.layout}: {better} is likelier")

    def _bytes(self, tensor: _Tensor) -> Bytes:
        return np.asarray(self._reader.data[tensor.start:tensor.start + tensor.size])

    def _release(self) -> None:
        """Give the pages read back: they count as memory until then."""
        mapped = self._reader.data._mmap
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    def _rows(self, tensor: _Tensor, size: int, step: int) -> Iterator[tuple[int, Bytes]]:
        """Rows of ``size`` bytes, ``step`` at a time."""
        data, count = self._bytes(tensor), tensor.shape[0]
        for first in range(0, count, step):
            yield first, data[first * size:min(count, first + step) * size].reshape(-1, size)
            self._release()

    def weights(self) -> Iterator[Weights]:
        """The matrices, each read once before it is handed over if its scale must be found."""
        for tensor, shape in zip(self._chosen, self.shapes, strict=True):
            if tensor.kind == "i2_s":
                yield self._i2_s(tensor, shape)
            elif tensor.kind in BLOCK_BYTES:
                yield self._blocks(tensor, shape)
            else:
                yield self._absmean(tensor, shape)

    def _i2_s(self, tensor: _Tensor, shape: Shape) -> Weights:
        tail = self._bytes(tensor)[-I2_S_TAIL:]
        scale = check_scale(shape.name, float(tail[:4].copy().view("<f4")[0]))
        together = I2_S[self.layout].rows
        data, size = self._bytes(tensor), shape.columns * together // 4

        def pieces() -> Iterator[Piece]:
            step = rows_at_a_time(shape.columns, self.size, together)
            for first in range(0, shape.rows, step):
                last = min(shape.rows, first + step)
                part = data[first // together * size:last // together * size].reshape(-1, size)
                yield Piece(first, unpack_i2_s(part, self.layout))
                self._release()
        return Weights(shape, self.layout, scale, pieces)

    def _blocks(self, tensor: _Tensor, shape: Shape) -> Weights:
        size, unpack = BLOCK_BYTES[tensor.kind]
        wide = shape.columns // 256 * size
        step = rows_at_a_time(shape.columns, self.size)

        def parts() -> Iterator[tuple[int, Bytes]]:
            for first, rows in self._rows(tensor, wide, step):
                yield first, rows.reshape(len(rows), -1, size)
        scale = one_scale(shape.name, tensor.kind, (part for _, part in parts()))

        def pieces() -> Iterator[Piece]:
            for first, part in parts():
                yield Piece(first, unpack(part[..., :-2]), block_scales(part) if scale is None else None)
        return Weights(shape, tensor.kind, scale, pieces)

    def _absmean(self, tensor: _Tensor, shape: Shape) -> Weights:
        kind = np.dtype(_FLOATS[tensor.kind])

        def floats() -> Iterator[tuple[int, Floats]]:
            for first, part in self._rows(tensor, shape.columns * kind.itemsize, rows_at_a_time(shape.columns, self.size)):
                values = part.view(kind)
                yield first, (values.astype("<u4") << 16).view("<f4") if tensor.kind == "bf16" else values.astype(np.float32)
        scale = absmean_scale(shape.name, (part for _, part in floats()), shape.rows * shape.columns)
        return Weights(shape, "absmean", scale, lambda: (Piece(first, absmean_trits(part, scale)) for first, part in floats()))
