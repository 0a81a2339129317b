"""Each compiler step's result against the golden model."""
from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .compiler_result import Check, Compiled
from .compiler_tasks import evaluate_tasks, reduce
from .errors import MantissaError
from .fixed import as_codes, as_fixed, limits
from .graph import evaluate
from .interpreter import Run, run
from .program import Op
from .registers import Code

__all__ = ["inputs", "intact", "interpret", "verify"]

_RUNS = 2


def inputs(shape: tuple[int, ...], zero_point: int, n: int, seed: int, name: str = "int8") -> np.ndarray:
    """Input codes of a format (n, \\*shape): extremes first (least, greatest, zero, both extremes at random), then random."""
    rng = np.random.default_rng(seed)
    codes = as_codes(name, as_fixed(name, rng.integers(-128, 128, (n, *shape), np.int8)))
    least, most = as_codes(name, limits(name))
    for k, fill in enumerate([least, most, zero_point]):
        codes[k:k + 1] = fill
    codes[3:4] = rng.choice(np.array([least, most], np.int8), shape)
    return codes


def interpret(compiled: Compiled, codes: np.ndarray) -> Run:
    """Run the program on codes (n, \\*shape), n up to the batch, in the functional model."""
    array = compiled.capability.array
    image = np.zeros((compiled.capability.activation_words, array), np.int8)
    place = compiled.input
    image[place.base_word:place.base_word + place.words] = np.frombuffer(place.pack(codes), np.int8).reshape(-1, array)
    return run(compiled.capability, compiled.program, image, compiled.weights, compiled.params)


def intact(compiled: Compiled) -> set[str]:
    """Tensors that are whole in memory after a run, found by writing each layer's output over a map of the memory.

    Raises
    ------
    MantissaError
        If a layer reads words that another tensor has overwritten.
    """
    tasks, owner = compiled.tasks, np.full(compiled.capability.activation_words, -1)
    roots = [compiled.graph.input, *(task.output for task in tasks.tasks)]

    def whole(name: str) -> bool:
        place = compiled.places[name]
        return bool((owner[place.base_word:place.base_word + place.words] == roots.index(tasks.root(name))).all())

    def write(name: str) -> None:
        place = compiled.places[name]
        owner[place.base_word:place.base_word + place.words] = roots.index(name)

    write(compiled.graph.input)
    for task in tasks.tasks:
        write(task.output)
        for name in task.inputs:                            # after the write: an output must not be where an input is
            if not whole(name):
                raise MantissaError(f"Step plan gives tensor {name} memory that is overwritten before layer {task.name} reads it")
    return {name for name in compiled.places if whole(name)}


def _same(step: str, golden: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Check:
    elements = 0
    for name, codes in found.items():
        wrong = int((codes != golden[name]).sum())
        if wrong:
            raise MantissaError(f"Step {step} differs from the golden model in {wrong} of {codes.size} elements of tensor {name}")
        elements += codes.size
    return Check(step=step, elements=elements)


def _prove(compiled: Compiled, found: Mapping[str, np.ndarray]) -> Check:
    """Every accumulator seen is within what was proved."""
    elements = 0
    for task in compiled.tasks.tasks:
        if task.op is Op.ADD:
            continue
        least, most = compiled.ranges[task.name]
        value = reduce(task, found[task.inputs[0]])
        for seen in (value, value + task.bias):
            if seen.min() < least or seen.max() > most:
                raise MantissaError(f"Step prove bounds the accumulator of layer {task.name} by {least} and {most}, "
                                    f"but it reaches {seen.min()} and {seen.max()}")
            elements += seen.size
    return Check(step="prove", elements=elements)


def _plan(compiled: Compiled, found: Mapping[str, np.ndarray]) -> Check:
    """Nothing is overwritten too early, and every tensor comes back from its image."""
    intact(compiled)
    back = {name: place.unpack(place.pack(found[name][:compiled.batch]))
            for name, place in compiled.places.items() if name in found}
    return _same("plan", {name: found[name][:compiled.batch] for name in back}, back)


def _written(compiled: Compiled, first: int, last: int) -> Iterator[int]:
    for one in compiled.instructions[first:last + 1]:
        counts = [loop.count for loop in one.loops]
        each = counts[0] * counts[1] if one.op is Op.MATMUL else counts[3] * counts[4]
        address = one.output
        for n in range(counts[5] * each):
            yield address
            address += one.output_wrap if n % each == each - 1 else one.output_step


def _tile(compiled: Compiled) -> Check:
    """The instructions of each layer write each word of its output once."""
    elements = 0
    for layer in compiled.layers:
        place = layer.place
        words = sorted(_written(compiled, layer.first_pc, layer.last_pc))
        if words != list(range(place.base_word, place.base_word + place.words)):
            raise MantissaError(f"Step tile does not write each word of layer {layer.name} once")
        elements += len(words)
    return Check(step="tile", elements=elements)


def _emit(compiled: Compiled, codes: np.ndarray, golden: Mapping[str, np.ndarray]) -> Check:
    """The program, run by the functional model, leaves the golden codes of every tensor that is still in memory."""
    left, elements = intact(compiled), 0
    for start in range(0, len(codes), compiled.batch):
        part = slice(start, start + compiled.batch)
        ended = interpret(compiled, codes[part])
        if ended.code is not Code.NONE:
            raise MantissaError(f"Step emit makes a program that stops at instruction {ended.pc} with {ended.code.name}")
        found = {}
        for name in sorted(left):
            place = compiled.places[name]
            image = ended.activations[place.base_word:place.base_word + place.words].tobytes()
            found[name] = place.unpack(image)[:len(codes[part])]
        elements += _same("emit", {name: golden[name][part] for name in found}, found).elements
    return Check(step="emit", elements=elements)


def verify(compiled: Compiled, seed: int = 0) -> tuple[Check, ...]:
    """Compare what each step made with the golden model, on extreme and random inputs: what was compared.

    Raises
    ------
    MantissaError
        If something differs; names the step.
    """
    graph = compiled.graph
    tensor = graph.tensors[graph.input]
    codes = inputs(tensor.shape, tensor.zero_point, max(5, _RUNS * compiled.batch), seed, tensor.format)
    golden = evaluate(graph, codes)
    found = evaluate_tasks(graph, compiled.tasks, codes)
    return (_same("normalise", golden, found), _prove(compiled, found), _plan(compiled, found), _tile(compiled),
            _emit(compiled, codes, golden))
