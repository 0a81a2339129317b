"""Tables of sums of activations under every pattern of trits or bits, filled by the Gray walk."""
from __future__ import annotations

from itertools import islice, pairwise
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..ternary import GROUP, gray_walk
from .array_widths import delayed
from .carry import Chain, Term, plain
from .stream import check_positive

__all__ = ["CODES", "OFFSET", "Code", "Step", "TableBuild", "address", "check_code", "check_power", "entry_layout", "entry_shape",
           "walk"]

class Code(NamedTuple):
    """A kind of bytes: ``group`` weights each, sums of that many int8 activations of ``bits``, and an entry that no weights look up.

    Of a ``half`` code the top bit of a byte says that the negative of its entry is meant, so that there are 128 entries; they have an
    offset of :data:`OFFSET`, and are unsigned.
    """
    group: int
    bits: int
    nothing: int
    half: bool = False

    @property
    def address_bits(self) -> int:
        """Bits of an entry's address."""
        return 7 if self.half else 8


CODES = {"radix3": Code(GROUP, 11, 255), "tq1_0": Code(GROUP, 11, 1), "bits": Code(8, 12, 0),
         "radix3_half": Code(GROUP, 11, 127, True), "signs_half": Code(8, 11, 0, True)}
"""Five trits, in radix 3 or as TQ1_0 has them; eight bits of a plane, the first least significant; half tables of trits, and of a plane
of weights of -1 and 1."""
OFFSET = 1024
"""Of the entries of half tables: the complement of one is its negative less one."""

_ELEMENTS = 8                                               # places of an activation group


class Step(NamedTuple):
    """One cycle of the walk: add or, ``minus``, subtract an activation, twice it if ``double``, write the sum at an entry.

    With ``clear`` there is nothing after the step, whatever it adds.
    """
    byte: int
    element: int
    minus: int
    double: int = 0
    clear: int = 0


def check_code(code: object) -> str:
    if code not in CODES:
        raise ValueError(f"Code of a table must be one of {', '.join(CODES)}, not {code!r}")
    return str(code)


def check_power(name: str, value: object, most: int = 64) -> int:
    """Refuse what is not a power of two of at most ``most``."""
    number = check_positive(name, value)
    if number & (number - 1) or number > most:
        raise ValueError(f"{name} must be a power of two of at most {most}, not {number}")
    return number


_HELD = frozenset(step.entry for step in islice(gray_walk(GROUP), 3 ** GROUP // 2 + 1))


def address(index: int, code: str) -> int:
    """Byte, of a kind of :data:`CODES`, of the five trits whose radix-3 index is ``index``, or of a plane.

    Of a half code, held are the one of a pattern and its negative that the walk meets first, and the planes whose last sign is positive.
    """
    if code in ("radix3", "bits"):
        return index
    if code == "radix3_half":
        return min(index, 3 ** GROUP - 1 - index) | (index not in _HELD) << 7
    if code == "signs_half":
        return index & 127 if index >> 7 else 128 | ~index & 127
    digits = [index // 3 ** i % 3 for i in range(GROUP)]    # the first trit is TQ1_0's most significant
    return (sum(digit * 3 ** (GROUP - 1 - i) for i, digit in enumerate(digits)) * 256 + 242) // 243


def walk(code: str) -> list[Step]:
    """128 steps of half tables of trits, or 256, through every entry to where the next table starts, an empty sum.

    Of bits: the Gray code, which is cyclic; its sums are of the activations whose bit is set. Of trits:
    Five steps down to the sum of all, negated, which is the walk's first entry; the walk; five steps down from the sum of all, its last;
    four that add the place after the last activation, where nothing is ever written, so that there are 256. The second half of the walk
    mirrors the first, whose last entry is nothing: of half tables that is the end, and there are two more steps. Sums on the way are
    written where no byte looks.

    Of signs: the sum at the first entry by a step for each activation, then the Gray code of all signs but the last one's,
    where each step adds or subtracts an activation twice. Before are steps that clear; what they and the sums on the way write is where
    the first entry will be.
    """
    nothing = CODES[check_code(code)].nothing
    if code == "bits":
        return [Step(byte, element, byte >> element & 1 ^ 1) for byte, element in _turned([*_gray(8), 0])]
    if code == "signs_half":
        load = [Step(nothing, i, int(i < 7)) for i in range(8)]
        rest = [Step(byte, element, byte >> element & 1 ^ 1, double=1) for byte, element in _turned(_gray(7))]
        return [Step(nothing, 0, 0, clear=1)] * (256 - len(load) - len(rest)) + load + rest
    down = [Step(nothing, i, 1) for i in range(GROUP)]
    steps = list(gray_walk(GROUP))
    if CODES[code].half:
        steps = steps[:len(_HELD)]
    first = down[-1]._replace(byte=address(steps[0].entry, code))
    rest = [Step(address(step.entry, code), step.element, int(step.sign < 0)) for step in steps[1:]]
    idle = Step(nothing, GROUP, 0)
    return [*down[:-1], first, *rest, *[idle] * 2] if CODES[code].half else [*down[:-1], first, *rest, *down, *[idle] * 4]


def _gray(bits: int) -> list[int]:
    return [n ^ n >> 1 for n in range(1 << bits)]


def _turned(codes: list[int]) -> list[tuple[int, int]]:
    """Each code after the first, and the bit that turned."""
    return [(after, (before ^ after).bit_length() - 1) for before, after in pairwise(codes)]


def entry_shape(code: str) -> Shape:
    """Of an entry."""
    return Shape(CODES[code].bits, not CODES[code].half)


def entry_layout(tables: int, tokens: int, lanes: int, code: str) -> data.StructLayout:
    """A write into ``lanes`` of ``tables``: those that are ``table`` modulo ``tables / lanes``. ``last`` ends the set."""
    groups, about = tables // lanes, CODES[code]
    return data.StructLayout({
        **({"table": ceil_log2(groups)} if groups > 1 else {}), "byte": about.address_bits,
        "sums": data.ArrayLayout(entry_shape(code), lanes * tokens), "last": 1})


class TableBuild(wiring.Component):
    """Every signed sum of five activations, or every sum of some of eight, for a set of tables at a time.

    It gives writes into :class:`~.tlmm_ram.TlmmByteRam`. A set takes five (eight, of bits) activations a table, of ``tokens`` tokens side
    by side, in the order of K, and ``256 * tables / lanes`` cycles: one adder for a lane and token, and the steps of :func:`walk`. No
    entry is loaded, so that the adder needs no multiplexer, and a counter that wraps is all the control there is. The next set's
    activations are taken while one is built. The order within a set and the way back are ours; TeLLMe leaves both open.

    Parameters
    ----------
    tables, tokens
        Tables of a set, a power of two; tokens, each with its own tables.
    lanes
        Tables that are built at a time, a power of two of at most ``tables``. Lane ``p`` builds ``tables / lanes`` in turn, from
        ``p * tables / lanes`` on.
    code
        Bytes that address the tables, of :data:`CODES`.
    cells
        Whether to instantiate the ECP5's carry cells, or their description.

    Members
    -------
    i : ``In(stream.Signature({"x": tokens * signed(8)}))``
        Activations.
    o : ``Out(stream.Signature(entry_layout(tables, tokens, lanes, code)))``
        Entries: ``table`` of each lane, ``byte``, ``sums`` lane by lane, tokens within.
    """
    i: stream.Interface
    o: stream.Interface

    def __init__(self, tables: int, *, tokens: int = 1, lanes: int = 1, code: str = "radix3", cells: bool = True) -> None:
        self.tables = check_power("Tables", tables)
        self.tokens = check_positive("Tokens", tokens)
        self.lanes = check_power("Lanes of a table build", lanes, self.tables)
        self.code = check_code(code)
        self.cells = cells
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"x": data.ArrayLayout(signed(8), tokens)}))),
            "o": Out(stream.Signature(entry_layout(tables, tokens, lanes, code))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        groups, table_bits = self.tables // self.lanes, ceil_log2(self.tables)
        group_bits, code, steps = ceil_log2(groups), CODES[self.code], walk(self.code)
        step_bits, clears = ceil_log2(len(steps)), steps[0].clear
        m.submodules.kept = kept = memory.Memory(
            shape=unsigned(8 * self.tokens * self.lanes), depth=2 * groups * _ELEMENTS, init=[],
            attrs={"no_rw_check": 1} | ({"ram_style": "block"} if groups > 1 or clears else {}))    # 16 words are what LUT-RAM takes
        control = {"byte": code.address_bits, "element": 3, "minus": 1} | ({"double": 1, "clear": 1} if clears else {})
        m.submodules.steps = rom = memory.Memory(
            shape=data.StructLayout(control), depth=len(steps), attrs={"ram_style": "block"},
            init=[{name: getattr(step, name) for name in control} for step in steps])

        # Sets taken and built, modulo four: what differs is there, two apart is full.
        element, filled, at = Signal(3), Signal(table_bits + 2), Signal(step_bits + group_bits + 2)
        taken = self.i.valid & self.i.ready
        turn = at[step_bits + group_bits:]
        left, read_by = Signal(2), Signal(2)                  # ``turn`` as late as the activations are read
        apart = filled[table_bits:] ^ turn
        write = kept.write_port(granularity=8 * self.tokens)
        ends = element == code.group - 1
        m.d.comb += [self.i.ready.eq((filled[table_bits:] ^ read_by) != 2),
                     write.addr.eq(Cat(element, filled[:group_bits], filled[table_bits])),
                     write.data.eq(self.i.payload.as_value().replicate(self.lanes)),
                     write.en.eq(taken << filled[group_bits:table_bits])]
        with m.If(taken):
            m.d.sync += [element.eq(element + 1), filled.eq(filled + ends)]
        with m.If(taken & ends):
            m.d.sync += element.eq(0)

        advance, there = Signal(), apart.any()
        with m.If(advance & there):
            m.d.sync += at.eq(at + 1)
        with m.If(advance):
            m.d.sync += [left.eq(turn), read_by.eq(left)]
        group = at[step_bits:step_bits + group_bits]
        asked, read = rom.read_port(), kept.read_port(transparent_for=())
        about = Cat(at[:step_bits + group_bits].all(), group)
        place = delayed(m, advance, at[step_bits:step_bits + group_bits + 1], 1, "place")
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), asked.addr.eq(at), asked.en.eq(advance),
                     read.en.eq(advance), read.addr.eq(Cat(asked.data.element, place))]
        valid = Signal(3)
        byte = delayed(m, advance, asked.data.byte, 3, "byte")
        about = delayed(m, advance, about, 4, "about")
        minus = delayed(m, advance, asked.data.minus, 2, "minus")
        with m.If(advance):
            m.d.sync += Cat(valid, self.o.valid).eq(Cat(there, valid))
        if clears:
            double, clear = delayed(m, advance, asked.data.double, 1, "double"), delayed(m, advance, asked.data.clear, 2, "clear")
        for n in range(self.lanes * self.tokens):
            x: Value = read.data[8 * n:8 * n + 8]
            a = delayed(m, advance, Mux(double, Cat(0, x).as_signed(), x.as_signed()) if clears else x, 1, f"a_{n}")
            total, chain = Signal(entry_shape(self.code), name=f"sum_{n}", init=OFFSET * code.half), Chain(m, f"add_{n}", cells=self.cells)
            turned = [Term(0b0110, (a[min(k, len(a) - 1)], minus)) for k in range(code.bits)]
            after = chain.add([plain(bit) for bit in total], turned, code.bits, carry=minus)
            chain.close()
            with m.If(advance & valid[2]):
                m.d.sync += total.eq(Cat(after))
            if clears:
                with m.If(advance & valid[2] & clear):
                    m.d.sync += total.eq(OFFSET)
            m.d.comb += self.o.p.sums[n].eq(total)
        m.d.comb += [self.o.p.byte.eq(byte), self.o.p.last.eq(about[0])]
        if groups > 1:
            m.d.comb += self.o.p.table.eq(about[1:])
        return m
