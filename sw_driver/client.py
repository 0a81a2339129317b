"""The host's end of the link: one request at a time, until it is answered."""
from __future__ import annotations

import secrets
import struct
import time

from ..errors import DeviceError
from ..frame import REPLY, Deframer, Frame, Status, Type, encode_frame
from ..registers import REGISTERS, Capability, Control, State
from .transport import Transport

__all__ = ["Client", "register"]

RETRIES = 4
TIMEOUT = 0.25
"""Seconds a device may take to answer, beside what it was asked to wait and the time on the wire."""

WAIT_CYCLES = 1 << 22
"""Clock cycles of one WAIT: short, so that an interrupted host is soon alone with the device again."""

LEAST_PAYLOAD = 16


def register(name: str) -> int:
    """Address of a register."""
    return next(r.address for r in REGISTERS if r.name == name)


class Client:
    """A session with a device.

    Every request carries the session's nonce and the next sequence number, is sent again if no reply comes, and executed
    once however often it arrives. Whatever interrupts a request, an exception of ours or Ctrl-C, ends the session: the next
    request opens another one first, so that no late reply can be taken for its own.

    Parameters
    ----------
    transport
        Where the bytes go; closed with the client.
    retries
        Times a request is sent again before the device counts as lost.
    timeout
        Seconds a device may take to answer.

    Attributes
    ----------
    capability
        What the device said of itself, after :meth:`connect`.
    sessions
        Sessions opened so far.
    resent
        Requests sent again so far.
    """
    def __init__(self, transport: Transport, *, retries: int = RETRIES, timeout: float = TIMEOUT) -> None:
        self.transport = transport
        self.sessions = 0
        self.resent = 0
        self.capability: Capability | None = None
        self._retries = retries
        self._timeout = timeout
        self._deframer = Deframer()
        self._nonce = 0
        self._sequence = 0
        self._open = False

    def close(self) -> None:
        """End the session and let go of the device."""
        self._open = False
        self.transport.close()

    def connect(self, identity: bytes | None = None) -> Capability:
        """Open a session and stop what may be running.

        Parameters
        ----------
        identity
            What the device must be, :data:`None` for any.

        Raises
        ------
        DeviceError
            If it does not answer, speaks another version, or is another design.
        """
        self._open = False
        self.transport.write(b"\0")                       # ends a frame that may be half sent
        self.transport.drain()
        self._deframer.reset()
        self._nonce = (self._nonce + 1 + secrets.randbelow((1 << 32) - 1)) % (1 << 32)      # never the last one again
        self._sequence = 0
        reply = self._exchange(Type.HELLO, b"", TIMEOUT)
        try:
            capability = Capability.unpack(reply.payload)
        except ValueError as error:
            raise DeviceError(f"{self.transport.name} must be one of our devices: {error}") from None
        wanted = identity or (self.capability and self.capability.identity)
        if wanted and capability.identity != wanted:
            raise DeviceError(f"Device must be design {wanted.hex()}, not {capability.identity.hex()}")
        self.capability = capability
        self.sessions += 1
        self._sequence = 1
        self._open = True
        self.write(register("CONTROL"), struct.pack("<I", Control.STOP))
        return capability

    def session(self) -> int:
        """Number of the session, a new one if the last was interrupted: what was loaded in another may be gone."""
        if not self._open:
            self.connect()
        return self.sessions

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the device's memories or registers."""
        data = b""
        while len(data) < length:
            count = min(length - len(data), self._payload)
            at = address + len(data)
            part = self._request(Type.READ, struct.pack("<IH", at, count), where=at).payload
            if len(part) != count:
                raise self._broken(f"answer a read with {count} bytes, not {len(part)}")
            data += part
        return data

    def write(self, address: int, data: bytes) -> None:
        """Set bytes of the device's memories or registers."""
        for n in range(0, len(data), self._payload):
            at = address + n
            self._request(Type.WRITE, struct.pack("<I", at) + data[n:n + self._payload], where=at)

    def wait(self, cycles: int) -> int:
        """Wait until no program runs: the STATUS register.

        Raises
        ------
        DeviceError
            If one still runs after some ``cycles``.
        """
        assert self.capability is not None
        for _ in range(-(-cycles // WAIT_CYCLES)):
            extra = WAIT_CYCLES / self.capability.clock_hz
            reply = self._request(Type.WAIT, struct.pack("<I", WAIT_CYCLES), extra=extra, fine=(Status.OK, Status.TIMEOUT))
            if len(reply.payload) != 4:
                raise self._broken(f"answer a wait with 4 bytes, not {len(reply.payload)}")
            status = int.from_bytes(reply.payload, "little")
            if reply.status == Status.OK:
                return status
            if status & 0xff != State.RUNNING:
                return self.register("STATUS")
        raise DeviceError(f"Program must end within {cycles} cycles, and did not")

    def register(self, name: str) -> int:
        """Value of a register."""
        return int.from_bytes(self.read(register(name), 4), "little")

    @property
    def _payload(self) -> int:
        return self.capability.payload if self.capability else LEAST_PAYLOAD

    def _request(self, type_: Type, payload: bytes, *, where: int | None = None, extra: float = 0.0,
                 fine: tuple[Status, ...] = (Status.OK,)) -> Frame:
        """Send the session's next request; its reply."""
        self.session()
        self._open = False                                # until the reply is here
        assert self.capability is not None
        bits = 10 * (len(payload) + self._payload + 64)
        reply = self._exchange(type_, payload, self._timeout + extra + bits / self.capability.baud)
        if reply.status in (Status.SESSION, Status.GAP):
            raise self._broken("be ours alone, and it was reset or another program spoke to it")
        self._sequence = (self._sequence + 1) % 256
        self._open = True
        if reply.status not in fine:
            name = Status(reply.status).name if reply.status in Status.__members__.values() else str(reply.status)
            at = "" if where is None else f" at {where:#08x}"
            raise DeviceError(f"{self.transport.name} must do {type_.name}{at}, and refused: {name}")
        return reply

    def _exchange(self, type_: Type, payload: bytes, timeout: float) -> Frame:
        request = encode_frame(Frame(type=type_, nonce=self._nonce, sequence=self._sequence, payload=payload))
        for attempt in range(self._retries + 1):
            self.resent += attempt > 0
            self.transport.write(request)
            reply = self._reply(type_, timeout)
            if reply is not None:
                return reply
        raise self._broken(f"answer within {timeout:.2g} s, and did not {self._retries + 1} times")

    def _reply(self, type_: Type, timeout: float) -> Frame | None:
        """The reply to the last request, or nothing in time; every other frame is dropped."""
        end = time.monotonic() + 60 * max(1.0, self.transport.patience) + timeout
        while time.monotonic() < end:                     # a device that babbles is no better than a silent one
            data = self.transport.read(timeout)
            if not data:
                return None
            found = None
            for frame in self._deframer.feed(data):
                if (frame.type, frame.nonce, frame.sequence) == (type_ | REPLY, self._nonce, self._sequence):
                    found = frame
            if found is not None:
                return found
        return None

    def _broken(self, rule: str) -> DeviceError:
        return DeviceError(f"{self.transport.name} must {rule}")
