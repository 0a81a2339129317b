"""A configuration as Verilog: the accelerator, and what hosts need to know of it."""
from __future__ import annotations

from pathlib import Path

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..config import Config, identity
from ..hw.accelerator import Accelerator
from ..hw.sdram_strict import StrictSdram, words_module
from ..hw.sdram_timing import CLASS_7, W16
from ..hw.serial import Serial
from ..hw.uart import divisor_of
from .designs import text_of
from .files import write, write_json
from .headers import c_header, tables

__all__ = ["WithSdram", "accelerator"]

WORDS = "sdram_words"


class WithSdram(wiring.Component):
    """``component`` and the SDRAM it wants, which gives wrong words as soon as a rule of its datasheet is broken.

    Members
    -------
    rx, tx, phy_framing, phy_overflow, running, failed
        The component's.
    """

    def __init__(self, component: wiring.Component, clock_hz: int) -> None:
        self.component = component
        self.clock_hz = clock_hz
        super().__init__({name: member for name, member in component.signature.members.items() if name != "sdram"})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.component = component = self.component
        m.submodules.chip = chip = StrictSdram(cycles=CLASS_7.cycles(self.clock_hz), geometry=W16, words=WORDS)
        wiring.connect(m, component.sdram, chip.pins)
        for name, member in self.signature.members.items():
            inner, outer = getattr(component, name), getattr(self, name)
            if member.is_signature:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


def accelerator(config: Config, folder: Path, uart: bool = False) -> Path:
    """Write the accelerator of ``config`` into ``folder``; path of the Verilog.

    The module is ``accelerator`` with byte streams ``rx`` and ``tx``, or with ``uart`` ``accelerator_uart`` with pins of these
    names. Beside it ``accelerator.h`` and ``accelerator.json`` describe registers and instruction. A simulated configuration has its
    SDRAM in it, any other the chip's pins.
    """
    component: wiring.Component = Accelerator(config, identity(config))
    name, more = "accelerator", ""
    if config.board == "sim" and config.memory == "sdram":
        component, more = WithSdram(component, config.clock_hz), words_module(WORDS, W16)
    if uart:
        component, name = Serial(component, divisor=divisor_of(config.clock_hz, config.baud)), "accelerator_uart"
    path = write(folder / f"{name}.v", text_of(component, name) + more)
    write(folder / "accelerator.h", c_header(config))
    write_json(folder / "accelerator.json", tables(config))
    return path
