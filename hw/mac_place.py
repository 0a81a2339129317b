"""Where the products of the reconfigurable multiplier-accumulator meet its accumulator."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from .mac_align import Bits
from .mac_modes import Reach
from .mac_pipe import KINDS, Kinds, Pipe, any_of, maybe, negated, together

__all__ = ["SPAN", "Steps", "coarse", "fine", "select_bits", "spread"]

SPAN = 64
"""Places that the products' lanes get between the second and the third level: one lane's, two lanes' or four lanes'."""

STEP = 16
"""Places of a step of the coarse shift, and of a chunk."""


def _lane(kind: str, span: int = SPAN) -> int:
    return span // KINDS[kind]


def spread(pipe: Pipe, kinds: Kinds, stage: int, bits: Bits, reach: Mapping[str, Reach]) -> Bits:
    """Register, after ``stage``, of lanes that have half of :data:`SPAN`, at twice their distance."""
    sources: dict[str, Bits] = {}
    for kind in kinds.names:
        sources[kind] = [None] * SPAN
        half = _lane(kind) // 2
        for lane in range(KINDS[kind]):
            for offset in range(min(half, max(reach[kind].levels[2]))):
                sources[kind][2 * half * lane + offset] = bits[half * lane + offset]
    return select_bits(pipe, kinds, stage, sources, "placed")


def select_bits(pipe: Pipe, kinds: Kinds, stage: int, sources: Mapping[str, Bits], name: str) -> Bits:
    """Register, after ``stage``, of the kind's bits, of which all but those that are zero in every kind are there."""
    found: Bits = []
    for place in range(max(map(len, sources.values()))):
        row = {}
        for kind, bits in sources.items():
            bit = bits[place] if place < len(bits) else None
            if bit is not None:
                row[kind] = bit
        if not row:
            found.append(None)
            continue
        value, used = _pick(kinds, stage, row)
        found.append(pipe.register(value, f"{name}_{place}", zero=kinds.any(set(kinds.names) - used, stage)))
    return found


def _pick(kinds: Kinds, stage: int, row: Mapping[str, Value]) -> tuple[Value, set[str]]:
    """The kind's value, whatever it is in a kind that has none; and the kinds that have."""
    groups: dict[int, tuple[Value, set[str]]] = {}
    for kind, value in row.items():
        groups.setdefault(id(value), (value, set()))[1].add(kind)
    choices = sorted(groups.values(), key=lambda group: len(group[1]))
    value = choices[-1][0]
    for other, names in choices[:-1]:
        value = Mux(kinds.any(names, stage), other, value)
    return value, set(row)


def fine(kinds: Kinds, stage: int, bits: Bits, by: Sequence[Value], reach: Mapping[str, Reach], levels: Sequence[int]) -> Bits:
    """Gates of the shift within lanes, by some of the four low bits of ``by``, one for each fourth of the places."""
    span = len(bits)

    def may(kind: str, place: int, level: int) -> tuple[bool, bool]:
        """Whether a bit before a level can be set if it is left, and if it is moved."""
        stay, move = reach[kind].levels[level]
        return place % _lane(kind, span) < stay, place % _lane(kind, span) < move

    for level in levels:
        if not any(reach[kind].levels[level][1] for kind in kinds.names):
            continue
        result: Bits = []
        for place in range(span):
            when, below = by[place * 4 // span][level], place - (1 << level)
            stays = {kind for kind in kinds.names if may(kind, place, level)[0]}
            moves, apart = set[str](), set[str]()
            for kind in kinds.names:
                if below < 0 or not reach[kind].levels[level][1]:
                    continue
                if place // _lane(kind, span) != below // _lane(kind, span):
                    apart |= {kind} if any(may(kind, below, level)) else set()
                elif may(kind, below, level)[1]:
                    moves.add(kind)
            left = bits[place] if stays else None
            up = bits[below] if moves else None
            if up is not None and apart:
                up = up & kinds.any(set(kinds.names) - apart, stage)
            if up is None:
                idle = all(not reach[kind].levels[level][1] for kind in stays)
                result.append(left if left is None or idle else left & ~when)
            else:
                result.append(up & when if left is None else Mux(when, up, left))
        bits = result
    return bits


class Steps:
    """How many steps of 16 the lanes at two halves and their nibbles are moved, from the sums of exponents."""

    def __init__(self, pipe: Pipe, sums: Sequence[Value], windowed: Value, bf16: Value) -> None:
        def bit(n: int, k: int) -> Value:
            return sums[n][k] if k < len(sums[n]) else Const(0, 1)

        low, high = [], []
        for n in (0, 2):
            low.append(bit(n, 4) ^ windowed if maybe(windowed) else bit(n, 4))
            high.append(Mux(windowed, bit(n, 4) & bit(n, 5), bit(n, 5)) if maybe(windowed) else bit(n, 5))
        self.low = [pipe.register(value, f"step_low_{n}") for n, value in enumerate(low)]
        self.high = [pipe.register(value, f"step_high_{n}") for n, value in enumerate(high)]
        self.top = pipe.register(bit(0, 6) ^ bf16 if maybe(bf16) else bit(0, 6), "step_top")
        self.odd = [pipe.register(bit(n, 4), f"step_odd_{n}") for n in (1, 3)]


def coarse(pipe: Pipe, kinds: Kinds, stage: int, bits: Bits, steps: Steps, reach: Mapping[str, Reach], quire: int, *,
           isolate: bool) -> list[Bits]:
    """Quarters of the word that is added, two registers after ``stage``.

    A word's chunks turn in a ring of four, whose places are taken by the halves' blocks of 16 that are in reach; so do a lower half's.
    The upper half has its own two steps.
    """
    wide, nibble = kinds.at("wide", stage), kinds.at("nibble", stage)
    byte = kinds.at("byte", stage)
    moving = {kind for kind in kinds.names if reach[kind].steps}
    zero = Const(0, 1)
    low, high = (zero, zero), (zero, zero)
    if moving:
        low = (steps.low[0], steps.low[1])
    if any(reach[kind].steps > 1 for kind in kinds.names):
        high = (steps.high[0], steps.high[1])

    def there(place: int, *names: str) -> Value | None:
        return bits[place] if any(place % _lane(kind) < reach[kind].after for kind in names if kind in kinds.names) else None

    def register(name: str, values: Sequence[Value | None], reset: Value) -> Bits:
        places = [k for k, value in enumerate(values) if value is not None]
        if not places:
            return [None] * len(values)
        later = pipe.register(Cat(values[k] for k in places), name, zero=reset)                       # type: ignore[arg-type]
        return [later[places.index(k)] if k in places else None for k in range(len(values))]

    def slot(name: str, when: Value, one: Bits, other: Bits, reset: Value) -> Bits:
        """Register of either chunk: a bit that only one of them has is reset where the other is taken."""
        found: Bits = [None] * STEP
        parts = (("both", zero, [a is not None and b is not None for a, b in zip(one, other, strict=True)]),
                 ("one", negated(when), [a is not None and b is None for a, b in zip(one, other, strict=True)]),
                 ("other", when, [a is None and b is not None for a, b in zip(one, other, strict=True)]))
        for part, idle, places in parts:
            if not any(places) or (isinstance(idle, Const) and idle.value):
                continue
            chosen = [a if b is None else b if a is None else Mux(when, a, b) for a, b in zip(one, other, strict=True)]
            bits = register(f"{name}_{part}", [value if there else None for value, there in zip(chosen, places, strict=True)],
                            any_of(reset, idle))
            found = [new if new is not None else old for new, old in zip(bits, found, strict=True)]
        return found

    def chunk(n: int, *names: str) -> Bits:
        return [there(STEP * n + k, *names) for k in range(STEP)]

    lower = ("wide", "byte")
    up = any_of(low[0], nibble)
    first = chunk(0, *lower, "nibble")
    nothing: Bits = [None] * STEP
    spare: Bits = [*chunk(1, "nibble")[:1], *nothing[1:]] if "nibble" in moving else nothing
    beyond = together(nibble, steps.odd[0])
    ring = [
        register("ring_0", first, low[0]),
        slot("ring_1", low[0], first if moving else nothing, chunk(1, *lower), together(nibble, negated(low[0]))),
        slot("ring_2", up, chunk(1, *lower, "nibble"), chunk(2, "wide"), any_of(together(byte, negated(low[0])), beyond)),
        slot("ring_3", nibble, spare, chunk(2, "wide"),
             together(negated(together(low[0], wide)), negated(beyond))),
    ]
    idle = wide if isolate else zero
    third, fourth = chunk(2, "byte", "nibble"), chunk(3, "byte", "nibble")
    beyond = together(nibble, steps.odd[1])
    upper = [
        register("upper_0", third, any_of(low[1], high[1], idle)),
        slot("upper_1", low[1], third if moving - {"wide"} else nothing, chunk(3, "byte"),
             any_of(high[1], together(nibble, negated(low[1])), idle)),
        slot("upper_2", high[1], third if reach_of(reach, "byte") > 1 else nothing, fourth,
             any_of(together(byte, negated(low[1]), negated(high[1])), beyond, idle)),
        register("upper_3", fourth if moving - {"wide"} else nothing,
                 any_of(together(nibble, negated(steps.odd[1])), together(negated(nibble), negated(high[1])), idle)),
    ]
    return _blocks(pipe, kinds, stage + 1, ring, upper, pipe.register(high[0], "turn"),
                   [pipe.register(value, f"step_{n}") for n, value in enumerate((low[0], high[0], steps.top))], quire)


def reach_of(reach: Mapping[str, Reach], kind: str) -> int:
    """Steps of a kind, none if there is no such mode."""
    return reach[kind].steps if kind in reach else 0


def _blocks(pipe: Pipe, kinds: Kinds, stage: int, ring: Sequence[Bits], upper: Sequence[Bits], turn: Value, step: Sequence[Value],
            quire: int) -> list[Bits]:
    """The ring's or the upper half's chunks, at the accumulator's places."""
    m, half, width = pipe.m, quire // 2, quire // 4
    wide, nibble = kinds.at("wide", stage), kinds.at("nibble", stage)
    turned: Bits = []
    for place in range(SPAN):
        left, other = ring[place // STEP][place % STEP], ring[(place // STEP + 2) % 4][place % STEP]
        other = other if maybe(turn) else None
        turned.append(Mux(turn, other, left) if left is not None and other is not None
                      else left & ~turn if left is not None and maybe(turn) else left if left is not None
                      else other & turn if other is not None else None)
    outside: list[Value] = []
    for block in range(-(-quire // STEP)):
        inside = Signal(name=f"inside_{block}")
        near = Cat(Cat(step) == k for k in range(max(0, block - 2), min(block, 7) + 1)).any()
        m.d.comb += inside.eq(~wide | near)
        outside.append(~inside if maybe(wide) else Const(0, 1))
    found: Bits = []
    for place in range(quire):
        offset, lanes = place % half, (upper if place >= half else ring)
        word = turned[place % SPAN]
        mine = turned[offset] if place < half else upper[offset // STEP][offset % STEP]
        nib = mine
        if width != 2 * STEP and offset >= width:
            nib = lanes[2 + (offset - width) // STEP][(offset - width) % STEP] if offset - width <= STEP else None
        row = {kind: value for kind, value in (("wide", word), ("byte", mine), ("nibble", nib))
               if kind in kinds.names and value is not None}
        if not row:
            found.append(None)
            continue
        value, used = _pick(kinds, stage, row)
        if len(used) < len(kinds.names) and "nibble" in kinds.names and "nibble" not in used:
            value = value & ~nibble
        found.append(pipe.register(value, f"block_{place}", zero=outside[place // STEP]))
    return [found[width * n:width * n + width] for n in range(4)]
