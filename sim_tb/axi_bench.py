"""An AXI4 master against somebody else's memory, with stalls on every channel. Runs inside a Verilog simulator (see :mod:`.axi`)."""
from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiSlave

from .simulate import STALLS, pauses

__all__ = ["bursts_arrive"]

_COUNT = int(os.environ.get("MANTISSA_MOST", "60"))
_WAIT = 100_000


class _Memory:
    """Bytes, of which the upper half of the lower half of each 8 KB can not be had."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    @staticmethod
    def bad(address: int) -> bool:
        """Whether a byte is refused."""
        return address >> 11 & 3 == 1

    def byte(self, address: int) -> int:
        """A byte: that written last, or one of its own."""
        return self.bytes.get(address, address * 167 >> 3 & 255)

    async def read(self, address: int, length: int, **more: Any) -> bytes:
        if self.bad(address):
            raise ValueError(f"{address:#x} is refused")
        return bytes(self.byte(address + n) for n in range(length))

    async def write(self, address: int, data: bytes, **more: Any) -> None:
        if self.bad(address):
            raise ValueError(f"{address:#x} is refused")
        self.bytes |= {address + n: byte for n, byte in enumerate(data)}


class _Bench:
    """Bursts written, others read meanwhile, and what was written read at the end."""

    def __init__(self, dut: Any, stall: str) -> None:
        self.dut, self.stall = dut, stall
        self.memory = _Memory()
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "axi"), dut.clk, dut.rst, target=self.memory)
        if stall != "none":
            channels = [self.slave.write_if.aw_channel, self.slave.write_if.w_channel, self.slave.write_if.b_channel,
                        self.slave.read_if.ar_channel, self.slave.read_if.r_channel]
            for n, channel in enumerate(channels):
                channel.set_pause_generator(pauses(stall, n))
        self.width = len(dut.port__write_data__payload) - 1
        self.address_bits = len(dut.axi_awaddr) - (self.width // 8).bit_length() + 1
        self.length_bits = len(dut.port__read_requests__payload) - self.address_bits
        self.words: list[int] = []
        self.done: list[int] = []

    async def send(self, port: str, raws: list[int], after: int = 0) -> None:
        valid, ready, payload = (getattr(self.dut, f"port__{port}__{part}") for part in ("valid", "ready", "payload"))
        pause = pauses(self.stall, port)
        while len(self.done) < after:
            await RisingEdge(self.dut.clk)
        for raw in raws:
            while next(pause):
                await RisingEdge(self.dut.clk)
            valid.value, payload.value = 1, raw
            taken = False
            while not taken:
                await ReadOnly()
                taken = bool(ready.value)
                await RisingEdge(self.dut.clk)
            valid.value = 0

    async def receive(self, port: str, got: list[int]) -> None:
        valid, ready, payload = (getattr(self.dut, f"port__{port}__{part}") for part in ("valid", "ready", "payload"))
        pause = pauses(self.stall, port)
        while True:
            open_ = not next(pause)
            ready.value = int(open_)
            await ReadOnly()
            if open_ and valid.value:
                got.append(int(payload.value))
            await RisingEdge(self.dut.clk)

    def burst(self, rng: random.Random, half: int) -> tuple[int, int]:
        """Address and words of a burst in one half of 16 KB; sometimes as long as can be, most often across a multiple of 256 words."""
        most = min(1 << self.length_bits, 8192 * 8 // self.width, 700)
        size = rng.choice([1, rng.randint(1, min(20, most)), rng.randint(1, most)])
        words = 8192 * 8 // self.width
        return half * words + rng.randint(0, words - size), size

    async def run(self, seed: int) -> None:
        """Everything, compared."""
        rng, dut, step = random.Random(seed), self.dut, self.width // 8
        for port in ("read_requests", "write_requests", "write_data"):
            getattr(dut, f"port__{port}__valid").value = getattr(dut, f"port__{port}__payload").value = 0
        dut.rst.value = 1
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        writes, reads = [self.burst(rng, 0) for _ in range(_COUNT)], [self.burst(rng, 1) for _ in range(_COUNT)]
        data = [[rng.getrandbits(self.width) for _ in range(size)] for _, size in writes]
        held: dict[int, int] = {}
        ends = []
        for (address, size), words in zip(writes, data, strict=True):
            # A piece is refused byte by byte: what comes before the first refusal was written.
            ends.append(int(any(_Memory.bad((address + n) * step) for n in range(size))))
            held |= {address + n: word for n, word in enumerate(words)}
        expected = []
        for address, size in reads + writes:
            failed = 0
            for n in range(size):
                where = address + n
                bad = _Memory.bad(where * step)
                failed |= bad
                own = sum(self.memory.byte(where * step + k) << 8 * k for k in range(step))
                expected.append((0 if bad else held.get(where, own), int(n == size - 1), int(failed)))
        cocotb.start_soon(self.receive("read_data", self.words))
        cocotb.start_soon(self.receive("write_done", self.done))
        request = [address | (size - 1) << self.address_bits for address, size in reads + writes]
        cocotb.start_soon(self.send("write_requests", request[_COUNT:]))
        cocotb.start_soon(self.send("write_data", [w | (n == len(words) - 1) << self.width for words in data for n, w in enumerate(words)]))
        await self.send("read_requests", request[:_COUNT])
        await self.send("read_requests", request[_COUNT:], after=_COUNT)
        for _ in range(_WAIT):
            if len(self.words) >= len(expected):
                break
            await RisingEdge(dut.clk)
        for _ in range(50):
            await RisingEdge(dut.clk)
        mask = (1 << self.width) - 1
        got = [(raw & mask, raw >> self.width & 1, raw >> (self.width + 1)) for raw in self.words]
        assert len(got) == len(expected), f"{len(got)} words were read, not {len(expected)}"
        for n, (actual, right) in enumerate(zip(got, expected, strict=True)):
            assert actual == right, f"word {n} read is {actual}, not {right}"
        assert self.done == ends, f"bursts written ended with {self.done}, not {ends}"
        assert 0 < sum(ends) < _COUNT, "bursts must be refused, and not all"


@cocotb.test()
@cocotb.parametrize(stall=STALLS)
async def bursts_arrive(dut: Any, stall: str) -> None:
    """What is read is what the memory has, what is refused is said to be, whatever the stalls."""
    await _Bench(dut, stall).run(STALLS.index(stall))
