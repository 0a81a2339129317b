"""Proof that no accumulator overflows, and the plan of the activation memory."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .compiler_place import Place
from .compiler_tasks import Task, Tasks
from .errors import MantissaError
from .fixed import limits, weight_fixed
from .graph import Graph
from .program import Op

__all__ = ["Life", "allocate", "bound", "plan", "prove"]


def bound(task: Task) -> tuple[int, int]:
    """Least and greatest value of accumulator and of accumulator plus bias, over all inputs of the format and channels."""
    low, high = limits(task.format_a)
    if task.weight is not None:
        weight = weight_fixed(task.format_w, task.weight, task.weight_exponents).reshape(-1, task.weight.shape[-1])
        least = np.minimum(high * weight, low * weight).sum(axis=0)
        most = np.maximum(high * weight, low * weight).sum(axis=0)
    else:
        count = task.kernel[0] * task.kernel[1] if task.op is Op.SUM else 1
        least, most = np.array([low * count]), np.array([high * count])
    return (int(min(least.min(), (least + task.bias).min())), int(max(most.max(), (most + task.bias).max())))


def prove(tasks: Tasks, bits: int = 32) -> dict[str, tuple[int, int]]:
    """Range of every layer's accumulator, by layer.

    Raises
    ------
    MantissaError
        If one could leave signed ``bits`` bits, or a bias does.
    """
    ranges = {}
    for task in tasks.tasks:
        least, most = bound(task)
        largest = max(-least - 1, most, *(int(v) for v in np.abs(task.bias)))
        if largest >> bits - 1:
            raise MantissaError(f"Layer {task.name}: accumulator must fit signed {bits} bits for every input, "
                                f"but can reach {most if most >= -least else least}")
        ranges[task.name] = (least, most)
    return ranges


@dataclass(frozen=True, kw_only=True)
class Life:
    """A block of memory: its size, and the first and the last step at which it is in use."""
    name: str
    words: int
    first: int
    last: int


def allocate(lives: Sequence[Life]) -> dict[str, int]:
    """Lowest address at which each block meets no earlier one that is in use at the same time (first fit)."""
    placed: list[tuple[Life, int]] = []
    for life in lives:
        base = 0
        for other, start in sorted(placed, key=lambda entry: entry[1]):
            if other.first <= life.last and life.first <= other.last and base + life.words > start:
                base = max(base, start + other.words)
        placed.append((life, base))
    return {life.name: base for life, base in placed}


def _lives(graph: Graph, tasks: Tasks, places: Mapping[str, Place], keep_all: bool) -> list[Life]:
    end = len(tasks.tasks)
    first = {graph.input: -1} | {task.output: n for n, task in enumerate(tasks.tasks)}
    last = dict(first)
    for n, task in enumerate(tasks.tasks):
        for name in task.inputs:
            last[tasks.root(name)] = n
    last[tasks.root(graph.output)] = end
    return [Life(name=name, words=places[name].words, first=-1 if keep_all else first[name], last=end if keep_all else last[name])
            for name in first]


def _unplaced(graph: Graph, tasks: Tasks, array: int, batch: int) -> dict[str, Place]:
    """Every tensor's place but for its address. A reshaped tensor lies as its source does, and so does what is computed
    from it word by word."""
    places: dict[str, Place] = {}

    def add(name: str, source: tuple[int, ...] | None) -> None:
        places[name] = Place(base_word=0, shape=graph.tensors[name].shape, array=array, samples=batch, source=source)
        for other, inner in tasks.alias.items():
            if inner == name:
                same = graph.tensors[other].shape == graph.tensors[name].shape
                add(other, source if same else source or graph.tensors[name].shape)

    add(graph.input, None)
    for task in tasks.tasks:
        sources = [places[name].source for name in task.inputs]
        if task.op is Op.ADD and sources[0] != sources[1]:
            raise MantissaError(f"Layer {task.name}: inputs of Add must lie alike in memory, "
                                f"but only one of them is flattened from {sources[0] or sources[1]}")
        add(task.output, None if task.op is Op.MATMUL else sources[0])
    return places


def plan(graph: Graph, tasks: Tasks, array: int, words: int, *, batch: int = 1, keep_all: bool = False) -> dict[str, Place]:
    """Place of every tensor.

    Parameters
    ----------
    array
        Bytes in a word.
    words
        Depth of the activation memory.
    batch
        Samples computed together.
    keep_all
        Never reuse memory, so that every tensor can be read afterwards.

    Raises
    ------
    MantissaError
        If the memory is too small; says by how much.
    """
    places = _unplaced(graph, tasks, array, batch)
    lives = _lives(graph, tasks, places, keep_all)
    bases = allocate(lives)
    need = max(bases[life.name] + life.words for life in lives)
    if need > words:
        raise MantissaError(f"Activation memory must have {need} words of {array} bytes for this model, "
                            f"{need - words} more than the {words} there are")
    return {name: Place(base_word=bases[tasks.root(name)], shape=place.shape, array=array, samples=batch, source=place.source)
            for name, place in places.items()}
