"""Formats as Amaranth shapes."""
# pyright: reportArgumentType=false
# (wrong kinds are passed on purpose)
from __future__ import annotations

from amaranth.hdl import Format, Module, Shape, Signal, Value
from amaranth.lib import data
from amaranth.sim import Simulator
import numpy as np
import pytest

from mantissa.formats import BF16, E2M1, E4M3, E5M2, E8M0, INT8, POSIT8, STANDARD, UE4M3, UINT8, decode, encode, get
from mantissa.hw.number import Code


def test_shape() -> None:
    for fmt in (INT8, E4M3, BF16, get("e3m0")):
        assert Shape.cast(Code(fmt)) == Shape(fmt.width, signed=False)
    assert Code(E4M3) == Code(get("e4m3")) != Code(get("e4m3_numbers"))
    assert repr(Code(E4M3)) == "Code(e4m3)"
    signal = Signal(Code(E4M3))
    assert len(Value.cast(signal)) == 8
    assert [len(part) for part in (signal.sign, signal.exp, signal.man)] == [1, 4, 3]
    assert [Signal(Code(fmt)).number.shape().signed for fmt in (INT8, UINT8)] == [True, False]


def _run(m: Module, bench, vcd=None) -> None:
    sim = Simulator(m)
    sim.add_testbench(bench)
    if vcd is None:
        sim.run()
    else:
        with sim.write_vcd(vcd):
            sim.run()


def test_fields_of_every_code() -> None:
    m = Module()
    signal, sign, exp, man = Signal(Code(E5M2)), Signal(), Signal(5), Signal(2)
    m.d.comb += [sign.eq(signal.sign), exp.eq(signal.exp), man.eq(signal.man)]
    seen = []

    async def bench(ctx) -> None:
        for code in range(256):
            ctx.set(signal.as_value(), code)
            await ctx.delay(1e-9)
            assert ctx.get(signal) == code
            assert (ctx.get(sign), ctx.get(exp), ctx.get(man)) == (code >> 7, code >> 2 & 31, code & 3)
            seen.append(code)
    _run(m, bench)
    assert len(seen) == 256


@pytest.mark.parametrize("fmt", [E2M1, E4M3, E5M2, INT8, UINT8], ids=lambda fmt: fmt.name)
def test_simulation_sets_values_and_reads_codes(fmt) -> None:
    m = Module()
    signal, copy = Signal(Code(fmt)), Signal(Code(fmt))
    m.d.comb += copy.eq(signal)
    finite = fmt.table[np.isfinite(fmt.table)]
    seen = []

    async def bench(ctx) -> None:
        for value in finite:
            ctx.set(signal, float(value))
            await ctx.delay(1e-9)
            assert ctx.get(copy) == encode(fmt, value)
            seen.append(value)
    _run(m, bench)
    assert len(seen) == len(finite) > 0


def test_initial_value_and_assigned_number() -> None:
    m = Module()
    initial, zero, assigned = Signal(Code(E4M3), init=-448.0), Signal(Code(INT8)), Signal(Code(INT8))
    m.d.comb += assigned.eq(-128)
    number = Signal(9)
    m.d.comb += number.eq(assigned.number)

    async def bench(ctx) -> None:
        await ctx.delay(1e-9)
        assert (ctx.get(initial), ctx.get(zero), ctx.get(assigned)) == (0xfe, 0, 0x80)
        assert ctx.get(number) == 512 - 128
    _run(m, bench)


def test_waveform_shows_values(tmp_path) -> None:
    m = Module()
    signal, wide = Signal(Code(E4M3)), Signal(Code(BF16))
    layout = data.StructLayout({"a": Code(E2M1)})
    inside, copy = Signal(layout), Signal(layout)
    m.d.comb += [Signal(Code(E4M3), name="copy8").eq(signal), Signal(Code(BF16), name="copy16").eq(wide), copy.eq(inside)]

    async def bench(ctx) -> None:
        for value in (-448.0, 0.001953125, -0.0, float("nan")):
            ctx.set(signal, value)
            ctx.set(wide, value)
            ctx.set(inside.a, -1.5)
            await ctx.delay(1e-9)
    path = tmp_path / "wave.vcd"
    _run(m, bench, str(path))
    text = path.read_text(encoding="utf-8")
    for shown in ("s-448 ", "s0.001953125 ", "s-0 ", "snan ", "s-1.5 "):
        assert shown in text
    assert f"b{int(encode(BF16, -448.0)):b} " in text          # a wide format shows its code


@pytest.mark.parametrize("name", STANDARD)
def test_every_format_is_a_shape(name, tmp_path) -> None:
    """Fields of every code as the format gives them; of 8 bits at most, the value in the waveform."""
    fmt = STANDARD[name]
    m = Module()
    signal = Signal(Code(fmt))
    fields = {part: Signal(high - low, name=f"field_{part}") for part, (low, high) in fmt.fields.items()}
    m.d.comb += [field.eq(getattr(signal, part)) for part, field in fields.items()]
    codes = np.random.default_rng(0).permutation(1 << fmt.width)[:40].tolist()

    async def bench(ctx) -> None:
        assert ctx.get(signal) == 0
        for code in codes:
            ctx.set(signal.as_value(), code)
            await ctx.delay(1e-9)
            for part, (low, high) in fmt.fields.items():
                assert ctx.get(fields[part]) == code >> low & (1 << (high - low)) - 1
            value = float(fmt.table[code])
            if not np.isnan(value):
                ctx.set(signal, value)
                await ctx.delay(1e-9)
                assert decode(fmt, ctx.get(signal)) == value
    path = tmp_path / "wave.vcd"
    _run(m, bench, str(path))
    if fmt.width <= 8:
        text = path.read_text(encoding="utf-8")
        for code in codes:
            assert f"s{repr(float(fmt.table[code])).removesuffix('.0')} " in text


def test_format_specification_applies_to_the_code() -> None:
    assert isinstance(Code(E4M3).format(Signal(8), "02x"), Format)
    assert "02x" in repr(Code(E4M3).format(Signal(8), "02x"))


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: Code(8), TypeError, "Format of a code must be one of single numbers, not 8"),
    (lambda: Code(E4M3).const(1000), ValueError, "Values of e4m3 must be between -448 and 448, not 1000"),
    (lambda: Code(E4M3).const("1"), TypeError, "Value of e4m3 must be a number, not '1'"),
    (lambda: Code(INT8).const(float("nan")), ValueError, "Values of int8 must be numbers, not nan"),
    (lambda: Code(INT8)(Signal(7)), ValueError, "Value viewed as int8 must have 8 bits, not 7"),
    (lambda: Code(get("mxfp4")), TypeError, r"Format of a code must be one of single numbers, not Block\(name='mxfp4', .*\)"),
    (lambda: Code(E8M0).const(0), ValueError, "Values of e8m0 must be between 5.87747e-39 and 1.70141e\\+38, not 0"),
    (lambda: Signal(Code(UE4M3)).sign, AttributeError, "Code of ue4m3 must have a field sign, not man, exp"),
    (lambda: Signal(Code(POSIT8)).man, AttributeError, "Code of posit8_0 must have a field man, not body, sign"),
    (lambda: Signal(Code(INT8)).exp, AttributeError, "Code of int8 must have a field exp, not number"),
    (lambda: Signal(Code(E4M3)).eq(Signal(Code(E5M2))), TypeError,
     "Code of e4m3 must be assigned one of the same format, not of e5m2"),
])
def test_messages(make, kind, message) -> None:
    with pytest.raises(kind, match=f"^{message}$"):
        make()
