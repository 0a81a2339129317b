"""Whole layers through the ternary engine behind a port that always has a word: cycles, lookup ports busy, every output compared.

    python bench/ternary_engine.py                          # 2048 x 2048 and 2560 x 6912 and back, one vector and eight
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mantissa.hw.designs_tlmm import ternary_engine, ternary_workload
from mantissa.hw.payload import count, pack
from mantissa.hw.tlmm_build import CODES, address
from mantissa.sim_tb.exhaustive import harness
from mantissa.ternary import GROUP
from mantissa.ternary_product import TernaryWeights
from mantissa.ternary_tiles import untile

FOLDER = Path("build/bench")
SHAPES = ((2048, 2048), (6912, 2560), (2560, 6912))


def check(design, shape: tuple[int, int]) -> tuple[int, int]:
    """(cycles, words) of a layer (N, K), its outputs compared with the golden function and with the product by BLAS."""
    streams = ternary_workload(design, [shape])
    model = harness(design, folder=FOLDER, optimize=0)
    golden = design.golden(streams)
    tables = design.params["tables"]
    words = np.array([list(int(word).to_bytes(tables, "little")) for word in streams["i"]["data"]], np.uint8)
    plain = np.zeros(256, np.uint8)                                # radix-3 byte of a byte of the engine's code
    plain[[address(index, design.params["code"]) for index in range(3 ** GROUP)]] = np.arange(3 ** GROUP)
    trits = untile(plain[words].reshape(-1, shape[0], tables), shape[1])
    product = TernaryWeights(trits)(streams["i_x"]["x"][:shape[1]].T).T
    assert (golden["o"]["sums"] == product).all()
    want = {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}
    run = model.run({port: pack(layout, streams[port]) for port, layout in model.inputs.items()},
                    {port: len(rows) for port, rows in want.items()}, want=want)
    return run.cycles, count(streams["i"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=16)
    parser.add_argument("--tokens", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--code", choices=[code for code, about in CODES.items() if about.group == GROUP], default="radix3")
    parser.add_argument("--spare", type=int, default=0, help="spare address bits of a table's block RAM")
    options = parser.parse_args()
    print("| tables | vectors | N | K | cycles | words | port busy |\n|--:|--:|--:|--:|--:|--:|--:|")
    for tokens in options.tokens:
        # Sums of 24 bits hold every one of SHAPES, if not of as many tiles as there may be.
        design = ternary_engine(options.tables, tokens=tokens, lanes=options.lanes, code=options.code, spare=options.spare, rows=8192,
                                tiles=1024, wraps=True)
        for shape in SHAPES:
            cycles, words = check(design, shape)
            print(f"| {options.tables} | {tokens} | {shape[0]} | {shape[1]} | {cycles:,} | {words:,} | {words / cycles:.1%} |", flush=True)


if __name__ == "__main__":
    main()
