"""Ternary dot products by tables in block RAM that the packed byte addresses."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .array_widths import delayed, levels, pipelined_sum
from .carry import Chain, Term, plain
from .stream import check_positive
from .ternary_tree import Word, check_flag, total
from .tlmm_build import CODES, OFFSET, check_code, check_power, entry_layout, entry_shape

__all__ = ["TlmmByteRam", "check_spare", "sum_bits"]

_SHARED = 4                                                 # tables whose first adders share a carry chain


def check_spare(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2:
        raise ValueError(f"Spare address bits of a table must be 0, 1 or 2, not {value!r}")
    return value


def sum_bits(tables: int, code: str = "radix3") -> int:
    """Bits of the sum of an entry of every table; of half tables, of what is given without the carry."""
    return CODES[code].bits + levels(tables)


class TlmmByteRam(wiring.Component):
    """Sums of ``5 * tables`` activations under ternary weights (of ``8 * tables`` under bits), one output a cycle: each byte is an address.

    Tables are 256 entries of 11 or 12 bits, or half of them, twice: one set is written while the other is looked up. A set is ready when
    the entry marked ``last`` is in, and free again when the weights marked ``last`` are; sets take turns. Entries that are not written
    keep what they had. One lookup a cycle; latency two cycles and one for each level of the tree that adds ``tables`` entries.

    Half tables have 128 entries and the negative of each by its complement, which ECP5's carry cells make inside the first adders, so that
    no look-up table is between; with the carry of each adder one sign is left, which goes along as ``carry``.

    A byte looks up the tables of all tokens at the same address, so that three tokens' entries fit one block RAM of 512 by 36 bits. No
    entry is read in the cycle in which it is written, which synthesis is told.

    Structure: TeLLMe's table lookup (arXiv 2510.15926) with groups of five, after the byte of TQ1_0 or radix 3; the rest is ours.

    Parameters
    ----------
    tables, tokens, lanes, code
        As of :class:`~.tlmm_build.TableBuild`.
    ports
        Outputs looked up in a cycle. With two, tables are in true dual-port memory, half as many for the same work; entries are written
        through one of its ports, in cycles in which nothing is looked up.
    tag
        Bits that go along with a lookup.
    spare
        0, 1 or 2 more bits of a block RAM's address, which pick out a table: it looks up where they are its own, and what is meant for
        others goes past. So many bits of an entry's table are not compared. Of one token, 512 entries leave one such bit in an ECP5's
        block RAM, and 256 leave two.
    cells
        Whether negatives of half tables are made inside the ECP5's carry cells, or before the registers of the entries.

    Members
    -------
    i_table : ``In(stream.Signature(entry_layout(tables, tokens, lanes, code)))``
        Entries.
    i : ``In(stream.Signature({"bytes": tables * ports * unsigned(8), "last": 1, "tag": tag}))``
        Weights of one output (then of the next one): a byte a table. No ``tag`` where it has no bits.
    o : ``Out(stream.Signature({"sums": ports * tokens * signed(sum_bits(tables, code)), "carry": ports, "tag": tag}))``
        Sums, in order. Of half tables alone ``carry``: what the sums of an output are too little, 0 or 1.
    """
    i: stream.Interface
    i_table: stream.Interface
    o: stream.Interface

    def __init__(self, tables: int, *, tokens: int = 1, lanes: int = 1, code: str = "radix3", ports: int = 1,
                 tag: int = 0, spare: int = 0, cells: bool = True) -> None:
        self.tables = check_power("Tables", tables)
        self.tokens = check_positive("Tokens", tokens)
        self.lanes = check_power("Lanes of a table build", lanes, self.tables)
        self.code = check_code(code)
        if ports not in (1, 2) or isinstance(ports, bool):
            raise ValueError(f"Ports of a table must be 1 or 2, not {ports!r}")
        self.ports = ports
        self.tag = check_positive("Tag", tag, 0)
        self.spare = min(check_spare(spare), ceil_log2(tables // lanes))
        self.cells = check_flag("Cells", cells)
        self.half = CODES[code].half
        rider = {"tag": tag} if tag else {}
        carry = {"carry": ports} if self.half else {}
        super().__init__({
            "i_table": In(stream.Signature(entry_layout(tables, tokens, lanes, code))),
            "i": In(stream.Signature(data.StructLayout({"bytes": data.ArrayLayout(unsigned(8), tables * ports), "last": 1} | rider))),
            "o": Out(stream.Signature(data.StructLayout({
                "sums": data.ArrayLayout(signed(sum_bits(tables, code)), tokens * ports)} | carry | rider))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        made, freed = Signal(2), Signal(2)                   # sets, modulo four: what differs is there, two apart is full
        apart, written, page = made ^ freed, made[0], freed[0]
        stores = self.i_table.valid & self.i_table.ready
        advance, valid = Signal(), Signal(1 + levels(self.tables))
        ready = apart.any()
        takes = self.i.valid & ready & advance
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance & ready),
                     self.i_table.ready.eq((apart != 2) & (~takes if self.ports == 2 else 1))]
        with m.If(stores & self.i_table.p.last):
            m.d.sync += made.eq(made + 1)
        with m.If(takes & self.i.p.last):
            m.d.sync += freed.eq(freed + 1)
        with m.If(advance):
            m.d.sync += Cat(valid, self.o.valid).eq(Cat(self.i.valid & ready, valid))
        entries = [self._table(m, t, advance, stores, written, page) for t in range(self.tables)]
        signs = [self._signs(m, advance, n) for n in range(self.ports if self.half else 0)]
        for b in range(self.tokens * self.ports):
            read = [entry[b] for entry in entries]
            m.d.comb += self.o.p.sums[b].eq(
                self._halves(m, advance, read, *signs[b // self.tokens], b) if self.half else self._whole(m, advance, read, b))
        if self.half:
            m.d.comb += self.o.p.carry.eq(delayed(m, advance, Cat(late[-1] for _, late in signs), levels(self.tables), "carry"))
        if self.tag:
            m.d.comb += self.o.p.tag.eq(delayed(m, advance, self.i.p.tag, 2 + levels(self.tables), "tag"))
        return m

    def _signs(self, m: Module, advance: Value, n: int) -> tuple[Value, Value]:
        """Of the bytes of output ``n``: as their entries are read, and in the next cycle."""
        read = delayed(m, advance, Cat(self.i.p.bytes[n * self.tables + t][7] for t in range(self.tables)), 1, f"sign_{n}")
        return read, delayed(m, advance, read, 1, f"sign_late_{n}")

    def _whole(self, m: Module, advance: Value, read: list[Value], b: int) -> Value:
        """Sum of entries."""
        terms = [delayed(m, advance, entry, 1, f"entry_{t}_{b}") for t, entry in enumerate(read)]
        return pipelined_sum(m, advance, terms, f"sum_{b}")

    def _halves(self, m: Module, advance: Value, read: list[Value], signs: Value, late: Value, b: int) -> Value:
        """Sum of entries, or of negatives where there is a sign, which lacks the last sign."""
        chains = [Chain(m, f"halves_{b}_{n}", cells=True) for n in range(-(-self.tables // _SHARED))] if self.cells else []
        words, carries = [], list(late)
        for t, entry in enumerate(read):
            there = delayed(m, advance, entry if self.cells else entry ^ signs[t].replicate(len(entry)), 1, f"entry_{t}_{b}")
            terms = [Term(0b0110, (bit, carries[t])) if self.cells else plain(bit) for bit in there]
            words.append(Word(terms=terms, most=2 * OFFSET - 1, chain=chains[t // _SHARED] if self.cells else None))
        found, _ = total(m, advance, words, carries, bias=None, width=len(self.o.p.sums[b]), name=f"sum_{b}")
        for chain in chains:
            chain.close()
        return found ^ 1 << len(found) - 1                   # all offsets are half of what the bits can say

    def _table(self, m: Module, t: int, advance: Value, stores: Value, written: Value, page: Value) -> list[Value]:
        """Entries of table ``t`` at its bytes: of every token, then at the next output's."""
        groups, bits = self.tables // self.lanes, CODES[self.code].address_bits
        m.submodules[f"table_{t}"] = store = memory.Memory(
            shape=data.ArrayLayout(entry_shape(self.code), self.tokens), depth=2 << bits + self.spare, init=[], attrs={"no_rw_check": 1})
        write, reads = store.write_port(), [store.read_port(transparent_for=()) for _ in range(self.ports)]
        entry = self.i_table.p
        first = t // groups * self.tokens
        others, own = (entry.table, t % groups) if groups > 1 else (Const(0, 0), 0)
        where, mine = Cat(entry.byte, written, others[:self.spare]), Cat(page, Const(own, self.spare))
        m.d.comb += [write.en.eq(stores & (others[self.spare:] == own >> self.spare)), write.addr.eq(where),
                     *(write.data[b].eq(entry.sums[first + b]) for b in range(self.tokens))]
        for n, read in enumerate(reads):
            m.d.comb += [read.en.eq(advance), read.addr.eq(Cat(self.i.p.bytes[n * self.tables + t][:bits], mine))]
        if self.ports == 2:                                  # one address, so that the write shares the first one's port
            shared = Signal(bits + 1 + self.spare, name=f"address_{t}")
            m.d.comb += [shared.eq(Mux(stores, where, Cat(self.i.p.bytes[t][:bits], mine))), write.addr.eq(shared),
                         reads[0].addr.eq(shared), reads[0].en.eq(advance & ~stores)]
        return [read.data[b] for read in reads for b in range(self.tokens)]
