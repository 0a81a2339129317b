"""Transactions to raw payloads and back, for any payload layout.

A raw payload is a row of little-endian 32-bit words, bit 0 of the payload in bit 0 of word 0: the layout of
a wide port in a compiled simulator. ``integers`` turns rows into Python integers for simulators that take those.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Fragment, Shape
from amaranth.lib import data, stream, wiring
import numpy as np
import numpy.typing as npt

from ..design import Transactions

__all__ = ["Leaf", "Words", "bits", "count", "enumerate_all", "integers", "layout_of", "leaves", "pack", "ports", "unpack", "used",
           "width_of", "words_of"]

Words = npt.NDArray[np.uint32]
"""Raw payloads: shape (transactions, words)."""


@dataclass(frozen=True)
class Leaf:
    """One scalar of a payload: its field, its place in that field's array, and its bits."""
    field: str
    index: tuple[int, ...]
    low: int
    width: int
    signed: bool


def ports(component: wiring.Component) -> tuple[dict[str, data.Layout], dict[str, data.Layout]]:
    """Payload layouts of the input streams and of the output streams, by port."""
    inputs: dict[str, data.Layout] = {}
    outputs: dict[str, data.Layout] = {}
    for name, member in component.signature.members.items():
        if member.is_signature and isinstance(member.signature, stream.Signature):
            (inputs if member.flow is wiring.In else outputs)[name] = layout_of(component, name)
    return inputs, outputs


def used(component: wiring.Component) -> wiring.Component:
    """The component, elaborated: one that is only asked for its ports would be warned about."""
    Fragment.get(component, None)
    return component


def layout_of(component: wiring.Component, port: str) -> data.Layout:
    """Payload layout of the stream ``port``."""
    shape = getattr(component, port).payload.shape()
    if not isinstance(shape, data.StructLayout):
        raise TypeError(f"Payload of stream {port} must be a StructLayout, not {shape!r}")
    return shape


def width_of(layout: data.Layout) -> int:
    """Bits of a payload."""
    return layout.as_shape().width


def words_of(layout: data.Layout) -> int:
    """32-bit words of a raw payload."""
    return max(1, -(-width_of(layout) // 32))


def leaves(layout: data.Layout) -> list[Leaf]:
    """Every scalar of ``layout``, in the order of their bits."""
    found = []
    for name, field in layout:
        found += [Leaf(str(name), index, field.offset + low, shape.width, shape.signed) for index, low, shape in _scalars(field.shape)]
    return found


def _scalars(shape: Any) -> Iterator[tuple[tuple[int, ...], int, Shape]]:
    if isinstance(shape, data.ArrayLayout):
        stride = Shape.cast(shape.elem_shape).width
        for n in range(shape.length):
            for index, low, scalar in _scalars(shape.elem_shape):
                yield (n, *index), n * stride + low, scalar
    elif isinstance(shape, data.Layout):
        raise TypeError(f"Payload field must be a scalar or an array of scalars, not {shape!r}")
    else:
        yield (), 0, Shape.cast(shape)


def count(rows: Transactions) -> int:
    """Number of transactions."""
    lengths = {name: len(column) for name, column in rows.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"Fields of a stream must have one row per transaction each, not {lengths}")
    return next(iter(lengths.values()))


def pack(layout: data.Layout, rows: Transactions) -> Words:
    """Raw payloads of ``rows``.

    Raises
    ------
    ValueError
        If a field is missing or unknown, or a value does not fit its field.
    """
    names = {str(name) for name, _ in layout}
    if set(rows) != names:
        raise ValueError(f"Transactions must have fields {', '.join(sorted(names))}, not {', '.join(sorted(rows))}")
    out = np.zeros((count(rows), words_of(layout)), np.uint32)
    for leaf in leaves(layout):
        column = np.asarray(rows[leaf.field])[(slice(None), *leaf.index)]
        if column.dtype != object:
            column = column.astype(object if leaf.width > 63 else np.int64)
        _check(leaf, column)
        for bit, word, low, take in _pieces(leaf):
            piece = (column >> bit) & ((1 << take) - 1)
            out[:, word] |= (piece.astype(np.uint64) << np.uint64(low)).astype(np.uint32)
    return out


def _check(leaf: Leaf, column: npt.NDArray[Any]) -> None:
    top = 1 << (leaf.width - leaf.signed) if leaf.width else 1
    low, high = (-top if leaf.signed else 0), top - 1
    if column.ndim != 1:
        extra = column.ndim - 1 + len(leaf.index)
        raise ValueError(f"Field {leaf.field} must have {len(leaf.index)} dimensions a transaction, not {extra}")
    if len(column) and (column.min() < low or column.max() > high):
        wrong = column[(column < low) | (column > high)][0]
        raise ValueError(f"Field {leaf.field} must be between {low} and {high}, not {wrong}")


def _pieces(leaf: Leaf) -> Iterator[tuple[int, int, int, int]]:
    """(bit of the value, word, bit of the word, bits) of each part of ``leaf`` that lies in one word."""
    bit = 0
    while bit < leaf.width:
        word, low = divmod(leaf.low + bit, 32)
        take = min(32 - low, leaf.width - bit)
        yield bit, word, low, take
        bit += take


def unpack(layout: data.Layout, raw: Words) -> dict[str, npt.NDArray[Any]]:
    """Transactions of raw payloads; fields wider than 63 bits become Python integers."""
    raw = np.asarray(raw, np.uint32)
    out: dict[str, npt.NDArray[Any]] = {}
    for name, field in layout:
        kind = object if any(scalar.width > 63 for _, _, scalar in _scalars(field.shape)) else np.int64
        out[str(name)] = np.zeros((len(raw), *_dimensions(field.shape)), kind)
    for leaf in leaves(layout):
        kind = out[leaf.field].dtype
        value = np.zeros(len(raw), kind)
        for bit, word, low, take in _pieces(leaf):
            part = (raw[:, word] >> np.uint32(low)) & np.uint32((1 << take) - 1)
            value = value | (part.astype(np.int64).astype(kind) << bit)
        if leaf.signed and leaf.width:
            value = value - ((value >> (leaf.width - 1) & 1) << leaf.width)
        out[leaf.field][(slice(None), *leaf.index)] = value
    return out


def _dimensions(shape: Any) -> tuple[int, ...]:
    return (shape.length, *_dimensions(shape.elem_shape)) if isinstance(shape, data.ArrayLayout) else ()


def integers(raw: Words) -> list[int]:
    """Each raw payload as one unsigned integer."""
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in raw]


def bits(layouts: Mapping[str, data.Layout]) -> int:
    """Payload bits of several streams together."""
    return sum(width_of(layout) for layout in layouts.values())


def enumerate_all(layout: data.Layout, start: int, stop: int) -> Words:
    """Raw payloads ``start`` to ``stop - 1``: every value of a payload of at most 32 bits, in chunks."""
    return np.arange(start, stop, dtype=np.uint64).astype(np.uint32).reshape(-1, 1)
