"""How much moves in a design of several modes, and how much less because idle parts are held still.

    python -m mantissa.sim_tb.toggles DESIGN [--streams N] [--cycles N]

The design is synthesised by the recipe of the cost table, once as it is and once without ``isolate``, and both netlists get the same random
codes of one mode after another. A toggle is a change of a look-up table's, a carry cell's or a flip-flop's output from one cycle to the
next; what happens within a cycle is not counted. Designs with DSPs or memories are refused.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
import json
from pathlib import Path
import sys

import numpy as np

from ..design import Design
from ..errors import MantissaError
from ..fpga.netlist import top_of
from ..fpga.synth import Recipe, synthesise
from ..gen.designs import verilog_of
from ..hw.catalog import find
from ..hw.payload import pack, ports, used
from .mapped import Mapped, Wave

__all__ = ["main", "toggles"]

STORE = Path("build/fpga")
FILL = 24
"""Cycles before anything is counted."""


def toggles(design: Design, *, streams: int = 512, cycles: int = 40, store: Path = STORE) -> dict[str, float]:
    """Toggles a cycle, by mode: the mean over ``streams`` random streams of ``cycles`` cycles.

    Raises
    ------
    MantissaError
        If the design has no modes, or a netlist of more than tables, carry cells and flip-flops.
    """
    modes = design.params.get("modes")
    if not isinstance(modes, tuple):
        raise MantissaError(f"Design must have modes, unlike {design.name}")
    if streams % 64 or streams < 64 or cycles < 1:
        raise MantissaError(f"Streams must be a multiple of 64 and cycles positive, not {streams} and {cycles}")
    netlist = synthesise(verilog_of(design), design.name, Recipe(family="ecp5", dsp=design.params.get("dsp") is not False), store=store)
    module = top_of(json.loads(netlist.read_text()))
    layout = ports(used(design.component()))[0]["i"]
    found = {}
    for n, mode in enumerate(modes):
        rng, count = np.random.default_rng(7), streams * (FILL + cycles)
        rows = {"a": rng.integers(0, 1 << 16, count), "b": rng.integers(0, 1 << 16, count), "mode": np.full(count, n),
                "first": rng.integers(0, 8, count) == 0, "last": np.zeros(count, np.int64)}
        payload = pack(layout, {name: np.asarray(column, np.int64) for name, column in rows.items()})
        found[mode] = _count(Mapped(module, streams // 64), payload.reshape(FILL + cycles, streams, -1), cycles, streams)
    return found


def _count(mapped: Mapped, payload: np.ndarray, cycles: int, streams: int) -> float:
    always, never = mapped.one, mapped.zero
    width = len(mapped.ports["i__payload"])
    total, before = 0, None
    for n, rows in enumerate(payload):
        bits = [np.packbits(rows[:, k // 32] >> (k % 32) & 1, bitorder="little").view(np.uint64) for k in range(width)]
        inputs: dict[str, Sequence[Wave]] = {"i__payload": bits, "i__valid": [always], "o__ready": [always], "rst": [never]}
        mapped.settle(inputs)
        now = mapped.outputs()
        if before is not None and n >= FILL:
            total += int(np.bitwise_count(now ^ before).sum())
        before = now
        mapped.clock()
    return total / cycles / streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.toggles", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("design", metavar="DESIGN")
    parser.add_argument("--streams", type=int, default=512, metavar="N")
    parser.add_argument("--cycles", type=int, default=40, metavar="N")
    args = parser.parse_args(argv)
    try:
        design = find(args.design)
        if not design.params.get("isolate"):
            raise MantissaError(f"Design must have idle parts held still, unlike {design.name}")
        assert isinstance(design.component, partial)
        moving = replace(design, component=partial(design.component, isolate=False))
        held, free = (toggles(one, streams=args.streams, cycles=args.cycles) for one in (design, moving))
    except MantissaError as error:
        print(f"mantissa.sim_tb.toggles: {error}", file=sys.stderr)
        return 1
    print(f"{'mode':12} {'held still':>10} {'not':>8} {'saved':>7}")
    for mode, count in held.items():
        print(f"{mode:12} {count:10.1f} {free[mode]:8.1f} {1 - count / free[mode]:7.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
