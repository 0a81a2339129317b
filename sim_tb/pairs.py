"""Every pair of operand codes of designs that multiply.

    python -m mantissa.sim_tb.pairs [DESIGN...] [--drawn N] [--jobs N] [--report FILE]
    python -m mantissa.sim_tb.pairs --formats [FORMAT...]

Compiled Verilog against the golden function, dot products of one term; without a design, of every one of the catalogue whose operands
``a`` and ``b``, or ``a`` and ``w``, are codes of 8 bits or fewer. All pairs meet in every lane, every place of an array and every lane of
every mode. Modes of 16 bits are drawn, N pairs (1,000,000); :mod:`~.all_pairs` has all of two formats'. Other fields, as scales, are drawn
from the stimulus. Not for trits, of which a field's codes are not all. Exits with 1 if one differs.

With --formats, of the exact multiplier-accumulator of each format instead, without one of every standard format: all pairs of codes
of 8 bits or fewer, and N of wider ones.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
import sys
import time

import numpy as np

from ..design import Design, Streams
from ..errors import MantissaError
from ..formats import STANDARD
from ..hw.catalog import CATALOG, find
from ..hw.designs_exact import exact
from ..hw.mac_modes import MODES, WORD
from ..hw.payload import Leaf, leaves, pack
from ..sw_driver.progress import track
from .exhaustive import compare, harness
from .parallel import JOBS, outcomes, stoppable
from .report import markdown, write_report
from .simulate import layouts_of

__all__ = ["eligible", "exhaust", "main"]

BITS = 8
"""Of a code, at most."""

CHUNK = 1 << 16
"""Transactions of a run."""

ENDS = ("first", "last", "end")
"""Fields that are one in a dot product of one term."""


def _operands(design: Design) -> dict[str, list[Leaf]]:
    """Elements of the two operands, by field; none if there are no two all pairs of whose codes can be tried."""
    layout = layouts_of(design)[0].get("i")
    fields: dict[str, list[Leaf]] = {}
    for leaf in leaves(layout) if layout is not None else ():
        fields.setdefault(leaf.field, []).append(leaf)
    other = next((name for name in ("b", "w") if name in fields), None)
    there = "a" in fields and other and design.macs and "int8*ternary" not in design.macs
    return {name: fields[name] for name in ("a", other)} if there else {}


def _narrow(operands: dict[str, list[Leaf]]) -> bool:
    return all(leaf.width <= BITS for row in operands.values() for leaf in row)


def eligible(design: Design) -> bool:
    """Whether all pairs of a design's operands can be tried."""
    operands = _operands(design)
    return bool(operands) and ("modes" in design.params or _narrow(operands))


def _unfit(design: Design) -> MantissaError:
    return MantissaError(f"Design must have operands a and b, or a and w, of at most {BITS} bits, unlike {design.name}")


def _codes(operands: dict[str, list[Leaf]], drawn: int, seed: int) -> dict[str, np.ndarray]:
    """Columns in which any two elements of the two operands meet in all pairs, wide ones in as many as are ``drawn``: each element turns
    its codes by another amount."""
    (a, *_), (b, *_) = operands.values()
    rng, every = np.random.default_rng(seed), 1 << a.width + b.width
    pair = rng.permutation(every) if _narrow(operands) else rng.integers(0, every, drawn)
    columns = {}
    for (name, elements), code in zip(operands.items(), (pair >> b.width, pair & (1 << b.width) - 1), strict=True):
        width = elements[0].width
        turned = [(code + 3 * n) % (1 << width) for n in range(len(elements))]
        signed = [(row ^ 1 << width - 1) - (1 << width - 1) if elements[0].signed else row for row in turned]
        shape = [1 + last for last in elements[-1].index]
        columns[name] = np.stack(signed, axis=1).reshape(len(pair), *shape)
    return columns


def _words(lanes: int, drawn: int, seed: int) -> dict[str, np.ndarray]:
    """Operand words of a mode: every lane meets all pairs, in another order."""
    rng, bits = np.random.default_rng(seed), WORD // lanes
    if lanes == 1:
        return {name: rng.integers(0, 1 << WORD, drawn) for name in ("a", "b")}
    pairs = [rng.permutation(1 << 2 * bits) for _ in range(lanes)]
    return {"a": sum((pair >> bits) << bits * n for n, pair in enumerate(pairs)),
            "b": sum((pair & (1 << bits) - 1) << bits * n for n, pair in enumerate(pairs))}


def exhaust(design: Design, *, folder: Path, drawn: int = 1_000_000) -> dict[str, int]:
    """Pairs that each two elements met in, by mode where there are modes.

    Raises
    ------
    MantissaError
        If a design's operands are not codes of at most 8 bits.
    AssertionError
        At the first transaction that differs.
    """
    operands = _operands(design)
    if not operands:
        raise _unfit(design)
    rng, model = np.random.default_rng(0), harness(design, folder=folder, optimize=0)
    some = design.stimulus(rng)["i"]

    def run(columns: dict[str, np.ndarray], seed: int) -> int:
        count = len(next(iter(columns.values())))
        for name, column in some.items():
            if name not in columns:
                columns[name] = np.ones(count, np.int64) if name in ENDS else np.asarray(column)[rng.integers(0, len(column), count)]
        for start in range(0, count, CHUNK):
            streams: Streams = {"i": {name: column[start:start + CHUNK] for name, column in columns.items()}}
            answer = design.golden(streams)
            want = {port: pack(layout, answer[port]) for port, layout in model.outputs.items()}
            compare(model, {"i": pack(model.inputs["i"], streams["i"])}, want, streams, stall="none", seed=seed)
        return count

    modes = design.params.get("modes")
    if not isinstance(modes, tuple):
        return {"": run(_codes(operands, drawn, 0), 0)}
    found = {}
    for n, name in enumerate(modes):
        words = _words(MODES[name].lanes, drawn, n)
        found[name] = run({**words, "mode": np.full(len(words["a"]), n)}, n)
    return found


def _held(folder: Path, drawn: int, formats: bool, name: str) -> tuple[str, dict[str, int] | str]:
    try:
        return name, exhaust(exact(name) if formats else find(name), folder=folder, drawn=drawn)
    except (AssertionError, RuntimeError) as error:
        return name, str(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.pairs", description=__doc__, formatter_class=plain)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("--formats", action="store_true", help="names are of formats, the designs their exact units")
    parser.add_argument("--drawn", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="processes")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    start, table, failed = time.monotonic(), [], []
    try:
        if args.formats:
            chosen = {name: exact(name) for name in args.designs or STANDARD}
        else:
            chosen = {design.name: design for design in map(find, args.designs)} or {row.name: row for row in CATALOG if eligible(row)}
        if args.drawn < 1:
            raise MantissaError(f"Drawn pairs must be at least 1, not {args.drawn}")
        for design in () if args.formats else chosen.values():
            if not eligible(design):
                raise _unfit(design)
        found = {}
        try:
            with stoppable():
                for name, outcome in track(outcomes(partial(_held, args.output, args.drawn, args.formats), list(chosen), args.jobs),
                                           len(chosen), "pairing"):
                    found[name] = outcome
        except KeyboardInterrupt:
            failed = [f"stopped after {len(found)} of {len(chosen)} designs"]
    except (MantissaError, ValueError) as error:
        print(f"mantissa.sim_tb.pairs: {error}", file=sys.stderr)
        return 1
    for name, design in chosen.items():
        outcome = found.get(name, {})
        if isinstance(outcome, str):
            failed.append(outcome)
        else:
            table += [(" ".join([design.name, mode]).rstrip(), f"{count:,}",
                       "all" if (MODES[mode].lanes > 1 if mode else _narrow(_operands(design))) else "drawn")
                      for mode, count in outcome.items()]
    lines = markdown(("design, and mode", "pairs", "of"), table)
    print(*lines, *failed, sep="\n")
    if args.report:
        command = " ".join(["python -m mantissa.sim_tb.pairs", *["--formats"] * args.formats, *args.designs,
                            *[f"--drawn {args.drawn}"] * (args.drawn != 1_000_000)])
        write_report(args.report, "Pairs of every format" if args.formats else "Pairs", command, time.monotonic() - start, lines, failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
