# amaranth: UnusedElaboratable=no
"""Memories behind one port: what they refuse, how fast they are, and what happens when one does not answer."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
import numpy as np
import pytest

pytest.importorskip("amaranth")

from mantissa.hw.memory_axi import AxiMaster
from mantissa.hw.memory_guard import Guard
from mantissa.hw.memory_onchip import OnChip
from mantissa.hw.memory_order import InOrder
from mantissa.hw.memory_pieces import Pieces
from mantissa.hw.memory_port import MemoryPort
from mantissa.hw.memory_wide import Wider
from mantissa.hw.sdram import Sdram
from mantissa.hw.sdram_timing import CLASS_7, W16
from mantissa.sim_tb.axi import bench_axi
from mantissa.sim_tb.memory_bench import Burst, exercise
from mantissa.sim_tb.sdram_chip import Chip

FOLDER = Path(__file__).parent.parent / "build" / "verify"


class Chain(wiring.Component):
    """A memory behind units, each with ``port`` and ``memory``; keeps the last one's pins, if there are any, in sight."""

    def __init__(self, memory: wiring.Component, *between: wiring.Component) -> None:
        self.units = [*between, memory]
        self.pins = getattr(memory, "pins", None)
        super().__init__({"port": self.units[0].signature.members["port"]})

    def elaborate(self, platform):
        m = Module()
        asks = wiring.flipped(self.port)
        for n, unit in enumerate(self.units):
            m.submodules[f"unit{n}"] = unit
            wiring.connect(m, asks, unit.port)
            asks = getattr(unit, "memory", None)
        return m


class Mute(wiring.Component):
    """A memory that takes requests and words while it likes, and then says nothing more."""

    def __init__(self, *, requests: bool, words: bool) -> None:
        self.takes = {"read_requests": requests, "write_requests": requests, "write_data": words}
        super().__init__({"port": In(MemoryPort(8, 4, 16))})

    def elaborate(self, platform):
        m = Module()
        for name, takes in self.takes.items():
            m.d.comb += getattr(self.port, name).ready.eq(takes)
        return m


def test_port() -> None:
    port = MemoryPort(24, 8, 64)
    assert port == MemoryPort(24, 8, 64) and port != MemoryPort(24, 8, 32) and repr(port) == "MemoryPort(24, 8, 64)"
    made = port.create()
    assert {name: len(getattr(made, name).payload.as_value()) for name in ("read_requests", "read_data", "write_requests", "write_data",
                                                                          "write_done")} == {
        "read_requests": 32, "read_data": 66, "write_requests": 32, "write_data": 65, "write_done": 1}


def test_onchip_every_cycle() -> None:
    """A word read and a word written a cycle, bursts back to back."""
    unit = OnChip(address_bits=8, length_bits=4, data_bits=32)
    writes = [Burst(16 * n, 16, data=[1000 * n + k for k in range(16)]) for n in range(8)]
    got = exercise(unit, reads=[Burst(128 + 16 * n, 16) for n in range(8)], writes=writes)
    assert len(got.words) == 128 and got.cycles - got.first == 127 and got.done == [0] * 8


def test_wide_words_of_sdram() -> None:
    """64-bit words, four 16-bit words each, at nine tenths of the pins' rate and more."""
    timing = replace(CLASS_7, power_up=1_000_000)
    memory, chip = Sdram(clock_hz=100_000_000, timing=timing, length_bits=10), Chip(timing, W16, 10_000)
    unit = Chain(memory, Wider(narrow=16, wide=64, address_bits=22, length_bits=8))
    rng = np.random.default_rng(0)
    data = [[int(word) for word in rng.integers(0, 1 << 63, 200)] for _ in range(4)]
    writes = [Burst(1000 + 200 * n, 200, data=words) for n, words in enumerate(data)]
    reads = [Burst(burst.address, 200, after=4) for burst in writes]
    got = exercise(unit, reads=reads, writes=writes, chip=chip, start=lambda ctx: ctx.get(memory.ready))
    assert [word for word, _, _ in got.words] == [word for words in data for word in words]
    assert 2 * 800 * 4 / got.cycles > 0.9


def ask(unit: Guard, memory: wiring.Component, **bursts):
    """What a guarded memory answers, and (failed, address) of reads and of writes at the end."""
    seen: list[tuple[int, ...]] = [()]

    def watch(ctx) -> None:
        seen[0] = tuple(ctx.get(getattr(unit, name)) for name in ("read_failed", "read_address", "write_failed", "write_address"))
    return exercise(Chain(memory, unit), watch=watch, **bursts), seen[0]


def guard(**more) -> Guard:
    return Guard(**{"address_bits": 8, "length_bits": 4, "data_bits": 16, "words": 200, "patience": 40, **more})


@pytest.mark.parametrize("stall", ["none", "random"])
@pytest.mark.parametrize("requests", [False, True])
def test_mute_memory(stall: str, requests: bool) -> None:
    """Who asks gets every word and every end, with an error, and the first address without an answer is there to read."""
    reads = [Burst(17 + 5 * n, 3 + n) for n in range(8)]
    writes = [Burst(90 + 5 * n, 1 + n, data=list(range(n + 1))) for n in range(8)]
    got, (read_failed, read_address, write_failed, write_address) = ask(
        guard(), Mute(requests=requests, words=requests), reads=reads, writes=writes, stall=stall)
    assert got.words == [(0, int(n == burst.words - 1), 1) for burst in reads for n in range(burst.words)] and got.done == [1] * 8
    assert (read_failed, read_address, write_failed, write_address) == (1, 17, 1, 90)


def test_words_not_taken() -> None:
    got, (read_failed, _, write_failed, write_address) = ask(
        guard(), Mute(requests=True, words=False), writes=[Burst(3, 16, data=[7] * 16), Burst(40, 1, data=[1])])
    assert got.done == [1, 1] and (read_failed, write_failed, write_address) == (0, 1, 3)


def test_slow_requester_is_not_the_memory() -> None:
    """Words that come late, and answers taken late, are nobody's failure but that of who asked."""
    unit = guard(patience=2 + 8)
    memory = OnChip(address_bits=8, length_bits=4, data_bits=16)
    writes = [Burst(16 * n, 16, data=list(range(16))) for n in range(4)]
    got, (read_failed, _, write_failed, _) = ask(
        unit, memory, writes=writes, reads=[Burst(16 * n, 16, after=4) for n in range(4)], stall="bursty")
    assert [word for word, _, _ in got.words] == 4 * list(range(16)) and not read_failed and not write_failed


def test_beyond_the_memory() -> None:
    got, (read_failed, _, write_failed, _) = ask(
        guard(), OnChip(address_bits=8, length_bits=4, data_bits=16), reads=[Burst(199, 1), Burst(199, 2), Burst(255, 16), Burst(184, 16)],
        writes=[Burst(255, 2, data=[1, 2])])
    assert [error for _, _, error in got.words] == [0] + [1] * 18 + [0] * 16 and got.done == [1] and not read_failed and not write_failed


@pytest.mark.parametrize("data_bits, address_bits", [(8, 14), (128, 10)])
def test_axi(data_bits: int, address_bits: int) -> None:
    """Against cocotbext-axi: bursts cut as AXI wants, refusals handed on, stalls on every channel."""
    said = bench_axi(AxiMaster(address_bits=address_bits, length_bits=10, data_bits=data_bits), folder=FOLDER, bursts=40)
    assert len(said) == 3 and not any(said.values()), said


@pytest.mark.parametrize("make, message", [
    (lambda: MemoryPort(0, 8, 16), r"^Address bits of a memory port must be an integer of at least 1, not 0$"),
    (lambda: MemoryPort(8, 0, 16), r"^Length bits of a memory port must be an integer of at least 1, not 0$"),
    (lambda: MemoryPort(8, 8, 24), r"^Data bits of a memory port must be one of 8, 16, 32, 64, 128, not 24$"),
    (lambda: OnChip(address_bits=8, length_bits=8, data_bits=1), r"^Data bits of a memory port must be one of 8, 16, 32, 64, 128, not 1$"),
    (lambda: InOrder(address_bits=8, length_bits=8, data_bits=8, waiting=0), r"^Waiting requests must be an integer of at least 1, not 0$"),
    (lambda: Pieces(address_bits=8, length_bits=8, words=12), r"^Words of a piece must be a power of two below 256, not 12$"),
    (lambda: Pieces(address_bits=4, length_bits=8, words=16), r"^Words of a piece must be a power of two below 16, not 16$"),
    (lambda: Pieces(address_bits=4, length_bits=0, words=2), r"^Length bits of pieces must be an integer of at least 1, not 0$"),
    (lambda: Pieces(address_bits=0, length_bits=1, words=2), r"^Address bits of pieces must be an integer of at least 1, not 0$"),
    (lambda: Pieces(address_bits=4, length_bits=1, words=1), r"^Words of a piece must be an integer of at least 2, not 1$"),
    (lambda: Wider(narrow=32, wide=32, address_bits=4, length_bits=4), r"^Narrow words must have fewer bits than wide ones' 32, not 32$"),
    (lambda: Wider(narrow=24, wide=32, address_bits=4, length_bits=4),
     r"^Data bits of a memory port must be one of 8, 16, 32, 64, 128, not 24$"),
    (lambda: guard(words=257), r"^Words of a memory must be at most 256, as an address has 8 bits, not 257$"),
    (lambda: guard(words=0), r"^Words of a memory must be an integer of at least 1, not 0$"),
    (lambda: guard(patience=1), r"^Patience must be an integer of at least 2, not 1$"),
    (lambda: guard(waiting=1), r"^Waiting bursts must be an integer of at least 2, not 1$"),
    (lambda: AxiMaster(address_bits=8, length_bits=8, data_bits=8, waiting=1), r"^Waiting bursts must be an integer of at least 2, not 1$"),
])
def test_wrong_amount(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
