"""Catalogue entries of what is between who asks and a memory, the streams of both ports apart, with their golden functions."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..design import Design, Streams, Transactions
from .memory_guard import Guard
from .memory_wide import Wider

__all__ = ["DESIGNS", "Apart", "Guarded"]

ADDRESS_BITS, LENGTH_BITS, DATA_BITS = 6, 2, 8
WORDS, WAITING = 50, 4
PATIENCE = 256
"""Cycles, many more than a stream pauses in any test: which side fails, and after which word, then is no matter of time."""
STUCK = 255
"""Word to be written that the memory takes only when the guard has given it up."""
COUNT = 60

NAMES = {"i_read_requests": "port.read_requests", "i_write_requests": "port.write_requests", "i_write_data": "port.write_data",
         "o_read_data": "port.read_data", "o_write_done": "port.write_done", "o_read_passed": "memory.read_requests",
         "o_write_passed": "memory.write_requests", "o_words": "memory.write_data", "i_words": "memory.read_data",
         "i_done": "memory.write_done"}
"""Streams of the two ports of a unit, as members that tell the way each goes."""


def _stream(unit: wiring.Component, name: str) -> stream.Interface:
    port, member = NAMES[name].split(".")
    return getattr(getattr(unit, port), member)


def _members(unit: wiring.Component) -> dict[str, wiring.Member]:
    return {name: (In if name.startswith("i") else Out)(stream.Signature(_stream(unit, name).p.shape())) for name in NAMES}


def _connect(m: Module, unit: wiring.Component, ours: wiring.Component, names: Iterable[str]) -> None:
    for name in names:
        outer, inner = wiring.flipped(getattr(ours, name)), _stream(unit, name)
        wiring.connect(m, outer, inner) if name.startswith("i") else wiring.connect(m, inner, outer)


class Apart(wiring.Component):
    """A unit with its ``port`` and its ``memory`` taken to streams of their own, which the harness stalls each as it likes.

    Members
    -------
    i_read_requests, i_write_requests, i_write_data, o_read_data, o_write_done
        ``port``'s.
    o_read_passed, o_write_passed, o_words, i_words, i_done
        ``memory``'s.
    """

    def __init__(self, unit: wiring.Component) -> None:
        self.unit = unit
        super().__init__(_members(unit))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        _connect(m, self.unit, self, NAMES)
        return m


class Guarded(wiring.Component):
    """A :class:`Guard` like :class:`Apart`, that can be failed at will and says so.

    Members
    -------
    i_read_requests, ...
        As :class:`Apart`'s. What has ``late`` of ``i_words`` and ``i_done`` comes only after the guard has given that side up. The
        word :data:`STUCK` goes only then.
    o_read_failed, o_write_failed
        Once each: ``address`` of the burst that was not answered.
    """

    def __init__(self) -> None:
        self.guard = Guard(address_bits=ADDRESS_BITS, length_bits=LENGTH_BITS, data_bits=DATA_BITS, words=WORDS, patience=PATIENCE,
                           waiting=WAITING)
        late = {name: In(stream.Signature(data.StructLayout({**_stream(self.guard, name).p.shape().members, "late": 1})))
                for name in ("i_words", "i_done")}
        failed = Out(stream.Signature(data.StructLayout({"address": ADDRESS_BITS})))
        super().__init__({**_members(self.guard), **late, "o_read_failed": failed, "o_write_failed": failed})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        memory = guard.memory
        _connect(m, guard, self, [name for name in NAMES if name not in ("i_words", "i_done", "o_words")])
        for kind, ours, its in (("read", self.i_words, memory.read_data), ("write", self.i_done, memory.write_done)):
            comes = ~ours.p.late | getattr(guard, f"{kind}_failed")
            m.d.comb += [its.valid.eq(ours.valid & comes), ours.ready.eq(its.ready & comes)]
            m.d.comb += [getattr(its.p, name).eq(getattr(ours.p, name)) for name in its.p.shape().members]
        word, passed = memory.write_data, self.o_words
        goes = (word.p.data != STUCK) | guard.write_failed
        m.d.comb += [passed.valid.eq(word.valid & goes), word.ready.eq(passed.ready & goes), passed.p.eq(word.p)]
        for kind, said in (("read", self.o_read_failed), ("write", self.o_write_failed)):
            told = Signal(name=f"{kind}_told")
            m.d.comb += [said.valid.eq(getattr(guard, f"{kind}_failed") & ~told), said.p.address.eq(getattr(guard, f"{kind}_address"))]
            m.d.sync += told.eq(told | (said.valid & said.ready))
        return m


def _bursts(requests: Mapping[str, np.ndarray]) -> list[tuple[int, int, bool]]:
    """Address and length of each burst, and whether it is beyond the memory."""
    return [(address, length, address + length >= WORDS)
            for address, length in zip(requests["address"].tolist(), requests["length"].tolist(), strict=True)]


def _passed(bursts: list[tuple[int, int, bool]], fails: int | None) -> Transactions:
    """Requests that the memory gets: no more than wait with the one that fails."""
    stop = len(bursts) if fails is None else fails + WAITING
    return _rows("address length", [(address, length) for address, length, refused in bursts[:stop] if not refused])


def _failed(bursts: list[tuple[int, int, bool]], fails: int | None) -> Transactions:
    return _rows("address", [] if fails is None else [bursts[fails][:1]])


def _rows(names: str, rows: Iterable[tuple[int, ...]]) -> dict[str, np.ndarray]:
    table = np.array(list(rows), np.int64).reshape(-1, len(names.split()))
    return dict(zip(names.split(), table.T, strict=True))


def _read(streams: Streams) -> Streams:
    """The first burst fails for which the words that are not late do not suffice."""
    said = zip(*(streams["i_words"][name].tolist() for name in ("data", "error", "late")), strict=True)
    words = iter([(word, error) for word, error, late in said if not late])
    bursts, given, fails = _bursts(streams["i_read_requests"]), [], None
    for n, (_, length, refused) in enumerate(bursts):
        for at in range(length + 1):
            word = None if refused or fails is not None else next(words, None)
            if word is None and not refused and fails is None:
                fails = n
            given.append((*(word or (0, 1)), at == length))
    return {"o_read_data": _rows("data error last", given), "o_read_passed": _passed(bursts, fails),
            "o_read_failed": _failed(bursts, fails)}


def _written(streams: Streams) -> Streams:
    """The first burst fails in which a word is stuck, or whose end is late or missing.

    Its words pass but for those behind the stuck one and the next; those of bursts that wait with it if none is stuck.
    """
    done = streams["i_done"]
    ends = iter(done["error"][done["late"] == 0].tolist())
    words = iter(streams["i_write_data"]["data"].tolist())
    bursts, said, passed, fails, stuck = _bursts(streams["i_write_requests"]), [], [], None, False
    for n, (_, length, refused) in enumerate(bursts):
        here = [(next(words), at == length) for at in range(length + 1)]
        if refused or fails is not None:
            error = 1
        else:
            data_here = [word for word, _ in here]
            stuck = STUCK in data_here
            end = None if stuck else next(ends, None)
            error = 1 if end is None else end
            if end is None:
                fails = n
            if stuck:
                here = here[:data_here.index(STUCK) + 2]
        said.append((error,))
        waits = fails is None or n == fails or (n < fails + WAITING and not stuck)
        if waits and not refused:
            passed += here
    return {"o_write_done": _rows("error", said), "o_words": _rows("data last", passed),
            "o_write_passed": _passed(bursts, fails), "o_write_failed": _failed(bursts, fails)}


def _golden(streams: Streams) -> Streams:
    return {**_read(streams), **_written(streams)}


def _requests(rng: np.random.Generator, fails: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Bursts about the end of the memory and elsewhere, and whether each is beyond it; one that is to fail is not, and of all words."""
    address = np.where(rng.random(COUNT) < 0.3, rng.integers(WORDS - 5, WORDS + 3, COUNT), rng.integers(0, 1 << ADDRESS_BITS, COUNT))
    length = rng.integers(0, 1 << LENGTH_BITS, COUNT)
    if fails < COUNT:
        address[fails], length[fails] = rng.integers(0, WORDS - 3), (1 << LENGTH_BITS) - 1
    return {"address": address, "length": length}, address + length >= WORDS


def _stimulus(rng: np.random.Generator) -> Streams:
    """Both sides fail at some burst, two times of three: words that stop or are late; a word stuck, or ends that stop or are late."""
    fails = np.where(rng.random(2) < 0.67, rng.integers(0, COUNT, 2), COUNT)
    reads, beyond = _requests(rng, int(fails[0]))
    before = int((reads["length"] + 1)[:fails[0]][~beyond[:fails[0]]].sum())
    early = before + int(rng.integers(0, 4)) * bool(fails[0] < COUNT)
    late = int(rng.integers(0, 40)) * bool(fails[0] < COUNT)
    answers = {"data": rng.integers(0, 256, early + late), "last": rng.integers(0, 2, early + late),
               "error": (rng.random(early + late) < 0.1).astype(np.int64), "late": np.repeat([0, 1], [early, late])}
    writes, beyond = _requests(rng, int(fails[1]))
    words = rng.integers(0, STUCK, int((writes["length"] + 1).sum()))
    if fails[1] < COUNT and rng.random() < 0.5:
        words[int((writes["length"] + 1)[:fails[1]].sum()) + int(rng.integers(0, 2))] = STUCK
    early = int((~beyond[:fails[1]]).sum())
    late = int(rng.integers(0, 20)) * bool(fails[1] < COUNT)
    done = {"error": (rng.random(early + late) < 0.2).astype(np.int64), "late": np.repeat([0, 1], [early, late])}
    return {"i_read_requests": reads, "i_write_requests": writes, "i_words": answers, "i_done": done,
            "i_write_data": {"data": words, "last": rng.integers(0, 2, len(words))}}


def _widened(narrow: int, wide: int, streams: Streams) -> Streams:
    """Requests in narrow words, the lowest of a wide one first; what is read has the flags of its last narrow word."""
    parts = wide // narrow
    words = streams["i_write_data"]["data"].astype(object)
    last = np.zeros((len(words), parts), np.int64)
    last[:, -1] = streams["i_write_data"]["last"]
    said = {name: column.reshape(-1, parts) for name, column in streams["i_words"].items()}
    return {
        **{f"o_{kind}_passed": {"address": streams[f"i_{kind}_requests"]["address"] * parts,
                                "length": streams[f"i_{kind}_requests"]["length"] * parts + parts - 1} for kind in ("read", "write")},
        "o_words": {"data": np.array([int(word) >> narrow * n & (1 << narrow) - 1 for word in words for n in range(parts)], np.int64),
                    "last": last.ravel()},
        "o_read_data": {"data": sum(said["data"][:, n].astype(np.int64) << narrow * n for n in range(parts)),
                        "last": said["last"][:, -1], "error": said["error"][:, -1]},
        "o_write_done": streams["i_done"],
    }


def _wide_stimulus(narrow: int, wide: int, address_bits: int, length_bits: int, rng: np.random.Generator, n: int = 200) -> Streams:
    """Each stream by itself, as the unit keeps no count of bursts."""
    def words(bits: int, count: int) -> dict[str, np.ndarray]:
        return {"data": rng.integers(0, 1 << bits, count), "last": rng.integers(0, 2, count)}

    def requests() -> dict[str, np.ndarray]:
        return {"address": rng.integers(0, 1 << address_bits, n), "length": rng.integers(0, 1 << length_bits, n)}
    narrow_words = n * (wide // narrow)
    return {"i_read_requests": requests(), "i_write_requests": requests(), "i_write_data": words(wide, n),
            "i_words": {**words(narrow, narrow_words), "error": rng.integers(0, 2, narrow_words)},
            "i_done": {"error": rng.integers(0, 2, n)}}


DESIGNS = (
    Design(name="memory_wider", summary="32-bit words asked of a memory of bytes",
           params={"narrow": 8, "wide": 32, "address_bits": 5, "length_bits": 2},
           component=lambda: Apart(Wider(narrow=8, wide=32, address_bits=5, length_bits=2)),
           golden=partial(_widened, 8, 32), stimulus=partial(_wide_stimulus, 8, 32, 5, 2)),
    Design(name="memory_guard", summary="Bursts beyond 50 words refused, a memory that does not answer given up",
           params={"address_bits": ADDRESS_BITS, "length_bits": LENGTH_BITS, "data_bits": DATA_BITS, "words": WORDS, "patience": PATIENCE,
                   "waiting": WAITING},
           component=Guarded, golden=_golden, stimulus=_stimulus),
)
