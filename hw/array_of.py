"""Output-stationary array of any multiplier-accumulators."""
from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Cat, Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import check_dimension

__all__ = ["ArrayOf"]

SHARED = ("first", "last")


class ArrayOf(wiring.Component):
    """Outer products accumulated in place, by whatever multiplies and accumulates.

    The element in row ``r`` and column ``c`` gets ``a[r]``, ``b[c]`` and everything else of the input; its results are at ``[r][c]`` of
    the output's. An input is taken when every element takes it, and an output offered when every element has one, so elements may
    differ in how long they take (as digit-serial ones do). Throughput and latency are those of the slowest element.

    Parameters
    ----------
    rows, columns : :class:`int`
        Elements.
    element : callable
        Makes a multiplier-accumulator: streams ``i`` with ``a``, ``b``, ``first`` and ``last`` (and what else it has, such as ``mode``),
        and ``o``. ``ready`` of its ``i`` must not depend on ``valid`` in the same cycle.

    Members
    -------
    i : :py:`In(stream.Signature({"a": rows * ..., "b": columns * ..., "first": 1, "last": 1, ...}))`
        Columns of the left matrix and rows of the right one.
    o : :py:`Out(stream.Signature({"sum": rows * (columns * ...), ...}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, rows: int, columns: int, element: Callable[[], wiring.Component]) -> None:
        check_dimension("Rows", rows)
        check_dimension("Columns", columns)
        self.rows = rows
        self.columns = columns
        self.elements = {(r, c): element() for r in range(rows) for c in range(columns)}
        one = self.elements[0, 0]
        inputs, outputs = (_fields(one, port) for port in ("i", "o"))
        for name in ("a", "b", *SHARED):
            if name not in inputs:
                raise ValueError(f"Element of an array must have an input {name!r}, and that of {type(one).__name__} is "
                                 f"{', '.join(inputs) or 'none'}")
        shared = {name: shape for name, shape in inputs.items() if name not in ("a", "b")}
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(inputs["a"], rows), "b": data.ArrayLayout(inputs["b"], columns), **shared}))),
            "o": Out(stream.Signature(data.StructLayout({
                name: data.ArrayLayout(data.ArrayLayout(shape, columns), rows) for name, shape in outputs.items()}))),
        })
        self.shared = tuple(shared)
        self.outputs = tuple(outputs)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        take, give = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(Cat(one.i.ready for one in self.elements.values()).all()), take.eq(self.i.valid & self.i.ready),
            self.o.valid.eq(Cat(one.o.valid for one in self.elements.values()).all()), give.eq(self.o.valid & self.o.ready),
        ]
        for (r, c), one in self.elements.items():
            m.submodules[f"element_{r}_{c}"] = one
            m.d.comb += [one.i.valid.eq(take), one.i.p.a.eq(self.i.p.a[r]), one.i.p.b.eq(self.i.p.b[c]), one.o.ready.eq(give)]
            m.d.comb += [one.i.p[name].eq(self.i.p[name]) for name in self.shared]
            m.d.comb += [self.o.p[name][r][c].eq(one.o.p[name]) for name in self.outputs]
        return m


def _fields(one: wiring.Component, port: str) -> dict[str, Shape]:
    """Payload of a port, by name; nothing where there is no such stream."""
    layout = getattr(getattr(one, port, None), "p", None)
    return {name: field.shape for name, field in layout.shape()} if layout is not None else {}
