"""The driver: one body over every device, then everything that can go wrong on the way."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import itertools
import os
from pathlib import Path
import random
import subprocess
import sys
import time
import tty

import numpy as np
import pytest

from mantissa.config import identity, load
from mantissa.errors import DeviceError, MantissaError
from mantissa.graph import evaluate
from mantissa.instruction import BYTES

from mantissa.sim_tb import device as build
from mantissa.sw_driver import Device
from mantissa.sw_driver.client import Client
from mantissa.sw_driver.device import Linked

sys.path.insert(0, str(Path(__file__).parent))
from fake_device import FakeDevice  # noqa: E402

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
CNN, MLP = DIGITS / "digits_cnn.onnx", DIGITS / "digits_mlp.onnx"


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (n, 1, 8, 8)).astype(np.float32)


def fake(**settings: object) -> tuple[Device, FakeDevice]:
    wire = FakeDevice(**settings)  # type: ignore[arg-type]
    client = Client(wire)
    client.connect()
    return Device(Linked(client)), wire


@pytest.fixture(params=["golden", "fake", "sim", "sim+uart"])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    with fake()[0] if request.param == "fake" else Device.open(request.param) as opened:
        yield opened


def test_acceptance(device: Device) -> None:
    x = images(3)
    network = device.load(CNN, keep_all=True)
    graph = network.compiled.graph
    golden = evaluate(graph, graph.quantize(x))
    found = network.layers(x)
    assert list(found) == [layer.tensor for layer in network.compiled.layers] and len(found) == 8
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, golden[name], name)
    np.testing.assert_array_equal(network.codes(x), golden[graph.output])
    y = network(x)
    assert y.dtype == np.float32 and y.shape == (3, 10)
    np.testing.assert_array_equal(y, graph.dequantize(golden[graph.output]))
    assert device.identity == identity(load("sim")) == device.capability.identity

    counters = device.counters
    if device.name == "golden":
        assert counters == () and device.cycles is None
    else:
        assert [layer.name for layer in counters] == [layer.name for layer in network.compiled.layers]
        assert all(layer.cycles > layer.steps > 0 for layer in counters)
        assert device.cycles is not None and device.cycles >= sum(layer.cycles for layer in counters) - len(counters)
        assert all(0 < layer.utilization <= 1 and 0 < layer.useful <= layer.utilization for layer in counters if layer.macs)

    other = device.load(MLP)                              # takes the place of the first, which then takes it back
    flat = x.reshape(3, 64)
    graph = other.compiled.graph
    np.testing.assert_array_equal(other.codes(flat), evaluate(graph, graph.quantize(flat))[graph.output])
    np.testing.assert_array_equal(network(x[:1]), y[:1])


def test_batches_and_single_samples_agree() -> None:
    device, wire = fake()
    x = images(21).reshape(21, 64)
    network, single = device.load(MLP), device.load(MLP, batch=1)
    assert network.compiled.batch > 1 == single.compiled.batch
    np.testing.assert_array_equal(network(x), single(x))
    assert wire.starts == -(-21 // network.compiled.batch) + 21


def test_program_is_sent_once() -> None:
    device, wire = fake()
    network = device.load(MLP)
    network(images(1).reshape(1, 64))
    first = wire.writes
    network(images(1).reshape(1, 64))
    assert wire.writes - first < 10 < first


# The wire goes wrong

@pytest.mark.parametrize("fault", ["lose", "drop", "double", "corrupt", "late", "noise"])
def test_every_third_exchange_suffers(fault: str) -> None:
    device, wire = fake(faults=itertools.cycle(["", "", fault]))
    network, x = device.load(MLP), images(4, 1).reshape(4, 64)
    graph = network.compiled.graph
    np.testing.assert_array_equal(network.codes(x), evaluate(graph, graph.quantize(x))[graph.output])
    assert wire.starts == 1                               # sent again, never executed twice
    resent = device.backend.client.resent  # type: ignore[attr-defined]
    assert resent == 0 if fault in ("double", "noise") else resent > 5


def test_random_faults() -> None:
    dice = random.Random(7)
    faults = (dice.choice(["", "", "lose", "drop", "double", "corrupt", "late", "noise"]) for _ in itertools.count())
    device, wire = fake(faults=faults)
    device.backend.client._retries = 50  # type: ignore[attr-defined]
    network, x = device.load(CNN, keep_all=True), images(6, 2)
    golden = evaluate(network.compiled.graph, network.compiled.graph.quantize(x))
    for name, codes in network.layers(x).items():
        np.testing.assert_array_equal(codes, golden[name], name)
    assert wire.starts == 6


def test_stops_answering() -> None:
    device, wire = fake()
    network = device.load(MLP)
    wire.silent = True
    with pytest.raises(DeviceError, match=r"^fake device must answer within 0\.\d+ s, and did not 5 times$"):
        network(images(1).reshape(1, 64))
    wire.silent = False                                   # plugged in again
    assert network(images(1).reshape(1, 64)).shape == (1, 10)


def test_another_program_on_the_line() -> None:
    device, wire = fake()
    network, x = device.load(MLP), images(1).reshape(1, 64)
    y = network(x)
    Client(wire).connect()
    with pytest.raises(DeviceError, match=r"^fake device must be ours alone, and it was reset or another program spoke to it$"):
        network(x)
    np.testing.assert_array_equal(network(x), y)          # a session of ours again, and the program is sent anew
    assert device.backend.client.sessions == 2  # type: ignore[attr-defined]


def test_lost_memory_is_not_trusted() -> None:
    device, wire = fake()
    network, x = device.load(MLP), images(1).reshape(1, 64)
    y = network(x)
    fresh = FakeDevice()                                  # power was cut: another session, empty memories
    wire.memory, wire._session = fresh.memory, None
    with pytest.raises(DeviceError, match="must be ours alone"):
        network(x)
    np.testing.assert_array_equal(network(x), y)


def test_other_design() -> None:
    wire = FakeDevice(identity_=bytes(range(8)))
    with pytest.raises(DeviceError, match=r"^Device must be design 1111111111111111, not 0001020304050607$"):
        Client(wire).connect(b"\x11" * 8)
    with pytest.raises(DeviceError, match=r"^Device must be design ffffffffffffffff, not [0-9a-f]{16}$"):
        Device.open("sim", identity="ff" * 8)


def test_not_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = FakeDevice()
    monkeypatch.setattr(type(wire.capability), "pack", lambda self: bytes(64))
    with pytest.raises(DeviceError, match=r"^fake device must be one of our devices: Identification block must start with"):
        Client(wire).connect()


@pytest.mark.parametrize("which", ["fake", "sim"])
def test_program_stopped_by_the_device(which: str) -> None:
    with fake()[0] if which == "fake" else Device.open(which) as device:
        network = device.load(CNN)
        good = network.compiled
        bad = bytearray(good.program)
        bad[3 * BYTES] = bad[3 * BYTES] & 0xf0 | 0xf      # operation 15 in the fourth instruction
        network.compiled = replace(good, program=bytes(bad))
        said = r"^Program must run to its end, and .* stopped it: OPERATION, layer /Add, instruction 3, word 0xf$"
        with pytest.raises(DeviceError, match=said):
            network(images(1))
        network.compiled = good
        np.testing.assert_array_equal(network.codes(images(1)), evaluate(good.graph, good.graph.quantize(images(1)))[good.graph.output])


@pytest.mark.parametrize("at", [*range(1, 12), 20, 25, 30])
def test_interrupt_in_a_transfer(at: int) -> None:
    device, wire = fake()
    network, x = device.load(CNN), images(2)
    expected = evaluate(network.compiled.graph, network.compiled.graph.quantize(x))[network.compiled.graph.output]
    wire.reads_before_interrupt = at
    with pytest.raises(KeyboardInterrupt):
        for _ in range(10):
            network.codes(x)
    np.testing.assert_array_equal(network.codes(x), expected)


def test_interrupt_on_the_simulated_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with Device.open("sim") as device:
        network, x = device.load(MLP), images(2).reshape(2, 64)
        expected = network.codes(x)
        read = device.backend.client.transport.read  # type: ignore[attr-defined]
        for stop in (0, 1, 2):
            left = itertools.count(stop, -1)

            def interrupted(timeout: float, left: Iterator[int] = left) -> bytes:
                if next(left) == 0:
                    raise KeyboardInterrupt
                return bytes(read(timeout))
            with monkeypatch.context() as patch:
                patch.setattr(device.backend.client.transport, "read", interrupted)  # type: ignore[attr-defined]
                with pytest.raises(KeyboardInterrupt):
                    network.codes(x)
            np.testing.assert_array_equal(network.codes(x), expected)


# Bad arguments: refused before anything is sent

@pytest.mark.parametrize("x, message", [
    (np.full((1, 1, 8, 8), np.nan, np.float32), r"^Input must be finite numbers, not NaN$"),
    (np.zeros((1, 1, 8, 8)), r"^Input must be float32, not float64$"),
    (np.zeros((1, 8, 8), np.float32), r"^Input must have shape \(N, 1, 8, 8\), not \(1, 8, 8\)$"),
    (np.zeros((0, 1, 8, 8), np.float32), r"^Input must have at least one sample, not 0$"),
])
def test_bad_input(x: np.ndarray, message: str) -> None:
    device, wire = fake()
    network = device.load(CNN)
    before = wire.writes
    with pytest.raises(MantissaError, match=message):
        network(x)
    assert wire.writes == before


def test_layers_need_keep_all() -> None:
    device, _ = fake()
    with pytest.raises(MantissaError, match=r"^Network must be loaded with keep_all=True for its layers to be read$"):
        device.load(CNN).layers(images(1))


@pytest.mark.parametrize("which, settings, message", [
    ("board", {}, r"^Device must be golden, sim, sim\+uart or a port such as /dev/ttyUSB0, not 'board'$"),
    ("golden", {"identity": "xyz"}, r"^Identity must be hexadecimal, not 'xyz'$"),
    ("golden", {"identity": "1234"}, r"^Identity must be 8 bytes, not 2$"),
    ("golden", {"config": "zx81"}, r"^Configuration must be a \.toml file or one of .*, not 'zx81'$"),
])
def test_bad_open(which: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(MantissaError, match=message):
        Device.open(which, **settings)


# Ports

@pytest.fixture
def terminal() -> Iterator[str]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_missing_port() -> None:
    with pytest.raises(DeviceError, match=r"^Port must exist, and /dev/ttyUSB99 does not$"):
        Device.open("/dev/ttyUSB99")


def test_busy_port(terminal: str) -> None:
    import serial
    with serial.Serial(terminal, exclusive=True):
        with pytest.raises(DeviceError, match=rf"^Port must be free, and {terminal} is used by another program$"):
            Device.open(terminal, config="ulx3s-85f")


def test_not_a_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(DeviceError, match=rf"^Port must be a serial port that can do 3000000 baud, and {path} is not"):
        Device.open(str(path), config="ulx3s-85f")


def test_silent_port(terminal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mantissa.sw_driver.client.TIMEOUT", 0.01)
    with pytest.raises(DeviceError, match=rf"^{terminal} must answer within 0.01 s, and did not 5 times$"):
        Device.open(terminal, config="ulx3s-85f")
    with pytest.raises(DeviceError, match=rf"^Device on {terminal} must answer at one of .* baud, and did not: name its configuration$"):
        Device.open(terminal)


def test_lost_port() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    from mantissa.sw_driver.transport import Serial
    port = Serial(os.ttyname(slave), 1000000)
    os.close(slave)
    os.close(master)
    with pytest.raises(DeviceError, match=r"^Device on /dev/pts/\d+ must stay connected, and was lost: "):
        port.write(b"1")
        port.read(0.1)
    port.close()


def test_port_of_the_simulated_device() -> None:
    """A terminal is a port like any other: another program finds the device there, at its rate."""
    config = load("sim")
    with Device.open("sim+uart") as device:
        port = device.backend.client.transport._port.port  # type: ignore[attr-defined]
        with pytest.raises(DeviceError, match="must be free"):
            Device.open(port, config=config)


def test_idle_device_takes_no_time() -> None:
    with Device.open("sim+uart") as device:
        transport = device.backend.client.transport  # type: ignore[attr-defined]
        network = device.load(MLP)
        network(images(1).reshape(1, 64))
        before = transport.cycles
        for _ in range(100):                              # it lingers for a while, then its clock stops
            time.sleep(0.05)
            cycles, before = transport.cycles, transport.cycles
            if cycles == before:
                break
        assert cycles == before
        time.sleep(0.3)
        assert transport.cycles == before
        network(images(1).reshape(1, 64))
        assert transport.cycles > before


# Building

def test_build_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceError, match=r"^The simulated device must be compiled with a C\+\+ compiler, and none of .* is installed$"):
        build.build(tmp_path / "x.v", tmp_path / "x.so", top="x")


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "x.v"
    source.write_text("module x(; endmodule")
    with pytest.raises(DeviceError, match=r"^verilator_bin must end well, not with 1: .*syntax error"):
        build.build(source, tmp_path / "x.so", top="x")
    assert [path.name for path in tmp_path.iterdir()] == ["x.v"]


def test_library_says_what_is_wrong() -> None:
    done = subprocess.run([sys.executable, "-m", "mantissa.sim_tb.device", "--config", "nothing"], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Configuration must be a .toml file or one of")


def test_simulated_device_of_a_changed_configuration() -> None:
    """It would be built from the built-in one of that name."""
    for changed in (replace(load("sim"), param_channels=64), replace(load("sim"), name="mine")):
        message = f"^Simulated configuration must be a built-in one or a .toml file, not one called {changed.name!r}$"
        with pytest.raises(MantissaError, match=message):
            Device.open("sim", config=changed)
