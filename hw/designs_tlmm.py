"""Catalogue entries of ternary lookups in block RAM and of the engine made of them, with their golden functions."""
from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..design import Design, Streams
from ..ternary import GROUP, unpack_radix3
from ..ternary_tiles import tile
from .ternary_engine import TernaryEngine
from .tlmm_build import CODES, OFFSET, TableBuild, address, walk
from .tlmm_ram import TlmmByteRam

__all__ = ["DESIGNS", "pack_planes", "pack_signs", "ternary_engine", "ternary_workload", "tlmm_build", "tlmm_byte_ram"]

_TO = {code: np.array([address(index, code) for index in range(3 ** GROUP if about.group == GROUP else 256)], np.uint8)
       for code, about in CODES.items()}
_FROM = {code: np.zeros(256, np.uint8) for code in CODES}   # radix-3 byte, or plane, of a byte of the code
for _code, _bytes in _TO.items():
    _FROM[_code][_bytes] = np.arange(len(_bytes))


def _activations(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """int8, one vector in four of extremes."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape[:1] + (1,) * (len(shape) - 1)) < 0.25, rng.choice([-128, 127], shape), values)


def _build(tables: int, lanes: int, code: str, streams: Streams) -> Streams:
    """The walk's writes in its order; entries themselves are tested against :func:`mantissa.ternary.table`."""
    steps = walk(code)
    x = np.asarray(streams["i"]["x"], np.int64)
    tokens, groups, size = x.shape[1], tables // lanes, CODES[code].group
    sets = x.reshape(-1, lanes, groups, size, tokens).transpose(0, 2, 1, 4, 3)
    times = np.zeros((len(steps), size + 1), np.int64)       # after the last activation there is nothing
    for n, step in enumerate(steps):
        times[n] = times[n - 1]
        times[n, step.element] += (1 - 2 * step.minus) << step.double
        times[n] *= not step.clear
    sums = np.einsum("sgpbe,ne->sgnpb", sets, times[:, :size]).reshape(-1, lanes * tokens) + OFFSET * CODES[code].half
    last = np.zeros((len(sets), groups, len(steps)), np.int64)
    last[:, -1, -1] = 1
    table = {"table": np.tile(np.repeat(np.arange(groups), len(steps)), len(sets))} if groups > 1 else {}
    return {"o": {**table, "byte": np.tile([step.byte for step in steps], len(sets) * groups), "sums": sums, "last": last.ravel()}}


def tlmm_build(tables: int, **structure: Any) -> Design:
    """Entry of a :class:`TableBuild`."""
    params = {"tables": tables, **structure}
    given = {"tokens": 1, "lanes": 1, "code": "radix3", "cells": True} | structure
    tokens, lanes, code, cells = (given[name] for name in ("tokens", "lanes", "code", "cells"))
    return Design(
        name=f"tlmm_build_{tables}x{tokens}_{lanes}" + ("" if code == "radix3" else f"_{code}") + ("" if cells else "_portable"),
        summary=f"Builder of {tables * tokens} tables of {CODES[code].group} activations by the Gray walk, {lanes * tokens} at a time, "
                f"{code} bytes",
        params=params, component=partial(TableBuild, **params), family="ecp5" if cells else None,
        twin=partial(TableBuild, **{**params, "cells": False}) if cells else None, golden=partial(_build, tables, lanes, code),
        stimulus=lambda rng: {"i": {"x": _activations(rng, 8, CODES[code].group * tables, tokens).reshape(-1, tokens)}})


def _lookup(tables: int, tokens: int, lanes: int, code: str, ports: int, streams: Streams) -> Streams:
    """Sets of entries as they are written, and as each is looked up."""
    entries, i, half = streams["i_table"], streams["i"], CODES[code].half
    kept = np.zeros((2, tables, 1 << CODES[code].address_bits, tokens), np.int64)
    groups = tables // lanes
    out, at, begin = [], 0, 0
    for n, end in enumerate(np.flatnonzero(i["last"])):
        stop = int(np.flatnonzero(entries["last"])[n]) + 1
        for k in range(at, stop):
            table = int(entries["table"][k]) if groups > 1 else 0
            kept[n % 2, table::groups, entries["byte"][k]] = np.reshape(entries["sums"][k], (lanes, tokens))
        at = stop
        chosen = np.reshape(i["bytes"][begin:end + 1], (-1, ports, tables))
        if half:
            negative = (chosen >> 7)[..., None]
            found = (kept[n % 2][np.arange(tables), chosen & 127] - OFFSET) * (1 - 2 * negative)
            out.append((found.sum(axis=2) - negative[:, :, -1]).reshape(len(chosen), -1))
        else:
            out.append(kept[n % 2][np.arange(tables), chosen].sum(axis=2).reshape(len(chosen), -1))
        begin = end + 1
    tag = {"tag": np.asarray(i["tag"])} if "tag" in i else {}
    carry = {"carry": (np.reshape(i["bytes"], (-1, ports, tables))[:, :, -1] >> 7) @ (1 << np.arange(ports))} if half else {}
    return {"o": {"sums": np.concatenate(out), **carry, **tag}}


def _lookups(tables: int, tokens: int, lanes: int, code: str, ports: int, tag: int, rng: np.random.Generator) -> Streams:
    """Four sets: two of every entry, which are looked up at every byte, and two of a few entries and lookups."""
    groups, size, half = tables // lanes, 1 << CODES[code].address_bits, CODES[code].half
    order = [np.repeat(np.arange(groups), size)] * 2 + [np.arange(groups), np.arange(groups)]
    byte = [np.tile(rng.permutation(size), groups), np.tile(np.arange(size), groups), rng.integers(0, size, groups),
            np.full(groups, size - 1)]
    count = sum(map(len, order))
    sums = rng.integers(-640, 641, (count, lanes * tokens))
    sums = np.where(rng.random((count, 1)) < 0.1, rng.choice([-1024, 1023], sums.shape), sums) + OFFSET * half
    last = np.zeros(count, np.int64)
    last[np.cumsum([len(part) for part in order]) - 1] = 1
    looks = [256, 300, 1, 7]
    ends = np.zeros(sum(looks), np.int64)
    ends[np.cumsum(looks) - 1] = 1
    bytes_ = rng.integers(0, 256, (len(ends), tables * ports))
    for t in range(tables * ports):
        bytes_[:256, t] = rng.permutation(256)
    rider = {"tag": rng.integers(0, 1 << tag, len(ends))} if tag else {}
    table = {"table": np.concatenate(order)} if groups > 1 else {}
    return {"i_table": {**table, "byte": np.concatenate(byte), "sums": sums, "last": last},
            "i": {"bytes": bytes_, "last": ends, **rider}}


def tlmm_byte_ram(tables: int, *, tokens: int = 1, lanes: int = 1, code: str = "radix3", ports: int = 1, tag: int = 0,
                  spare: int = 0, cells: bool = True) -> Design:
    """Entry of a :class:`TlmmByteRam`."""
    params: dict[str, Any] = {"tables": tables, "tokens": tokens, "lanes": lanes, "code": code, "ports": ports, "tag": tag, "spare": spare,
                              "cells": cells}
    about, fused = CODES[code], CODES[code].half and cells
    weights = "ternary" if about.group == GROUP else "int1"
    return Design(
        name=f"tlmm_byte_ram_{tables}x{tokens}" + f"_{lanes}" * (lanes > 1) + f"_{code}" * (code != "radix3") + "_dual" * (ports == 2)
             + f"_spare{spare}" * (spare > 0) + "_portable" * (not cells),
        summary=f"Sums of {about.group * tables} activations of {tokens} vectors under {weights} weights, bytes address "
                + "half " * about.half + "tables in " + "true dual-port " * (ports == 2) + "block RAM",
        params={**params, "dsp": False}, component=partial(TlmmByteRam, **params), family="ecp5" if fused else None,
        twin=partial(TlmmByteRam, **{**params, "cells": False}) if fused else None,
        golden=partial(_lookup, tables, tokens, lanes, code, ports), stimulus=partial(_lookups, tables, tokens, lanes, code, ports, tag),
        macs={f"int8*{weights}": about.group * tables * tokens * ports},
        workload=partial(_steady, tables, tokens, lanes, code, ports, tag))


def _steady(tables: int, tokens: int, lanes: int, code: str, ports: int, tag: int, rng: np.random.Generator) -> Streams:
    """One set of a single entry, and then lookups alone."""
    few = _lookups(tables, tokens, lanes, code, ports, tag, rng)
    end = int(np.flatnonzero(few["i_table"]["last"])[0])
    ends = np.zeros(1000, np.int64)
    ends[-1] = 1
    rider = {"tag": np.zeros(1000, np.int64)} if tag else {}
    return {"i_table": {name: column[end:end + 1] for name, column in few["i_table"].items()},
            "i": {"bytes": rng.integers(0, 256, (1000, tables * ports)), "last": ends, **rider}}


def _bursts(at: int, words: int, tiles: int, longest: int) -> list[tuple[int, int]]:
    """Addresses and lengths less one."""
    found = []
    for left in [words] * tiles:
        while left:
            length = min(left, longest)
            found.append((at, length - 1))
            at, left = at + length, left - length
    return found


def pack_planes(weights: npt.ArrayLike, planes: int, tables: int) -> np.ndarray:
    """Bytes (tiles, N * planes, tables) of signed integers (N, K) of ``planes`` bits: of each row a word a plane, the sign's first."""
    return _planes(np.asarray(weights), planes, tables)


def pack_signs(weights: npt.ArrayLike, planes: int, tables: int) -> np.ndarray:
    """The same of odd numbers between ``-2 ** planes`` and ``2 ** planes``, the sums of ``planes`` powers of two or their negatives.

    Of an integer ``w`` of ``planes`` bits, ``2 * w + 1`` is one: twice its product and the activations' own sum.
    """
    return _TO["signs_half"][_planes(np.asarray(weights) + (1 << planes) - 1 >> 1, planes, tables)]


def _planes(array: np.ndarray, planes: int, tables: int) -> np.ndarray:
    rows, columns = array.shape
    size = 8 * tables
    padded = np.zeros((rows, -(-columns // size) * size), np.int64)
    padded[:, :columns] = array
    bits = padded[:, None, :] >> np.arange(planes)[::-1, None] & 1
    words = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little").reshape(rows * planes, -1, tables)
    return words.transpose(1, 0, 2)


def _unpacked(packed: np.ndarray, code: str, planes: int) -> np.ndarray:
    """Weights (tiles, N, K) of bytes (tiles, words, tables)."""
    tiles, words, _ = packed.shape
    plain = _FROM[code][packed]
    if CODES[code].group == GROUP:
        return unpack_radix3(plain).astype(np.int64)
    bits = np.unpackbits(plain, axis=-1, bitorder="little").reshape(tiles, words // planes, planes, -1).astype(np.int64)
    weight = 1 << np.arange(planes)[::-1]
    if code == "bits":
        weight[0] *= -1
    else:
        bits = 2 * bits - 1
    return np.einsum("trpk,p->trk", bits, weight)


def _product(made: SimpleNamespace, streams: Streams) -> Streams:
    """The product of unpacked weights and activations."""
    tables, acc_bits, address_bits = made.tables, made.acc_bits, made.address_bits
    size = CODES[made.code].group * tables
    commands, words, x = streams["i_command"], streams["i"], np.asarray(streams["i_x"]["x"], np.int64)
    packed = np.frombuffer(b"".join(int(word).to_bytes(tables, "little") for word in words["data"]), np.uint8).reshape(-1, tables)
    sums, errors, lasts, bursts = [], [], [], []
    word, k = 0, 0
    for n in range(len(commands["address"])):
        command = {name: int(column[n]) for name, column in commands.items()}
        rows, tiles = command["last_row"] + 1, command["last_tile"] + 1
        bursts += _bursts(command["address"], rows * made.planes, tiles, 1 << made.length_bits)
        words_in = rows * made.planes * tiles
        weights = _unpacked(packed[word:word + words_in].reshape(tiles, -1, tables), made.code, made.planes)
        sums.append(np.einsum("trk,tkb->rb", weights, x[k:k + tiles * size].reshape(tiles, size, -1)))
        bad = np.cumsum(words["error"][word:word + words_in]) > 0
        errors.append(bad[-rows * made.planes:][made.planes - 1::made.planes])
        lasts.append(np.arange(rows) == rows - 1)
        word, k = word + words_in, k + tiles * size
    half = 1 << acc_bits - 1
    total = (np.concatenate(sums) + half) % (2 * half) - half
    at = np.array(bursts)
    return {"o": {"sums": total, "error": np.concatenate(errors).astype(np.int64), "last": np.concatenate(lasts).astype(np.int64)},
            "o_read": {"address": at[:, 0] % (1 << address_bits), "length": at[:, 1]}}


def _matrices(made: SimpleNamespace, shapes: list[tuple[int, int]], rng: np.random.Generator, *, errors: bool = True) -> Streams:
    """Commands of random matrices; some words of one of them were not read. The extremes are in the first."""
    words, x = [], []
    size = CODES[made.code].group * made.tables
    half = 1 << made.planes - 1
    kinds = {"bits": (range(-half, half), pack_planes), "signs_half": (range(1 - 2 * half, 2 * half, 2), pack_signs)}
    values_of, pack = kinds.get(made.code, (range(-1, 2), None))
    for n, (rows, columns) in enumerate(shapes):
        weights = rng.choice(values_of, (rows, columns)).astype(np.int8)
        values = _activations(rng, columns, made.tokens)
        if n == 0:
            weights[::2], values[...] = values_of[0], -128
        packed = pack(weights, made.planes, made.tables) if pack else _TO[made.code][tile(weights, made.tables)]
        words.append(packed.reshape(-1, made.tables))
        padded = np.zeros((packed.shape[0] * size, made.tokens), np.int64)
        padded[:columns] = values
        x.append(padded)
    packed = np.concatenate(words)
    bad = np.zeros(len(packed), np.int64)
    if errors:
        first = len(words[0]) + len(words[1])
        bad[first + len(words[2]) // 2] = bad[first - 1] = 1
    kind = object if made.tables > 7 else np.int64
    last_row = np.array([rows - 1 for rows, _ in shapes])
    each = {"last_word": (last_row + 1) * made.planes - 1} if made.planes > 1 else {}
    return {
        "i_command": {"address": rng.integers(0, 1 << made.address_bits, len(shapes)), "last_row": last_row,
                      "last_tile": np.array([-(-columns // size) - 1 for _, columns in shapes])} | each,
        "i_x": {"x": np.concatenate(x)},
        "i": {"data": np.array([int.from_bytes(row.tobytes(), "little") for row in packed], kind),
              "last": rng.integers(0, 2, len(packed)), "error": bad}}


def _stimulus(made: SimpleNamespace, shapes: list[tuple[int, int]], rng: np.random.Generator) -> Streams:
    """Matrices of ``shapes``, of as many tiles as there may be up to 16, of few rows and any tiles, and of any rows up to 32; any of them
    first after a reset."""
    size, most = CODES[made.code].group * made.tables, min(made.tiles, 16)
    rows, tiles = np.append(rng.integers(1, 5, 3), rng.integers(5, min(made.rows, 32) + 1)), np.append(rng.integers(1, most + 1, 3), 2)
    drawn = np.transpose([rows, tiles * size - rng.integers(0, size, 4)]).tolist()
    return _matrices(made, rng.permutation([*shapes, (2, most * size), *drawn]).tolist(), rng)


def _made(params: Mapping[str, Any]) -> SimpleNamespace:
    """Parameters of an engine, with what is left to its defaults, but ``wraps``, on which no sum depends."""
    made = {name: value.default for name, value in signature(TernaryEngine).parameters.items()} | dict(params)
    return SimpleNamespace(**{name: value for name, value in made.items() if name != "wraps"})


def ternary_workload(design: Design, shapes: list[tuple[int, int]], seed: int = 0) -> Streams:
    """Whole matrices (N, K) for an engine of the catalogue's kind."""
    return _matrices(_made({name: value for name, value in design.params.items() if name != "dsp"}), shapes, np.random.default_rng(seed),
                     errors=False)


def ternary_engine(tables: int, **structure: Any) -> Design:
    """Entry of a :class:`TernaryEngine`."""
    params: dict[str, Any] = {"tables": tables, **structure}
    made = _made(params)
    step = CODES[made.code].group * tables
    most = made.rows
    shapes = [(1, 3 * step - 2), (2, step), (5, step - 1), (min(32, most), 2 * step - 3)]
    weights = "ternary" if CODES[made.code].group == GROUP else f"INT{made.planes}"
    kind = f"odd numbers of {made.planes} signs" if made.code == "signs_half" else weights
    name = f"{weights.lower()}_engine_{tables}x{made.tokens}_{made.lanes}" + f"_{made.code}" * (made.code not in ("radix3", "bits"))
    name += f"_counted{made.counters}" * (made.counters > 0) + f"_spare{made.spare}" * (made.spare > 0)
    return Design(
        name=name + ("" if made.cells else "_portable"),
        family="ecp5" if made.cells else None, twin=partial(TernaryEngine, **{**params, "cells": False}) if made.cells else None,
        summary=f"Matrix of {kind} times {made.tokens} int8 vectors by {'half-' * CODES[made.code].half}table lookup, weights straight "
                "from a memory's port",
        params={**params, "dsp": False}, component=partial(TernaryEngine, **params), golden=partial(_product, made),
        stimulus=partial(_stimulus, made, shapes),
        macs={f"int8*{weights.lower()}": step * made.tokens / made.planes},
        workload=partial(_matrices, made, [(most, 2 * step)], errors=False))


_SMALL = {"rows": 32, "tiles": 16, "length_bits": 2}          # so that stimuli meet every limit

DESIGNS: tuple[Design, ...] = (
    tlmm_build(2, tokens=2), tlmm_build(1, code="tq1_0", cells=False), tlmm_build(2, lanes=2, code="bits"),
    tlmm_build(2, code="radix3_half"), tlmm_build(1, code="signs_half", cells=False),
    tlmm_byte_ram(4), tlmm_byte_ram(2, tokens=2, lanes=2, ports=2),
    tlmm_byte_ram(4, code="radix3_half", spare=1), tlmm_byte_ram(2, tokens=2, code="signs_half", ports=2, cells=False),
    ternary_engine(2, **_SMALL), ternary_engine(2, tokens=2, lanes=2, code="tq1_0", cells=False, **_SMALL),
    ternary_engine(1, code="bits", planes=2, **_SMALL), ternary_engine(1, code="bits", planes=4, cells=False, **_SMALL),
    ternary_engine(2, code="radix3_half", spare=2, **_SMALL), ternary_engine(1, code="signs_half", planes=2, cells=False, **_SMALL),
)
