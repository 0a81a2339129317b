"""The device's end of the link, rule by rule, in Amaranth's simulator."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from amaranth.sim import SimulatorContext, Simulator
import pytest

from mantissa.frame import Deframer, Frame, Status, Type, encode_frame
from mantissa.hw.link import COUNTERS, Link
from mantissa.registers import State

CAPABILITY = bytes(range(200, 264 - 8)) + bytes(8)
PAYLOAD, IDLE, SIZE = 16, 100, 64
NONCE = 0xc0ffee00


class Bench:
    """A host and a bus of ``SIZE`` bytes around a link."""

    def __init__(self, ctx: SimulatorContext, link: Link) -> None:
        self.ctx, self.link = ctx, link
        self.memory = bytearray(range(SIZE))
        self.requests: list[tuple[int, int, int]] = []
        self.answering = True
        self.latency = 1
        self.received = bytearray()
        self.stall = 0
        self.cycle = 0
        self.deframer = Deframer()
        self._responses: list[tuple[int, int, int]] = []

    def respond(self, address: int, write: int, data: int) -> tuple[int, int]:
        """What the bus answers: data and status."""
        self.requests.append((address, write, data))
        if address >= SIZE:
            return 0, Status.ADDRESS
        if write:
            self.memory[address] = data
        return self.memory[address], Status.OK

    async def step(self, byte: int | None = None) -> bool:
        """One clock cycle, offering ``byte`` to the link; whether it was taken."""
        ctx, link = self.ctx, self.link
        ctx.set(link.rx.valid, byte is not None)
        ctx.set(link.rx.payload, {"data": byte or 0})
        ready = self._responses and self._responses[0][0] <= self.cycle
        ctx.set(link.i_bus.valid, bool(ready))
        if ready:
            ctx.set(link.i_bus.payload, dict(zip(("data", "status"), self._responses[0][1:], strict=True)))
        ctx.set(link.o_bus.ready, self.answering)
        ctx.set(link.tx.ready, self.stall == 0)
        self.stall = max(0, self.stall - 1)
        *_, taken, tx_valid, tx_ready, tx, o_valid, o, i_ready = await ctx.tick().sample(
            link.rx.ready, link.tx.valid, link.tx.ready, link.tx.payload, link.o_bus.valid, link.o_bus.payload, link.i_bus.ready)
        if tx_valid and tx_ready:
            self.received.append(tx.data)
        if ready and i_ready:
            self._responses.pop(0)
        if o_valid and self.answering:
            self._responses.append((self.cycle + self.latency, *self.respond(o.address, o.write, o.data)))
        self.cycle += 1
        return bool(taken) and byte is not None

    async def send(self, coded: bytes) -> None:
        """Offer bytes until all are taken."""
        for byte in coded:
            for _ in range(5000):
                if await self.step(byte):
                    break
            else:
                raise AssertionError("the link takes no more bytes")

    async def run(self, cycles: int) -> list[Frame]:
        """Replies that arrive within so many cycles."""
        for _ in range(cycles):
            await self.step()
        received, self.received = bytes(self.received), bytearray()
        return list(self.deframer.feed(received))

    async def ask(self, type_: int, sequence: int, payload: bytes = b"", *, nonce: int = NONCE) -> Frame:
        """The one reply to a request."""
        await self.send(encode_frame(Frame(type=type_, nonce=nonce, sequence=sequence, payload=payload)))
        replies: list[Frame] = []
        for _ in range(60):
            replies += await self.run(10)
            if replies:
                break
        replies += await self.run(150)
        assert len(replies) == 1 and self.deframer.dropped == 0
        reply = replies[0]
        assert (reply.type, reply.nonce, reply.sequence) == (type_ | 0x80, nonce, sequence)
        return reply

    async def hello(self, nonce: int = NONCE) -> None:
        reply = await self.ask(Type.HELLO, 0, nonce=nonce)
        assert (reply.status, reply.payload) == (Status.OK, CAPABILITY)

    async def quiet(self, coded: bytes, cycles: int = 300) -> None:
        """Send what must not be answered."""
        await self.send(coded)
        assert await self.run(cycles) == []

    def counters(self) -> dict[str, int]:
        """Counters that are not 0."""
        return {name: value for name in COUNTERS if (value := self.ctx.get(getattr(self.link, name)))}


def simulate(body: Callable[[Bench], object], *, payload: int = PAYLOAD, state: int = State.IDLE) -> None:
    link = Link(capability=CAPABILITY, payload=payload, idle_cycles=IDLE)

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(link.state, state)
        await body(Bench(ctx, link))  # type: ignore[misc]

    sim = Simulator(link)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def read(address: int, length: int) -> bytes:
    return address.to_bytes(4, "little") + length.to_bytes(2, "little")


def write(address: int, data: Iterable[int]) -> bytes:
    return address.to_bytes(4, "little") + bytes(data)


def test_session_reads_and_writes() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        assert await b.ask(Type.READ, 1, read(3, 4)) == Frame(type=0x82, nonce=NONCE, sequence=1, payload=bytes([3, 4, 5, 6]))
        assert await b.ask(Type.WRITE, 2, write(8, [0, 9, 0, 7])) == Frame(type=0x83, nonce=NONCE, sequence=2)
        assert b.requests[-4:] == [(8, 1, 0), (9, 1, 9), (10, 1, 0), (11, 1, 7)]
        assert (await b.ask(Type.READ, 3, read(7, 16))).payload == bytes([7, 0, 9, 0, 7, *range(12, 23)])
        assert (await b.ask(Type.READ, 4, read(7, 0))).payload == b""
        assert (await b.ask(Type.WRITE, 5, write(7, []))).status == Status.OK
        assert b.counters() == {}
    simulate(body)


if __name__ == "__main__":
    pytest.main([__file__])
