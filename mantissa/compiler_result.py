"""A compiled network: program, memory images, where everything is, and what each step made."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import json
from pathlib import Path

import numpy as np

from .compiler_place import Place
from .compiler_tasks import Tasks
from .graph import Graph
from .program import Instruction, listing
from .registers import Capability

__all__ = ["Check", "Compiled", "Layer"]


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
    """Fields of a node, with arrays of weights and exponents as their shapes."""
    return {name: list(value.shape) if name in ("weight", "weight_exponents") and isinstance(value, np.ndarray) else value
            for name, value in record.items()}


def _graph_record(graph: Graph) -> dict[str, object]:
    return {"name": graph.name, "input": graph.input, "output": graph.output, "batched": graph.batched,
            "tensors": {name: asdict(tensor) for name, tensor in graph.tensors.items()},
            "nodes": [{"kind": type(node).__name__} | _brief(vars(node)) for node in graph.nodes]}


def _tasks_record(tasks: Tasks) -> dict[str, object]:
    return {"tasks": [_brief(vars(task)) | {"op": task.op.name} for task in tasks.tasks], "alias": dict(tasks.alias)}
