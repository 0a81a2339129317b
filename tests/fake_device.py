"""A device in Python: the link's rules from :mod:`mantissa.frame`, the interpreter behind them, and a wire that can go wrong.

Written from the protocol's description alone, it shares the frame codec and the tables with the driver, and nothing else.
"""
from __future__ import annotations

from collections.abc import Iterator
import struct

import numpy as np

from mantissa.config import identity, load
from mantissa.frame import REPLY, Deframer, Frame, Status, Type, encode_frame
from mantissa.interpreter import run
from mantissa.registers import LOG_BYTES, PARAM_STRIDE, REGISTERS, Capability, Code, Control, Region, State

__all__ = ["FakeDevice"]

BYTES = {Region.PROGRAM: 64, Region.PARAMS: PARAM_STRIDE, Region.LOG: LOG_BYTES}


class FakeDevice:
    """A transport with a device at its other end.

    Parameters
    ----------
    faults
        What happens to each exchange in turn: ``lose`` (the request), ``drop``, ``double``, ``corrupt``, ``late`` (the
        reply, delivered before the next one), ``noise`` (before the reply), or anything else for nothing; nothing when it ends.
    identity_
        What it says it is.
    """
    def __init__(self, faults: Iterator[str] | None = None, identity_: bytes | None = None) -> None:
        config = load("sim")
        self.name, self.patience = "fake device", 1.0
        self.cycles: int | None = None
        self.capability = Capability.of(config, identity_ or identity(config))
        self.silent = False                               # answers nothing more
        self.starts = self.writes = self.closed = 0
        self.reads_before_interrupt: int | None = None    # then Ctrl-C
        self._faults = iter(faults or ())
        self._deframer, self._out, self._late = Deframer(), b"", b""
        self._session: int | None = None
        self._expected, self._stored = 1, b""
        self._status, self._fault, self._cycles = State.IDLE, 0, 0
        c = self.capability
        words = {Region.PROGRAM: c.instructions, Region.ACTIVATIONS: c.activation_words, Region.WEIGHTS: c.weight_words,
                 Region.PARAMS: c.param_channels, Region.LOG: c.instructions}
        self.memory = {region: bytearray(count * BYTES.get(region, c.array)) for region, count in words.items()}

    # The wire

    def write(self, data: bytes) -> None:
        self.writes += 1
        for frame in self._deframer.feed(data):
            fault = next(self._faults, "")
            if self.silent or fault == "lose":
                continue
            self._deliver(self._answer(frame), fault)

    def _deliver(self, reply: bytes, fault: str) -> None:
        held, self._late = self._late, b""
        if fault == "late":
            self._late = reply
            reply = b""
        elif fault == "drop":
            reply = b""
        elif fault == "double":
            reply = reply + reply
        elif fault == "corrupt":
            at = len(reply) // 2
            reply = reply[:at] + bytes([reply[at] ^ 0x55 or 1]) + reply[at + 1:]
        elif fault == "noise":
            reply = b"\x03\x01\x00\x00\xff" + reply[:5] + b"\0" + reply
        self._out += held + reply

    def read(self, timeout: float) -> bytes:
        if self.reads_before_interrupt is not None:
            self.reads_before_interrupt -= 1
            if self.reads_before_interrupt < 0:
                self.reads_before_interrupt = None
                raise KeyboardInterrupt
        data, self._out = self._out, b""
        return data

    def drain(self) -> None:
        self._out = b""

    def close(self) -> None:
        self.closed += 1

    # The device

    def _answer(self, frame: Frame) -> bytes:
        def reply(status: Status, payload: bytes = b"") -> bytes:
            return encode_frame(Frame(type=frame.type | REPLY, status=status, nonce=frame.nonce, sequence=frame.sequence, payload=payload))
        if frame.type == Type.HELLO:
            if frame.nonce != self._session:
                self._session, self._expected, self._stored = frame.nonce, 1, b""
            return reply(Status.OK, self.capability.pack())
        if frame.nonce != self._session:
            return reply(Status.SESSION)
        if self._stored and frame.sequence == (self._expected - 1) % 256:
            return self._stored
        if frame.sequence != self._expected:
            return reply(Status.GAP, bytes([self._expected]))
        self._expected = (self._expected + 1) % 256
        self._stored = reply(*self._execute(frame))
        return self._stored

    def _execute(self, frame: Frame) -> tuple[Status, bytes]:
        if frame.type == Type.WAIT:
            return Status.OK, self._register("STATUS")
        if frame.type == Type.READ:
            address, length = struct.unpack("<IH", frame.payload)
            return self._read(address, length)
        if frame.type == Type.WRITE:
            return self._write(int.from_bytes(frame.payload[:4], "little"), frame.payload[4:]), b""
        return Status.TYPE, b""

    def _register(self, name: str) -> bytes:
        found = {"STATUS": self._status, "FAULT": self._fault, "CYCLES": self._cycles}
        return struct.pack("<I", found.get(name, 0))

    def _read(self, address: int, length: int) -> tuple[Status, bytes]:
        region, at = address >> 20, address & 0xfffff
        if region == Region.REGISTERS:
            data = self.capability.pack() + b"".join(self._register(r.name) for r in REGISTERS[16:])
        else:
            data = bytes(self.memory.get(Region(region), b""))
        if length > self.capability.payload:
            return Status.LENGTH, b""
        return (Status.OK, data[at:at + length]) if at + length <= len(data) else (Status.ADDRESS, b"")

    def _write(self, address: int, data: bytes) -> Status:
        region, at = address >> 20, address & 0xfffff
        control = next(r.address for r in REGISTERS if r.name == "CONTROL")
        if region == Region.REGISTERS:
            if address != control:
                return Status.ADDRESS
            self._control(int.from_bytes(data, "little"))
            return Status.OK
        memory = self.memory[Region(region)]
        if region == Region.LOG or at + len(data) > len(memory):
            return Status.ADDRESS
        memory[at:at + len(data)] = data
        return Status.OK

    def _control(self, value: int) -> None:
        if value == Control.STOP:
            self._status = State.IDLE
            return
        self.starts += 1
        memory = self.memory
        done = run(self.capability, bytes(memory[Region.PROGRAM]), bytes(memory[Region.ACTIVATIONS]), bytes(memory[Region.WEIGHTS]),
                   bytes(memory[Region.PARAMS]))
        memory[Region.ACTIVATIONS][:] = np.ascontiguousarray(done.activations).tobytes()
        for pc, steps in enumerate(done.steps):
            memory[Region.LOG][pc * LOG_BYTES:(pc + 1) * LOG_BYTES] = struct.pack("<4I", steps + 2, steps, 2, 0)
        self._cycles = sum(done.steps) + 2 * len(done.steps)
        state = State.DONE if done.code == Code.NONE else State.FAILED
        self._status, self._fault = state | done.code << 8 | done.pc << 16, done.fault
