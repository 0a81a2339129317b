"""The accelerator: the core behind the link."""
from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..registers import Capability, State
from .core import Core
from .core_bus import COUNTERS
from .link import Link
from .memory_guard import Guard
from .memory_onchip import OnChip
from .memory_wide import Wider
from .sdram import Sdram, SdramPins
from .sdram_timing import W16
from .ternary_core import TernaryCore

__all__ = ["Accelerator", "narrowed"]

BYTE = data.StructLayout({"data": 8})

PATIENCE = 1 << 15
"""Cycles that an external memory may owe something: longer than an SDRAM takes to start, shorter than a program's watchdog."""

PAUSE = 50
"""A frame that stops for a second divided by this is dropped: longer than the pauses of USB serial adapters."""


class Accelerator(wiring.Component):
    """An accelerator behind a byte link.

    Frames come in on ``rx`` and replies leave on ``tx``; everything else (registers, memories, programs) is
    reached through them.

    Parameters
    ----------
    config : :class:`~mantissa.config.Config`
        Sizes.
    identity : :class:`bytes`
        Eight bytes the device reports as its identity.
    delay : :class:`int`
        Cycles that registers between the pins and an SDRAM add, both ways together.

    Members
    -------
    rx : :py:`In(stream.Signature({"data": 8}))`
        Bytes from the host.
    tx : :py:`Out(stream.Signature({"data": 8}))`
        Bytes to the host.
    phy_framing, phy_overflow : :py:`In(1)`
        Strobes of the physical layer's errors, to be counted.
    running, failed : :py:`Out(1)`
        For lamps.
    sdram : :py:`Out(SdramPins(W16))`
        Pins of the chip; only where the configuration's memory is one.
    """

    def __init__(self, config: Config, identity: bytes, *, delay: int = 0) -> None:
        self.config = config
        self.delay = delay
        self.identity = identity
        super().__init__({
            "rx": In(stream.Signature(BYTE)), "tx": Out(stream.Signature(BYTE)),
            "phy_framing": In(1), "phy_overflow": In(1), "running": Out(1), "failed": Out(1),
        } | ({"sdram": Out(SdramPins(W16))} if config.memory == "sdram" else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.core = core = (TernaryCore if config.engine == "ternary" else Core)(config, self.identity)
        if config.engine == "ternary":
            self._weights(m, core)
        m.submodules.link = link = Link(capability=Capability.of(config, self.identity).pack(), payload=config.payload,
                                        idle_cycles=max(config.clock_hz // PAUSE, 4096))
        wiring.connect(m, wiring.flipped(self.rx), link.rx)
        wiring.connect(m, link.tx, wiring.flipped(self.tx))
        wiring.connect(m, link.o_bus, core.i)
        wiring.connect(m, core.o, link.i_bus)
        m.d.comb += [
            link.state.eq(core.status), link.phy_framing.eq(self.phy_framing), link.phy_overflow.eq(self.phy_overflow),
            self.running.eq(core.status[:8] == State.RUNNING), self.failed.eq(core.status[:8] == State.FAILED),
        ]
        m.d.comb += [getattr(core, name).eq(getattr(link, name)) for name in COUNTERS.values()]
        return m

    def _weights(self, m: Module, core: TernaryCore) -> None:
        """The external memory, and what answers in its place if it does not."""
        config = self.config
        m.submodules.guard = guard = Guard(**core.port, words=config.weight_words, patience=PATIENCE)
        wiring.connect(m, core.memory, guard.port)
        m.d.comb += [core.memory_failed.eq(guard.read_failed | guard.write_failed),
                     core.memory_address.eq(Mux(guard.read_failed, guard.read_address, guard.write_address))]
        inner = {**core.port, "address_bits": core.port["address_bits"] - 1}
        if config.memory == "onchip":
            m.submodules.weights = weights = OnChip(**inner)
            narrowed(m, guard.memory, weights.port)
            return
        m.submodules.wider = wider = Wider(narrow=16, wide=inner["data_bits"], address_bits=inner["address_bits"],
                                           length_bits=inner["length_bits"])
        m.submodules.sdram = sdram = Sdram(clock_hz=config.clock_hz, length_bits=wider.memory.signature.length_bits, delay=self.delay)
        narrowed(m, guard.memory, wider.port)
        wiring.connect(m, wider.memory, sdram.port)
        wiring.connect(m, sdram.pins, wiring.flipped(self.sdram))


def narrowed(m: Module, asks: wiring.PureInterface, memory: wiring.PureInterface) -> None:
    """Connect who asks to a memory whose addresses have fewer bits, which is to be asked for none beyond."""
    for name in ("write_data", "read_data", "write_done"):
        wiring.connect(m, getattr(asks, name), getattr(memory, name))
    for name in ("read_requests", "write_requests"):
        o, i = getattr(asks, name), getattr(memory, name)
        m.d.comb += [i.valid.eq(o.valid), o.ready.eq(i.ready), i.p.address.eq(o.p.address), i.p.length.eq(o.p.length)]
