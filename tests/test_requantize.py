# amaranth: UnusedElaboratable=no
"""Requantizers: ties against fractions, cycles as documented, the lane's sums, messages."""
from fractions import Fraction
import math
import re

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module
from amaranth.sim import Simulator

from mantissa import golden
from mantissa.hw.designs_requantize import DESIGNS, FixedLane
from mantissa.hw.payload import integers, layout_of, pack
from mantissa.hw.requantize import Requantize
from mantissa.hw.requantize_lane import RequantizeLane
from mantissa.hw.requantize_serial import RequantizeSerial
from mantissa.rounding import ROUNDINGS
from mantissa.sim_tb.simulate import check, simulate

BY_NAME = {design.name: design for design in DESIGNS}


def _round(value: Fraction, rounding: str) -> int:
    """Definition of the modes, by somebody who has never seen a half bit."""
    down = math.floor(value)
    if rounding == "floor":
        return down
    if rounding == "toward_zero":
        return math.trunc(value)
    if value - down != Fraction(1, 2):
        return round(value)
    return {"half_even": round(value), "half_up": down + 1, "half_away": down + (value > 0)}[rounding]


def _requantized(acc: int, b: int, c: int, rounding: str, zero_point: int = 0) -> int:
    if rounding == "tflite_double":
        first = min(c, 31)
        rounded = _round(Fraction(_round(Fraction(acc * b, 1 << first), "half_up"), 1 << (c - first)), "half_away")
    else:
        rounded = _round(Fraction(acc * b, 1 << c), rounding)
    return min(max(rounded + zero_point, -128), 127)


def _results(component, rows):
    count = len(next(iter(rows.values())))
    got = simulate(component, {"i": integers(pack(layout_of(component, "i"), rows))}, {"o": count}, limit=200)
    layout = layout_of(component, "o")
    return [layout.from_bits(raw)["y"] for raw in got["o"]]


def _ties(width, b_width, least=1):
    """Every accumulator and multiplier whose product has a shift that leaves exactly one half."""
    rows = [(acc, b, c) for acc in range(-1 << (width - 1), 1 << (width - 1)) for b in range(1, 1 << b_width) if acc
            for c in [((acc * b) & -(acc * b)).bit_length()] if c >= least]
    return {name: np.array(column) for name, column in zip(("acc", "b", "c"), zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_tie(rounding):
    rows = _ties(9, 3)
    assert len(rows["acc"]) > 3500
    want = [_requantized(int(a), int(b), int(c), rounding) for a, b, c in zip(*rows.values(), strict=True)]
    assert _results(Requantize(acc_width=9, multiplier_width=3, rounding=rounding), rows) == want


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_ties_serial(rounding):
    rows = {name: column[::5] for name, column in _ties(9, 2).items()}
    want = [_requantized(int(a), int(b), int(c), rounding) for a, b, c in zip(*rows.values(), strict=True)]
    assert len(want) > 250
    assert _results(RequantizeSerial(acc_width=9, multiplier_width=2, rounding=rounding), rows) == want


@pytest.mark.parametrize("generator", (Requantize, RequantizeSerial))
@pytest.mark.parametrize("shift", (30, 31, 32, 33, 40))
def test_double_rounding(generator, shift):
    rng = np.random.default_rng(shift)
    b = rng.integers(1 << 30, 1 << 31, 150)
    target = rng.integers(-40, 40, 150) + 0.5                # b odd or even: just beside the second rounding's tie
    acc = np.rint(np.ldexp(target, shift) / b).astype(np.int64) + rng.integers(-1, 2, 150)
    acc[:20], b[:20] = rng.integers(-300, 300, 20) * 2 + 1, 1 << rng.integers(28, 32, 20)
    want = [_requantized(int(x), int(y), shift, "tflite_double") for x, y in zip(acc, b, strict=True)]
    fixed = generator(shift=shift, rounding="tflite_double")
    assert _results(fixed, {"acc": acc, "b": b}) == want
    assert _results(generator(rounding="tflite_double"), {"acc": acc, "b": b, "c": np.full(150, shift)}) == want


def test_golden_is_the_definition():
    rng = np.random.default_rng(1)
    for rounding in ROUNDINGS:
        streams = BY_NAME["requantize_32_variable"].stimulus(rng)["i"]
        got = golden.requantize(streams["acc"], streams["b"], streams["c"], rounding=rounding)
        rows = zip(streams["acc"], streams["b"], streams["c"], strict=True)
        assert got.tolist() == [_requantized(int(x), int(y), int(z), rounding) for x, y, z in rows]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_stimulus_reaches(design):
    streams = design.stimulus(np.random.default_rng(0))
    y = design.golden(streams)["o"]["y"]
    low, high = design.params["low"], design.params["high"]
    assert y.min() == (-128 if low is None else low) and y.max() == (127 if high is None else high)
    assert len(np.unique(y)) > (1 if low == -5 else 20)


@pytest.mark.parametrize("name", ("requantize_32_variable_tflite_double", "requantize_16_variable_lut",
                                  "requantize_32_variable_serial_tflite_double", "requantize_lane_parallel_x4"))
def test_bursts(name):
    assert check(BY_NAME[name], stall="bursty", seed=3) > 0


def _clocked(component, raws):
    """Cycle of each transfer in and out, never stalled."""
    came, went = [], []

    async def bench(ctx):
        ctx.set(component.o.ready, 1)
        ctx.set(component.i.valid, 1)
        for cycle in range(100 * len(raws)):
            ctx.set(component.i.payload.as_value(), raws[min(len(came), len(raws) - 1)])
            _, _, ready, valid = await ctx.tick().sample(component.i.ready, component.o.valid)
            if ready:
                came.append(cycle)
            if valid:
                went.append(cycle)
            if len(went) == len(raws) or len(came) == 4 * len(raws):
                return

    top = Module()
    top.submodules.dut = component
    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return came, went


def _raws(component, count=6, **fields):
    return integers(pack(layout_of(component, "i"), {name: np.full(count, value) for name, value in fields.items()}))


@pytest.mark.parametrize(("latency", "given"), (
    (5, {"multiplier_width": 16, "shift": 24}), (7, {"multiplier_width": 16}), (8, {"multiplier_width": 18}),
    (8, {"multiplier_width": 32}), (9, {"rounding": "tflite_double"}), (6, {"shift": 31, "rounding": "tflite_double"}),
    (4, {"acc_width": 16, "multiplier_width": 16, "shift": 24}), (8, {"multiplier_width": 16, "shift": 24, "dsp": False}),
    (9, {"multiplier_width": 32, "shift": 24, "dsp": False})))
def test_latency(latency, given):
    component = Requantize(**given)
    fields = {"acc": 9, "b": 1} | ({} if "shift" in given else {"c": 3})
    came, went = _clocked(component, _raws(component, **fields))
    assert [b - a for a, b in zip(came, went, strict=False)] == [latency] * 6
    assert np.diff(went).tolist() == [1] * 5


@pytest.mark.parametrize(("cycles", "c", "given"), (
    (18, None, {"multiplier_width": 16, "shift": 24}), (34, None, {"shift": 3}),
    (33, None, {"multiplier_width": 16, "shift": 32, "rounding": "tflite_double"}),
    (24 + 3, 24, {"multiplier_width": 16}), (16 + 3, 16, {"multiplier_width": 16}), (15 + 11, 15, {"multiplier_width": 16}),
    (19, 3, {"multiplier_width": 16}), (34, 31, {"multiplier_width": 16, "rounding": "tflite_double"})))
def test_serial_cycles(cycles, c, given):
    component = RequantizeSerial(**given)
    came, went = _clocked(component, _raws(component, acc=1000, b=3, **({} if c is None else {"c": c})))
    assert np.diff(came[:6]).tolist() == [cycles] * 5
    assert [b - a for a, b in zip(came, went, strict=False)] == [2] * 6


@pytest.mark.parametrize(("cycles", "c"), ((39, 36), (35, 32), (42, 31), (35, 24), (35, 23), (35, 0), (66, 63)))
def test_lane_serial_cycles(cycles, c):
    component = FixedLane(serial=True, depth=2)
    came, _ = _clocked(component, _raws(component, acc=1000, bias=1, b=3, c=c, hold=0, tag=0))
    assert np.diff(came[:6]).tolist() == [cycles] * 5


def test_lane_serial_cycles_with_sums():
    component = FixedLane(serial=True, depth=2)
    layout = layout_of(component, "i")
    plain, hold = (layout.const({"acc": 5, "bias": 1, "b": 3, "c": 33, "hold": h, "tag": 0}).as_value().value for h in (0, 1))
    came, _ = _clocked(component, [plain, hold, hold, plain, plain, plain, plain])
    assert np.diff(came[:7]).tolist() == [36, 47, 47, 47, 47, 36]


def test_lane_latency():
    component = FixedLane(serial=False, depth=2)
    came, went = _clocked(component, _raws(component, acc=1000, bias=1, b=3, c=5, hold=0, tag=0))
    assert [b - a for a, b in zip(came, went, strict=False)] == [9] * 6


@pytest.mark.parametrize("serial", (False, True))
def test_lane_adds_before_it_rounds(serial):
    """Two operands of a residual add in two groups: one rounding, of the sum."""
    rng = np.random.default_rng(5)
    n, depth, c = 10, 2, 33
    values, biases = rng.integers(-128, 128, (2, n, depth)), rng.integers(-20, 20, (2, depth))
    b = rng.integers(1 << 30, 1 << 31, (2, depth))
    want = golden.residual_add(list(values), list(biases), list(b), c, zero_point=-4)
    acc = values.transpose(1, 0, 2).reshape(-1)              # both groups of one operand, both of the other, again
    hold = np.tile(np.repeat([1, 0], depth), n)
    rows = {"acc": acc, "bias": np.tile(biases.reshape(-1), n), "b": np.tile(b.reshape(-1), n), "c": np.full(len(acc), c),
            "hold": hold, "tag": rng.integers(0, 2, len(acc))}
    component = FixedLane(serial=serial, depth=depth, zero_point=-4)
    got = simulate(component, {"i": integers(pack(layout_of(component, "i"), rows))}, {"o": want.size})["o"]
    layout = layout_of(component, "o")
    assert [layout.from_bits(raw)["y"] for raw in got] == want.reshape(-1).tolist()
    assert [layout.from_bits(raw)["tag"] for raw in got] == rows["tag"][hold == 0].tolist()


@pytest.mark.parametrize(("error", "message", "given"), (
    (TypeError, "Accumulator width must be an integer from 9 to 32, not 'wide'", {"acc_width": "wide"}),
    (ValueError, "Accumulator width must be an integer from 9 to 32, not 33", {"acc_width": 33}),
    (ValueError, "Multiplier width must be an integer from 2 to 32, not 1", {"multiplier_width": 1}),
    (TypeError, "Multiplier width must be an integer from 2 to 32, not True", {"multiplier_width": True}),
    (ValueError, "Shift must be an integer from 0 to 63, not 64", {"shift": 64}),
    (ValueError, "Shift must be an integer from 0 to 63, not -1", {"shift": -1}),
    (ValueError, "Zero point must be an integer from -128 to 127, not 128", {"zero_point": 128}),
    (TypeError, "Low must be an integer from -128 to 127, not 0.0", {"low": 0.0}),
    (ValueError, "High must be an integer from -128 to 127, not -129", {"high": -129}),
    (ValueError, "Low must not be above high (3), not 4", {"low": 4, "high": 3}),
    (ValueError, "Rounding must be one of half_even, half_up, half_away, tflite_double, floor, toward_zero, not 'nearest'",
     {"rounding": "nearest"})))
@pytest.mark.parametrize("generator", (Requantize, RequantizeSerial))
def test_messages(generator, error, message, given):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        generator(**given)


@pytest.mark.parametrize(("generator", "error", "message", "given"), (
    (Requantize, TypeError, "Dsp must be true or false, not 1", {"dsp": 1}),
    (RequantizeLane, TypeError, "Serial must be true or false, not 0", {"serial": 0, "depth": 1}),
    (RequantizeLane, ValueError, "Depth must be an integer of at least 1, not 0", {"serial": True, "depth": 0})))
def test_more_messages(generator, error, message, given):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        generator(**given)
