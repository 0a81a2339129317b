"""How fast a design takes its input, counted in Amaranth's simulator without stalls."""
from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path

import numpy as np

from ..design import Design
from ..fpga import tools
from ..gen.designs import verilog_of
from ..hw.payload import count, pack, ports, used
from .simulate import raw_streams, simulate

__all__ = ["accepted", "kept"]

PORT = "i"
"""Input whose transactions are counted."""


def accepted(design: Design) -> float:
    """Transactions of input ``i`` per cycle, all outputs ready, from the first to the last one taken.

    On the design's workload if it has one, else on its stimulus. What comes out is compared with the golden function.

    Raises
    ------
    ValueError
        If the design has no input ``i``.
    """
    streams = (design.workload or design.stimulus)(np.random.default_rng(0))
    if PORT not in streams:
        raise ValueError(f"Throughput is that of input {PORT}, and design {design.name} has {', '.join(streams)}")
    sent, want = raw_streams(design, streams)
    moments: list[int] = []
    got = simulate(design.described(), sent, {port: len(rows) for port, rows in want.items()}, moments=(PORT, moments))
    if got != want:
        raise AssertionError(f"{design.name}: outputs are not what the golden function says while throughput is measured")
    span = moments[-1] - moments[0]
    return round((len(moments) - 1) / span, 4) if span else 1.0


def kept(store: Path) -> Callable[[Design], float]:
    """:func:`accepted`, its results kept in ``store`` by digest of the design's Verilog and of what it is measured on."""
    def measured(design: Design) -> float:
        streams = (design.workload or design.stimulus)(np.random.default_rng(0))
        inputs, _ = ports(used(design.component()))
        sent = [pack(layout, streams[port]).tobytes() for port, layout in inputs.items()]

        def make(folder: Path) -> None:
            result = {"transactions": count(streams[PORT]), "per_cycle": accepted(design)}
            (folder / "throughput.json").write_text(json.dumps(result))
        key = tools.digest("throughput 1", verilog_of(design), *sent)
        return float(json.loads((tools.cached(store / "throughput", key, make) / "throughput.json").read_text())["per_cycle"])
    return measured
