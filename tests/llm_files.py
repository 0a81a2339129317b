"""Ternary files for tests, written by the formats' own libraries; every packing is spelled out element by element."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
OFFLINE = {"hidden_size": 64,
           "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}}
LEGACY = {"hidden_size": 64, "quantization_config": {"quant_method": "bitnet"}}


def random_trits(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (rows, columns), np.int8)


def structured(rows: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """Trits by absmean of noise whose size differs by row and by column."""
    noise = np.random.default_rng(seed).normal(size=(len(rows), len(columns))) * rows[:, None] * columns
    return np.clip(np.rint(noise / np.abs(noise).mean()), -1, 1).astype(np.int8)


def scatter(trits: np.ndarray, at: np.ndarray, shift: np.ndarray, size: int) -> np.ndarray:
    """Bytes to which every element adds its code, two bits at a place of its own."""
    packed = np.zeros(size, np.int64)
    np.add.at(packed, at.reshape(-1), ((trits.astype(np.int64) + 1) << shift).reshape(-1))
    assert packed.max() < 256
    return packed.astype(np.uint8)


def hf_bytes(trits: np.ndarray) -> np.ndarray:
    rows, columns = trits.shape
    r, c = np.indices(trits.shape)
    quarter = rows // 4
    return scatter(trits, r % quarter * columns + c, 2 * (r // quarter), trits.size // 4).reshape(quarter, columns)


def i2_s_bytes(trits: np.ndarray, layout: str) -> np.ndarray:
    rows, columns = trits.shape
    r, c = np.indices(trits.shape)
    if layout == "i2_s_rows":
        return scatter(trits, r // 4 * columns + c, 6 - 2 * (r % 4), trits.size // 4)
    block = {"i2_s_x86": 128, "i2_s_arm": 64}[layout]
    e = r * columns + c
    return scatter(trits, e // block * (block // 4) + e % block % (block // 4), 6 - 2 * (e % block // (block // 4)), trits.size // 4)


def i2_s_tensor(trits: np.ndarray, layout: str, scale: float) -> np.ndarray:
    return np.concatenate([i2_s_bytes(trits, layout), np.frombuffer(np.float32(scale).tobytes() + bytes(28), np.uint8)])


def tq_bytes(trits: np.ndarray, kind: str, scale: float) -> np.ndarray:
    return np.asarray(gguf.quants.quantize(trits.astype(np.float32) * np.float32(scale), gguf.GGMLQuantizationType[kind.upper()]))


def write_hf(path: Path, matrices: Mapping[str, tuple[np.ndarray, float]], dtype: str = "BF16", config: object = None,
             others: Mapping[str, np.ndarray] | None = None) -> Path:
    """Packed safetensors, and config.json beside it."""
    tensors: dict[str, np.ndarray] = dict(others or {})
    for name, (trits, scale) in matrices.items():
        tensors[name] = hf_bytes(trits)
        tensors[name + "_scale"] = np.array([scale], np.float64).astype(DTYPES[dtype])
    save_file(tensors, path)
    if config is not None:
        path.with_name("config.json").write_text(json.dumps(config))
    return path


def write_gguf(path: Path, tensors: Sequence[tuple[str, Any, np.ndarray, tuple[int, ...] | None]], fields: Mapping[str, Any] | None = None,
               architecture: str = "bitnet") -> Path:
    """GGUF of (name, type, array, shape); the shape is for what the library does not know, which is I2_S."""
    writer = gguf.GGUFWriter(str(path), architecture)
    for name, value in (fields or {}).items():
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}[type(value)]
        add(name, value)
    for name, kind, array, shape in tensors:
        writer.add_tensor(name, array.view(np.int8) if shape else array, raw_shape=shape, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_i2_s(path: Path, matrices: Mapping[str, tuple[np.ndarray, float]], layout: str,
               gains: Mapping[str, np.ndarray] | None = None) -> Path:
    tensors: list[tuple[str, Any, np.ndarray, tuple[int, ...] | None]] = [
        (name, 36, i2_s_tensor(trits, layout, scale), trits.shape) for name, (trits, scale) in matrices.items()]
    return write_gguf(path, [*((name, None, gain, None) for name, gain in (gains or {}).items()), *tensors],
                      {"tokenizer.ggml.tokens": ["a", "bc", ""], "tokenizer.ggml.scores": [0.5, 1.5], "bitnet.context_length": 64})


def write_tq(path: Path, matrices: Mapping[str, tuple[np.ndarray, float]], kind: str) -> Path:
    return write_gguf(path, [(name, gguf.GGMLQuantizationType[kind.upper()], tq_bytes(trits, kind, scale), None)
                             for name, (trits, scale) in matrices.items()])
