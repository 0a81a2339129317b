"""Ternary dot products by tables in block RAM that the packed byte addresses."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .array_widths import delayed, levels, pipelined_sum
from .stream import check_positive
from .tlmm_build import CODES, check_code, check_power, entry_layout

__all__ = ["TlmmByteRam", "sum_bits"]


def sum_bits(tables: int, code: str = "radix3") -> int:
    """Bits of the sum of an entry of every table."""
    return CODES[code].bits + levels(tables)


class TlmmByteRam(wiring.Component):
    """Sums of ``5 * tables`` activations under ternary weights (of ``8 * tables`` under bits), one output a cycle: each byte is an address.

    Tables are 256 entries of 11 or 12 bits, twice: one set is written while the other is looked up. A set is ready when the entry marked
    ``last`` is in, and free again when the weights marked ``last`` are; sets take turns. Entries that are not written keep what they
    had. One lookup a cycle; latency two cycles and one for each level of the tree that adds ``tables`` entries.

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

    Members
    -------
    i_table : ``In(stream.Signature(entry_layout(tables, tokens, lanes, code)))``
        Entries.
    i : ``In(stream.Signature({"bytes": tables * ports * unsigned(8), "last": 1, "tag": tag}))``
        Weights of one output (then of the next one): a byte a table. No ``tag`` where it has no bits.
    o : ``Out(stream.Signature({"sums": tokens * signed(sum_bits(tables, code)), "tag": tag}))``
        Sums, in order.
    """
    i: stream.Interface
    i_table: stream.Interface
    o: stream.Interface

    def __init__(self, tables: int, *, tokens: int = 1, lanes: int = 1, code: str = "radix3", ports: int = 1,
                 tag: int = 0) -> None:
        self.tables = check_power("Tables", tables)
        self.tokens = check_positive("Tokens", tokens)
        self.lanes = check_power("Lanes of a table build", lanes, self.tables)
        self.code = check_code(code)
        if ports not in (1, 2) or isinstance(ports, bool):
            raise ValueError(f"Ports of a table must be 1 or 2, not {ports!r}")
        self.ports = ports
        self.tag = check_positive("Tag", tag, 0)
        rider = {"tag": tag} if tag else {}
        super().__init__({
            "i_table": In(stream.Signature(entry_layout(tables, tokens, lanes, code))),
            "i": In(stream.Signature(data.StructLayout({"bytes": data.ArrayLayout(unsigned(8), tables * ports), "last": 1} | rider))),
            "o": Out(stream.Signature(data.StructLayout({
                "sums": data.ArrayLayout(signed(sum_bits(tables, code)), tokens * ports)} | rider))),
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
        for b in range(self.tokens * self.ports):
            terms = [delayed(m, advance, entry[b], 1, f"entry_{t}_{b}") for t, entry in enumerate(entries)]
            m.d.comb += self.o.p.sums[b].eq(pipelined_sum(m, advance, terms, f"sum_{b}"))
        if self.tag:
            m.d.comb += self.o.p.tag.eq(delayed(m, advance, self.i.p.tag, 2 + levels(self.tables), "tag"))
        return m

    def _table(self, m: Module, t: int, advance: Value, stores: Value, written: Value, page: Value) -> list[Value]:
        """Entries of table ``t`` at its bytes: of every token, then at the next output's."""
        groups = self.tables // self.lanes
        m.submodules[f"table_{t}"] = store = memory.Memory(
            shape=data.ArrayLayout(signed(CODES[self.code].bits), self.tokens), depth=512, init=[], attrs={"no_rw_check": 1})
        write, reads = store.write_port(), [store.read_port(transparent_for=()) for _ in range(self.ports)]
        entry = self.i_table.p
        first = t // groups * self.tokens
        where = Cat(entry.byte, written)
        m.d.comb += [write.en.eq(stores & (entry.table == t % groups if groups > 1 else 1)), write.addr.eq(where),
                     *(write.data[b].eq(entry.sums[first + b]) for b in range(self.tokens))]
        for n, read in enumerate(reads):
            m.d.comb += [read.en.eq(advance), read.addr.eq(Cat(self.i.p.bytes[n * self.tables + t], page))]
        if self.ports == 2:                                  # one address, so that the write shares the first one's port
            shared = Signal(9, name=f"address_{t}")
            m.d.comb += [shared.eq(Mux(stores, where, Cat(self.i.p.bytes[t], page))), write.addr.eq(shared), reads[0].addr.eq(shared),
                         reads[0].en.eq(advance & ~stores)]
        return [read.data[b] for read in reads for b in range(self.tokens)]
