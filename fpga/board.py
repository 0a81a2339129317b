"""Boards: each one record, read from ``boards/NAME.toml``."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
import tomllib

from ..errors import MantissaError

__all__ = ["BOARDS", "Board", "Pin", "board"]

FOLDER = Path(__file__).parent / "boards"
INPUTS = ("clk", "rx")
BOARDS = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the boards."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One pin: ball or number, electrical standard, whether a lamp lights when low, whether it is pulled up."""
    site: str
    io: str
    invert: bool = False
    pullup: bool = False


@dataclass(frozen=True, kw_only=True)
class Board:
    """What the flow needs to know of a board.

    Parameters
    ----------
    name
        As in a configuration's ``board``.
    title
        For people.
    family
        ``"ecp5"`` or ``"ice40"``.
    part
        Manufacturer's name of the FPGA.
    place
        nextpnr's options for it.
    loader
        openFPGALoader's name of the board.
    usb
        Vendor and product of its USB bridge.
    clock_hz
        Oscillator at pin ``clk``.
    grid
        Columns and rows of tiles.
    capacity
        Cells of the FPGA by nextpnr's name of the type.
    pins
        ``clk``, ``rx``, ``tx``; lamps ``alive``, ``running``, ``failed`` as far as there are any; ``high``, if one must be.
    """
    name: str
    title: str
    family: str
    part: str
    place: tuple[str, ...]
    loader: str
    usb: str
    clock_hz: int
    grid: tuple[int, int]
    capacity: Mapping[str, int]
    pins: Mapping[str, Pin]

    def constraints(self) -> tuple[str, str]:
        """Name and text of nextpnr's constraint file."""
        if self.family == "ecp5":
            lines = [f'FREQUENCY PORT "clk" {self.clock_hz / 1e6:g} MHZ;']
            for name, pin in self.pins.items():
                pull = " PULLMODE=UP" if pin.pullup else ""
                lines += [f'LOCATE COMP "{name}" SITE "{pin.site}";', f'IOBUF PORT "{name}" IO_TYPE={pin.io}{pull};']
            return "board.lpf", "\n".join(lines) + "\n"
        lines = [f"set_io {'-pullup yes ' if pin.pullup else ''}{name} {pin.site}" for name, pin in self.pins.items()]
        return "board.pcf", "\n".join([*lines, f"set_frequency clk {self.clock_hz / 1e6:g}"]) + "\n"


@cache
def board(name: str) -> Board:
    """Board called ``name``.

    Raises
    ------
    MantissaError
        If there is none.
    """
    if name not in BOARDS:
        raise MantissaError(f"Board must be one of {', '.join(BOARDS)}, not {name!r}")
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    pins = {pin: Pin(**entry) for pin, entry in table.pop("pins").items()}
    columns, rows = table.pop("grid")
    return Board(name=name, pins=pins, place=tuple(table.pop("place")), grid=(columns, rows), **table)
