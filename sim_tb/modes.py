"""Every pair of codes in every lane of every mode of a design whose format is chosen while it runs.

    python -m mantissa.sim_tb.modes DESIGN [--drawn N]

Compiled Verilog against the golden function, dot products of one term. Codes of 8 and 4 bits are tried in all pairs, each lane in another
order; of 16 bits, N pairs are drawn (1,000,000). Exits with 1 if one differs.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys

import numpy as np

from ..design import Design, Streams
from ..errors import MantissaError
from ..hw.catalog import find
from ..hw.mac_modes import MODES, WORD
from .exhaustive import harness, run_cases

__all__ = ["exhaust", "main"]

CHUNK = 1 << 16


def _codes(lanes: int, drawn: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Operand words."""
    rng, bits = np.random.default_rng(seed), WORD // lanes
    if lanes == 1:
        return rng.integers(0, 1 << WORD, drawn), rng.integers(0, 1 << WORD, drawn)
    pairs = [rng.permutation(1 << 2 * bits) for _ in range(lanes)]
    low = (1 << bits) - 1
    return (sum((pair >> bits) << bits * n for n, pair in enumerate(pairs)),                    # type: ignore[return-value]
            sum((pair & low) << bits * n for n, pair in enumerate(pairs)))


def exhaust(design: Design, *, folder: Path, drawn: int = 1_000_000) -> dict[str, int]:
    """Pairs compared, in every lane, by mode.

    Raises
    ------
    MantissaError
        If the design has no modes.
    AssertionError
        At the first transaction that differs.
    """
    modes = design.params.get("modes")
    if not isinstance(modes, tuple):
        raise MantissaError(f"Design must have modes, unlike {design.name}")
    model, found = harness(design, folder=folder, optimize=0), {}
    for n, name in enumerate(modes):
        a, b = _codes(MODES[name].lanes, drawn, n)
        found[name] = 0
        for start in range(0, len(a), CHUNK):
            part = slice(start, start + CHUNK)
            ones = np.ones(len(a[part]), np.int64)
            streams: Streams = {"i": {"a": a[part], "b": b[part], "mode": n * ones, "first": ones, "last": ones}}
            found[name] += run_cases(replace(design, stimulus=lambda _, given=streams: given), model, least=len(ones)).count
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.modes", description=__doc__, formatter_class=plain)
    parser.add_argument("design", metavar="DESIGN")
    parser.add_argument("--drawn", type=int, default=1_000_000, metavar="N")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    try:
        counts = exhaust(find(args.design), folder=args.output, drawn=args.drawn)
    except (MantissaError, AssertionError) as error:
        print(f"mantissa.sim_tb.modes: {error}", file=sys.stderr)
        return 1
    for mode, count in counts.items():
        lanes = MODES[mode].lanes
        print(f"{mode:12} {count:9,} pairs {'drawn' if lanes == 1 else 'of all ' + format(1 << 2 * WORD // lanes, ',')}, {lanes} lanes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
