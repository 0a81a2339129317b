"""The device's registers and instruction for programs that are not in Python: a C header, and JSON."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import IntEnum
from typing import Any

from ..config import Config, identity
from ..instruction import BYTES
from ..program import LOOPS, TABLE, Op
from ..registers import (
    ABI,
    CAPABILITY_BYTES,
    LOG_BYTES,
    LOG_FIELDS,
    MAGIC,
    PARAM_BYTES,
    PARAM_STRIDE,
    REGISTERS,
    Code,
    Control,
    Region,
    State,
)

__all__ = ["c_header", "tables"]

ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (("REGION", Region), ("STATE", State), ("CODE", Code), ("CONTROL", Control), ("OP", Op))
NUMBERS = {"MAGIC": MAGIC, "ABI": ABI, "CAPABILITY_BYTES": CAPABILITY_BYTES, "PARAM_BYTES": PARAM_BYTES, "PARAM_STRIDE": PARAM_STRIDE,
           "LOG_BYTES": LOG_BYTES, "INSTRUCTION_BYTES": BYTES, "LOOPS": LOOPS}


def tables(config: Config) -> dict[str, Any]:
    """Everything a host needs to know, as data."""
    return {"config": asdict(config), "identity": identity(config).hex(), "constants": NUMBERS,
            "registers": [asdict(register) for register in REGISTERS],
            "instruction": [{"name": f.name, "low": f.low, "width": f.width, "signed": f.signed, "offset": f.offset} for f in TABLE],
            "log": list(LOG_FIELDS), **{name.lower(): {item.name: int(item) for item in enum} for name, enum in ENUMS}}


def c_header(config: Config) -> str:
    """C header of the register map and the instruction; a stored field is its value minus its offset."""
    lines = ["/* Register map and instruction of the mantissa accelerator. Generated: do not edit. */",
             "#ifndef MANTISSA_ACCELERATOR_H", "#define MANTISSA_ACCELERATOR_H", "", *_defines("", NUMBERS.items()), ""]
    for name, enum in ENUMS:
        lines += [*_defines(f"{name}_", ((item.name, int(item)) for item in enum)), ""]
    for register in REGISTERS:
        lines.append(f"#define MANTISSA_REG_{register.name} {register.address:#06x}u  /* {register.access}: {register.text} */")
    lines += ["", "/* bit, width, 1 if signed, and offset of each field of the instruction */"]
    for f in TABLE:
        name = f.name.upper().replace(".", "_")
        lines += _defines(f"INS_{name}_", (("BIT", f.low), ("WIDTH", f.width), ("SIGNED", int(f.signed)), ("OFFSET", f.offset)))
    lines += ["", f'#define MANTISSA_IDENTITY "{identity(config).hex()}"']
    lines += _defines("CONFIG_", ((name.upper(), int(value)) for name, value in asdict(config).items() if isinstance(value, int)))
    return "\n".join([*lines, "", "#endif", ""])


def _defines(prefix: str, items: Iterable[tuple[str, int]]) -> list[str]:
    return [f"#define MANTISSA_{prefix}{name} {f'{value:#x}u' if value > 0xffff else value}" for name, value in items]
