"""Ternary weights from files to the device's layout, and back.

A converted model is a folder: ``weights.bin`` with the matrices' tiles (see :mod:`.ternary_tiles`), one after the other, ``scales.bin``
with float32 scales, and ``manifest.json``, which says where each is. Files are read a few rows at a time.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import re
import shutil
from typing import Any, BinaryIO, Protocol

import numpy as np

from .errors import MantissaError
from .llm_layouts import BLOCK_BYTES, Payload, encode
from .llm_weights import BLOCK, Floats, Shape, Weights, check_matrix
from .ternary import I2_S, Bytes, Trits
from .ternary_product import TernaryWeights
from .ternary_tiles import TABLES, check_tables, tile, tiles, untile

__all__ = ["LAYOUTS", "Converted", "convert", "open_file"]

LAYOUTS = ("auto", "hf", *BLOCK_BYTES, *I2_S, "absmean")
"""What a file's weights may be declared as."""

_FORMAT = "mantissa ternary 1"
_MANIFEST, _WEIGHTS, _SCALES = "manifest.json", "weights.bin", "scales.bin"
_LARGEST_MANIFEST = 1 << 24


class _File(Protocol):
    shapes: list[Shape]
    names: list[str]
    layout: str

    def weights(self) -> Iterator[Weights]: ...


def open_file(path: Path | str, layout: str = "auto", scale: str = "auto") -> _File:
    """The ternary weights of a GGUF or safetensors file: which of the two it is, its first bytes tell."""
    path = Path(path)
    if layout not in LAYOUTS:
        raise MantissaError(f"Layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise MantissaError(f"File {path} can not be read: {error.strerror or error}") from None
    if start[:4] == b"GGUF":
        if scale != "auto":
            raise MantissaError(f"Scale of {path.name} must not be declared, as GGUF has but one kind, not {scale}")
        from .llm_gguf import GGUFFile
        return GGUFFile(path, layout)
    if start[8:] == b"{":
        from .llm_safetensors import SafetensorsFile
        return SafetensorsFile(path, layout, scale)
    raise MantissaError(f"File {path.name} must start as GGUF or safetensors do, not with {start.hex() or 'nothing'}")


def _bytes_of(shape: Shape, tables: int) -> int:
    return tiles(shape.columns, tables) * shape.rows * tables


def _check_memory(path: Path, needed: int, memory: int | None) -> None:
    if memory is not None and needed > memory:
        raise MantissaError(f"Weights of {path.name} must fit the device's memory of {memory} bytes, not take {needed}")


def _claimed(out: Path) -> bool:
    """Make a folder, or find it empty; whether it was made."""
    try:
        made = not out.exists()
        if not made and (not out.is_dir() or any(out.iterdir())):
            raise MantissaError(f"Folder {out} must be new or empty")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MantissaError(f"Folder {out} can not be made: {error.strerror or error}") from None
    return made


def convert(path: Path | str, out: Path | str, layout: str = "auto", scale: str = "auto", tables: int = TABLES,
            memory: int | None = None,
            track: Callable[[Iterator[Weights], int], Iterator[Weights]] = lambda items, total: items) -> Converted:
    """Write a file's ternary weights in the device's layout to a folder, which must be new or empty.

    Parameters
    ----------
    layout, scale
        What the file does not say itself: one of ``LAYOUTS``; ``multiply`` or ``divide`` for the scales of packed safetensors.
    tables
        Bytes of the engine's word, see :mod:`.ternary_tiles`.
    memory
        Bytes of the device's memory, to refuse what does not fit.
    track
        Given the matrices and how many there are, yields them: for a progress bar.
    """
    path, out = Path(path), Path(out)
    check_tables(tables)
    file = open_file(path, layout, scale)
    needed = sum(_bytes_of(shape, tables) + 4 for shape in file.shapes)
    _check_memory(path, needed, memory)
    made = _claimed(out)
    try:
        entries = []
        with (out / _WEIGHTS).open("wb") as weights, (out / _SCALES).open("wb") as scales:
            for weight in track(file.weights(), len(file.shapes)):
                if weight.scale is None:
                    needed += 4 * (weight.shape.rows * -(-weight.shape.columns // BLOCK) - 1)
                    _check_memory(path, needed, memory)
                entries.append(_write(weight, tables, weights, scales))
        taken = {shape.name for shape in file.shapes}
        manifest = {"format": _FORMAT, "source": path.name, "layout": file.layout, "tables": tables, "tensors": entries,
                    "left": [name for name in file.names if name not in taken and name.removesuffix("_scale") not in taken]}
        (out / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    except BaseException as error:
        for name in (_MANIFEST, _WEIGHTS, _SCALES):
            (out / name).unlink(missing_ok=True)
        if made:
            shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError):
            raise MantissaError(f"Folder {out} can not be written to: {error.strerror or error}") from None
        raise
    return Converted(out)


def _write(weight: Weights, tables: int, weights: BinaryIO, scales: BinaryIO) -> dict[str, Any]:
    """Write a matrix at the end of the files, and say what its entry in the manifest is."""
    shape = weight.shape
    start, first_scale = weights.tell(), scales.tell()
    end = start + _bytes_of(shape, tables)
    across = shape.columns // BLOCK
    for piece in weight.pieces():
        packed = tile(piece.trits, tables)
        for n, part in enumerate(packed):
            weights.seek(start + (n * shape.rows + piece.first) * tables)
            weights.write(np.ascontiguousarray(part).data)
        if piece.scales is not None:
            scales.seek(first_scale + 4 * across * piece.first)
            scales.write(piece.scales.astype("<f4").tobytes())
    if weight.scale is not None:
        scales.write(np.float32(weight.scale).astype("<f4").tobytes())
    weights.seek(end)
    count = 1 if weight.scale is not None else shape.rows * across
    scales.seek(first_scale + 4 * count)
    return {"name": shape.name, "rows": shape.rows, "columns": shape.columns, "layout": weight.layout, "start": start,
            "scale": first_scale // 4, "scales": count, "stored": dict(weight.stored)}


class Converted:
    """A converted model, memory-mapped.

    ``shapes`` are its matrices' by name, ``layouts`` the file's layout of each, ``tables`` the bytes of a word, ``left`` the names of
    the file's tensors that are not here, ``size`` the bytes the device needs.
    """
    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        manifest = self._manifest()
        try:
            self._read(manifest)
        except (KeyError, TypeError):
            raise MantissaError(f"Manifest of {self.folder} must be as convert writes it") from None

    def _manifest(self) -> dict[str, Any]:
        path = self.folder / _MANIFEST
        try:
            if path.stat().st_size > _LARGEST_MANIFEST:
                raise MantissaError(f"Manifest of {self.folder} must have at most {_LARGEST_MANIFEST} bytes, not {path.stat().st_size}")
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise MantissaError(f"Manifest of {self.folder} can not be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, MantissaError):
                raise
            raise MantissaError(f"Manifest of {self.folder} must be JSON") from None
        if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
            raise MantissaError(f"Manifest of {self.folder} must be of format {_FORMAT!r}")
        return manifest

    def _read(self, manifest: dict[str, Any]) -> None:
        self.tables = check_tables(manifest["tables"])
        self.left: list[str] = list(manifest["left"])
        self._weights, self._scales = self._map(_WEIGHTS), self._map(_SCALES)
        self.size = len(self._weights) + len(self._scales)
        self.shapes: dict[str, Shape] = {}
        self.layouts: dict[str, str] = {}
        self._at: dict[str, tuple[int, int, int]] = {}
        self._stored: dict[str, dict[str, str]] = {}
        for entry in manifest["tensors"]:
            name, numbers = str(entry["name"]), [entry[key] for key in ("rows", "columns", "start", "scale", "scales")]
            if any(type(number) is not int or number < 0 for number in numbers):
                raise MantissaError(f"Manifest of {self.folder} must have whole numbers for {name!r}, not {numbers}")
            rows, columns, start, scale, count = numbers
            shape, stored = check_matrix(name, (rows, columns)), entry["stored"]
            if stored and (stored["dtype"] not in ("F32", "F16", "BF16") or not re.fullmatch("([0-9a-f]{4}){1,2}", stored["scale"])):
                raise MantissaError(f"Manifest of {self.folder} must have the stored scale of {name!r} in hexadecimal, "
                                    f"not {stored['scale']!r}")
            if count not in (1, rows * (columns // BLOCK)):
                raise MantissaError(f"Manifest of {self.folder} must have one scale for {name!r}, or one of every {BLOCK}, not {count}")
            if start + _bytes_of(shape, self.tables) > len(self._weights) or 4 * (scale + count) > len(self._scales):
                raise MantissaError(f"Folder {self.folder} must have all weights and scales of {name!r}: files are truncated")
            self.shapes[name], self.layouts[name] = shape, str(entry["layout"])
            self._at[name], self._stored[name] = (start, scale, count), stored

    def _map(self, name: str) -> Bytes:
        path = self.folder / name
        try:
            return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        except OSError as error:
            raise MantissaError(f"File {path} can not be read: {error.strerror or error}") from None

    def _shape(self, name: str) -> Shape:
        if name not in self.shapes:
            raise MantissaError(f"Tensor must be one of those of {self.folder}, such as {next(iter(self.shapes), 'none')!r}, not {name!r}")
        return self.shapes[name]

    def tiles(self, name: str) -> Bytes:
        """What the device is given: bytes (tiles, N, tables)."""
        shape, start = self._shape(name), self._at[name][0]
        return self._weights[start:start + _bytes_of(shape, self.tables)].reshape(-1, shape.rows, self.tables)

    def trits(self, name: str) -> Trits:
        """The matrix, (N, K)."""
        return untile(self.tiles(name), self._shape(name).columns)

    def scales(self, name: str) -> Floats:
        """What multiplies it: (1,), or (N, K / 256) where not all blocks have the same."""
        shape, (_, first, count) = self._shape(name), self._at[name]
        values = np.asarray(self._scales[4 * first:4 * (first + count)]).copy().view("<f4")
        zero = count == 1 and self.layouts[name] not in BLOCK_BYTES and not values[0]         # blocks of zeros have none
        if not np.isfinite(values).all() or (values < 0).any() or zero:
            raise MantissaError(f"Scale of {name!r} must be positive and finite, not {values[~(np.isfinite(values) & (values > 0))][0]:g}")
        return values if count == 1 else values.reshape(shape.rows, -1)

    def scale(self, name: str) -> float:
        """The same where it is one, as the device wants it: what multiplies the whole matrix."""
        values = self.scales(name)
        if values.size > 1:
            raise MantissaError(f"Tensor {name!r} must have one scale for the device, not one of every {BLOCK} weights")
        return float(values.reshape(-1)[0])

    def product(self, name: str) -> TernaryWeights:
        """The golden engine: ``product(name)(x)`` is the exact product with int8 ``x``, before scales."""
        return TernaryWeights(self.trits(name))

    def payload(self, name: str, layout: str | None = None) -> Payload:
        """The matrix as bytes of a file, in the layout it came from or another; byte for byte the same in the former."""
        return encode(self._shape(name), layout or self.layouts[name], self.trits(name), self.scales(name), self._stored[name])
