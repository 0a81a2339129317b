"""An SDRAM on a board: registers in the pads of an ECP5, the pins by their sites."""
from __future__ import annotations

from amaranth.hdl import ClockSignal, Const, Instance, IOPort, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..hw.sdram import SdramPins
from ..hw.sdram_timing import W16, Geometry

__all__ = ["DELAY", "SdramPads", "constraints"]

DELAY = 2
"""Cycles the pads' registers add, as :class:`~mantissa.hw.sdram.Sdram` counts them: one out, one in."""

NAMES = {"clk": "clk", "clk_en": "enable", "ras": "ras", "cas": "cas", "we": "we", "ba": "bank", "a": "address", "dqm": "mask"}
"""Pins as amaranth-boards names them, and as the controller does."""


def _resource():
    """The ULX3S' SDRAM: its signals by name, and the attributes of all."""
    from amaranth_boards.ulx3s import ULX3S_85F_Platform
    found = next(resource for resource in ULX3S_85F_Platform.resources if resource.name == "sdram")
    return {part.name: part.ios[0] for part in found.ios}, found.attrs


def constraints() -> str:
    """Lines of nextpnr's constraint file that put the pads of :class:`SdramPads` on the ULX3S' pins."""
    parts, attributes = _resource()
    options = " ".join(f"{name}={value}" for name, value in attributes.items())
    lines = []
    for name, pins in parts.items():
        for n, site in enumerate(pins.names):
            port = f"sdram_{name}[{n}]" if len(pins.names) > 1 else f"sdram_{name}"
            lines += [f'LOCATE COMP "{port}" SITE "{site}";', f'IOBUF PORT "{port}" {options};']
    return "\n".join(lines) + "\n"


class SdramPads(wiring.Component):
    """Between a controller and a chip: each pin's register in its pad, the chip's clock the reverse of ours, always selected.

    The chip looks at its pins half a cycle after they changed. What it says must be there when the pads look: at 100 MHz and CAS
    latency 2 between 11 and 17.5 ns after the pad registers' edge at which it took the command, plus the way out of the clock and the way
    in of the data, for an edge at 20 ns. That sum, 2.5 to 9 ns, was not measured.

    Members
    -------
    pins : ``In(SdramPins(geometry))``
    """

    def __init__(self, geometry: Geometry = W16) -> None:
        self.geometry = geometry
        self.ports = {name: IOPort(width, name=f"sdram_{name}") for name, width in {
            "clk": 1, "clk_en": 1, "cs": 1, "we": 1, "ras": 1, "cas": 1, "ba": geometry.bank_bits, "a": geometry.row_bits, "dq": 16,
            "dqm": 2}.items()}
        super().__init__({"pins": In(SdramPins(geometry))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        low = {"ras", "cas", "we"}
        for name, inner in NAMES.items():
            if name != "clk":
                value = Value.cast(getattr(self.pins, inner))[:len(self.ports[name])]
                self._out(m, name, ~value if name in low else value)
        self._out(m, "cs", Const(0))
        clock = Signal()
        m.submodules.clock = Instance("ODDRX1F", i_SCLK=ClockSignal(), i_RST=Const(0), i_D0=Const(0), i_D1=Const(1), o_Q=clock)
        m.submodules.clock_pad = Instance("OB", i_I=clock, o_O=self.ports["clk"])
        for n in range(16):
            out, off, back = Signal(name=f"out{n}"), Signal(name=f"off{n}"), Signal(name=f"back{n}")
            self._register(m, f"dq{n}_out", "OFS1P3DX", self.pins.data_out[n], out)
            self._register(m, f"dq{n}_off", "OFS1P3DX", ~self.pins.drive, off)
            self._register(m, f"dq{n}_in", "IFS1P3DX", back, self.pins.data_in[n])
            m.submodules[f"dq{n}_pad"] = Instance("BB", i_I=out, i_T=off, o_O=back, io_B=self.ports["dq"][n])
        return m

    def _out(self, m: Module, name: str, value: Value) -> None:
        for n in range(len(self.ports[name])):
            out = Signal(name=f"{name}{n}_out")
            self._register(m, f"{name}{n}_register", "OFS1P3DX", value[n], out)
            m.submodules[f"{name}{n}_pad"] = Instance("OB", i_I=out, o_O=self.ports[name][n])

    def _register(self, m: Module, name: str, kind: str, value: Value, to: Value) -> None:
        m.submodules[name] = Instance(kind, i_SCLK=ClockSignal(), i_SP=Const(1), i_CD=Const(0), i_D=value, o_Q=to)
