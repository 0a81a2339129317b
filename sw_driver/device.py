"""Arrays in, arrays out, on every device alike."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import struct
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..compiler import Compiled, compile
from ..config import BUILT_IN, Config, identity as identity_of, load as load_config
from ..errors import DeviceError, MantissaError
from ..graph import Graph, evaluate
from ..registers import LOG_BYTES, Capability, Code, Control, Region, State
from .client import Client, register
from .counters import LayerCounters, decode_log
from .network import Codes, Network
from .simulated import Served, library
from .transport import Serial, Simulated, Transport

__all__ = ["Device", "Golden", "Linked", "connect", "run_to_end"]

LONGEST = 60
"""Seconds of the device's time a program may take."""


class Backend(Protocol):
    """What runs compiled networks."""
    name: str
    capability: Capability

    def run(self, compiled: Compiled, codes: Codes, keep: bool) -> dict[str, Codes]:
        """Output codes of one batch, by tensor; of every layer with ``keep``."""

    def counters(self, compiled: Compiled) -> tuple[LayerCounters, ...]:
        """What was counted in the last run."""

    @property
    def cycles(self) -> int | None:
        """Clock cycles of the last run."""

    @property
    def simulated(self) -> int | None:
        """Clock cycles simulated since reset."""

    def close(self) -> None:
        """Let go."""


class Golden:
    """The golden model in the place of a device: its sizes, none of its time."""
    def __init__(self, config: Config) -> None:
        self.name = "golden"
        self.capability = Capability.of(config, identity_of(config))

    def run(self, compiled: Compiled, codes: Codes, keep: bool) -> dict[str, Codes]:
        found = evaluate(compiled.graph, codes)
        return found if keep else {compiled.graph.output: found[compiled.graph.output]}

    def counters(self, compiled: Compiled) -> tuple[LayerCounters, ...]:
        return ()

    @property
    def cycles(self) -> int | None:
        return None

    @property
    def simulated(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class Linked:
    """A device behind a link.

    Parameters
    ----------
    client
        Session, connected.
    """
    def __init__(self, client: Client) -> None:
        assert client.capability is not None
        self.name = client.transport.name
        self.client = client
        self.capability = client.capability
        self._loaded: tuple[Compiled, int] | None = None

    def close(self) -> None:
        self.client.close()

    def run(self, compiled: Compiled, codes: Codes, keep: bool) -> dict[str, Codes]:
        self._load(compiled)
        self._write(Region.ACTIVATIONS, compiled.input.base_word * self.capability.array, compiled.input.pack(codes))
        run_to_end(self.client, lambda pc: "layer " + next((x.name for x in compiled.layers if x.first_pc <= pc <= x.last_pc), "none"))
        places = {layer.tensor: layer.place for layer in compiled.layers} if keep else {compiled.graph.output: compiled.output}
        return {name: place.unpack(self._read(place.base_word, place.words))[:len(codes)] for name, place in places.items()}

    def counters(self, compiled: Compiled) -> tuple[LayerCounters, ...]:
        return decode_log(self.client.read(Region.LOG << 20, LOG_BYTES * len(compiled.instructions)), compiled)

    @property
    def cycles(self) -> int | None:
        return self.client.register("CYCLES")

    @property
    def simulated(self) -> int | None:
        return self.client.transport.cycles

    def _load(self, compiled: Compiled) -> None:
        """Send program, weights and parameters, unless they are there."""
        session = self.client.session()
        if self._loaded is not None and self._loaded[0] is compiled and self._loaded[1] == session:
            return
        self._loaded = None
        self._write(Region.PROGRAM, 0, compiled.program)
        self._write(Region.WEIGHTS, 0, compiled.weights)
        self._write(Region.PARAMS, 0, compiled.params)
        self._loaded = compiled, session

    def _write(self, region: Region, at: int, data: bytes) -> None:
        self.client.write((region << 20) + at, data)

    def _read(self, word: int, words: int) -> bytes:
        return self.client.read((Region.ACTIVATIONS << 20) + word * self.capability.array, words * self.capability.array)


def run_to_end(client: Client, where: Callable[[int], str]) -> None:
    """Run the program that is there.

    Parameters
    ----------
    client
        Session.
    where
        What the instruction of a program counter belongs to.

    Raises
    ------
    DeviceError
        If it does not end, or the device stops it.
    """
    assert client.capability is not None
    client.write(register("CONTROL"), struct.pack("<I", Control.START))
    status = client.wait(LONGEST * client.capability.clock_hz)
    if status & 0xff == State.DONE:
        return
    code, pc, fault, name = status >> 8 & 0xff, status >> 16, client.register("FAULT"), client.transport.name
    if status & 0xff != State.FAILED:
        raise DeviceError(f"Program must end by itself, and {name} says state {status & 0xff}")
    reason = Code(code).name if code in Code.__members__.values() else str(code)
    raise DeviceError(f"Program must run to its end, and {name} stopped it: {reason}, {where(pc)}, instruction {pc}, word {fault:#x}")


def _known(transport: Transport, config: Config | None, identity: bytes | None) -> Client:
    """A connected client; of the right design, if it is known which that is."""
    client = Client(transport)
    try:
        capability = client.connect(identity)
        if config is not None and identity is None and capability != Capability.of(config, capability.identity):
            raise DeviceError(f"Device must be configuration {config.name}, design {identity_of(config).hex()}, "
                              f"not {capability.identity.hex()}, whose sizes differ")
    except BaseException:
        client.close()
        raise
    return client


def _find(port: str, identity: bytes | None) -> Client:
    """A client of the device on ``port``, which must speak at the rate of one of the built-in configurations."""
    rates = sorted({load_config(path).baud for path in BUILT_IN.glob("*.toml")}, reverse=True)
    for rate in rates:
        transport = Serial(port, rate)
        client = Client(transport, retries=1)
        try:
            client.connect(identity)
            return client
        except DeviceError as error:
            client.close()
            if "answer" not in str(error):
                raise
        except BaseException:
            client.close()
            raise
    raise DeviceError(f"Device on {port} must answer at one of {', '.join(map(str, rates))} baud, and did not: name its configuration")


def connect(which: str, config: str | Path | Config | None, identity: bytes | None = None) -> Client:
    """A client of a device that is not the golden model, connected; arguments are those of :meth:`Device.open`."""
    chosen = config if isinstance(config, Config) or config is None else load_config(config)
    if which in ("sim", "sim+uart"):
        chosen = chosen or load_config("sim")
        named = str(config or "sim") if not isinstance(config, Config) else _built_in(config)
        path = library(named, uart=which == "sim+uart")
        transport: Transport = Simulated(path, chosen.clock_hz) if which == "sim" else Served(path, chosen.baud)
        return _known(transport, chosen, identity or identity_of(chosen))
    if "/" not in which and not which.upper().startswith("COM"):
        raise MantissaError(f"Device must be golden, sim, sim+uart or a port such as /dev/ttyUSB0, not {which!r}")
    if chosen is None:
        return _find(which, identity)
    return _known(Serial(which, chosen.baud), chosen, identity)


def _built_in(config: Config) -> str:
    """Name of a configuration, which another process will load by it."""
    try:
        same = load_config(config.name) == config
    except MantissaError:
        same = False
    if not same:
        raise MantissaError(f"Simulated configuration must be a built-in one or a .toml file, not one called {config.name!r}")
    return config.name


def _backend(which: str, config: str | Path | Config | None, identity: bytes | None) -> Backend:
    if which == "golden":
        return Golden(config if isinstance(config, Config) else load_config(config or "sim"))
    client = connect(which, config, identity)
    assert client.capability is not None
    if client.capability.ternary:
        client.close()
        raise DeviceError(f"{client.transport.name} must have an array, and has a ternary engine: open it as a TernaryDevice")
    return Linked(client)


class Device:
    """An accelerator, real, simulated or modelled. Made by :meth:`open`; a context manager."""
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._last: Compiled | None = None

    @classmethod
    def open(cls, which: str = "golden", *, config: str | Path | Config | None = None, identity: bytes | str | None = None) -> Device:
        """Open a device.

        Parameters
        ----------
        which
            ``golden`` (numpy), ``sim`` (the generated hardware in Verilator), ``sim+uart`` (the same through its pins) or the
            name of a serial port.
        config
            Configuration it was generated from: a name, a path or a :class:`~mantissa.config.Config`, for a simulated device a built-in
            one. ``sim`` by default; on a port, by default whatever answers.
        identity
            Design it must be, eight bytes or their hexadecimal; by default the configuration's on a simulated device.

        Raises
        ------
        DeviceError
            If it is missing, busy, silent, or another design.
        MantissaError
            If there is no such kind of device or configuration.
        """
        if isinstance(identity, str):
            try:
                identity = bytes.fromhex(identity)
            except ValueError:
                raise MantissaError(f"Identity must be hexadecimal, not {identity!r}") from None
        if identity is not None and len(identity) != 8:
            raise MantissaError(f"Identity must be 8 bytes, not {len(identity)}")
        return cls(_backend(which, config, identity))

    def close(self) -> None:
        """Let go of the device."""
        self._backend.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What it is, for messages."""
        return self._backend.name

    @property
    def backend(self) -> Backend:
        """What runs the networks: :class:`Golden` or :class:`Linked`."""
        return self._backend

    @property
    def capability(self) -> Capability:
        """Sizes of the device."""
        return self._backend.capability

    @property
    def identity(self) -> bytes:
        """Digest of the design, eight bytes."""
        return self._backend.capability.identity

    @property
    def counters(self) -> tuple[LayerCounters, ...]:
        """What the device counted for each layer of the last run; nothing on the golden model, which knows no time."""
        return self._backend.counters(self._last) if self._last is not None else ()

    @property
    def cycles(self) -> int | None:
        """Clock cycles of the last program run, from start to halt; :data:`None` where there is no clock."""
        return self._backend.cycles

    @property
    def simulated(self) -> int | None:
        """Clock cycles simulated since reset, communication included; :data:`None` where nothing is simulated."""
        return self._backend.simulated

    def load(self, model: str | Path | Graph, *, keep_all: bool = False, batch: int | None = None, check: bool = False) -> Network:
        """Compile a network for this device.

        Parameters
        ----------
        model
            ONNX file, or a graph already imported.
        keep_all
            Keep every layer's output on the device, so that :meth:`Network.layers` can read it.
        batch
            Samples in one run, where the network allows it; by default as many as fit.
        check
            Hold every step of the compiler against the golden model.

        Raises
        ------
        MantissaError
            If it is not such a model, or does not fit.
        """
        if not isinstance(model, Graph):
            from ..onnx_import import load
            model = load(model)
        return Network(self, compile(model, self.capability, keep_all=keep_all, batch=batch, check=check))

    def run(self, compiled: Compiled, codes: npt.NDArray[np.int8], keep: bool = False) -> dict[str, Codes]:
        """Output codes, by tensor, of one batch of at most ``compiled.batch`` samples' codes."""
        self._last = None
        found = self._backend.run(compiled, codes, keep)
        self._last = compiled
        return found
