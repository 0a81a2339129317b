"""Several streams through one, and back: arbitration and routing."""
from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_payload, check_positive

__all__ = ["Arbiter", "Route"]


class Arbiter(wiring.Component):
    """Merge of ``n`` streams, round robin: an input that waits is served after at most ``n - 1`` transfers of others.

    One transfer per cycle, one cycle of latency; the inputs' ready depend on ``o.ready`` and on all inputs' valid. The order
    in which different inputs' transactions appear depends on when they come; each input's own order is kept.

    Parameters
    ----------
    payload
        Layout of the inputs, without a field ``source``.
    n
        Inputs, 2 or more.

    Members
    -------
    i_0 ... : ``In(stream.Signature(payload))``
    o : ``Out(stream.Signature(...))``
        ``payload``'s fields, and ``source``, the number of the input.
    """

    def __init__(self, payload: data.StructLayout, *, n: int) -> None:
        self.payload = check_payload(payload)
        self.n = check_positive("Arbiter n", n, 2)
        self.source = _sourced(payload, n)
        super().__init__({**{f"i_{k}": In(stream.Signature(payload)) for k in range(n)}, "o": Out(stream.Signature(self.source))})
        self.last = Signal(range(n))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inputs = [getattr(self, f"i_{k}") for k in range(self.n)]
        payloads, valid = Array(i.payload.as_value() for i in inputs), Cat(i.valid for i in inputs)
        grant, output = Signal(range(self.n)), Signal(self.source, reset_less=True)
        m.d.comb += self.o.payload.eq(output)
        with m.Switch(self.last):
            for k in range(self.n):
                with m.Case(k):
                    for step in reversed(range(1, self.n + 1)):        # later assignments win: the nearest after `last`
                        with m.If(inputs[(k + step) % self.n].valid):
                            m.d.comb += grant.eq((k + step) % self.n)
        with m.If(~self.o.valid | self.o.ready):
            m.d.comb += [i.ready.eq((grant == k) & i.valid) for k, i in enumerate(inputs)]
            m.d.sync += [self.o.valid.eq(valid.any()), output.source.eq(grant)]
            m.d.sync += output.as_value()[:self.payload.as_shape().width].eq(payloads[grant])
            with m.If(valid.any()):
                m.d.sync += self.last.eq(grant)
        return m


def _sourced(payload: data.StructLayout, n: int) -> data.StructLayout:
    if "source" in payload.members:
        raise ValueError("Payload must have no field 'source' of its own")
    return data.StructLayout({**payload.members, "source": range(n)})


class Route(wiring.Component):
    """The reverse of :class:`Arbiter`: each transaction to the output its ``source`` names.

    No latency: payload passes through. ``i.ready`` depends on the outputs' ready; a transaction whose ``source`` is ``n`` or
    more is dropped.

    Parameters
    ----------
    payload
        Layout of the outputs, without a field ``source``.
    n
        Outputs, 2 or more.

    Members
    -------
    i : ``In(stream.Signature(...))``
        ``payload``'s fields, and ``source``.
    o_0 ... : ``Out(stream.Signature(payload))``
    """

    def __init__(self, payload: data.StructLayout, *, n: int) -> None:
        self.payload = check_payload(payload)
        self.n = check_positive("Route n", n, 2)
        super().__init__({"i": In(stream.Signature(_sourced(payload, n))), **{f"o_{k}": Out(stream.Signature(payload)) for k in range(n)}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(self.i.payload.source >= self.n)
        for k in range(self.n):
            o = getattr(self, f"o_{k}")
            m.d.comb += o.payload.eq(self.i.payload.as_value()[:self.payload.as_shape().width])
            with m.If(self.i.payload.source == k):
                m.d.comb += [o.valid.eq(self.i.valid), self.i.ready.eq(o.ready)]
        return m
