"""One multiplier-accumulator for many formats, chosen while it runs."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .carry import Chain, Term, both, clear, plain
from .mac_align import Bits, choose, shift
from .mac_modes import WORD, Mode, check_modes, check_quire, reach
from .mac_unpack import cut, magnitude, product_signs, unpack

__all__ = ["MULTIPLIERS", "MacReconfigurable"]

MULTIPLIERS = ("lut", "dsp")
"""Where the significands are multiplied: in rows of carry cells, or in two DSPs."""

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
                 cells: bool = True) -> None:
        self.modes: tuple[Mode, ...] = check_modes(modes)
        check_quire(quire, self.modes, depth, wraps)
        if multiplier not in MULTIPLIERS:
            raise ValueError(f"Multiplier must be one of {', '.join(MULTIPLIERS)}, not {multiplier!r}")
        self.quire = quire
        self.multiplier = multiplier
        self.cells = cells
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

    def _lanes(self, mode: Value, lanes: int) -> Value:
        return self._among(mode, *(known.name for known in self.modes if known.lanes == lanes))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, adds = Signal(), Signal()
        stages = 7
        valid = Signal(stages)
        first, last = Signal(stages, reset_less=True), Signal(stages, reset_less=True)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), adds.eq(advance & valid[-1]), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [valid.eq(Cat(self.i.valid, valid)), first.eq(Cat(self.i.p.first, first)),
                         last.eq(Cat(self.i.p.last, last)), self.o.valid.eq(valid[-1] & last[-1])]

        def register(value: Value, name: str, stages: int = 1) -> Value:
            for stage in range(stages):
                if isinstance(value, Const):
                    return value
                later = Signal(len(value), name=f"{name}_{stage}" if stages > 1 else name, reset_less=True)
                with m.If(advance):
                    m.d.sync += later.eq(value)
                value = later
            return value

        # Signs off.
        quarters, wide = self._lanes(self.i.p.mode, 4), self._lanes(self.i.p.mode, 1)
        negates = self._among(self.i.p.mode, "int8", "int4", "posit8_0")
        words = [register(magnitude(m, word, negates, quarters, wide, name, cells=self.cells), f"{name}_word")
                 for word, name in ((self.i.p.a, "a"), (self.i.p.b, "b"))]
        mode = register(self.i.p.mode, "mode")
        signs = register(product_signs(self.i.p.a, self.i.p.b, quarters, wide), "signs", 2)

        # Unpacked.
        a, b = (unpack(m, advance, word, lambda *names: self._among(mode, *names), name) for word, name in zip(words, "ab", strict=True))
        quarters, wide = register(self._lanes(mode, 4), "quarters_2"), register(self._lanes(mode, 1), "wide_2")
        products = self._products(m, advance, a.significand, b.significand, quarters, register(quarters, "quarters_3"))
        pairs = zip(a.exponents, b.exponents, strict=True)
        shifts = [register(self._sum(m, *pair, name=f"shift_{n}"), f"by_{n}", 2) for n, pair in enumerate(pairs)]
        windowed = self._among(mode, "e5m2")
        windowed, quarters, wide = register(windowed, "windowed", 3), register(quarters, "quarters_4", 2), register(wide, "wide_4", 2)
        nan = register(a.nan | b.nan, "nan", 3)
        if _maybe(wide):
            nan = nan | (wide & shifts[0][8] & shifts[0][5:8].any())
        nan = register(nan, "nan_sum", 3)
        signs = register(signs, "sign", 5)

        # Aligned.
        levels = reach(self.modes, 5)
        width = self.quire // 4
        words, places = [], []
        for n, (product, by) in enumerate(zip(products, shifts, strict=True)):
            places.append(self._places(m, by, windowed, Const(0, 1) if n else wide, register, n))
            words.append(self._aligned(m, advance, product, by, levels, n))
        quarters, wide = register(quarters, "quarters_6", 2), register(wide, "wide_6", 2)
        blocks: list[Bits] = []
        for n, (bits, at) in enumerate(zip(words, places, strict=True)):
            split = bits[:8] + [None] * (width - 8) + bits[8:16]
            choices: list[tuple[Value | None, Bits]] = [(quarters, split)] if _maybe(quarters) else []
            if n and _maybe(wide):
                choices += [(wide & there, _placed(words[0], 16 * k - 2 * width, 2 * width)) for k, there in enumerate(places[0])
                            if 16 * k + len(words[0]) > 2 * width]
                choices.append((wide, []))
            choices += [(there, _placed(bits, 16 * k, 2 * width)) for k, there in enumerate(at) if k and 16 * k < 2 * width]
            if isinstance(quarters, Const) and quarters.value:
                choices = [(None, split)]
            elif len(at) > 2:
                choices += [(at[0], bits), (None, [])]
            else:
                choices.append((None, bits[:levels[4][0]]))
                if len(choices) > 1 and len(at) == 2:
                    choices[-2] = (at[1], [None] * 16 + bits[:levels[4][1]])
            block = choose(m, advance, choices, f"block_{n}")
            blocks += [block[:width], block[width:]]
        self._accumulate(m, adds, blocks, signs, register(quarters, "quarters_7"), register(wide, "wide_7"), first[-1])
        if any(mode.nan for mode in self.modes):
            with m.If(adds):
                m.d.sync += self.o.p.nan.eq((self.o.p.nan & ~first[-1].replicate(self.flags)) | nan)
        return m

    def _products(self, m: Module, advance: Value, a: Value, b: Value, quarters: Value, later: Value) -> list[Bits]:
        """Products of the bytes, each of its nibbles where the mode has quarters, two stages later."""
        products: list[Bits] = []
        for n in range(2):
            one, other = a[8 * n:8 * n + 8], b[8 * n:8 * n + 8]
            result = Signal(16, name=f"product_{n}", reset_less=True)
            if self.multiplier == "dsp":
                spread = []
                for word, name in ((one, "a"), (other, "b")):
                    operand = Signal(FIELD + 4, name=f"{name}_spread_{n}", reset_less=True)
                    apart = Cat(word[:4], Const(0, FIELD - 4), word[4:])
                    m.d.comb += operand.eq(_either(quarters, apart, word))
                    spread.append(operand)
                whole = Signal(2 * FIELD + 8, name=f"whole_{n}", reset_less=True)
                with m.If(advance):
                    m.d.sync += [whole.eq(spread[0] * spread[1]), result.eq(_either(later, Cat(whole[:8], whole[2 * FIELD:]), whole[:16]))]
            else:
                sums = []
                for half in range(2):
                    chain = Chain(m, f"rows_{n}_{half}", cells=self.cells)
                    gated = []
                    for k in range(8):
                        bit = Signal(name=f"gated_{n}_{half}_{k}")
                        m.d.comb += bit.eq(one[k] if k // 4 == half else _either(quarters, Const(0, 1), one[k]))
                        gated.append(bit)
                    rows = list(other[4 * half:4 * half + 4])
                    found = [both(bit, rows[0]) for bit in gated]
                    for j in range(1, 4):
                        found[j:] = map(plain, chain.add([both(bit, rows[j]) for bit in gated], found[j:], 9))
                    chain.close()
                    total = Signal(12, name=f"sum_{n}_{half}", reset_less=True)
                    with m.If(advance):
                        m.d.sync += total.eq(Cat(term.value for term in found))
                    sums.append(total)
                chain = Chain(m, f"product_{n}", cells=self.cells)
                upper = chain.add([plain(bit) for bit in sums[0][4:]], [plain(bit) for bit in sums[1]], 12)
                chain.close()
                with m.If(advance):
                    m.d.sync += result.eq(Cat(sums[0][:4], upper))
            products.append(list(result))
        return products

    def _sum(self, m: Module, a: Value, b: Value, name: str) -> Value:
        if isinstance(a, Const):
            return Const(0, 5)
        chain = Chain(m, name, cells=self.cells)
        total = chain.add([plain(bit) for bit in a], [plain(bit) for bit in b], len(a) + 1)
        chain.close()
        return Cat(total)

    def _places(self, m: Module, by: Value, windowed: Value, wide: Value, register: Callable[..., Value], n: int) -> list[Value]:
        """Whether the product's place, in steps of 16, is 0, 1, ...; none if it is outside a window. Two stages later."""
        if isinstance(by, Const):
            return [Const(1, 1)]
        high = by[4:]
        if not _maybe(windowed) and not _maybe(wide):
            return [Const(1, 1), register(high[0], f"far_{n}", 2)]
        at = []
        for k in range(6 if _maybe(wide) else 3):
            inside = ~windowed & (high == k) if k < 2 else Const(0, 1)
            inside = inside | (windowed & (high == k + 1))
            if _maybe(wide):
                inside = Mux(wide, high == k + 12, inside)
            at.append(register(inside, f"at_{n}_{k}", 2))
        return at

    def _aligned(self, m: Module, advance: Value, bits: Bits, by: Value, levels: Sequence[tuple[int, int]], n: int) -> Bits:
        """Moved up by the four low bits of the shift, two stages later."""
        rest = by[:4]
        for low in (0, 2):
            name = f"lane_{n}_{low}"
            if levels[low][1] or levels[low + 1][1]:
                stay, move = levels[low + 1]
                bits = shift(bits, rest[0], 1 << low, *levels[low])
                bits = choose(m, advance, [(rest[1], [None] * (2 << low) + bits[:move]), (None, bits[:stay])], name)
                after = Signal(2, name=f"rest_{n}_{low}", reset_less=True)
                with m.If(advance):
                    m.d.sync += after.eq(rest[2:])
                rest = after
            else:
                bits = choose(m, advance, [(None, bits)], name)
        return bits

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


def _placed(bits: Bits, at: int, width: int) -> Bits:
    """A word's bits from ``at`` on, which may be below zero, as far as they are inside ``width``."""
    return ([None] * at + bits)[:width] if at >= 0 else bits[-at:]


def _maybe(value: Value) -> bool:
    return not (isinstance(value, Const) and not value.value)


def _either(when: Value, one: Value, other: Value) -> Value:
    """``one`` if ``when``, constant or not, else ``other``."""
    if isinstance(when, Const):
        return one if when.value else other
    return Mux(when, one, other)
