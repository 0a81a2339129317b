"""Catalogue entries of what is behind or before a memory's port, with their golden functions.

A port's five streams have no order between reads and writes, and a golden function knows no time: so each memory is behind
:class:`~mantissa.hw.memory_order.InOrder`.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from amaranth.hdl import Module
from amaranth.lib import wiring
import numpy as np

from ..design import Design, Streams
from . import designs_between
from .memory_onchip import OnChip
from .memory_order import InOrder
from .memory_pieces import Pieces
from .sdram import Sdram
from .sdram_strict import StrictSdram
from .sdram_timing import CLASS_7, SMALL, Timing

__all__ = ["BRIEF", "DESIGNS", "Ordered", "Strict"]

COUNT = 150
BRIEF = replace(CLASS_7, power_up=200_000, refresh=1_000_000)
"""Timing of which a short run sees everything: 20 cycles until the first command, 100 from refresh to refresh."""


class Ordered(wiring.Component):
    """A memory asked in order: :class:`InOrder` before its ``port``.

    Parameters
    ----------
    waiting
        Requests under way at most: fewer than would fit, so that the limit is met.

    Members
    -------
    i_requests, i_write_data, o_read_data, o_write_done
        As :class:`InOrder`'s.
    """

    def __init__(self, memory: wiring.Component, *, waiting: int = 3) -> None:
        self.memory = memory
        port = memory.signature.members["port"].signature
        self.order = InOrder(address_bits=port.address_bits, length_bits=port.length_bits, data_bits=port.data_bits, waiting=waiting)
        super().__init__({name: member for name, member in self.order.signature.members.items() if name != "memory"})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.order, m.submodules.memory = self.order, self.memory
        wiring.connect(m, self.order.memory, self.memory.port)
        for name, member in self.signature.members.items():
            ours, its = wiring.flipped(getattr(self, name)), getattr(self.order, name)
            wiring.connect(m, ours, its) if member.flow is wiring.In else wiring.connect(m, its, ours)
        return m


class Strict(wiring.Component):
    """The SDRAM controller with a small chip that spoils what is read if it is treated wrongly.

    Parameters
    ----------
    length_bits
        Of the port.
    chip
        Timing that the chip insists on, where it is not what the controller was built for.

    Members
    -------
    port : ``In(MemoryPort(8, length_bits, 16))``
    """

    def __init__(self, *, length_bits: int, chip: Timing | None = None) -> None:
        timing = BRIEF
        self.controller = Sdram(clock_hz=100_000_000, timing=timing, geometry=SMALL, length_bits=length_bits)
        self.chip = StrictSdram(cycles=(chip or timing).cycles(100_000_000), geometry=SMALL)
        super().__init__({"port": self.controller.signature.members["port"]})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller, m.submodules.chip = self.controller, self.chip
        wiring.connect(m, wiring.flipped(self.port), self.controller.port)
        wiring.connect(m, self.controller.pins, self.chip.pins)
        return m


def _golden(words: int, streams: Streams) -> Streams:
    """A memory of ``words``, 0 at first, where addresses wrap."""
    store = [0] * words
    written = iter(streams["i_write_data"]["data"].tolist())
    found: list[tuple[int, bool]] = []
    requests = streams["i_requests"]
    for write, address, length in zip(requests["write"], requests["address"], requests["length"], strict=True):
        for n in range(int(length) + 1):
            where = (int(address) + n) % words
            if write:
                store[where] = next(written)
            else:
                found.append((store[where], n == length))
    data, last = np.array(found, np.int64).reshape(-1, 2).T
    return {"o_read_data": {"data": data, "last": last, "error": np.zeros(len(data), np.int64)},
            "o_write_done": {"error": np.zeros(int(requests["write"].sum()), np.int64)}}


def _bursts(address_bits: int, length_bits: int, data_bits: int, rng: np.random.Generator, *, count: int = COUNT) -> Streams:
    """Everything written once, as a reset leaves what was there, then bursts of any kind, and everything read."""
    most, words = 1 << length_bits, 1 << address_bits
    whole = np.arange(0, words, most)
    ends = np.full(len(whole), most - 1)
    write = np.concatenate([np.ones(len(whole)), rng.random(count) < 0.5, np.zeros(len(whole))]).astype(np.int64)
    address = np.concatenate([whole, rng.integers(0, words, count), whole])
    length = np.concatenate([ends, rng.integers(0, most, count), ends])
    short = rng.random(len(write)) < 0.2
    short[:len(whole)] = False
    length = np.where(short, 0, length)
    lengths = length[write == 1]
    last = np.zeros(int(lengths.sum()) + len(lengths), np.int64)
    last[np.cumsum(lengths + 1) - 1] = 1
    return {"i_requests": {"write": write, "address": address, "length": length},
            "i_write_data": {"data": rng.integers(0, 1 << data_bits, len(last)), "last": last}}


def _cut(words: int, address_bits: int, streams: Streams) -> Streams:
    """Each burst, word by word, begins a piece where a multiple of ``words`` is."""
    rows: dict[str, list[int]] = {"address": [], "length": [], "last": []}
    for address, length in zip(streams["i"]["address"].tolist(), streams["i"]["length"].tolist(), strict=True):
        for n in range(length + 1):
            if n == 0 or (address + n) % words == 0:
                rows["address"].append((address + n) % (1 << address_bits))
                rows["length"].append(-1)
                rows["last"].append(0)
            rows["length"][-1] += 1
        rows["last"][-1] = 1
    return {"o": {name: np.array(values, np.int64) for name, values in rows.items()}}


def _requests(address_bits: int, length_bits: int, rng: np.random.Generator) -> Streams:
    return {"i": {"address": rng.integers(0, 1 << address_bits, 2 * COUNT), "length": rng.integers(0, 1 << length_bits, 2 * COUNT)}}


def _memory(name: str, summary: str, component: Callable[[], wiring.Component], *, address_bits: int, length_bits: int, data_bits: int,
            count: int = COUNT) -> Design:
    return Design(
        name=name, summary=summary, component=component,
        params={"address_bits": address_bits, "length_bits": length_bits, "data_bits": data_bits},
        golden=partial(_golden, 1 << address_bits),
        stimulus=partial(_bursts, address_bits, length_bits, data_bits, count=count))


def _onchip() -> wiring.Component:
    return Ordered(OnChip(address_bits=6, length_bits=3, data_bits=16), waiting=2)


def _sdram() -> wiring.Component:
    return Ordered(Strict(length_bits=5))


DESIGNS: tuple[Design, ...] = (
    Design(name="memory_pieces", summary="Bursts cut at multiples of 8 words",
           params={"address_bits": 8, "length_bits": 5, "words": 8}, component=partial(Pieces, address_bits=8, length_bits=5, words=8),
           golden=partial(_cut, 8, 8), stimulus=partial(_requests, 8, 5)),
    _memory("memory_onchip", "64 words of block RAM behind a memory's port, asked in order", _onchip, address_bits=6, length_bits=3,
            data_bits=16),
    *designs_between.DESIGNS,
    _memory("memory_sdram", "SDRAM controller with a chip of 256 words that refuses what datasheets forbid", _sdram, address_bits=8,
            length_bits=5, data_bits=16, count=60),
)
