"""Catalogue entries of the requantizers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Component
import numpy as np

from .. import golden
from ..design import Design, Streams
from ..rounding import ROUNDINGS, bound, shift_right
from .format_lane import FormatLane
from .requantize import Requantize
from .requantize_lane import RequantizeLane
from .requantize_serial import RequantizeSerial

__all__ = ["DESIGNS", "FixedLane", "lone_bits"]

BOUNDS = {"zero_point": -7, "low": -120, "high": 101}


class FixedLane(wiring.Component):
    """A :class:`RequantizeLane`, or :class:`FormatLane`, with its zero point and bounds tied off.

    Parameters
    ----------
    serial, depth, formats
        The lane's; with ``formats`` it is a :class:`FormatLane`.
    zero_point, low, high : :class:`int`
        Its inputs.

    Members
    -------
    i, o
        The lane's.
    """

    def __init__(self, *, serial: bool, depth: int, zero_point: int = 0, low: int = -128, high: int = 127,
                 formats: Sequence[str] = ()) -> None:
        self.serial = serial
        self.depth = depth
        self.zero_point = zero_point
        self.low = low
        self.high = high
        self.formats = formats
        self.lane = FormatLane(formats=formats, depth=depth) if formats else RequantizeLane(serial=serial, depth=depth)
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
    y = shift_right(total, c.astype(np.int64), "half_even") + zero_point
    return {"o": {"y": bound(y, low, high).astype(np.int64), "tag": tag.astype(np.int64)}}


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


def lone_bits(rng: np.random.Generator, c: np.ndarray, width: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators and powers of two whose product is, before the shift, a small integer, a half or none, and one bit anywhere.

    What is below the half, or lost above the integer, then hangs on that bit. Of negative ones, either the bit is all that there is below
    the integer, or all but it.
    """
    n = len(c)
    power = np.where(rng.random(n) < 0.4, 0, rng.integers(0, limit + 1, n))
    one, half = (np.where((at >= 0) & (at < width - 2), np.int64(1) << np.clip(at, 0, width), 0) for at in (c - power, c - power - 1))
    small = rng.choice([0, 0, 1, 2, 3, 96], n)
    bit, half = np.int64(1) << rng.integers(0, width - 1, n), rng.integers(0, 2, n) * half
    acc = (small * one + half) % (1 << (width - 2)) ^ bit
    below = (half + bit - small * one) % (1 << (width - 1)) - (1 << (width - 1)) * (small * one > half + bit)
    return np.choose(rng.choice(4, n, p=[0.3, 0.3, 0.1, 0.3]), [acc, ~acc, -acc, below]), np.int64(1) << power


def _lane_stimulus(depth: int, rotations: int, rng: np.random.Generator) -> Streams:
    """Groups of plain transactions, some of lone bits, mixed with groups of two that are added."""
    hold: list[int] = []
    for _ in range(rotations):
        hold += ([0], [1, 0], [1, 1, 0])[rng.choice(3, p=[0.6, 0.37, 0.03])]
    rows = np.repeat(np.array(hold), depth)
    n = len(rows)
    before = np.concatenate([np.zeros(depth, np.int64), rows[:-depth]])
    small = (rows | before).astype(bool)
    b, c = _multipliers(rng, n, 32), rng.integers(0, 64, n)
    c = np.where(rng.random(n) < 0.5, rng.integers(28, 46, n), c)
    c = np.where(rng.random(n) < 0.2, rng.integers(0, 16, n), c)
    total = np.where(rng.random(n) < 0.7, _near(rng, b, c, 32), rng.integers(-1 << 31, 1 << 31, n))
    alone, (lone, power) = rng.random(n) < 0.3, lone_bits(rng, c, 32, 31)
    b, total = np.where(alone, power, b), np.where(alone, lone, total)
    total = np.where(rng.random(n) < 0.03, rng.choice([-1 << 31, (1 << 31) - 1, 0, 1, -1], n), total)
    total = np.where(small, np.clip(_near(rng, b, c, 11), -1023, 1023), total)
    bias = rng.integers(-1 << 20, 1 << 20, n)
    bias = np.where((total - bias < -1 << 31) | (total - bias >= 1 << 31), 0, bias)
    return {"i": {"acc": total - bias, "bias": bias, "b": b, "c": c, "hold": rows, "tag": rng.integers(0, 2, n)}}


def _golden(constants: Mapping[str, Any], streams: Streams) -> Streams:
    i = streams["i"]
    shift = constants["shift"]
    bounds = {name: i[name] if constants[name] is None else constants[name] for name in BOUNDS}
    y = golden.requantize(i["acc"], i["b"], i["c"] if shift is None else shift, **bounds, rounding=constants["rounding"])
    return {"o": {"y": y}}


def _ties(rng: np.random.Generator, c: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd accumulators and powers of two whose product ends in one half, where it can."""
    b = np.int64(1) << np.clip(c - 1, 0, limit)
    acc = (2 * rng.integers(-300, 300, len(c)) + 1) << np.clip(c - 1 - limit, 0, 20)
    return acc, b


PRIMES = np.array([n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n ** 0.5) + 1, 2))])


def _exact(rng: np.random.Generator, c: np.ndarray, width: int, b_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators and multipliers of many bits whose product is an odd number of halves, exactly or but for one bit below it.

    Halves are those of ``c``, or of the first rounding of ``tflite_double``, then half of them a step below a half of the second; products
    are taken apart into primes.
    """
    rows = []
    halves = np.where(rng.random(len(c)) < 0.3, np.minimum(c, 31) - 1, c - 1).clip(0, 62)
    for half, beyond in zip(halves.tolist(), (c - 31).tolist(), strict=True):
        pair = 1, 1
        for _ in range(8):
            exact, odd = rng.random() < 0.3, 2 * int(rng.integers(0, 125)) + 1
            if half == 30 and 0 < beyond < 20 and rng.random() < 0.5:
                odd = (odd << beyond) - 1
            at = half if exact else int(rng.integers(0, half + 1))
            number = odd if exact else (odd << half - at) + int(rng.choice([-1, 1]))
            divisor = 1
            for prime in rng.permutation(PRIMES[number % PRIMES == 0] if number >> 62 == 0 else []).tolist():
                if number // divisor >> width - 1 or rng.random() < 0.5:
                    divisor *= prime
            low = max(0, at - (width - 1) + (number // divisor).bit_length())
            high = min(at, b_width - divisor.bit_length())
            if low <= high:
                power = int(rng.integers(low, high + 1))
                pair = number // divisor << at - power, divisor << power
                break
        rows.append((pair[0] if rng.random() < 0.5 else -pair[0], pair[1]))
    return np.array([acc for acc, _ in rows]), np.array([b for _, b in rows])


def _powers(rng: np.random.Generator, b: np.ndarray, width: int, b_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators whose product is a little more or less than a power of two of either sign, those beyond the accumulator above all; and
    multipliers, ``b`` where it is large enough."""
    n, end = len(b), width + b_width
    exponent = np.where(rng.random(n) < 0.3, rng.integers(0, end, n), rng.integers(width - 2, end, n))
    most = (1 << (width - 1)) - 1
    b = np.where(2.0 ** exponent > float(most) * b, (1 << b_width) - rng.integers(1, 1 << (b_width - 1), n), b)
    near = np.clip(np.rint(2.0 ** exponent / np.maximum(b, 1)) + rng.integers(-1, 3, n), 0, most).astype(np.int64)
    return np.where(rng.random(n) < 0.5, near, ~near), b


def _stimulus(constants: Mapping[str, Any], rng: np.random.Generator, n: int = 1500) -> Streams:
    """Results in and around 8 bits, ties, lone bits, powers of two, products that just miss ties, extremes of every field, and anything."""
    width, b_width, shift = constants["acc_width"], constants["multiplier_width"], constants["shift"]
    c = rng.integers(0, 64, n) if shift is None else np.full(n, shift)
    if shift is None:
        c = np.where(rng.random(n) < 0.4, rng.integers(b_width - 4, min(b_width + 14, 64), n), c)
        c = np.where(rng.random(n) < 0.2, rng.integers(0, 8, n), c)
        c = np.where(rng.random(n) < 0.05, rng.choice([0, 1, 30, 31, 32, 62, 63], n), c)
    least, most = -1 << (width - 1), (1 << (width - 1)) - 1
    b, any_acc = _multipliers(rng, n, b_width), rng.integers(least, most + 1, n)
    edge = rng.choice([least, least + 1, most, most - 1, 0, 1, -1], n)
    tie, power = _ties(rng, c, b_width - 1)
    lone, lone_power = lone_bits(rng, c, width, b_width - 1)
    large, large_b = _powers(rng, b, width, b_width)
    kind = rng.choice(7, n, p=[0.25, 0.1, 0.1, 0.05, 0.2, 0.1, 0.2])
    exact, exact_b = np.ones((2, n), np.int64)
    exact[kind == 6], exact_b[kind == 6] = _exact(rng, c[kind == 6], width, b_width)
    acc = np.choose(kind, [_near(rng, b, c, width), any_acc, np.where((tie < least) | (tie > most), 1, tie), edge, lone, large, exact])
    rows = {"acc": acc, "b": np.choose(kind, [b, b, power, b, lone_power, large_b, exact_b])}
    if shift is None:
        rows["c"] = c
    if constants["zero_point"] is None:
        rows["zero_point"] = np.where(rng.random(n) < 0.2, rng.choice([-128, 127, 0], n), rng.integers(-128, 128, n))
    bounds = np.sort(np.where(rng.random((2, n)) < 0.5, [[-128], [127]], rng.integers(-128, 128, (2, n))), axis=0)
    for name, column in zip(("low", "high"), bounds, strict=True):
        if constants[name] is None:
            rows[name] = column
    return {"i": rows}


DEFAULTS = {"acc_width": 32, "multiplier_width": 16, "shift": None, "rounding": "half_even", "zero_point": 0, "low": -128, "high": 127}
FIELDS: dict[str, Any] = {"zero_point": None, "low": None, "high": None}


def _design(name: str, text: str, *, n: int = 1500, generator: type[Component] = Requantize, **given: Any) -> Design:
    constants = {**DEFAULTS, **{k: v for k, v in given.items() if k != "dsp"}}
    return Design(name=f"requantize_{name}", summary=f"Requantizer, {text}.", params={**constants, **given},
                  component=partial(generator, **{**constants, **given}), golden=partial(_golden, constants),
                  stimulus=partial(_stimulus, constants, n=n), stateless=True)


_PIPELINED = (
    _design("16_fixed", "16-bit multiplier, constant shift", shift=24),
    _design("16_fixed_fields", "16-bit multiplier, constant shift, zero point and bounds per transaction, toward_zero", shift=20,
            rounding="toward_zero", **FIELDS),
    _design("16_variable", "16-bit multiplier, shift per transaction"),
    _design("16_variable_fields", "16-bit multiplier, everything per transaction, half_away", rounding="half_away", **FIELDS),
    _design("18_variable", "18-bit multiplier, shift per transaction, half_up", multiplier_width=18, rounding="half_up"),
    _design("32_fixed", "32-bit multiplier, constant shift", multiplier_width=32, shift=40),
    _design("32_fixed_tflite_double", "32-bit multiplier, constant shift, tflite_double", multiplier_width=32, shift=38,
            rounding="tflite_double", zero_point=9),
    _design("32_variable", "32-bit multiplier, shift per transaction", multiplier_width=32),
    _design("32_variable_tflite_double", "32-bit multiplier, everything per transaction, tflite_double", multiplier_width=32,
            rounding="tflite_double", **FIELDS),
    _design("12_variable", "12-bit multiplier and accumulator, floor", acc_width=12, multiplier_width=12, rounding="floor",
            zero_point=101, low=-100),
    _design("16_fixed_lut", "16-bit multiplier of adders, constant shift", shift=24, dsp=False),
    _design("16_variable_lut", "16-bit multiplier of adders, shift per transaction", dsp=False),
    _design("32_variable_lut", "32-bit multiplier of adders, shift per transaction", multiplier_width=32, dsp=False),
    _design("17_fixed_lut_0", "17-bit multiplier of adders, shift 0, 20-bit accumulator", acc_width=20, multiplier_width=17,
            shift=0, dsp=False, zero_point=-77, low=-111, high=-4),
    *(_design(f"narrow_{rounding}", f"9-bit accumulator, 4-bit multiplier, shift per transaction, {rounding}", acc_width=9,
              multiplier_width=4, rounding=rounding, zero_point=3) for rounding in ROUNDINGS),
)

_serial = partial(_design, generator=RequantizeSerial, n=300)
_SERIAL = (
    _serial("16_fixed_serial", "16-bit multiplier, bit-serial, constant shift", shift=24),
    _serial("16_fixed_serial_low", "16-bit multiplier, bit-serial, shift 5, half_away", shift=5, rounding="half_away", **FIELDS),
    _serial("16_variable_serial", "16-bit multiplier, bit-serial, shift per transaction"),
    _serial("12_fixed_serial_0", "12-bit multiplier, bit-serial, shift 0", acc_width=14, multiplier_width=12, shift=0, zero_point=-3),
    _serial("32_fixed_serial_tflite_double", "32-bit multiplier, bit-serial, shift 33, tflite_double", multiplier_width=32, shift=33,
            rounding="tflite_double"),
    _serial("32_variable_serial_tflite_double", "32-bit multiplier, bit-serial, everything per transaction, tflite_double",
            multiplier_width=32, rounding="tflite_double", **FIELDS),
    _serial("narrow_serial", "9-bit accumulator, 4-bit multiplier, bit-serial, shift per transaction", acc_width=9,
            multiplier_width=4, zero_point=3),
)

_LANES = tuple(
    Design(name=f"requantize_lane_{'serial' if serial else 'parallel'}_x{depth}",
           summary=f"Accelerator's requantizer lane, {'one bit' if serial else 'one value'} per cycle, {depth} groups.",
           params={"serial": serial, "depth": depth, **BOUNDS}, component=partial(FixedLane, serial=serial, depth=depth, **BOUNDS),
           golden=partial(_lane_golden, depth, *BOUNDS.values()),
           stimulus=partial(_lane_stimulus, depth, (160 if serial else 400) // depth))
    for serial, depth in ((False, 1), (False, 4), (True, 1), (True, 2)))

DESIGNS = _PIPELINED + _SERIAL + _LANES
