"""Most memory that converting a large ternary file takes, mapped pages included: it must stay under 200 MB.

``python tests/llm_memory.py --megabytes 500`` writes a file of every kind to a temporary folder, converts it in a process of its own and
prints that process' peak.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import gguf  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
from llm_files import hf_bytes, i2_s_bytes, random_trits, tq_bytes, write_gguf  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from mantissa.ternary import I2_S  # noqa: E402

MOST = 200_000_000
"""Bytes allowed."""
KINDS = ("hf", "absmean", "tq1_0", "tq2_0", "blocks", *I2_S)
"""Layouts, and ``blocks``, TQ2_0 with a scale of its own in every block."""
COLUMNS = 4096
_AGAIN = 64                                                 # rows after which weights come again

_CHILD = """
import resource, sys
from pathlib import Path
from mantissa.llm import convert
resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))
done = convert(*sys.argv[1:])
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0], done.size)
"""


def bits(kind: str) -> float:
    """Of a weight in a file."""
    return {"absmean": 16, "tq1_0": 54 / 32, "tq2_0": 66 / 32, "blocks": 66 / 32}.get(kind, 2)


def written(path: Path, kind: str, rows: int, count: int) -> Path:
    """A file of ``count`` matrices of ``rows`` rows, a multiple of 64, random every 64 rows."""
    trits, again = random_trits(_AGAIN, COLUMNS), rows // _AGAIN
    if kind == "absmean":
        save_file({f"{n}.weight": np.tile(trits.astype(ml_dtypes.bfloat16), (again, 1)) for n in range(count)}, path)
    elif kind == "hf":
        packed = {f"{n}.weight": np.tile(hf_bytes(trits), (again, 1)) for n in range(count)}
        save_file(packed | {f"{name}_scale": np.ones(1, np.float32) for name in packed}, path)
    elif kind in I2_S:
        data = np.concatenate([np.tile(i2_s_bytes(trits, kind), again), np.frombuffer(np.float32(1).tobytes() + bytes(28), np.uint8)])
        write_gguf(path, [(f"{n}.weight", 36, data, (rows, COLUMNS)) for n in range(count)])
    else:
        type_ = "tq1_0" if kind == "tq1_0" else "tq2_0"
        blocks = np.tile(tq_bytes(trits, type_, 0.5), (again, 1))
        if kind == "blocks":
            scales = (1 + np.random.default_rng(1).random((rows, COLUMNS // 256))).astype(np.float16)
            blocks.reshape(rows, COLUMNS // 256, -1)[..., -2:] = scales[..., None].view(np.uint8)
        write_gguf(path, [(f"{n}.weight", gguf.GGMLQuantizationType[type_.upper()], blocks, None) for n in range(count)])
    return path


def peak(path: Path, kind: str) -> tuple[int, int]:
    """Most memory a process that converts the file has, mapped pages too, and bytes converted; it is refused 200 MiB of data."""
    layout = kind if kind in I2_S or kind == "absmean" else "auto"
    done = subprocess.run([sys.executable, "-c", _CHILD, path, path.with_suffix(".out"), layout, "multiply" if kind == "hf" else "auto"],
                          capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise RuntimeError(done.stderr)
    most, size = map(int, done.stdout.split())
    return 1024 * most, size


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all by default")
    parser.add_argument("--megabytes", type=int, default=500, help="of a file")
    parser.add_argument("--matrices", type=int, default=8, help="in a file")
    options = parser.parse_args(arguments)
    for kind in options.kinds:
        if kind not in KINDS:
            print(f"Kind must be one of {', '.join(KINDS)}, not {kind!r}")
            return 2
    if options.megabytes < 1 or options.matrices < 1:
        print(f"Megabytes and matrices must be positive, not {options.megabytes} and {options.matrices}")
        return 2
    print("| file | MB | converted, MB | peak, MB | s |\n| --- | --: | --: | --: | --: |")
    over = 0
    for kind in options.kinds or KINDS:
        rows = round(options.megabytes * 8e6 / bits(kind) / COLUMNS / options.matrices / _AGAIN + 0.5) * _AGAIN
        folder = Path(tempfile.mkdtemp())
        try:
            path, start = written(folder / "model", kind, rows, options.matrices), time.monotonic()
            most, size = peak(path, kind)
            over += most >= MOST
            print(f"| {kind} | {path.stat().st_size / 1e6:.0f} | {size / 1e6:.0f} | {most / 1e6:.0f} | {time.monotonic() - start:.0f} |",
                  flush=True)
        finally:
            shutil.rmtree(folder)
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
