"""A component with byte streams, behind a serial port."""
from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .uart import Uart

__all__ = ["Serial"]


class Serial(wiring.Component):
    """``component``'s streams ``rx`` and ``tx`` as the wires of a serial port.

    Parameters
    ----------
    component
        Has streams of bytes ``rx`` and ``tx``, and inputs ``phy_framing`` and ``phy_overflow`` for the port's errors.
    divisor : :class:`int`
        Clock cycles per bit, 4 or more.

    Members
    -------
    rx : ``In(1)``
        Wire from the host, asynchronous.
    tx : ``Out(1)``
        Wire to the host.
    """

    def __init__(self, component: wiring.Component, *, divisor: int) -> None:
        self.component = component
        self.divisor = divisor
        self.uart = Uart(clock_hz=divisor, baud=1)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.component = component = self.component
        m.submodules.uart = uart = self.uart
        wiring.connect(m, uart.o, component.rx)
        wiring.connect(m, component.tx, uart.i)
        m.d.comb += [
            uart.rx.eq(self.rx), self.tx.eq(uart.tx),
            component.phy_framing.eq(uart.framing), component.phy_overflow.eq(uart.overflow),
        ]
        return m
