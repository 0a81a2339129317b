"""Catalogue entry of the guard before a memory, with a memory that fails it at a known word, and its golden function."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..design import Design, Streams
from .memory_guard import Guard
from .memory_port import answer_layout, done_layout, request_layout, word_layout

__all__ = ["DESIGN", "Guarded"]

ADDRESS_BITS, LENGTH_BITS, DATA_BITS = 6, 2, 8
WORDS, WAITING = 50, 4
PATIENCE = 256
"""Cycles, many more than a stream pauses in any test: which side fails, and after which word, then is no matter of time."""
STUCK = 255
"""Word to be written that the memory takes only when the guard has given it up."""
COUNT = 60


class Guarded(wiring.Component):
    """A :class:`Guard` with the streams of both its ports apart, that can be failed at will and says so.

    Members
    -------
    i_read_requests, i_write_requests, i_write_data, o_read_data, o_write_done
        ``port``'s.
    o_read_passed, o_write_passed, o_words, i_words, i_done
        ``memory``'s. What has ``late`` comes only after the guard has given that side up. The word :data:`STUCK` goes only then.
    o_read_failed, o_write_failed
        Once each: ``address`` of the burst that was not answered.
    """

    def __init__(self) -> None:
        burst, word = request_layout(ADDRESS_BITS, LENGTH_BITS), word_layout(DATA_BITS)
        answer, done = answer_layout(DATA_BITS), done_layout()
        late = {"late": 1}
        self.guard = Guard(address_bits=ADDRESS_BITS, length_bits=LENGTH_BITS, data_bits=DATA_BITS, words=WORDS, patience=PATIENCE,
                           waiting=WAITING)
        inputs = {"i_read_requests": burst, "i_write_requests": burst, "i_write_data": word,
                  "i_words": data.StructLayout({**answer.members, **late}), "i_done": data.StructLayout({**done.members, **late})}
        failed = data.StructLayout({"address": ADDRESS_BITS})
        outputs = {"o_read_data": answer, "o_write_done": done, "o_read_passed": burst, "o_write_passed": burst, "o_words": word,
                   "o_read_failed": failed, "o_write_failed": failed}
        super().__init__({**{name: In(stream.Signature(layout)) for name, layout in inputs.items()},
                          **{name: Out(stream.Signature(layout)) for name, layout in outputs.items()}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        port, memory = guard.port, guard.memory
        for ours, its in ((self.i_read_requests, port.read_requests), (self.i_write_requests, port.write_requests),
                          (self.i_write_data, port.write_data)):
            wiring.connect(m, wiring.flipped(ours), its)
        for its, ours in ((port.read_data, self.o_read_data), (port.write_done, self.o_write_done),
                          (memory.read_requests, self.o_read_passed), (memory.write_requests, self.o_write_passed)):
            wiring.connect(m, its, wiring.flipped(ours))
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


def _split(requests: Mapping[str, np.ndarray], fails: int | None) -> tuple[list[tuple[int, int]], list[bool], list[tuple[int, int]]]:
    """Bursts, whether each is beyond the memory, and those passed on: no more than wait with the one that fails."""
    bursts = list(zip(requests["address"].tolist(), requests["length"].tolist(), strict=True))
    refused = [address + length >= WORDS for address, length in bursts]
    stop = len(bursts) if fails is None else fails + WAITING
    return bursts, refused, [burst for burst, beyond in zip(bursts[:stop], refused, strict=False) if not beyond]


def _rows(names: str, rows: Iterable[tuple[int, ...]]) -> dict[str, np.ndarray]:
    table = np.array(list(rows), np.int64).reshape(-1, len(names.split()))
    return dict(zip(names.split(), table.T, strict=True))


def _read(streams: Streams) -> Streams:
    """A burst fails of which a word is late, or is missing where words were there for those before."""
    said = list(zip(*(streams["i_words"][name].tolist() for name in ("data", "error", "late")), strict=True))
    words = iter([row for row in said if not row[2]])
    bursts, refused, _ = _split(streams["i_read_requests"], None)
    given, fails = [], None
    for n, ((_, length), beyond) in enumerate(zip(bursts, refused, strict=True)):
        for at in range(length + 1):
            word = next(words, None) if fails is None and not beyond else None
            if word is None and not beyond and fails is None:
                fails = n
            given.append((*word[:2], at == length) if word else (0, 1, at == length))
    return {"o_read_data": _rows("data error last", given),
            "o_read_passed": _rows("address length", _split(streams["i_read_requests"], fails)[2]),
            "o_read_failed": _rows("address", [] if fails is None else [(bursts[fails][0],)])}


def _written(streams: Streams) -> Streams:
    """A burst fails in which a word is stuck, or whose end is late or missing."""
    ends = iter([error for error, late in zip(*(streams["i_done"][name].tolist() for name in ("error", "late")), strict=True) if not late])
    words = iter(streams["i_write_data"]["data"].tolist())
    bursts, refused, _ = _split(streams["i_write_requests"], None)
    said, passed, fails, room = [], [], None, None
    for n, ((_, length), beyond) in enumerate(zip(bursts, refused, strict=True)):
        here = [(next(words), at == length) for at in range(length + 1)]
        if fails is None and not beyond:
            stuck = next((at for at, (word, _) in enumerate(here) if word == STUCK), None)
            end = next(ends, None) if stuck is None else None
            fails, room = (n, None if stuck is None else stuck + 2) if end is None else (None, None)
            said.append(1 if end is None else end)
        else:
            said.append(1)
        if not beyond and (fails is None or n < fails + WAITING):
            passed += here if room is None or n < fails else here[:room] if n == fails else []
    return {"o_write_done": _rows("error", [(error,) for error in said]), "o_words": _rows("data last", passed),
            "o_write_passed": _rows("address length", _split(streams["i_write_requests"], fails)[2]),
            "o_write_failed": _rows("address", [] if fails is None else [(bursts[fails][0],)])}


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


DESIGN = Design(
    name="memory_guard", summary="Bursts beyond 50 words refused, a memory that does not answer given up",
    params={"address_bits": ADDRESS_BITS, "length_bits": LENGTH_BITS, "data_bits": DATA_BITS, "words": WORDS, "patience": PATIENCE,
            "waiting": WAITING},
    component=Guarded, golden=_golden, stimulus=_stimulus)
