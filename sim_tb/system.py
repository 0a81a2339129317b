"""Programs on the compiled core, through its bus, as against the interpreter."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import Config
from ..frame import Status
from ..gen.designs import text_of
from ..hw.core import Core
from ..hw.payload import pack, ports, unpack
from ..interpreter import run
from ..program import Instruction, encode
from ..registers import LOG_BYTES, LOG_FIELDS, REGISTERS, Capability, Control, Region, State
from .verilator import Harness

__all__ = ["IDENTITY", "Bus", "Images", "Outcome", "check", "compiled"]

IDENTITY = b"mantissa"
ADDRESS = {register.name: register.address for register in REGISTERS}


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the memories hold before a program."""
    activations: bytes
    weights: bytes
    params: bytes


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a program left: registers, activation memory, one row of LOG_FIELDS per instruction."""
    status: int
    fault: int
    cycles: int
    activations: bytes
    log: np.ndarray


def compiled(config: Config, folder: Path) -> Harness:
    """The core of a configuration under Verilator."""
    core = Core(config, IDENTITY)
    inputs, outputs = ports(core)
    return Harness(text_of(core, "core"), "core", inputs, outputs, folder=folder)


class Bus:
    """Requests collected one by one, then run at once."""

    def __init__(self) -> None:
        self.address: list[int] = []
        self.data: list[int] = []
        self.write: list[int] = []

    def put(self, address: int, content: bytes) -> None:
        """Write bytes from ``address`` up."""
        self._add(range(address, address + len(content)), content, 1)

    def get(self, address: int, count: int) -> slice:
        """Read bytes; where they will be in the replies."""
        start = len(self.address)
        self._add(range(address, address + count), bytes(count), 0)
        return slice(start, start + count)

    def wait(self, count: int) -> None:
        """Read a register ``count`` times."""
        self._add([ADDRESS["MAGIC"]] * count, bytes(count), 0)

    def _add(self, addresses: Iterable[int], content: bytes, write: int) -> None:
        self.address += addresses
        self.data += content
        self.write += [write] * len(content)

    def run(self, model: Harness, *, stall: str = "none", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Data and status of every reply."""
        rows = {"address": np.array(self.address), "write": np.array(self.write), "data": np.array(self.data)}
        result = model.run({"i": pack(model.inputs["i"], rows)}, {"o": len(self.address)}, stall=stall, seed=seed)
        replies = unpack(model.outputs["o"], result.outputs["o"])
        return replies["data"].astype(np.uint8), replies["status"]


def execute(model: Harness, config: Config, program: list[Instruction], images: Images, *, patience: int, stall: str = "none",
            seed: int = 0, stopped: int | None = None) -> Outcome:
    """Load everything, start, wait ``patience`` requests, read everything; before that, start and stop after ``stopped`` requests."""
    bus = Bus()
    bus.put(Region.PROGRAM << 20, encode(program))
    if stopped is not None:
        bus.put(Region.WEIGHTS << 20, images.weights)
        bus.put(ADDRESS["CONTROL"], bytes([Control.START]))
        bus.wait(stopped)
        bus.put(ADDRESS["CONTROL"], bytes([Control.STOP]))
    bus.put(Region.ACTIVATIONS << 20, images.activations)
    bus.put(Region.WEIGHTS << 20, images.weights)
    bus.put(Region.PARAMS << 20, images.params)
    bus.put(ADDRESS["CONTROL"], bytes([Control.START]))
    bus.wait(patience)
    registers = [bus.get(ADDRESS[name], 4) for name in ("STATUS", "FAULT", "CYCLES")]
    activations = bus.get(Region.ACTIVATIONS << 20, config.activation_words * config.array)
    log = bus.get(Region.LOG << 20, LOG_BYTES * len(program))
    data, status = bus.run(model, stall=stall, seed=seed)
    refused = np.flatnonzero(status != Status.OK)
    if refused.size:
        raise AssertionError(f"core refused {refused.size} requests, the first with {status[refused[0]]}")
    values = [int.from_bytes(data[where].tobytes(), "little") for where in registers]
    return Outcome(status=values[0], fault=values[1], cycles=values[2], activations=data[activations].tobytes(),
                   log=data[log].view("<u4").reshape(-1, len(LOG_FIELDS)))


def check(model: Harness, config: Config, program: list[Instruction], images: Images, *, patience: int, stall: str = "none",
          seed: int = 0, stopped: int | None = None) -> Outcome:
    """Run a program on the core and on the interpreter; what the core left.

    Raises
    ------
    AssertionError
        If they differ in how the program ended, in a byte of the activation memory or in the steps of an instruction. After an
        error only the reason and the place are compared.
    """
    want = run(Capability.of(config, IDENTITY), program, images.activations, images.weights, images.params)
    got = execute(model, config, program, images, patience=patience, stall=stall, seed=seed, stopped=stopped)
    state = State.FAILED if want.code else State.DONE
    expected = state | want.code << 8 | want.pc << 16
    if got.status != expected:
        raise AssertionError(f"core ended with status {got.status:#x}, the interpreter with {expected:#x}")
    if want.code:
        return got
    memory = np.frombuffer(got.activations, np.int8).reshape(want.activations.shape)
    wrong = np.argwhere(memory != want.activations)
    if wrong.size:
        word, lane = wrong[0]
        raise AssertionError(f"{len(wrong)} bytes differ, the first in word {word}, lane {lane}: {memory[word, lane]} for "
                             f"{want.activations[word, lane]}")
    if tuple(got.log[:want.pc, 1]) != want.steps:
        raise AssertionError(f"core counted {got.log[:want.pc, 1].tolist()} steps, the interpreter {list(want.steps)}")
    return got
