"""From a quantised graph to a program and its memory images, in named steps.

``normalise`` (ReLU to clamps, zero points to biases, scales to multipliers), ``prove`` (no accumulator overflows),
``plan`` (activation memory), ``tile`` (instructions), ``emit`` (images).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from .compiler_check import verify
from .compiler_emit import blocks, halves, instruction, params_image, weights_image
from .compiler_place import Place
from .compiler_plan import plan, prove
from .compiler_result import Check, Compiled, Layer
from .compiler_tasks import Task, Tasks, normalise
from .errors import MantissaError
from .graph import Graph
from .instruction import BYTES
from .program import PAIRED, Instruction, Op, encode
from .registers import ACC_BITS, PARAM_STRIDE, WIDE_ACC_BITS, Capability

__all__ = ["BATCH_MOST", "Check", "Compiled", "Layer", "compile"]

BATCH_MOST = 16
"""Samples of a network of vectors that are computed together, at most, unless asked for."""


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
        group = [instruction(task, block, half, sources, out, *at)
                 for half in halves(task, sources[0], out) for block in blocks(*out.positions, most)]
        weights += weights_image(task, sources[0], out)
        params += params_image(task, out)
        groups.append(group)
    groups.append([Instruction()])
    return groups, bytes(weights), bytes(params)


def _formats(tasks: Tasks, capability: Capability) -> None:
    """Refuse a layer in a format that the device does not have."""
    for task in tasks.tasks:
        for name in (task.format_a, task.format_w, task.format_o):
            if name not in capability.formats:
                raise MantissaError(f"Layer {task.name} must be in formats of the device ({', '.join(capability.formats)}), not {name}")


def _packed(graph: Graph, tasks: Tasks, capability: Capability) -> set[str]:
    """Tensors that lie two codes to a byte: of more channels than fit a word otherwise, and not multiplied with wider weights."""
    found = {name for name in (graph.input, *(task.output for task in tasks.tasks))
             if graph.tensors[name].format in PAIRED and graph.tensors[name].shape[-1] > capability.array}
    for task in tasks.tasks:
        if task.op is Op.MATMUL and task.format_w not in PAIRED:
            found.discard(tasks.root(task.inputs[0]))
    for task in [task for _ in tasks.tasks for task in tasks.tasks]:           # as often as one can be the reason of another
        roots = {tasks.root(name) for name in task.inputs}
        if task.op is Op.ADD and not roots <= found:
            found -= roots
    return found


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
    places = plan(graph, tasks, capability.array, capability.activation_words, batch=batch, keep_all=keep_all,
                  packed=_packed(graph, tasks, capability))
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
        If the network does not fit the device or is in formats that it does not have, a sum could overflow, or a check fails.
    """
    tasks = normalise(graph)
    _formats(tasks, capability)
    ranges = prove(tasks, ACC_BITS if capability.formats == ("int8",) else WIDE_ACC_BITS)
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
    return replace(compiled, checks=verify(compiled)) if check else compiled
