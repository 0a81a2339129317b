"""The top of a board: clock, reset, serial port, lamps, and the device between."""
from __future__ import annotations

from amaranth.hdl import ClockDomain, Instance, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..hw.serial import Serial
from ..hw.uart import divisor_of
from .board import INPUTS, Board
from .pll import Ecp5Pll, Ice40Pll, pll_for
from .sdram_pads import SdramPads, constraints

__all__ = ["Top", "start_clock"]

RESET_SECONDS = 20e-6
"""How long the device waits after configuration: block RAM of iCE40 reads wrong for the first 3 us or so."""


class Top(wiring.Component):
    """A device on a board.

    The device runs from the board's oscillator, or from a PLL where the clock is to be another, and begins 20 us after the
    clock is good. Until then ECP5 keeps its clock still, as the registers are configured to their initial values and a reset
    that reaches across the whole chip in one cycle limits the frequency; iCE40, which can not, resets it.

    Parameters
    ----------
    board : :class:`~mantissa.fpga.board.Board`
        Where the pins are.
    clock_hz, baud : :class:`int`
        Clock of the device, rate of the serial port.
    device : :class:`Component`
        Has the ports of :class:`~mantissa.hw.accelerator.Accelerator`; an SDRAM's get pads.

    Members
    -------
    clk, rx : ``In(1)``
        Oscillator, and wire from the host.
    tx, alive, running, failed, high : ``Out(1)``
        Those the board has: wire to the host; lamps (alive blinks about once a second); a pin that stays high.
    """

    def __init__(self, board: Board, *, clock_hz: int, baud: int, device: wiring.Component) -> None:
        self.board = board
        self.clock_hz = clock_hz
        self.device = device
        self.divisor = divisor_of(clock_hz, baud)
        self.pll = None if clock_hz == board.clock_hz else pll_for(board.family, board.clock_hz, clock_hz)
        self.pads = SdramPads() if "sdram" in device.signature.members else None
        super().__init__({name: In(1) if name in INPUTS else Out(1) for name in board.pins})

    def constraints(self) -> tuple[str, str]:
        """Name and text of nextpnr's constraint file."""
        name, text = self.board.constraints()
        return name, text + (constraints() if self.pads is not None else "")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        start_clock(m, board=self.board, pll=self.pll, pin=self.clk, clock_hz=self.clock_hz)
        m.submodules.serial = serial = Serial(self.device, divisor=self.divisor)
        if self.pads is not None:
            m.submodules.pads = self.pads
            wiring.connect(m, self.device.sdram, self.pads.pins)
        m.d.comb += [serial.rx.eq(self.rx), self.tx.eq(serial.tx)]
        beat = Signal(range(self.clock_hz))
        m.d.sync += beat.eq(beat + 1)
        lamps = {"alive": beat[-1], "running": self.device.running, "failed": self.device.failed, "high": 1}
        for name, value in lamps.items():
            if name in self.board.pins:
                m.d.comb += getattr(self, name).eq(~value if self.board.pins[name].invert else value)
        return m


def start_clock(m: Module, *, board: Board, pll: Ecp5Pll | Ice40Pll | None, pin: Value, clock_hz: int) -> None:
    """Domain ``sync``, and ``boot``: the same clock from the beginning on, that counts until ``sync`` may start."""
    gated = board.family == "ecp5"
    m.domains.sync = sync = ClockDomain(local=True, reset_less=gated)
    m.domains.boot = boot = ClockDomain(local=True, reset_less=True)
    clock, locked, good = Signal(), Signal(), Signal()
    if pll is None:
        m.d.comb += [clock.eq(pin), locked.eq(1)]
    else:
        m.submodules.pll = pll.instance(pin, clock, locked)
    m.d.comb += boot.clk.eq(clock)
    m.submodules.good = FFSynchronizer(locked, good, o_domain="boot")
    left = Signal(range(int(RESET_SECONDS * clock_hz) + 1), init=int(RESET_SECONDS * clock_hz))
    reset = Signal(init=1)
    m.d.boot += reset.eq(left != 0)
    if gated:
        m.submodules.gate = Instance("DCCA", i_CLKI=clock, i_CE=~reset, o_CLKO=sync.clk)
    else:
        m.d.comb += [sync.clk.eq(clock), sync.rst.eq(reset)]
    with m.If(~good):
        m.d.boot += left.eq(left.init)
    with m.Elif(left != 0):
        m.d.boot += left.eq(left - 1)
