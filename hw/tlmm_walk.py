"""Sums of three activations under every pattern of trits, one a cycle: what fills a table for :class:`~.tlmm_lut_ram.TlmmLutRam`."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .carry import Chain, Term, plain
from .ternary_tree import check_flag

__all__ = ["CENTRE", "ENTRY_BITS", "MOVES", "Step", "TableWalk", "steps"]

ENTRY_BITS = 10
"""Bits of a sum of three int8 activations, offset so that none is negative."""
CENTRE = 512
"""Offset of an entry: ones' complement of an entry is its negative, less one."""

MOVES = ((1, 1), (1, 1), (1, 1), (-1, 1), (-1, 0), (1, 1), (-1, 0), (-1, 1),
         (1, 1), (-1, 0), (-1, 1), (1, 0), (1, 1), (0, 1), (1, 1), (0, 1))
"""What each step adds of the activation in front, after its entry is written, and whether the next one comes to the front.

The shortest walk there is from zero through TL2's 14 patterns whose activations come round in their order; found by search. It turns
the activations four times, so that another walk can follow.
"""


class Step(NamedTuple):
    """One cycle: the entry that is written, then how the activation in front is added, and whether the next one comes to the front."""
    entry: int
    sign: int
    turn: int


def steps(half: bool) -> Iterator[Step]:
    """Cycles of a build: TL2's half table, or all 27 entries, from 0 for three of -1, the first trit most significant."""
    for sign in (1,) if half else (1, -1):
        value, front = 0, 0
        for add, turn in MOVES:
            yield Step(value if half else 13 + sign * value, sign * add, turn)
            value += add * (9, 3, 1)[front]
            front = (front + turn) % 3


class TableWalk(wiring.Component):
    """Builds one table. The control is shared by all tables: :func:`steps` says what it is.

    The three activations stand in a ring of registers. One adder walks from pattern to pattern, adding or subtracting the one in front.
    Published engines do not say how many entries a cycle they build, nor in which order: the walk is ours.

    Parameters
    ----------
    fused : :class:`bool`
        Whether the select is inside carry cells, or the adder is left to synthesis.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description; only with ``fused``.

    Members
    -------
    x : :py:`In(8)`
        The activation that ``load`` takes, signed.
    load, turn : :py:`In(1)`
        Take ``x`` in at the back, or bring the next activation to the front.
    add, negative, clear : :py:`In(1)`
        Add the activation in front, or subtract it with ``negative`` too; begin again from zero. ``negative`` must be low without ``add``.
    entry : :py:`Out(10)`
        The sum, plus 512.
    """

    def __init__(self, *, fused: bool = True, cells: bool = True) -> None:
        self.fused = check_flag("Fused", fused)
        self.cells = check_flag("Cells", cells)
        super().__init__({"x": In(8), "load": In(1), "turn": In(1), "add": In(1), "negative": In(1), "clear": In(1),
                          "entry": Out(unsigned(ENTRY_BITS), init=CENTRE)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front, middle, back = (Signal(8, name=name, reset_less=True) for name in ("front", "middle", "back"))
        with m.If(self.load | self.turn):
            m.d.sync += [front.eq(middle), middle.eq(back), back.eq(Mux(self.load, self.x, front))]
        with m.If(self.clear):
            m.d.sync += self.entry.eq(CENTRE)
        with m.Elif(self.add):
            m.d.sync += self.entry.eq(self._next(m, front))
        return m

    def _next(self, m: Module, front: Signal) -> Value:
        bits = [*front, *[front[7]] * (ENTRY_BITS - 8)]
        if self.fused:
            chain = Chain(m, "walk", cells=self.cells)
            found = chain.add([plain(bit) for bit in self.entry], [Term(0b0110, (bit, self.negative)) for bit in bits], ENTRY_BITS,
                              carry=self.negative, fits=True)
            chain.close()
            return Cat(found)
        return (Cat(1, self.entry) + Cat(self.negative, *(bit ^ self.negative for bit in bits)))[1:]
