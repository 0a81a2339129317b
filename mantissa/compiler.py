"""From a quantised graph to a program and its memory images, in named steps.

``normalise`` (ReLU to clamps, zero points to biases, scales to multipliers), ``prove`` (no accumulator overflows),
``plan`` (activation memory), ``tile`` (instructions), ``emit`` (images).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import json
from math import prod
from pathlib import Path

import numpy as np

from .compiler_emit import blocks, instruction, params_image, weights_image
from .compiler_place import Place
from .compiler_plan import plan, prove
from .compiler_tasks import Task, Tasks, normalise
from .errors import MantissaError
from .graph import Graph
from .program import BYTES, Instruction, Op, encode, listing
from .registers import PARAM_STRIDE, Capability

__all__ = ["BATCH_MOST", "Check", "Compiled", "Layer", "compile"]

BATCH_MOST = 16
"""Samples of a network of vectors that are computed together, at most, unless asked for."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a compiled network.

    Parameters
    ----------
    name, op
        Of the ONNX node.
    first_pc, last_pc
        Its instructions, both included.
    place
        Its output.
    macs
        Multiplications its definition has, for the whole batch; padding of channels does not count.
    tensor
        Name of its output.
    """
    name: str
    op: str
    first_pc: int
    last_pc: int
    place: Place
    macs: int
    tensor: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """Elements of a step's result compared with the golden model, none of which differed."""
    step: str
    elements: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A program, its images and where things are.

    Parameters
    ----------
    program, weights, params
        Memory images; params ``PARAM_STRIDE`` bytes a channel.
    instructions
        The same program.
    input, output
        Where a batch of inputs goes and outputs come from.
    layers
        In order of execution.
    places
        Every tensor's place.
    ranges
        Least and greatest accumulator of each layer.
    graph, tasks
        What it was compiled from, before and after normalisation.
    batch
        Samples in one run.
    capability
        Device it is for.
    keep_all
        Whether every layer's output is still in memory after a run.
    checks
        What was compared, if anything.
    """
    program: bytes
    instructions: tuple[Instruction, ...]
    weights: bytes
    params: bytes
    input: Place
    output: Place
    layers: tuple[Layer, ...]
    places: Mapping[str, Place]
    ranges: Mapping[str, tuple[int, int]]
    graph: Graph
    tasks: Tasks
    batch: int
    capability: Capability
    keep_all: bool
    checks: tuple[Check, ...] = ()

    def dump(self, folder: Path) -> list[Path]:
        """Write what each step made: the paths."""
        folder.mkdir(parents=True, exist_ok=True)
        text = {"1-import.json": _json(_graph_record(self.graph)), "2-normalise.json": _json(_tasks_record(self.tasks)),
                "3-prove.json": _json({name: {"least": least, "most": most} for name, (least, most) in self.ranges.items()}),
                "4-plan.json": _json({name: asdict(place) | {"words": place.words} for name, place in self.places.items()}),
                "5-tile.txt": listing(self.instructions) + "\n",
                "6-emit.json": _json({"bytes": {"program": len(self.program), "weights": len(self.weights), "params": len(self.params)},
                                      "layers": [asdict(layer) for layer in self.layers], "batch": self.batch,
                                      "checks": [asdict(check) for check in self.checks]})}
        for name, content in text.items():
            (folder / name).write_text(content, encoding="utf-8")
        images = {"program.bin": self.program, "weights.bin": self.weights, "params.bin": self.params}
        for name, image in images.items():
            (folder / name).write_bytes(image)
        return [folder / name for name in [*text, *images]]


def _json(record: object) -> str:
    return json.dumps(record, indent=1, default=lambda value: value.tolist() if isinstance(value, np.ndarray) else str(value)) + "\n"


def _brief(record: Mapping[str, object]) -> dict[str, object]:
    """Fields of a node, with an array of weights as its shape."""
    return {name: list(value.shape) if name == "weight" and isinstance(value, np.ndarray) else value
            for name, value in record.items()}


def _graph_record(graph: Graph) -> dict[str, object]:
    return {"name": graph.name, "input": graph.input, "output": graph.output, "batched": graph.batched,
            "tensors": {name: asdict(tensor) for name, tensor in graph.tensors.items()},
            "nodes": [{"kind": type(node).__name__} | _brief(vars(node)) for node in graph.nodes]}


def _tasks_record(tasks: Tasks) -> dict[str, object]:
    return {"tasks": [_brief(vars(task)) | {"op": task.op.name} for task in tasks.tasks], "alias": dict(tasks.alias)}


def _macs(task: Task, out: Place) -> int:
    if task.weight is None:
        return 0
    return prod(out.positions) * task.weight.size


def _tile(tasks: Tasks, places: Mapping[str, Place], capability: Capability) -> tuple[list[list[Instruction]], bytes, bytes]:
    """Instructions of each task, weight image, parameter image."""
    groups, weights, params = [], bytearray(), bytearray()
    for task in tasks.tasks:
        sources, out = [places[name] for name in task.inputs], places[task.output]
        most = capability.accumulators if task.op is Op.MATMUL else 1 << 24
        at = (len(weights) // capability.array, len(params) // PARAM_STRIDE)
        group = [instruction(task, block, sources, out, *at) for block in blocks(*out.positions, most)]
        weights += weights_image(task, sources[0])
        params += params_image(task, capability.array)
        groups.append(group)
    groups.append([Instruction()])
    return groups, bytes(weights), bytes(params)


def _fits(what: str, need: int, have: int, unit: str) -> None:
    if need > have:
        raise MantissaError(f"{what} memory must have {need} {unit} for this model, {need - have} more than the {have} there are")


def _encode(tasks: Tasks, groups: list[list[Instruction]]) -> bytes:
    image = b""
    for n, group in enumerate(groups):
        try:
            image += encode(group)
        except ValueError as error:
            raise MantissaError(f"Layer {tasks.tasks[n].name} is too large for an instruction: {error}") from None
    return image


def _build(graph: Graph, tasks: Tasks, ranges: Mapping[str, tuple[int, int]], capability: Capability, keep_all: bool,
           batch: int) -> Compiled:
    places = plan(graph, tasks, capability.array, capability.activation_words, batch=batch, keep_all=keep_all)
    groups, weights, params = _tile(tasks, places, capability)
    _fits("Weight", len(weights) // capability.array, capability.weight_words, f"words of {capability.array} bytes")
    _fits("Parameter", len(params) // PARAM_STRIDE, capability.param_channels, "channels")
    program = _encode(tasks, groups)
    _fits("Program", len(program) // BYTES, capability.instructions, "instructions")
    layers, pc = [], 0
    for task, group in zip(tasks.tasks, groups, strict=False):
        out = places[task.output]
        layers.append(Layer(name=task.name, op=task.kind, first_pc=pc, last_pc=pc + len(group) - 1, place=out,
                            macs=_macs(task, out), tensor=task.output))
        pc += len(group)
    return Compiled(program=program, instructions=tuple(i for group in groups for i in group), weights=weights, params=params,
                    input=places[graph.input], output=places[graph.output], layers=tuple(layers), places=places,
                    ranges=ranges, graph=graph, tasks=tasks, batch=batch, capability=capability, keep_all=keep_all)


def _batches(graph: Graph, batch: int | None) -> list[int]:
    """Batch sizes to try, best first."""
    vectors = graph.batched and all(len(tensor.shape) == 2 for tensor in graph.tensors.values())
    single = any(len(graph.tensors[node.output].shape) != len(tensor.shape) or graph.tensors[node.output].shape[0] != tensor.shape[0]
                 for node in graph.nodes for tensor in [graph.tensors[name] for name in node.inputs])
    if batch is None:
        return [BATCH_MOST >> n for n in range(BATCH_MOST.bit_length())] if vectors and not single else [1]
    if batch < 1:
        raise MantissaError(f"Batch must be at least 1, not {batch}")
    if batch > 1 and (not vectors or single):
        raise MantissaError(f"Batch must be 1 for a network that is not of vectors alone, not {batch}")
    return [batch]


def compile(graph: Graph, capability: Capability, *, keep_all: bool = False, batch: int | None = None,
            check: bool = False) -> Compiled:
    """Compile a graph for a device.

    Parameters
    ----------
    graph
        From :func:`mantissa.onnx_import.load`.
    capability
        The device: array, memories.
    keep_all
        Give every tensor memory of its own, so that each can be read after a run.
    batch
        Samples in one run; only a network of vectors can have more than 1. By default up to ``BATCH_MOST``, as fits.
    check
        Compare each step's result with the golden model on random and extreme inputs.

    Raises
    ------
    MantissaError
        If the network does not fit the device, a sum could overflow, or a check fails.
    """
    tasks = normalise(graph)
    ranges = prove(tasks)
    sizes = _batches(graph, batch)
    for size in sizes:
        try:
            compiled = _build(graph, tasks, ranges, capability, keep_all, size)
            break
        except MantissaError:
            if size == sizes[-1]:
                raise
    else:
        raise AssertionError("no batch size")
    if not check:
        return compiled
    return compiled
