"""Weight-stationary integer array."""
from __future__ import annotations

from itertools import product

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..fixed import BITS
from .array_widths import check_dimension, check_operand, delayed, exact_width, levels, pipelined_sum
from .dsp_pair import FIELD, truncated_product
from .stream import Queue, room_for

__all__ = ["WeightStationary"]

Sums = tuple[list[Value], int]
"""Per column its sum, and the stages it took."""


class WeightStationary(wiring.Component):
    """Vector times matrix, the matrix held in the array.

    ``sum[c]`` is the exact sum over ``r`` of ``a[r] * w[r][c]``. One vector per cycle; latency is 3 cycles plus one
    per level of the adder tree over the rows, and two more when packed. A weight tile is loaded row by row, row 0 first, while
    the previous tile is in use; a vector with ``swap`` set is the first to use the next tile, and waits until that tile is
    complete. Swapping takes no cycle of its own, and a new tile may begin in the very cycle its predecessor is swapped in.
    Before the first swap the sums are unspecified.

    Parameters
    ----------
    rows : :class:`int`
        Length of the vectors.
    columns : :class:`int`
        Sums per vector; even when packed.
    packed : :class:`bool`
        Whether two columns share one 18-bit multiplier. Takes 8-bit operands.
    a_width, b_width : :class:`int`
        Bits of the vectors' elements and of the weights, both signed.
    tag : :class:`int`
        Bits that accompany each vector to its sums; with 0 the payloads have no such field.
    sign_magnitude : :class:`bool`
        Whether operands are 18-bit magnitudes with the sign above, one multiplier each; not with other widths, ``packed`` or ``elastic``.
        Signs are given to the sums, not the products: a cycle more.
    elastic : :class:`bool`
        Whether the pipeline runs freely into a queue of sums, a vector entering only when there is room for its result, instead of
        stalling as a whole. Costs the queue and two cycles of latency, and one per two columns before a first tile is complete; spares
        signals that reach every register in one cycle, which limit the clock of large arrays.

    Members
    -------
    i : :py:`In(stream.Signature({"a": rows * signed(a_width), "swap": 1, "tag": tag}))`
        Vectors.
    i_w : :py:`In(stream.Signature({"w": columns * signed(b_width)}))`
        Rows of weights; ``rows`` transactions make a tile.
    o : :py:`Out(stream.Signature({"sum": columns * signed(exact), "tag": tag}))`
        Sums, as wide as the largest possible needs.

    Attributes
    ----------
    starved : :class:`~amaranth.hdl.Signal`
        A vector waits for its tile: for counters beside the array, not a port.
    entered : :class:`~amaranth.hdl.Signal`
        A vector leaves for the multipliers.
    """
    i: stream.Interface
    i_w: stream.Interface
    o: stream.Interface

    def __init__(self, rows: int, columns: int, packed: bool = False, *, a_width: int = 8, b_width: int = 8,
                 tag: int = 0, elastic: bool = False, sign_magnitude: bool = False) -> None:
        check_dimension("Rows", rows)
        check_dimension("Columns", columns)
        check_operand("Width of a", a_width)
        check_operand("Width of b", b_width)
        if packed and (a_width, b_width) != (8, 8):
            raise ValueError(f"Packed operands must be 8 by 8 bits, not {a_width} by {b_width}")
        if packed and columns % 2:
            raise ValueError(f"Columns must be even when packed, not {columns!r}")
        if sign_magnitude and (packed or elastic or (a_width, b_width) != (8, 8)):
            raise ValueError("Array of signs and magnitudes must not be packed, elastic or of given widths")
        self.rows = rows
        self.columns = columns
        self.packed = packed
        self.a_width = BITS + 1 if sign_magnitude else a_width
        self.b_width = BITS + 1 if sign_magnitude else b_width
        self.sign_magnitude = sign_magnitude
        self.a_shape, self.b_shape = (unsigned(width) if sign_magnitude else signed(width) for width in (self.a_width, self.b_width))
        self.tag = tag
        self.elastic = elastic
        self.sum_width = exact_width(self.a_width, self.b_width, rows)
        tags = {"tag": unsigned(tag)} if tag else {}
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": data.ArrayLayout(self.a_shape, rows), "swap": unsigned(1)} | tags))),
            "i_w": In(stream.Signature(data.StructLayout({"w": data.ArrayLayout(self.b_shape, columns)}))),
            "o": Out(stream.Signature(data.StructLayout({
                "sum": data.ArrayLayout(signed(self.sum_width), columns)} | tags))),
        })
        # A vector is counted from acceptance until its sums are taken: the longest way, in whole LUT memories of 16 words.
        self.queue = Queue(self.o.p.shape(), depth=-(-(levels(rows) + 10) // 16) * 16) if elastic else None
        self.starved = Signal()
        self.entered = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance: Value = Const(1) if self.elastic else Signal()
        room = Signal()
        a, weights, valid, tag = self._operands(m, advance, room)
        if self.packed:
            sums, latency = self._packed(m, advance, a, weights)
        elif self.sign_magnitude:
            sums, latency = self._signed(m, advance, a, weights)
        else:
            sums, latency = self._unpacked(m, advance, a, weights)
        stages = Signal(latency)
        with m.If(advance):
            m.d.sync += stages.eq(Cat(valid, stages))
        o = self._queued(m, room) if self.queue else self.o
        m.d.comb += o.valid.eq(stages[-1])
        m.d.comb += [o.p.sum[c].eq(total) for c, total in enumerate(sums)]
        if self.tag:
            m.d.comb += o.p.tag.eq(delayed(m, advance, tag, latency, "tag"))
        if not self.elastic:
            m.d.comb += [advance.eq(~self.o.valid | self.o.ready), room.eq(advance)]
        return m

    def _queued(self, m: Module, room: Signal) -> stream.Interface:
        """Input of the queue between the pipeline and the output; there is room when what is under way leaves some."""
        m.submodules.queue = self.queue
        wiring.connect(m, self.queue.o, wiring.flipped(self.o))
        m.d.comb += room.eq(room_for(m, self.queue.depth, self.o.valid & self.o.ready, self.entered))
        return self.queue.i

    def _operands(self, m: Module, advance: Value, room: Value) -> tuple[list[Signal], list[list[Signal]], Signal, Signal]:
        """The multipliers' input registers; the vector waits one stage before them for its tile."""
        held = Signal(self.i.p.shape(), reset_less=True)
        held_valid = Signal()
        a = [Signal(self.a_shape, name=f"a_{r}", reset_less=True) for r in range(self.rows)]
        valid, tag = Signal(), Signal(self.tag, reset_less=True)
        shadow = [[Signal(self.b_shape, name=f"shadow_{r}_{c}", reset_less=True) for c in range(self.columns)]
                  for r in range(self.rows)]
        active = [[Signal(self.b_shape, name=f"w_{r}_{c}", reset_less=True) for c in range(self.columns)]
                  for r in range(self.rows)]
        loaded = Signal(range(self.rows + 1))
        full, complete, go, swap, load = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            full.eq(loaded == self.rows),
            go.eq(room & held_valid & (~held.swap | complete)),
            self.entered.eq(go),
            swap.eq(go & held.swap),
            self.starved.eq(held_valid & held.swap & ~complete),
            self.i.ready.eq(go | ~held_valid),
            self.i_w.ready.eq(swap | ~full),
            load.eq(self.i_w.valid & self.i_w.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [held_valid.eq(self.i.valid), held.eq(self.i.p)]
        vector, row, following = held, list(self.i_w.p.w), Mux(swap, 0, loaded)
        # Rows are written where they belong: passing them up from row to row would be as many wires again, and longer.
        write = [Signal(name=f"write_{r}") for r in range(self.rows)]
        m.d.comb += [here.eq(load & (following == r)) for r, here in enumerate(write)]
        if self.elastic:
            # A stage more, so that what enables a tile's worth of registers is itself a register; rows of weights pass from
            # pair of columns to pair of columns.
            vector = delayed(m, advance, held, 1, "vector")
            enter, replace = Signal(), Signal()
            m.d.sync += Cat(enter, replace).eq(Cat(go, swap))
            writes = [[delayed(m, advance, here, 1 + c // 2, f"{here.name}_{c}") for c in range(self.columns)] for here in write]
            row = [delayed(m, advance, w, 1 + c // 2, f"row_{c}") for c, w in enumerate(row)]
            settled = Signal((self.columns - 1) // 2)
            m.d.sync += settled.eq(Mux(swap, 0, Cat(full, settled)))
            m.d.comb += complete.eq(settled[-1] if len(settled) else full)
        else:
            enter, replace, writes = go, swap, [[here] * self.columns for here in write]
            m.d.comb += complete.eq(full)
        with m.If(advance):
            m.d.sync += valid.eq(enter)
            m.d.sync += [a[r].eq(vector.a[r]) for r in range(self.rows)]
            if self.tag:
                m.d.sync += tag.eq(vector.tag)
        with m.If(replace):
            m.d.sync += [w.eq(s) for ws, ss in zip(active, shadow, strict=True) for w, s in zip(ws, ss, strict=True)]
        for r, c in product(range(self.rows), range(self.columns)):
            with m.If(writes[r][c]):
                m.d.sync += shadow[r][c].eq(row[c] ^ self._offset(c))
        m.d.sync += loaded.eq(following + load)
        return a, active, valid, tag

    def _offset(self, column: int) -> int:
        """What the column's weights are held exclusive-or: when packed, low columns have 128 added, to be unsigned."""
        return -128 if self.packed and column % 2 == 0 else 0

    def _unpacked(self, m: Module, advance: Value, a: list[Signal], weights: list[list[Signal]]) -> Sums:
        sums = []
        for c in range(self.columns):
            products = [delayed(m, advance, a[r] * weights[r][c], 1, f"product_{r}_{c}") for r in range(self.rows)]
            sums.append(pipelined_sum(m, advance, products, f"sum_{c}"))
        return sums, 1 + levels(self.rows)

    def _signed(self, m: Module, advance: Value, a: list[Signal], weights: list[list[Signal]]) -> Sums:
        """Products of magnitudes: each level adds or subtracts them as their signs differ, the last stage gives the sum the first one's."""
        sums: list[Value] = []
        for c in range(self.columns):
            terms = [(delayed(m, advance, a[r][:-1] * weights[r][c][:-1], 1, f"product_{r}_{c}"),
                      delayed(m, advance, a[r][-1] ^ weights[r][c][-1], 1, f"sign_{r}_{c}")) for r in range(self.rows)]
            for level in range(levels(self.rows)):
                pairs = [(self._added(p, q, s ^ t), s) for (p, s), (q, t) in zip(terms[::2], terms[1::2], strict=False)]
                pairs += terms[2 * len(pairs):]
                terms = [(delayed(m, advance, p, 1, f"sum_{c}_{level}_{k}"), delayed(m, advance, s, 1, f"sign_{c}_{level}_{k}"))
                         for k, (p, s) in enumerate(pairs)]
            (p, s), = terms
            sums.append(delayed(m, advance, self._added(Const(0), p, s), 1, f"sum_{c}"))
        return sums, 2 + levels(self.rows)

    def _added(self, p: Value, q: Value, minus: Value) -> Value:
        """``p + q`` or ``p - q``, in one carry chain."""
        width = min(max(len(p), len(q)) + 1 + (not q.shape().signed), self.sum_width)
        p, q = (Cat(value, Const(0, 1)).as_signed() if not value.shape().signed else value for value in (p, q))
        one = Cat(q, q[-1].replicate(width))[:width] ^ minus.replicate(width)
        return (Cat(Const(1, 1), p).as_signed() + Cat(minus, one).as_signed())[1:width + 1].as_signed()

    def _packed(self, m: Module, advance: Value, a: list[Signal], weights: list[list[Signal]]) -> Sums:
        """Column ``c`` in the low field, held offset by 128 so that it is unsigned; column ``c + 1`` above it.

        Of every product, the ten low bits belong to the low column; the rest is the high column's product plus what the low
        column's has beyond ten bits. That overlap is told from six low bits of the high product, made in logic. All parts are summed
        over the rows separately, and put together once per pair of columns.
        """
        depth = levels(self.rows)
        offset = delayed(m, advance, pipelined_sum(m, advance, a, "offset"), 1, "offset_late")
        sums: list[Value] = []
        for c in range(0, self.columns, 2):
            lows, highs, overlaps = [], [], []
            for r in range(self.rows):
                w0, w1 = weights[r][c], weights[r][c + 1]
                packed = Cat(w0, Const(0, FIELD - 8), w1).as_signed()
                both = delayed(m, advance, (a[r] * packed)[:FIELD + 16], 1, f"product_{r}_{c}")
                known = delayed(m, advance, truncated_product(m, a[r], w1, 6), 1, f"known_{r}_{c}")
                overlap = (both[FIELD:FIELD + 6] - known)[:6].as_signed()
                lows.append(both[:FIELD])
                highs.append(both[FIELD:].as_signed())
                overlaps.append(delayed(m, advance, overlap, 1, f"overlap_{r}_{c}"))
            low = pipelined_sum(m, advance, lows, f"low_{c}") - (offset << 7)
            low = delayed(m, advance, low, 1, f"low_{c}_late")
            high = delayed(m, advance, pipelined_sum(m, advance, highs, f"high_{c}"), 1, f"high_{c}_late")
            overlap = pipelined_sum(m, advance, overlaps, f"overlap_{c}")
            sums += [delayed(m, advance, value[:self.sum_width].as_signed(), 1, f"sum_{c + k}")
                     for k, value in enumerate(((overlap << FIELD) + low, high - overlap))]
        return sums, depth + 3
