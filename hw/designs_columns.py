"""Catalogue entries of the ternary engine that skips columns, with its golden function."""
from __future__ import annotations

from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..bitlinear import skip_zeros
from ..design import Design, Streams
from ..ternary import GROUP, unpack_radix3
from ..ternary_columns import pack_columns
from .ternary_columns import TernaryColumns

__all__ = ["DESIGNS", "columns_workload", "ternary_columns"]


def _kept(made: SimpleNamespace, codes: np.ndarray) -> np.ndarray:
    """Columns of a vector that are read."""
    return skip_zeros(codes).places if made.skip else np.arange(len(codes))


def _product(made: SimpleNamespace, streams: Streams) -> Streams:
    """Products of the columns that are read, by the weights that were packed; zeros for bytes that no trits make."""
    commands, x, i = streams["i_command"], streams["i_x"], streams["i"]
    packed = np.frombuffer(b"".join(int(word).to_bytes(made.lanes, "little") for word in i["data"]), np.uint8).reshape(-1, made.lanes)
    weights = np.where((packed < 243)[..., None], unpack_radix3(np.where(packed < 243, packed, 0)).reshape(*packed.shape, GROUP), 0)
    weights = weights.reshape(len(packed), -1).astype(np.int64)
    sums, errors, lasts, asked = [], [], [], []
    word, begin = 0, 0
    ends = np.flatnonzero(x["last"]).tolist()
    for address, last_word, end in zip(commands["address"].tolist(), commands["last_word"].tolist(), ends, strict=True):
        words, codes = last_word + 1, np.asarray(x["code"][begin:end + 1], np.int64)
        kept = _kept(made, codes)
        stop = word + words * len(kept)
        sums.append(np.einsum("k,kwn->wn", codes[kept], weights[word:stop].reshape(len(kept), words, GROUP * made.lanes)))
        bad = np.append(False, np.cumsum(i["error"][word:stop]) > 0)
        final = words if len(kept) and kept[-1] == len(codes) - 1 else 0         # sums that leave while words come
        errors.append(bad[-final:] if final else np.repeat(bad[-1], words))
        lasts.append(np.arange(words) == last_word)
        asked += [(address + words * int(place), last_word) for place in kept]
        word, begin = stop, end + 1
    half = 1 << made.acc_bits - 1
    requests = np.array(asked, np.int64).reshape(-1, 2)
    return {"o": {"sums": (np.concatenate(sums) + half) % (2 * half) - half, "error": np.concatenate(errors).astype(np.int64),
                  "last": np.concatenate(lasts).astype(np.int64)},
            "o_read": {"address": requests[:, 0] % (1 << made.address_bits), "length": requests[:, 1]}}


def _streams(made: SimpleNamespace, layers: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> Streams:
    """Commands of weights (N, K) and vectors (K)."""
    words, codes, last = [], [], []
    for trits, x in layers:
        words.append(pack_columns(trits, made.lanes)[_kept(made, x)].reshape(-1, made.lanes))
        codes.append(x)
        last.append(np.arange(len(x)) == len(x) - 1)
    packed = np.concatenate(words)
    step = GROUP * made.lanes
    return {
        "i_command": {"address": rng.integers(0, 1 << made.address_bits, len(layers)),
                      "last_word": np.array([-(-len(trits) // step) - 1 for trits, _ in layers])},
        "i_x": {"code": np.concatenate(codes), "last": np.concatenate(last).astype(np.int64)},
        "i": {"data": np.array([int.from_bytes(row.tobytes(), "little") for row in packed], object if made.lanes > 7 else np.int64),
              "last": rng.integers(0, 2, len(packed)), "error": np.zeros(len(packed), np.int64)}}


def _vector(rng: np.random.Generator, size: int, dense: float, end: int | None = None) -> np.ndarray:
    """Activations of which a share ``dense`` is not zero, some extreme; the last one zero, one or as it comes."""
    x = np.where(rng.random(size) < 0.25, rng.choice([-128, -1, 1, 127], size), rng.integers(-128, 128, size))
    x = np.where(rng.random(size) < dense, x, 0)
    if end is not None:
        x[-1] = end
    return x


def _stimulus(made: SimpleNamespace, rng: np.random.Generator) -> Streams:
    """Columns of a word and more, up to the most; vectors of zeros, of one, with a zero at the end and without; words not read; the
    extremes, on to what wraps."""
    most = made.words * GROUP * made.lanes
    step = GROUP * made.lanes
    kinds = [(most, 12, 1, None), (1, 1, 1, 1), (step, 30, 0.5, 0), (2 * step, 20, 0.5, 1), (3 * step - 1, 20, 0.6, 0),
             (4 * step, 9, 0, 0), (step + 1, 1, 0, 0), (most, 20, 0.3, 0), (4 * step, 25, 0.6, None),
             (4 * step - 4, 20, 0.7, 1), (min(5 * step, most), 30, 0.1, None)]
    layers = [(rng.integers(-1, 2, (rows, columns)).astype(np.int8), _vector(rng, columns, dense, end))
              for rows, columns, dense, end in kinds]
    high = (1 << made.acc_bits - 1) // 127 + 2               # what wraps, up and down
    signs = np.where(np.arange(step) % 2, 1, -1).astype(np.int8)
    layers.append((np.repeat(signs[:, None], high, axis=1), np.full(high, 127)))
    layers.append((np.repeat(signs[:, None], 8, axis=1), np.full(8, -128)))
    streams = _streams(made, layers, rng)
    i = streams["i"]
    begin = np.cumsum([0] + [len(_kept(made, x)) * -(-len(trits) // step) for trits, x in layers])
    for layer, place in ((3, 1), (7, -2), (8, -1), (9, -3)):  # in the middle, among the last words, and the very last
        i["error"][begin[layer + (place < 0)] + place] = 1
    some = rng.integers(begin[8], begin[9], 6)
    i["data"][some] |= 255 << 8 * (made.lanes - 1)           # no trits
    return streams


def columns_workload(design: Design, rows: int, vectors: list[np.ndarray], seed: int = 0) -> Streams:
    """Random matrices of ``rows`` rows for vectors, for an engine of the catalogue's kind."""
    rng = np.random.default_rng(seed)
    made = _made({name: value for name, value in design.params.items() if name != "dsp"})
    return _streams(made, [(rng.integers(-1, 2, (rows, len(x))).astype(np.int8), x) for x in vectors], rng)


def _made(params: dict[str, Any]) -> SimpleNamespace:
    """Parameters of an engine, with what is left to its defaults."""
    return SimpleNamespace(**{name: value.default for name, value in signature(TernaryColumns).parameters.items()} | params)


def _steady(made: SimpleNamespace, rng: np.random.Generator) -> Streams:
    """One matrix of the most rows, no activation zero."""
    x = rng.integers(1, 128, 1000 // made.words + 2)
    return _streams(made, [(rng.integers(-1, 2, (made.words * GROUP * made.lanes, len(x))).astype(np.int8), x)], rng)


def ternary_columns(lanes: int, **structure: Any) -> Design:
    """Entry of a :class:`TernaryColumns`."""
    params: dict[str, Any] = {"lanes": lanes, **structure}
    made = _made(params)
    return Design(
        name=f"ternary_columns_{lanes}" + "_all" * (not made.skip) + "_portable" * (not made.cells),
        summary="Matrix of trits times an int8 vector, column by column, " + ("those of zeros not read" if made.skip else "all of them"),
        params={**params, "dsp": False}, component=partial(TernaryColumns, **params), golden=partial(_product, made),
        stimulus=partial(_stimulus, made), family="ecp5" if made.cells else None,
        twin=partial(TernaryColumns, **{**params, "cells": False}) if made.cells else None,
        macs={"int8*ternary": GROUP * lanes}, workload=partial(_steady, made))


_SMALL = {"words": 8, "acc_bits": 12, "address_bits": 12}      # so that stimuli meet every limit

DESIGNS: tuple[Design, ...] = (ternary_columns(1, **_SMALL), ternary_columns(1, skip=False, cells=False, **_SMALL))
