"""Dot product of int8 activations and ternary weights, without tables."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import signed_width
from .carry import Chain, Term, plain
from .stream import check_positive
from .ternary_tree import Word, check_flag, total, total_width

__all__ = ["TernaryDot"]

GROUP = 4
"""Lanes whose first adders share a carry chain: more save its start, and slow it down."""


class TernaryDot(wiring.Component):
    """Sum of ``a * w`` over the lanes, one dot product per cycle.

    Trits are -1, 0 and 1; -2 counts as zero. Latency is a cycle for the operands, one for each level of the tree of adders, and one for
    the last row where the sum is exact; one global stall.

    An activation whose trit is zero is reset as it enters its register; one whose trit is -1 is inverted, and the one that completes it
    is the carry of some adder. Inside the adders activations are offset by 128, so that no sum is negative and no adder leaves a carry.
    With ``fused`` the inversion is in the ECP5's carry cells, two lanes to a first adder; without, gates make the operands before their
    registers.

    Lanes have one sign more than adders. ``exact`` adds it in a row of its own, with the offset. Otherwise ``sum`` is the dot product plus
    ``bias``, less one where the last lane's trit is negative. Both are known from the weights, and can be taken off with a layer's
    bias: over a matrix's row, ``bias`` times the transactions, less how many of the last lane's trits are negative. Published engines
    describe the select only: bias, gating by reset and the arrangement are ours.

    Parameters
    ----------
    lanes : :class:`int`
        Activations, 2 or more.
    exact : :class:`bool`
        Whether ``sum`` is the dot product as it is.
    fused : :class:`bool`
        Whether inversion is inside carry cells, or before the registers and the adders are left to synthesis.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description; only with ``fused``.

    Attributes
    ----------
    bias : :class:`int`
        What ``sum`` has too much: 0 or ``128 * lanes``.

    Members
    -------
    i : :py:`In(stream.Signature({"a": ArrayLayout(signed(8), lanes), "w": ArrayLayout(signed(2), lanes)}))`
        Activations and trits.
    o : :py:`Out(stream.Signature({"sum": signed(n) or unsigned(n)}))`
        Dot products; unsigned if not exact.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, lanes: int, *, exact: bool = True, fused: bool = True, cells: bool = True) -> None:
        self.lanes = check_positive("Lanes", lanes, 2)
        self.exact = check_flag("Exact", exact)
        self.fused = check_flag("Fused", fused)
        self.cells = check_flag("Cells", cells)
        self.bias = 0 if exact else 128 * lanes
        shape = signed(signed_width(128 * lanes)) if exact else unsigned(total_width(lanes, 255))
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(signed(8), lanes), "w": data.ArrayLayout(signed(2), lanes)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": shape}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        chains = [Chain(m, f"chain_{n}", cells=self.cells) for n in range(-(-self.lanes // GROUP))]
        signs = [Signal(name=f"sign_{n}", reset_less=True) for n in range(self.lanes)]
        words = [Word(terms=self._operand(m, advance, n, signs[n]), most=255, chain=chains[n // GROUP] if self.fused else None)
                 for n in range(self.lanes)]
        found, stages = total(m, advance, words, signs, bias=128 * self.lanes if self.exact else None, width=len(self.o.p.sum), name="sum")
        for chain in chains if self.fused else []:
            chain.close()
        valid = Signal(stages)
        m.d.comb += self.o.p.sum.eq(found)
        with m.If(advance):
            m.d.sync += Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid))
        return m

    def _operand(self, m: Module, advance: Value, n: int, sign: Signal) -> list[Term]:
        """``a * w + 128`` of a lane, less one where its trit is negative."""
        a, w = self.i.p.a[n], self.i.p.w[n]
        t = Signal(8, name=f"operand_{n}", reset_less=True)
        with m.If(advance):
            m.d.sync += sign.eq(w[1])
        if not self.fused:
            chosen = Mux(w[0], a, 0)[:8] ^ w[1].replicate(8) ^ 0x80
            with m.If(advance):
                m.d.sync += t.eq(chosen)
            return [plain(bit) for bit in t]
        with m.If(advance & ~w[0]):
            m.d.sync += t.eq(0)
        with m.Elif(advance):
            m.d.sync += t.eq(a)
        low = [Term(0b0110, (bit, sign)) for bit in t[:7]]
        if n % 2 == 0 and n + 1 < self.lanes:
            return [*low, Term(0b1001, (t[7], sign))]
        # The second operand of a cell must be zero where its signals are.
        positive = Signal(name=f"positive_{n}", reset_less=True)
        with m.If(advance):
            m.d.sync += positive.eq(~w[1])
        return [*low, Term(0b0110, (t[7], positive))]
