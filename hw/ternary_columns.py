"""Ternary matrix times an int8 vector, column by column, columns of zero activations left in the memory."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..ternary import GROUP
from .array_widths import delayed
from .count_up import count_up
from .memory_port import WIDTHS, answer_layout, request_layout
from .stream import Queue, check_positive
from .ternary_serial import added
from .ternary_tree import check_flag
from .tlmm_build import check_power
from .trits import CODES

__all__ = ["TernaryColumns", "columns_layout"]

LEAST = 4
"""Words of a column that follow each other without a pause: cycles from a row's read to its next."""

WAITING = 4
"""Columns asked for and not begun."""

_VALUES = [CODES["radix3"].values(code) or (0,) * GROUP for code in range(256)]
_TRITS = [sum((trit & 3) << 2 * n for n, trit in enumerate(trits)) for trits in _VALUES]


def columns_layout(words: int, address_bits: int) -> data.StructLayout:
    """A matrix: ``address`` of its first word, words of a column less one."""
    return data.StructLayout({"address": address_bits, "last_word": ceil_log2(words)})


class TernaryColumns(wiring.Component):
    """Products of ternary matrices (N, K) that lie column by column with int8 vectors: a column is read if its activation is not zero.

    For each command the engine takes K activations, up to ``last``, asks for each one that is not zero for its column, one burst of
    words of ``lanes`` bytes, adds it, subtracts it or does nothing in ``5 * lanes`` sums a cycle, and gives the sums, a word's at a time.
    Matrices lie as :func:`mantissa.ternary_columns.pack_columns` packs them; bytes that no trits make are zeros. Activations are looked
    at one a cycle while columns before are read, up to four ahead, so the address needs no multiplication and activations no indices.

    A word a cycle, from column to column without a pause if a column has four words or more; after a shorter one there are three cycles.
    Sums leave while the last activation's column is added, three cycles after its words; where that activation is zero, a column's cycles
    are spent for them without words. So with ``kept`` columns a command takes ``kept * words`` cycles, or K if that is more, ``words`` more
    where the last activation is skipped, and a few, and the memory's latency. The next command is taken when the last
    sums are on their way. ``i_x.ready`` depends on ``o_read.ready``, ``i.ready`` on ``o.ready``.

    ``error`` is set where the memory reported one for a word of the command so far: where it is clear with ``last``, all sums are good.
    Nothing hangs that the memory's port ends. ``acc_bits`` that are too few wrap.

    Sums lie in block RAM, one row for each word of a column; trits come from a ROM, two bytes a block RAM. Skipping columns for the
    zeros that a squared relu leaves is ternfpga's; how is ours.

    Parameters
    ----------
    lanes
        Bytes of a word of the memory: 1, 2, 4, 8 or 16.
    words
        Most words of a column, a power of two from 4 on; ``length_bits`` of the memory's port are its logarithm. Block RAM has 512 where it
        has 36 bits; of much fewer, synthesis makes LUT-RAM.
    acc_bits
        Of a sum, 9 or more.
    address_bits
        Of the memory's port.
    skip
        Whether columns are skipped, or all are read.
    cells
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i_command : ``In(stream.Signature(columns_layout(words, address_bits)))``
        Matrices.
    i_x : ``In(stream.Signature({"code": signed(8), "last": 1}))``
        Activations in the order of K.
    o_read, i : ``Out(stream.Signature(request_layout(...)))``, ``In(stream.Signature(answer_layout(8 * lanes)))``
        ``read_requests`` and ``read_data`` of a :class:`~.memory_port.MemoryPort`.
    o : ``Out(stream.Signature({"sums": 5 * lanes * signed(acc_bits), "error": 1, "last": 1}))``
        Sums of the rows of a word; ``last`` ends a command. :class:`~.width.Serialize` makes them one a cycle.
    """
    i: stream.Interface
    i_x: stream.Interface
    i_command: stream.Interface
    o: stream.Interface
    o_read: stream.Interface

    def __init__(self, *, lanes: int = 8, words: int = 512, acc_bits: int = 24, address_bits: int = 24, skip: bool = True,
                 cells: bool = True) -> None:
        self.lanes = check_power("Lanes", lanes, WIDTHS[-1] // 8)
        self.words = check_power("Words of a column", check_positive("Words of a column", words, LEAST), 1 << 16)
        self.acc_bits = check_positive("Bits of a sum", acc_bits, 9)
        self.address_bits = check_positive("Address bits", address_bits)
        self.skip = check_flag("Skip", skip)
        self.cells = check_flag("Cells", cells)
        self.length_bits = ceil_log2(words)
        self.column = data.StructLayout({"value": signed(8), "fetch": 1, "last": 1})
        self.tag = data.StructLayout({"row": self.length_bits, "first": 1, "final": 1, "end": 1, "error": 1})
        super().__init__({
            "i_command": In(stream.Signature(columns_layout(words, address_bits))),
            "i_x": In(stream.Signature(data.StructLayout({"code": signed(8), "last": unsigned(1)}))),
            "o_read": Out(stream.Signature(request_layout(address_bits, self.length_bits))),
            "i": In(stream.Signature(answer_layout(8 * lanes))),
            "o": Out(stream.Signature(data.StructLayout(
                {"sums": data.ArrayLayout(signed(acc_bits), GROUP * lanes), "error": unsigned(1), "last": unsigned(1)}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.columns = columns = Queue(self.column, depth=WAITING)
        asking, adding, begin = Signal(), Signal(), Signal()
        last_word = Signal(self.length_bits, reset_less=True)
        idle = ~(adding | self.o_read.valid)
        accept = self.i_command.valid & idle
        m.d.comb += self.i_command.ready.eq(idle)
        m.d.sync += begin.eq(accept)
        with m.If(idle):
            m.d.sync += last_word.eq(self.i_command.p.last_word)
        self._ask(m, columns.i, idle, accept, asking, last_word)
        done = self._add(m, columns.o, begin, last_word)
        with m.If(done):
            m.d.sync += adding.eq(0)
        with m.If(accept):
            m.d.sync += adding.eq(1)
        return m

    def _ask(self, m: Module, columns: stream.Interface, idle: Value, accept: Value, asking: Signal, last_word: Signal) -> None:
        """Bursts of the columns that are wanted, and what is to be done with each; of a zero at the end, that nothing follows."""
        i, o, address = self.i_x, self.o_read, Signal(self.address_bits, reset_less=True)
        free = asking & (~o.valid | o.ready)
        fetch = i.p.code.any() if self.skip else Const(1)
        taken = i.valid & i.ready
        m.d.comb += [
            i.ready.eq(free & columns.ready), columns.valid.eq(free & i.valid & (fetch | i.p.last)),
            columns.p.value.eq(i.p.code), columns.p.fetch.eq(fetch), columns.p.last.eq(i.p.last), o.p.length.eq(last_word),
        ]
        with m.If(~o.valid | o.ready):
            m.d.sync += [o.valid.eq(taken & fetch), o.p.address.eq(address)]
        with m.If(idle):
            m.d.sync += address.eq(self.i_command.p.address)
        with m.Elif(taken):
            m.d.sync += address.eq(address + last_word + 1)
        with m.If(accept):
            m.d.sync += asking.eq(1)
        with m.Elif(taken & i.p.last):
            m.d.sync += asking.eq(0)

    def _add(self, m: Module, column: stream.Interface, begin: Value, last_word: Value) -> Value:
        """Words into sums; whether the last word of the last column is taken."""
        advance, between, first, failed = Signal(), Signal(), Signal(reset_less=True), Signal(reset_less=True)
        fetch = column.p.fetch if self.skip else Const(1)
        there = column.valid & advance & ~between
        taken, ends = Signal(), Signal()
        row, row_ends = count_up(m, "row", last_word, begin | taken & ends, taken, cells=self.cells)
        failed_now = failed | self.i.p.error & fetch
        tag = data.View(self.tag, Cat(row[:self.length_bits], first, column.p.last, ends, failed_now))
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(there & fetch), taken.eq(there & (self.i.valid | ~fetch)),
                     ends.eq(row_ends), column.ready.eq(taken & ends)]
        with m.If(taken):
            m.d.sync += failed.eq(failed_now)
            with m.If(ends):
                m.d.sync += first.eq(0)
        with m.If(begin):
            m.d.sync += [first.eq(1), failed.eq(0)]
        busy = self._accumulate(m, advance, taken, tag, column.p.value)
        with m.If(taken & ends):                             # a row is read again when it is written
            m.d.sync += between.eq(last_word < LEAST - 1)
        with m.Elif(advance & ~busy):
            m.d.sync += between.eq(0)
        return taken & ends & column.p.last

    def _accumulate(self, m: Module, advance: Value, taken: Value, tag: data.View, value: Value) -> Value:
        """Sums of a word with its column's activation; whether words are on their way that have not been added."""
        count, width, o = GROUP * self.lanes, self.acc_bits, self.o
        m.submodules.kept = kept = memory.Memory(
            shape=data.ArrayLayout(signed(width), count), depth=self.words, init=[], attrs={"no_rw_check": 1})
        write, read = kept.write_port(), kept.read_port(transparent_for=())
        m.d.comb += [read.en.eq(advance), read.addr.eq(tag.row)]
        coming = data.View(self.tag, delayed(m, advance, tag.as_value(), 1, "tag"))
        now = data.View(self.tag, delayed(m, advance, coming.as_value(), 1, "tag_now"))
        operand = delayed(m, advance, value, 2, "value")
        valid, final = Signal(3), Signal()
        m.d.comb += [write.en.eq(valid[2]), o.valid.eq(valid[2] & final)]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(taken, valid)), final.eq(now.final), o.p.error.eq(now.error), o.p.last.eq(now.end),
                         write.addr.eq(now.row)]
        for n, (take, negative) in enumerate(self._trits(m, advance)):
            before = Signal(signed(width), name=f"before_{n}", reset_less=True)
            with m.If(advance):
                m.d.sync += before.eq(read.data[n])
                with m.If(coming.first):
                    m.d.sync += before.eq(0)                 # registers have a reset; an adder's operand would need a gate
            total = Signal(signed(width), name=f"total_{n}", reset_less=True)
            with m.If(advance):
                m.d.sync += total.eq(added(m, before, operand, take, negative, f"sum_{n}", cells=self.cells))
            m.d.comb += [write.data[n].eq(total), o.p.sums[n].eq(total)]
        return valid[:2].any()

    def _trits(self, m: Module, advance: Value) -> list[tuple[Value, Value]]:
        """Of every trit of the word taken two advances before, whether it is not zero, and whether it is negative."""
        found = []
        for first in range(0, self.lanes, 2):
            m.submodules[f"trits_{first}"] = rom = memory.Memory(shape=unsigned(2 * GROUP), depth=256, init=_TRITS)
            for lane in range(first, min(first + 2, self.lanes)):
                read = rom.read_port()
                m.d.comb += [read.en.eq(advance), read.addr.eq(self.i.p.data.word_select(lane, 8))]
                bits = delayed(m, advance, read.data, 1, f"trits_{lane}")
                found += [(bits[2 * n], bits[2 * n + 1]) for n in range(GROUP)]
        return found
