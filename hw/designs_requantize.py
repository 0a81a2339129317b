"""Catalogue entries of the requantizers."""
from __future__ import annotations

from functools import partial

from amaranth.hdl import Module
from amaranth.lib import wiring
import numpy as np

from .. import rounding as rounds
from ..design import Design, Streams
from .requantize_lane import RequantizeLane

__all__ = ["DESIGNS", "FixedLane"]

BOUNDS = {"zero_point": -7, "low": -120, "high": 101}


class FixedLane(wiring.Component):
    """A :class:`RequantizeLane` with its zero point and bounds tied off.

    Parameters
    ----------
    serial, depth
        The lane's.
    zero_point, low, high : :class:`int`
        Its inputs.

    Members
    -------
    i, o
        The lane's.
    """

    def __init__(self, *, serial: bool, depth: int, zero_point: int = 0, low: int = -128, high: int = 127) -> None:
        self.serial = serial
        self.depth = depth
        self.zero_point = zero_point
        self.low = low
        self.high = high
        self.lane = RequantizeLane(serial=serial, depth=depth)
        members = self.lane.signature.members
        super().__init__({"i": members["i"], "o": members["o"]})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lane = lane = self.lane
        wiring.connect(m, wiring.flipped(self.i), lane.i)
        wiring.connect(m, lane.o, wiring.flipped(self.o))
        m.d.comb += [lane.zero_point.eq(self.zero_point), lane.low.eq(self.low), lane.high.eq(self.high)]
        return m


def _lane_golden(depth: int, zero_point: int, low: int, high: int, streams: Streams) -> Streams:
    i = streams["i"]
    product = (i["acc"].astype(object) + i["bias"]) * i["b"]
    sums = [0] * depth
    emitted = []
    for n in range(len(product)):
        total = sums[n % depth] + product[n]
        sums[n % depth] = total if i["hold"][n] else 0
        if not i["hold"][n]:
            emitted.append((total, int(i["c"][n]), int(i["tag"][n])))
    total, c, tag = (np.array(column, object) for column in zip(*emitted, strict=True))
    y = rounds.shift_right(total, c.astype(np.int64), "half_even") + zero_point
    return {"o": {"y": rounds.bound(y, low, high).astype(np.int64), "tag": tag.astype(np.int64)}}


def _near(rng: np.random.Generator, b: np.ndarray, c: np.ndarray, size: int) -> np.ndarray:
    """Accumulators of at most ``size`` bits whose results lie within or a little beyond 8 bits."""
    target = rng.integers(-300, 300, len(b)) + rng.choice([0, 0.5], len(b))
    limit = float((1 << (size - 1)) - 1)
    return np.clip(np.rint(target * 2.0 ** c / np.maximum(b, 1)), -limit, limit).astype(np.int64)


def _multipliers(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Normalised, any, few bits, powers of two, 0 and the largest."""
    top = 1 << width
    kinds = np.stack([rng.integers(top // 4, top // 2 + 1, n), rng.integers(0, top, n), rng.integers(0, 8, n),
                      1 << rng.integers(0, width, n), np.zeros(n, np.int64), np.full(n, top - 1)])
    return kinds[rng.choice(len(kinds), n, p=[0.4, 0.2, 0.1, 0.2, 0.03, 0.07]), np.arange(n)]


def _lane_stimulus(depth: int, rng: np.random.Generator, rounds_of: int = 240) -> Streams:
    """Groups of plain transactions mixed with groups of two that are added."""
    hold: list[int] = []
    for _ in range(rounds_of):
        hold += ([0], [1, 0], [1, 1, 0])[rng.choice(3, p=[0.6, 0.37, 0.03])]
    rows = np.repeat(np.array(hold), depth)
    n = len(rows)
    before = np.concatenate([np.zeros(depth, np.int64), rows[:-depth]])
    small = (rows | before).astype(bool)
    b, c = _multipliers(rng, n, 32), rng.integers(0, 64, n)
    c = np.where(rng.random(n) < 0.5, rng.integers(28, 46, n), c)
    total = np.where(rng.random(n) < 0.7, _near(rng, b, c, 32), rng.integers(-1 << 31, 1 << 31, n))
    total = np.where(rng.random(n) < 0.03, rng.choice([-1 << 31, (1 << 31) - 1, 0, 1, -1], n), total)
    total = np.where(small, np.clip(_near(rng, b, c, 11), -1023, 1023), total)
    bias = rng.integers(-1 << 20, 1 << 20, n)
    bias = np.where((total - bias < -1 << 31) | (total - bias >= 1 << 31), 0, bias)
    return {"i": {"acc": total - bias, "bias": bias, "b": b, "c": c, "hold": rows, "tag": rng.integers(0, 2, n)}}


DESIGNS = tuple(
    Design(name=f"requantize_lane_{'serial' if serial else 'parallel'}_x{depth}",
           summary=f"Accelerator's requantizer lane, {'one bit' if serial else 'one value'} per cycle, {depth} groups.",
           params={"serial": serial, "depth": depth, **BOUNDS}, component=partial(FixedLane, serial=serial, depth=depth, **BOUNDS),
           golden=partial(_lane_golden, depth, *BOUNDS.values()), stimulus=partial(_lane_stimulus, depth))
    for serial in (False, True) for depth in (1, 2, 4))
