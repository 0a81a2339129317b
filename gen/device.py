"""A configuration as Verilog: the accelerator, and what hosts need to know of it."""
from __future__ import annotations

from pathlib import Path

from amaranth.lib import wiring

from ..config import Config, identity
from ..hw.accelerator import Accelerator
from ..hw.serial import Serial
from ..hw.uart import divisor_of
from .designs import text_of
from .files import write, write_json
from .headers import c_header, tables

__all__ = ["accelerator"]


def accelerator(config: Config, folder: Path, uart: bool = False) -> Path:
    """Write the accelerator of ``config`` into ``folder``; path of the Verilog.

    The module is ``accelerator`` with byte streams ``rx`` and ``tx``, or with ``uart`` ``accelerator_uart`` with pins of these
    names. Beside it ``accelerator.h`` and ``accelerator.json`` describe registers and instruction.
    """
    component: wiring.Component = Accelerator(config, identity(config))
    name = "accelerator"
    if uart:
        component, name = Serial(component, divisor=divisor_of(config.clock_hz, config.baud)), "accelerator_uart"
    path = write(folder / f"{name}.v", text_of(component, name))
    write(folder / "accelerator.h", c_header(config))
    write_json(folder / "accelerator.json", tables(config))
    return path
