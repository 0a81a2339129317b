"""One multiplier-accumulator for many formats, chosen while it runs."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .carry import Chain, Term, clear, plain
from .mac_align import Bits
from .mac_modes import WORD, Mode, check_modes, check_quire, reach
from .mac_pipe import KINDS, Kinds, Pipe, any_of, maybe, together
from .mac_place import Steps, coarse, fine, select_bits, spread
from .mac_rows import multiply, stages_of
from .mac_unpack import cut, magnitude, product_signs, unpack

__all__ = ["MULTIPLIERS", "MacReconfigurable"]

MULTIPLIERS = ("lut", "dsp")
"""Where the significands are multiplied: in rows of carry cells, or in two DSPs."""

DSP_STAGES = 3
"""Registers from the significands' to the products' places: operands as the DSP takes them, its product, the place."""

FIELD = 9
"""Distance between the two numbers of four bits in a DSP's operand: their products do not reach the sum of the mixed ones."""


class MacReconfigurable(wiring.Component):
    """Dot products of numbers whose format is chosen while it runs, one transaction per cycle.

    An operand word holds one number of 16 bits, two of 8 or four of 4, as ``mode`` says; ``sum`` is, lane by lane, that of the products of
    ``a`` and ``b`` over the transactions from the latest with ``first`` set through the one with ``last`` set, which emits it. All of them
    have one mode. No pause between dot products, of the same mode or another; latency from ``last`` is 8 cycles. The accumulator is the
    output register: sums that are not taken stop the unit. Before the first ``first`` they are unspecified.

    A lane's sum is two's complement in units of 2 ** :attr:`~.mac_modes.Mode.unit`, exact; those of BF16 and E5M2, whose exact sums are
    wider than their lanes, are exact over a window: products whose exponents' sum is below it count as zero, those above
    set ``nan``. A lane's bit of ``nan`` is also set by factors that are no numbers, infinities included; its sum is then not to be used
    (NaR counts as zero, other codes as the number they would be).

    That one datapath serves formats by a run-time mode is XR-NPE's idea, of which no hardware is public. The arrangement is ours: signed
    codes negated in one chain of four pieces; posits unpacked in place, without normalising; two 8 by 8 multipliers, of which each is
    two 4 by 4 ones when the other rows' bits are held at zero; shifts in levels no wider than any product there; four quarters of an
    accumulator on one carry chain, whose carry passes or ends by the mode. Factors and shifts that a mode does not use are held at zero.

    Parameters
    ----------
    modes : sequence of :class:`str`
        Formats, of :data:`~.mac_modes.MODES`; a mode's number is its place.
    depth : :class:`int`
        Most transactions in a dot product; decides only whether ``quire`` is wide enough.
    quire : :class:`int`
        Bits of the accumulator: one lane's, two lanes' or four lanes'.
    multiplier : :class:`str`
        One of :data:`MULTIPLIERS`.
    wraps : :class:`bool`
        Whether a quire is accepted that is too narrow for ``depth`` products of some mode. Sums are then exact modulo their lane.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": 16, "b": 16, "mode": range(len(modes)), "first": 1, "last": 1}))`
        Codes, the first lane's lowest.
    o : :py:`Out(stream.Signature({"sum": 4 * unsigned(quire // 4), "nan": lanes}))`
        Dot products, the first lane's lowest: a lane of a word has all four quarters, one of a byte two.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, modes: Sequence[str], *, depth: int = 256, quire: int = 128, multiplier: str = "lut", wraps: bool = False,
                 cells: bool = True, isolate: bool = True) -> None:
        self.modes: tuple[Mode, ...] = check_modes(modes)
        check_quire(quire, self.modes, depth, wraps)
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"Multiplier must be one of {', '.join(MULTIPLIERS)}, not {multiplier!r}")
        self.quire = quire
        self.multiplier = multiplier
        self.cells = cells
        self.isolate = isolate
        self.flags = max([mode.lanes for mode in self.modes if mode.nan], default=1)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": unsigned(WORD), "b": unsigned(WORD), "mode": unsigned(max(1, (len(self.modes) - 1).bit_length())),
                "first": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({
                "sum": data.ArrayLayout(unsigned(quire // 4), 4), "nan": unsigned(self.flags)}))),
        })

    def _among(self, mode: Value, *names: str) -> Value:
        """Whether ``mode`` is one of ``names``: constant if none or all of the modes are."""
        numbers = [n for n, known in enumerate(self.modes) if known.name in names]
        if len(numbers) in (0, len(self.modes)):
            return Const(bool(numbers), 1)
        return Cat(mode == n for n in numbers).any()

    def _kinds(self, mode: Value) -> dict[str, Value]:
        return {kind: self._among(mode, *(known.name for known in self.modes if known.kind == kind)) for kind in KINDS}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        pipe = Pipe(m, advance)
        widths = {kind: max(mode.bits for mode in self.modes if mode.kind == kind) for kind in KINDS
                  if any(mode.kind == kind for mode in self.modes)}
        reached = {kind: reach(self.modes, kind) for kind in widths}
        products_at = 3 + (DSP_STAGES if self.multiplier == "dsp" else stages_of(widths))
        stages = products_at + 4

        # Signs off.
        now = self._kinds(self.i.p.mode)
        kinds = Kinds(pipe, now, 0)
        negates = self._among(self.i.p.mode, "int8", "int4", "posit8_0", "posit16_1", "posit4_1")
        words = [pipe.register(magnitude(m, word, negates, now["nibble"], now["wide"], name, cells=self.cells), f"{name}_word")
                 for word, name in ((self.i.p.a, "a"), (self.i.p.b, "b"))]
        mode = pipe.register(self.i.p.mode, "mode")
        later = pipe.register(mode, "mode_later")
        signs = pipe.register(product_signs(self.i.p.a, self.i.p.b, now["nibble"], now["wide"]), "signs", stages=stages)

        # Unpacked, multiplied, exponents added.
        a, b = (unpack(pipe, word, lambda *names: self._among(mode, *names), lambda *names: self._among(later, *names), name,
                       cells=self.cells, isolate=self.isolate) for word, name in zip(words, "ab", strict=True))
        products = self._products(pipe, kinds, a.significand, b.significand, widths)
        sums = [self._sum(m, *pair, name=f"sum_{n}") for n, pair in enumerate(zip(a.exponents, b.exponents, strict=True))]
        sums = [pipe.register(value, f"exponent_{n}", stages=products_at - 4) if products_at > 4 else value for n, value in enumerate(sums)]
        near, far = ([pipe.register(self._by(kinds, products_at - 1, sums, n, levels), f"by_{n}_{levels[0]}") for n in range(4)]
                     for levels in ((0, 1), (2, 3)))
        far = [pipe.register(value, f"by_{n}_later") for n, value in enumerate(far)]
        sums = [pipe.register(value, f"exponent_{n}_last", stages=2) for n, value in enumerate(sums)]

        # Aligned.
        at = products_at + 1
        windowed, bf16 = (pipe.register(self._among(later, name), name, stages=at - 2) for name in ("e5m2", "bf16"))
        placed = spread(pipe, kinds, products_at, fine(kinds, products_at, products, near, reached, (0, 1)), reached)
        moved = fine(kinds, at, placed, [Cat(Const(0, 2), value) for value in far], reached, (2, 3))
        outside, above = self._outside(sums, windowed, bf16)
        moved = [None if bit is None else pipe.register(bit, f"moved_{n}", zero=outside[n >= 32]) for n, bit in enumerate(moved)]
        steps = Steps(pipe, sums, windowed, bf16)
        blocks = coarse(pipe, kinds, at + 1, moved, steps, reached, self.quire, isolate=self.isolate)

        # Added.
        valid = Signal(stages)
        first, last = Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        adds = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[-1]), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)),
                         last.eq(Cat(self.i.p.last, last)), self.o.valid.eq(valid[-1] & last[-1])]
        self._accumulate(m, adds, blocks, signs, kinds.at("nibble", stages), kinds.at("wide", stages), first[-1])
        if any(known.nan for known in self.modes):
            bad = [any_of(*pair) for pair in zip(a.nan, b.nan, strict=True)]
            flags = Cat(bad[0], Mux(kinds.at("nibble", 2), bad[1], bad[2]),
                        together(kinds.at("nibble", 2), bad[2]), bad[3])[:self.flags]
            flags = pipe.register(flags, "nan", stages=at - 2)
            if maybe(above):
                flags = Cat(flags[0] | above, flags[1:])
            flags = pipe.register(flags, "nan_added", stages=3)
            with m.If(adds):
                m.d.sync += self.o.p.nan.eq((self.o.p.nan & ~first[-1].replicate(self.flags)) | flags)
        return m

    def _products(self, pipe: Pipe, kinds: Kinds, a: Value, b: Value, widths: dict[str, int]) -> Bits:
        """Products of the lanes, each where its operands' lowest bits multiply, in registers."""
        if self.multiplier == "lut":
            bits = multiply(pipe, kinds, 2, a, b, widths, cells=self.cells)
            return [None if bit is None else pipe.register(bit, f"product_{n}") for n, bit in enumerate(bits)]
        words = pipe.register(a, "a_significand"), pipe.register(b, "b_significand")
        found: dict[str, Bits] = {kind: [None] * 2 * WORD for kind in widths}
        for n in range(2 if set(widths) - {"wide"} else 1):
            operands = []
            for word, name in zip(words, "ab", strict=True):
                one = word[8 * n:8 * n + 8]
                sources: dict[str, Bits] = {"byte": list(one), "nibble": [*one[:4], *[None] * (FIELD - 4), *one[4:]]}
                if not n:
                    sources["wide"] = list(word[:widths.get("wide", 0)])
                bits = select_bits(pipe, kinds, 3, {kind: sources[kind] for kind in widths if kind in sources}, f"{name}_dsp_{n}")
                operands.append(Cat(Const(0, 1) if bit is None else bit for bit in bits))
            whole = Signal(sum(map(len, operands)), name=f"whole_{n}", reset_less=True)
            with pipe.m.If(pipe.advance):
                pipe.m.d.sync += whole.eq(operands[0] * operands[1])
            bits = list(whole)
            for kind in widths:
                if kind == "wide" and not n:
                    found[kind][:2 * widths[kind]] = bits[:2 * widths[kind]]
                elif kind == "byte":
                    found[kind][16 * n:16 * n + 2 * widths[kind]] = bits[:2 * widths[kind]]
                elif kind == "nibble":
                    found[kind][16 * n:16 * n + 16] = [*bits[:8], *bits[2 * FIELD:2 * FIELD + 8]]
        return select_bits(pipe, kinds, 5, found, "product")

    def _sum(self, m: Module, a: tuple[Value, ...], b: tuple[Value, ...], name: str) -> Value:
        """Of exponents, each the OR of one or two."""
        if not a:
            return Const(0, 0)
        width = max(map(len, a))
        terms = []
        for parts in (a, b):
            columns = [[Signal(name=f"{name}_{k}_{n}") for n, part in enumerate(parts) if k < len(part)] for k in range(width)]
            m.d.comb += [column[n].eq(part[k]) for k, column in enumerate(columns)
                         for n, part in enumerate(part for part in parts if k < len(part))]
            terms.append([Term(0b1110, tuple(column)) if len(column) == 2 else plain(*column) for column in columns])
        chain = Chain(m, name, cells=self.cells)
        total = chain.add(terms[0], terms[1], width + 1)
        chain.close()
        return Cat(total)

    def _by(self, kinds: Kinds, stage: int, sums: Sequence[Value], n: int, levels: Sequence[int]) -> Value:
        """Bits by which a fourth of the places is moved at some levels. A word has its first half of them from the third level on."""
        apart = any(known.kind == "nibble" and known.operands for known in self.modes)
        owners = {"wide": 0, "byte": n & 2, "nibble": n if apart else n & 2}
        options: dict[int, set[str]] = {}
        for kind in kinds.names:
            if kind != "wide" or n < 3 or levels[0] < 2:
                options.setdefault(owners[kind], set()).add(kind)
        if not options:
            return Const(0, len(levels))
        *rest, (most, _) = sorted(options.items(), key=lambda item: len(item[1]))

        def bits(owner: int) -> Value:
            return Cat(sums[owner], Const(0, 4))[levels[0]:levels[-1] + 1]

        found = bits(most)
        for owner, names in rest:
            found = Mux(kinds.any(names, stage), bits(owner), found)
        return found

    def _outside(self, sums: Sequence[Value], windowed: Value, bf16: Value) -> tuple[tuple[Value, Value], Value]:
        """Whether the lower and the upper half of the places are to be zero, and whether a sum is above a window."""
        high = [Cat(value, Const(0, 9))[4:9] for value in (sums[0], sums[2])]
        beside = [together(windowed, ~value[:2].any()) for value in high]
        within = (~high[0][4] & high[0][3] & high[0][2]) | (high[0][4] & ~high[0][1:4].any())
        word = together(bf16, ~within)
        return (any_of(beside[0], word), any_of(beside[1], word)), together(bf16, high[0][4], high[0][1:4].any())

    def _accumulate(self, m: Module, adds: Value, blocks: Sequence[Bits], signs: Value, quarters: Value, wide: Value, first: Value) -> None:
        """Quarters of the accumulator on one chain, with a cut between where their lanes end."""
        width = self.quire // 4
        chain = Chain(m, "quire", cells=self.cells)
        acc = [Signal(width, name=f"quire_{n}", reset_less=True) for n in range(4)]
        x: list[Term] = []
        y: list[Term] = []
        places = []
        for n, block in enumerate(blocks):
            sign = Signal(name=f"negative_{n}")
            m.d.comb += sign.eq(signs[n])
            if n:
                keep = wide if n == 2 else Const(1 - quarters.value, 1) if isinstance(quarters, Const) else ~quarters
                if not (isinstance(keep, Const) and keep.value):
                    passing = Signal(name=f"passes_{n}")
                    m.d.comb += passing.eq(keep)
                    for terms, term in zip((x, y), cut(sign, keep if isinstance(keep, Const) else passing), strict=True):
                        terms.append(term)
            places += range(len(x), len(x) + width)
            bits = [*block, *[None] * (width - len(block))]
            x += [clear(bit, first) for bit in acc[n]]
            y += [plain(sign) if bit is None else Term(0b0110, (bit, sign)) for bit in bits]
            m.d.comb += self.o.p.sum[n].eq(acc[n])
        after = chain.add(x, y, len(x), carry=y[0].signals[-1])
        chain.close()
        with m.If(adds):
            m.d.sync += Cat(acc).eq(Cat(after[place] for place in places))
