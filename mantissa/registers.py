"""The device's address map and registers, as data: hardware, driver and documentation read them here.

Addresses are bytes; values are little-endian. Bits 23:20 of an address select the region.
"""
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
import struct

from .config import Config
from .program import FORMATS

__all__ = ["ABI", "ACC_BITS", "CAPABILITY_BYTES", "Capability", "Code", "Control", "LOG_BYTES", "LOG_FIELDS", "MAGIC", "PARAM_BYTES",
           "PARAM_STRIDE", "REGISTERS", "Region", "Register", "State", "WIDE_ACC_BITS", "WIDE_PARAM_BYTES", "pack_param"]

MAGIC = int.from_bytes(b"mant", "little")
ABI = 1


class Region(IntEnum):
    """Bits 23:20 of an address. Within a memory, byte ``n`` of word ``w`` is at ``w * bytes + n``."""
    REGISTERS = 0
    PROGRAM = 1           # 64 bytes an instruction
    ACTIVATIONS = 2       # ``array`` bytes a word
    WEIGHTS = 3           # ``array`` bytes a word
    PARAMS = 4            # PARAM_BYTES a channel, PARAM_STRIDE apart
    LOG = 5               # LOG_BYTES an instruction, read only


class State(IntEnum):
    """Low byte of STATUS."""
    IDLE = 0
    RUNNING = 1
    DONE = 2
    FAILED = 3


class Code(IntEnum):
    """Second byte of STATUS: why the program stopped."""
    NONE = 0
    OPERATION = 1         # unknown operation
    ADDRESS = 2           # address outside its memory
    WATCHDOG = 3          # no progress
    END = 4               # ran past the last instruction
    SIZE = 5              # more positions than accumulators; a matrix of sizes the engine does not have, or that do not fit each other
    FORMAT = 6            # unknown format, one the hardware does not have, or not for halves of bytes
    MEMORY = 7            # the external memory refused, failed or did not answer


class Control(IntEnum):
    """Values written to CONTROL."""
    START = 1             # run from instruction 0
    STOP = 2              # abandon the program, back to IDLE


@dataclass(frozen=True)
class Register:
    """One 32-bit register."""
    name: str
    address: int
    access: str           # "ro", "rw"
    text: str


REGISTERS = tuple(Register(name, 4 * n, access, text) for n, (name, access, text) in enumerate([
    ("MAGIC", "ro", "\"mant\""),
    ("ABI", "ro", "version of this map, of the instruction and of the link"),
    ("IDENTITY0", "ro", "digest of the design, first four bytes"),
    ("IDENTITY1", "ro", "digest of the design, last four bytes"),
    ("CLOCK", "ro", "clock frequency, Hz"),
    ("BAUD", "ro", "serial link's rate, bits/s"),
    ("SHAPE", "ro", "array (7:0), requant_lanes (15:8), packed (16), requant is serial (17), engine is ternary (18)"),
    ("ACTIVATION_WORDS", "ro", "depth of the activation memory"),
    ("WEIGHT_WORDS", "ro", "depth of the weight memory"),
    ("PARAM_CHANNELS", "ro", "depth of the parameter memory, channels"),
    ("ACCUMULATORS", "ro", "positions one instruction can accumulate"),
    ("INSTRUCTIONS", "ro", "depth of the program memory"),
    ("PAYLOAD", "ro", "bytes of data in one link frame at most"),
    ("FORMATS", "ro", "bit n: has format n of the instruction; bit 0 is 0, as every device has int8"),
    ("RESERVED1", "ro", "0"),
    ("RESERVED2", "ro", "0"),
    ("CONTROL", "rw", "write START or STOP; reads 0"),
    ("STATUS", "ro", "state (7:0), error code (15:8), program counter (31:16)"),
    ("FAULT", "ro", "offending word: operation, address, count, or format_a (3:0), _w (7:4), _o (11:8), half_a (13:12), _o (15:14)"),
    ("CYCLES", "ro", "clock cycles of the last program, from start to halt"),
    ("LINK_CRC", "ro", "frames dropped for their checksum"),
    ("LINK_FRAMING", "ro", "frames dropped for their coding, version or length, and UART framing errors"),
    ("LINK_OVERFLOW", "ro", "frames dropped because longer than the buffer, and bytes the UART lost"),
    ("LINK_DUPLICATE", "ro", "requests answered from the stored reply"),
    ("LINK_GAP", "ro", "requests refused for their sequence number or session"),
]))

CAPABILITY_BYTES = 64
"""The registers below CONTROL: what HELLO returns."""

ACC_BITS = 32
"""Accumulators and biases: signed bits."""

WIDE_ACC_BITS = 48
"""The same where there are formats other than int8."""

PARAM_BYTES = 9
"""One channel's parameters: bias (signed 32 bits), multiplier (unsigned 32 bits), shift (6 bits)."""

WIDE_PARAM_BYTES = 11
"""The same where there are formats other than int8: 16 higher bits of the bias follow. Other devices ignore them."""

PARAM_STRIDE = 16
"""Bytes from one channel's parameters to the next in the address map."""

LOG_FIELDS = ("cycles", "steps", "wait_weights", "wait_output")
"""32-bit counters kept for each instruction: clock cycles from fetch to last write, steps issued, cycles the next step waited
for a weight tile, cycles it waited for the requantizers."""

LOG_BYTES = 4 * len(LOG_FIELDS)


def pack_param(bias: int, multiplier: int, shift: int) -> bytes:
    """One channel of the parameter memory."""
    return struct.pack("<IIBh", bias & 0xffffffff, multiplier, shift, bias >> 32)


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What a device says of itself in HELLO."""
    identity: bytes
    clock_hz: int
    baud: int
    array: int
    requant_lanes: int
    packed: bool
    serial: bool
    activation_words: int
    weight_words: int
    param_channels: int
    accumulators: int
    instructions: int
    payload: int
    formats: tuple[str, ...] = ("int8",)
    ternary: bool = False
    scale_bits: int = 16

    @classmethod
    def of(cls, config: Config, identity: bytes) -> Capability:
        """Capability a device generated from ``config`` reports."""
        return cls(identity=identity, clock_hz=config.clock_hz, baud=config.baud, array=config.array,
                   requant_lanes=config.requant_lanes, packed=config.packed, serial=config.requant == "serial",
                   activation_words=config.activation_words, weight_words=config.weight_words,
                   param_channels=config.param_channels, accumulators=config.accumulators,
                   instructions=config.instructions, payload=config.payload,
                   formats=tuple(name for name in FORMATS if name in config.formats), ternary=config.engine == "ternary",
                   scale_bits=config.scale_bits)

    def pack(self) -> bytes:
        """The identification block."""
        shape = self.array | self.requant_lanes << 8 | self.packed << 16 | self.serial << 17 | self.ternary << 18 | self.scale_bits << 19
        formats = sum(1 << n for n, name in enumerate(FORMATS) if n and name in self.formats)
        return struct.pack("<II8s10I8x", MAGIC, ABI, self.identity, self.clock_hz, self.baud, shape, self.activation_words,
                           self.weight_words, self.param_channels, self.accumulators, self.instructions, self.payload, formats)

    @classmethod
    def unpack(cls, block: bytes) -> Capability:
        """Capability of an identification block.

        Raises
        ------
        ValueError
            If it is not one of this version.
        """
        if len(block) != CAPABILITY_BYTES:
            raise ValueError(f"Identification block must be {CAPABILITY_BYTES} bytes, not {len(block)}")
        magic, abi, identity, clock, baud, shape, *rest, formats = struct.unpack("<II8s10I8x", block)
        if magic != MAGIC:
            raise ValueError(f"Identification block must start with {MAGIC:#010x}, not {magic:#010x}")
        if abi != ABI:
            raise ValueError(f"Device must speak version {ABI} of the link, not {abi}")
        names = ("activation_words", "weight_words", "param_channels", "accumulators", "instructions", "payload")
        return cls(identity=identity, clock_hz=clock, baud=baud, array=shape & 0xff, requant_lanes=shape >> 8 & 0xff,
                   packed=bool(shape >> 16 & 1), serial=bool(shape >> 17 & 1), ternary=bool(shape >> 18 & 1), scale_bits=shape >> 19 & 0x1f,
                   formats=tuple(name for n, name in enumerate(FORMATS) if n == 0 or formats >> n & 1),
                   **dict(zip(names, rest, strict=True)))
