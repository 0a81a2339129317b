"""Six nested counted loops that walk a tensor."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..instruction import BYTES, Field
from ..program import LOOPS, TABLE

__all__ = ["ADDRESS_BITS", "COORDINATE_BITS", "FIELDS", "LoopNest", "STEP", "layout_of"]

ADDRESS_BITS = 20
COORDINATE_BITS = 12



def layout_of(table: Sequence[Field]) -> data.StructLayout:
    """Layout of instruction words whose fields have no gaps."""
    return data.StructLayout({f.name.replace(".", "_"): signed(f.width) if f.signed else unsigned(f.width) for f in table}
                             | {"unused": unsigned(8 * BYTES - table[-1].low - table[-1].width)})


FIELDS = layout_of(TABLE)
"""The instruction word as a layout: fields in the order of the table, which has no gaps. Counts are stored less one."""

STEP = data.StructLayout({"address": signed(ADDRESS_BITS), "inside": unsigned(1), "start": unsigned(LOOPS), "last": unsigned(LOOPS)})
"""One step of the nest: the word's address, whether ``(y, x)`` lies in the tensor, and of each loop whether it
is at its first and at its last repetition."""


class LoopNest(wiring.Component):
    """Steps of an instruction's loops, one per cycle.

    The first step is offered the cycle after ``start``; a new ``start`` abandons what was running.
    ``done`` is high from the cycle after the last step was taken until the next ``start``.

    Members
    -------
    start : :py:`In(1)`
        Begin with the fields present in this cycle.
    stop : :py:`In(1)`
        Abandon; wins over ``start``.
    instruction : :py:`In(FIELDS)`
        Must be stable from ``start`` to ``done``.
    o : :py:`Out(stream.Signature(STEP))`
        Steps.
    done : :py:`Out(1)`
        No step is left.
    """

    def __init__(self) -> None:
        super().__init__({
            "start": In(1), "stop": In(1), "instruction": In(FIELDS),
            "o": Out(stream.Signature(STEP)), "done": Out(1),
        })
        self.left = [Signal(12, name=f"left{n}") for n in range(LOOPS)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, o = self.instruction, self.o
        address = Signal(signed(ADDRESS_BITS))
        y, x = Signal(signed(COORDINATE_BITS)), Signal(signed(COORDINATE_BITS))
        left, start = self.left, Signal(LOOPS)
        active = Signal()
        last = Cat(count == 0 for count in left)
        m.d.comb += [
            o.valid.eq(active), o.p.address.eq(address), o.p.start.eq(start), o.p.last.eq(last),
            o.p.inside.eq((y.as_unsigned() < word.height + 1) & (x.as_unsigned() < word.width + 1)),
            self.done.eq(~active),
        ]
        step = Signal()
        m.d.comb += step.eq(o.valid & o.ready)

        moves = [Signal(name=f"moves{n}") for n in range(LOOPS)]         # one-hot: the loop that advances
        below: Value = step
        for n in range(LOOPS):
            m.d.comb += moves[n].eq(below & ~last[n])
            rewind = Signal(name=f"rewind{n}")
            m.d.comb += rewind.eq(below & last[n])
            with m.If(self.start | rewind):
                m.d.sync += [left[n].eq(word[f"loop{n}_count"]), start[n].eq(1)]
            with m.Elif(moves[n]):
                m.d.sync += [left[n].eq(left[n] - 1), start[n].eq(0)]
            below = rewind

        def delta(part: str, width: int) -> Value:
            """The advancing loop's delta."""
            total: Value = Mux(moves[0], word[f"loop0_{part}"], 0)
            for n in range(1, LOOPS):
                total = total | Mux(moves[n], word[f"loop{n}_{part}"], 0)
            return total.as_signed()

        with m.If(self.start):
            m.d.sync += [address.eq(word.input), y.eq(word.y), x.eq(word.x), active.eq(~self.stop)]
        with m.Elif(self.stop | below):
            m.d.sync += active.eq(0)
        with m.Elif(step):
            m.d.sync += [address.eq(address + delta("address", ADDRESS_BITS)), y.eq(y + delta("y", COORDINATE_BITS)),
                         x.eq(x + delta("x", COORDINATE_BITS))]
        return m
