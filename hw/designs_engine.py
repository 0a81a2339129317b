"""Catalogue entries of the accelerator's units, with their golden functions."""
from __future__ import annotations

from functools import partial

import numpy as np

from ..design import Design, Streams
from .engine import Accumulate
from .reduce import Reduce

__all__ = ["DESIGNS", "accumulate", "reduce"]


def accumulate(depth: int, streams: Streams) -> Streams:
    """Sums of the passes, slot by slot, modulo 2**32, until a pass has more than ``depth``: what is beyond is never taken."""
    rows = streams["i"]
    slots: dict[int, np.ndarray] = {}
    out, end, slot = [], [], 0
    for n, value in enumerate(np.asarray(rows["sum"], np.int64)):
        slot = 0 if rows["swap"][n] else slot + 1
        if slot == depth:
            break
        total = value if rows["first"][n] else slots[slot] + value
        slots[slot] = (total + (1 << 31)) % (1 << 32) - (1 << 31)
        if rows["last"][n]:
            out.append(slots[slot])
            end.append(rows["end"][n])
    return {"o": {"acc": np.array(out).reshape(-1, np.shape(rows["sum"])[1]), "end": np.array(end)}}


def _passes(lanes: int, width: int, slots: int, rng: np.random.Generator) -> Streams:
    """Blocks of one to five passes over one to ``slots`` slots: short ones meet the read-after-write hazard. Some add to what has been
    emitted. The last pass is too long."""
    swap, first, last, known = [], [], [], 0
    for _ in range(60):
        size, passes = int(rng.choice([1, 1, 2, 3, slots, rng.integers(1, slots + 1)])), int(rng.integers(1, 6))
        for n in range(passes):
            swap += [1] + [0] * (size - 1)
            first += [int(n == 0 and (size > known or rng.random() < 0.8))] * size
            last += [int(n == passes - 1)] * size
        known = max(known, size)
    swap += [1] + [0] * (slots + 1)
    first += [1] * (slots + 2)
    last += [1] * (slots + 2)
    count = len(swap)
    most = 1 << width - 1
    extreme = rng.choice([-most, most - 1, 0, -1], (count, lanes))
    total = np.where(rng.random((count, lanes)) < 0.2, extreme, rng.integers(-most, most, (count, lanes)))
    return {"i": {"sum": total, "swap": np.array(swap), "first": np.array(first), "last": np.array(last),
                  "end": rng.integers(0, 2, count)}}


def reduce(streams: Streams) -> Streams:
    """Maximum or sum of each run."""
    rows = streams["i"]
    out: list[np.ndarray] = []
    value = np.zeros(np.shape(rows["a"])[1], np.int64)
    for n, vector in enumerate(np.asarray(rows["a"], np.int64)):
        if rows["first"][n]:
            value = vector
        else:
            value = np.maximum(value, vector) if rows["maximum"][n] else value + vector
        if rows["last"][n]:
            out.append(value)
    ends = np.flatnonzero(rows["last"])
    return {"o": {"acc": np.array(out), "hold": rows["hold"][ends], "end": rows["end"][ends]}}


def _runs(lanes: int, rng: np.random.Generator) -> Streams:
    size = rng.integers(1, 12, 150)
    count = int(size.sum())
    first, last = np.zeros(count, int), np.zeros(count, int)
    last[np.cumsum(size) - 1] = 1
    first[np.cumsum(size) - size] = 1
    a = rng.integers(-128, 128, (count, lanes))
    a[np.repeat(rng.random(150) < 0.1, size)] = -128
    return {"i": {"a": a, "maximum": np.repeat(rng.integers(0, 2, 150), size), "first": first, "last": last,
                  "hold": rng.integers(0, 2, count), "end": rng.integers(0, 2, count)}}


DESIGNS = (
    *(Design(name=f"accumulate_{lanes}x{slots}", summary=f"Accumulators, {lanes} by {slots}, of {width}-bit partial sums.",
             params={"lanes": lanes, "width": width, "slots": slots},
             component=partial(Accumulate, lanes=lanes, width=width, slots=slots, room=16), golden=partial(accumulate, slots),
             stimulus=partial(_passes, lanes, width, slots))
      for lanes, width, slots in ((2, 17, 8), (8, 19, 256))),
    *(Design(name=f"reduce_x{lanes}", summary=f"Maximum or sum of runs, {lanes} lanes.", params={"lanes": lanes},
             component=partial(Reduce, lanes=lanes), golden=reduce, stimulus=partial(_runs, lanes))
      for lanes in (1, 8)),
)
