"""A top that tests the SDRAM of a board."""
from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..hw.memory_test import MemoryTest
from ..hw.sdram import Sdram
from ..hw.sdram_timing import CLASS_7, Timing
from .board import Board
from .pll import pll_for
from .sdram_pads import DELAY, SdramPads
from .top import start_clock

__all__ = ["SdramTestTop"]


class SdramTestTop(wiring.Component):
    """The whole SDRAM written and read once, on a ULX3S: a lamp lights when it is through, another if a word was wrong.

    Parameters
    ----------
    board
        The ULX3S.
    clock_hz
        Of controller and chip, from the board's PLL.

    Members
    -------
    clk : ``In(1)``
    alive, running, failed, high : ``Out(1)``
        Set up; through; a word was wrong; a pin that stays high.
    """

    def __init__(self, board: Board, *, clock_hz: int, timing: Timing = CLASS_7) -> None:
        self.board = board
        self.clock_hz = clock_hz
        self.memory = Sdram(clock_hz=clock_hz, timing=timing, length_bits=8, delay=DELAY)
        self.pads = SdramPads()
        self.pll = pll_for(board.family, board.clock_hz, clock_hz)
        super().__init__({"clk": In(1), **{name: wiring.Out(1) for name in ("alive", "running", "failed", "high")}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start_clock(m, board=self.board, pll=self.pll, pin=self.clk, clock_hz=self.clock_hz)
        m.submodules.memory, m.submodules.pads = memory, pads = self.memory, self.pads
        m.submodules.test = test = MemoryTest(address_bits=memory.geometry.address_bits, length_bits=8, data_bits=16)
        wiring.connect(m, test.memory, memory.port)
        wiring.connect(m, memory.pins, pads.pins)
        m.d.comb += [self.alive.eq(memory.ready), self.running.eq(test.done), self.failed.eq(test.failed), self.high.eq(1)]
        return m
