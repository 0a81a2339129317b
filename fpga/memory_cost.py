"""What the units of the memory port cost by themselves, without what the catalogue puts around them to be verified.

    python -m mantissa.fpga.memory_cost [--seeds N]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
import sys

from amaranth.lib import wiring

from ..hw.catalog import find
from ..hw.memory_axi import AxiMaster
from ..hw.memory_guard import Guard
from ..hw.memory_onchip import OnChip
from ..hw.memory_wide import Wider
from ..hw.sdram import Sdram
from .cost import Cost, cost

__all__ = ["UNITS", "measure"]

UNITS: Mapping[str, Callable[[], wiring.Component]] = {
    "sdram_controller": partial(Sdram, clock_hz=100_000_000, length_bits=12),
    "wider_16_64": partial(Wider, narrow=16, wide=64, address_bits=22, length_bits=10),
    "guard_16": partial(Guard, address_bits=24, length_bits=12, data_bits=16, words=1 << 24),
    "axi_master_64": partial(AxiMaster, address_bits=24, length_bits=12, data_bits=64),
    "onchip_1024x32": partial(OnChip, address_bits=10, length_bits=10, data_bits=32),
}
"""Name -> what is measured."""


def measure(name: str, *, seeds: int = 3) -> Cost:
    """Cost of one of :data:`UNITS` on ECP5, placed and routed."""
    design = replace(find("memory_onchip"), name=name, component=UNITS[name])        # of a design, cost looks at the component alone
    measured, = cost([design], pnr=True, seeds=seeds, jobs=1)
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    parser = argparse.ArgumentParser(prog="mantissa.fpga.memory_cost", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    seeds = parser.parse_args(argv).seeds
    print("| unit | LUT-eq | FF | block RAM | MHz |\n|---|---:|---:|---:|---:|")
    for name in UNITS:
        row = measure(name, seeds=seeds)
        print(f"| {name} | {row.luteq} | {row.ff} | {row.bram} | {row.fmax or 0:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
