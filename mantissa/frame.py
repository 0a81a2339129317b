"""The link's frames: constants both sides share, and the host's codec.

A frame is ``COBS(header + payload + CRC-32)`` and a zero byte. The header, little-endian: version (:data:`~.registers.ABI`),
type, status (0 in requests), session nonce (4 bytes), sequence number, length of the payload (2 bytes). The checksum is
the one of Ethernet and zlib, over header and payload.

========  =====================================  ==============================================
request   payload                                payload of the reply, when its status is OK
========  =====================================  ==============================================
HELLO     none; nonce names a new session        the capability block
READ      address (4 bytes), length (2 bytes)    the data
WRITE     address (4 bytes), data                none
WAIT      clock cycles at most (4 bytes)         STATUS (4 bytes); with TIMEOUT as well
========  =====================================  ==============================================

A reply has its request's type with bit 7 set, nonce and sequence number. Frames with a bad checksum, coding or version,
and frames longer than the buffer, are dropped without reply and counted. A HELLO whose nonce is not the session's opens a session
in which the first sequence number is 1. In a session, the next number is executed and its reply stored; the last one again
gets the stored reply and nothing is executed; any other is answered with GAP and the number expected (1 byte). A request of
another session is answered with SESSION. WAIT ends when no program runs, after its cycles, or when the host sends again.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
import struct
from zlib import crc32

from .errors import DeviceError
from .registers import ABI

__all__ = [
    "CRC_BYTES",
    "HEADER_BYTES",
    "MAX_LENGTH",
    "REPLY",
    "WRITE_OVERHEAD",
    "Deframer",
    "Frame",
    "FrameError",
    "Status",
    "Type",
    "cobs_decode",
    "cobs_encode",
    "decode_frame",
    "encode_frame",
]

HEADER = struct.Struct("<BBBIBH")

HEADER_BYTES = HEADER.size
CRC_BYTES = 4

WRITE_OVERHEAD = 4
"""Bytes of a WRITE's payload that are address: the longest payload is this much more than the data of a frame."""

MAX_LENGTH = 1024 + WRITE_OVERHEAD
"""Longest payload of any configuration."""

REPLY = 0x80
"""Bit that a reply adds to the type of its request."""


class Type(IntEnum):
    """What a request asks for."""
    HELLO = 1
    READ = 2
    WRITE = 3
    WAIT = 4


class Status(IntEnum):
    """What became of a request."""
    OK = 0
    TYPE = 1              # unknown type
    LENGTH = 2            # payload length wrong for the type, or more data than a frame carries
    ADDRESS = 3           # no such byte, or not writable
    BUSY = 4              # memories are not accessible while a program runs
    GAP = 5               # sequence number neither the next nor the last
    SESSION = 6           # nonce is not the session's
    TIMEOUT = 7           # the wait's cycles are over, or the bus did not answer


class FrameError(DeviceError):
    """Bytes that are not a frame: one sentence."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame's content. ``type`` and ``status`` may be values outside :class:`Type` and :class:`Status`."""
    type: int
    nonce: int
    sequence: int
    status: int = 0
    payload: bytes = b""


def cobs_encode(content: bytes) -> bytes:
    """Content without zero bytes: consistent overhead byte stuffing, without the delimiter."""
    blocks = bytearray()
    pieces = content.split(b"\0")
    for n, piece in enumerate(pieces):
        while len(piece) >= 254:
            blocks += b"\xff" + piece[:254]
            piece = piece[254:]
            if not piece and n == len(pieces) - 1:
                return bytes(blocks)
        blocks.append(len(piece) + 1)
        blocks += piece
    return bytes(blocks)


def cobs_decode(coded: bytes) -> bytes:
    """Content of :func:`cobs_encode`'s result.

    Raises
    ------
    FrameError
        If there is a zero byte, or the last block is cut short.
    """
    content, at = bytearray(), 0
    if 0 in coded:
        raise FrameError(f"Coded frame must not contain a zero byte, but byte {coded.index(0)} is one")
    while at < len(coded):
        code = coded[at]
        block = coded[at + 1:at + code]
        if len(block) != code - 1:
            raise FrameError(f"Block of a coded frame must have {code - 1} bytes, not {len(block)}")
        content += block
        at += code
        if code != 0xff and at < len(coded):
            content.append(0)
    return bytes(content)


def encode_frame(frame: Frame) -> bytes:
    """Bytes of a frame as sent, with the delimiter at the end.

    Raises
    ------
    ValueError
        If a field does not fit.
    """
    for name, value, most in (("type", frame.type, 255), ("status", frame.status, 255), ("nonce", frame.nonce, (1 << 32) - 1),
                              ("sequence", frame.sequence, 255), ("payload length", len(frame.payload), MAX_LENGTH)):
        if not 0 <= value <= most:
            raise ValueError(f"Frame's {name} must be between 0 and {most}, not {value}")
    content = HEADER.pack(ABI, frame.type, frame.status, frame.nonce, frame.sequence, len(frame.payload)) + frame.payload
    return cobs_encode(content + crc32(content).to_bytes(CRC_BYTES, "little")) + b"\0"


def decode_frame(coded: bytes) -> Frame:
    """Content of a frame as received, without its delimiter.

    Raises
    ------
    FrameError
        If coding, checksum, version or length is wrong.
    """
    content = cobs_decode(coded)
    if len(content) < HEADER_BYTES + CRC_BYTES:
        raise FrameError(f"Frame must have at least {HEADER_BYTES + CRC_BYTES} bytes, not {len(content)}")
    body, tail = content[:-CRC_BYTES], int.from_bytes(content[-CRC_BYTES:], "little")
    if crc32(body) != tail:
        raise FrameError(f"Frame's checksum must be {crc32(body):#010x}, not {tail:#010x}")
    version, type_, status, nonce, sequence, length = HEADER.unpack_from(body)
    if version != ABI:
        raise FrameError(f"Frame's version must be {ABI}, not {version}")
    payload = body[HEADER_BYTES:]
    if length != len(payload):
        raise FrameError(f"Frame's payload must have {length} bytes, not {len(payload)}")
    return Frame(type=type_, status=status, nonce=nonce, sequence=sequence, payload=bytes(payload))


class Deframer:
    """Frames out of a stream of bytes that arrives in pieces.

    Whatever is not a frame is dropped up to the next delimiter and counted in ``dropped``.
    """

    LONGEST = HEADER_BYTES + MAX_LENGTH + CRC_BYTES
    LONGEST += LONGEST // 254 + 1

    def __init__(self) -> None:
        self.dropped = 0
        self._partial = bytearray()
        self._skipping = False

    def feed(self, received: bytes) -> Iterator[Frame]:
        """Frames that ``received`` completes, in order. The iterator must be exhausted before the next call."""
        *complete, rest = received.split(b"\0")
        for piece in complete:
            self._append(piece)
            coded, skipping = bytes(self._partial), self._skipping
            self.reset()
            if skipping:
                self.dropped += 1
            elif coded:
                try:
                    yield decode_frame(coded)
                except FrameError:
                    self.dropped += 1
        self._append(rest)

    def reset(self) -> None:
        """Forget a frame that began."""
        self._partial.clear()
        self._skipping = False

    def _append(self, piece: bytes) -> None:
        if not self._skipping:
            self._partial += piece
            if len(self._partial) > self.LONGEST:
                self._partial.clear()
                self._skipping = True
