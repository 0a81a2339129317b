"""Speed of the golden int8 matrix product, or of the ternary one, against numpy's float32 one of the same shape.

Both run in one process, turn by turn, so that whatever else the machine does hits both; the ratio of a
turn is float32's time over golden's, and the table has the median over turns.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import json
from pathlib import Path
import statistics
import sys
import time

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from mantissa import golden  # noqa: E402
from mantissa.ternary_product import TernaryWeights  # noqa: E402

__all__ = ["main", "measure"]

TERNARY_SHAPES = ("1x2560x2560", "1x2560x6912", "1x6912x2560", "8x2560x2560", "64x2560x6912", "256x2560x640", "256x256x256")
SHAPES = ("256x256x256", "512x512x512", "1024x1024x1024", "4096x1024x1024", "256x4608x512")


def _time(run: Callable[[], object], least: float) -> float:
    """Seconds per call, over as many calls as take ``least`` seconds."""
    calls, start = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        spent = time.perf_counter() - start
        if spent >= least:
            return spent / calls


def measure(shape: str, turns: int, least: float, ternary: bool = False) -> dict[str, object]:
    """Ratio and speeds of one shape ``MxKxN``, and the elements that differ from the integer product."""
    m, k, n = map(int, shape.split("x"))
    rng = np.random.default_rng(0)
    low, high = (-1, 2) if ternary else (-128, 128)
    a, b = rng.integers(-128, 128, (m, k), np.int8), rng.integers(low, high, (k, n), np.int8)
    x, y = a.astype(np.float32), b.astype(np.float32)
    weights = TernaryWeights(b.T) if ternary else None      # made ready once, as float32's are

    def ours(a: np.ndarray) -> np.ndarray:
        return golden.matmul(a, b) if weights is None else weights(a)
    wrong = int((ours(a[:8]) != a[:8].astype(np.int64) @ b.astype(np.int64)).sum())
    np.matmul(x, y)                                         # threads started
    pairs = [(_time(lambda: x @ y, least), _time(lambda: ours(a), least)) for _ in range(turns)]
    ratios = [float32 / spent for float32, spent in pairs]
    work = 2e-9 * m * k * n
    return {"shape": shape, "ratio": statistics.median(ratios), "ratio_least": min(ratios),
            "golden_gops": work / statistics.median(spent for _, spent in pairs),
            "float32_gops": work / statistics.median(float32 for float32, _ in pairs), "wrong": wrong}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", help=f"MxKxN, default {' '.join(SHAPES)}; ternary {' '.join(TERNARY_SHAPES)}")
    parser.add_argument("--ternary", action="store_true", help="weights of -1, 0 and 1, packed three to a float64")
    parser.add_argument("--turns", type=int, default=9, help="turns of each, default 9")
    parser.add_argument("--seconds", type=float, default=0.1, help="least time of one turn, default 0.1")
    parser.add_argument("--output", type=Path, help="default build/bench/gemm.json, or ternary.json")
    options = parser.parse_args(arguments)
    print(f"{'M x K x N':>16}  {'ratio':>6} {'least':>6}  {'golden Gop/s':>12} {'float32 Gop/s':>13}  wrong")
    rows = []
    for shape in options.shapes or (TERNARY_SHAPES if options.ternary else SHAPES):
        row = measure(shape, options.turns, options.seconds, options.ternary)
        rows.append(row)
        print(f"{shape:>16}  {row['ratio']:6.2f} {row['ratio_least']:6.2f}  {row['golden_gops']:12.1f} "
              f"{row['float32_gops']:13.1f}  {row['wrong']}", flush=True)
    output = options.output or ROOT / "build" / "bench" / ("ternary.json" if options.ternary else "gemm.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"numpy": np.__version__, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
