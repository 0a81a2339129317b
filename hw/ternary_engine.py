"""Ternary matrix times int8 vectors, weights straight from a memory."""
from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..ternary import GROUP
from .array_widths import check_exact, delayed, signed_width
from .carry import Chain
from .count_up import count_up, loaded
from .memory_port import WIDTHS, answer_layout, request_layout
from .stream import check_positive
from .tlmm_build import CODES, TableBuild, check_code, check_power
from .tlmm_ram import TlmmByteRam, check_spare, sum_bits

__all__ = ["PHASES", "TernaryEngine", "command_layout"]

PHASES = ("waiting", "building", "looking", "writing")
"""Where a cycle of a command went: no weights came; tables were not ready, or a tile's sums on their way; a lookup; sums not taken."""


def command_layout(rows: int, tiles: int, address_bits: int, planes: int = 1) -> data.StructLayout:
    """A matrix: ``address`` of its first word, its rows, its tiles and, of several planes, the words of a tile, each less one."""
    words = {"last_word": ceil_log2(rows * planes)} if planes > 1 else {}
    return data.StructLayout({"address": address_bits, "last_row": ceil_log2(rows), "last_tile": ceil_log2(tiles)} | words)


def _added(x: Value, y: Value, carry: Value | None) -> Value:
    """Signed sum, by one adder with the carry, where a third operand makes a compressor."""
    if carry is None:
        return x + y
    width = max(len(x), len(y)) + 1
    pairs = [Cat(first, value, *[value[-1]] * (width - len(value))) for first, value in ((Const(1, 1), x), (carry, y))]
    return (pairs[0] + pairs[1])[1:width + 1].as_signed()


class TernaryEngine(wiring.Component):
    """Products of ternary matrices (N, K) in the device's layout with int8 vectors, as fast as the memory gives words.

    For each command the engine reads ``N * tiles`` words of ``tables`` bytes, in bursts that end with a tile, and gives N sums for
    each of ``tokens`` vectors. It takes ``5 * tables * tiles`` activations of each vector, in the order of K and padded with zeros as
    :func:`mantissa.ternary_tiles.tile` pads the matrix. The tables of a tile are built while the tile before is looked up, and those of
    a command's first tiles before the command; words go from the memory's port to the tables through no buffer. A word a cycle,
    unless a tile has fewer rows than its tables take cycles, ``256 * tables / lanes`` or of half tables of trits 128; between tiles there
    are four cycles, one for each doubling of ``tables``, and one of bits.
    Sums are added up in a memory of ``rows`` words, and leave as the last tile makes them.

    ``error`` is set where the memory reported one for a word of the command so far: where it is clear with ``last``, all sums are good.
    Nothing hangs that the memory's port ends; a memory that is silent is its port's to watch. The next
    command is taken when the last sum is on its way.

    Structure: see :class:`~.tlmm_ram.TlmmByteRam`; K outside, as T-MAC (arXiv 2407.00088) has it.

    Parameters
    ----------
    tables
        Bytes of a word of the memory, 1 to 16, a power of two.
    tokens
        Vectors multiplied at a time, which share every word.
    lanes
        Tables that are built at a time, a power of two of at most ``tables``.
    rows, tiles
        Most of a command; powers of two, tiles 2 or more.
    acc_bits
        Of a sum.
    wraps
        Whether fewer ``acc_bits`` are accepted than any sum of ``tiles`` needs. Sums are then exact modulo ``2 ** acc_bits``, as signed
        numbers.
    address_bits, length_bits
        Of the memory's port; bursts have at most ``2 ** length_bits`` words, of which ``rows`` must have more.
    code
        Of the bytes, as :data:`~.tlmm_build.CODES` has it.
    planes
        With ``code="bits"``: bits of a weight, a signed integer of 1 to 4 bits, one bit of which is 0 or -1. With ``code="signs_half"``:
        signs of a weight, an odd number between ``-2 ** planes`` and ``2 ** planes``. A row is as many words, one of each plane, that of
        most weight first; activations are eight a table.
    counters
        Bits of counters of the :data:`PHASES` of commands' cycles, 0 for none. They wrap.
    spare
        As of :class:`~.tlmm_ram.TlmmByteRam`.
    cells
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i_command : ``In(stream.Signature(command_layout(rows, tiles, address_bits, planes)))``
        Matrices.
    i_x : ``In(stream.Signature({"x": tokens * signed(8)}))``
        Activations, one of each vector.
    o_read, i : ``Out(stream.Signature(request_layout(...)))``, ``In(stream.Signature(answer_layout(8 * tables)))``
        ``read_requests`` and ``read_data`` of a :class:`~.memory_port.MemoryPort`.
    o : ``Out(stream.Signature({"sums": tokens * signed(acc_bits), "error": 1, "last": 1}))``
        Sums of a row; ``last`` ends a command.
    phases : ``Out({"waiting": counters, ...})``
        Cycles, by phase; only with ``counters``.
    """
    i: stream.Interface
    i_x: stream.Interface
    i_command: stream.Interface
    o: stream.Interface
    o_read: stream.Interface
    phases: data.View

    def __init__(self, *, tables: int = 8, tokens: int = 1, lanes: int = 1, rows: int = 4096, tiles: int = 256, acc_bits: int = 24,
                 wraps: bool = False, address_bits: int = 24, length_bits: int = 4, code: str = "radix3", planes: int = 1,
                 counters: int = 0, spare: int = 0, cells: bool = True) -> None:
        check_power("Tables", tables)
        if 8 * tables not in WIDTHS:
            raise ValueError(f"Tables of an engine must be one of {', '.join(str(bits // 8) for bits in WIDTHS)}, not {tables}")
        self.tables = tables
        self.tokens = check_positive("Tokens", tokens)
        self.lanes = check_power("Lanes of a table build", lanes, tables)
        self.code = check_code(code)
        self.rows = check_power("Rows", rows, 1 << 20)
        self.tiles = check_power("Tiles", tiles, 1 << 20)
        self.address_bits = check_positive("Address bits", address_bits)
        self.length_bits = check_positive("Length bits", length_bits)
        if ceil_log2(rows) <= length_bits:
            raise ValueError(f"Rows must be more than the {1 << length_bits} words of a burst, not {rows}")
        if not isinstance(planes, int) or not 1 <= planes <= (1 if CODES[code].group == GROUP else 4):
            raise ValueError(f"Planes must be 1 to 4 of bits and 1 of trits, not {planes!r}")
        self.planes = planes
        self.spare = check_spare(spare)
        self.cells = cells
        self.acc_bits = check_positive("Bits of a sum", acc_bits, sum_bits(tables, code) + planes - (code != "signs_half"))
        columns, largest = CODES[code].group * tables, (1 << planes) - 1 if code == "signs_half" else 1 << planes - 1
        check_exact("Bits of a sum", acc_bits, signed_width((tiles * columns * largest) << 7), f"{tiles} tiles of {columns} activations",
                    wraps)
        self.counters = check_positive("Bits of counters", counters, 0)
        self.command = command_layout(rows, tiles, address_bits, planes)
        self.tag = data.StructLayout({"row": ceil_log2(rows), "first": 1, "final": 1, "end": 1, "error": 1}
                                     | ({"top": 1, "low": 1} if planes > 1 else {}))
        super().__init__({
            "i_command": In(stream.Signature(self.command)), "i_x": In(stream.Signature(
                data.StructLayout({"x": data.ArrayLayout(signed(8), tokens)}))),
            "o_read": Out(stream.Signature(request_layout(address_bits, length_bits))),
            "i": In(stream.Signature(answer_layout(8 * tables))),
            "o": Out(stream.Signature(data.StructLayout({"sums": data.ArrayLayout(signed(acc_bits), tokens), "error": 1, "last": 1}))),
        } | ({"phases": Out(data.StructLayout(dict.fromkeys(PHASES, counters)))} if counters else {}))
        self.issuing, self.looking, self.begin = Signal(), Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = {"tokens": self.tokens, "lanes": self.lanes, "code": self.code}
        m.submodules.build = build = TableBuild(self.tables, **shape, cells=self.cells)
        m.submodules.lookup = lookup = TlmmByteRam(self.tables, **shape, tag=self.tag.size, spare=self.spare, cells=self.cells)
        wiring.connect(m, wiring.flipped(self.i_x), build.i)
        wiring.connect(m, build.o, lookup.i_table)
        issuing, looking, begin = self.issuing, self.looking, self.begin
        accept = self.i_command.valid & self.i_command.ready
        last_row, last_tile = Signal(ceil_log2(self.rows), reset_less=True), Signal(ceil_log2(self.tiles), reset_less=True)
        m.d.comb += self.i_command.ready.eq(~(issuing | looking))
        m.d.sync += begin.eq(accept)
        with m.If(~(issuing | looking)):
            m.d.sync += [last_row.eq(self.i_command.p.last_row), last_tile.eq(self.i_command.p.last_tile)]
        last_word = last_row
        if self.planes > 1:
            last_word = Signal(ceil_log2(self.rows * self.planes), reset_less=True)
            with m.If(~(issuing | looking)):
                m.d.sync += last_word.eq(self.i_command.p.last_word)
        self._issue(m, accept, begin, issuing, last_word, last_tile)
        done = self._accumulate(m, lookup.o)
        self._look(m, lookup.i, accept, begin, looking, last_row, last_tile, done)
        if self.counters:
            self._count(m, looking)
        return m

    def _issue(self, m: Module, accept: Value, begin: Value, issuing: Signal, last_word: Signal, last_tile: Signal) -> None:
        """Bursts of the command, tile by tile."""
        bits, o, address = self.length_bits, self.o_read, Signal(self.address_bits, reset_less=True)
        fires, ends = issuing & o.ready, Signal()
        _, burst_ends = count_up(m, "burst", last_word[bits:], begin | fires & ends, fires, cells=self.cells)
        _, tile_ends = count_up(m, "tile_asked", last_tile, begin, fires & ends, cells=self.cells)
        low, base = Signal(bits + 1), self.i_command.p.address
        m.d.comb += [ends.eq(burst_ends), o.valid.eq(issuing), o.p.address.eq(address),
                     o.p.length.eq(last_word[:bits] | (~ends).replicate(bits)),
                     low.eq(address[:bits] + o.p.length + 1)]
        chain = Chain(m, "address_next", cells=self.cells)
        upper = chain.add([loaded(accept, bit, value) for bit, value in zip(address[bits:], base[bits:], strict=True)], [],
                          self.address_bits - bits, carry=low[bits] & ~accept)
        chain.close()
        with m.If(accept | fires):
            m.d.sync += address.eq(Cat(Mux(accept, base[:bits], low[:bits]), upper))
        with m.If(begin):
            m.d.sync += issuing.eq(1)
        with m.If(fires & ends & tile_ends):
            m.d.sync += issuing.eq(0)

    def _look(self, m: Module, look: stream.Interface, accept: Value, begin: Value, looking: Signal, last_row: Signal, last_tile: Signal,
              done: Value) -> None:
        """Words into lookups; a tile starts when the sums of the one before are kept."""
        running, first, failed, plane = Signal(), Signal(), Signal(), Signal(range(self.planes))
        tag = data.View(self.tag, look.p.tag)
        taken, low, ends = look.valid & look.ready, plane == self.planes - 1, Signal()
        row, row_ends = count_up(m, "row", last_row, begin | taken & ends, taken & low, cells=self.cells)
        _, final = count_up(m, "tile", last_tile, begin, done, cells=self.cells)
        m.d.comb += [
            ends.eq(row_ends & low), self.i.ready.eq(running & look.ready), look.valid.eq(running & self.i.valid), look.p.last.eq(ends),
            look.p.bytes.as_value().eq(self.i.p.data), tag.row.eq(row), tag.first.eq(first), tag.final.eq(final), tag.end.eq(ends),
            tag.error.eq(failed | self.i.p.error)]
        if self.planes > 1:
            m.d.comb += [tag.top.eq(plane == 0), tag.low.eq(low)]
            with m.If(taken):
                m.d.sync += plane.eq(plane + 1)
            with m.If(begin | taken & low):
                m.d.sync += plane.eq(0)
        with m.If(taken):
            m.d.sync += failed.eq(failed | self.i.p.error)
        with m.If(taken & ends):
            m.d.sync += [running.eq(0), first.eq(0)]
        with m.If(done):
            m.d.sync += [running.eq(~final), looking.eq(~final)]
        with m.If(accept):
            m.d.sync += looking.eq(1)
        with m.If(begin):
            m.d.sync += [running.eq(1), first.eq(1), failed.eq(0)]

    def _accumulate(self, m: Module, come: stream.Interface) -> Value:
        """Sums of tiles added up; whether the last one of a tile is kept or about to be given."""
        width = self.acc_bits
        m.submodules.kept = kept = memory.Memory(
            shape=data.ArrayLayout(signed(width), self.tokens), depth=self.rows, init=[], attrs={"no_rw_check": 1})
        write, read = kept.write_port(), kept.read_port(transparent_for=())
        o = self.o
        tag = data.View(self.tag, come.p.tag)
        advance, valid, held = Signal(), Signal(2), Signal()
        m.d.comb += [advance.eq(~o.valid | o.ready), come.ready.eq(advance)]
        carry = come.p.carry if CODES[self.code].half else None
        there, tag, sums, carry = self._weighed(m, advance, come.valid, tag, [come.p.sums[b] for b in range(self.tokens)], carry)
        if carry is not None:
            carry = delayed(m, advance, carry, 2, "carry")
        m.d.comb += [read.en.eq(advance), read.addr.eq(tag.row)]
        coming = data.View(self.tag, delayed(m, advance, tag.as_value(), 1, "tag"))
        now = data.View(self.tag, delayed(m, advance, coming.as_value(), 1, "tag_now"))
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(there, valid)), o.valid.eq(valid[1] & now.final), held.eq(valid[1] & ~now.final),
                         o.p.error.eq(now.error), o.p.last.eq(now.end), write.addr.eq(now.row)]
        m.d.comb += write.en.eq(held)
        for b in range(self.tokens):
            before = Signal(signed(width), name=f"before_{b}", reset_less=True)
            part = delayed(m, advance, sums[b], 2, f"part_{b}")
            total = Signal(signed(width), name=f"total_{b}", reset_less=True)
            with m.If(advance):
                m.d.sync += [before.eq(read.data[b]), total.eq(_added(before, part, carry))]
                with m.If(coming.first):
                    m.d.sync += before.eq(0)                 # registers have a reset; an adder's operand would need a gate
            m.d.comb += [write.data[b].eq(total), o.p.sums[b].eq(total)]
        return advance & valid[1] & now.end

    def _weighed(self, m: Module, advance: Value, valid: Value, tag: data.View, sums: list[Value],
                 carry: Value | None) -> tuple[Value, data.View, list[Value], Value | None]:
        """Sums of the planes of a row, each twice the one after, of bits the first of which is negative: valid, tag, sums, and the carry
        that is not in them."""
        if self.planes == 1 and self.code != "bits":
            return valid, tag, sums, carry
        last = Const(1) if self.planes == 1 else tag.low
        there, about = Signal(), delayed(m, advance, tag.as_value(), 1, "tag_weighed")
        with m.If(advance):
            m.d.sync += there.eq(valid & last)
        weighed = []
        for b, part in enumerate(sums):
            total = Signal(signed(len(part) + self.planes - (carry is None)), name=f"weighed_{b}", reset_less=True)
            top = Const(1) if self.planes == 1 else tag.top
            doubled = Mux(top, 0, total << 1)
            if carry is None:
                after = doubled + (part ^ top.replicate(len(part))).as_signed() + top
            else:
                after = _added(doubled, part, carry)
            with m.If(advance & valid):
                m.d.sync += total.eq(after)
            weighed.append(total)
        return there, data.View(self.tag, about), weighed, None

    def _count(self, m: Module, looking: Signal) -> None:
        i, o = self.i, self.o
        stalled = o.valid & ~o.ready
        for name, event in zip(PHASES, (i.ready & ~i.valid, ~i.ready & ~stalled, i.ready & i.valid, stalled), strict=True):
            with m.If((looking & event) if name != "writing" else event):
                m.d.sync += self.phases[name].eq(self.phases[name] + 1)
