"""Ternary weights in safetensors: Hugging Face's packed rows, or floats to quantise."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from statistics import median
from typing import Any

import ml_dtypes  # noqa: F401  numpy then knows bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open

from .errors import MantissaError
from .llm_weights import Floats, Piece, Shape, Weights, absmean_scale, absmean_trits, check_matrix, check_scale, reason, rows_at_a_time
from .ternary import unpack_rows

__all__ = ["CONVENTIONS", "SafetensorsFile"]

CONVENTIONS = ("multiply", "divide")
"""What ``weight_scale`` does to trits."""
LARGEST_MULTIPLIER = 16
"""A median multiplier beyond this is taken for a reciprocal: mean magnitudes of weights are far smaller. We chose it."""

_FLOATS = ("F32", "F16", "BF16")
_NOT_LAYERS = ("embed", "embd", "lm_head")
_MAPPED = 8 << 20                                           # bytes read before the file is mapped anew, to give the pages back
_CONFIG = 1 << 20                                           # most bytes of config.json


class SafetensorsFile:
    """A file, its tensors, and the configuration beside it.

    Parameters
    ----------
    layout
        ``hf``, ``absmean``, or ``auto`` for ``hf``.
    scale
        One of ``CONVENTIONS``, or ``auto``: what config.json says, refused if the magnitudes say otherwise.
    """
    def __init__(self, path: Path, layout: str, scale: str) -> None:
        self.path, self.size = path, path.stat().st_size
        self._read = 0
        self._open()
        self.tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
        for name in self._file.keys():  # noqa: SIM118  no mapping
            part = self._file.get_slice(name)
            self.tensors[name] = (part.get_dtype(), tuple(part.get_shape()))
        self.names = list(self.tensors)
        config = self._config()
        self._check_tokens(config)
        packed = [name for name, (kind, _) in self.tensors.items() if kind == "U8" and name.endswith("weight")]
        if layout == "absmean":
            self.layout = layout
            self.shapes = [check_matrix(name, shape) for name, (kind, shape) in self.tensors.items()
                           if kind in _FLOATS and len(shape) == 2 and not any(part in name for part in _NOT_LAYERS)]
        elif layout in ("auto", "hf"):
            self.layout = "hf"
            self.shapes = [self._packed(name) for name in packed]
        else:
            raise MantissaError(f"Layout of {path.name} must be hf or absmean, as it is safetensors, not {layout}")
        if not self.shapes:
            rest = "" if layout == "absmean" else "; layout absmean would quantise its floats"
            raise MantissaError(f"File {path.name} must hold {'float matrices' if rest == '' else 'packed ternary weights'}{rest}")
        self.convention = self._convention(config, scale) if self.layout == "hf" else "multiply"

    def _open(self) -> None:
        try:
            self._file = safe_open(str(self.path), framework="np")
        except (SafetensorError, ValueError, OverflowError, OSError) as error:
            raise MantissaError(f"File {self.path.name} can not be read as safetensors: {reason(error)}") from None

    def _tensor(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._file.get_tensor(name))
        except (SafetensorError, ValueError, TypeError) as error:
            raise MantissaError(f"Tensor {name!r} of {self.path.name} can not be read: {reason(error)}") from None

    def _rows(self, name: str, step: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows of a tensor, ``step`` at a time."""
        count = self.tensors[name][1][0]
        for first in range(0, count, step):
            if self._read > _MAPPED:
                self._open()
                self._read = 0
            part = np.asarray(self._file.get_slice(name)[first:min(count, first + step)])
            self._read += part.nbytes
            yield first, part

    def _config(self) -> dict[str, Any]:
        path = self.path.with_name("config.json")
        if not path.exists():
            return {}
        try:
            if path.stat().st_size > _CONFIG:
                raise MantissaError(f"Configuration {path} must have at most {_CONFIG} bytes, not {path.stat().st_size}")
            config = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise MantissaError(f"Configuration {path} must be JSON") from None
        except OSError as error:
            raise MantissaError(f"Configuration {path} can not be read: {error.strerror or error}") from None
        if not isinstance(config, dict):
            raise MantissaError(f"Configuration {path} must be a JSON object, not {type(config).__name__}")
        return config

    def _check_tokens(self, config: dict[str, Any]) -> None:
        hidden = config.get("hidden_size")
        for name, (_, shape) in self.tensors.items():
            if hidden is not None and name.endswith("embed_tokens.weight") and (len(shape) != 2 or shape[1] != hidden):
                raise MantissaError(f"Tokens of {name!r} must have {hidden!r} values, as config.json says, not shape {shape}")

    def _packed(self, name: str) -> Shape:
        shape = self.tensors[name][1]
        matrix = check_matrix(name, shape)
        scale = name + "_scale"
        if scale not in self.tensors:
            raise MantissaError(f"Tensor {name!r} must have its scale in {scale!r}, which is not in {self.path.name}")
        kind, sides = self.tensors[scale]
        if kind not in _FLOATS or sides not in ((1,), ()):
            raise MantissaError(f"Scale {scale!r} must be one number of {', '.join(_FLOATS)}, not {kind} of shape {sides}")
        return Shape(name, 4 * matrix.rows, matrix.columns)

    def _convention(self, config: dict[str, Any], scale: str) -> str:
        """Whether weight_scale multiplies: AutoBitLinear's is the mean magnitude, the older BitLinear's its reciprocal."""
        if scale in CONVENTIONS:
            return scale
        if scale != "auto":
            raise MantissaError(f"Scale must be one of auto, {', '.join(CONVENTIONS)}, not {scale!r}")
        chosen = config.get("quantization_config")
        if not isinstance(chosen, dict) or chosen.get("quant_method") != "bitnet":
            raise MantissaError(f"File {self.path.name} must have a config.json beside it whose quantization_config is of quant_method "
                                "bitnet, or scale multiply or divide be declared")
        linear, mode = chosen.get("linear_class", "bitlinear"), chosen.get("quantization_mode", "offline")
        if mode != "offline" or linear not in ("autobitlinear", "bitlinear"):
            raise MantissaError(f"Packed weights must be of linear_class autobitlinear or bitlinear and quantization_mode offline, "
                                f"not {linear!r} and {mode!r}")
        convention = "multiply" if linear == "autobitlinear" else "divide"
        middle = median(self._scale(shape.name, convention)[0] for shape in self.shapes)
        if middle > LARGEST_MULTIPLIER:
            other = CONVENTIONS[convention == "multiply"]
            raise MantissaError(f"Scales of {self.path.name} must not multiply weights by {middle:g} (median), as {linear} in config.json "
                                f"has it: {other} is likelier, declare scale {other}, or {convention} if it is right")
        return convention

    def _scale(self, name: str, convention: str) -> tuple[float, bytes]:
        """Multiplier of a matrix, and its bytes in the file."""
        stored = self._tensor(name + "_scale").reshape(-1)
        value = check_scale(name, float(stored[0]))
        if convention == "divide":
            with np.errstate(over="ignore"):
                value = check_scale(name, float(np.float32(1) / np.float32(value)))
        return value, stored.tobytes()

    def weights(self) -> Iterator[Weights]:
        """The matrices, each read once before it is handed over if its scale must be found."""
        for shape in self.shapes:
            yield self._hf(shape) if self.layout == "hf" else self._absmean(shape)

    def _hf(self, shape: Shape) -> Weights:
        scale, raw = self._scale(shape.name, self.convention)
        quarter = shape.rows // 4

        def pieces() -> Iterator[Piece]:
            for first, packed in self._rows(shape.name, rows_at_a_time(shape.columns, self.size, 4) // 4):
                trits = unpack_rows(packed)
                for lane in range(4):
                    yield Piece(first + lane * quarter, trits[lane * len(packed):(lane + 1) * len(packed)])
        kind = self.tensors[shape.name + "_scale"][0]
        return Weights(shape, "hf", scale, pieces, {"dtype": kind, "convention": self.convention, "scale": raw.hex()})

    def _absmean(self, shape: Shape) -> Weights:
        def floats() -> Iterator[tuple[int, Floats]]:
            for first, part in self._rows(shape.name, rows_at_a_time(shape.columns, self.size)):
                yield first, part.astype(np.float32)
        scale = absmean_scale(shape.name, (part for _, part in floats()), shape.rows * shape.columns)
        return Weights(shape, "absmean", scale, lambda: (Piece(first, absmean_trits(part, scale)) for first, part in floats()))
