"""Serial port: 8 data bits, no parity, 1 stop bit."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .cobs import BYTE
from .stream import Queue

__all__ = ["Uart", "divisor_of"]

TOLERANCE = 0.02
"""Deviation from the bit rate beyond which a port is refused: a byte's last bit is sampled half a bit off at 5 %."""


def divisor_of(clock_hz: int, baud: int) -> int:
    """Clock cycles per bit.

    Raises
    ------
    ValueError
        If there are fewer than 4, or their rounding moves the bit rate by 2 % or more.
    """
    for name, value in (("Clock frequency", clock_hz), ("Baud rate", baud)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a positive integer, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be a positive integer, not {value}")
    divisor = round(clock_hz / baud)
    if divisor < 4:
        raise ValueError(f"Baud rate must be at most a quarter of the clock's {clock_hz} Hz, not {baud}")
    error = abs(clock_hz / divisor / baud - 1)
    if error >= TOLERANCE:
        raise ValueError(f"Baud rate must be within 2 % of the clock's {clock_hz} Hz divided by an integer, "
                         f"not {baud}, which is {100 * error:.1f} % off")
    return divisor


class Uart(wiring.Component):
    """Bytes to and from the two wires of a serial port.

    Bits are sampled in their middle, after two flip-flops; a start bit that is over by its middle is ignored. A byte whose stop bit
    is low is dropped with a strobe on ``framing``, and the next start is awaited once the line is high. Received bytes wait in a
    buffer; one that
    finds it full is lost with a strobe on ``overflow``. Bytes are sent back to back.

    Parameters
    ----------
    clock_hz : :class:`int`
        Frequency of the clock.
    baud : :class:`int`
        Bit rate; 2 % deviation after division is too much.
    depth : :class:`int`
        Bytes the receive buffer holds, in block memory; 16 or more.

    Members
    -------
    rx : ``In(1)``
        Wire from the host, asynchronous.
    tx : ``Out(1)``
        Wire to the host.
    i : ``In(stream.Signature({"data": 8}))``
        Bytes to send.
    o : ``Out(stream.Signature({"data": 8}))``
        Bytes received.
    framing, overflow : ``Out(1)``
        Strobes, one cycle per byte lost.
    """

    def __init__(self, *, clock_hz: int, baud: int, depth: int = 64) -> None:
        self.divisor = divisor_of(clock_hz, baud)
        if not isinstance(depth, int) or isinstance(depth, bool):
            raise TypeError(f"Receive buffer must be an integer of at least 16 bytes, not {depth!r}")
        if depth < 16:
            raise ValueError(f"Receive buffer must be an integer of at least 16 bytes, not {depth}")
        self.clock_hz = clock_hz
        self.baud = baud
        self.depth = depth
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(BYTE)),
            "framing": Out(1), "overflow": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._receive(m)
        self._send(m)
        return m

    def _receive(self, m: Module) -> None:
        m.submodules.queue = queue = Queue(BYTE, depth=self.depth, memory=True)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        line, left, bits, shift = Signal(init=1), Signal(range(self.divisor)), Signal(4), Signal(8, reset_less=True)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        m.d.comb += queue.i.p.data.eq(shift)
        m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("IDLE"):
                # the line has been low for a cycle when this is left
                m.d.sync += [left.eq(self.divisor // 2 - 1), bits.eq(0)]
                with m.If(~line):
                    m.next = "START"
            with m.State("START"):
                with m.If(line):
                    m.next = "IDLE"
                with m.Elif(left == 0):
                    m.d.sync += left.eq(self.divisor - 1)
                    m.next = "DATA"
            with m.State("DATA"):
                with m.If(left == 0):
                    m.d.sync += [left.eq(self.divisor - 1), bits.eq(bits + 1)]
                    with m.If(~bits[3]):
                        m.d.sync += shift.eq(Cat(shift[1:], line))
                    with m.Else():
                        m.d.comb += [queue.i.valid.eq(line), self.framing.eq(~line), self.overflow.eq(line & ~queue.i.ready)]
                        m.next = "STOP"
            with m.State("STOP"):
                with m.If(line):
                    m.next = "IDLE"

    def _send(self, m: Module) -> None:
        left, bits, shift = Signal(range(self.divisor)), Signal(4), Signal(9, init=0x1ff)
        m.d.comb += [self.i.ready.eq(bits == 0), self.tx.eq(shift[0])]
        with m.If(self.i.ready):
            m.d.sync += left.eq(self.divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [shift.eq(Cat(0, self.i.p.data)), bits.eq(10)]
        with m.Elif(left == 0):
            m.d.sync += [left.eq(self.divisor - 1), shift.eq(Cat(shift[1:], 1)), bits.eq(bits - 1)]
        with m.Else():
            m.d.sync += left.eq(left - 1)
