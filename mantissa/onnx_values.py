"""What an ONNX value can be while a model is imported, and how a node is refused."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
import onnx

from .errors import MantissaError
from .graph import Node, Tensor

__all__ = ["Codes", "Const", "Input", "Pending", "Real", "Scaled", "State", "Steps", "Value", "attributes", "constant",
           "node_name", "refuse"]


@dataclass(frozen=True, eq=False)
class Const:
    """A constant array."""
    array: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaled:
    """A constant that was dequantized: integers or codes and float32 scales, one or one for each index along ``axis``.

    ``rounded`` is whether a Quantize made it, so that a float32 bias goes with it.
    """
    array: np.ndarray
    scale: np.ndarray
    axis: int
    format: str = "int8"
    exponents: np.ndarray | None = None
    rounded: bool = False


@dataclass(frozen=True)
class Codes:
    """The codes of a tensor."""
    tensor: str


@dataclass(frozen=True)
class Real:
    """The real values of a tensor."""
    tensor: str


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Real values that a node computes, not yet quantized; the node's output has no name yet."""
    node: Node
    shape: tuple[int, ...]
    onnx: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Input:
    """The model's input, real values."""
    shape: tuple[int, ...]
    onnx: tuple[int, ...]


Value = Const | Scaled | Codes | Real | Pending | Input


@dataclass(kw_only=True)
class State:
    """What has been imported so far."""
    batched: bool
    values: dict[str, Value]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    input: str | None = None


class Steps(NamedTuple):
    """What codes stand for."""
    scale: float
    zero_point: int
    format: str

    @classmethod
    def of(cls, tensor: Tensor) -> Steps:
        """Those of a tensor."""
        return cls(tensor.scale, tensor.zero_point, tensor.format)


def node_name(node: onnx.NodeProto) -> str:
    """Name of a node, or of its first output."""
    return str(node.name or next(iter(node.output), ""))


def refuse(node: onnx.NodeProto, reason: str) -> NoReturn:
    """Say which node can not be compiled, and why."""
    raise MantissaError(f"Node {node_name(node)} ({node.op_type}) can not be compiled: {reason}")


def attributes(node: onnx.NodeProto, **defaults: Any) -> Mapping[str, Any]:
    """Attributes of a node; those that are not given are as in ``defaults``."""
    found = dict(defaults)
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return found


def constant(state: State, node: onnx.NodeProto, n: int, what: str) -> np.ndarray:
    """Input ``n``, which must be constant."""
    value = state.values[node.input[n]]
    if not isinstance(value, Const):
        refuse(node, f"its {what} is not constant")
    return value.array
