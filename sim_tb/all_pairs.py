"""Every pair of 16-bit codes through a multiplier, 2^32 in all.

    python -m mantissa.sim_tb.all_pairs [posit16_1|bf16] [--share 0.01] [--jobs N] [--report FILE]

The design's Verilog, compiled, several copies side by side, against a reference in C++ that takes nothing from it: values of codes, exact
products, the nearest value there is. With ``--share``, of each first factor that part of the second ones, from a place that the first
chooses. What was done is kept, and a run that was stopped goes on where it was; it exits with 1 if a product is wrong or not all was done.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
import ctypes
from dataclasses import dataclass
from pathlib import Path
import sys
import time

import numpy as np
import numpy.typing as npt

from ..design import Design
from ..gen.designs import verilog_of
from ..hw.catalog import find
from ..sw_driver.progress import track
from .kept import Kept
from .parallel import JOBS, stoppable
from .report import markdown, write_report
from .verilator import library, on_every_edge, plain_library

__all__ = ["FORMATS", "Outcome", "Pairs", "main", "products"]

FORMATS = ("posit16_1", "bf16")

LANES = 8
"""Copies of the multiplier in the compiled module."""

CODES = 1 << 16
ROWS = 256
"""First factors of a piece of work."""

SOURCE = Path(__file__).with_name("all_pairs.cpp")


class _Found(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("cases", "wrong", "a", "b", "got", "want")]


@dataclass(kw_only=True)
class Outcome:
    """What was compared, how much of it was wrong, a sentence about the first of each piece, and seconds of processor."""
    cases: int = 0
    wrong: int = 0
    first: list[str] | None = None
    seconds: float = 0.0


def _posit(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"Format must be one of {', '.join(FORMATS)}, not {name!r}")
    return "true" if name == FORMATS[0] else "false"


def products(name: str, a: npt.ArrayLike, b: npt.ArrayLike, *, folder: Path) -> npt.NDArray[np.uint16]:
    """Codes of the products as the reference has them."""
    run = ctypes.CDLL(str(plain_library(f"#define REFERENCE_ONLY\n#define POSIT {_posit(name)}\n", SOURCE, folder=folder))).reference
    ins = [np.ascontiguousarray(column, np.uint16) for column in (a, b)]
    out = np.empty_like(ins[0])
    run(*(ctypes.c_void_p(array.ctypes.data) for array in (*ins, out)), ctypes.c_uint64(out.size))
    return out


class Pairs:
    """A multiplier of 16-bit codes, compiled.

    Parameters
    ----------
    design
        Multiplier with factors ``a`` and ``b`` and product ``p``; its outputs look at registers alone.
    name
        Its format, one of :data:`FORMATS`.
    """

    def __init__(self, design: Design, name: str, *, folder: Path) -> None:
        text = f"{on_every_edge(verilog_of(design))}\n{_beside(design.name)}"
        header = f"#define LANES {LANES}\n#define POSIT {_posit(name)}\n"
        path = library(text, "pairs", header, SOURCE, folder=folder, optimize=3)
        self.identity = path.stem
        self._run = ctypes.CDLL(str(path)).all_pairs

    def rows(self, first: int, count: int, columns: int) -> Outcome:
        """First factors from ``first`` on, ``count`` of them, each by ``columns`` second ones.

        Raises
        ------
        RuntimeError
            If the multiplier does not give a product in every cycle.
        """
        found, start = _Found(), time.thread_time()
        if self._run(ctypes.c_uint64(first), ctypes.c_uint64(count), ctypes.c_uint64(columns), ctypes.byref(found)):
            raise RuntimeError("The multiplier must give a product in every cycle, and did not")
        said = [f"{found.a:#06x} by {found.b:#06x} gives {found.got:#06x}, not {found.want:#06x}"] if found.wrong else []
        return Outcome(cases=found.cases, wrong=found.wrong, first=said, seconds=time.thread_time() - start)


def _beside(name: str) -> str:
    """Module ``pairs``: ``a`` by each of as many codes from ``b`` on as there are copies."""
    valid, ready = ([f"{port}[{lane}]" for lane in range(LANES)] for port in ("valids", "readys"))
    low = LANES.bit_length() - 1
    copies = [f"  {name} m{lane}(.clk(clk), .rst(rst), .i__valid(1'b1), .i__ready({ready[lane]}), "
              f".i__payload({{b[15:{low}], {low}'d{lane}, a}}), "
              f".o__valid({valid[lane]}), .o__ready(1'b1), .o__payload(p[{16 * lane} +: 16]));" for lane in range(LANES)]
    return "\n".join([f"module pairs(input clk, input rst, input [15:0] a, input [15:0] b, output valid, output [{16 * LANES - 1}:0] p);",
                      f"  wire [{LANES - 1}:0] valids, readys;", "  assign valid = &valids & &readys;", *copies, "endmodule", ""])


def _columns(share: float) -> int:
    if not 0 < share <= 1:
        raise ValueError(f"Share must be more than 0 and at most 1, not {share}")
    return max(LANES, round(share * CODES) // LANES * LANES)


def _pieces(pairs: Pairs, kept: Kept, columns: int, jobs: int) -> Iterator[Outcome]:
    """All pieces, those that were kept first; ended between two if it is closed."""
    todo = []
    for first in range(0, CODES, ROWS):
        if known := kept.get(f"{first:05}-{columns}"):
            yield Outcome(**known)
        else:
            todo.append(first)
    with ThreadPoolExecutor(jobs) as pool:
        running = {}
        try:
            while todo or running:
                while todo and len(running) < jobs:
                    first = todo.pop(0)
                    running[pool.submit(pairs.rows, first, ROWS, columns)] = first
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome, first = done.result(), running.pop(done)
                    if not outcome.wrong:
                        kept.put(f"{first:05}-{columns}", vars(outcome))
                    yield outcome
        finally:
            for future in running:
                future.cancel()


def _one(name: str, columns: int, jobs: int, folder: Path) -> tuple[Outcome, bool]:
    """What became of a format's multiplier, and whether it was stopped."""
    pairs = Pairs(find(f"multiply_{name}"), name, folder=folder)
    total = Outcome(first=[])
    try:
        with stoppable():
            for outcome in track(_pieces(pairs, Kept(folder, pairs.identity), columns, jobs), CODES // ROWS, name):
                total.cases += outcome.cases
                total.wrong += outcome.wrong
                total.seconds += outcome.seconds
                total.first += outcome.first
    except KeyboardInterrupt:
        return total, True
    return total, False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.all_pairs", description=__doc__, formatter_class=plain)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMATS)}; both if there is none")
    parser.add_argument("--share", type=float, default=1.0, help="part of the second factors of each first one")
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="threads")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as markdown")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/verify"))
    args = parser.parse_args(argv)
    start, cells, failed, stopped = time.monotonic(), [], [], False
    try:
        columns = _columns(args.share)
        for name in args.formats:
            _posit(name)
        for name in args.formats or FORMATS:
            total, stopped = _one(name, columns, args.jobs, args.output)
            rate = f"{total.cases / max(total.seconds, 1e-9) / 1e6:.1f}"
            cells.append((f"multiply_{name}", f"{total.cases:,}", f"{100 * total.cases / CODES ** 2:.2f} %", f"{total.wrong:,}", rate,
                          f"{total.seconds:,.0f}"))
            print(f"{name}: {total.cases:,} products, {total.wrong:,} wrong, {rate} M/s of processor")
            failed += [f"{name}: {text}" for text in total.first[:5]]
            failed += [f"{name}: stopped after {total.cases:,} of {columns * CODES:,} products"] if stopped else []
            if stopped:
                break
    except (ValueError, RuntimeError) as error:
        print(f"mantissa.sim_tb.all_pairs: {error}", file=sys.stderr)
        return 1
    for line in failed:
        print(line)
    if args.report:
        options = [*args.formats, *([f"--share {args.share}"] if args.share < 1 else [])]
        write_report(args.report, "All pairs", " ".join(["python -m mantissa.sim_tb.all_pairs", *options]), time.monotonic() - start,
                     markdown(HEADINGS, cells), failed)
    return 1 if failed or not cells else 0


HEADINGS = ("design", "products compared", "of all pairs", "wrong", "M/s of processor", "s of processor")


if __name__ == "__main__":
    sys.exit(main())
