"""What the device counted while a program ran, by instruction and by layer."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import struct

from ..compiler import Compiled
from ..program import Op
from ..registers import LOG_BYTES, LOG_FIELDS

__all__ = ["LayerCounters", "decode_log", "total"]


@dataclass(frozen=True, kw_only=True)
class LayerCounters:
    """One layer of the last run.

    Parameters
    ----------
    name, op
        Of the ONNX node.
    pc
        Its first instruction.
    cycles
        Clock cycles, from fetch to last write.
    steps
        Words the loops visited.
    wait_weights, wait_output
        Cycles the next word waited for a weight tile, and for the requantizers.
    macs
        Multiplications the layer's definition has.
    macs_possible
        Multiplications the array could do in ``cycles``; 0 if the layer has none.
    macs_done
        Multiplications the array did, on padding as well; 0 if the layer has none.
    """
    name: str
    op: str
    pc: int
    cycles: int
    steps: int
    wait_weights: int
    wait_output: int
    macs: int
    macs_possible: int
    macs_done: int

    @property
    def utilization(self) -> float:
        """Part of the array's multiplications that were done, 0 for a layer without any."""
        return self.macs_done / self.macs_possible if self.macs_possible else 0.0

    @property
    def useful(self) -> float:
        """Part of the array's multiplications that the layer's definition has: padding does not count."""
        return self.macs / self.macs_possible if self.macs_possible else 0.0


def decode_log(log: bytes, compiled: Compiled) -> tuple[LayerCounters, ...]:
    """Counters by layer of the device's log, :data:`~..registers.LOG_BYTES` an instruction."""
    each = compiled.capability.array ** 2
    layers = []
    for layer in compiled.layers:
        sums = dict.fromkeys(LOG_FIELDS, 0)
        for pc in range(layer.first_pc, layer.last_pc + 1):
            for name, value in zip(LOG_FIELDS, struct.unpack_from(f"<{len(LOG_FIELDS)}I", log, pc * LOG_BYTES), strict=True):
                sums[name] += value
        multiplies = compiled.instructions[layer.first_pc].op is Op.MATMUL
        layers.append(LayerCounters(name=layer.name, op=layer.op, pc=layer.first_pc, macs=layer.macs,
                                    macs_possible=sums["cycles"] * each * multiplies, macs_done=sums["steps"] * each * multiplies, **sums))
    return tuple(layers)


def total(layers: Sequence[LayerCounters]) -> LayerCounters:
    """All layers as one; those that multiply nothing count as time the array could have used."""
    sums = {name: sum(getattr(layer, name) for layer in layers) for name in (*LOG_FIELDS, "macs", "macs_done")}
    each = [layer.macs_possible // layer.cycles for layer in layers if layer.macs_possible]
    return LayerCounters(name="total", op="", pc=0, macs_possible=sums["cycles"] * (each[0] if each else 0), **sums)
