"""Exact dot products of block-scaled numbers."""
from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..errors import MantissaError
from ..formats import Block, Float, get_block
from .array_widths import check_dimension, delayed, signed_width
from .carry import ZERO, Chain, Term, clear
from .dot_lane import all_numbers, check_element, check_lanes, lane, largest_of
from .dot_sum import Summand, tree
from .mac_align import lengths
from .mac_exact import MOST
from .mac_exact_product import added, factors, largest_product, moved, multiplied
from .mac_exact_unpack import spare, widest

__all__ = ["BlockDot", "check_block", "check_window"]


def check_block(name: object) -> Block:
    """Block format called ``name``, of more than one block a tensor.

    Raises
    ------
    ValueError
        If there is none; the sentence says why.
    """
    try:
        fmt = get_block(str(name))
    except MantissaError as error:
        raise ValueError(str(error)) from None
    if not fmt.size:
        raise ValueError(f"Block format must have blocks smaller than the tensor, not be {name!r}")
    return fmt


def check_window(fmt: Block, window: object) -> tuple[int, int] | None:
    """Window of the exponents of two scales together, if the format has one.

    Raises
    ------
    ValueError
        If it is not one, or there must be none.
    """
    if isinstance(fmt.scale, Float):
        if window is not None:
            raise ValueError(f"Window of {fmt.name} must be left out, all sums being exact, not {window!r}")
        return None
    if window is None:
        return -24, 8
    if not isinstance(window, tuple) or len(window) != 2 or any(isinstance(end, bool) or not isinstance(end, int) for end in window):
        raise ValueError(f"Window must be two integers, not {window!r}")
    span = window[1] - window[0]
    if span < 2 or span & span - 1:
        raise ValueError(f"Window must span a power of two of exponents, at least 2, not {span}")
    return window


class BlockDot(wiring.Component):
    """Dot products of numbers in blocks that share a scale: MX, NVFP4, NVINT4.

    A block is what comes up to and including a transaction with ``end`` set, at most the format's size, and that transaction has its two
    scales. ``sum`` is the sum over blocks of ``a_scale * b_scale * sum(a[n] * b[n])``, from the block that begins in the
    transaction with ``first`` set through the one whose ``end`` comes with ``last``, which emits it. ``first`` gives up
    what was before, ``last`` without ``end`` means nothing. No pause between blocks or dot products. The accumulator
    is the output register: a finished sum that is not taken stops the unit. Before the first ``first`` the sum is unspecified.

    Inside a block everything is exact: one integer sum. It is multiplied by both scales once. Scales that are powers of two (E8M0) have
    exponents whose sum is anything from -254 to 254; blocks inside ``window`` are added, exactly, those below count as zero, and one above
    sets ``nan``. So the window decides by exponents and not by magnitudes, a block is added whole or not at all, and the sum does not
    depend on the order: :mod:`~.mac_modes`' rule. Scales with a fraction (UE4M3) are multiplied exactly, and all sums are exact. ``nan``
    is also set by scales and elements that are no numbers, until the next ``first``; ``sum`` then is not to be used (codes count as the
    number they would be, scales of E8M0 that are none as zero).

    The unit of ``sum`` is that of the element's smallest product times ``2 ** window[0]``, or times the smallest product of two scales.
    OCP MX 1.0 leaves the dot product's inside to the implementer (section 6.2); the arrangement is ours.

    Parameters
    ----------
    fmt : :class:`str`
        Block format, by its name in :func:`mantissa.formats.get`.
    lanes : :class:`int`
        Products per transaction, which divide the block's size.
    blocks : :class:`int`
        Most blocks in a dot product; the accumulator has the bits that their sum needs.
    window : (:class:`int`, :class:`int`) or :data:`None`
        First exponent, and the one after the last, a power of two apart; for scales that are powers of two alone. (-24, 8) by default.
    multiplier : :class:`str`
        Of the elements, as in :class:`~.dot.Dot`.
    cells : :class:`bool`
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : :py:`In(stream.Signature({"a": lanes * width, "b": lanes * width, "a_scale": 8, "b_scale": 8, "first": 1, "end": 1, "last": 1}))`
        Codes; the scales have as many bits as the format's.
    o : :py:`Out(stream.Signature({"sum": signed(acc_width), "nan": 1}))`
        Dot products.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, fmt: str, *, lanes: int = 8, blocks: int = 256, window: tuple[int, int] | None = None, multiplier: str = "lut",
                 cells: bool = True) -> None:
        self.fmt = check_block(fmt)
        self.element = check_element(self.fmt.element.name, multiplier)
        check_lanes(lanes)
        if self.fmt.size % lanes:
            raise ValueError(f"Lanes must divide the block's {self.fmt.size} elements, not be {lanes}")
        check_dimension("Blocks", blocks)
        self.window = check_window(self.fmt, window)
        self.lanes = lanes
        self.block_largest = self.fmt.size * largest_of(self.element)
        self.acc_width = signed_width(blocks * self.block_largest * self._scale_largest())
        if self.acc_width > MOST:
            raise ValueError(f"Accumulator must have at most {MOST} bits, not the {self.acc_width} of {blocks} blocks of {fmt}")
        self.multiplier = multiplier
        self.cells = cells
        codes, scale = data.ArrayLayout(unsigned(self.element.width), lanes), unsigned(self.fmt.scale.width)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "a": codes, "b": codes, "a_scale": scale, "b_scale": scale,
                "first": unsigned(1), "end": unsigned(1), "last": unsigned(1)}))),
            "o": Out(stream.Signature(data.StructLayout({"sum": signed(self.acc_width), "nan": unsigned(1)}))),
        })

    def _scale_largest(self) -> int:
        """Largest product of two scales, in units of the least that is added."""
        if self.window is not None:
            return 1 << self.window[1] - self.window[0] - 1
        assert isinstance(self.fmt.scale, Float)
        return largest_product(self.fmt.scale)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance, adds = Signal(), Signal()
        found = [lane(m, advance, self.element, self.i.p.a[n], self.i.p.b[n], multiplier=self.multiplier, cells=self.cells,
                      name=f"lane_{n}_") for n in range(self.lanes)]
        total, levels = tree(m, advance, [summand for summand, _, _ in found], "tree", cells=self.cells)
        before = found[0][2] + levels
        valid, first, end, last = Signal(before), *(Signal(before, name=name, reset_less=True) for name in ("first", "end", "last"))
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(advance):
            m.d.sync += [flags.eq(Cat(flag, flags)) for flag, flags in (
                (self.i.valid, valid), (self.i.p.first, first), (self.i.p.end, end), (self.i.p.last, last))]
        nan = delayed(m, advance, Cat(nan for _, nan, _ in found).any(), levels, "nan")
        block, opening, bad = self._block(m, advance & valid[-1], total, first[-1], end[-1], nan)

        # The block's sum as magnitude and sign, so that nothing has to be filled in above when it is moved.
        negative = block[-1]
        chain = Chain(m, "magnitude", cells=self.cells)
        flipped = [Term(0b0110, (bit, negative)) for bit in block[:-1]]
        magnitude = Cat(chain.add(flipped, [ZERO] * len(flipped), len(flipped), carry=negative))
        chain.close()
        magnitude = magnitude[:self.block_largest.bit_length()]
        scaled = self._powers if self.window else self._fractions
        word, wrong, later = scaled(m, advance, magnitude, delayed(m, advance, negative, 1, "block_negative"), before)
        opening, bad = (delayed(m, advance, value, later, name) for value, name in ((opening, "opening"), (bad, "bad")))

        whole, finishes = Signal(1 + later), Signal(1 + later, reset_less=True)
        acc = Signal(self.acc_width, reset_less=True)
        m.d.comb += [adds.eq(advance & whole[-1]), self.o.p.sum.eq(acc)]
        with m.If(advance):
            m.d.sync += [whole.eq(Cat(valid[-1] & end[-1], whole)), finishes.eq(Cat(last[-1], finishes)),
                         self.o.valid.eq(whole[-1] & finishes[-1])]
        chain = Chain(m, "sum", cells=self.cells)
        assert word.carry is not None
        after = chain.add([clear(bit, opening) for bit in acc], word.extended(self.acc_width), self.acc_width, carry=word.carry)
        chain.close()
        with m.If(adds):
            m.d.sync += [acc.eq(Cat(after)), self.o.p.nan.eq((self.o.p.nan & ~opening) | bad | wrong)]
        return m

    def _block(self, m: Module, adds: Value, total: Summand, first: Value, end: Value, nan: Value) -> tuple[Value, Value, Value]:
        """Sum of the block so far, whether the block is the first of its dot product, and whether an element is no number."""
        block = Signal(signed_width(self.block_largest), reset_less=True)
        opening, fresh, bad = Signal(reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        starts = Signal()
        m.d.comb += starts.eq(first | fresh)
        chain = Chain(m, "block", cells=self.cells)
        after = chain.add([clear(bit, starts) for bit in block], total.extended(len(block)), len(block),
                          carry=0 if total.carry is None else total.carry)
        chain.close()
        with m.If(adds):
            m.d.sync += [block.eq(Cat(after)), fresh.eq(end), opening.eq(first | (opening & ~fresh))]
            if not all_numbers(self.element):
                m.d.sync += bad.eq((bad & ~starts) | nan)
        return block, opening, bad

    def _powers(self, m: Module, advance: Value, magnitude: Value, negative: Value,
                before: int) -> tuple[Summand, Value, int]:
        """Magnitude moved by the scales, with its sign, which comes a stage later; whether they are no numbers or beyond the window; and
        how many stages that takes."""
        assert self.window is not None
        span, ones = self.window[1] - self.window[0], (1 << self.fmt.scale.width) - 1
        codes = [delayed(m, advance, code, 1, f"{name}_scale") for code, name in ((self.i.p.a_scale, "a"), (self.i.p.b_scale, "b"))]
        nan = delayed(m, advance, (codes[0] == ones) | (codes[1] == ones), 1, "scale_nan")
        both = delayed(m, advance, added(m, *codes, "scale", cells=self.cells), 1, "scale_sum")
        # Counted from the window's begin, which is at or above the least sum.
        place = Signal(len(both) + 1)
        m.d.comb += place.eq(both - (self.window[0] + 2 * self.fmt.scale.bias))
        steps = (span - 1).bit_length()
        below, outside = place[-1], place[steps:].any()
        kept = delayed(m, advance, Cat(place[:steps], nan | outside, nan | (outside & ~below)), before - 2 + 1, "scale_kept")
        by, none, wrong = kept[:steps], kept[steps], kept[steps + 1]
        word = Signal(len(magnitude), reset_less=True)
        with m.If(advance):
            with m.If(none):
                m.d.sync += word.eq(0)
            with m.Else():
                m.d.sync += word.eq(magnitude)
        largest = np.full(span, self.block_largest, dtype=object)
        product, later = moved(m, advance, list(word), delayed(m, advance, by, 1, "scale_by"), negative,
                               lengths(largest, np.arange(span), steps), self.block_largest << span - 1, "block_")
        return product, delayed(m, advance, wrong, 1 + later, "scale_wrong"), 1 + later

    def _fractions(self, m: Module, advance: Value, magnitude: Value, negative: Value,
                   before: int) -> tuple[Summand, Value, int]:
        """As :meth:`_powers`: multiplied by both significands, one after the other, and moved."""
        scale = self.fmt.scale
        assert isinstance(scale, Float)
        found = factors(m, advance, scale, self.i.p.a_scale, self.i.p.b_scale, cells=self.cells, name="scale_")
        by = added(m, *found.shifts, "scale_shift", cells=self.cells)
        held = delayed(m, advance, Cat(*found.significands, by, found.nan), before + 1 - found.stages, "scale_held")
        width = scale.man + 1
        one, other, by, wrong = held[:width], held[width:2 * width], held[2 * width:-1], held[-1]
        word = delayed(m, advance, magnitude, 1, "block_whole")
        one, other, by = (delayed(m, advance, value, 1, name) for value, name in ((one, "one"), (other, "other"), (by, "by")))
        word = delayed(m, advance, multiplied(m, word, one, "block_one", cells=self.cells), 1, "block_by_one")
        other, by = delayed(m, advance, other, 1, "other_later"), delayed(m, advance, by, 1, "by_later")
        word = delayed(m, advance, multiplied(m, word, other, "block_other", cells=self.cells), 1, "block_by_both")
        by = delayed(m, advance, by, 1, "by_last")
        significand, shifts = widest(scale)
        products = np.multiply.outer(significand, significand).ravel() * self.block_largest
        found_lengths = lengths(products, np.add.outer(shifts, shifts).ravel(), len(by))
        product, later = moved(m, advance, list(word), by, delayed(m, advance, negative, 2, "sign_later"), found_lengths,
                               self.block_largest * largest_product(scale), "block_")
        return replace(product, terms=product.terms[2 * spare(scale):]), delayed(m, advance, wrong, 3 + later, "scale_wrong"), 3 + later
