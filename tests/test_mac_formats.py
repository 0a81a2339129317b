# amaranth: UnusedElaboratable=no
"""Exact multiplier-accumulators of one format, and the one whose format is chosen while it runs."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
import json
import math
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.errors import MantissaError
from mantissa.formats import get_scalar
from mantissa.fpga.cost import cost
from mantissa.fpga.netlist import top_of
from mantissa.fpga.synth import Recipe, synthesise
from mantissa.gen.designs import verilog_of
from mantissa.hw.catalog import find
from mantissa.hw.designs_exact import mac_exact
from mantissa.hw.designs_reconfigurable import ALL, _golden, mac_reconfigurable
from mantissa.hw.mac_exact import MacExact
from mantissa.hw.mac_exact_unpack import check_format, integers, operands, spare
from mantissa.hw.mac_modes import MODES
from mantissa.hw.mac_reconfigurable import MacReconfigurable
from mantissa.hw.payload import pack, ports, used
from mantissa.sim_tb.mapped import Mapped
from mantissa.sim_tb.pairs import exhaust
from mantissa.sim_tb.simulate import check
from mantissa.sim_tb.toggles import toggles

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    *(mac_exact(fmt, depth=3, cells=False) for fmt in ("ue4m3", "ue5m3", "e4m3fnuz", "posit9_2", "fp16")),
    mac_exact("posit16_1", depth=3, multiplier="dsp_significand", cells=False),
    *(mac_exact(fmt, depth=3, cells=False) for fmt in ("posit6_0", "posit8_2", "posit5_1", "e2m1", "e1m2", "e3m0", "e4m2_ieee")),
    mac_exact("e4m3", multiplier="dsp", depth=4, cells=False), mac_exact("posit4_1", multiplier="dsp", depth=1, cells=False),
    *(mac_reconfigurable(f"only_{name}", (name,), depth=4, cells=False) for name in ALL),
    mac_reconfigurable("pair", ("bf16", "int4"), multiplier="dsp", depth=4, cells=False),
    mac_reconfigurable("triple", ("e5m2", "posit8_0", "e2m1"), depth=5, cells=False),
    mac_reconfigurable("narrow", ("int8", "e2m1"), depth=4, quire=80, cells=False),
    mac_reconfigurable("posits", ("posit16_1", "posit8_0", "posit4_1"), depth=4, cells=False),
    mac_reconfigurable("posits", ("posit4_1", "posit8_0", "int4"), depth=4, quire=104, multiplier="dsp", cells=False),
    mac_reconfigurable("words", ("posit16_1", "bf16"), depth=4, cells=False),
    mac_reconfigurable("mixed", ("e4m3", "bf16", "posit4_1"), depth=4, cells=False),
    mac_reconfigurable("moving", ALL, depth=4, cells=False, isolate=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 20


def test_every_operand_pair_of_every_mode() -> None:
    """Of bytes and nibbles; words' are drawn."""
    design = find("mac_modes9_acc128_lut")
    counts = exhaust(design, folder=FOLDER, drawn=4000)
    assert counts == {mode: {1: 4000, 2: 1 << 16, 4: 1 << 8}[MODES[mode].lanes] for mode in ALL}


def _posit(code: int, width: int, es: int) -> Fraction | None:
    """By its bits, read one by one."""
    if code == 1 << width - 1:
        return None
    if not code:
        return Fraction(0)
    negative = code >> width - 1
    text = f"{-code % (1 << width) if negative else code:0{width}b}"[1:]
    run = len(text) - len(text.lstrip(text[0]))
    rest = text[run + 1:]
    exponent = int((rest[:es] + "0" * es)[:es] or "0", 2)
    fraction = rest[es:]
    scale = (run - 1 if text[0] == "1" else -run) * (1 << es) + exponent
    value = (1 + Fraction(int(fraction or "0", 2), 1 << len(fraction))) * Fraction(2) ** scale
    return -value if negative else value


def _value(name: str, code: int) -> Fraction | None:
    """Of other code than ours; nothing if it is no number."""
    if name.startswith("posit"):
        width, es = map(int, name[5:].split("_"))
        return _posit(code, width, es)
    if name.startswith("int"):
        bits = int(name[3:])
        return Fraction(code - (code >> bits - 1 << bits))
    kinds = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "bf16": ml_dtypes.bfloat16, "e2m1": ml_dtypes.float4_e2m1fn}
    value = float(np.array([code], np.uint16 if name == "bf16" else np.uint8).view(kinds[name])[0])
    return Fraction(value) if np.isfinite(value) else None


def _inside(name: str, a: Fraction, b: Fraction) -> bool | None:
    """Whether a product is added; nothing if it is above what can be."""
    mode = MODES[name]
    if mode.window == (0, 0) or not a or not b:
        return True
    least, bias = (-126, 127) if name == "bf16" else (-14, 15)
    total = sum(max(math.frexp(float(abs(value)))[1] - 1, least) + bias for value in (a, b))
    return None if total >= mode.window[1] else total >= mode.window[0]


@pytest.mark.parametrize("name", ALL)
def test_golden_sums_are_those_of_rationals(name: str) -> None:
    mode, rng = MODES[name], np.random.default_rng(11)
    bits, count = 16 // mode.lanes, 600
    a, b = (rng.integers(0, 1 << 16, count) for _ in range(2))
    if name == "bf16":
        a, b = (np.where(rng.random(count) < 0.1, 0x8000, word & 0x8fff | 0x3000) for word in (a, b))
        b[::5] |= 0x4000
    first = np.arange(count) % 3 == 0
    found = _golden((name,), 128, mode.lanes, {"i": {"a": a, "b": b, "mode": np.zeros(count, np.int64), "first": first,
                                                     "last": np.roll(first, -1)}})["o"]
    compared = 0
    for dot, (words, flags) in enumerate(zip(found["sum"], found["nan"], strict=True)):
        for lane in range(mode.lanes):
            total, bad = Fraction(0), False
            for word_a, word_b in zip(a[3 * dot:3 * dot + 3], b[3 * dot:3 * dot + 3], strict=True):
                one, other = (_value(name, int(word) >> bits * lane & (1 << bits) - 1) for word in (word_a, word_b))
                added = None if one is None or other is None else _inside(name, one, other)
                bad |= added is None
                if added and one is not None and other is not None:
                    total += one * other
            assert bool(flags >> lane & 1) == bad
            if not bad:
                share = 4 // mode.lanes
                got = sum(int(word) << 32 * k for k, word in enumerate(words[share * lane:share * lane + share]))
                assert got == int(total / Fraction(2) ** mode.unit) % (1 << 32 * share)
                compared += 1
    assert compared > 100


def test_mapped_netlist_counts_what_moves() -> None:
    """The simulator that counts gives what the golden function says, and less moves where idle parts are held."""
    design = mac_reconfigurable("few", ("posit16_1", "int4"), depth=4)
    still = toggles(design, streams=64, cycles=6, store=FOLDER)
    assert isinstance(design.component, partial)
    free = toggles(replace(design, component=partial(design.component, isolate=False)), streams=64, cycles=6, store=FOLDER)
    assert set(still) == {"posit16_1", "int4"} and 0 < still["int4"] < free["int4"]


def test_mapped_netlist_is_simulated() -> None:
    design = find("mac_8x2_acc18_lut")
    netlist = synthesise(verilog_of(design), design.name, Recipe(family="ecp5", dsp=False), store=FOLDER)
    mapped = Mapped(top_of(json.loads(netlist.read_text())), 1)
    streams = design.stimulus(np.random.default_rng(2))
    (inputs, outputs), golden = ports(used(design.component())), design.golden(streams)
    sent, want = pack(inputs["i"], streams["i"])[:300], pack(outputs["o"], golden["o"])
    got = []
    for row in sent:
        bits = [mapped.one if int(row[k // 32]) >> k % 32 & 1 else mapped.zero for k in range(len(mapped.ports["i__payload"]))]
        mapped.settle({"i__payload": bits, "i__valid": [mapped.one], "o__ready": [mapped.one], "rst": [mapped.zero]})
        if mapped.read(mapped.ports["o__valid"][0])[0] & np.uint64(1):
            got.append(sum(int(mapped.read(bit)[0] & np.uint64(1)) << k for k, bit in enumerate(mapped.ports["o__payload"])))
        mapped.clock()
    assert len(got) > 20 and got == [int(row[0]) for row in want[:len(got)]]


def test_what_toggles_refuses() -> None:
    for design, message in ((find("mac_8x2_acc18_lut"), "Design must have modes, unlike mac_8x2_acc18_lut"),
                            (find("mac_modes9_acc128_dsp"), "Netlist must have cells of types LUT4, CCU2C, TRELLIS_FF, not MULT18X18D")):
        with pytest.raises(MantissaError) as error:
            toggles(design, store=FOLDER)
        assert str(error.value) == message
    with pytest.raises(MantissaError, match="Streams must be a multiple of 64 and cycles positive, not 65 and 40"):
        toggles(find("mac_modes9_acc128_lut"), streams=65, store=FOLDER)


@pytest.mark.parametrize("fmt", ["posit8_0", "posit4_1", "posit6_0", "posit8_2", "e4m3", "e5m2", "e2m1", "e3m0", "posit16_1",
                                 "bf16", "ue5m3"])
def test_operands_are_the_values(fmt: str) -> None:
    """Significands and shifts against the golden values, which they are not made of."""
    known = check_format(fmt)
    scale = 1 << spare(known)
    values = get_scalar(fmt).table[:len(operands(known))]
    unit = np.abs(values[np.isfinite(values) & (values != 0)]).min()
    for (significand, by), value, integer in zip(operands(known), values, integers(known), strict=False):
        if np.isfinite(value):
            assert significand << by == scale * int(value / unit) == scale * integer


def test_leaving_modes_out_shrinks_it() -> None:
    """In look-up tables and in registers."""
    costs = cost([mac_reconfigurable(f"of{count}", ALL[:count]) for count in (1, 3, 5)])
    assert all(less.luteq < more.luteq and less.ff < more.ff for less, more in pairwise(costs))


@pytest.mark.parametrize("name", MODES)
def test_deepest_dot_product_of_a_quire(name: str) -> None:
    mode = MODES[name]
    for quire in range(80, 132, 4):
        most = mode.depth(quire)
        fits = mode.quire(most) <= quire < mode.quire(most + 1)
        assert fits and mode.width(most) <= quire // mode.lanes < mode.width(most + 1)
    assert MacReconfigurable((name,), depth=mode.depth(128)).quire == 128
    assert MacReconfigurable((name,), depth=10 ** 60, wraps=True).quire == 128


def test_narrow_accumulator_by_option() -> None:
    assert MacReconfigurable(("bf16",), quire=96, wraps=True).quire == 96


MODE = "Mode must be one of int8, int4, posit8_0, e4m3, e2m1, e5m2, bf16, posit16_1, posit4_1, which share a word of 16 bits, not "

REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: MacReconfigurable(()), ValueError, "Modes must be names of formats, one at least, not ()"),
    (lambda: MacReconfigurable("int8"), ValueError, "Modes must be names of formats, one at least, not 'int8'"),
    (lambda: MacReconfigurable(("int8", "E4M3")), ValueError, MODE + "'E4M3' (near it: e4m3, e5m2, e2m1)"),
    (lambda: MacReconfigurable(("int12",)), ValueError, MODE + "'int12' (near it: int8, int4, posit4_1)"),
    (lambda: MacReconfigurable(("int8", "int8")), ValueError, "Modes must be distinct, not int8, int8"),
    (lambda: MacReconfigurable(("int8",), quire=100 + 1), ValueError, "Quire width must be a multiple of 4 between 80 and 128, not 101"),
    (lambda: MacReconfigurable(("int8",), quire=64), ValueError, "Quire width must be a multiple of 4 between 80 and 128, not 64"),
    (lambda: MacReconfigurable(("int8",), quire="96"), TypeError,                                # pyright: ignore[reportArgumentType]
     "Quire width must be a positive integer, not '96'"),
    (lambda: MacReconfigurable(("int8", "bf16"), quire=96), ValueError,
     "Quire width must be at least 120 for 256 products of bf16, not 96, unless wraps=True"),
    (lambda: MacReconfigurable(("posit16_1",), quire=112), ValueError,
     "Quire width must be at least 124 for 256 products of posit16_1, not 112, unless wraps=True"),
    (lambda: MacReconfigurable(("posit4_1",), depth=10 ** 9), ValueError,
     "Depth must be at most 32767 for products of posit4_1 in the widest quire, 128 bits, not 1000000000, unless wraps=True"),
    (lambda: MacReconfigurable(("int4", "posit4_1", "bf16"), quire=80, depth=1 << 40), ValueError,
     "Depth must be at most 32767 for products of posit4_1 in the widest quire, 128 bits, not 1099511627776, unless wraps=True"),
    (lambda: MacReconfigurable(("posit4_1",), quire=80, depth=32767), ValueError,
     "Quire width must be at least 128 for 32767 products of posit4_1, not 80, unless wraps=True"),
    (lambda: MacReconfigurable(("int8", "bf16"), quire=96, depth=300), ValueError,
     "Quire width must be at least 124 for 300 products of bf16, not 96, unless wraps=True"),
    (lambda: MacReconfigurable(("int8",), depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacReconfigurable(("int8",), multiplier="booth"), ValueError, "Multiplier must be one of lut, dsp, not 'booth'"),
    (lambda: MacExact("e4m3", multiplier="bram"), ValueError, "Multiplier must be one of lut, dsp, dsp_significand, not 'bram'"),
    (lambda: MacExact("e5m2", multiplier="dsp"), ValueError, "Format must have values of at most 18 bits for a DSP, not 33 as 'e5m2'"),
    (lambda: MacExact("sm8", multiplier="dsp_significand"), ValueError,
     "Multiplier of integers must be one of lut, dsp, not 'dsp_significand'"),
    (lambda: MacExact("pot4", multiplier="dsp_significand"), ValueError,
     "Format must have significands of at least 2 bits for a DSP, not 1 as 'pot4'"),
    (lambda: MacExact("pot6", multiplier="dsp"), ValueError, "Format must have values of at most 18 bits for a DSP, not 31 as 'pot6'"),
    (lambda: MacExact("e8m0"), ValueError, "Accumulator must have at most 160 bits, not the 518 of 256 products of e8m0"),
    (lambda: MacExact("bf16"), ValueError, "Accumulator must have at most 160 bits, not the 531 of 256 products of bf16"),
    (lambda: MacExact("posit16_2"), ValueError, "Accumulator must have at most 160 bits, not the 234 of 256 products of posit16_2"),
    (lambda: MacExact("e4m3", depth=0), ValueError, "Depth must be a positive integer, not 0"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_unknown_format_names_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"not 'posit8-0' \(near it: posit8_0"):
        MacExact("posit8-0")
