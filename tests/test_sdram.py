# amaranth: UnusedElaboratable=no
"""The SDRAM controller against a model of the chip that refuses what the datasheet forbids."""
from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from mantissa.fpga.sdram_pads import constraints
from mantissa.fpga.sdram_test import SdramTestTop
from mantissa.hw.designs_memory import BRIEF, Strict
from mantissa.hw.memory_test import MemoryTest
from mantissa.hw.sdram import STREAK, Sdram
from mantissa.hw.sdram_timing import AS4C16M16SA_7, CLASS_7, SMALL, W16, Geometry, Timing
from mantissa.sim_tb.memory_bench import Burst, Result, exercise
from mantissa.sim_tb.sdram_chip import Chip, Violation
from mantissa.sim_tb.simulate import STALLS

SOON = replace(CLASS_7, power_up=1_000_000)             # the controller waits as long as it is told; 200 us are simulated once
HZ = 100_000_000


def run(timing: Timing = SOON, *, chip: Timing | None = None, clock_hz: int = HZ, geometry: Geometry = W16, delay: int = 0,
        reads=(), writes=(), model: Chip | None = None, **more) -> tuple[Result, Chip]:
    unit = Sdram(clock_hz=clock_hz, timing=timing, geometry=geometry, length_bits=11, delay=delay)
    model = model or Chip(chip or timing, geometry, 10**12 // clock_hz)
    return exercise(unit, reads=reads, writes=writes, chip=model, delay=delay, start=lambda ctx: ctx.get(unit.ready), **more), model


def bursts(rng: np.random.Generator, geometry: Geometry, count: int,
           most: int) -> tuple[list[Burst], list[Burst], list[tuple[int, int, int]]]:
    """Bursts written to the lower half and read back, others read from the upper half meanwhile, and the words that must come."""
    half = 1 << (geometry.address_bits - 1)
    written: dict[int, int] = {}
    writes, reads, words = [], [], []
    fill = Chip(SOON, geometry, 1).fill
    for n in range(count):
        size, address = int(rng.integers(1, most + 1)), int(rng.integers(0, half - most))
        data = [int(word) for word in rng.integers(0, 1 << 16, size)]
        writes.append(Burst(address, size, data=data))
        written |= {address + k: word for k, word in enumerate(data)}
        size, address = int(rng.integers(1, most + 1)), half + int(rng.integers(0, half - most))
        reads.append(Burst(address, size))
        words += [(fill(address + k), int(k == size - 1), 0) for k in range(size)]
    for burst in writes:
        reads.append(Burst(burst.address, burst.words, after=count))
        words += [(written[burst.address + k], int(k == burst.words - 1), 0) for k in range(burst.words)]
    return reads, writes, words


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("clock_hz, delay", [(HZ, 0), (HZ, 3), (142_000_000, 0), (25_000_000, 1)])
def test_random_bursts(stall: str, clock_hz: int, delay: int) -> None:
    reads, writes, words = bursts(np.random.default_rng(clock_hz + delay), W16, 25, 90)
    got, chip = run(clock_hz=clock_hz, delay=delay, reads=reads, writes=writes, stall=stall)
    assert got.words == words and got.done == [0] * len(writes)
    assert chip.counts["write"] == sum(burst.words for burst in writes) and chip.counts["read"] == len(words)


@pytest.mark.parametrize("seed", range(4))
def test_few_rows(seed: int) -> None:
    """Rows of 16 words, so that every burst crosses rows and banks."""
    reads, writes, words = bursts(np.random.default_rng(seed), SMALL, 30, 60)
    got, chip = run(geometry=SMALL, reads=reads, writes=writes, stall="random", seed=seed)
    assert got.words == words and chip.counts["activate"] > 100


def test_datasheet_power_up() -> None:
    got, chip = run(CLASS_7, reads=[Burst(5, 3)])
    assert [word for word, _, _ in got.words] == [chip.fill(5 + n) for n in range(3)]
    assert chip.counts["refresh"] >= 8 and chip.now > CLASS_7.power_up


def test_one_alliance_part() -> None:
    """The class's timing holds for one of its parts."""
    reads, writes, words = bursts(np.random.default_rng(3), W16, 10, 200)
    got, _ = run(chip=replace(AS4C16M16SA_7, power_up=SOON.power_up), reads=reads, writes=writes)
    assert got.words == words


def scattered() -> list[Burst]:
    """Words of different rows of one bank and of others, so that every time matters."""
    return [Burst(row << 11 | bank << 9, 1) for row, bank in enumerate(6 * [0, 0, 0, 1, 2, 3])]


def written() -> list[Burst]:
    return [Burst(row << 11 | bank << 9, 1, data=[row]) for row, bank in enumerate(6 * [0, 0, 0, 1, 2, 3])]


@pytest.mark.parametrize("rule, asks, wrong, clock_hz", [
    ("rcd", {}, {"rcd": 10_000}, HZ), ("rp", {}, {"rp": 10_000, "rc": 1_000}, HZ),
    ("ras", {"ras": 90_000, "rc": 111_000}, {"ras": 10_000, "rc": 10_000}, HZ), ("rc", {"rc": 150_000}, {"rc": 10_000}, HZ),
    ("rrd", {"rrd": 120_000}, {"rrd": 10_000}, HZ), ("wr", {"wr": 90_000}, {"wr": 5_000}, HZ), ("rfc", {}, {"rfc": 30_000}, HZ),
    ("refresh", {}, {"refresh": 12_000_000}, HZ), ("power_up", {}, {"power_up": 500_000}, HZ),
    ("mrd", {"mrd": 8}, {"mrd": 1}, HZ), ("ck", {}, {"ck2": 7_000}, 140_000_000),
])
def test_violation(rule: str, asks: dict[str, int], wrong: dict[str, int], clock_hz: int) -> None:
    """A controller built for another chip is found out by the rule it was built to break. ``asks``: where structure alone would do."""
    chip = replace(SOON, **asks)
    kind = {"writes": written()} if rule == "wr" else {"reads": scattered() + [Burst(0, 2048)] * 4 * (rule == "refresh")}
    run(chip, clock_hz=clock_hz, **kind)
    with pytest.raises(Violation, match=f"^{rule}: "):
        run(replace(chip, **wrong), chip=chip, clock_hz=clock_hz, **kind)


def chip(cas: int = 2) -> Chip:
    """A chip, set up by hand."""
    made = Chip(SOON, W16, 10_000)
    pins = dict.fromkeys(("enable", "ras", "cas", "we", "bank", "address", "mask", "data", "drive"), 0) | {"enable": 1}
    made.pins = pins
    for _ in range(101):
        made.cycle(**pins)
    made.cycle(**pins | {"ras": 1, "we": 1, "address": 1 << 10})
    for _ in range(8):
        for _ in range(9):
            made.cycle(**pins)
        made.cycle(**pins | {"ras": 1, "cas": 1})
    for _ in range(9):
        made.cycle(**pins)
    made.cycle(**pins | {"ras": 1, "cas": 1, "we": 1, "address": cas << 4})
    return made


ACTIVATE, READ, WRITE = {"ras": 1}, {"cas": 1}, {"cas": 1, "we": 1, "drive": 1}
PRECHARGE, REFRESH, MODE, NOP = {"ras": 1, "we": 1}, {"ras": 1, "cas": 1}, {"ras": 1, "cas": 1, "we": 1, "address": 0x20}, {}


@pytest.mark.parametrize("rule, commands", [
    ("open", [ACTIVATE, *[NOP] * 9, ACTIVATE]), ("closed", [READ]), ("address", [ACTIVATE, *[NOP] * 3, {**READ, "address": 1 << 10}]),
    ("address", [{**ACTIVATE, "address": 1 << 13}]), ("open", [ACTIVATE, *[NOP] * 9, REFRESH]), ("open", [ACTIVATE, *[NOP] * 9, MODE]),
    ("bus", [ACTIVATE, *[NOP] * 3, READ, WRITE]), ("bus", [ACTIVATE, *[NOP] * 3, READ, NOP, NOP, WRITE]),
    ("bus", [ACTIVATE, *[NOP] * 3, {**WRITE, "drive": 0}]), ("bus", [ACTIVATE, *[NOP] * 3, {**READ, "mask": 1}]),
    ("command", [{"we": 1}]), ("mode", [{**MODE, "address": 0x21}]), ("refresh", [NOP] * 3000),
    ("ras_most", [ACTIVATE, *[NOP] * 20_000]), ("rp", [ACTIVATE, *[NOP] * 9, PRECHARGE, NOP, REFRESH]),
])
def test_chip_refuses(rule: str, commands: list[dict[str, int]]) -> None:
    model = chip()
    if rule == "ras_most":
        model.timing = replace(SOON, refresh=10**12)
    for _ in range(2):
        model.cycle(**model.pins)
    with pytest.raises(Violation, match=f"^{rule}: "):
        for command in commands:
            model.cycle(**model.pins | command)


def test_chip_wants_its_mode() -> None:
    model = Chip(SOON, W16, 10_000)
    pins = dict.fromkeys(("ras", "cas", "we", "bank", "address", "mask", "data", "drive"), 0) | {"enable": 1}
    for _ in range(101):
        model.cycle(**pins)
    with pytest.raises(Violation, match="^mode: activate before the mode is set$"):
        model.cycle(**pins | ACTIVATE)


def test_bandwidth() -> None:
    """A long read moves at least 95 % of what the memory can: all cycles but those of refreshes and of rows that must be opened then."""
    got, model = run(reads=[Burst(2048 * n, 2048) for n in range(4)])
    at = SOON.cycles(HZ)
    refreshes = model.refreshes
    lost = refreshes * (at.rp + at.rfc + at.rcd)
    assert got.cycles - got.first < 8192 / 0.97 and 8192 / (got.cycles - got.first - lost) >= 0.95


ASKED = [{"rcd": 50_000}, {"rp": 90_000}, {"ras": 150_000}, {"rc": 150_000}, {"rrd": 120_000}, {"wr": 90_000}, {"rfc": 150_000},
         {"power_up": 400_000}, {"mrd": 9}]


@pytest.mark.parametrize("asks", [{}, *ASKED], ids=str)
def test_strict_chip(asks: dict[str, int]) -> None:
    """The chip made of hardware finds the same out."""
    unit = Strict(length_bits=5, chip=replace(BRIEF, **asks))
    broken = [0]

    def watch(ctx) -> None:
        broken[0] = ctx.get(unit.chip.broken)
    writes = [Burst(64 * (n % 3), 20, data=list(range(n, n + 20))) for n in range(12)]
    hops = [Burst(address, 1) for address in 4 * [0, 64, 16, 128, 144, 32, 224, 192]]          # rows of one bank, and of others
    got = exercise(unit, writes=writes, reads=hops + [Burst(64 * n, 20, after=12) for n in range(3)], watch=watch)
    right = [word for n in (9, 10, 11) for word in range(n, n + 20)]
    assert broken[0] == bool(asks) and ([word for word, _, _ in got.words[len(hops):]] == right) == (not asks)


def test_neither_kind_starves() -> None:
    """While reads and writes both wait, at most eight pieces of a kind follow each other, and as many do."""
    unit, kinds = Strict(length_bits=5), []

    def watch(ctx) -> None:
        pins = unit.chip.pins
        if ctx.get(pins.enable) and ctx.get(pins.cas) and not ctx.get(pins.ras):
            kinds.append(ctx.get(pins.we))
    exercise(unit, writes=[Burst(n % 64, 1, data=[n]) for n in range(120)], reads=[Burst(128 + n % 64, 1) for n in range(120)], watch=watch)
    assert kinds.count(0) == kinds.count(1) == 120
    both = kinds[:min(max(n for n, kind in enumerate(kinds) if kind == which) for which in (0, 1))]
    runs = [len(list(run)) for _, run in groupby(both)]
    assert len(runs) > 10 and max(runs) == STREAK


@pytest.mark.parametrize("asks", [{}, {"rcd": 50_000}], ids=str)
def test_memory_test(asks: dict[str, int]) -> None:
    """What a board would say of a chip that is as it should be, and of one that is not."""
    m, strict = Module(), Strict(length_bits=4, chip=replace(BRIEF, **asks))
    m.submodules.strict, m.submodules.test = strict, test = strict, MemoryTest(address_bits=8, length_bits=4, data_bits=16)
    wiring.connect(m, test.memory, strict.port)
    said = []

    async def bench(ctx) -> None:
        for _ in range(2000):
            if ctx.get(test.done):
                break
            await ctx.tick()
        await ctx.tick().repeat(4)
        said.extend([ctx.get(test.done), ctx.get(test.failed)])
    sim = Simulator(m)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert said == [1, int(bool(asks))]


def test_pads() -> None:
    """Each of the chip's pins has its site, and its register in the pad."""
    from amaranth.back import verilog

    from mantissa.fpga.board import board
    lines = constraints().splitlines()
    sites = [line.split('SITE "')[1].split('"')[0] for line in lines if line.startswith("LOCATE")]
    assert len(sites) == len(set(sites)) == 39 and 'LOCATE COMP "sdram_clk" SITE "F19";' in lines
    top = SdramTestTop(board("ulx3s-85f"), clock_hz=HZ)
    text = verilog.convert(top, name="top", emit_src=False, ports=[getattr(top, name) for name in top.signature.members] + [
        *top.pads.ports.values()])
    assert [text.count(f"{kind} ") for kind in ("OFS1P3DX", "IFS1P3DX", "ODDRX1F", "BB")] == [22 + 2 * 16, 16, 1, 16]


@pytest.mark.parametrize("make, message", [
    (lambda: MemoryTest(address_bits=8, length_bits=8, data_bits=16),
     r"^Test of a memory must have words of at least 16 bits and bursts shorter than the memory, not MemoryPort\(8, 8, 16\)$"),
    (lambda: CLASS_7.cycles(143_000_000), r"^Clock of the memory must be at most 142857142 Hz, not 143000000$"),
    (lambda: CLASS_7.cycles(1_000_000), r"^Clock of the memory must leave 66 cycles between refreshes, not 7$"),
    (lambda: replace(CLASS_7, rcd=0), r"^Timing rcd must be a positive integer, not 0$"),
    (lambda: Sdram(clock_hz=HZ, waiting=0), r"^Waiting bursts must be an integer of at least 1, not 0$"),
    (lambda: Sdram(clock_hz=HZ, delay=-1), r"^Delay of the pins must be an integer of at least 0, not -1$"),
])
def test_wrong_amount(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
