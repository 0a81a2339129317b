"""Write the Verilog, metadata and datasheets of designs, or the accelerator of a configuration.

    python -m mantissa.gen [DESIGN...]            the whole catalogue without DESIGN
    python -m mantissa.gen --config sim [--uart]
"""
from __future__ import annotations

import argparse
from pathlib import Path
import sys
import time

from ..config import load
from ..errors import MantissaError
from ..hw.catalog import CATALOG, find
from .designs import emit_all
from .device import accelerator

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line; exit code."""
    parser = argparse.ArgumentParser(prog="mantissa.gen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="*", metavar="DESIGN")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gen"))
    parser.add_argument("--config", metavar="CONFIG", help="name of a built-in configuration, or a .toml file")
    parser.add_argument("--uart", action="store_true", help="with --config: pins of a serial port, not byte streams")
    args = parser.parse_args(argv)
    start = time.monotonic()
    try:
        if args.config:
            if args.designs:
                raise MantissaError(f"Either designs or a configuration can be generated, not both {args.designs[0]!r} and {args.config!r}")
            config = load(args.config)
            path = accelerator(config, args.output / config.name, args.uart)
            print(f"wrote {path} in {time.monotonic() - start:.1f} s")
            return 0
        designs = [find(name) for name in args.designs] or list(CATALOG)
        emit_all(designs, args.output, progress=lambda design: print(f"  {design.name}", flush=True))
    except MantissaError as error:
        print(f"mantissa gen: {error}", file=sys.stderr)
        return 1
    print(f"wrote {len(designs)} designs to {args.output} in {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
