"""The accelerator: the core behind the link."""
from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..registers import Capability, State
from .core import Core
from .core_bus import COUNTERS
from .link import Link

__all__ = ["Accelerator"]

BYTE = data.StructLayout({"data": 8})

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
    """

    def __init__(self, config: Config, identity: bytes) -> None:
        self.config = config
        self.identity = identity
        super().__init__({
            "rx": In(stream.Signature(BYTE)), "tx": Out(stream.Signature(BYTE)),
            "phy_framing": In(1), "phy_overflow": In(1), "running": Out(1), "failed": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        m.submodules.core = core = Core(config, self.identity)
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
