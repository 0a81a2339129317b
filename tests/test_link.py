# amaranth: UnusedElaboratable=no
"""The device's end of the link, rule by rule, in Amaranth's simulator."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from zlib import crc32

from amaranth.sim import SimulatorContext, Simulator
import pytest

from mantissa.frame import HEADER, Deframer, Frame, Status, Type, cobs_encode, encode_frame
from mantissa.hw.link import COUNTERS, Link
from mantissa.registers import ABI, State

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

    async def ask(self, type_: int, sequence: int, payload: bytes = b"", *, nonce: int = NONCE, settle: int = 150) -> Frame:
        """The one reply to a request; there is no other within ``settle`` cycles."""
        await self.send(encode_frame(Frame(type=type_, nonce=nonce, sequence=sequence, payload=payload)))
        replies: list[Frame] = []
        for _ in range(60):
            replies += await self.run(10)
            if replies:
                break
        replies += await self.run(settle)
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


def test_repeated_request_gets_the_stored_reply_and_is_not_executed() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        first = await b.ask(Type.WRITE, 1, write(5, [77]))
        b.requests.clear()
        b.memory[5] = 0
        assert await b.ask(Type.WRITE, 1, write(5, [77])) == first
        assert b.requests == [] and b.memory[5] == 0
        data = await b.ask(Type.READ, 2, read(0, 16))
        b.requests.clear()
        b.memory[:16] = bytes(16)
        for _ in range(2):
            assert await b.ask(Type.READ, 2, read(0, 16)) == data
        assert b.requests == [] and b.counters() == {"duplicates": 3}
    simulate(body)


def test_gap_and_session_are_refused_without_touching_the_stored_reply() -> None:
    async def body(b: Bench) -> None:
        assert (await b.ask(Type.READ, 1, read(0, 1), nonce=0)).status == Status.SESSION
        await b.hello()
        assert (await b.ask(Type.READ, 0, read(0, 1))).payload == b"\x01"      # nothing is stored yet
        stored = await b.ask(Type.READ, 1, read(1, 3))
        b.requests.clear()
        for sequence in (0, 3, 255):
            gap = await b.ask(Type.READ, sequence, read(0, 1))
            assert (gap.status, gap.payload) == (Status.GAP, b"\x02")
        other = await b.ask(Type.READ, 2, read(0, 1), nonce=NONCE ^ 0x80000000)
        assert (other.status, other.payload) == (Status.SESSION, b"")
        assert await b.ask(Type.READ, 1, read(1, 3)) == stored
        assert b.requests == [] and b.counters() == {"gaps": 6, "duplicates": 1}
    simulate(body)


def test_hello_again_changes_nothing_and_a_new_nonce_begins_anew() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        stored = await b.ask(Type.READ, 1, read(1, 3))
        await b.hello()
        assert await b.ask(Type.READ, 1, read(1, 3)) == stored
        assert (await b.ask(Type.READ, 2, read(2, 1))).payload == b"\2"
        await b.hello(NONCE + 1)
        assert (await b.ask(Type.READ, 3, read(2, 1))).status == Status.SESSION
        gap = await b.ask(Type.READ, 0, read(2, 1), nonce=NONCE + 1)
        assert (gap.status, gap.payload) == (Status.GAP, b"\1")
        assert (await b.ask(Type.READ, 1, read(2, 1), nonce=NONCE + 1)).payload == b"\2"
        assert (await b.ask(Type.HELLO, 0, b"?", nonce=NONCE + 2)).status == Status.LENGTH
        assert (await b.ask(Type.READ, 2, read(3, 1), nonce=NONCE + 1)).payload == b"\3"
    simulate(body)


def test_sequence_numbers_wrap() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        for n in range(1, 258):
            for _ in range(1 + (n in (255, 256, 257))):
                assert (await b.ask(Type.WRITE, n % 256, write(0, []), settle=0)).status == Status.OK
        assert b.counters() == {"duplicates": 3}
    simulate(body)


@pytest.mark.parametrize(("type_", "payload", "status"), [
    (5, b"", Status.TYPE), (0x83, b"", Status.TYPE), (Type.READ, read(0, 1)[:5], Status.LENGTH), (Type.READ, read(0, 17), Status.LENGTH),
    (Type.READ, read(0, 0x8001), Status.LENGTH), (Type.READ, read(0, 1) + b"?", Status.LENGTH), (Type.WRITE, b"", Status.LENGTH),
    (Type.WRITE, b"123", Status.LENGTH), (Type.WAIT, b"12345", Status.LENGTH), (Type.READ, read(SIZE, 1), Status.ADDRESS),
    (Type.READ, read(SIZE - 1, 2), Status.ADDRESS), (Type.READ, read(1 << 24, 1), Status.ADDRESS),
    (Type.WRITE, write(1 << 31, [1]), Status.ADDRESS), (Type.WRITE, write(SIZE - 2, range(9)), Status.ADDRESS)])
def test_refused_request_counts_as_executed(type_: int, payload: bytes, status: Status) -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        reply = await b.ask(type_, 1, payload)
        assert (reply.status, reply.payload) == (status, b"")
        assert await b.ask(type_, 1, payload) == reply
        assert (await b.ask(Type.READ, 2, read(9, 2))).payload == bytes([9, 10])
        assert b.memory[:SIZE - 2] == bytes(range(SIZE - 2))
    simulate(body)


def test_busy_bus_stops_a_transfer_at_once() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        b.respond = lambda address, write, data: b.requests.append((address, write, data)) or (0, Status.BUSY)  # type: ignore[method-assign]
        assert (await b.ask(Type.WRITE, 1, write(0, range(16)))).status == Status.BUSY
        assert 1 <= len(b.requests) <= 4
        assert (await b.ask(Type.READ, 2, read(0, 16))).status == Status.BUSY
    simulate(body)


def corrupted() -> list[tuple[str, bytes, str]]:
    """What is wrong, the bytes, and the counter that tells."""
    good = encode_frame(Frame(type=Type.WRITE, nonce=NONCE, sequence=1, payload=write(0, [1, 2, 3])))
    content = HEADER.pack(ABI + 1, Type.WRITE, 0, NONCE, 1, 5) + write(0, [1])
    foreign = cobs_encode(content + crc32(content).to_bytes(4, "little")) + b"\0"
    short = HEADER.pack(ABI, Type.WRITE, 0, NONCE, 1, 6) + write(0, [1])
    short = cobs_encode(short + crc32(short).to_bytes(4, "little")) + b"\0"
    return [
        ("flipped", good[:-6] + bytes([good[-6] ^ 0x10]) + good[-5:], "crc_errors"), ("truncated", good[:-4] + b"\0", "framing_errors"),
        ("header only", good[:5] + b"\0", "framing_errors"),
        ("extended", encode_frame(Frame(type=3, nonce=1, sequence=1))[:-1] + b"x\0", "framing_errors"),
        ("other version", foreign, "framing_errors"), ("length", short, "framing_errors"), ("empty block", b"\1\0", "framing_errors"),
        ("noise", bytes([7, 1, 3, 9, 0]), "framing_errors"),
        ("too long", encode_frame(Frame(type=3, nonce=NONCE, sequence=1, payload=write(0, range(17)))), "overflows"),
        ("far too long", encode_frame(Frame(type=3, nonce=NONCE, sequence=1, payload=bytes(1000))), "overflows"),
    ]


@pytest.mark.parametrize(("coded", "counter"), [c[1:] for c in corrupted()], ids=[c[0] for c in corrupted()])
def test_what_is_no_frame_is_dropped_and_counted(coded: bytes, counter: str) -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        await b.quiet(coded)
        assert b.counters() == {counter: 1} and b.requests == []
        assert (await b.ask(Type.READ, 1, read(4, 2))).payload == b"\4\5"
    simulate(body)


def test_partial_frame_is_dropped_when_the_line_is_idle() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        good = encode_frame(Frame(type=Type.READ, nonce=NONCE, sequence=1, payload=read(4, 2)))
        await b.send(good[:9])
        await b.run(IDLE - 5)
        assert b.counters() == {}
        await b.run(10)
        assert b.counters() == {"framing_errors": 1}
        assert (await b.ask(Type.READ, 1, read(4, 2))).payload == b"\4\5"
        await b.quiet(bytes(20))
        assert b.counters() == {"framing_errors": 1}
    simulate(body)


def test_wait_ends_with_the_program() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        b.ctx.set(b.link.state, State.RUNNING | 0x1234 << 16)
        await b.quiet(encode_frame(Frame(type=Type.WAIT, nonce=NONCE, sequence=1, payload=(1000).to_bytes(4, "little"))), 500)
        b.ctx.set(b.link.state, 0x56780000 | 0x300 | State.FAILED)
        [reply] = await b.run(100)
        assert reply == Frame(type=0x84, nonce=NONCE, sequence=1, payload=bytes([State.FAILED, 3, 0x78, 0x56]))
    simulate(body)


def test_wait_ends_with_its_limit_or_the_next_frame() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        for sequence, limit in enumerate((0, 300), 1):
            start = b.cycle
            await b.send(encode_frame(Frame(type=Type.WAIT, nonce=NONCE, sequence=sequence, payload=limit.to_bytes(4, "little"))))
            replies: list[Frame] = []
            while not replies:
                replies = await b.run(1)
            assert (replies[0].status, replies[0].payload) == (Status.TIMEOUT, bytes([State.RUNNING, 0, 7, 0]))
            assert limit < b.cycle - start < limit + 100
        await b.send(encode_frame(Frame(type=Type.WAIT, nonce=NONCE, sequence=3, payload=b"\xff\xff\xff\xff")))
        await b.run(200)
        await b.send(encode_frame(Frame(type=Type.READ, nonce=NONCE, sequence=4, payload=read(1, 1))))
        waited, data = await b.run(200)
        assert (waited.sequence, waited.status, data.payload) == (3, Status.TIMEOUT, b"\1")
    simulate(body, state=State.RUNNING | 7 << 16)


def test_silent_bus_times_out_until_it_has_answered() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        b.answering = False
        for sequence in (1, 2):
            assert (await b.ask(Type.WRITE, sequence, write(9, [5, 6]))).status == Status.TIMEOUT
        await b.hello()
        assert b.requests == []
        b.answering = True
        await b.run(10)
        assert b.requests == [(9, 1, 5)]
        assert (await b.ask(Type.READ, 3, read(9, 2))).payload == bytes([5, 10])
    simulate(body)


def test_late_responses_are_not_taken_for_others() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        b.latency = 700
        assert (await b.ask(Type.READ, 1, read(9, 3))).status == Status.TIMEOUT
        assert (await b.ask(Type.READ, 2, read(20, 3))).status == Status.TIMEOUT
        b.latency = 1
        await b.run(800)
        assert (await b.ask(Type.READ, 3, read(30, 3))).payload == bytes([30, 31, 32])
    simulate(body)


def test_stalled_host_delays_and_loses_nothing() -> None:
    async def body(b: Bench) -> None:
        await b.hello()
        b.stall = 5 * IDLE
        first = encode_frame(Frame(type=Type.READ, nonce=NONCE, sequence=1, payload=read(0, 16)))
        await b.send(first + first)
        replies = await b.run(300)
        assert len(replies) == 2 and replies[0] == replies[1] and replies[0].payload == bytes(range(16))
    simulate(body)


def test_physical_errors_are_counted() -> None:
    async def body(b: Bench) -> None:
        b.ctx.set(b.link.phy_framing, 1)
        await b.step()
        b.ctx.set(b.link.phy_overflow, 1)
        await b.step()
        b.ctx.set(b.link.phy_framing, 0)
        await b.step()
        b.ctx.set(b.link.phy_overflow, 0)
        await b.step()
        assert b.counters() == {"framing_errors": 2, "overflows": 2}
    simulate(body)


@pytest.mark.parametrize("payload", [256, 1024])
def test_full_frames_take_two_cycles_a_byte(payload: int) -> None:
    async def body(b: Bench) -> None:
        b.memory = bytearray(n % 251 + 1 for n in range(SIZE))
        b.respond = lambda address, write, data: (address % 255 + 1, 0)  # type: ignore[method-assign]
        await b.hello()
        for sequence, (type_, request) in enumerate([(Type.WRITE, write(0, [7] * payload)), (Type.READ, read(0, payload))], 1):
            start = b.cycle
            await b.send(encode_frame(Frame(type=type_, nonce=NONCE, sequence=sequence, payload=request)))
            while not (replies := await b.run(1)):
                assert b.cycle < start + 3 * payload + 200
            assert b.cycle - start < 2.2 * payload + 120
            assert replies[0].payload == (b"" if type_ == Type.WRITE else bytes(n % 255 + 1 for n in range(payload)))
    simulate(body, payload=payload)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"capability": bytes(63)}, ValueError, "Capability block must be 64 bytes, not 63"),
    ({"capability": "x"}, TypeError, "Capability block must be bytes, not 'x'"),
    ({"payload": 100}, ValueError, "Payload must be a power of two from 16 to 1024, not 100"),
    ({"payload": 2.0}, TypeError, r"Payload must be a power of two from 16 to 1024, not 2\.0"),
    ({"idle_cycles": 3}, ValueError, "Idle cycles must be an integer of at least 16, not 3"),
    ({"counter_bits": 33}, ValueError, "Counter bits must be an integer from 1 to 32, not 33"),
])
def test_bad_parameters(change: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        Link(**{"capability": CAPABILITY, "payload": 16, "idle_cycles": 100, **change})  # type: ignore[arg-type]
