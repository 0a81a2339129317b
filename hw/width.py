"""Width conversion of streams."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_positive

__all__ = ["Deserialize", "Serialize"]


class Serialize(wiring.Component):
    """The ``n`` elements of each transaction one after another, element 0 first.

    One element per cycle, no latency and no store: ``o`` shows an element of the transaction that waits on ``i``, and
    ``i.ready`` is ``o.ready`` at the last one.

    Parameters
    ----------
    shape
        Shape of an element.
    n
        Elements, 1 or more.

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"data": ArrayLayout(shape, n)})))``
    o : ``Out(stream.Signature(StructLayout({"data": shape})))``
    """

    def __init__(self, shape: object, *, n: int) -> None:
        self.shape = shape
        self.n = check_positive("Serialize n", n)
        super().__init__({"i": In(stream.Signature(data.StructLayout({"data": data.ArrayLayout(shape, n)}))),
                          "o": Out(stream.Signature(data.StructLayout({"data": shape})))})
        self.index = Signal(range(n))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last = self.index == self.n - 1
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready & last),
                     self.o.payload.data.eq(self.i.payload.data[self.index])]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.index.eq(Mux(last, 0, self.index + 1))
        return m


class Deserialize(wiring.Component):
    """``n`` successive transactions as one, the first as element 0.

    One element per cycle; the transaction is on ``o`` one cycle after its last element's transfer. ``i.ready`` depends on
    ``o.ready``.

    Parameters
    ----------
    shape
        Shape of an element.
    n
        Elements, 1 or more.

    Members
    -------
    i : ``In(stream.Signature(StructLayout({"data": shape})))``
    o : ``Out(stream.Signature(StructLayout({"data": ArrayLayout(shape, n)})))``
    """

    def __init__(self, shape: object, *, n: int) -> None:
        self.shape = shape
        self.n = check_positive("Deserialize n", n)
        super().__init__({"i": In(stream.Signature(data.StructLayout({"data": shape}))),
                          "o": Out(stream.Signature(data.StructLayout({"data": data.ArrayLayout(shape, n)})))})
        self.index = Signal(range(n))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        output = Signal(self.o.payload.shape(), reset_less=True)
        last = self.index == self.n - 1
        m.d.comb += [self.o.payload.eq(output), self.i.ready.eq(~self.o.valid | self.o.ready)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & last)
            with m.If(self.i.valid):
                m.d.sync += [output.data[self.index].eq(self.i.payload.data), self.index.eq(Mux(last, 0, self.index + 1))]
        return m
