"""FPGA families: each one record that says how its designs are synthesised, counted, wrapped for timing and placed."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import ceil
from typing import Any

from ..errors import MantissaError
from .dsp import absorb, align
from .netlist import Primitive, mend, open_carry

__all__ = ["COLUMNS", "ECP5", "FAMILIES", "GOWIN", "ICE40", "NEXUS", "Device", "Family", "family"]

COLUMNS = ("lut", "carry", "lutram", "ff", "dsp", "bram", "spram")
"""What is counted."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that designs are timed on.

    Parameters
    ----------
    part
        Name of the FPGA.
    options
        nextpnr's for it, and what else timing without a board needs.
    takes
        What a design may have at most, by column; others go to the next device.
    """
    part: str
    options: tuple[str, ...]
    takes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Family:
    """How figures of a family are made.

    Parameters
    ----------
    name, title
        In commands, and for people.
    synthesis, dsp, no_dsp
        Yosys' command, and what it gets if multipliers may and if they may not go to DSPs.
    counts
        Column -> kind of cell -> how many it counts for; ``*`` stands for any end of a kind's name. DSPs are 18-bit multipliers (16-bit on
        iCE40), rounded up.
    luteq
        Column -> how many look-up tables one is.
    mends
        What is done to a netlist before placement, in order.
    flip_flop, lut, pads
        Cells of the timing harness: a register without reset and enable, a table of four inputs, buffers of an input and an output pin
        where nextpnr wants them.
    devices
        Small ones first.
    target_mhz
        Frequency asked of the placer: above what most designs reach, so that it does not rest.
    files
        Constraint files of the harness by name.
    mended
        The mends, and what else to know of a frequency, for the recipe.
    """
    name: str
    title: str
    synthesis: str
    dsp: str = ""
    no_dsp: str = ""
    counts: Mapping[str, Mapping[str, float]]
    luteq: Mapping[str, int]
    mends: tuple[Callable[[dict[str, Any]], int], ...] = ()
    flip_flop: Primitive
    lut: Primitive
    pads: tuple[Primitive, Primitive] | None = None
    devices: tuple[Device, ...]
    target_mhz: int = 250
    files: Mapping[str, str] = field(default_factory=dict)
    mended: str = ""

    def count(self, cells: Counter[str]) -> dict[str, int]:
        """Columns of a netlist's cells, with ``luteq``."""
        counted = {column: ceil(sum(n * weight for kind, n in cells.items() for pattern, weight in self.counts.get(column, {}).items()
                                    if fnmatchcase(kind, pattern))) for column in COLUMNS}
        return {**counted, "luteq": sum(counted[column] * weight for column, weight in self.luteq.items())}

    def device(self, counts: Mapping[str, int]) -> Device:
        """The first device that takes a design, or the last."""
        return next((device for device in self.devices if all(counts[name] <= most for name, most in device.takes.items())),
                    self.devices[-1])

    @property
    def luteq_text(self) -> str:
        """What is added up to LUT-eq."""
        kinds = {column: " or ".join(dict.fromkeys(kind.removesuffix("*") for kind in self.counts[column])) for column in self.luteq}
        return " + ".join(f"{weight} {kinds[column]}" if weight > 1 else kinds[column] for column, weight in self.luteq.items())


def _table(bits: int) -> str:
    return "".join(str(n.bit_count() & 1) for n in reversed(range(bits)))


ECP5 = Family(
    name="ecp5", title="ECP5", synthesis="synth_ecp5 -nowidelut", no_dsp="-nodsp",
    counts={"lut": {"LUT4": 1}, "carry": {"CCU2C": 1}, "lutram": {"TRELLIS_DPR16X4": 1}, "ff": {"TRELLIS_FF": 1},
            "dsp": {"MULT18X18D": 1}, "bram": {"DP16KD": 1, "PDPW16KD": 1}},
    luteq={"lut": 1, "carry": 2, "lutram": 4}, mends=(mend, align, absorb),
    # "1 " is the string 1: digits alone would be a number
    flip_flop=Primitive(kind="TRELLIS_FF", inputs=("DI",), output="Q", clock="CLK",
                        parameters={"GSR": "DISABLED", "CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}),
    lut=Primitive(kind="LUT4", inputs=("A", "B", "C", "D"), output="Z", parameters={"INIT": _table(16)}),
    devices=(Device(part="LFE5U-25F", options=("--25k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
                    takes={"luteq": 12_000, "dsp": 28, "bram": 56}),
             Device(part="LFE5U-85F", options=("--85k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"))),
    mended="Registers beside multipliers are moved into them, unread carry outputs cut. Paths inside a DSP are not timed.")

ICE40 = Family(
    name="ice40", title="iCE40", synthesis="synth_ice40 -device u -spram", dsp="-dsp",
    counts={"lut": {"SB_LUT4": 1}, "carry": {"SB_CARRY": 1}, "ff": {"SB_DFF*": 1}, "dsp": {"SB_MAC16": 1}, "bram": {"SB_RAM40_4K*": 1},
            "spram": {"SB_SPRAM256KA": 1}},
    luteq={"lut": 1},                                          # a carry shares its table's cell
    flip_flop=Primitive(kind="SB_DFF", inputs=("D",), output="Q", clock="C"),
    lut=Primitive(kind="SB_LUT4", inputs=("I0", "I1", "I2", "I3"), output="O", parameters={"LUT_INIT": _table(16)}),
    devices=(Device(part="iCE40UP5K", options=("--up5k", "--package", "sg48", "--pcf-allow-unconstrained")),),
    mended="Paths inside a DSP are not timed.")

GOWIN = Family(
    name="gowin", title="Gowin", synthesis="synth_gowin -family gw2a -nowidelut -noiopads", no_dsp="-nodsp",
    counts={"lut": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1}, "carry": {"ALU": 1}, "lutram": {"RAM16S*": 1}, "ff": {"DFF*": 1},
            "dsp": {"MULT9X9": 0.5, "MULT18X18": 1, "MULT36X36": 4, "MULTADDALU18X18": 2, "MULTALU18X18": 1, "MULTALU36X18": 2},
            "bram": {"SP": 1, "SPX9": 1, "SDP*": 1, "DP": 1, "DPB": 1, "DPX9*": 1, "pROM*": 1}},
    luteq={"lut": 1, "carry": 1, "lutram": 4},
    flip_flop=Primitive(kind="DFF", inputs=("D",), output="Q", clock="CLK"),
    lut=Primitive(kind="LUT4", inputs=("I0", "I1", "I2", "I3"), output="F", parameters={"INIT": _table(16)}),
    pads=(Primitive(kind="IBUF", inputs=("I",), output="O"), Primitive(kind="OBUF", inputs=("I",), output="O")),
    devices=(Device(part="GW2A-18", options=("--device", "GW2A-LV18PG256C8/I7", "--vopt", "family=GW2A-18", "--vopt", "cst=pins.cst")),),
    target_mhz=500,
    files={"pins.cst": 'IO_LOC "clk" H11;\nIO_LOC "in" T10;\nIO_LOC "out" M11;\n'})

NEXUS = Family(
    name="nexus", title="Nexus", synthesis="synth_nexus -nowidelut -noiopad", no_dsp="-nodsp",
    counts={"lut": {"LUT4": 1, "INV": 1}, "carry": {"CCU2": 1}, "lutram": {"DPR16X4": 1}, "ff": {"FD1P3*": 1},
            "dsp": {"MULT9X9": 0.5, "MULT18X18": 1, "MULT18X36": 2, "MULT36X36": 4, "MULTPREADD9X9": 0.5, "MULTPREADD18X18": 1},
            "bram": {"DP16K": 1, "PDP16K": 1, "PDPSC16K": 1, "SP16K": 1}, "spram": {"*SC512K": 1, "*DP512K": 1, "SP512K": 1}},
    luteq={"lut": 1, "carry": 2, "lutram": 4}, mends=(open_carry,),
    flip_flop=Primitive(kind="FD1P3IX", inputs=("D",), output="Q", clock="CK", parameters={"GSR": "DISABLED"}),
    lut=Primitive(kind="LUT4", inputs=("A", "B", "C", "D"), output="Z", idle="", parameters={"INIT": f"0x{int(_table(16), 2):04x}"}),
    pads=(Primitive(kind="IB", inputs=("I",), output="O"), Primitive(kind="OB", inputs=("I",), output="O")),
    devices=(Device(part="LIFCL-40", options=("--device", "LIFCL-40-9BG400C", "--router", "router1", "--pdc", "pins.pdc")),),
    files={"pins.pdc": "".join(f"ldc_set_location -site {{{site}}} [get_ports {name}]\n"
                               for name, site in (("clk", "L5"), ("in", "N14"), ("out", "M14")))},
    target_mhz=400,
    mended="Carry inputs tied to zero at a chain's start are left open.")

FAMILIES = {known.name: known for known in (ECP5, ICE40, GOWIN, NEXUS)}
"""Families by name."""


def family(name: str) -> Family:
    """Family called ``name``.

    Raises
    ------
    MantissaError
        If there is none; the sentence has the nearest name.
    """
    if name not in FAMILIES:
        near = get_close_matches(name, FAMILIES, n=1)
        hint = f" ({near[0]} comes near)" if near else ""
        raise MantissaError(f"Family must be one of {', '.join(FAMILIES)}, not {name!r}{hint}")
    return FAMILIES[name]
