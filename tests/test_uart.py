# amaranth: UnusedElaboratable=no
"""The serial port, alone and against another of slightly different rate."""
from __future__ import annotations

from collections.abc import Awaitable, Callable

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext
import pytest

from mantissa.hw.uart import Uart, divisor_of

DIVISOR = 100
DATA = [0x00, 0xff, 0x55, 0xaa, 0x01, 0x80, 0x7f, 0xfe]


def line(byte: int, stop: int = 1) -> list[int]:
    """Levels of a byte's ten bits."""
    return [0, *(byte >> n & 1 for n in range(8)), stop]


class Bench:
    """Drives the wire of a port, collects bytes and strobes in the background."""

    def __init__(self, ctx: SimulatorContext, uart: Uart) -> None:
        self.ctx, self.uart = ctx, uart
        self.got: list[int] = []
        self.framing = self.overflow = 0
        self.ready = 1

    async def hold(self, level: int, cycles: int) -> None:
        ctx, uart = self.ctx, self.uart
        ctx.set(uart.rx, level)
        for _ in range(cycles):
            ctx.set(uart.o.ready, self.ready)
            *_, valid, payload, framing, overflow = await ctx.tick().sample(uart.o.valid, uart.o.payload, uart.framing, uart.overflow)
            if valid and self.ready:
                self.got.append(payload.data)
            self.framing += framing
            self.overflow += overflow

    async def send(self, data: list[int], bit: int = DIVISOR, stop: int = 1) -> None:
        for byte in data:
            for level in line(byte, stop):
                await self.hold(level, bit)


def simulate(body: Callable[[Bench], Awaitable[None]], divisor: int = DIVISOR) -> None:
    uart = Uart(clock_hz=divisor, baud=1, depth=16)

    async def bench(ctx: SimulatorContext) -> None:
        b = Bench(ctx, uart)
        await b.hold(1, 5)
        await body(b)

    sim = Simulator(uart)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("bit", [98, 100, 102])
def test_receives_back_to_back_at_two_percent_off(bit: int) -> None:
    async def body(b: Bench) -> None:
        await b.send(DATA, bit)
        await b.hold(1, 10)
        assert b.got == DATA and b.framing == b.overflow == 0
    simulate(body)


@pytest.mark.parametrize("divisor", [4, 5, 13])
def test_receives_at_small_divisors(divisor: int) -> None:
    async def body(b: Bench) -> None:
        await b.send(list(range(64)), divisor)
        await b.hold(1, 4 * divisor)
        assert b.got == list(range(64)) and b.framing == 0
    simulate(body, divisor)


def test_low_stop_bit_is_counted_once_and_the_next_byte_is_received() -> None:
    async def body(b: Bench) -> None:
        await b.send([0x5a], stop=0)
        await b.hold(0, 30 * DIVISOR)
        assert b.got == [] and b.framing == 1
        await b.hold(1, DIVISOR)
        await b.send([0xa5])
        await b.hold(1, 10)
        assert b.got == [0xa5] and b.framing == 1
    simulate(body)


def test_short_low_pulse_is_not_a_start() -> None:
    async def body(b: Bench) -> None:
        await b.hold(0, DIVISOR // 2 - 5)
        await b.hold(1, 11 * DIVISOR)
        assert b.got == [] and b.framing == 0
    simulate(body)


def test_bytes_that_find_the_buffer_full_are_counted() -> None:
    async def body(b: Bench) -> None:
        b.ready = 0
        await b.send(list(range(19)), 8)
        await b.hold(1, 20)
        assert b.overflow == 3 and b.framing == 0
        b.ready = 1
        await b.hold(1, 40)
        assert b.got == list(range(16))
    simulate(body, 8)


class Loop(wiring.Component):
    """Two ports, each other's partner."""

    def __init__(self, divisors: tuple[int, int]) -> None:
        self.a, self.b = (Uart(clock_hz=divisor, baud=1) for divisor in divisors)
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.a, m.submodules.b = self.a, self.b
        m.d.comb += [self.b.rx.eq(self.a.tx), self.a.rx.eq(self.b.tx)]
        return m


@pytest.mark.parametrize("divisors", [(8, 8), (50, 51), (51, 50)])
def test_two_ports_both_ways(divisors: tuple[int, int]) -> None:
    loop = Loop(divisors)
    got: dict[str, list[int]] = {"a": [], "b": []}

    async def bench(ctx: SimulatorContext) -> None:
        sent = {"a": 0, "b": 0}
        for _ in range(11 * max(divisors) * len(DATA) + 50):
            for name, port in (("a", loop.a), ("b", loop.b)):
                ctx.set(port.i.valid, sent[name] < len(DATA))
                ctx.set(port.i.payload, {"data": DATA[min(sent[name], len(DATA) - 1)]})
                ctx.set(port.o.ready, 1)
            *_, ra, va, pa, rb, vb, pb = await ctx.tick().sample(loop.a.i.ready, loop.a.o.valid, loop.a.o.payload,
                                                                loop.b.i.ready, loop.b.o.valid, loop.b.o.payload)
            sent["a"] += ra and sent["a"] < len(DATA)
            sent["b"] += rb and sent["b"] < len(DATA)
            if va:
                got["a"].append(pa.data)
            if vb:
                got["b"].append(pb.data)

    sim = Simulator(loop)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert got == {"a": DATA, "b": DATA}


@pytest.mark.parametrize(("clock", "baud", "divisor"), [
    (12_000_000, 1_000_000, 12), (25_000_000, 3_000_000, 8), (75_000_000, 115_200, 651)])
def test_divisor(clock: int, baud: int, divisor: int) -> None:
    if baud == 3_000_000:
        with pytest.raises(ValueError, match=r"^Baud rate must be within 2 % of the clock's 25000000 Hz divided by an integer, "
                                             r"not 3000000, which is 4\.2 % off$"):
            divisor_of(clock, baud)
    else:
        assert divisor_of(clock, baud) == divisor


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match=r"^Baud rate must be at most a quarter of the clock's 1000000 Hz, not 400000$"):
        Uart(clock_hz=1_000_000, baud=400_000)
    with pytest.raises(TypeError, match=r"^Baud rate must be a positive integer, not 9600\.0$"):
        Uart(clock_hz=1_000_000, baud=9600.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Clock frequency must be a positive integer, not 0$"):
        Uart(clock_hz=0, baud=9600)
    with pytest.raises(ValueError, match=r"^Receive buffer must be an integer of at least 16 bytes, not 8$"):
        Uart(clock_hz=1_000_000, baud=10_000, depth=8)
    with pytest.raises(TypeError, match=r"^Receive buffer must be an integer of at least 16 bytes, not True$"):
        Uart(clock_hz=1_000_000, baud=10_000, depth=True)
