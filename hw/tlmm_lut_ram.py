"""Ternary products by table lookup in LUT-RAM."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import signed_width
from .carry import Chain, Term, plain
from .stream import check_positive
from .ternary_tree import Word, check_flag, total, total_width
from .tlmm_walk import CENTRE, ENTRY_BITS, TableWalk, steps

__all__ = ["GROUP", "TlmmLutRam"]

GROUP = 3
"""Activations of a table."""
_SHARED = 4                                                 # words whose first adders share a carry chain


class TlmmLutRam(wiring.Component):
    """Products of ``3 * tables`` int8 activations and a ternary matrix, ``columns`` of its rows a cycle.

    ``i_x`` brings the activations: of three transactions, the first has the first activation of each group of three. Then 18 cycles (34
    with full tables) fill the tables, and ``i`` looks up in them until ``last``; the next activations may come meanwhile, but tables
    are not doubled: they are filled when the last lookup is over. Each lookup gives the sums over the tables.
    Latency of a lookup is a cycle for the entries, one for each level of the tree of adders, and one for the last row where the sum is
    exact; one global stall.

    Groups are TL2's: 14 sums in a table of 16, their negatives by inversion. The sign inverts inside the adders and is the carry of
    some adder. The tables of a column have one sign more than adders: ``exact`` is as for :class:`~.ternary_dot.TernaryDot`, the last table
    in the last lane's place. With ``half=False`` a table has all 27 sums, as TeLLMe's (arXiv 2510.15926, M3), in a memory of 32, and
    there are no signs.

    Parameters
    ----------
    tables : :class:`int`
        Groups of three activations, 2 or more.
    columns : :class:`int`
        Outputs a cycle, each with its copy of the tables.
    half : :class:`bool`
        Whether tables are half ones, or full.
    exact : :class:`bool`
        Whether sums are the products as they are.
    fused : :class:`bool`
        Whether inversion is inside carry cells, or before the registers and the adders are left to synthesis.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description; only with ``fused``.

    Attributes
    ----------
    bias : :class:`int`
        What a sum has too much: 0 or ``512 * tables``.

    Members
    -------
    i_x : :py:`In(stream.Signature({"x": ArrayLayout(signed(8), tables)}))`
        Activations.
    i : :py:`In(stream.Signature({"index": columns x tables of 4 or 5, "sign": columns x tables of 1, "last": 1}))`
        Weights: TL2's index, 0 to 13, and sign, which full tables do not have; their index is ``9 * w0 + 3 * w1 + w2 + 13``. Other
        indices give an unspecified sum.
    o : :py:`Out(stream.Signature({"sums": ArrayLayout(signed(n) or unsigned(n), columns)}))`
        Sums; unsigned if not exact.
    """
    i_x: stream.Interface
    i: stream.Interface
    o: stream.Interface

    def __init__(self, tables: int, columns: int, *, half: bool = True, exact: bool = True, fused: bool = True, cells: bool = True) -> None:
        self.tables = check_positive("Tables", tables, 2)
        self.columns = check_positive("Columns", columns)
        self.half = check_flag("Half", half)
        self.exact = check_flag("Exact", exact)
        self.fused = check_flag("Fused", fused)
        self.cells = check_flag("Cells", cells)
        self.bias = 0 if exact else CENTRE * tables
        shape = signed(signed_width(384 * tables)) if exact else unsigned(total_width(tables, 2 * CENTRE - 1))

        def each(width: int) -> data.ArrayLayout:
            return data.ArrayLayout(data.ArrayLayout(unsigned(width), tables), columns)
        fields = {"index": each(4), "sign": each(1)} if half else {"index": each(5)}
        super().__init__({
            "i_x": In(stream.Signature(data.StructLayout({"x": data.ArrayLayout(signed(8), tables)}))),
            "i": In(stream.Signature(data.StructLayout({**fields, "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sums": data.ArrayLayout(shape, columns)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        filled = Signal()
        entry, entries = self._build(m, filled)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance & filled)]
        taken = self.i.valid & filled
        with m.If(advance & taken & self.i.p.last):
            m.d.sync += filled.eq(0)
        stages = 0
        for q in range(self.columns):
            ports = [self._table(m, f"table_{q}_{n}", entry, entries[n]) for n in range(self.tables)]
            found, stages = self._column(m, advance, ports, q)
            m.d.comb += self.o.p.sums[q].eq(found)
        valid = Signal(stages)
        with m.If(advance):
            m.d.sync += Cat(valid, self.o.valid).eq(Cat(taken, valid))
        return m

    def _table(self, m: Module, name: str, entry: Value, sum_: Value) -> memory.ReadPort:
        """A column's copy of a table. Copies are memories of their own, as Yosys does not map one with many ports.

        It is always written: between walks that is nothing, at nothing's entry.
        """
        m.submodules[name] = table = memory.Memory(shape=unsigned(ENTRY_BITS), depth=16 if self.half else 32, init=[])
        port = table.write_port()
        m.d.comb += [port.addr.eq(entry), port.en.eq(1), port.data.eq(sum_)]
        return table.read_port(domain="comb")

    def _build(self, m: Module, filled: Signal) -> tuple[Value, list[Value]]:
        """Loads and walks: the entry that is written, and each table's sum."""
        walk = list(steps(self.half))
        loaded, building = Signal(range(GROUP + 1)), Signal()
        step = Signal(range(len(walk)))
        # What a step does is registered, so that no table look-up is in front of the adders.
        entry = Signal(range(16 if self.half else 32), reset_less=True)
        walks, add, turn, clear, ends = (Signal(name=name) for name in ("walks", "add", "turn", "clear", "ends"))
        negative = Signal(reset_less=True)
        full = loaded == GROUP
        load = self.i_x.valid & ~full
        m.d.comb += self.i_x.ready.eq(~full)
        with m.If(load):
            m.d.sync += loaded.eq(loaded + 1)
        with m.If(building):
            m.d.sync += [step.eq(step + 1), building.eq(step != len(walk) - 1)]
        with m.Else():
            m.d.sync += building.eq(full & ~filled & ~walks)
        with m.Switch(step):
            for n, made in enumerate(walk):
                with m.Case(n):
                    m.d.sync += [entry.eq(made.entry), add.eq(building & (made.sign != 0)), negative.eq(made.sign < 0),
                                 turn.eq(building & made.turn), clear.eq(building & (n % 16 == 15)),
                                 ends.eq(building & (n == len(walk) - 1))]
        m.d.sync += walks.eq(building)
        with m.If(ends):
            m.d.sync += [filled.eq(1), loaded.eq(0)]
        sums: list[Value] = []
        for n in range(self.tables):
            m.submodules[f"walk_{n}"] = made_ = TableWalk(fused=self.fused, cells=self.cells)
            m.d.comb += [made_.x.eq(self.i_x.p.x[n]), made_.load.eq(load), made_.turn.eq(turn), made_.add.eq(add),
                         made_.negative.eq(negative), made_.clear.eq(clear)]
            sums.append(made_.entry)
        return entry, sums

    def _column(self, m: Module, advance: Value, ports: list[memory.ReadPort], q: int) -> tuple[Value, int]:
        """Sum of a column, and its stages."""
        words: list[Word] = []
        signs: list[Value] = []
        chains = [Chain(m, f"column_{q}_{n}", cells=self.cells) for n in range(-(-self.tables // _SHARED))] if self.fused else []
        for n, port in enumerate(ports):
            m.d.comb += port.addr.eq(self.i.p.index[q][n])
            entry = Signal(ENTRY_BITS, name=f"entry_{q}_{n}", reset_less=True)
            read: Value = port.data
            terms = [plain(bit) for bit in entry]
            if self.half:
                given, sign = self.i.p.sign[q][n], Signal(name=f"sign_{q}_{n}", reset_less=True)
                signs.append(sign)
                with m.If(advance):
                    m.d.sync += sign.eq(given)
                if self.fused:
                    terms = [Term(0b0110, (bit, sign)) for bit in entry]
                else:
                    read = read ^ given.replicate(ENTRY_BITS)
            with m.If(advance):
                m.d.sync += entry.eq(read)
            words.append(Word(terms=terms, most=2 * CENTRE - 1, chain=chains[n // _SHARED] if self.fused else None))
        found, stages = total(m, advance, words, signs, bias=CENTRE * self.tables if self.exact else None,
                              width=len(self.o.p.sums[q]), name=f"sum_{q}")
        for chain in chains:
            chain.close()
        return found, stages
